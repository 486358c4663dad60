"""Two acsmpds: A is the platform, B a CAD of it, by the published standard alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from acsmpd import offline
from acsmpd.clock import Clock
from tests.support.engines import ENGINE
from tests.support.packaging import make_package, task_info
from tests.support.site import Site, running
from tests.support.wait import wait_until

BOX = "11010000005050000077"
UPPER = "1101000000502000000120261121120000000901"
LOWER = "1101000000502000000120261121120000000902"


class Pair(NamedTuple):
    upper: Site
    lower: Site


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """B registers at A with an SM2-encrypted password; A takes it after an operator has approved it."""
    password = tmp_path / "password"
    password.write_text("Box-Passw0rd-77\n")
    with running(tmp_path / "upper", enrolment_mode="approval") as upper:
        entry = {
            "url": upper.url, "code": BOX, "type": "CAD", "username": "box",
            "password_file": str(password), "password_mode": "sm2", "keepalive_seconds": 1,
        }  # fmt: skip
        with running(tmp_path / "lower", site_code=BOX, upstream=json.dumps([entry])) as lower:
            wait_until(lambda: upper.client.get(f"/ACSMP/Computility/{BOX}").code == 0, what="the claim")
            upper.client.fine("PUT", f"/ACSMP/Computility/{BOX}", {"Approved": True})
            upper.until(f"/ACSMP/Computility/{BOX}", lambda d: d["State"] == "online", seconds=60)
            yield Pair(upper, lower)


def engine_package(folder: Path, package_id: str, name: str) -> Path:
    return make_package(
        folder, package_id=package_id, name=name, codes=(f"{name}-1.0.0",), program={"engine.py": ENGINE},
        cmd=["/usr/bin/python3", "engine.py"],
    )  # fmt: skip


def job(site: Site, package: Path, package_id: str, device: str, name: str, url: str) -> int:
    """Import, load on the device, run one task; the plan's ID."""
    assert site.client.upload(package).code == 0
    service = site.client.fine(
        "POST", "/ACSMP/AlgoServices/Devices", {"AlgoFilePackageID": package_id, "ComputilityCode": device}
    )
    site.until(
        f"/ACSMP/AlgoServices/Devices/{device}/{service}", lambda d: d["Status"] == "RUNNING", seconds=60
    )
    body = {
        "Name": name, "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True, "AutoRestart": True,
        "AlgoTaskInfos": [task_info(url=url, Labels={"AlgoCaBinName": name, "Version": "1.0.0"})],
    }  # fmt: skip
    plan: int = site.client.fine("POST", "/ACSMP/Tasks", body)
    site.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == 1, seconds=60)
    return plan


def results(site: Site, plan: int) -> Any:
    return site.client.fine("POST", "/ACSMP/Results/Search", {"TaskID": plan})


def test_the_whole_job_runs_through_the_upper_platform(pair: Pair, tmp_path: Path) -> None:
    upper, lower = pair
    plan = job(
        upper, engine_package(tmp_path, UPPER, "upper-algo"), UPPER, BOX, "upper-algo", "rtsp://10.0.0.9/u"
    )
    wait_until(lambda: results(upper, plan)["Total"] >= 2, seconds=30, what="results above")
    item = results(upper, plan)["PageContent"][0]
    instance = upper.client.fine("GET", f"/ACSMP/Tasks/{plan}")["AlgoTaskInfos"][0]["ID"]
    assert (item["InstanceID"], item["EventID"]) == (instance, "INTRUSION")
    assert item["TaskID"] == instance  # rewritten to the id the next hop knows
    shown = upper.client.fine("POST", "/ACSMP/Computility", {"ComputilityCode": BOX})["PageContent"][0]
    assert shown["DeviceInfos"][0]["Cpu"] >= 1

    # stop, start, delete go all the way down
    upper.client.fine("POST", f"/ACSMP/Tasks/{plan}/Stop")
    upper.until(f"/ACSMP/Tasks/{plan}", lambda d: d["StoppedCount"] == 1)
    states = {
        one["Status"] for one in lower.client.fine("POST", "/ACSMP/TaskInstances/Search", {})["PageContent"]
    }
    assert states <= {"PAUSED", "PENDING", "RUNNING"}
    upper.client.fine("POST", f"/ACSMP/Tasks/{plan}/Start")
    upper.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == 1)
    upper.client.fine("DELETE", f"/ACSMP/Tasks/{plan}")
    wait_until(
        lambda: lower.client.fine("POST", "/ACSMP/TaskInstances/Search", {})["TotalSize"] == 0,
        what="gone below",
    )


