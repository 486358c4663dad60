"""The fake platform by itself: it takes what the contract prints, and answers in the shapes it prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from acsmpd.spec.operation import Face
from acsmpd.spec.tables import OPERATIONS
from tests.support.fake_cap import FakeCap

EXAMPLES = json.loads((Path(__file__).parents[1] / "contract/examples/part4-cap.json").read_text())
PACKAGE = EXAMPLES["create_algo_service"]["request"]["AlgoFilePackageID"]


@pytest.fixture
def cap() -> Iterator[FakeCap]:
    with FakeCap() as one:
        one.add_foreign_service(PACKAGE)
        package = one.package(PACKAGE)
        package.name, package.version = "megcity-a2", "2.0.1"
        yield one


def ask(cap: FakeCap, method: str, path: str, body: Any = None) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, f"{cap.url}/CAP/{path}", json=body, timeout=10)
    assert answer.status_code in (200, 404)
    found: dict[str, Any] = answer.json()
    return found


def data(cap: FakeCap, method: str, path: str, body: Any = None) -> Any:
    answer = ask(cap, method, path, body)
    assert answer["Code"] == 0, answer
    return answer.get("Data")


def shape(value: Any) -> Any:
    """The members of a value, and of what is in it."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


def test_every_row_has_its_work(cap: FakeCap) -> None:
    assert set(cap.handlers()) == {row.id for row in OPERATIONS if row.face is Face.CAP}
    assert len(cap.handlers()) == 17


@pytest.mark.parametrize(
    ("name", "method", "path"),
    [
        ("create_algo_service", "POST", "AlgoServices"), ("create_algo_task", "POST", "AlgoTasks"),
        ("search_algo_file_packages", "POST", "AlgoFilePackages:search"),
        ("search_algo_services", "POST", "AlgoServices:search"), ("search_algo_tasks", "POST", "AlgoTasks:search"),
        ("search_algo_services", "POST", "AlgoServices/search"),
    ],
)  # fmt: skip
def test_printed_requests_are_taken(cap: FakeCap, name: str, method: str, path: str) -> None:
    assert data(cap, method, path, EXAMPLES[name]["request"])


def test_the_status_has_the_printed_shape(cap: FakeCap) -> None:
    answer = ask(cap, "GET", "Status")
    printed = EXAMPLES["get_cap_status"]["response"]["Data"]
    assert set(answer) == {"Code", "Message", "Data", "RequestId"}
    for part in ("BasicInfo", "OpsInfo"):
        assert [set(one) for one in answer["Data"][part]] == [set(one) for one in printed[part]]


def test_a_service_has_the_printed_shape_once_it_is_told_to(cap: FakeCap) -> None:
    service = data(cap, "POST", "AlgoServices", EXAMPLES["create_algo_service"]["request"])["AlgoServiceID"]
    cap.list_by_example()
    shown = data(cap, "GET", f"AlgoServices/{service}")
    assert shape(shown) == shape(EXAMPLES["get_algo_service"]["response"]["Data"])
    assert (shown["Status"], len(shown["ReplicasDetail"])) == ("runing", 2)
    assert data(cap, "DELETE", f"AlgoServices/{service}") is None
    assert ask(cap, "GET", f"AlgoServices/{service}")["Code"] == 40401


def test_a_service_with_a_task_is_not_unloaded(cap: FakeCap) -> None:
    data(cap, "POST", "AlgoTasks", EXAMPLES["create_algo_task"]["request"])
    [service] = cap.services
    assert ask(cap, "DELETE", f"AlgoServices/{service}")["Code"] == 40901
    assert ask(cap, "DELETE", f"AlgoFilePackages/{PACKAGE}")["Code"] == 40901
    [task] = cap.tasks
    data(cap, "DELETE", f"AlgoTasks/{task}")
    data(cap, "DELETE", f"AlgoServices/{service}")
    data(cap, "DELETE", f"AlgoFilePackages/{PACKAGE}")
    assert (cap.tasks, cap.services, cap.packages) == ({}, {}, {})


@pytest.mark.parametrize(
    "change", [{"HostName": "10.9.9.9"}, {"AlgoFilePackageID": "1" * 40}, {"Replicas": 0}]
)
def test_what_cannot_be_loaded_is_refused(cap: FakeCap, change: dict[str, Any]) -> None:
    assert (
        ask(cap, "POST", "AlgoServices", {**EXAMPLES["create_algo_service"]["request"], **change})["Code"]
        != 0
    )
    assert len(cap.services) == 1


def test_a_task_needs_a_service_or_labels(cap: FakeCap) -> None:
    asked = EXAMPLES["create_algo_task"]["request"]
    bare = {**asked, "TaskInfo": {**asked["TaskInfo"], "Labels": {}}}
    assert ask(cap, "POST", "AlgoTasks", bare)["Code"] == 40002
    assert ask(cap, "POST", "AlgoTasks", {**bare, "AlgoServiceID": "nobody"})["Code"] == 40901
    [service] = cap.services
    assert data(cap, "POST", "AlgoTasks", {**bare, "AlgoServiceID": service})["AlgoServiceID"] == service


def test_packages_by_the_ids_of_the_example(cap: FakeCap) -> None:
    cap.ids_of_its_own()
    [record] = data(cap, "POST", "AlgoFilePackages:search", {})["Records"]
    printed = EXAMPLES["search_algo_file_packages"]["response"]["Data"]["Records"][0]
    assert set(printed) - set(record) == {"Description"}
    assert data(cap, "GET", f"AlgoFilePackages/{record['ID']}")["Name"] == "megcity-a2"


def test_an_executable_of_another_md5_is_refused(cap: FakeCap) -> None:
    asked = {**EXAMPLES["push_exec_file"]["request"], "Url": f"{cap.url}/CAP/Status"}
    assert ask(cap, "POST", "AlgoFilePackages:pushExecFile", asked)["Code"] == 42201
    assert cap.programs == {}
