"""Two acsmpds: the upper is the platform, the lower a CAP of it with two CADs below, by the standard alone."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from acsmpd.store import services
from acsmpd.store.tables import Service
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, md5_of, task_info, write_tar
from tests.support.site import Site, running
from tests.support.wait import wait_until
from tests.wire.servers import Handler, serving

LOWER = "11010000005020000077"
FIRST, SECOND = "11010000005050000081", "11010000005050000082"
OTHER = PACKAGE_ID[:-1] + "2"
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
        settings = {
            "site_code": LOWER, "upstream": json.dumps([entry]), "local_enabled": "false",
            "computility_suspect_seconds": "2", "computility_lost_seconds": "3",
        }  # fmt: skip
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


WORK = ("push_algo_file_package", "install_algo_package", "uninstall_algo_package", "create_algo_task",
        "update_algo_task", "delete_algo_task", "resume_algo_task", "pause_algo_task")  # fmt: skip
"""What changes something on a CAD."""


def work(cad: FakeCad) -> dict[str, int]:
    return {name: len(cad.asked(name)) for name in WORK}


def node_of(line: Line, code: str) -> str:
    """The address under which the upper knows a computility of the site."""
    own = line.lower.as_role("system_admin").fine("GET", "/CAP/Status")["BasicInfo"]
    return str(next(node["Ip"] for node in own if node["ComputilityCode"] == code))


def test_no_change_above_touches_what_it_does_not_concern(line: Line, tmp_path: Path) -> None:
    """Part 4 7.1.2 b, 7.1.3 b, 7.1.4 c: counted in calls at the devices."""
    upper, _, (one, two) = line
    upper.until(f"/ACSMP/Computility/{LOWER}", lambda d: len(d.get("Info", {}).get("DeviceInfos", ())) == 2)
    address = node_of(line, FIRST)
    service = loaded(line, tmp_path, HostName=address)
    detail = upper.client.fine("GET", f"{DEVICES}/{LOWER}/{service}")
    assert (detail["HostName"], work(two)["install_algo_package"]) == (address, 0)
    start(line, 2)
    before, ids = work(one), {task.task_id for task in one.running_tasks()}
    assert (before["create_algo_task"], len(ids)) == (2, 2)

    # another package, another service, other tasks come and go, on the other device
    (tmp_path / "other").mkdir()
    other = make_package(
        tmp_path / "other", package_id=OTHER, name="other", codes=("OTHER-1.0.0",), events=("SMOKE",)
    )
    assert upper.client.upload(other).code == 0
    body = {"AlgoFilePackageID": OTHER, "ComputilityCode": LOWER, "HostName": node_of(line, SECOND)}
    second = str(upper.client.fine("POST", DEVICES, body))
    upper.until(f"{DEVICES}/{LOWER}/{second}", lambda d: d["Status"] == "RUNNING", seconds=40)
    plan = {"Name": "other", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True}
    number = upper.client.fine("POST", "/ACSMP/Tasks", {**plan, "AlgoTaskInfos": [task_info("SMOKE")]})
    upper.until(f"/ACSMP/Tasks/{number}", lambda d: d["RunningCount"] == 1, seconds=40)
    upper.client.fine("DELETE", f"/ACSMP/Tasks/{number}?Wait=20")
    gone = {"AlgoFilePackageID": OTHER, "ComputilityCode": LOWER, "AlgoServiceID": second}
    upper.client.fine("POST", f"{DEVICES}/UnInstall?Wait=20", gone)
    upper.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/Devices/{LOWER}/{OTHER}?Wait=20")
    wait_until(lambda: OTHER not in two.packages, what="the other package gone")
    assert work(one) == before
    assert {task.task_id for task in one.running_tasks()} == ids
    assert work(two)["install_algo_package"] == work(two)["uninstall_algo_package"] == 1


def test_work_moves_inside_the_site_and_nothing_above_sees_it(line: Line, tmp_path: Path) -> None:
    upper, lower, (one, two) = line
    upper.until(f"/ACSMP/Computility/{LOWER}", lambda d: len(d.get("Info", {}).get("DeviceInfos", ())) == 2)
    loaded(line, tmp_path, Replicas=2)
    plan = start(line, 2)
    search = "/ACSMP/TaskInstances/Search"
    above = {row["ID"]: row["AlgoServiceID"] for row in upper.client.fine("POST", search, {})["PageContent"]}
    below = {row["ID"] for row in lower.client.fine("POST", search, {})["PageContent"]}
    one.vanish()
    wait_until(lambda: len(two.running_tasks()) == 2, seconds=40, what="both on the device that is left")
    upper.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == 2)
    assert {row["ID"] for row in lower.client.fine("POST", search, {})["PageContent"]} == below
    assert {
        row["ID"]: row["AlgoServiceID"] for row in upper.client.fine("POST", search, {})["PageContent"]
    } == above
    nodes = lower.as_role("system_admin").fine("GET", "/CAP/Status")["BasicInfo"]
    assert {node["ComputilityCode"]: node["State"] for node in nodes}[FIRST] == "lost"
    upper.until(
        f"/ACSMP/Computility/{LOWER}",
        lambda d: [one["IsOnline"] for one in d["Info"]["DeviceInfos"]].count(False) == 1,
    )


def test_a_package_in_two_parts_becomes_a_service_on_a_device(line: Line, tmp_path: Path) -> None:
    """Over real HTTP, by somebody with the right `federation`: fetched, put together, delivered whole."""
    _, lower, (one, _) = line
    person, whole = lower.as_role("viewer", "federation"), make_package(tmp_path)
    part, inside = tmp_path / "part.tar", tmp_path / "inside.tar"
    with tarfile.open(whole) as tar:
        texts = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    write_tar(part, {"algo.yaml": texts["algo.yaml"]})
    write_tar(inside, {"run.sh": texts["bin/run.sh"]})

    def script(handler: Handler) -> None:
        handler.reply(200, (part if handler.path == "/part" else inside).read_bytes())

    def status() -> int:
        return int(person.fine("GET", f"/CAP/AlgoFilePackages/{PACKAGE_ID}")["Status"])

    with serving(script) as server:
        push = {"AlgoFilePackageID": PACKAGE_ID, "Url": f"{server.url}/part", "MD5": md5_of(part)}
        person.fine("POST", "/CAP/AlgoFilePackages", push)
        wait_until(lambda: status() == 1, what="the package without its executable")
        more = {
            "AlgoFilePackageID": PACKAGE_ID,
            "Url": f"{server.url}/inside",
            "MD5": "0" * 32,
            "Type": "artifact",
        }
        person.fine("POST", "/CAP/AlgoFilePackages:pushExecFile", more)
        wait_until(lambda: status() == 4, what="a wrong MD5 to be found")
        person.fine("POST", "/CAP/AlgoFilePackages:pushExecFile", {**more, "MD5": md5_of(inside)})
        wait_until(lambda: status() == 2, what="the whole package")
    body = {"AlgoFilePackageID": PACKAGE_ID, "Replicas": 1, "XpuType": "", "HostName": FIRST}
    person.fine("POST", "/CAP/AlgoServices", body)
    wait_until(lambda: status() == 3, what="it to run")
    [file] = (lower.data / "packages" / PACKAGE_ID).iterdir()
    assert PACKAGE_ID in one.packages
    with tarfile.open(file) as tar:
        assert sorted(member.name for member in tar) == ["algo.yaml", "bin"]
