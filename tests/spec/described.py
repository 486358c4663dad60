"""Our messages and rows described in the words of the digest, so that the two can be compared."""

from __future__ import annotations

import json
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

import msgspec
from msgspec import Meta

from acsmpd.spec.messages import (
    authservers,
    cad,
    cap,
    capabilities,
    ccp,
    computility,
    instances,
    licenses,
    monitoring,
    packages,
    paging,
    plans,
    services,
)
from acsmpd.spec.scalars import DateTime, MultipartFile, Trend

FOLDER = Path(__file__).resolve().parent.parent / "contract"
SHARED = [instances, monitoring, paging, services]
ROOMS = {
    "part5-acsmp": [packages, capabilities, plans, authservers, licenses, computility, *SHARED],
    "part4-cad": [cad, *SHARED],
    "part4-cap": [cap, *SHARED],
    "part4-ccp": [ccp, *SHARED],
}
FACES = {"part5-acsmp": "acsmp", "part4-cad": "cad", "part4-cap": "cap", "part4-ccp": "ccp"}
# Two printed names that stand for two messages each.
RENAMED = {"AlgoFilePackage_Request": "AlgoFilePackageForm", "AlgoFilePackage_Item": "AlgoFilePackageItem"}
SAME = {"long": "int", "double": "float"}
ALIASES = {
    "part5-acsmp": {**SAME, "AlgoServiceSearchRecord": "AlgoService"},
    "part4-cad": {**SAME, "DeviceAlgoPackage": "MachineAlgoPackage"},
}

_PLAIN = {
    str: "string",
    int: "int",
    float: "float",
    bool: "boolean",
    Any: "any",
    MultipartFile: "MultipartFile",
}


class Difference(NamedTuple):
    """One place where we are not what is printed."""

    part: str
    schema: str
    field: str
    what: str
    printed: Any
    ours: Any


class Described(NamedTuple):
    """An annotation in the digest's words."""

    type: str
    length: int | None = None
    enum: tuple[Any, ...] | None = None


def load(part: str) -> Any:
    return json.loads((FOLDER / f"{part}.json").read_text(encoding="utf-8"))


def struct_of(part: str, name: str) -> type[msgspec.Struct]:
    """Our struct of a printed schema; AttributeError when there is none."""
    name = RENAMED.get(name, name)
    for room in ROOMS[part]:
        found = getattr(room, name, None)
        if found is not None:
            return found  # type: ignore[no-any-return]
    raise AttributeError(f"{part}: no struct for {name}")


def describe(kind: Any) -> Described:
    if kind == DateTime:
        return Described("dateTime", 23)
    if kind == Trend:
        return Described("List<Map<long,double>>")
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        inner = describe(arguments[0])
        lengths = [it.max_length for it in arguments[1:] if isinstance(it, Meta) and it.max_length]
        return inner._replace(length=lengths[0]) if lengths else inner
    if origin is Literal:
        return Described(_PLAIN[type(arguments[0])], None, arguments)
    if origin is list:
        inner = describe(arguments[0])
        return Described(f"{inner.type}[]", None, inner.enum)
    if origin is dict:
        return Described("Map<string,string>" if arguments == (str, str) else "object")
    if origin in (Union, types.UnionType):
        parts = [describe(it) for it in arguments if it is not type(None)]
        lengths = [it.length for it in parts if it.length]
        enum = parts[0].enum if len(parts) == 1 else None
        return Described("|".join(it.type for it in parts), max(lengths, default=None), enum)
    return Described(_PLAIN.get(kind) or kind.__name__)


def differences(part: str) -> Iterator[Difference]:
    """Every difference between the digest of a part and our structs."""
    for name, schema in load(part)["schemas"].items():
        if "alias_of" in schema and not schema["fields"]:
            continue
        ours = {it.encode_name: it for it in msgspec.structs.fields(struct_of(part, name))}
        for row in schema["fields"]:
            field = ours.pop(row["name"], None)
            if field is None:
                yield Difference(part, name, row["name"], "missing", row["name"], None)
            else:
                yield from _compare(part, name, row, field)
        for extra in ours:
            yield Difference(part, name, extra, "extra", None, extra)


def _compare(part: str, name: str, row: dict[str, Any], field: Any) -> Iterator[Difference]:
    ours = describe(field.type)
    # A string with an enumeration is bound by it; a printed length on any other type means nothing.
    texts = {row["type"], *ours.type.split("|")} & {"string", "dateTime"}
    measured = bool(texts) and not ours.enum and not {"int", "boolean"} & {ours.type}
    enum = sorted(map(str, row["enum"])) if row["enum"] else None
    pairs = {
        "type": (_printed_type(part, row["type"]), ours.type),
        "length": (row["length"], ours.length) if measured else (None, None),
        "required": (row["required"] == "R", field.required),
        "enum": (enum, sorted(map(str, ours.enum)) if ours.enum else None),
    }
    for what, (printed, mine) in pairs.items():
        if printed != mine:
            yield Difference(part, name, row["name"], what, printed, mine)


def _printed_type(part: str, text: str) -> str:
    core = text.removesuffix("[]")
    core = RENAMED.get(core, ALIASES.get(part, SAME).get(core, core))
    return core + ("[]" if text.endswith("[]") else "")
