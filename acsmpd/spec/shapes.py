"""What a type of ours expects of a JSON value, worked out once per type.

Reading needs to know three things msgspec keeps to itself: which member of an object is which struct
(to fold names and count unknown members), how to relax a scalar, and how to say what is allowed.
"""

from __future__ import annotations

import types
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from acsmpd.spec.scalars import Trend

_PLAIN = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}
_WORDS = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
}
_WORDS |= {"object": "an object", "null": "null", "dict": "an object", "list": "a list"}


class Shape(NamedTuple):
    """`struct` for an object of ours, `items` for a list, `scalars` for the rest; a union may have several."""

    struct: type[msgspec.Struct] | None = None
    items: Shape | None = None
    scalars: tuple[type, ...] = ()
    choices: tuple[Any, ...] = ()
    trend: bool = False
    anything: bool = False
    allowed: str = ""


class Member(NamedTuple):
    """One member of an object: its Python name and what it expects."""

    name: str
    shape: Shape
    required: bool


@cache
def members(kind: type[msgspec.Struct]) -> dict[str, Member]:
    """The members of a message by their printed names."""
    return {
        field.encode_name: Member(field.name, shape_of(field.type), field.required)
        for field in msgspec.structs.fields(kind)
    }


def shape_of(kind: Any) -> Shape:
    """The shape of an annotation. `| None` makes no difference: absent and null mean the same."""
    if kind == Trend:
        return Shape(trend=True, allowed='a list of {"<milliseconds>": value}')
    origin = get_origin(kind)
    if origin is Annotated:
        return _annotated(kind)
    if origin is Literal:
        return _choices(get_args(kind))
    if origin is list:
        return Shape(items=shape_of(get_args(kind)[0]), allowed="a list")
    if origin in (Union, types.UnionType):
        return _union([shape_of(part) for part in get_args(kind) if part is not type(None)])
    return _simple(kind, origin)


def _simple(kind: Any, origin: Any) -> Shape:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return Shape(struct=kind, allowed="an object")
    if kind in _PLAIN:
        return Shape(scalars=(kind,), allowed=_PLAIN[kind])
    if kind is Any:
        return Shape(anything=True)
    if origin is dict:
        return Shape(scalars=(dict,), allowed="an object")
    return Shape(allowed="a file part of a form")


def _annotated(kind: Any) -> Shape:
    shape = shape_of(get_args(kind)[0])
    metas = [extra for extra in get_args(kind)[1:] if isinstance(extra, Meta)]
    for meta in metas:
        if meta.description:
            return shape._replace(allowed=meta.description)
        if meta.max_length is not None:
            return shape._replace(allowed=f"a string of at most {meta.max_length} characters")
    return shape


def _choices(values: tuple[Any, ...]) -> Shape:
    return Shape(
        scalars=(type(values[0]),),
        choices=values,
        allowed=f"one of {', '.join(str(value) for value in values)}",
    )


def _union(parts: list[Shape]) -> Shape:
    if len(parts) == 1:
        return parts[0]
    return Shape(
        struct=next((part.struct for part in parts if part.struct), None),
        items=next((part.items for part in parts if part.items), None),
        scalars=tuple(kind for part in parts for kind in part.scalars),
        allowed=" or ".join(dict.fromkeys(part.allowed for part in parts)),
    )


def at_path(kind: type[msgspec.Struct], path: str) -> Shape | None:
    """The shape of the place a msgspec path names ("$.AlgoTaskInfos[0].Status"), None inside free objects."""
    shape: Shape | None = Shape(struct=kind, allowed="an object")
    for part in path.replace("[", ".[").split(".")[1:]:
        if shape is None:
            return None
        shape = shape.items if part.startswith("[") else _step(shape, part)
    return shape


def _step(shape: Shape, name: str) -> Shape | None:
    if shape.struct is None:
        return None
    member = members(shape.struct).get(name)
    return member.shape if member else None


def word(kind_name: str) -> str:
    """How a message calls a JSON type: `str` -> "a string"."""
    return _WORDS.get(kind_name, kind_name)
