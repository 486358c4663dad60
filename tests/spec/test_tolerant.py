"""Reading what devices answer: much is forgiven, nothing is invented."""
# ruff: noqa: E501 - one case a line

from __future__ import annotations

import json
from typing import Any

import pytest

from acsmpd.faults import InvalidField, MalformedJson
from acsmpd.spec.messages import (
    cad,
    cap,
    ccp,
    computility,
    instances,
    licenses,
    monitoring,
    packages,
    paging,
    services,
)
from acsmpd.spec.reading import read_tolerant


@pytest.mark.parametrize(
    "body",
    [
        {"Code": 0, "Message": "ok", "RequestID": "r"},
        {"Code": "0", "Message": "ok", "RequestID": "r"},
        {"Code": " 0 ", "Message": "ok", "RequestId": "r"},
        {"code": 0, "message": "ok", "requestId": "r"},
        {"CODE": 0.0, "MESSAGE": "ok", "request_id": "r"},
    ],
)
def test_spellings_of_the_envelope(body: dict[str, Any]) -> None:
    answer = read_tolerant(paging.EmptyResponse, body)
    assert (answer.code, answer.message, answer.request_id) == (0, "ok", "r")
    assert read_tolerant(paging.EmptyResponse, json.dumps(body).encode()) == answer
    assert read_tolerant(paging.EmptyResponse, b"\xef\xbb\xbf" + json.dumps(body).encode()) == answer


@pytest.mark.parametrize("code", [None, "", "x", [], {}, True, "0x0", 0.5, "1e400"])
def test_a_code_that_is_none_is_never_taken_for_success(code: Any) -> None:
    assert read_tolerant(paging.EmptyResponse, {"Code": code, "Message": "m"}).code is None


def test_the_outer_code_is_never_looked_up_inside() -> None:
    answer = read_tolerant(cad.DeviceStatusResponse, {"Data": {"Code": "0"}})
    assert answer.code is None
    assert answer.data is not None
    assert answer.data.device_id == "0"


def test_a_failure_keeps_its_words_whatever_its_data() -> None:
    answer = read_tolerant(cad.AlgoTaskSearchResponse, {"Code": "50000", "Message": "busy", "Data": "oops"})
    assert (answer.code, answer.message, answer.data) == (50000, "busy", None)


def test_an_answer_without_a_readable_code_keeps_its_data() -> None:
    for body in ({"Data": {}}, {"Code": None, "Data": {}}, {"Code": "?", "Data": {}}):
        assert read_tolerant(packages.AlgoFilePackageImportResponse, body).data is not None


def test_items_that_cannot_be_read_are_left_out() -> None:
    answer = read_tolerant(
        instances.CreateTaskInstancesResponse, {"Code": 0, "Data": ["a", None, 5, [], False]}
    )
    assert answer.data == ["a", "5"]


def test_missing_members_are_none() -> None:
    answer = read_tolerant(cad.AlgoTaskDetailResponse, {"Code": 0, "Data": {"TaskInfo": {}}})
    assert answer.data.task_info.rules_params is None
    assert answer.data.status is None


def test_lengths_and_enumerations_do_not_count() -> None:
    data = {
        "AlgoPackageName": "n" * 999,
        "AlgoPackageType": "TARBALL",
        "AlgoFilePackageID": 12,
        "Status": "Broken",
    }
    answer = read_tolerant(cad.AlgoPackageDetailResponse, {"Code": 0, "Data": data})
    assert answer.data.algo_package_name == "n" * 999
    assert (answer.data.algo_package_type, answer.data.status) == ("TARBALL", "Broken")
    assert answer.data.algo_file_package_id == "12"


@pytest.mark.parametrize(
    ("printed", "read"),
    [("runing", "RUNNING"), ("Running", "RUNNING"), ("RUNNING", "RUNNING"), ("strange", "UNSPECIFIED")],
)
def test_service_states(printed: str, read: str) -> None:
    answer = read_tolerant(cap.AlgoServiceDetailResponse, {"Code": 0, "Data": {"Status": printed}})
    assert answer.data.status == read


@pytest.mark.parametrize(
    ("printed", "read"), [("STOPPED", "PAUSED"), ("paused", "PAUSED"), ("WAITING", "WAITING")]
)
def test_task_states(printed: str, read: str) -> None:
    answer = read_tolerant(cad.AlgoTaskDetailResponse, {"Code": 0, "Data": {"Status": printed}})
    assert answer.data.status == read


