"""Tables 37-43 of Part 4 as this site serves them: tasks placed among a platform's own services, or on a named one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.api import facade_files
from acsmpd.store import plans, services
from acsmpd.store.tables import Load, Task
from tests.api.cap_setup import (
    BELOW,
    EDGE,
    FIRST,
    LABELS,
    OTHER,
    SECOND,
    TASKS,
    bring,
    changes,
    create,
    created,
    load,
    loaded,
    places,
    runs,
    site,
)  # fmt: skip
from tests.api.face_setup import SITE_CODE, TOKENS, Face
from tests.support.packaging import PACKAGE_ID, make_package, task_info

THEIR_ID = "70553686-096f-488b-8151-9c1e47adafa5"
NEWER_ID = PACKAGE_ID[:-1] + "2"


@pytest.fixture
def face(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Face]:
    """A site to which the platform above has brought the test package."""
    monkeypatch.setattr(facade_files, "HOLD_SECONDS", 0.0)
    with site(tmp_path / "site") as one:
        bring(one, make_package(tmp_path))
        yield one


def records(face: Face, token: str = TOKENS[SITE_CODE], **asked: Any) -> list[str]:
    page = face.fine("POST", f"{TASKS}:search", asked, token=token)
    return [record["TaskInfo"]["ID"] for record in page["Records"]]


def wanted(face: Face, instance: str) -> list[str]:
    with face.store.read() as tx:
        return [one.wanted for one in plans.tasks(tx, Task.instance_id == instance)]


def test_by_labels_a_task_is_bound_to_no_device_and_to_no_service(face: Face) -> None:
    runs(face, loaded(face, Replicas=2))
    given = task_info(Labels={**LABELS, "Anything": {"is": ["kept"]}}, ID=THEIR_ID)
    data = create(face, TaskInfo=given).data
    task = data.pop("TaskInfo")
    assert data == {"Status": "PENDING", "RestartPolicy": "ALWAYS", "CreateAndStartTask": True}
    row = face.instance(task.pop("ID"))
    assert task.pop("Number") == 1
    assert task == {name: value for name, value in given.items() if name != "ID"}
    assert (row["device"], row["service_id"], row["origin"], row["caller_id"]) == (
        "",
        "",
        SITE_CODE,
        THEIR_ID,
    )
    assert len(face.loads()) == 2, "nothing more was loaded"
    # the repeat of a create whose answer was lost
    assert create(face, TaskInfo=given).data["TaskInfo"]["ID"] == row["id"]
    assert create(face, TaskInfo=given, RestartPolicy="NEVER").data["TaskInfo"]["ID"] != row["id"]


def test_a_service_that_is_named_is_the_one_or_a_fault(face: Face) -> None:
    first, second = loaded(face, HostName="first"), loaded(face, HostName="second")
    instance = created(face, AlgoServiceID=second)
    assert face.instance(instance)["service_id"] == second
    theirs = create(face, AlgoServiceID="00000000-0000-4000-8000-000000000000")
    assert (theirs.code, "is loaded" in theirs.message) == (40401, True), theirs
    said = create(face, token=OTHER, AlgoServiceID=first)
    assert said.code == 40401, said
    assert created(face, TaskInfo=task_info(), AlgoServiceID=first), "Labels are not needed then"


def test_a_package_that_is_not_loaded_is_loaded_for_the_task(face: Face) -> None:
    for code in (SITE_CODE, BELOW, EDGE, SECOND):
        changes(face, code, maintenance=True)
    paused = created(face, CreateAndStartTask=False)
    assert face.loads() == []
    assert face.fine("GET", f"{TASKS}/{paused}")["Status"] == "PAUSED"
    face.fine("POST", f"{TASKS}/{paused}:resume")
    [row] = face.loads()
    assert (row["device"], row["origin"]) == (FIRST, SITE_CODE)
    created(face)
    assert len(face.loads()) == 1
    # nowhere to load it
    for one in face.loads():
        face.drops(one["load_id"])
    changes(face, FIRST, maintenance=True)
    said = create(face)
    assert said.code == 40903, said


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"TaskInfo": task_info()}, 40001),
        ({"TaskInfo": task_info(Labels={"AlgoCaBinName": "nothing-here"})}, 40401),
        ({"TaskInfo": task_info("SMOKE", Labels=LABELS)}, 40001),
        ({"TaskInfo": task_info(Labels=[])}, 40001),
        ({"TaskInfo": "x"}, 40001),
        ({"TaskInfo": {}}, 40002),
        ({"RestartPolicy": "SOMETIMES"}, 40001),
        ({"AlgoServiceID": 7}, 40001),
        ({"CreateAndStartTask": "yes"}, 40001),
    ],
)
def test_what_is_no_task_is_refused(face: Face, more: Any, code: int) -> None:
    said = create(face, **more)
    assert said.code == code, said
    assert records(face) == []


def test_an_unpaused_service_with_tasks_does_not_go(face: Face) -> None:
    service = loaded(face, HostName="first")
    runs(face, service)
    instance = created(face, AlgoServiceID=service)
    [row] = face.loads()
    face.placed(instance, row["load_id"], FIRST, status="RUNNING")
    said = face.ask("DELETE", f"/CAP/AlgoServices/{service}")
    assert (said.code, instance in said.message) == (40901, True), said
    face.fine("POST", f"{TASKS}/{instance}:pause")
    with face.store.write() as tx:
        tx.run(Task.update(wanted="paused", status="PAUSED"))
    assert face.ask("DELETE", f"/CAP/AlgoServices/{service}").code == 0
    for one in face.loads():
        face.drops(one["load_id"])
    # the service it named is gone, and no other takes its place
    assert face.ask("POST", f"{TASKS}/{instance}:resume").code == 40401


def test_a_task_shows_its_service_and_moves_under_its_id(face: Face) -> None:
    for code in (SITE_CODE, BELOW, EDGE):
        changes(face, code, maintenance=True)
    service = loaded(face, Replicas=2)
    runs(face, service)
    instance = created(face)
    assert "AlgoServiceID" not in face.fine("GET", f"{TASKS}/{instance}")
    for row in face.loads():
        face.placed(instance, row["load_id"], row["device"], status="RUNNING")
        data = face.fine("GET", f"{TASKS}/{instance}")
        assert (data["TaskInfo"]["ID"], data["AlgoServiceID"]) == (instance, service)
        with face.store.write() as tx:
            plans.take_off(tx, [instance], 5)


def test_an_update_moves_only_what_its_labels_move(face: Face, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    newer = make_package(tmp_path / "new", package_id=NEWER_ID, name="newer", codes=("NEWER-1.0.0",))
    bring(face, newer, NEWER_ID)
    service = loaded(face, HostName="first")
    runs(face, service)
    instance = created(face)
    [row] = face.loads()
    face.placed(instance, row["load_id"], FIRST, status="RUNNING")
    body = {"RestartPolicy": "ALWAYS", "TaskInfo": task_info(url="rtsp://10.0.0.9/other", Labels=LABELS)}
    assert face.fine("PUT", f"{TASKS}/{instance}", body)["AlgoServiceID"] == service
    assert wanted(face, instance) == ["running"], "another stream is a change where it is"
    assert (
        face.fine("PUT", f"{TASKS}/{instance}", {**body, "TaskInfo": task_info()})["AlgoServiceID"] == service
    )
    body["TaskInfo"] = task_info(Labels={"AlgoCaBinName": "newer"})
    face.fine("PUT", f"{TASKS}/{instance}", body)
    assert wanted(face, instance) == ["gone"]
    assert {row["package_id"] for row in face.loads()} == {PACKAGE_ID, NEWER_ID}, "which is loaded for it"
    other = face.ask(
        "PUT", f"{TASKS}/{instance}", {**body, "TaskInfo": task_info(Labels=LABELS, ID="another")}
    )
    assert other.code == 40001


def test_a_never_task_is_changed_while_it_is_paused(face: Face) -> None:
    runs(face, loaded(face))
    instance = created(face, RestartPolicy="NEVER")
    body = {"RestartPolicy": "NEVER", "TaskInfo": task_info(Labels=LABELS)}
    assert face.ask("PUT", f"{TASKS}/{instance}", body).code == 40901
    face.fine("POST", f"{TASKS}/{instance}/pause")
    assert face.ask("PUT", f"{TASKS}/{instance}", body).code == 0


def test_each_platform_has_its_own_tasks(face: Face) -> None:
    runs(face, loaded(face))
    mine = [created(face) for _ in range(3)]
    assert records(face, PageSize=2) == mine[:2]
    assert records(face, EventID="INTRUSION", RestartPolicy="ALWAYS", Status="PENDING") == mine
    assert records(face, EventID="SMOKE") == []
    assert records(face, token=OTHER) == []
    for method, path in (
        ("GET", ""), ("DELETE", ""), ("POST", ":pause"), ("POST", ":resume"),
    ):  # fmt: skip
        assert face.ask(method, f"{TASKS}/{mine[0]}{path}", token=OTHER).code == 40401, path
        assert face.ask(method, f"{TASKS}/none{path}").code == 40401, path
    assert face.ask("DELETE", f"{TASKS}/{mine[0]}").code == 0
    assert records(face) == mine[1:]


def test_the_sites_own_tasks_are_seen_where_they_may_be_and_never_changed(tmp_path: Path) -> None:
    with site(tmp_path / "site", facade_show_local="true") as face:
        face.imported_here(make_package(tmp_path))
        plan = {"Name": "own", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AlgoTaskInfos": [task_info()]}
        face.fine("POST", "/ACSMP/Tasks", plan, token="key-boss")
        [own] = records(face)
        assert face.fine("GET", f"{TASKS}/{own}")["Status"] == "PAUSED"
        for method, path in (("DELETE", ""), ("POST", ":pause"), ("POST", ":resume")):
            assert face.ask(method, f"{TASKS}/{own}{path}").code == 40301
        assert load(face).code == 40301, "nor its packages used"
        assert create(face).code == 40401


def test_a_service_may_lose_a_load_and_stays_itself(face: Face) -> None:
    """An operator of the site takes one load away by force; the platform above still has its service."""
    for code in (SITE_CODE, BELOW, EDGE):
        changes(face, code, maintenance=True)
    service = loaded(face, Replicas=2)
    runs(face, service)
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": FIRST}
    assert (
        face.ask("POST", "/ACSMP/AlgoServices/Devices/UnInstall?Force=true", body, token="key-boss").code == 0
    )
    assert places(face, service) == [SECOND]
    assert face.fine("GET", f"/CAP/AlgoServices/{service}")["Status"] == "RUNNING"
    with face.store.read() as tx:
        assert len(services.loads(tx, Load.service_id == service, Load.wanted == False)) == 1  # noqa: E712
