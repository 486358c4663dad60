"""The message types as JSON Schema 2020-12 components, as they are read and as they are written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from acsmpd import faults
from acsmpd.spec.aliases import CASELESS, VALUES
from acsmpd.spec.message import Envelope
from acsmpd.spec.messages import cap
from acsmpd.spec.messages.extensions import Binary, Document
from acsmpd.spec.messages.instances import AlgoTaskInfo, RulesParams, StreamOptions
from acsmpd.spec.operation import Operation
from acsmpd.spec.scalars import MultipartFile

Json = dict[str, Any]

_AT = "#/components/schemas/"
_ROOMS = {"cad": "Cad", "cap": "Cap", "ccp": "Ccp"}
_FREE: Json = {"type": "object", "additionalProperties": True}
_ENV_MAP: Json = {"type": "object", "additionalProperties": {"type": "string"}}
# Members kept verbatim, and what check_task_info wants of them.
_CHECKED: dict[str, type] = {"RulesParams": RulesParams, "StreamOptions": StreamOptions}


class Schemas(NamedTuple):
    """Every component by its name, and the name of every message type."""

    components: dict[str, Json]
    names: dict[type, str]

    def ref(self, kind: type) -> Json:
        return {"$ref": _AT + self.names[kind]}

    def component(self, kind: type) -> Json:
        return self.components[self.names[kind]]

    def form(self, kind: type) -> Json:
        """The message as a form, whose fields are there or not and never null."""
        component = self.component(kind)
        return {**component, "properties": {name: _set(it) for name, it in component["properties"].items()}}

    def answer(self, row: Operation) -> Json:
        """The envelope of success of a row."""
        return {"$ref": f"{_AT}{self.names[row.response]}{form_of(row)}"}

    def failure(self, row: Operation) -> Json:
        """The envelope of failure in the form this row answers in."""
        return {"$ref": f"{_AT}Failure{form_of(row)}"}


def schemas_of(rows: list[Operation]) -> Schemas:
    """The components of these rows' requests and answers."""
    kinds = list(dict.fromkeys([*_kinds(rows), *_CHECKED.values(), AlgoTaskInfo, cap.EnvItem]))
    refs, raw = msgspec.json.schema_components(kinds, schema_hook=_hook, ref_template=_AT + "{name}")
    short = {name: _short(name) for name in raw}
    if twice := sorted(name for name, count in Counter(short.values()).items() if count > 1):
        raise ValueError(f"cannot describe the interface: several messages are called {', '.join(twice)}")
    names = {kind: short[ref["$ref"].removeprefix(_AT)] for kind, ref in zip(kinds, refs, strict=True)}
    found = {short[name]: _tidy(schema, short) for name, schema in raw.items()}
    return Schemas(_finished(rows, found, names), names)


def inline(kind: Any) -> Json:
    """The schema of a scalar of a path or a query."""
    return _tidy(msgspec.json.schema(kind, schema_hook=_hook), {})


def either(schemas: list[Json]) -> Json:
    """Any of these; the schema itself when there is but one."""
    distinct = [schema for at, schema in enumerate(schemas) if schema not in schemas[:at]]
    return distinct[0] if len(distinct) == 1 else {"anyOf": distinct}


def _set(member: Json) -> Json:
    return either([part for part in member.get("anyOf", [member]) if part != {"type": "null"}])


def form_of(row: Operation) -> str:
    """How an envelope of this row differs: Code as a string, or RequestID spelled otherwise."""
    spelled = "" if row.request_id_key == "RequestID" else row.request_id_key
    return ("CodeAsString" if row.code_as_string else "") + spelled


def _kinds(rows: list[Operation]) -> Iterable[type]:
    for row in rows:
        if row.request is not None:
            yield row.request
        if row.response not in (Binary, Document):
            yield row.response


def _hook(kind: type) -> Json:
    if kind is MultipartFile:
        return {"type": "string", "format": "binary", "description": "A file part of a form."}
    raise NotImplementedError  # msgspec refuses the type by name


def _short(name: str) -> str:
    """A message's own name; where two faces have a message of one name, that of Part 4 says whose it is."""
    room, _, own = name.rpartition(".")
    return _ROOMS.get(room.rpartition(".")[2], "") + own


def _tidy(schema: Json, short: dict[str, str]) -> Json:
    """The schema with our component names, without defaults of null, free objects said to be free."""
    tidy = {key: _within(value, short) for key, value in schema.items() if (key, value) != ("default", None)}
    if isinstance(ref := schema.get("$ref"), str):
        tidy["$ref"] = _AT + short[ref.removeprefix(_AT)]
    if isinstance(pattern := schema.get("pattern"), str):
        tidy["pattern"] = pattern.replace("$(?!\\n)", "$")  # a dollar of JSON Schema is the end already
    if schema.get("type") == "object" and not {"properties", "additionalProperties"} & schema.keys():
        tidy["additionalProperties"] = True
    return tidy