@pytest.mark.parametrize(("printed", "read"), [(3, 3), ("3", 3), ("RUNNING", 3), ("odd", None), (9, 9)])
def test_numbered_states(printed: Any, read: int | None) -> None:
    answer = read_tolerant(packages.AlgoPackageDetailResponse, {"Code": 0, "Data": {"Status": printed}})
    assert answer.data.status == read


PAGE = {"PageNumber": 1, "PageSize": 10, "TotalSize": 1, "Records": [{"Status": "RUNNING"}]}


@pytest.mark.parametrize(
    ("data", "total"),
    [
        (PAGE, 1),
        ([PAGE], 1),
        ([{"Status": "RUNNING"}], None),
        ({"PageContent": [{"Status": "RUNNING"}], "Total": "1", "PageRequest": {"PageNumber": 1}}, 1),
        ({"Records": {"Status": "RUNNING"}, "totalsize": 1}, 1),
    ],
)
def test_shapes_of_a_list(data: Any, total: int | None) -> None:
    answer = read_tolerant(cad.AlgoTaskSearchResponse, {"Code": 0, "Data": data})
    assert answer.data.records is not None
    assert [it.status for it in answer.data.records] == ["RUNNING"]
    assert answer.data.total_size == total


def test_a_list_without_data_stays_without() -> None:
    assert read_tolerant(cad.AlgoTaskSearchResponse, {"Code": 0}).data is None
    assert read_tolerant(cad.AlgoTaskSearchResponse, {"Code": 0, "Data": None}).data is None
    assert read_tolerant(cad.AlgoTaskSearchResponse, {"Code": 0, "Data": {}}).data.records is None
    assert read_tolerant(cad.AlgoTaskSearchResponse, {"Code": 0, "Data": []}).data.records == []


def test_a_bare_list_may_come_as_a_page() -> None:
    answer = read_tolerant(
        cad.AlgoPackageListResponse, {"Code": "0", "Data": {"Records": [{"AlgoFilePackageID": "1"}]}}
    )
    assert [it.algo_file_package_id for it in answer.data] == ["1"]


def test_one_of_a_list_where_one_is_meant() -> None:
    answer = read_tolerant(licenses.LicenseDetailResponse, {"Code": 0, "Data": [{"ID": 5}]})
    assert answer.data.id == 5


@pytest.mark.parametrize("data", ["s", {"AlgoServiceID": "s"}, [{"AlgoServiceID": "s"}]])
def test_service_ids_come_bare_or_wrapped(data: Any) -> None:
    assert read_tolerant(cap.AlgoServiceCreateResponse, {"Code": 0, "Data": data}).data.algo_service_id == "s"
    if not isinstance(data, list):
        assert read_tolerant(services.AlgoServiceInstallResponse, {"Code": 0, "Data": data}).data == "s"


@pytest.mark.parametrize(
    "trend",
    [
        [{"1686470662199": 0.3}, {"1686433662199": "0.5"}],
        [[1686470662199, 0.3], ["1686433662199", 0.5]],
        {"1686470662199": 0.3, "1686433662199": 0.5},
        [{"1686470662199": 0.3}, 7, "x", {"soon": 1}, [1], {"1686433662199": 0.5}],
    ],
)
def test_trends(trend: Any) -> None:
    answer = read_tolerant(monitoring.DeviceInfo, {"CpuUtilizationList": trend})
    assert answer.cpu_utilization_list == [{"1686433662199": 0.5}, {"1686470662199": 0.3}]


@pytest.mark.parametrize("env", [[{"Name": "A", "Value": "b"}], [{"A": "b"}], {"A": "b"}])
def test_environments(env: Any) -> None:
    answer = read_tolerant(cap.AlgoServiceDetailResponse, {"Code": 0, "Data": {"Env": env}})
    assert answer.data.env == [cap.EnvItem(name="A", value="b")]


@pytest.mark.parametrize("labels", [[{"Name": "app", "Value": "x"}], {"app": "x"}])
def test_labels_of_a_pod(labels: Any) -> None:
    answer = read_tolerant(
        ccp.AlgoServiceDetailResponse, {"Code": "0", "Data": {"Labels": labels, "HostIP": "10.0.0.1"}}
    )
    assert answer.data.labels == [ccp.Label(name="app", value="x")]
    assert answer.data.host_ip == "10.0.0.1"


