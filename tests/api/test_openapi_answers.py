"""Answers in the OpenAPI document: of one mind with what is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acsmpd.api import openapi, schemas
from acsmpd.faults import catalogue
from acsmpd.spec.message import data_type
from acsmpd.spec.messages.extensions import Binary
from acsmpd.spec.operation import Face, Operation
from acsmpd.spec.tables import BY_ID
from tests.api.published import (
    DOCUMENT,
    SERVED,
    answer_of,
    component,
    operation_of,
    refs,
)

ENVELOPES = [
    ("acsmp.start_task", "", 0, "RequestID"),
    ("cad.push_algo_file_package", "CodeAsString", "0", "RequestID"),
    ("cap.get_cap_status", "RequestId", 0, "RequestId"),
]


# --- what is answered -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("row_id", "form", "code", "key"), ENVELOPES)
def test_envelopes_are_written_as_the_row_writes_them(row_id: str, form: str, code: Any, key: str) -> None:
    row = BY_ID[row_id]
    assert schemas.form_of(row) == form
    good = {"Code": code, "Message": "success", key: "r"}
    if row_id == "cap.get_cap_status":
        good["Data"] = {"BasicInfo": [], "OpsInfo": []}
    assert answer_of(row_id).is_valid(good)
    for spoilt in (
        {**good, "Code": 0 if code == "0" else "0"},
        {name: good[name] for name in good if name != key},
    ):
        assert not answer_of(row_id).is_valid(spoilt)


@pytest.mark.parametrize(("row_id", "form", "code", "key"), ENVELOPES)
def test_failures_hold_a_code_of_the_list(row_id: str, form: str, code: Any, key: str) -> None:
    written = str if code == "0" else int
    failure = answer_of(row_id, "default")
    for listed, _title in catalogue():
        assert failure.is_valid({"Code": written(listed), "Message": "no", key: "r"})
    assert not failure.is_valid({"Code": written(40499), "Message": "no", key: "r"})
    assert not failure.is_valid({"Code": code, "Message": "success", key: "r"})
    assert not failure.is_valid({"Code": written(40401), "Message": "x" * 1025, key: "r"})


def test_every_fault_is_told_in_words() -> None:
    assert openapi.fault_table() == catalogue()
    told = component("Failure")["properties"]["Code"]["description"]
    assert [f"{code} {title}" for code, title in openapi.fault_table()] == told.split("; ")


def test_business_faults_are_a_200_on_the_faces_only() -> None:
    fault = {"Code": 40401, "Message": "no", "RequestID": "r"}
    assert answer_of("cad.get_algo_task").is_valid(fault)
    assert answer_of("cap.get_algo_task").is_valid(fault)
    assert not answer_of("acsmp.start_task").is_valid(fault)


def test_planned_rows_answer_501_with_50100() -> None:
    assert answer_of("acsmp.list_users", "501").is_valid(
        {"Code": 50100, "Message": "later", "RequestID": "r"}
    )
    assert not answer_of("acsmp.list_users", "501").is_valid(
        {"Code": 50101, "Message": "no", "RequestID": "r"}
    )


@pytest.mark.parametrize("row", SERVED, ids=lambda row: row.id)
def test_every_envelope_holds_the_data_of_its_row(row: Operation) -> None:
    content = operation_of(row.id)["responses"]["200"]["content"]
    if row.face is Face.PLAIN or row.response is Binary:
        assert "Failure" not in json.dumps(content)
        return
    named = [ref.rpartition("/")[2] for ref in refs(content["application/json"])]
    own = [component(name) for name in named if component(name)["title"] == row.response.__name__]
    assert len(own) == 1
    assert ("Data" in own[0]["properties"]) is (data_type(row.response) is not None)
    assert row.request_id_key in own[0]["required"]


@pytest.mark.parametrize(
    ("row_id", "media"),
    [
        ("acsmp.get_result_image", ("image/jpeg", "image/png", "application/octet-stream")),
        ("acsmp.download_package", ("application/x-tar",)),
    ],
)
def test_files_are_answered_as_bytes_and_in_ranges(row_id: str, media: tuple[str, ...]) -> None:
    responses = operation_of(row_id)["responses"]
    for status in ("200", "206"):
        assert responses[status]["content"] == {
            one: {"schema": {"type": "string", "format": "binary"}} for one in media
        }


def test_failures_of_the_server_are_named_where_they_are_answered() -> None:
    found = {
        row.id: {status for status in operation_of(row.id)["responses"] if status.startswith("5")}
        for row in SERVED
        if not row.planned
    }
    assert found["acsmp.get_task"] == set()
    assert (
        found["acsmp.create_task"] == found["acsmp.delete_task"] == found["acsmp.receive_result"] == {"507"}
    )
    assert found["acsmp.install_algo_service"] == {"501", "507"}
    assert found["acsmp.get_auth_quota"] == {"502", "504", "507"}
    assert found["acsmp.import_algo_file_package"] == {"502", "504", "507"}
    assert answer_of("acsmp.install_algo_service", "501").is_valid(
        {"Code": 50101, "Message": "no", "RequestID": "r"}
    )


def test_health_and_this_document_have_no_envelope() -> None:
    ready = answer_of("plain.readyz", "503")
    assert ready.is_valid({"Status": "failing", "Faults": ["no space"]})
    assert not ready.is_valid({"Status": "fine"})
    assert "503" not in operation_of("plain.healthz")["responses"]
    assert answer_of("plain.openapi_json").is_valid(DOCUMENT)
    assert "parameters" not in DOCUMENT["paths"]["/healthz"]
