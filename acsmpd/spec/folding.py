"""Folds what a peer may lawfully write in several ways into the one form our structs have."""

from __future__ import annotations

from typing import Any

import msgspec

from acsmpd.faults import InvalidField, MalformedJson
from acsmpd.spec.aliases import CASELESS, LABELS, NAMES, SCOPED, VALUES
from acsmpd.spec.json_text import decode
from acsmpd.spec.messages import cap
from acsmpd.spec.messages.instances import AlgoTaskInfo, InstanceExtras
from acsmpd.spec.shapes import Member, Shape, members

Members = dict[str, Member]

_PAGING = ("PageRequest", "PAgeRequest")
_FLAT = ("PageNumber", "PageSize")


def fold(value: Any, kind: type[msgspec.Struct]) -> tuple[Any, int]:
    """The value with our names and forms, null members dropped; and how many members nobody knows."""
    unknown: list[str] = []
    return _fold(value, Shape(struct=kind), unknown), len(unknown)


def _fold(value: Any, shape: Shape, unknown: list[str]) -> Any:
    if isinstance(value, dict) and shape.struct is not None:
        return _fold_object(value, shape.struct, unknown)
    if shape.items is not None:
        if isinstance(value, dict):
            value = _as_list(value, shape.items)
        if isinstance(value, list):
            listed = env_pairs(value) if shape.items.struct is cap.EnvItem else value
            return [_fold(item, shape.items, unknown) for item in listed]
    return fold_choice(value, shape)


def _as_list(value: dict[str, Any], items: Shape) -> Any:
    if items.struct is AlgoTaskInfo:
        return [value]  # tables C.1, C.4: printed as one object, meant as a list
    return env_pairs([value]) if items.struct is cap.EnvItem else value


def _fold_object(raw: dict[str, Any], kind: type[msgspec.Struct], unknown: list[str]) -> dict[str, Any]:
    known = members(kind)
    folded: dict[str, Any] = {}
    for key, value in unwrap(raw, kind, known).items():
        name = member_name(key, kind, known)
        if name is None:
            unknown.append(key)
        elif value is not None and (name == key or name not in folded):
            folded[name] = _fold(value, known[name].shape, unknown)
    return folded


def member_name(key: str, kind: type[msgspec.Struct], known: Members) -> str | None:
    """Which member a printed or misprinted name means; None when it is none of this message."""
    if key in known:
        return key
    key = key.strip()
    for name in (key, SCOPED.get(kind, {}).get(key, ""), *NAMES.get(key, ())):
        if name in known:
            return name
    return None


def unwrap(raw: dict[str, Any], kind: type[msgspec.Struct], known: Members) -> dict[str, Any]:
    """A wrapped task info as a bare one, and the paging form this message has."""
    if issubclass(kind, InstanceExtras):
        raw = _bare_task(raw, "TaskInfo" in known)
    return _one_paging(raw, known)


def _bare_task(raw: dict[str, Any], keep: bool) -> dict[str, Any]:
    """Members beside TaskInfo win over those in it: Status belongs outside (Part 4 D.4)."""
    inner = raw.get("TaskInfo")
    if isinstance(inner, dict):
        outer = raw if keep else {key: value for key, value in raw.items() if key != "TaskInfo"}
        raw = {**inner, **outer}
    labels = raw.get("Labels")
    if isinstance(labels, dict) and any(wrong in labels for wrong in LABELS):
        raw = {**raw, "Labels": {LABELS.get(key, key): value for key, value in labels.items()}}
    return raw


def _one_paging(raw: dict[str, Any], known: Members) -> dict[str, Any]:
    """Flat paging where the message nests it, nested where it is flat (D-21): both are read."""
    if _FLAT[0] in known:
        nested = next((raw[name] for name in _PAGING if isinstance(raw.get(name), dict)), None)
        if nested is not None:
            given = {name: nested[name] for name in _FLAT if name in nested}
            raw = {**given, **{key: value for key, value in raw.items() if key not in _PAGING}}
        return raw
    target = next((name for name in _PAGING if name in known), None)
    if target and any(name in raw for name in _FLAT):
        given = {name: raw[name] for name in _FLAT if name in raw}
        rest = {key: value for key, value in raw.items() if key not in _FLAT}
        if not any(name in rest for name in _PAGING):
            rest[target] = given
        return rest
    return raw


def env_pairs(items: list[Any]) -> list[Any]:
    """[{k: v}] as [{Name: k, Value: v}] (X-CAP-ENV); an element of exactly Name and Value is a pair."""
    pairs: list[Any] = []
    for item in items:
        if isinstance(item, dict) and set(item) != {"Name", "Value"}:
            pairs.extend({"Name": key, "Value": value} for key, value in item.items())
        else:
            pairs.append(item)
    return pairs


def fold_choice(value: Any, shape: Shape) -> Any:
    """A misprinted value of an enumeration as the right one, anything else unchanged."""
    if not isinstance(value, str) or value in shape.choices:
        return value
    if frozenset(shape.choices) in CASELESS:
        return next((choice for choice in shape.choices if choice.lower() == value.lower()), value)
    right = VALUES.get(value)
    return right if right in shape.choices else value


def unpack_form(values: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The texts of a form as values: a member that is an object or a list is JSON, maybe in several parts."""
    known = members(kind)
    unpacked = dict(values)
    for name, member in known.items():
        if name in values and (member.shape.struct or member.shape.items):
            unpacked[name] = _unpack(values[name], name, listed=member.shape.items is not None)
    return unpacked


def _unpack(value: Any, name: str, *, listed: bool) -> Any:
    parts = value if isinstance(value, list) else [value]
    read = [_json_part(part, name) for part in parts]
    flat = [item for part in read for item in (part if isinstance(part, list) else [part])]
    return flat if listed else read[-1] if read else None


def _json_part(part: Any, name: str) -> Any:
    if not isinstance(part, str):
        return part
    try:
        return decode(part.encode("utf-8", "surrogatepass"))
    except MalformedJson as fault:
        raise InvalidField(f"$.{name}: {fault.message}") from None
