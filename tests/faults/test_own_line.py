"""Our own network card goes: four of six devices are silent at once, nobody is lost, one alarm says why.

The daemon stands in a network namespace of its own with two cards: four devices are reached by the one, two
devices and the operator by the other.
"""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.daemon import Daemon
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.wait import wait_until

INTERVAL, SUSPECT, LOST = 0.5, 2, 6
FACE, STEPS = "/ACSMP/AlgoServices/Devices", ("create_algo_task", "delete_algo_task", "pause_algo_task",
    "resume_algo_task", "push_algo_file_package", "install_algo_package", "uninstall_algo_package")  # fmt: skip


class Namespace:
    """A network namespace with two cards; ours are the other ends of the cables."""

    def __init__(self) -> None:
        self.name = f"acsmpd-{uuid.uuid4().hex[:6]}"
        tag = self.name[-6:]
        self._cables = [(f"va{tag}", f"na{tag}"), (f"vb{tag}", f"nb{tag}")]
        _ip("netns", "add", self.name)
        for number, (outer, inner) in enumerate(self._cables):
            _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
            _ip("link", "set", inner, "netns", self.name)
            _ip("addr", "add", f"{self.outside(number)}/30", "dev", outer)
            _ip("link", "set", outer, "up")
            self._inside("addr", "add", f"{self.inside(number)}/30", "dev", inner)
            self._inside("link", "set", inner, "up")
        self._inside("link", "set", "lo", "up")

    def outside(self, number: int) -> str:
        return f"10.213.77.{number * 4 + 1}"

    def inside(self, number: int) -> str:
        return f"10.213.77.{number * 4 + 2}"

    def card(self, number: int, *, up: bool) -> None:
        """One of the box's own cards goes down, or comes up."""
        self._inside("link", "set", self._cables[number][1], "up" if up else "down")

    def close(self) -> None:
        for outer, _ in self._cables:
            _ip("link", "del", outer)
        _ip("netns", "del", self.name)

    def _inside(self, *words: str) -> None:
        _ip("-n", self.name, *words)


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)


class Inside(Daemon):
    """A daemon in a namespace, asked by the second card."""

    def __init__(self, data: Path, namespace: Namespace) -> None:
        settings = {
            "ACSMPD_SERVER_HOST": "0.0.0.0", "ACSMPD_OBSERVE_INTERVAL_SECONDS": str(INTERVAL),
            "ACSMPD_COMPUTILITY_SUSPECT_SECONDS": str(SUSPECT), "ACSMPD_COMPUTILITY_LOST_SECONDS": str(LOST),
            "ACSMPD_WIRE_CONNECT_TIMEOUT_SECONDS": "1", "ACSMPD_WIRE_READ_TIMEOUT_SECONDS": "1",
        }  # fmt: skip
        super().__init__(data, settings)
        self._namespace = namespace

    @property
    def url(self) -> str:
        return f"http://{self._namespace.inside(1)}:{self._port}"

    def _command(self) -> list[str]:
        return ["nsenter", f"--net=/run/netns/{self._namespace.name}", *super()._command()]


class Place(NamedTuple):
    site: Inside
    line: Namespace
    far: list[FakeCad]
    near: list[FakeCad]

    @property
    def cads(self) -> list[FakeCad]:
        return [*self.far, *self.near]

    def states(self, cads: list[FakeCad]) -> list[str]:
        return [self.record(cad)["State"] for cad in cads]

    def record(self, cad: FakeCad) -> Any:
        return self.site.client.fine("GET", f"/ACSMP/Computility/{cad.code}")

    def alarms(self) -> list[Any]:
        found = self.site.client.fine("POST", "/ACSMP/Alarms/Search", {"PageRequest": {"PageSize": 100}})
        return list(found["PageContent"])

    def placed(self, plan: int) -> dict[str, tuple[str, str]]:
        asked = {"TaskID": plan, "PageRequest": {"PageSize": 100}}
        page = self.site.client.fine("POST", "/ACSMP/TaskInstances/Search", asked)
        return {one["ID"]: (one["ComputilityCode"], one["Status"]) for one in page["PageContent"]}

    def steps(self) -> int:
        return sum(len(cad.asked(name)) for cad in self.cads for name in STEPS)

    def tasks(self) -> list[list[str]]:
        return [[task.task_id for task in cad.running_tasks()] for cad in self.cads]

    def looks(self, cad: FakeCad, number: int) -> None:
        seen = len(cad.asked("get_device_status")) + number
        wait_until(lambda: len(cad.asked("get_device_status")) >= seen, seconds=40, what="looks")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with ExitStack() as stack:
        line = Namespace()
        stack.callback(line.close)
        site = Inside(tmp_path / "data", line)
        stack.callback(site.stop)
        cads = [
            stack.enter_context(
                FakeCad(f"1101000000505000000{number}", host=line.outside(0 if number < 5 else 1))
            )
            for number in range(1, 7)
        ]
        yield Place(site.start(), line, cads[:4], cads[4:])


def work(place: Place, folder: Path) -> int:
    """A plan of instances that may run anywhere, some of them beyond the first card."""
    site = place.site
    for cad in place.cads:
        assert cad.register(site.url).accepted
    assert site.client.upload(make_package(folder)).code == 0
    for cad in place.cads:
        site.client.fine("POST", FACE, {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code})
    wait_until(lambda: all(cad.packages == {PACKAGE_ID: "RUNNING"} for cad in place.cads), what="all loaded")
    wait_until(lambda: place.states(place.cads) == ["online"] * 6, what="all online")
    infos = [task_info(url=f"rtsp://10.0.0.9/{number}") for number in range(6)]
    body = {
        "Name": "gate",
        "Type": "VIDEO_REALTIME",
        "Mode": "PERIODIC",
        "AutoStart": True,
        "AlgoTaskInfos": infos,
    }
    plan = int(site.client.fine("POST", "/ACSMP/Tasks", body))
    site.until(f"/ACSMP/Tasks/{plan}", lambda shown: shown["RunningCount"] == 6, seconds=40)
    assert sum(len(cad.running_tasks()) for cad in place.far) >= 2
    return plan


def test_four_of_six_go_silent_at_once(place: Place, tmp_path: Path) -> None:
    plan = work(place, tmp_path)
    placed, steps, tasks = place.placed(plan), place.steps(), place.tasks()
    assert place.alarms() == []

    place.line.card(0, up=False)
    wait_until(lambda: place.alarms(), what="the alarm")
    place.looks(place.near[0], int((LOST + 1) / INTERVAL))  # in this time they are silent longer than LOST
    assert place.states(place.far) == ["unreachable"] * 4
    assert place.states(place.near) == ["online"] * 2
    [alarm] = place.alarms()
    text = "4 of 6 computilities stopped answering at once: our own line is suspected"
    assert (alarm["Kind"], alarm.get("Until"), alarm["Text"]) == ("own_line", None, text)
    wait_until(lambda: {place.record(cad)["Reason"] for cad in place.far} == {text}, what="the reason")
    assert place.placed(plan) == placed
    assert place.steps() == steps

    place.line.card(0, up=True)
    wait_until(lambda: place.states(place.cads) == ["online"] * 6, seconds=40, what="all online again")
    wait_until(lambda: place.alarms()[0].get("Until"), what="the alarm over")
    for cad in place.cads:
        place.looks(cad, 3)
    assert len(place.alarms()) == 1
    assert place.placed(plan) == placed
    assert place.steps() == steps
    assert place.tasks() == tasks
