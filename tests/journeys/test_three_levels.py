"""City, site and two boxes, each a process of its own: the site is a CAP of the city, the boxes are CADs of the site.

The line from the city to the site goes through a proxy, in both directions, and is cut while work runs.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.daemon import Daemon
from tests.support.engines import ENGINE
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.thin_line import ThinLine, thin_line
from tests.support.wait import wait_until

SITE, BOXES = "11010000005020000077", ("11010000005050000081", "11010000005050000082")
DEVICES = "/ACSMP/AlgoServices/Devices"
NUMBERED = (
    ENGINE.replace("import http.server", "import itertools, http.server", 1)
    .replace(
        "HELD = {}, {}, threading.Lock(), []",
        "HELD = {}, {}, threading.Lock(), []\nNUMBERS, ME = itertools.count(1), os.urandom(8).hex()",
    )
    .replace('"Pts": time.time_ns() // 1000, "DeviceID": ""', '"Pts": next(NUMBERS), "DeviceID": ME')
)
"""Counts what it reports, and says which process it is."""


class Levels(NamedTuple):
    city: Daemon
    site: Daemon
    boxes: tuple[Daemon, ...]
    lines: tuple[ThinLine, ThinLine]

    def cut(self, how: str) -> None:
        for line in self.lines:
            getattr(line, how)()


def daemon(folder: Path, name: str, **settings: str) -> Daemon:
    more = {"wire_read_timeout_seconds": "2", "wire_connect_timeout_seconds": "2", **settings}
    return Daemon(folder / name, {f"ACSMPD_{key.upper()}": value for key, value in more.items()})


def port_of(one: Daemon) -> int:
    return int(one.url.rpartition(":")[2])


def advertised(network: str, url: str) -> str:
    return json.dumps([{"network": network, "url": url}])


def above(url: str, code: str, kind: str, password: Path) -> str:
    entry = {
        "url": url, "code": code, "type": kind, "username": "below", "password_file": str(password),
        "keepalive_seconds": 1,
    }  # fmt: skip
    return json.dumps([entry])


@pytest.fixture
def levels(tmp_path: Path) -> Iterator[Levels]:
    """City and site know each other by the two lines that are cut; the boxes have addresses of their own."""
    assert NUMBERED.count("NUMBERS") == 2
    password = tmp_path / "password"
    password.write_text("Below-Passw0rd-77\n")
    with contextlib.ExitStack() as stack:
        found: dict[str, Daemon] = {}
        up = stack.enter_context(thin_line(lambda: ("127.0.0.1", port_of(found["city"]))))
        down = stack.enter_context(thin_line(lambda: ("127.0.0.1", port_of(found["site"]))))
        found["city"] = daemon(
            tmp_path, "city", local_enabled="false", server_advertise=advertised("127.0.0.1/32", up.url)
        )
        found["site"] = daemon(
            tmp_path, "site", local_enabled="false", site_code=SITE, upstream=above(up.url, SITE, "CAP", password),
            server_advertise=advertised("127.0.0.1/32", down.url),
        )  # fmt: skip
        boxes = [_box(tmp_path, place, code, found["site"].url, password) for place, code in enumerate(BOXES)]
        for one in (found["city"], found["site"], *boxes):
            stack.callback(one.stop)
            one.launch()
        for one in (found["city"], found["site"], *boxes):
            one.ready()
        yield Levels(found["city"], found["site"], tuple(boxes), (up, down))


def _box(folder: Path, place: int, code: str, site: str, password: Path) -> Daemon:
    one = daemon(
        folder, f"box-{place}", site_code=code, upstream=above(site, code, "CAD", password), server_host="0.0.0.0",
        runtime_allow_unsandboxed="true",
    )  # fmt: skip
    own = f"http://127.0.0.{place + 2}:{port_of(one)}"
    return one.also(server_advertise=advertised("0.0.0.0/0", own))


# --- what is seen ----------------------------------------------------------------------------------------------


def results(city: Daemon, plan: int) -> list[dict[str, Any]]:
    body = {"TaskID": plan, "PageRequest": {"PageNumber": 1, "PageSize": 1000}}
    page = city.client.fine("POST", "/ACSMP/Results/Search", body)
    assert page["Total"] <= 1000
    return list(page["PageContent"])


def numbers(city: Daemon, plan: int) -> dict[str, list[int]]:
    """engine -> the numbers of its results, as the city holds them."""
    found: dict[str, list[int]] = defaultdict(list)
    for one in results(city, plan):
        found[one["DeviceID"]].append(one["Pts"])
    return {engine: sorted(held) for engine, held in found.items()}


def instances(one: Daemon) -> list[tuple[str, int, str]]:
    page = one.client.fine("POST", "/ACSMP/TaskInstances/Search", {})["PageContent"]
    return sorted((item["ID"], item["Number"], item["Status"]) for item in page)


def services(one: Daemon, code: str) -> list[tuple[str, str]]:
    page = one.client.fine("POST", f"{DEVICES}/Search", {"ComputilityCode": code})
    return sorted((item["AlgoServiceID"], item["Status"]) for item in page["Records"])


def picture(levels: Levels) -> Any:
    """Everything that must be the same after the line was cut: ids, how many there ever were, states."""
    city, site, boxes, _ = levels
    return (
        [instances(one) for one in (city, site, *boxes)],
        services(city, SITE),
        [services(site, code) for code in BOXES],
        [services(box, code) for box, code in zip(boxes, BOXES, strict=True)],
    )


def waiting(one: Daemon) -> int:
    return sum(entry["WaitingResults"] for entry in one.client.fine("GET", "/ACSMP/Upstream"))


# --- the journey -----------------------------------------------------------------------------------------------


def start(levels: Levels, folder: Path) -> int:
    """A package imported at the city becomes an engine on each box, and a task on each engine; the plan's ID."""
    city, site, _, _ = levels
    for code in BOXES:
        site.until(f"/ACSMP/Computility/{code}", lambda d: d["State"] == "online", seconds=40)
    city.until(
        f"/ACSMP/Computility/{SITE}",
        lambda d: d["State"] == "online" and len(d.get("Info", {}).get("DeviceInfos", ())) == 2,
        seconds=40,
    )
    package = make_package(folder, program={"engine.py": NUMBERED}, cmd=["/usr/bin/python3", "engine.py"])
    assert city.client.upload(package).code == 0
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": SITE, "Replicas": 2}
    service = city.client.fine("POST", DEVICES, body)
    city.until(f"{DEVICES}/{SITE}/{service}", lambda d: d["Status"] == "RUNNING", seconds=60)
    for code in BOXES:
        site.until(f"{DEVICES}/Search", _all_run, seconds=60, body={"ComputilityCode": code})
    infos = [task_info(url=f"rtsp://10.0.0.9/{place}") for place in range(2)]
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True, "AutoRestart": True,
        "AlgoTaskInfos": infos,
    }  # fmt: skip
    plan = int(city.client.fine("POST", "/ACSMP/Tasks", body))
    city.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == 2, seconds=60)
    return plan


