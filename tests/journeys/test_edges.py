"""Edge devices under a prefix of their own, and direct devices: the whole way to a result, over real HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.wait import wait_until

DEVICES = "/ACSMP/AlgoServices/Devices"


def start(site: Site, **more: Any) -> int:
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
        "AlgoTaskInfos": [task_info(**more)],
    }  # fmt: skip
    return int(site.client.fine("POST", "/ACSMP/Tasks", body))


def ends_with_a_result(site: Site, box: FakeCad, plan: int) -> None:
    """It runs once, its result arrives, and after a restart all is as before; then it goes."""
    shown = site.until(f"/ACSMP/Tasks/{plan}", lambda found: found["RunningCount"] == 1)
    instance = shown["AlgoTaskInfos"][0]["ID"]
    [task] = box.running_tasks()
    assert task.sent_id == instance
    [said] = box.send_result(task.task_id)
    assert said.accepted, said
    assert site.client.fine("POST", "/ACSMP/Results/Search", {"InstanceID": instance})["Total"] == 1
    site.restart()
    looks = len(box.asked("search_algo_tasks")) + 3
    wait_until(lambda: len(box.asked("search_algo_tasks")) >= looks, what="looks after the restart")
    assert [one.task_id for one in box.running_tasks()] == [task.task_id]
    assert len(box.asked("create_algo_task")) == 1
    site.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    assert box.tasks == {}


@pytest.mark.parametrize("kind", ["EDGE_COMPUTE_DEVICE", "AI_BOX"])
def test_an_edge_device_is_spoken_to_under_its_own_prefix(site: Site, tmp_path: Path, kind: str) -> None:
    """Not under /CAD, which is the usual one: until an operator says so nothing is done there."""
    with FakeCad(prefix="/box/v2") as box:
        assert box.register(site.url, kind=kind).accepted
        path = f"/ACSMP/Computility/{box.code}"
        shown = site.until(path, lambda found: "HTTP 404" in found.get("Reason", ""))
        assert (shown["Family"], shown["Prefix"], shown["State"]) == ("edge", "/CAD", "unreachable")
        site.client.fine("PUT", path, {"Prefix": "/box/v2"})
        site.until(path, lambda found: found["State"] == "online")
        assert site.client.upload(make_package(tmp_path)).code == 0
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": box.code}
        site.client.fine("POST", f"{DEVICES}?Wait=20", body)
        assert box.packages == {PACKAGE_ID: "RUNNING"}
        assert box.register(site.url, kind=kind).accepted  # it starts anew: the operator's word stays
        assert site.client.fine("GET", path)["Prefix"] == "/box/v2"
        ends_with_a_result(site, box, start(site))
        site.client.fine("POST", f"{DEVICES}/UnInstall?Wait=20", body)
        assert box.packages == {PACKAGE_ID: "STOPPED"}
        named = {call.path.partition("/box/v2")[0] for call in box.calls() if call.operation}
        assert named == {""}


def test_the_usual_prefix_of_a_site_is_a_setting(tmp_path: Path) -> None:
    with running(tmp_path / "site", facade_edge_prefix="/EDGE") as site, FakeCad(prefix="/EDGE") as box:
        assert box.register(site.url, kind="AI_BOX").accepted
        site.until(f"/ACSMP/Computility/{box.code}", lambda found: found["State"] == "online")
        box.needs_service = False
        plan = start(site, ComputilityCode=box.code)
        site.until(f"/ACSMP/Tasks/{plan}", lambda found: found["TotalCount"] == 1)
        assert box.calls("POST", "/EDGE/AlgoTasks:search")


@pytest.mark.parametrize("kind", ["AI_CAMERA", "FRONT_END_DEVICE"])
def test_a_direct_device_takes_what_an_operator_says_it_can(site: Site, kind: str) -> None:
    """Nothing by itself before; Labels as given; no services ever (the rows are in test_bad_devices)."""
    with FakeCad() as camera:
        camera.needs_service = False
        assert camera.register(site.url, kind=kind).accepted
        path = f"/ACSMP/Computility/{camera.code}"
        shown = site.until(path, lambda found: found["State"] == "online")
        assert (shown["Family"], shown["SupportAlgoService"], shown["StreamLimit"]) == ("direct", False, 1)
        labels = {"AlgoCaBinName": "built-in", "Version": "7", "Zone": "gate"}
        plan = start(site, Labels=labels)
        looks = len(camera.asked("search_algo_tasks")) + 3
        wait_until(lambda: len(camera.asked("search_algo_tasks")) >= looks, what="looks")
        assert camera.tasks == {}
        site.client.fine("PUT", path, {"Capabilities": ["INTRUSION"]})
        wait_until(lambda: camera.running_tasks(), what="the task there")
        [call] = camera.asked("create_algo_task")
        assert call.json["TaskInfo"]["Labels"] == labels
        assert "AlgoServiceID" not in call.json
        ends_with_a_result(site, camera, plan)
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": camera.code}
        answer = site.client.post(DEVICES, body)
        assert (answer.status, answer.code) == (409, 40904), answer
