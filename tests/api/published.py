"""The OpenAPI document as tests look at it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

from acsmpd.api import openapi
from acsmpd.spec.tables import BY_ID, OPERATIONS

Json = dict[str, Any]

DOCUMENT: Json = json.loads(openapi.document())
SERVED = [row for row in OPERATIONS if row.served]
REF = re.compile(r"#/components/(\w+)/([A-Za-z0-9.]+)")


def operations() -> Iterator[tuple[str, str, Json]]:
    """(path, method, operation) of the whole document."""
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def operation_of(row_id: str) -> Json:
    """The operation a row is in, at its printed address."""
    row = BY_ID[row_id]
    found: Json = DOCUMENT["paths"][row.uri.replace("<", "{").replace(">", "}")][row.method.lower()]
    return found


def rows_of(operation: Json) -> list[str]:
    return [row["id"] for row in operation.get("x-rows", [{"id": operation["operationId"]}])]


def component(name: str) -> Json:
    found: Json = DOCUMENT["components"]["schemas"][name]
    return found


def validator(schema: Json) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]})


def body_of(row_id: str, media: str = "application/json") -> Draft202012Validator:
    return validator(operation_of(row_id)["requestBody"]["content"][media]["schema"])


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from [inner] if key == "$ref" else refs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from refs(inner)


def answer_of(row_id: str, status: str = "200") -> Draft202012Validator:
    response = operation_of(row_id)["responses"][status]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return validator(response["content"]["application/json"]["schema"])