def test_the_sites_own_work_and_the_work_from_above_stay_strangers(pair: Pair, tmp_path: Path) -> None:
    upper, lower = pair
    above = job(
        upper, engine_package(tmp_path, UPPER, "upper-algo"), UPPER, BOX, "upper-algo", "rtsp://10.0.0.9/u"
    )
    below = job(
        lower, engine_package(tmp_path, LOWER, "lower-algo"), LOWER, BOX, "lower-algo", "rtsp://10.0.0.9/l"
    )
    before = _picture(pair)
    engines = [site.app.engine for site in pair if site.app]
    started = [engine.passes for engine in engines]
    wait_until(
        lambda: all(engine.passes >= first + 100 for engine, first in zip(engines, started, strict=True)),
        seconds=90,
        what="100 passes of both",
    )
    assert _picture(pair) == before
    foreign = upper.client.fine("GET", f"/ACSMP/Tasks/{above}")
    assert (foreign["TotalCount"], foreign["RunningCount"]) == (1, 1)
    assert lower.client.fine("GET", f"/ACSMP/Tasks/{below}")["RunningCount"] == 1
    # what came from above is not for local operators without force, nor the other way round
    [theirs] = [
        one
        for one in lower.client.fine("POST", "/ACSMP/TaskInstances/Search", {})["PageContent"]
        if one.get("TaskID") is None
    ]
    refused = lower.client.delete(f"/ACSMP/TaskInstances/{theirs['ID']}")
    assert (refused.status, refused.code) == (409, 40901)
    assert "platform" in refused.message


def _picture(pair: Pair) -> Any:
    """Everything that must not change by itself: tasks, services and packages on both, states and ids."""
    found = []
    for site, device in ((pair.upper, BOX), (pair.lower, BOX)):
        instances = site.client.fine("POST", "/ACSMP/TaskInstances/Search", {})["PageContent"]
        services = site.client.fine("POST", "/ACSMP/AlgoServices/Devices/Search", {"ComputilityCode": device})
        copies = site.client.fine(
            "POST", "/ACSMP/AlgoFilePackages/Devices/Search", {"ComputilityCode": device}
        )
        found.append(
            (
                sorted((one["ID"], one["Status"], one.get("AlgoServiceID")) for one in instances),
                sorted((one["AlgoServiceID"], one["Status"]) for one in services["Records"]),
                sorted((one["AlgoFilePackageID"], one["Status"]) for one in copies),
            )
        )
    return found


def test_the_line_is_cut_and_comes_back(pair: Pair, tmp_path: Path) -> None:
    """The upper platform restarts on the same address: nothing is done twice and no result is lost."""
    upper, lower = pair
    plan = job(
        upper, engine_package(tmp_path, UPPER, "upper-algo"), UPPER, BOX, "upper-algo", "rtsp://10.0.0.9/u"
    )
    wait_until(lambda: results(upper, plan)["Total"] >= 1, seconds=30, what="results above")
    upper.restart()
    first = results(upper, plan)["Total"]
    wait_until(
        lambda: results(upper, plan)["Total"] > first + 1, seconds=60, what="results after the restart"
    )
    upper.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == 1, seconds=60)
    total = lower.client.fine("POST", "/ACSMP/TaskInstances/Search", {})["TotalSize"]
    assert total == 1


# --- what is seen of it below --------------------------------------------------------------------------------------


def seen(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.client.fine("GET", "/ACSMP/Upstream")
    return found


def test_how_it_goes_with_the_platform_above_is_shown(pair: Pair) -> None:
    upper, lower = pair
    wait_until(lambda: seen(lower)[0]["State"] == "registered", what="the registration to be seen")
    [one] = seen(lower)
    assert one.pop("Since")
    assert one == {
        "Name": BOX, "Code": BOX, "Url": upper.url, "Type": "CAD", "State": "registered", "WaitingResults": 0,
    }  # fmt: skip
    upper.client.fine("PUT", f"/ACSMP/Computility/{BOX}", {"Enabled": False})
    wait_until(lambda: seen(lower)[0]["State"] != "registered", what="the refusal to be seen")
    assert BOX in seen(lower)[0]["Reason"]
    upper.client.fine("PUT", f"/ACSMP/Computility/{BOX}", {"Enabled": True})
    wait_until(lambda: seen(lower)[0]["State"] == "registered", what="it to be registered again")
    upper.stop()
    wait_until(lambda: seen(lower)[0]["State"] == "failing", what="the failure to be seen")
    offline.wish_upstream(lower.settings, Clock(), BOX, join=False)
    wait_until(lambda: seen(lower)[0]["State"] == "leaving", what="the wish to leave")
    upper.start()
    wait_until(lambda: seen(lower)[0]["State"] == "left", seconds=40, what="it to have left")
    assert upper.client.fine("GET", f"/ACSMP/Computility/{BOX}")["State"] == "gone"


def test_results_that_wait_for_the_platform_above_are_counted(pair: Pair, tmp_path: Path) -> None:
    upper, lower = pair
    plan = job(
        upper, engine_package(tmp_path, UPPER, "upper-algo"), UPPER, BOX, "upper-algo", "rtsp://10.0.0.9/u"
    )
    wait_until(lambda: results(upper, plan)["Total"] >= 1, seconds=30, what="results above")
    upper.stop()
    wait_until(lambda: seen(lower)[0]["WaitingResults"] >= 2, seconds=30, what="results to wait")
    upper.start()
    before = results(upper, plan)["Total"]
    wait_until(lambda: results(upper, plan)["Total"] > before + 2, seconds=60, what="them to come")


def test_without_a_platform_above_nothing_is_shown(site: Site) -> None:
    assert seen(site) == []