def test_a_task_bare_or_wrapped() -> None:
    inner = {"ID": "i", "RulesParams": [{"EventID": "x", "Own": 1}]}
    bare = read_tolerant(instances.TaskInstanceDetailResponse, {"Code": 0, "Data": inner}).data
    wrapped = read_tolerant(
        instances.TaskInstanceDetailResponse, {"Code": 0, "Data": {"TaskInfo": inner, "Status": "RUNNING"}}
    ).data
    assert bare is not None
    assert wrapped is not None
    assert bare.id == wrapped.id == "i"
    assert bare.rules_params == wrapped.rules_params == inner["RulesParams"]
    assert wrapped.status == "RUNNING"


@pytest.mark.parametrize(
    ("given_value", "read"), [("8", 8), (8.0, 8), ("8.0", 8), (True, None), ("8 cores", None), (2**70, None)]
)
def test_integers(given_value: Any, read: int | None) -> None:
    if given_value == 2**70:
        with pytest.raises(InvalidField, match="outside 64 bits"):
            read_tolerant(monitoring.DeviceInfo, {"Cpu": given_value})
        return
    assert read_tolerant(monitoring.DeviceInfo, {"Cpu": given_value}).cpu == read


@pytest.mark.parametrize(
    ("given_value", "read"), [("0.5", 0.5), (1, 1.0), ("nan", None), ("inf", None), ([], None)]
)
def test_numbers(given_value: Any, read: float | None) -> None:
    assert read_tolerant(monitoring.DeviceInfo, {"MemoryUsed": given_value}).memory_used == read


@pytest.mark.parametrize(
    ("given_value", "read"), [("true", True), (1, True), ("0", False), (False, False), ("on", None)]
)
def test_booleans(given_value: Any, read: bool | None) -> None:
    assert read_tolerant(monitoring.DeviceInfo, {"IsOnline": given_value}).is_online is read


def test_exact_integers_as_texts() -> None:
    answer = read_tolerant(cad.AlgoTaskSearchResponse, {"Code": 0, "Data": {"TotalSize": "9007199254740993"}})
    assert answer.data.total_size == 9007199254740993


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        (cad.AlgoTaskSearchResponse, {"Code": 0, "Data": 5}, "$.Data: must be an object, not a number"),
        (cad.AlgoTaskSearchResponse, {"Code": 0, "Data": "x"}, "$.Data: must be an object, not a string"),
        (cad.AlgoTaskSearchResponse, {"Code": 0, "Data": {"Records": 5}}, "$.Data.Records: must be a list, not a number"),
        (cad.AlgoTaskSearchResponse, {"Code": 0, "Data": {"Records": [5]}}, "$.Data.Records[0]: must be an object, not a number"),
        (cad.AlgoTaskSearchResponse, [], "$: must be an object, not a list"),
        (cad.AlgoTaskSearchResponse, None, "$: must be an object, not null"),
        (paging.EmptyResponse, {"Code": 0, "Message": "\x00"}, "$.Message: holds U+0000"),
    ],
)  # fmt: skip
def test_what_is_not_forgiven(kind: type[Any], body: Any, words: str) -> None:
    with pytest.raises(InvalidField) as fault:
        read_tolerant(kind, body)
    assert fault.value.message == words


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b"[" * 100_000])
def test_answers_that_are_no_json(body: bytes) -> None:
    with pytest.raises(MalformedJson):
        read_tolerant(paging.EmptyResponse, body)


def test_a_token_comes_back() -> None:
    answer = read_tolerant(computility.RegisterResponse, b'{"Code":"0","Message":"ok","Data":{"Token":"t"}}')
    assert answer.data is not None
    assert answer.data.token == "t"


@pytest.mark.parametrize(
    ("said", "read"),
    [(127.8, 128), ("127.8", 128), ("128", 128), ("64%", 64), (1e300, None), ("%", None), (True, None)],
)
def test_an_integer_measured_more_finely_is_rounded(said: Any, read: int | None) -> None:
    assert read_tolerant(monitoring.DeviceInfo, {"Memory": said}).memory == read


@pytest.mark.parametrize(
    ("said", "read"), [("23.3%", 23.3), (" 23.3 % ", 23.3), ("x%", None), ("nan%", None)]
)
def test_a_percentage_is_read_without_its_sign(said: Any, read: float | None) -> None:
    answer = read_tolerant(
        monitoring.DeviceInfo, {"CpuUtilization": said, "CpuUtilizationList": {"5.0": said}}
    )
    assert answer.cpu_utilization == read
    assert answer.cpu_utilization_list == ([] if read is None else [{"5": read}])


@pytest.mark.parametrize("code", ["0%", 0.3, "0.3", -0.4])
def test_a_code_is_never_rounded_to_success(code: Any) -> None:
    assert read_tolerant(paging.EmptyResponse, {"Code": code, "Message": "m"}).code is None
