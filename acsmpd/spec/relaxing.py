"""Reads what devices answer: nothing is enforced but the shape.

A scalar that cannot be read counts as missing; an object or a list where the other is meant is folded
as far as the print shows it, else it is a fault.
"""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec

from acsmpd.faults import InvalidField
from acsmpd.spec.aliases import NUMBERS, VALUES
from acsmpd.spec.folding import Members, env_pairs, member_name, unwrap
from acsmpd.spec.message import Envelope
from acsmpd.spec.shapes import Shape, members

T = TypeVar("T", bound=msgspec.Struct)

_PAGES = ("Records", "PageContent")
_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no")


def relax(value: Any, kind: type[T]) -> T:
    """`value` as a message of `kind`; members that are missing are None, required or not."""
    if not isinstance(value, dict):
        raise InvalidField(f"$: must be an object, not {_called(value)}")
    return _object(_without_data(value) if issubclass(kind, Envelope) else value, kind, "$")


def _without_data(answer: dict[str, Any]) -> dict[str, Any]:
    """A failure without its Data, whose shape must not hide the Code and the Message."""
    codes = [_integer(value) for key, value in answer.items() if _plain(str(key)) == "code"]
    if not any(codes):
        return answer  # success, or no Code that could be read
    return {key: value for key, value in answer.items() if _plain(str(key)) != "data"}


def _object(raw: dict[str, Any], kind: type[T], path: str) -> T:
    known = members(kind)
    given: dict[str, Any] = {}
    for key, value in unwrap(raw, kind, known).items():
        name = member_name(str(key), kind, known) or _loosely(str(key), known)
        if name is not None and value is not None and (name == key or name not in given):
            exact = name == "Code" and issubclass(kind, Envelope)
            read = _integer(value) if exact else _value(value, known[name].shape, f"{path}.{name}")
            given[name] = read
    return kind(**{member.name: given.get(name) for name, member in known.items()})


def _loosely(key: str, known: Members) -> str | None:
    """The member that is spelled like `key` but for case, underscores, hyphens and blanks."""
    plain = _plain(key)
    return next((name for name in known if _plain(name) == plain), None)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "").replace(" ", "")


def _value(value: Any, shape: Shape, path: str) -> Any:
    if shape.trend:
        return _trend(value)
    if shape.anything:
        return value
    if shape.struct is not None and not (shape.items and isinstance(value, list)):
        return _object(_as_object(value, shape.struct, path), shape.struct, path)
    if shape.items is not None and not (shape.scalars and not isinstance(value, list)):
        listed = enumerate(_as_list(value, shape.items, path))
        read = [_value(item, shape.items, f"{path}[{at}]") for at, item in listed]
        return [item for item in read if item is not None]
    return _scalar(value, shape)


def _as_object(value: Any, kind: type[msgspec.Struct], path: str) -> dict[str, Any]:
    """An object, also from a page given as a bare list or an id given as a bare text."""
    known = members(kind)
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        page = next((name for name in _PAGES if name in known), None)
        single = value[0] if len(value) == 1 and isinstance(value[0], dict) else None
        if single is not None and (page is None or any(name in single for name in _PAGES)):
            return single
        if page is not None:
            return {page: value}
    elif isinstance(value, str) and len(known) == 1:
        return {next(iter(known)): value}
    raise InvalidField(f"{path}: must be an object, not {_called(value)}")


def _as_list(value: Any, items: Shape, path: str) -> list[Any]:
    """A list, also from a page object, a map of names and values, or a single item."""
    paired = items.struct is not None and set(members(items.struct)) == {"Name", "Value"}
    if isinstance(value, dict):
        page = next((value[name] for name in _PAGES if isinstance(value.get(name), list)), None)
        value = page if page is not None else [value]
    elif items.struct is None and not isinstance(value, list):
        value = [value]
    if not isinstance(value, list):
        raise InvalidField(f"{path}: must be a list, not {_called(value)}")
    return env_pairs(value) if paired else [item for item in value if item is not None]


def _scalar(value: Any, shape: Shape) -> Any:
    if isinstance(value, dict) and dict not in shape.scalars and len(value) == 1:
        value = next(iter(value.values()))  # {AlgoServiceID: ...} where the bare id is meant
    if shape.choices:
        return _choice(value, shape)
    if type(value) in shape.scalars:
        return value
    return next((read for kind in shape.scalars if (read := _read_as(kind, value)) is not None), None)


def _choice(value: Any, shape: Shape) -> Any:
    """The value of the enumeration that is meant, else the text as given."""
    if int in shape.scalars:
        number = _integer(value)
        return number if number is not None else NUMBERS.get(str(value).upper())
    text = _text(value)
    if text is None or text in shape.choices:
        return text
    upper = VALUES.get(text.strip().upper(), text.strip().upper())
    like = next((choice for choice in shape.choices if choice.upper() == upper), None)
    return like or ("UNSPECIFIED" if "UNSPECIFIED" in shape.choices else text)


def _read_as(kind: type, value: Any) -> Any:
    if kind is int:
        return _whole(value)
    if kind is float:
        return _measure(value)
    if kind is bool:
        return _boolean(value)
    return _text(value) if kind is str else None


def _integer(value: Any) -> int | None:
    number = _number(value)
    if isinstance(value, str) and value.strip().lstrip("+-").isdecimal() and len(value) < 20:
        return int(value)  # exact, where a float would round
    return int(number) if number is not None and number.is_integer() and abs(number) < 2**63 else None


def _whole(value: Any) -> int | None:
    """An integer, also one measured more finely than printed; never a Code, where 0.3 is no success."""
    exact, number = _integer(value), _measure(value)
    return exact if exact is not None or number is None else _integer(float(round(number)))


def _measure(value: Any) -> float | None:
    """A number, also with the sign of a percentage: "23.3%" is 23.3."""
    return _number(value.strip().removesuffix("%") if isinstance(value, str) else value)


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _boolean(value: Any) -> bool | None:
    text = str(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _text(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    return str(value)


def _trend(value: Any) -> list[dict[str, float]]:
    """[{ms: value}] ascending, from one-key maps, pairs, or one map; what is neither is dropped (X-TREND)."""
    points: list[tuple[int, float]] = []
    for item in value if isinstance(value, list) else [value]:
        pairs = item.items() if isinstance(item, dict) else [item]
        for pair in pairs:
            if isinstance(pair, (list, tuple)) and len(pair) == 2:
                moment, number = _whole(pair[0]), _measure(pair[1])
                if moment is not None and number is not None:
                    points.append((moment, number))
    return [{str(moment): number} for moment, number in sorted(points)]


def _called(value: Any) -> str:
    for kind, name in (
        (str, "a string"),
        (bool, "true or false"),
        ((int, float), "a number"),
        (list, "a list"),
    ):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "an object"
