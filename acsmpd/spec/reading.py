"""From bytes to messages and back: strict for applications, tolerant for answers of devices.

Nothing here logs or asks the time. Reading raises faults.MalformedJson, InvalidField or MissingField
and nothing else.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from acsmpd.faults import InvalidField
from acsmpd.spec import folding, shapes
from acsmpd.spec.checking import convert
from acsmpd.spec.json_text import decode, scan
from acsmpd.spec.message import Message
from acsmpd.spec.relaxing import relax
from acsmpd.spec.taskinfo import check_task_info

__all__ = [
    "check_task_info",
    "read_form",
    "read_scalar",
    "read_strict",
    "read_tolerant",
    "to_builtins",
    "to_json",
]

T = TypeVar("T", bound=Message)


def read_strict(kind: type[T], raw: bytes) -> tuple[T, int]:
    """A request of an application, checked against its table; and how many unknown members it carried.

    No body, blanks and `null` read as an empty object.
    """
    value = decode(raw) if raw.strip() else None
    return _check(kind, {} if value is None else value, strict=True)


def read_form(kind: type[T], values: dict[str, Any]) -> tuple[T, int]:
    """A message from the fields of a form or a query string: numbers are texts, objects are JSON texts."""
    return _check(kind, folding.unpack_form(values, kind), strict=False)


def read_scalar(kind: Any, text: str, name: str) -> Any:
    """A path or query value as its scalar type; `name` is how the fault calls it."""
    if "\x00" in text or not text.isprintable():
        raise InvalidField(f"{name}: holds a control character")
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        raise InvalidField(f"{name}: must be {shapes.shape_of(kind).allowed}") from None


def read_tolerant(kind: type[T], answer: Any) -> T:
    """An answer of a device or a platform, from bytes or from decoded JSON.

    Numbers may be texts, names may differ in case, required members may be missing (they are None then,
    whatever the annotation says), lengths and enumerations do not count.
    """
    value = decode(answer.removeprefix(b"\xef\xbb\xbf")) if isinstance(answer, bytes) else answer
    scan(value)
    return relax(value, kind)


def to_json(message: Message) -> bytes:
    """The message as JSON, absent members left out."""
    return msgspec.json.encode(message)


def to_builtins(message: Message) -> dict[str, Any]:
    """The message as a dict with printed names, absent members left out."""
    value = msgspec.to_builtins(message)
    if not isinstance(value, dict):
        raise TypeError(f"{type(message).__name__} is no object")
    return value


def _check(kind: type[T], value: Any, *, strict: bool) -> tuple[T, int]:
    scan(value)
    folded, unknown = folding.fold(value, kind)
    return convert(folded, kind, strict=strict), unknown
