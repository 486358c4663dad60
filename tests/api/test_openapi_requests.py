"""Requests in the OpenAPI document: of one mind with what is read."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from acsmpd.api import openapi
from acsmpd.api.schemas import schemas_of
from acsmpd.faults import Fault
from acsmpd.spec.messages.instances import TaskInstanceUpdateRequest
from acsmpd.spec.operation import Operation
from acsmpd.spec.reading import check_task_info, read_strict
from acsmpd.spec.tables import BY_ID
from tests.api.published import (
    DOCUMENT,
    SERVED,
    Json,
    body_of,
    component,
    operation_of,
    operations,
    rows_of,
    validator,
)
from tests.spec.test_examples import cases

# --- what is sent ---------------------------------------------------------------------------------------


def test_get_has_no_body_and_every_request_has_one() -> None:
    for row in SERVED:
        assert ("requestBody" in operation_of(row.id)) is (row.request is not None)
    assert not any("requestBody" in item["get"] for item in DOCUMENT["paths"].values() if "get" in item)


def test_a_body_is_required_where_an_empty_one_is_refused() -> None:
    for row in SERVED:
        if row.request is None or row.id in ("acsmp.import_algo_file_package", "acsmp.import_license"):
            continue
        operation = operation_of(row.id)
        bodies = [BY_ID[other] for other in rows_of(operation)]
        assert operation["requestBody"]["required"] is not any(accepted(it, {}) for it in bodies), row.id
    assert operation_of("acsmp.import_algo_file_package")["requestBody"]["required"] is True


def accepted(row: Operation, body: Any) -> bool:
    """Whether the reader, and the check every task goes through, take this body."""
    assert row.request is not None
    try:
        message, _unknown = read_strict(row.request, json.dumps(body).encode())
        if isinstance(message, TaskInstanceUpdateRequest):
            check_task_info(message)
    except Fault:
        return False
    return True


def meant(row_id: str, body: Json) -> Operation:
    """The row a body means where several share an address."""
    for row in map(BY_ID.__getitem__, rows_of(operation_of(row_id))):
        if row.when_body_has is not None and (row.when_body_has[0] in body) is row.when_body_has[1]:
            return row
    return BY_ID[row_id]


def requests() -> list[tuple[str, Any]]:
    """The printed requests of served rows that are read as printed."""
    return [
        (row, body)
        for row, body in cases("request")
        if BY_ID[row].served and BY_ID[row].request is not None and accepted(BY_ID[row], body)
    ]


def test_enough_printed_requests_are_tried() -> None:
    assert len(requests()) > 35


@pytest.mark.parametrize(("row_id", "body"), requests(), ids=lambda it: it if isinstance(it, str) else "")
def test_printed_requests_fit_the_schema(row_id: str, body: Any) -> None:
    assert [error.message for error in body_of(row_id).iter_errors(body)] == []


WRONG: list[Any] = [
    "x" * 5000,
    "no such value",
    -1,
    2**63,
    1.5,
    True,
    None,
    {},
    {"a": 1},
    [],
    [1],
    [None],
    ["x" * 5000],
]


@pytest.mark.parametrize(("row_id", "body"), requests(), ids=lambda it: it if isinstance(it, str) else "")
def test_the_schema_judges_as_the_reader_does(row_id: str, body: Json) -> None:
    """Each member in turn left out and given a value of every kind."""
    schema, apart = body_of(row_id), []
    for name in body:
        rest = {key: value for key, value in body.items() if key != name}
        for changed in (rest, *({**rest, name: value} for value in WRONG)):
            if accepted(meant(row_id, changed), changed) is not schema.is_valid(changed):
                apart.append((name, changed.get(name, "left out")))
    assert apart == []


def printed(row_id: str) -> Json:
    """The printed request of a row, to be changed at will."""
    return copy.deepcopy(next(body for row, body in cases("request") if row == row_id))  # type: ignore[no-any-return]


def without_event(info: Json) -> None:
    del info["RulesParams"][0]["EventID"]


def without_rules(info: Json) -> None:
    info["RulesParams"] = []


def with_far_stream(info: Json) -> None:
    info["StreamOptions"]["VideoStreamOptions"] = "rtsp://far"


@pytest.mark.parametrize("spoil", [without_event, without_rules, with_far_stream])
def test_the_free_parts_of_a_task_are_checked_and_stay_free(spoil: Any) -> None:
    body, schema = printed("acsmp.create_task"), body_of("acsmp.create_task")
    body["AlgoTaskInfos"][0]["RulesParams"][0]["Ours"] = {"kept": [1]}
    body["AlgoTaskInfos"][0]["Labels"] = {"anything": {"goes": None}}
    assert schema.is_valid(body)
    spoil(body["AlgoTaskInfos"][0])
    assert not schema.is_valid(body)


@pytest.mark.parametrize("row_id", ["acsmp.create_task", "acsmp.create_task_instances"])
def test_one_task_may_stand_for_a_list(row_id: str) -> None:
    body = printed(row_id)
    body["AlgoTaskInfos"] = body["AlgoTaskInfos"][0]
    assert accepted(BY_ID[row_id], body)
    assert body_of(row_id).is_valid(body)


def test_answers_always_list_tasks() -> None:
    assert {"$ref": "#/components/schemas/AlgoTaskInfo"} not in component("Task")["properties"][
        "AlgoTaskInfos"
    ]["anyOf"]


def test_an_environment_may_be_a_map_where_it_is_read_as_one() -> None:
    body: Json = {"Replicas": 1, "XpuType": "T4", "AlgoFilePackageID": "1"}
    for env in ({"A": "1"}, [{"A": "1"}], [{"Name": "A", "Value": "1"}]):
        assert accepted(BY_ID["cap.create_algo_service"], {**body, "Env": env})
        assert body_of("cap.create_algo_service").is_valid({**body, "Env": env})


@pytest.mark.parametrize(
    ("row_id", "member", "misprint"),
    [
        ("acsmp.search_task_instances", "Status", "STOPPED"),
        ("acsmp.register_compute", "Type", "FRONT_END_DEVIE"),
        ("acsmp.search_algo_file_packages", "AlgoFilePackageType", "ARTIFACT"),
        ("cap.push_exec_file", "Type", "ARTIFACT"),
    ],
)
def test_misprinted_values_are_shown_as_not_to_be_used(row_id: str, member: str, misprint: str) -> None:
    kind = BY_ID[row_id].request
    assert kind is not None
    told = component(kind.__name__)["properties"][member]["anyOf"]
    assert [part["deprecated"] for part in told if misprint in part.get("enum", [])] == [True]
    for name, schema in DOCUMENT["components"]["schemas"].items():
        if name.endswith(("Response", "Result", "Info")):
            assert misprint not in json.dumps(schema["properties"])


def test_every_value_that_is_named_is_read() -> None:
    described, refused = schemas_of(SERVED), []
    for row in SERVED:
        if row.request is None:
            continue
        for name, member in described.component(row.request)["properties"].items():
            for value in [one for part in member.get("anyOf", [member]) for one in part.get("enum", [])]:
                try:
                    read_strict(row.request, json.dumps({name: value}).encode())
                except Fault as fault:
                    refused += [(row.id, name, value)] * fault.message.startswith(f"$.{name}:")
    assert refused == []


def test_patterns_hold_nothing_other_engines_do_not_know() -> None:
    assert "(?" not in openapi.document().decode()
    schema = validator(component("LoginRequest"))
    assert schema.is_valid({"Username": "a", "Password": "b"})
    assert not schema.is_valid({"Username": "x" * 65, "Password": "b"})


# --- forms ----------------------------------------------------------------------------------------------

FORM = "multipart/form-data"


@pytest.mark.parametrize(
    ("media", "body", "good"),
    [
        (FORM, {"File": "tar", "MD5": "0" * 32}, True),
        (FORM, {"Url": "http://a/b.tar"}, True),
        (FORM, {"File": "tar", "Url": "http://a/b.tar"}, False),
        (FORM, {"MD5": "0" * 32}, False),
        (FORM, {"File": "tar", "MD5": "0" * 31}, False),
        ("application/json", {"Url": "http://a/b.tar", "MD5": None}, True),
        ("application/json", {"File": "a.tar"}, False),
        ("application/json", {"Url": None}, False),
        ("application/json", {"Url": "x" * 257}, False),
    ],
)
def test_an_import_is_a_form_with_one_source_or_json_with_url(media: str, body: Json, good: bool) -> None:
    assert body_of("acsmp.import_algo_file_package", media).is_valid(body) is good


def test_a_file_part_is_binary() -> None:
    form = operation_of("acsmp.import_algo_file_package")["requestBody"]["content"][FORM]["schema"]
    assert (form["properties"]["File"]["type"], form["properties"]["File"]["format"]) == ("string", "binary")


def test_a_licence_is_a_form_with_its_file_and_shares_the_address_with_the_list() -> None:
    assert set(operation_of("acsmp.import_license")["requestBody"]["content"]) == {FORM, "application/json"}
    form = body_of("acsmp.import_license", FORM)
    assert form.is_valid({"Provider": "P", "File": "bytes"})
    assert not form.is_valid({"Provider": "P"})
    assert body_of("acsmp.search_licenses").is_valid({"Provider": "P"})
    assert operation_of("acsmp.search_licenses")["requestBody"]["required"] is False


@pytest.mark.parametrize(
    ("body", "good"),
    [
        ({"alarm_info": {"additional": {}, "new": 1}, "full_1.jpg": "bytes"}, True),
        ({"alarm_info": {"full_images": [{}]}}, True),
        ({"full_1.jpg": "bytes"}, False),
        ({"alarm_info": {"full_images": {}}}, False),
    ],
)
def test_a_result_is_also_a_form_of_an_event_and_pictures(body: Json, good: bool) -> None:
    assert body_of("acsmp.receive_result", FORM).is_valid(body) is good
    content = operation_of("acsmp.receive_result")["requestBody"]["content"][FORM]
    assert content["encoding"] == {"alarm_info": {"contentType": "application/json"}}


# --- shared addresses -----------------------------------------------------------------------------------


def test_rows_that_share_an_address_are_one_operation_that_tells_them_apart() -> None:
    operation = operation_of("cad.install_algo_package")
    assert operation is operation_of("cad.list_algo_packages")
    assert [(row["id"], row["x-table"]) for row in operation["x-rows"]] == [
        ("cad.install_algo_package", 4),
        ("cad.list_algo_packages", 6),
    ]
    assert "cad.install_algo_package when the body has a member AlgoFilePackageID" in operation["description"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    load, listing = (validator(one) for one in schema["oneOf"])
    for body, is_load in (
        ({"AlgoFilePackageID": "1", "Args": "x"}, True),
        ({"PageNumber": 1}, False),
        ({}, False),
    ):
        assert (load.is_valid(body), listing.is_valid(body)) == (is_load, not is_load)
    assert not validator(schema).is_valid({"AlgoFilePackageID": "x" * 41})


def test_only_the_served_clashes_are_merged() -> None:
    merged = [rows_of(operation) for _path, _method, operation in operations() if "x-rows" in operation]
    assert merged == [
        ["acsmp.import_license", "acsmp.search_licenses"],
        ["cad.install_algo_package", "cad.list_algo_packages"],
    ]
