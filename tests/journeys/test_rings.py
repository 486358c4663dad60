"""Platforms that lie above each other in a ring, and one that lies above itself: refused by code, and nothing grows."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.wait import wait_until

CODES = ("11010000005020000031", "11010000005020000032", "11010000005020000033")


def entry(url: str, code: str, password: Path) -> dict[str, Any]:
    return {
        "url": url, "code": code, "type": "CAP", "username": "ring", "password_file": str(password),
        "keepalive_seconds": 1,
    }  # fmt: skip


def made(folder: Path, number: int) -> Daemon:
    """A platform without computility of its own: what it is given it has to hand on."""
    settings = {"SITE_CODE": CODES[number], "LOCAL_ENABLED": "false"}
    return Daemon(folder / f"site{number}", {f"ACSMPD_{name}": value for name, value in settings.items()})


@pytest.fixture
def ring(tmp_path: Path) -> Iterator[list[Daemon]]:
    """Each is a CAP of the next, the last one of the first."""
    password = tmp_path / "password"
    password.write_text("Ring-Passw0rd-1")
    sites = [made(tmp_path, number) for number in range(3)]
    for number, site in enumerate(sites):
        above = sites[(number + 1) % 3].url
        site.also(upstream=json.dumps([entry(above, CODES[number], password)]))
    with contextlib.ExitStack() as stack:
        for site in sites:
            stack.callback(site.stop)
            site.start()
        for number, site in enumerate(sites):
            below = CODES[(number + 2) % 3]
            site.until(f"/ACSMP/Computility/{below}", lambda d: d["State"] == "online", seconds=60)
        yield sites


def services(site: Daemon) -> list[dict[str, Any]]:
    below = CODES[(CODES.index(site.settings.site_code) + 2) % 3]
    found = site.client.fine("POST", "/ACSMP/AlgoServices/Devices/Search", {"ComputilityCode": below})
    return list(found["Records"])


def test_what_goes_round_a_ring_of_three_is_refused_where_it_began(
    ring: list[Daemon], tmp_path: Path
) -> None:
    first, second, _ = ring
    assert first.client.upload(make_package(tmp_path)).code == 0
    wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": CODES[2]}
    first.client.fine("POST", "/ACSMP/AlgoServices/Devices", wish)
    # first -> third -> second, whose only computility is first: its wish came from there
    wait_until(lambda: services(second), seconds=60, what="the wish comes to the second")
    wait_until(
        lambda: "has already passed" in services(second)[0].get("LastError", ""),
        seconds=60,
        what="the refusal",
    )
    assert f'40905 "this request has already passed {CODES[0]}' in services(second)[0]["LastError"]
    assert [len(services(site)) for site in ring] == [1, 1, 1]
    assert all(one["Status"] != "RUNNING" for site in ring for one in services(site))
    # the chain outlives a restart of who holds the wish
    second.stop()
    second.start()
    tries = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": CODES[0]}
    answer = second.client.post("/ACSMP/AlgoFilePackages/Devices", tries)
    assert answer.code in (0, 40901), answer
    wait_until(
        lambda: "has already passed" in services(second)[0].get("LastError", ""), what="the refusal again"
    )
    assert [len(services(site)) for site in ring] == [1, 1, 1]


def test_a_platform_above_that_is_ourselves_is_refused_by_code(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("Ring-Passw0rd-1")
    site = made(tmp_path, 0)
    site.also(upstream=json.dumps([entry(site.url, CODES[0], password)]))
    try:
        site.start()
        wait_until(lambda: upstream(site)["State"] == "refused", seconds=30, what="the loop to be told")
        assert "40905" in upstream(site)["Reason"]
        alarms = site.client.fine("POST", "/ACSMP/Alarms/Search", {"Kind": "upstream_refused"})["PageContent"]
        assert [one["Subject"] for one in alarms] == [CODES[0]]
        assert site.client.fine("GET", f"/ACSMP/Computility/{CODES[0]}")["Family"] == "local"
    finally:
        site.stop()


def upstream(site: Daemon) -> dict[str, Any]:
    [shown] = site.client.fine("GET", "/ACSMP/Upstream")
    return dict(shown)


def test_a_task_from_above_is_not_placed_on_what_stands_above(ring: list[Daemon], tmp_path: Path) -> None:
    """A task without a service: nobody has one, and nobody asks the next in the ring for ever."""
    first = ring[0]
    body = {
        "Name": "round", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
        "AlgoTaskInfos": [task_info(url="rtsp://10.0.0.9/1", ComputilityCode=CODES[2])],
    }  # fmt: skip
    plan = first.client.fine("POST", "/ACSMP/Tasks", body)
    shown = first.until(f"/ACSMP/TaskInstances/{instance(first, plan)}", lambda d: bool(d.get("Reason")))
    assert shown["Status"] == "PENDING"


def instance(site: Daemon, plan: int) -> str:
    [one] = site.client.fine("POST", "/ACSMP/TaskInstances/Search", {"TaskID": plan})["PageContent"]
    return str(one["ID"])
