"""The interface as OpenAPI 3.1, made from the table of Operations and the message types."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import msgspec

from acsmpd import faults
from acsmpd.api.schemas import Json, Schemas, either, form_of, inline, schemas_of
from acsmpd.decide.results import PICTURE_TYPES
from acsmpd.spec.message import Envelope
from acsmpd.spec.messages.extensions import Binary, Document
from acsmpd.spec.messages.rollouts import MemberStatus
from acsmpd.spec.operation import MIB, Access, Face, Operation
from acsmpd.spec.scalars import Code20, ComputilityType, Positive
from acsmpd.spec.tables import OPERATIONS
from acsmpd.version import VERSION

JSON = "application/json"
FORM = "multipart/form-data"
_FILE: Json = {"type": "string", "format": "binary"}
_SIGNED_IN: list[Json] = [{"bearer": []}, {"token": []}]
_NO_TOKEN = (Access.OPEN, Access.CREDENTIALS, Access.LINK, Access.RESULT)

_INFO: Json = {
    "title": "acsmpd",
    "version": VERSION,
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    "description": "Algorithm and computility service management platform (T/BAX 0006.5), and the faces of "
    "T/BAX 0006.4 it shows to a platform above. Every answer is an envelope of Code, Message and Data; the "
    "HTTP status of a failure is its Code divided by 100. On /CAD and /CAP business faults are HTTP 200 "
    "unless facade.always_200 is off; with api.always_200 every answer under /ACSMP is HTTP 200. An absent "
    "member and one that is null mean the same; unknown members are ignored; the standard's misprinted names "
    "are read too. Operations marked x-planned answer 501 with Code 50100. x-access names who may call.",
}
_SCHEMES: Json = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A session, an API key or a device's token.",
    },
    "token": {
        "type": "apiKey",
        "in": "header",
        "name": "Token",
        "description": "The same, in a header Token.",
    },
}
_REQUEST_ID: Json = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Comes back as the answer's RequestID; any other value is replaced by a fresh one.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
}
_QUERY: dict[str, Json] = {
    "Wait": {
        "description": "Seconds the answer is held until the wish is reached or has failed.",
        "schema": {"type": "number", "minimum": 0, "maximum": 30, "default": 0},
    },
    "Force": {
        "description": "Do it in spite of what is in the way, as described above.",
        "schema": {"type": "boolean", "default": False},
    },
    "Apply": {"description": "Change what is running at once.", "schema": {"enum": ["now"]}},
}
# Table 43 takes the filters of table 44 flat.
_FILTERS: dict[str, dict[str, Any]] = {
    "acsmp.get_computility": {
        "ComputilityCode": Code20,
        "Type": ComputilityType,
        "PageNumber": Positive,
        "PageSize": Positive,
    },
    "acsmp.get_rollout": {"Status": MemberStatus, "PageNumber": Positive, "PageSize": Positive},
}
# What a form with a file must hold, and what the same request must hold as JSON.
_FORMS: dict[str, Json] = {
    "acsmp.import_algo_file_package": {"oneOf": [{"required": ["File"]}, {"required": ["Url"]}]},
    "acsmp.import_license": {"required": ["File"]},
}
_WITHOUT_FILE: dict[str, Json] = {
    "acsmp.import_algo_file_package": {
        "required": ["Url"],
        "properties": {"Url": {"type": "string"}},
        "not": {"required": ["File"]},
    },
}
# What a row that answers a file answers it as.
_MEDIA: dict[str, tuple[str, ...]] = {
    "acsmp.download_package": ("application/x-tar",),
    "acsmp.get_result_image": PICTURE_TYPES,
    "acsmp.download_picture": PICTURE_TYPES,
    "acsmp.download_program": ("application/octet-stream",),
    "acsmp.download_license": ("application/octet-stream",),
}
_NO_SPACE = "Code 50701: no space left in the data directory."
_NO_IMAGES = "Code 50101: the package is an image; this box runs artifact packages only."
# Failures on the side of the server that say something of the request or of others, beside 50000.
_SERVER_FAILURES: dict[str, dict[str, str]] = {
    "acsmp.import_algo_file_package": {
        "502": "Code 50201: the host of Url refused.",
        "504": "Code 50401: the host of Url did not answer, or it goes on; Message names where to look.",
    },
    "acsmp.get_auth_quota": {
        "502": "Code 50201: what the authorisation server answered is no quota, and it never answered before.",
        "504": "Code 50401: the authorisation server does not answer, and never did.",
        "507": _NO_SPACE,
    },
    "acsmp.install_algo_service": {"501": _NO_IMAGES},
    "acsmp.update_algo_service": {"501": _NO_IMAGES},
    "acsmp.create_rollout": {"501": _NO_IMAGES},
    "cad.install_algo_package": {"501": _NO_IMAGES},
    "cad.create_algo_task": {"501": _NO_IMAGES},
}
# The form boxes of one lineage send results in: an event as JSON, and its pictures.
_ALARM_FORM: Json = {
    "schema": {
        "type": "object",
        "required": ["alarm_info"],
        "properties": {
            "alarm_info": {
                "type": "object",
                "properties": {
                    "additional": {"type": "object", "additionalProperties": True},
                    "full_images": {"type": "array"},
                    "warehouseV20Events": {"type": "object", "additionalProperties": True},
                },
                "additionalProperties": True,
            }
        },
        "additionalProperties": {**_FILE, "description": "A picture."},
    },
    "encoding": {"alarm_info": {"contentType": JSON}},
}


class _Entry(NamedTuple):
    """One address of a row: the printed one (alias 0) or a further one."""

    row: Operation
    method: str
    uri: str
    alias: int


@cache
def document() -> bytes:
    """The OpenAPI 3.1 document of every served row, as JSON."""
    rows = [row for row in OPERATIONS if row.served]
    schemas = schemas_of(rows)
    parts = {
        "openapi": "3.1.0",
        "info": _INFO,
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(map(_tag, rows))],
        "security": _SIGNED_IN,
        "paths": _paths(rows, schemas),
        "components": {
            "schemas": schemas.components,
            "responses": _failures(rows, schemas),
            "parameters": {"RequestID": _REQUEST_ID},
            "securitySchemes": _SCHEMES,
        },
    }
    return msgspec.json.encode(parts)


def missing() -> list[Operation]:
    """The served rows that answer 501 / 50100: named, not there yet."""
    return [row for row in OPERATIONS if row.planned]


def fault_table() -> list[tuple[int, str]]:
    """(Code, title) of every fault an answer may hold, ascending."""
    return faults.catalogue()


def _paths(rows: list[Operation], schemas: Schemas) -> Json:
    paths: dict[str, dict[str, list[_Entry]]] = {}
    for row in rows:
        for at, (method, uri) in enumerate(((row.method, row.uri), *row.aliases)):
            template = re.sub(r"<(\w+)>", r"{\1}", uri)
            paths.setdefault(template, {}).setdefault(method, []).append(_Entry(row, method, uri, at))
    return {template: _path_item(methods, schemas) for template, methods in paths.items()}


def _path_item(methods: dict[str, list[_Entry]], schemas: Schemas) -> Json:
    item = {method.lower(): _operation(entries, schemas) for method, entries in methods.items()}
    plain = any(entry.row.face is Face.PLAIN for entries in methods.values() for entry in entries)
    return item if plain else {"parameters": [{"$ref": "#/components/parameters/RequestID"}], **item}


def _operation(entries: list[_Entry], schemas: Schemas) -> Json:
    """One method of one address: a row, or the rows that share it."""
    rows = [entry.row for entry in entries]
    first = entries[0]
    described = {
        "operationId": f"{first.row.id}.alias{first.alias}" if first.alias else first.row.id,
        "summary": " / ".join(row.summary for row in rows),
        "description": _description(rows),
        "tags": [_tag(first.row)],
        **_marks(rows),
        "x-alias-of": first.row.id if first.alias else None,
        "x-rows": [{"id": row.id, **_marks([row])} for row in rows] if len(rows) > 1 else None,
        "security": _security(first.row),
        "parameters": [*_path_parameters(first), *_query_parameters(rows)] or None,
        "requestBody": _request_body(rows, schemas) if first.method != "GET" else None,
        "responses": _responses(rows, schemas),
    }
    empty: tuple[Any, ...] = (None, "")
    return {name: value for name, value in described.items() if value not in empty}


def _description(rows: list[Operation]) -> str:
    if len(rows) == 1:
        return rows[0].note
    told = [f"{row.id} when the body {_when(row)}. {row.note}".strip() for row in rows]
    return "\n\n".join([f"{len(rows)} rows share this method and address.", *told])


def _when(row: Operation) -> str:
    if row.when_body_has is not None:
        name, present = row.when_body_has
        return f"{'has' if present else 'does not have'} a member {name}"
    return f"is {row.when_content_type or 'anything else'}"


def _tag(row: Operation) -> str:
    """The face and the subject, which is the first segment that names one."""
    subject = next(part for part in row.uri.split("/")[1:] if part not in (row.face.value, "Machine"))
    return f"{row.face.value} {subject.partition(':')[0]}" if row.face is not Face.PLAIN else row.face.value


def _marks(rows: list[Operation]) -> Json:
    row = rows[0]
    marks: Json = {"x-table": row.table} if row.table is not None else {}
    marks["x-access"] = row.access.value
    if all(row.planned for row in rows):
        marks["x-planned"] = True
    if row.extension:
        marks["x-extension"] = True
    return marks


def _security(row: Operation) -> list[Json] | None:
    """None: what stands for the whole document."""
    if row.access in _NO_TOKEN:
        return []
    return [{}, *_SIGNED_IN] if row.access is Access.KEEPALIVE else None


def _path_parameters(entry: _Entry) -> Iterable[Json]:
    for name in re.findall(r"<(\w+)>", entry.uri):
        yield {"name": name, "in": "path", "required": True, "schema": inline(entry.row.path[name])}


def _query_parameters(rows: list[Operation]) -> Iterable[Json]:
    for name, rest in _QUERY.items():
        if any(f"?{name}=" in row.note or (name == "Wait" and row.wait) for row in rows):
            yield {"name": name, "in": "query", **rest}
    for row in rows:
        for name, kind in _FILTERS.get(row.id, {}).items():
            yield {"name": name, "in": "query", "schema": inline(kind)}


def _request_body(rows: list[Operation], schemas: Schemas) -> Json | None:
    media: dict[str, list[Json]] = {}
    for row in rows:
        if row.request is not None:
            for name, body in _bodies(row, row.request, schemas, shared=len(rows) > 1):
                media.setdefault(name, []).append(body)
    if not media:
        return None
    content = {
        name: bodies[0] if len(bodies) == 1 else {"schema": {"oneOf": [body["schema"] for body in bodies]}}
        for name, bodies in media.items()
    }
    return {"required": all(_needs_body(row, schemas) for row in rows), "content": content}


def _needs_body(row: Operation, schemas: Schemas) -> bool:
    """Whether an empty body, which is read as an empty object, is refused."""
    if row.request is None:
        return False
    return row.id in _FORMS or bool(schemas.component(row.request)["required"])


def _bodies(row: Operation, kind: type, schemas: Schemas, *, shared: bool) -> Iterable[tuple[str, Json]]:
    """(media type, media type object) of every form a row reads its request in."""
    ref = schemas.ref(kind)
    if row.id in _FORMS:
        yield FORM, {"schema": {**schemas.form(kind), **_FORMS[row.id]}}
        if row.id in _WITHOUT_FILE:
            yield JSON, {"schema": {"allOf": [ref, _WITHOUT_FILE[row.id]]}}
        return
    if shared and row.when_body_has is not None:
        name, present = row.when_body_has
        has: Json = {"required": [name]}
        ref = {"allOf": [ref, has if present else {"not": has}]}
    yield JSON, {"schema": ref}
    if row.id == "acsmp.receive_result":
        yield FORM, _ALARM_FORM


def _responses(rows: list[Operation], schemas: Schemas) -> Json:
    form = form_of(rows[0])
    content = _answers(rows, schemas)
    responses: Json = {"200": {"description": _success(rows[0]), "content": content}}
    if any(row.response is Binary for row in rows):
        responses["206"] = {"description": "The range that was asked for.", "content": content}
    for status, told in _server_failures(rows).items():
        responses[status] = {"$ref": f"#/components/responses/Failure{form}", "description": told}
    if any(row.planned for row in rows):
        responses["501"] = {"$ref": f"#/components/responses/Planned{form}"}
    if rows[0].id == "plain.readyz":
        responses["503"] = {"description": "Something is not well; Faults names it.", "content": content}
    responses["default"] = {"$ref": f"#/components/responses/Failure{form}"}
    return responses


def _server_failures(rows: list[Operation]) -> dict[str, str]:
    """Status and meaning of what these rows answer beside a general failure; who writes needs room."""
    found = {status: told for row in rows for status, told in _SERVER_FAILURES.get(row.id, {}).items()}
    if any(not row.planned and (row.audit == "always" or row.body_cap > MIB) for row in rows):
        found["507"] = _NO_SPACE
    return found


def _success(row: Operation) -> str:
    if not issubclass(row.response, Envelope):
        return "A file." if row.response is Binary else "A document of its own, without an envelope."
    return "Code 0, or a business fault." if row.face in (Face.CAD, Face.CAP) else "Code 0."


def _answers(rows: list[Operation], schemas: Schemas) -> Json:
    """The content of a 200. On /CAD and /CAP a business fault is one too, unless a setting says otherwise."""
    if rows[0].response is Binary:
        return {media: {"schema": _FILE} for media in _MEDIA[rows[0].id]}
    found = [_answer(row, schemas) for row in rows]
    found += [schemas.failure(row) for row in rows if row.face in (Face.CAD, Face.CAP)]
    return {JSON: {"schema": either(found)}}


def _answer(row: Operation, schemas: Schemas) -> Json:
    if row.response is Document:
        return {"type": "object", "additionalProperties": True}
    return schemas.answer(row) if issubclass(row.response, Envelope) else schemas.ref(row.response)


def _failures(rows: list[Operation], schemas: Schemas) -> Json:
    """The failure, and the answer of planned rows, in every form an envelope has."""
    responses: Json = {}
    for row in {form_of(row): row for row in rows}.values():
        form, ref = form_of(row), schemas.failure(row)
        planned = faults.Planned.code
        code = str(planned) if row.code_as_string else planned
        only = {"allOf": [ref, {"properties": {"Code": {"const": code}}}]}
        responses[f"Failure{form}"] = {
            "description": "Any failure: its HTTP status is Code divided by 100.",
            "headers": {"Retry-After": {"description": "Seconds, with some.", "schema": {"type": "integer"}}},
            "content": {JSON: {"schema": ref}},
        }
        if any(row.planned and form_of(row) == form for row in rows):
            responses[f"Planned{form}"] = {
                "description": f"Planned, not served yet: Code {planned}.",
                "content": {JSON: {"schema": only}},
            }
    return responses
