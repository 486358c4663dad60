"""Two acsmpds: the upper is the platform, the lower a CAP of it with two CADs below, by the standard alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from acsmpd.store import services
from acsmpd.store.tables import Service
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.wait import wait_until

LOWER = "11010000005020000077"
FIRST, SECOND = "11010000005050000081", "11010000005050000082"
DEVICES = "/ACSMP/AlgoServices/Devices"


class Line(NamedTuple):
    """The upper, the lower, and the two CADs below it."""

    upper: Site
    lower: Site
    cads: tuple[FakeCad, FakeCad]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    password = tmp_path / "password"
    password.write_text("Site-Passw0rd-77\n")
    with running(tmp_path / "upper") as upper, FakeCad(FIRST) as one, FakeCad(SECOND) as two:
        entry = {
            "url": upper.url, "code": LOWER, "type": "CAP", "username": "site",
            "password_file": str(password), "keepalive_seconds": 1,
        }  # fmt: skip
        settings = {"site_code": LOWER, "upstream": json.dumps([entry]), "local_enabled": "false"}
        with running(tmp_path / "lower", **settings) as lower:
            for cad in (one, two):
                assert cad.register(lower.url).accepted
                lower.until(f"/ACSMP/Computility/{cad.code}", lambda d: d["State"] == "online")
            upper.until(f"/ACSMP/Computility/{LOWER}", lambda d: d["State"] == "online", seconds=30)
            yield Line(upper, lower, (one, two))


def loaded(line: Line, tmp_path: Path, **more: Any) -> str:
    """Import above, load on the site, wait until it runs."""
    if line.upper.client.get(f"/ACSMP/AlgoFilePackages/{PACKAGE_ID}").code:
        assert line.upper.client.upload(make_package(tmp_path)).code == 0
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": LOWER, **more}
    service = str(line.upper.client.fine("POST", DEVICES, body))
    line.upper.until(f"{DEVICES}/{LOWER}/{service}", lambda d: d["Status"] == "RUNNING", seconds=40)
    return service


def services_of(lower: Site) -> list[dict[str, Any]]:
    """What was loaded from above, one row for each load."""
    assert lower.app is not None
    with lower.app.store.read() as tx:
        return list(tx.rows(services.search(Service.origin == LOWER)))


def start(line: Line, number: int = 1) -> int:
    infos = [task_info(url=f"rtsp://10.0.0.9/{place}") for place in range(number)]
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True, "AutoRestart": True,
        "AlgoTaskInfos": infos,
    }  # fmt: skip
    plan = int(line.upper.client.fine("POST", "/ACSMP/Tasks", body))
    line.upper.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == number, seconds=40)
    return plan


def test_a_job_goes_through_the_site_to_its_devices_and_back(line: Line, tmp_path: Path) -> None:
    upper, lower, cads = line
    upper.until(f"/ACSMP/Computility/{LOWER}", lambda d: len(d.get("Info", {}).get("DeviceInfos", ())) == 2)
    service = loaded(line, tmp_path, Replicas=2)
    assert all(len(cad.asked("install_algo_package")) == 1 for cad in cads)
    plan = start(line, 4)
    assert [len(cad.running_tasks()) for cad in cads] == [2, 2]
    below = lower.client.fine("POST", "/ACSMP/TaskInstances/Search", {})["PageContent"]
    assert len(below) == 4

    # results go up, named as the upper knows them
    [said] = cads[0].send_result(cads[0].running_tasks()[0].task_id)
    assert said.accepted, said
    found: list[Any] = []

    def arrived() -> bool:
        found[:] = upper.client.fine("POST", "/ACSMP/Results/Search", {"TaskID": plan})["PageContent"]
        return bool(found)

    wait_until(arrived, what="the result above")
    instances = {one["ID"] for one in upper.client.fine("GET", f"/ACSMP/Tasks/{plan}")["AlgoTaskInfos"]}
    assert {found[0]["TaskID"], found[0]["InstanceID"]} <= instances
    assert found[0]["AlgoServiceID"] in {one["id"] for one in services_of(lower)}, (
        "the site's own ID, no device's"
    )

    # stop, start, delete go all the way down
    upper.client.fine("POST", f"/ACSMP/Tasks/{plan}/Stop")
    wait_until(lambda: not any(cad.running_tasks() for cad in cads), what="everything stopped")
    upper.client.fine("POST", f"/ACSMP/Tasks/{plan}/Start")
    wait_until(lambda: sum(len(cad.running_tasks()) for cad in cads) == 4, what="everything running")
    upper.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    wait_until(lambda: not any(cad.tasks for cad in cads), what="no task below")
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": LOWER, "AlgoServiceID": service}
    upper.client.fine("POST", f"{DEVICES}/UnInstall?Wait=20", body)
    upper.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/Devices/{LOWER}/{PACKAGE_ID}?Wait=20")
    wait_until(lambda: not any(cad.packages for cad in cads), what="no package below")
    assert lower.client.fine("POST", "/ACSMP/AlgoFilePackages/Search", {}) == []