def _within(value: Any, short: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return _tidy(value, short)
    return [_within(item, short) for item in value] if isinstance(value, list) else value


def _finished(rows: list[Operation], found: dict[str, Json], names: dict[type, str]) -> dict[str, Json]:
    """Requests as tolerant as they are read, answers as the row writes them, and the failures."""
    envelopes = {name for kind, name in names.items() if issubclass(kind, Envelope)}
    components = {name: _checked(schema, names) for name, schema in found.items() if name not in envelopes}
    for name in {names[row.request]: None for row in rows if row.request is not None}:
        components[name] = _as_read(components[name], names)
    components[names[RulesParams]] = _named_event(components[names[RulesParams]])
    for row in rows:
        form = form_of(row)
        if issubclass(row.response, Envelope):
            components[names[row.response] + form] = _envelope(found[names[row.response]], row)
        components[f"Failure{form}"] = _failure(row)
    return components


def _checked(schema: Json, names: dict[type, str]) -> Json:
    """The free parts of a task with what is checked in them."""
    properties = dict(schema["properties"])
    for name, kind in _CHECKED.items():
        if name in properties:
            properties[name] = _put(properties[name], {"$ref": _AT + names[kind]})
    return {**schema, "properties": properties}


def _put(schema: Json, ref: Json) -> Json:
    """`ref` in the place of the free object; a list of them holds at least one."""
    if schema == _FREE:
        return ref
    if schema.get("type") == "array":
        return {**schema, "items": ref, "minItems": 1}
    return {"anyOf": [_put(part, ref) for part in schema["anyOf"]]} if "anyOf" in schema else schema


def _named_event(rule: Json) -> Json:
    """Every rule names an event."""
    event = rule["properties"]["EventID"]["anyOf"][0]
    return {**rule, "properties": {**rule["properties"], "EventID": event}, "required": ["EventID"]}


def _as_read(schema: Json, names: dict[type, str]) -> Json:
    """A request with what is also read: a misprinted value, one task alone, an environment as a map."""
    instead = {
        _AT + names[AlgoTaskInfo]: {"$ref": _AT + names[AlgoTaskInfo]},
        _AT + names[cap.EnvItem]: _ENV_MAP,
    }
    properties = {name: either(_readings(member, instead)) for name, member in schema["properties"].items()}
    return {**schema, "properties": properties}


def _readings(member: Json, instead: dict[str, Json]) -> list[Json]:
    if "anyOf" in member:
        return [reading for part in member["anyOf"] for reading in _readings(part, instead)]
    listed = instead.get(member.get("items", {}).get("$ref", ""))
    if listed is not None:
        return [member, listed]
    values = _misprints(member.get("enum", []))
    return [member, {"enum": values, "deprecated": True}] if values else [member]


def _misprints(choices: list[Any]) -> list[str]:
    """The further spellings of an enumeration's values that are read."""
    found = [wrong for wrong, right in VALUES.items() if right in choices]
    if frozenset(choices) in CASELESS:
        found += [
            spelled for choice in choices for spelled in (choice.lower(), choice.capitalize(), choice.upper())
        ]
    return [value for value in dict.fromkeys(found) if value not in choices]


def _envelope(schema: Json, row: Operation) -> Json:
    """An answer of success as this row writes it: Code 0, RequestID always there."""
    properties = {name: value for name, value in schema["properties"].items() if name != "RequestID"}
    code: Json = {"type": "string", "const": "0"} if row.code_as_string else {"type": "integer", "const": 0}
    return {
        **schema,
        "properties": {**properties, "Code": code, row.request_id_key: {"type": "string"}},
        "required": [*schema["required"], row.request_id_key],
    }


def _failure(row: Operation) -> Json:
    """The envelope of a failure: its Code is one of the list, Data is left out."""
    table = faults.catalogue()
    codes: list[Any] = [str(code) if row.code_as_string else code for code, _title in table]
    return {
        "title": "Failure",
        "description": "What went wrong; Message is a sentence for people.",
        "type": "object",
        "properties": {
            "Code": {
                "type": "string" if row.code_as_string else "integer",
                "enum": codes,
                "description": "; ".join(f"{code} {title}" for code, title in table),
            },
            "Message": {"type": "string", "maxLength": 1024},
            row.request_id_key: {"type": "string"},
        },
        "required": ["Code", "Message", row.request_id_key],
    }