def _all_run(found: Any) -> bool:
    return bool(found["Records"]) and all(one["Status"] == "RUNNING" for one in found["Records"])


def test_a_city_loses_its_site_for_a_while_and_nothing_else(levels: Levels, tmp_path: Path) -> None:
    city, site, boxes, _ = levels
    plan = start(levels, tmp_path)
    wait_until(lambda: len(numbers(city, plan)) == 2, seconds=30, what="results of both engines above")
    for box in boxes:
        wait_until(lambda box=box: instances(box)[0][2] == "RUNNING", what="the task seen running")  # type: ignore[misc]
    before, held = picture(levels), numbers(city, plan)
    made = [[number for _, number, _ in one] for one in before[0]]
    assert [sorted(one) for one in made] == [[1, 2], [1, 2], [1], [1]], "made once, and one task on each box"

    # a dead link, then a link that refuses, and the site restarts meanwhile
    levels.cut("hole")
    wait_until(lambda: waiting(site) >= 6, seconds=40, what="results to wait at the site")
    had = numbers(city, plan)
    levels.cut("refuse")
    site.stop()
    wait_until(
        lambda: all(waiting(box) >= 3 for box in boxes), seconds=40, what="results to wait at the boxes"
    )
    site.start()
    wait_until(lambda: waiting(site) >= 20, seconds=40, what="more of them at the site")
    wait_until(
        lambda: city.client.fine("GET", f"/ACSMP/Computility/{SITE}")["State"] != "online",
        what="the cut to be seen",
    )
    assert numbers(city, plan) == had, "nothing comes over a line that is cut"
    levels.cut("heal")

    # the city has moved nothing and made nothing twice
    city.until(f"/ACSMP/Computility/{SITE}", lambda d: d["State"] == "online", seconds=40)
    city.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == 2, seconds=40)
    wait_until(lambda: picture(levels) == before, seconds=30, what="the picture of before")

    # and it takes the whole backlog: every number of either engine once
    city.client.fine("POST", f"/ACSMP/Tasks/{plan}/Stop?Wait=20")
    wait_until(
        lambda: not any(waiting(one) for one in (site, *boxes)), seconds=60, what="nothing to wait any more"
    )
    after = numbers(city, plan)
    assert after.keys() == held.keys(), "the same two engines"
    for engine, found in after.items():
        assert found == list(range(1, found[-1] + 1)), engine
        assert found[-1] >= held[engine][-1] + 10
