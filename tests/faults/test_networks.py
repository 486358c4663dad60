"""Faults of the network between a daemon and its devices, in namespaces of the kernel (R14, R16, R20, R23).

| the line                         | what comes of it                                                              |
|----------------------------------|-------------------------------------------------------------------------------|
| loses every fifth packet         | everything is done, once: a package, a service, tasks                         |
| carries 128 kbit/s               | a package takes its time, and the device stays online meanwhile               |
| is dead for a while              | unreachable with the reason, nothing moves; then the same task goes on        |
| is dead until the device is lost | the task moves to another; when the line is whole the first one's is deleted  |
| is dead while results are due    | nothing is lost: they wait here, and arrive in order                          |

Delay, half-open lines and answers that break in the middle: tests/faults/test_lines.py, by a small proxy; the line
between two platforms: tests/journeys/test_three_levels.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.engine.results_bench import decoded, queued
from tests.support.fake_cad import FakeCad
from tests.support.namespace import DESK, LINE, Network, Remote, network
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.wait import wait_until
from tests.wire.servers import OK, replying, serving

SETTINGS = {
    "ACSMPD_OBSERVE_INTERVAL_SECONDS": "1", "ACSMPD_WIRE_CONNECT_TIMEOUT_SECONDS": "4",
    "ACSMPD_WIRE_READ_TIMEOUT_SECONDS": "8",
}  # fmt: skip
FIRST, SECOND = "11010000005050000001", "11010000005050000002"


@pytest.fixture
def line() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
def box(line: Network, tmp_path: Path) -> Iterator[Remote]:
    one = Remote(line, tmp_path / "data", SETTINGS)
    try:
        yield one.start()
    finally:
        one.stop()


@pytest.fixture
def cad() -> Iterator[FakeCad]:
    with FakeCad(FIRST, host=f"{LINE}.1") as one:
        yield one


def state(box: Remote, expected: str, code: str = FIRST, seconds: float = 60) -> Any:
    return box.until(f"/ACSMP/Computility/{code}", lambda data: data["State"] == expected, seconds=seconds)


def load(box: Remote, code: str = FIRST) -> None:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": code}
    service = box.client.fine("POST", "/ACSMP/AlgoServices/Devices", body)
    box.until(
        f"/ACSMP/AlgoServices/Devices/{code}/{service}", lambda data: data["Status"] == "RUNNING", seconds=90
    )


def job(box: Remote, number: int) -> int:
    infos = [task_info(url=f"rtsp://10.0.0.9/{one}") for one in range(number)]
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True, "AlgoTaskInfos": infos,
    }  # fmt: skip
    plan = int(box.client.fine("POST", "/ACSMP/Tasks", body))
    box.until(f"/ACSMP/Tasks/{plan}", lambda data: data["RunningCount"] == number, seconds=90)
    return plan


def joined(box: Remote, cad: FakeCad) -> None:
    """Registered, as a device does it: again until it is answered."""
    wait_until(lambda: cad.register(box.line_url).accepted, seconds=60, what="it registered")
    state(box, "online", cad.code)


def test_a_line_that_loses_every_fifth_packet(
    box: Remote, line: Network, cad: FakeCad, tmp_path: Path
) -> None:
    line.lossy(0.2)
    joined(box, cad)
    assert box.client.upload(make_package(tmp_path, program={"weights": "w" * 200_000})).code == 0
    load(box)
    plan = job(box, 3)
    assert len(cad.tasks) == 3, "none was created twice"
    assert cad.packages == {PACKAGE_ID: "RUNNING"}
    line.heal()
    box.client.fine("DELETE", f"/ACSMP/Tasks/{plan}")
    wait_until(lambda: not cad.tasks, seconds=60, what="all are gone")


def test_a_thin_line(box: Remote, line: Network, cad: FakeCad, tmp_path: Path) -> None:
    joined(box, cad)
    content = {"weights": bytes(range(256)).hex() * 400}
    assert box.client.upload(make_package(tmp_path, program=content)).code == 0
    line.thin(128)
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": FIRST}
    box.client.fine("POST", "/ACSMP/AlgoFilePackages/Devices", body)
    shown = set()

    def arrived() -> bool:
        shown.add(box.client.fine("GET", f"/ACSMP/Computility/{FIRST}")["State"])
        return cad.packages.get(PACKAGE_ID) == "STOPPED"

    wait_until(arrived, seconds=120, what="the package arrives")
    assert shown == {"online"}, "the device is looked at beside its download"
    assert cad.package(PACKAGE_ID).downloads == 1


def test_a_dead_line_for_a_while(box: Remote, line: Network, cad: FakeCad, tmp_path: Path) -> None:
    joined(box, cad)
    assert box.client.upload(make_package(tmp_path)).code == 0
    load(box)
    job(box, 1)
    tasks = list(cad.tasks)
    line.dead()
    gone = state(box, "unreachable")
    assert "in time" in gone["Reason"]
    [instance] = box.client.fine("POST", "/ACSMP/TaskInstances/Search", {})["PageContent"]
    assert instance["Status"] == "RUNNING", "the last status stays"
    line.heal()
    state(box, "online")
    assert list(cad.tasks) == tasks
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 1


def test_a_dead_line_until_the_device_is_lost(line: Network, cad: FakeCad, tmp_path: Path) -> None:
    """The other device stands at the desk, whose cable is whole."""
    lost = {"ACSMPD_COMPUTILITY_SUSPECT_SECONDS": "3", "ACSMPD_COMPUTILITY_LOST_SECONDS": "8"}
    box = Remote(line, tmp_path / "data", {**SETTINGS, **lost})
    with ExitStack() as stack:
        stack.callback(box.stop)
        box.start()
        joined(box, cad)
        assert box.client.upload(make_package(tmp_path)).code == 0
        load(box)
        plan = job(box, 1)
        other = stack.enter_context(FakeCad(SECOND, host=f"{DESK}.1"))
        assert other.register(box.url).accepted
        state(box, "online", SECOND)
        load(box, SECOND)
        line.dead()
        state(box, "lost")
        wait_until(lambda: len(other.tasks) == 1, seconds=60, what="the task moved")
        line.heal()
        wait_until(lambda: cad.keepalive(box.line_url).accepted, what="it is heard again")
        state(box, "online")
        wait_until(lambda: not cad.tasks, seconds=60, what="the first one's task is deleted")
        box.until(f"/ACSMP/Tasks/{plan}", lambda data: data["RunningCount"] == 1)
        assert (len(cad.tasks), len(other.tasks)) == (0, 1), "one owner"


def test_results_wait_while_the_line_to_their_receiver_is_dead(line: Network, tmp_path: Path) -> None:
    """A platform above, at the end of the line, in the place of the device."""
    box = Remote(line, tmp_path / "data", SETTINGS)
    with ExitStack() as stack:
        stack.callback(box.stop)
        above = stack.enter_context(serving(replying(200, OK), host=f"{LINE}.1"))
        box.start().stop()
        queued(tmp_path / "data", above.url, 300)
        line.dead()
        box.start()
        wait_until(lambda: "cannot deliver results" in box.log.read_text(), seconds=60, what="it was tried")
        assert above.seen == []
        line.heal()
        wait_until(lambda: len(above.seen) >= 300, seconds=90, what="all arrive")
        assert list(dict.fromkeys(decoded(one.body)["Pts"] for one in above.seen)) == list(range(1, 301))


def test_a_machine_without_any_network(line: Network, tmp_path: Path) -> None:
    """Nothing waits for a network at the start (R25): every cable is out; plugged in later, it serves."""
    for cable in (line.line, line.desk):
        line.inside("ip", "link", "set", f"{cable}p", "down")
    box = Remote(line, tmp_path / "data", SETTINGS)
    try:
        box.launch()
        wait_until(lambda: "acsmpd serves" in box.log.read_text(), seconds=30, what="it serves")
        line.inside("ip", "link", "set", f"{line.desk}p", "up")
        box.ready()
        assert box.client.fine("GET", "/ACSMP/System/Info")
    finally:
        box.stop()
