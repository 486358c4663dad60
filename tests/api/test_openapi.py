"""The OpenAPI document: valid, complete, and of one mind with what is read and written."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from acsmpd.api import openapi, schemas
from acsmpd.api.waiting import LONGEST_SECONDS
from acsmpd.spec.message import Message
from acsmpd.spec.messages import cad, packages
from acsmpd.spec.operation import Access, Operation
from acsmpd.spec.scalars import MultipartFile
from acsmpd.spec.tables import BY_ID, OPERATIONS
from tests.api.published import (
    DOCUMENT,
    REF,
    SERVED,
    Json,
    body_of,
    component,
    operation_of,
    operations,
    refs,
    rows_of,
    validator,
)

# --- the document ---------------------------------------------------------------------------------------


def test_the_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def test_a_fault_in_the_document_would_be_seen() -> None:
    parameters = operation_of("acsmp.get_task")["parameters"]
    get = {"parameters": parameters, "responses": {"200": {"description": "Code 0."}}}
    small = {"openapi": "3.1.0", "info": DOCUMENT["info"], "paths": {"/ACSMP/Tasks/{ID}": {"get": get}}}
    assert list(OpenAPIV31SpecValidator(small).iter_errors()) == []
    get["parameters"] = []
    assert list(OpenAPIV31SpecValidator(small).iter_errors()) != []


def test_every_component_is_json_schema_2020_12() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        assert re.fullmatch(r"[A-Za-z0-9]+", name)


def test_no_reference_dangles_and_no_component_is_for_nothing() -> None:
    used = {REF.fullmatch(ref).groups() for ref in refs(DOCUMENT)}  # type: ignore[union-attr]
    there = {(kind, name) for kind, parts in DOCUMENT["components"].items() for name in parts}
    assert used <= there
    assert there - used == {("securitySchemes", "bearer"), ("securitySchemes", "token")}


def test_the_document_is_small_and_made_fast_and_once() -> None:
    assert openapi.document() is openapi.document()
    assert len(openapi.document()) < 2_000_000
    program = (
        "import time; from acsmpd.api import openapi; before = time.process_time(); openapi.document();"
        "print(time.process_time() - before)"
    )
    made = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert float(made.stdout) < 2


def test_the_document_needs_nothing_of_the_platform() -> None:
    program = "import sys; from acsmpd.api import openapi; openapi.document(); print(*sys.modules)"
    made = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert {"flask", "peewee", "acsmpd.store", "acsmpd.engine"} & set(made.stdout.split()) == set()


# --- rows ---------------------------------------------------------------------------------------------


def test_every_served_row_is_there_exactly_once_and_no_other() -> None:
    found = Counter(
        row
        for _path, _method, operation in operations()
        if "x-alias-of" not in operation
        for row in rows_of(operation)
    )
    assert found == Counter(row.id for row in SERVED)
    assert not any(row.startswith("ccp.") for row in found)


def test_every_alias_is_there_and_says_whose_it_is() -> None:
    found = [
        (method.upper(), path, operation["x-alias-of"])
        for path, method, operation in operations()
        if "x-alias-of" in operation
    ]
    expected = [
        (method, uri.replace("<", "{").replace(">", "}"), row.id)
        for row in SERVED
        for method, uri in row.aliases
    ]
    assert sorted(found) == sorted(expected)
    assert len(expected) > 10


def test_operation_ids_are_unique_and_aliases_have_a_suffix() -> None:
    ids = [operation["operationId"] for _path, _method, operation in operations()]
    assert max(Counter(ids).values()) == 1
    get = DOCUMENT["paths"]["/CAD/Machine/AlgoPackages"]["get"]
    assert (get["operationId"], get["x-alias-of"]) == (
        "cad.list_algo_packages.alias1",
        "cad.list_algo_packages",
    )


def test_no_two_paths_differ_in_placeholder_names_only() -> None:
    forms = Counter(re.sub(r"{\w+}", "{}", path) for path in DOCUMENT["paths"])
    assert max(forms.values()) == 1


@pytest.mark.parametrize("row", SERVED, ids=lambda row: row.id)
def test_a_row_is_marked_as_what_it_is(row: Operation) -> None:
    operation = operation_of(row.id)
    marks = next((it for it in operation.get("x-rows", []) if it["id"] == row.id), operation)
    assert marks.get("x-table") == row.table
    assert marks["x-access"] == row.access.value
    assert marks.get("x-planned", False) is row.planned
    assert marks.get("x-extension", False) is row.extension
    assert row.summary in operation["summary"]
    assert row.note in operation.get("description", "")
    assert ("Planned" in operation["responses"].get("501", {}).get("$ref", "")) is row.planned
    assert "default" in operation["responses"]


@pytest.mark.parametrize(
    ("row_id", "tag"),
    [
        ("acsmp.create_task", "ACSMP Tasks"),
        ("cad.install_algo_package", "CAD AlgoPackages"),
        ("cap.search_algo_tasks", "CAP AlgoTasks"),
        ("plain.healthz", "PLAIN"),
    ],
)
def test_tags_name_face_and_subject(row_id: str, tag: str) -> None:
    assert operation_of(row_id)["tags"] == [tag]
    assert {"name": tag} in DOCUMENT["tags"]


def test_missing_lists_the_planned_rows() -> None:
    assert [row.id for row in openapi.missing()] == [row.id for row in OPERATIONS if row.planned]
    assert all(row.served for row in openapi.missing())


# --- who may call, and with what ------------------------------------------------------------------------


@pytest.mark.parametrize("row", SERVED, ids=lambda row: row.id)
def test_security_follows_access(row: Operation) -> None:
    signed_in = [{"bearer": []}, {"token": []}]
    asked = operation_of(row.id).get("security", DOCUMENT["security"])
    if row.access in (Access.OPEN, Access.CREDENTIALS, Access.LINK, Access.RESULT):
        assert asked == []
    else:
        assert asked == ([{}, *signed_in] if row.access is Access.KEEPALIVE else signed_in)


def test_both_headers_are_declared() -> None:
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert (schemes["bearer"]["type"], schemes["bearer"]["scheme"]) == ("http", "bearer")
    assert (schemes["token"]["type"], schemes["token"]["in"], schemes["token"]["name"]) == (
        "apiKey",
        "header",
        "Token",
    )


def test_path_parameters_are_those_of_the_address() -> None:
    for path, _method, operation in operations():
        named = [it["name"] for it in operation.get("parameters", []) if it["in"] == "path"]
        assert named == re.findall(r"{(\w+)}", path)
        assert all(it["required"] for it in operation.get("parameters", []) if it["in"] == "path")


def parameter(row_id: str, name: str) -> Json:
    found: Json = next(it for it in operation_of(row_id)["parameters"] if it["name"] == name)
    return found


@pytest.mark.parametrize(
    ("row_id", "name", "good", "bad"),
    [
        ("acsmp.get_task", "ID", [1, 2**63 - 1], [0, -1, "Search", 2**63]),
        ("acsmp.show_computility", "Code", ["1" * 20], ["1" * 19, "1" * 21, "a" * 20]),
        ("acsmp.get_algo_def", "Code", ["a.b:c", "x" * 256], ["a/b", "", "x" * 257, "a\nb"]),
        ("cad.get_algo_task", "ID", ["7"], ["7:pause", "", "x" * 129]),
        ("acsmp.get_computility", "Type", ["CAD"], ["TV"]),
        ("acsmp.get_computility", "PageNumber", [1], [0]),
        ("acsmp.create_task", "Wait", [0, 2.5, LONGEST_SECONDS], [-1, LONGEST_SECONDS + 1, "x"]),
        ("acsmp.delete_algo_file_package", "Force", [True], ["perhaps"]),
        ("acsmp.update_task", "Apply", ["now"], ["later"]),
    ],
)
def test_parameters_are_checked(row_id: str, name: str, good: list[Any], bad: list[Any]) -> None:
    schema = validator(parameter(row_id, name)["schema"])
    assert [value for value in good if not schema.is_valid(value)] == []
    assert [value for value in bad if schema.is_valid(value)] == []


@pytest.mark.parametrize("row", SERVED, ids=lambda row: row.id)
def test_query_parameters_stand_where_a_row_has_them(row: Operation) -> None:
    operation = operation_of(row.id)
    named = {it["name"] for it in operation.get("parameters", []) if it["in"] == "query"}
    expected = {name for name in ("Force", "Apply") if f"?{name}" in row.note}
    if any(BY_ID[other].wait for other in rows_of(operation)):
        expected.add("Wait")
    if row.id == "acsmp.get_computility":
        expected |= {"ComputilityCode", "Type", "PageNumber", "PageSize"}
    if row.id == "acsmp.get_rollout":
        expected |= {"Status", "PageNumber", "PageSize"}
    assert named == expected


# --- names ----------------------------------------------------------------------------------------------


def test_messages_of_one_name_are_told_apart() -> None:
    for own, kind, required in (
        ("AlgoFilePackageRequest", packages.AlgoFilePackageRequest, "ComputilityCode"),
        ("CadAlgoFilePackageRequest", cad.AlgoFilePackageRequest, "Url"),
    ):
        assert component(own)["title"] == kind.__name__
        assert required in component(own)["required"]
    assert body_of("acsmp.push_algo_package_to_device").is_valid(
        {"AlgoFilePackageID": "1", "ComputilityCode": "1" * 20}
    )
    assert {"EnvItem", "CapEnvItem", "AlgoService", "CapAlgoService"} <= set(
        DOCUMENT["components"]["schemas"]
    )


def test_free_objects_are_said_to_be_free() -> None:
    def closed(value: Any) -> Iterator[Json]:
        if isinstance(value, dict):
            if value.get("type") == "object" and not {"properties", "additionalProperties"} & value.keys():
                yield value
            for inner in value.values():
                yield from closed(inner)
        elif isinstance(value, list):
            for inner in value:
                yield from closed(inner)

    assert list(closed(DOCUMENT)) == []
    assert component("AlgoTaskInfo")["properties"]["Labels"]["anyOf"][0]["additionalProperties"] is True


def test_a_type_without_a_schema_is_named() -> None:
    with pytest.raises(TypeError, match=r"fractions\.Fraction"):
        schemas.inline(Fraction)
    assert schemas.inline(MultipartFile)["format"] == "binary"


class Here:
    class Twin(Message):
        """One message."""


class There:
    class Twin(Message):
        """Another of the same name."""


def test_two_messages_of_one_name_stop_it() -> None:
    row = BY_ID["acsmp.login"]
    rows = [msgspec.structs.replace(row, request=Here.Twin), msgspec.structs.replace(row, request=There.Twin)]
    with pytest.raises(ValueError, match="cannot describe the interface: several messages are called Twin"):
        schemas.schemas_of(rows)
