"""Reading requests strictly: every bad input with its Code and its words."""
# ruff: noqa: E501 - one case a line

from __future__ import annotations

import json
from typing import Any

import pytest

from acsmpd.faults import Fault, InvalidField, MalformedJson, MissingField
from acsmpd.spec.messages import (
    authservers,
    cad,
    cap,
    capabilities,
    computility,
    extensions,
    instances,
    packages,
    paging,
    plans,
    services,
)
from acsmpd.spec.reading import read_strict, to_builtins, to_json

CODE = "11000000005020000001"
TASK = {
    "RulesParams": [{"EventID": "INTRUSION"}],
    "StreamOptions": {"VideoStreamOptions": {"Url": "rtsp://a"}},
}
PLAN = {"Name": "p", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AlgoTaskInfos": [TASK]}
REGISTER = {
    "Code": CODE,
    "Type": "CAD",
    "IP": "10.0.0.1",
    "Port": 80,
    "Username": "u",
    "Password": "p",
}


def raw(value: Any) -> bytes:
    return json.dumps(value).encode()


def refused(kind: type[Any], body: bytes) -> Fault:
    with pytest.raises(Fault) as fault:
        read_strict(kind, body)
    return fault.value


def without(body: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key != name}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "the body is not JSON: input data was truncated"),
        (b'{"Name": NaN}', "the body is not JSON: invalid character (byte 9)"),
        (b'{"Name": 1}}', "the body is not JSON: trailing characters (byte 12)"),
        (b"\xef\xbb\xbf{}", "the body is not JSON: invalid character (byte 0)"),
        (b'{"Name": "\xff"}', "the body is not UTF-8: invalid start byte"),
        (b'{"Name": "\xed\xa0\x80"}', "the body is not UTF-8: invalid continuation byte"),
        (b"[" * 33 + b"]" * 33, "the JSON is deeper than 32 levels"),
        (b"[" * 200_000, "the JSON is deeper than 32 levels"),
        (b'{"A":' * 33 + b"1" + b"}" * 33, "the JSON is deeper than 32 levels"),
        (b'{"Name": "\\u00"}', None),
        (b'{"Name": 1e999}', "the body is not JSON: number out of range"),
    ],
)
def test_malformed_json(body: bytes, words: str | None) -> None:
    fault = refused(plans.TaskCreateRequest, body)
    assert isinstance(fault, MalformedJson)
    assert fault.code == 40000
    if words:
        assert fault.message == words


