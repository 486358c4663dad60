"""JSON text to values, and what no value may hold: depth over 32, U+0000, lone surrogates, huge integers."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import msgspec

from acsmpd.faults import InvalidField, MalformedJson

MAX_DEPTH = 32
_INT64 = range(-(2**63), 2**63)


def decode(raw: bytes) -> Any:
    """The JSON value of `raw`. Of duplicate members the last wins."""
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise MalformedJson(f"the JSON is deeper than {MAX_DEPTH} levels") from None
    except UnicodeDecodeError as fault:
        raise MalformedJson(f"the body is not UTF-8: {fault.reason}") from None
    except msgspec.DecodeError as fault:
        _look_for_surrogates(raw)
        raise MalformedJson(f"the body is not JSON: {_reason(fault)}") from None


def _reason(fault: msgspec.DecodeError) -> str:
    return str(fault).removeprefix("JSON is malformed: ").split(" - at ")[0].lower()


def _look_for_surrogates(raw: bytes) -> None:
    """A lone surrogate is a fault of a field; msgspec calls it malformed or truncated."""
    if b"\\u" not in raw:
        return
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return
    scan(value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


# A place in a value: None at the top, else (place of the parent, key or index).
Place = tuple[Any, Any]


def scan(value: Any) -> None:
    """Refuse what no message may hold, naming the place."""
    stack: list[tuple[Any, int, Place | None]] = [(value, 1, None)]
    while stack:
        node, depth, place = stack.pop()
        if isinstance(node, dict):
            for key in node:
                _check_text(str(key), place)
            children: Any = node.items()
        elif isinstance(node, list):
            children = enumerate(node)
        else:
            _check_leaf(node, place)
            continue
        if depth > MAX_DEPTH:
            raise MalformedJson(f"the JSON is deeper than {MAX_DEPTH} levels")
        stack.extend((child, depth + 1, (place, key)) for key, child in children)


def _check_leaf(node: Any, place: Place | None) -> None:
    if isinstance(node, str):
        _check_text(node, place)
    elif isinstance(node, int) and node not in _INT64:
        raise InvalidField(f"{_path(place)}: an integer outside 64 bits")


def _check_text(text: str, place: Place | None) -> None:
    if "\x00" in text:
        raise InvalidField(f"{_path(place)}: holds U+0000")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidField(f"{_path(place)}: holds a lone surrogate") from None


def _path(place: Place | None) -> str:
    steps = []
    while place is not None:
        place, key = place
        steps.append(f"[{key}]" if isinstance(key, int) else f".{_printable(str(key))}")
    return "$" + "".join(reversed(steps))


def _printable(key: str) -> str:
    return key.encode("ascii", "backslashreplace").decode("ascii")[:64]
