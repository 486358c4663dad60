"""Checks a value against a message and says what is wrong in words an integrator can act on."""

from __future__ import annotations

import re
from typing import Any, NoReturn, TypeVar

import msgspec

from acsmpd.faults import InvalidField, MissingField
from acsmpd.spec import shapes

T = TypeVar("T", bound=msgspec.Struct)

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?(?P<path>\$[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"^Object missing required field `(?P<name>[^`]+)`$")
_TYPE = re.compile(r"^Expected `[^`]+`, got `(?P<got>[^`]+)`$")
_LENGTH = re.compile(r"^Expected `(?:str|array)` of length (?P<sign><=|>=) (?P<limit>\d+)$")
_RANGE = re.compile(r"^Expected `(?:int|float)` (?P<sign><=|>=) (?P<limit>-?[\d.]+)$")


def convert(value: Any, kind: type[T], *, strict: bool = True, at: str = "$") -> T:
    """`value` as a message of `kind`; `at` is the path of the value itself."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as fault:
        _refuse(kind, str(fault), at)


def _refuse(kind: type[msgspec.Struct], text: str, at: str) -> NoReturn:
    """Say the fault msgspec found in our words, with the path in printed names."""
    found = _AT.match(text)
    what, path = (found["what"], found["path"] or "$") if found else (text, "$")
    shown = at + path[1:]
    missing = _MISSING.match(what)
    if missing:
        raise MissingField(f"{shown}.{missing['name']}: required")
    raise InvalidField(f"{shown}: {_sentence(what, shapes.at_path(kind, path))}")


def _sentence(what: str, shape: shapes.Shape | None) -> str:
    allowed = shape.allowed if shape and shape.allowed else ""
    if length := _LENGTH.match(what):
        word = "longer" if length["sign"] == "<=" else "shorter"
        return f"{word} than {length['limit']} characters"
    if limit := _RANGE.match(what):
        return f"{'greater' if limit['sign'] == '<=' else 'less'} than {limit['limit']}"
    if (wrong := _TYPE.match(what)) and allowed:
        return f"must be {allowed}, not {shapes.word(wrong['got'])}"
    return f"must be {allowed}" if allowed else what