def test_a_body_of_32_levels_is_read() -> None:
    deep: Any = 1
    for _ in range(27):  # 5 levels stand around it
        deep = {"D": deep}
    body = {**PLAN, "AlgoTaskInfos": [{**TASK, "Labels": {"Deep": deep}}]}
    message, _ = read_strict(plans.TaskCreateRequest, raw(body))
    assert message.algo_task_infos is not None
    assert message.algo_task_infos[0].labels == {"Deep": deep}
    body = {**PLAN, "AlgoTaskInfos": [{**TASK, "Labels": {"Deep": {"D": {"D": deep}}}}]}
    assert refused(plans.TaskCreateRequest, raw(body)).code == 40000


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (plans.TaskCreateRequest, {**PLAN, "Name": "x" * 257}, "$.Name: longer than 256 characters"),
        (plans.TaskCreateRequest, {**PLAN, "Name": 5}, "$.Name: must be a string of at most 256 characters, not an integer"),
        (
            plans.TaskCreateRequest,
            {**PLAN, "Type": "VIDEO"},
            "$.Type: must be one of VIDEO_REALTIME, VIDEO_PLAYBACK, VIDEO_FILE, IMAGE_REALTIME",
        ),
        (plans.TaskCreateRequest, {**PLAN, "AutoStart": "true"}, "$.AutoStart: must be true or false, not a string"),
        (plans.TaskCreateRequest, {**PLAN, "AlgoTaskInfos": [TASK, 5]}, "$.AlgoTaskInfos[1]: must be an object, not an integer"),
        (plans.TaskCreateRequest, {**PLAN, "AlgoTaskInfos": "x"}, "$.AlgoTaskInfos: must be a list, not a string"),
        (plans.TaskCreateRequest, [], "$: must be an object, not a list"),
        (plans.TaskCreateRequest, 5, "$: must be an object, not an integer"),
        (
            plans.TaskCreateRequest,
            {**without(PLAN, "AlgoTaskInfos"), "InspectionPlan": {"Concurrency": 0, "Duration": 30, "TaskInfo": TASK}},
            "$.InspectionPlan.Concurrency: less than 1",
        ),
        (
            plans.TaskCreateRequest,
            {**without(PLAN, "AlgoTaskInfos"), "InspectionPlan": {"Concurrency": 1, "Duration": 9, "TaskInfo": TASK}},
            "$.InspectionPlan.Duration: less than 10",
        ),
        (computility.RegisterRequest, {**REGISTER, "Code": "1" * 19}, "$.Code: must be 20 digits"),
        (computility.RegisterRequest, {**REGISTER, "Code": "1" * 19 + "١"}, "$.Code: must be 20 digits"),
        (computility.RegisterRequest, {**REGISTER, "Code": CODE + "\n"}, "$.Code: longer than 20 characters"),
        (computility.RegisterRequest, {**REGISTER, "Port": 65536}, "$.Port: greater than 65535"),
        (computility.RegisterRequest, {**REGISTER, "Port": "80"}, "$.Port: must be an integer, not a string"),
        (computility.RegisterRequest, {**REGISTER, "Port": True}, "$.Port: must be an integer, not true or false"),
        (computility.RegisterRequest, {**REGISTER, "Password": "p" * 1025}, "$.Password: longer than 1024 characters"),
        (computility.RegisterRequest, {**REGISTER, "IP": "1" * 46}, "$.IP: longer than 45 characters"),
        (
            packages.AlgoFilePackageListRequest,
            {"CreateTimeFrom": "2024-01-01T00:00:00Z"},
            "$.CreateTimeFrom: must be yyyy-MM-dd HH:mm:ss, with or without .SSS",
        ),
        (packages.AlgoFilePackageListRequest, {"CreateTimeTo": "2024-01-01 00:00:00\n"}, "$.CreateTimeTo: must be yyyy-MM-dd HH:mm:ss, with or without .SSS"),
        (packages.AlgoPackageListRequest, {"ComputilityCode": CODE, "Status": 4}, "$.Status: must be one of 1, 2, 3"),
        (packages.AlgoFilePackageForm, {"MD5": "x" * 32}, "$.MD5: must be 32 hexadecimal digits"),
        (packages.AlgoFilePackageForm, {"File": "/etc/passwd"}, "$.File: must be a file part of a form, not a string"),
        (
            packages.AlgoFilePackageForm,
            {"File": {"path": "/etc/passwd"}},
            "$.File: must be a file part of a form, not an object",
        ),
        (
            instances.TaskInstanceListRequest,
            {"ID": True},
            "$.ID: must be a string of at most 128 characters or an integer, not true or false",
        ),
        (instances.TaskInstanceStartRequest, {"IDs": [1, None]}, "$.IDs[1]: must be a string of at most 128 characters or an integer, not null"),
        (plans.TaskListRequest, {"TaskIDs": [2**63]}, "$.TaskIDs[0]: an integer outside 64 bits"),
        (plans.TaskListRequest, {"TaskIDs": [1.5]}, "$.TaskIDs[0]: must be an integer, not a number"),
        (plans.TaskListRequest, {"PageRequest": {"PageNumber": 0}}, "$.PageRequest.PageNumber: less than 1"),
        (extensions.ApiKeyRequest, {"Name": "a b", "Roles": []}, "$.Name: must be 1 to 64 of A-Z a-z 0-9 _ . -"),
        (extensions.ComputilityUpdateRequest, {"Location": {"Latitude": 91}}, "$.Location.Latitude: greater than 90.0"),
    ],
)  # fmt: skip
def test_invalid_fields(kind: type[Any], body: Any, words: str) -> None:
    fault = refused(kind, raw(body))
    assert isinstance(fault, InvalidField)
    assert (fault.code, fault.message) == (40001, words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"Name": "a\\u0000b"}', "$.Name: holds U+0000"),
        (b'{"Name": "\\ud800"}', "$.Name: holds a lone surrogate"),
        (b'{"Name": "\\udc00\\ud800x"}', "$.Name: holds a lone surrogate"),
        (b'{"A": {"B": [1, "\\ud800"]}}', "$.A.B[1]: holds a lone surrogate"),
        (b'{"\\u0000": 1}', "$: holds U+0000"),
        (b'{"\\ud800": 1}', "$: holds a lone surrogate"),
        (b'{"Unknown": [18446744073709551616]}', "$.Unknown[0]: an integer outside 64 bits"),
    ],
)
def test_texts_no_message_may_hold(body: bytes, words: str) -> None:
    fault = refused(plans.TaskCreateRequest, body)
    assert (fault.code, fault.message) == (40001, words)


def test_a_pair_of_surrogates_is_one_character() -> None:
    message, _ = read_strict(packages.AlgoFilePackageListRequest, b'{"Provider": "\\ud83d\\ude00"}')
    assert message.provider == "\N{GRINNING FACE}"


