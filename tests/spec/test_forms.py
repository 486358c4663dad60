"""Forms, query strings and path values: texts that become messages and scalars."""
# ruff: noqa: E501 - one case a line

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.faults import Fault, InvalidField
from acsmpd.spec.messages import computility, licenses, paging
from acsmpd.spec.reading import read_form, read_scalar
from acsmpd.spec.scalars import Code20, InstanceID, MultipartFile, PlanID
from tests.spec.test_reading import CODE


def test_forms_carry_texts_and_files() -> None:
    file = MultipartFile("/data/tmp/1", "a.lic", 12)
    values = {
        "Provider": "P",
        "File": file,
        "AbilityAuths": '[{"AlgoDefCode": "a", "Quota": 3}]',
        "Other": "x",
    }
    message, unknown = read_form(licenses.License, values)
    assert message.file is file
    assert message.ability_auths == [licenses.AbilityAuth(algo_def_code="a", quota=3)]
    assert unknown == 1
    parts = {
        "Provider": "P",
        "AbilityAuths": ['{"AlgoDefCode": "a", "Quota": 3}', '{"AlgoDefCode": "b", "Quota": 4}'],
    }
    message, _ = read_form(licenses.License, parts)
    assert message.ability_auths is not None
    assert [it.algo_def_code for it in message.ability_auths] == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({}, 40002, "$.Provider: required"),
        ({"Provider": "P", "AbilityAuths": "["}, 40001, "$.AbilityAuths: the body is not JSON: input data was truncated"),
        ({"Provider": "P", "AbilityAuths": "\ud800"}, 40001, "$.AbilityAuths: the body is not JSON: invalid character (byte 0)"),
        ({"Provider": "P", "AbilityAuths": "[5]"}, 40001, "$.AbilityAuths[0]: must be an object, not an integer"),
        ({"Provider": "P", "DeviceID": "1"}, 40001, "$.DeviceID: must be 20 digits"),
        ({"Provider": "P", "File": "x"}, 40001, "$.File: must be a file part of a form, not a string"),
    ],
)  # fmt: skip
def test_bad_forms(values: dict[str, Any], code: int, words: str) -> None:
    with pytest.raises(Fault) as fault:
        read_form(licenses.License, values)
    assert (fault.value.code, fault.value.message) == (code, words)


def test_query_parameters_are_texts() -> None:
    message, _ = read_form(
        computility.ComputilityListRequest, {"Type": "CAD", "PageNumber": "2", "PageSize": "5"}
    )
    assert message.page_request == paging.ApiPageRequest(page_number=2, page_size=5)
    with pytest.raises(
        InvalidField, match=r"^\$\.PageRequest\.PageNumber: must be an integer, not a string$"
    ):
        read_form(computility.ComputilityListRequest, {"PageNumber": "two"})


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (PlanID, "Search", "ID: must be an integer"),
        (PlanID, "0", "ID: must be an integer"),
        (Code20, "1", "ID: must be 20 digits"),
        (Code20, "1" * 19 + "\x00", "ID: holds a control character"),
    ],
)
def test_path_values(kind: Any, text: str, words: str) -> None:
    with pytest.raises(InvalidField) as fault:
        read_scalar(kind, text, "ID")
    assert fault.value.message == words


def test_good_path_values() -> None:
    assert read_scalar(PlanID, "12", "ID") == 12
    assert read_scalar(Code20, CODE, "Code") == CODE
    assert read_scalar(InstanceID, "a-b", "ID") == "a-b"