def test_lengths_count_characters() -> None:
    message, _ = read_strict(plans.TaskListRequest, raw({"Name": "\N{GRINNING FACE}" * 256}))
    assert message.name is not None
    assert len(message.name) == 256
    assert refused(plans.TaskListRequest, raw({"Name": "\N{GRINNING FACE}" * 257})).code == 40001


@pytest.mark.parametrize("name", REGISTER)
def test_required_members(name: str) -> None:
    for body in (without(REGISTER, name), {**REGISTER, name: None}):
        fault = refused(computility.RegisterRequest, raw(body))
        assert isinstance(fault, MissingField)
        assert (fault.code, fault.message) == (40002, f"$.{name}: required")


def test_a_missing_member_deep_inside_is_named_with_its_place() -> None:
    fault = refused(
        plans.TaskCreateRequest, raw({**PLAN, "AlgoTaskInfos": [TASK, without(TASK, "RulesParams")]})
    )
    assert (fault.code, fault.message) == (40002, "$.AlgoTaskInfos[1].RulesParams: required")


@pytest.mark.parametrize("body", [b"", b"  \r\n", b"null", b"{}"])
def test_no_body_reads_as_an_empty_object(body: bytes) -> None:
    assert read_strict(plans.TaskListRequest, body) == (plans.TaskListRequest(), 0)
    assert refused(plans.TaskCreateRequest, body).message == "$.Name: required"


def test_unknown_members_are_counted_but_not_in_free_objects() -> None:
    task = {**TASK, "Labels": {"Own": 1}, "Strange": 1}
    _, unknown = read_strict(
        plans.TaskCreateRequest, raw({**PLAN, "AlgoTaskInfos": [task], "Other": {"A": {"B": 1}}})
    )
    assert unknown == 2


def test_of_duplicate_members_the_last_wins() -> None:
    message, _ = read_strict(plans.TaskListRequest, b'{"Name": "a", "Name": "b"}')
    assert message.name == "b"


@pytest.mark.parametrize(
    ("kind", "body", "member", "value"),
    [
        (packages.AlgoFilePackageRequest, {"AlgoFilePackageCode": "7", "ComputilityCode": CODE}, "algo_file_package_id", "7"),
        (computility.ComputilityListRequest, {"Type": "FRONT_END_DEVIE"}, "type", "FRONT_END_DEVICE"),
        (computility.RegisterRequest, {**REGISTER, "Type": "FRONT_END_DEVIE"}, "type", "FRONT_END_DEVICE"),
        (computility.RegisterRequest, {**REGISTER, "Type": "CCP"}, "type", "CCP"),
        (instances.TaskInstanceListRequest, {"Status": "STOPPED"}, "status", "PAUSED"),
        (cad.AlgoTaskSearchRequest, {"Status": "STOPPED"}, "status", "PAUSED"),
        (cad.AlgoPackageListRequest, {"Status": "STOPPED"}, "status", "STOPPED"),
        (instances.TaskInstanceListRequest, {"ID": 1}, "id", 1),
        (instances.TaskInstanceListRequest, {"ID": "a"}, "id", "a"),
        (instances.TaskInstanceStopRequest, {"IDs": [1, "a"]}, "ids", [1, "a"]),
        (paging.ApiOrder, {"Direction": "DESC"}, "direction", "desc"),
        (packages.AlgoFilePackageListRequest, {"AlgoFilePackageType": "Image"}, "algo_file_package_type", "image"),
        (packages.AlgoFilePackageForm, {"MD5 ": "a" * 32}, "md5", "a" * 32),
        (capabilities.AlgoDefPageRequest, {"AlgoDefCodes": None, "EngineCodeList": None}, "algo_def_codes", None),
        (services.AlgoServiceUnInstallRequest, {"AlgoFilePackageID": "1", "ComputilityCode": CODE, "AlgoServiceID": ["a"]}, "algo_service_id", ["a"]),
        (services.AlgoServiceListRequest, {"ComputilityCode": CODE, "PageRequest": {"PageNumber": 3}}, "page_number", 3),
        (services.AlgoServiceListRequest, {"ComputilityCode": CODE, "PageNumber": 2, "PageRequest": {"PageNumber": 3}}, "page_number", 2),
        (plans.TaskListRequest, {"PageNumber": 2, "PageSize": 5}, "page_request", paging.ApiPageRequest(page_number=2, page_size=5)),
        (plans.TaskListRequest, {"PageNumber": 2, "PageRequest": {"PageNumber": 3}}, "page_request", paging.ApiPageRequest(page_number=3)),
        (plans.TaskListRequest, {"PageReqest": {"PageNumber": 4}}, "page_request", paging.ApiPageRequest(page_number=4)),
        (packages.AlgoFilePackageListRequest, {"CreateTimeFrom": "2024-01-01 00:00:00.123"}, "create_time_from", "2024-01-01 00:00:00.123"),
        (cap.AlgoFilePackageExecFilePushRequest, {"Type": "Image", "MD5": "a" * 32, "Url": "u", "AlgoFilePackageID": "1"}, "type", "image"),
        (cap.AlgoServiceCreateRequest, {"Replicas": 1, "XpuType": "x", "AlgoFilePackageID": "1", "Env": {"A": "b"}}, "env", [cap.EnvItem(name="A", value="b")]),
        (cap.AlgoServiceCreateRequest, {"Replicas": 1, "XpuType": "x", "AlgoFilePackageID": "1", "Env": [{"A": "b"}, {"Name": "C", "Value": "d"}]}, "env", [cap.EnvItem(name="A", value="b"), cap.EnvItem(name="C", value="d")]),
        (services.AlgoServiceInstallRequest, {"AlgoFilePackageID": "1", "ComputilityCode": CODE, "Env": [{"Name": "A", "Value": "v" * 4096}]}, "license_file", None),
    ],
)  # fmt: skip
def test_spellings_the_contract_accepts(kind: type[Any], body: Any, member: str, value: Any) -> None:
    message, unknown = read_strict(kind, raw(body))
    assert getattr(message, member) == value
    assert unknown == 0


def test_the_printed_name_wins_over_its_alias_in_any_order() -> None:
    for body in (
        b'{"ComputilityCode":"%s","AlgoFilePackageID":"1","AlgoFilePackageCode":"2"}',
        b'{"AlgoFilePackageCode":"2","ComputilityCode":"%s","AlgoFilePackageID":"1"}',
    ):
        message, _ = read_strict(packages.AlgoFilePackageRequest, body % CODE.encode())
        assert message.algo_file_package_id == "1"


def test_one_task_stands_for_a_list_of_one() -> None:
    message, _ = read_strict(plans.TaskCreateRequest, raw({**PLAN, "AlgoTaskInfos": TASK}))
    assert message.algo_task_infos is not None
    assert len(message.algo_task_infos) == 1
    fault = refused(instances.TaskInstanceStartRequest, raw({"IDs": "a"}))
    assert fault.message == "$.IDs: must be a list, not a string"


@pytest.mark.parametrize(("given_info", "kind"), [(TASK, instances.AlgoTaskInfo), ([TASK, TASK], list)])
def test_an_inspection_plan_takes_one_task_or_many(given_info: Any, kind: type) -> None:
    inspection = {"Concurrency": 5, "Duration": 30, "TaskInfo": given_info, "RoundLimit": 10}
    body = {**without(PLAN, "AlgoTaskInfos"), "Mode": "INSPECTIVE", "TaskInspectionPlan": inspection}
    message, unknown = read_strict(plans.TaskCreateRequest, raw(body))
    assert unknown == 0
    assert message.inspection_plan is not None
    assert isinstance(message.inspection_plan.task_info, kind)
    assert to_builtins(message)["InspectionPlan"]["TaskInfo"] == given_info


def test_the_wrapped_form_of_table_23() -> None:
    inner = {
        "ID": "i",
        "Status": "RUNNING",
        "RuleParams": [{"EventID": "A"}],
        "Labels": {"JAlgoCaBinName": "n", "Own": 1},
    }
    body = {"TaskInfo": inner, "Status": "PENDING", "RestartPolicy": "ALWAYS"}
    message, unknown = read_strict(instances.TaskInstanceUpdateRequest, raw(body))
    assert unknown == 0
    assert (message.id, message.status, message.restart_policy) == ("i", "PENDING", "ALWAYS")
    assert message.rules_params == [{"EventID": "A"}]
    assert message.labels == {"AlgoCaBinName": "n", "Own": 1}
    assert message.stream_options is None


def test_free_objects_survive_verbatim() -> None:
    task = {
        "Labels": {"AlgoCaBinName": "a", "Vendor": {"X": [1, None, 2.5]}},
        "RulesParams": [{"EventID": "A", "ExtendParams": {"Sensitivity": "低"}, "Own": {"PageNumber": None}}],
        "StreamOptions": {"VideoStreamOptions": {"Url": "rtsp://x", "Codec": "h265"}, "Audio": None},
    }
    message, _ = read_strict(plans.TaskCreateRequest, raw({**PLAN, "AlgoTaskInfos": [task]}))
    assert to_builtins(message)["AlgoTaskInfos"] == [task]
    assert json.loads(to_json(message))["AlgoTaskInfos"] == [task]


def test_absent_members_are_not_written() -> None:
    assert to_json(plans.TaskUpdateRequest(name="n")) == b'{"Name":"n"}'
    assert to_builtins(authservers.AuthServerUpdateRequest(default=False)) == {"Default": False}
