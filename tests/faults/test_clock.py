"""The clock of the box is set while it works: nobody is lost, nothing is begun anew, cut off or thrown away (R28).

The daemon is a process of its own under libfaketime; its monotonic clock is the real one, as a kernel's is.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import sqlite3
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.daemon import Daemon
from tests.support.fake_cad import FakeCad
from tests.support.faketime import Faketime
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.registering import ADMIN_PASSWORD
from tests.support.site import Client
from tests.support.wait import wait_until

HOUR, DAY, YEARS = 3600, 86_400, 3 * 365 * 86_400
INTERVAL, SILENCE = 0.5, 4
STEPS = ("push_algo_file_package", "install_algo_package", "create_algo_task", "update_algo_task",
         "pause_algo_task", "resume_algo_task", "delete_algo_task", "uninstall_algo_package")  # fmt: skip


class Hurried(Daemon):
    def _words(self) -> list[str]:
        return ["tests.support.hurried"]


class Box(NamedTuple):
    """A daemon whose clock can be set, a CAD below with a running task, and where its rounds are counted."""

    site: Hurried
    clock: Faketime
    cad: FakeCad
    plan: int
    rounds: Path

    def is_at(self) -> float:
        """Seconds the daemon's wall clock is ahead of ours."""
        shown = self.site.client.get("/healthz").response.headers["Date"]
        return parsedate_to_datetime(shown).timestamp() - time.time()

    def set(self, seconds: int) -> None:
        self.clock.set(seconds)
        wait_until(lambda: abs(self.is_at() - self.clock.off) < HOUR / 2, what="the clock set")

    def looks(self) -> int:
        return len(self.cad.asked("get_device_status"))

    def tidied(self) -> int:
        return self.rounds.stat().st_size

    def goes_on(self, looks: int = 4, rounds: int = 3) -> None:
        """Wait until the daemon has looked and tidied on."""
        seen, done = self.looks() + looks, self.tidied() + rounds
        wait_until(lambda: self.looks() >= seen, what=f"{looks} looks at the device")
        wait_until(lambda: self.tidied() >= done, what=f"{rounds} rounds of tidying")

    def steps(self) -> int:
        return sum(len(self.cad.asked(name)) for name in STEPS)

    def rows(self, table: str) -> int:
        with contextlib.closing(sqlite3.connect(self.site.data / "acsmpd.db")) as plain:
            return int(plain.execute(f"SELECT count(*) FROM {table}").fetchone()[0])

    def results(self) -> Any:
        asked = {"TaskID": self.plan, "PageRequest": {"PageSize": 1000}}
        return self.site.client.fine("POST", "/ACSMP/Results/Search", asked)

    def report(self) -> None:
        """The device reports a result."""
        [task] = self.cad.running_tasks()
        [said] = self.cad.send_result(task.task_id)
        assert said.accepted, said

    def told(self) -> list[str]:
        """What the log says of devices that came, went or were lost."""
        return [line for line in self.site.log.read_text().splitlines() if "computility is" in line]


def delivered(info: dict[str, Any]) -> dict[str, Any]:
    """The same, with a receiver that is not there: its results wait."""
    info["RulesParams"][0]["ResultReceiveUrl"] = ["http://127.0.0.1:9/away"]
    return info


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    folder = tmp_path_factory.mktemp("clock")
    clock, rounds = Faketime(folder), folder / "rounds"
    rounds.touch()
    settings = {
        "ACSMPD_OBSERVE_INTERVAL_SECONDS": str(INTERVAL), "ACSMPD_RESULTS_KEEP_HOURS": "1",
        "ACSMPD_RESULTS_PICTURES_KEEP_HOURS": "1", "ACSMPD_AUDIT_KEEP_DAYS": "1",
        "ACSMPD_SERVER_CHANNEL_TIMEOUT_SECONDS": str(SILENCE),
    }  # fmt: skip
    site = Hurried(folder / "data", settings, {**clock.environment, "ROUNDS": str(rounds)})
    try:
        site.start()
        with FakeCad(check_token=True) as cad:
            assert cad.register(site.url).accepted
            assert site.client.upload(make_package(folder)).code == 0
            wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
            site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
            body = {
                "Name": "gate", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
                "AlgoTaskInfos": [delivered(task_info())],
            }  # fmt: skip
            plan = int(site.client.fine("POST", "/ACSMP/Tasks", body))
            site.until(f"/ACSMP/Tasks/{plan}", lambda shown: shown["RunningCount"] == 1)
            yield Box(site, clock, cad, plan, rounds)
    finally:
        site.stop()


@pytest.fixture
def session(box: Box) -> Client:
    """A person who is logged in."""
    body = {"Username": "admin", "Password": ADMIN_PASSWORD}
    return Client(box.site.url, box.site.client.fine("POST", "/ACSMP/Login", body)["Token"])


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, DAY, -DAY, YEARS, -YEARS])
def test_the_clock_is_set(box: Box, session: Client, seconds: int) -> None:
    box.report()
    instance = box.site.client.fine("GET", f"/ACSMP/Tasks/{box.plan}")["AlgoTaskInfos"]
    said, steps, tasks = box.told(), box.steps(), list(box.cad.tasks)
    kept = {name: box.rows(name) for name in ("result", "picture", "delivery", "audit", "intent")}
    total = box.results()["Total"]
    assert kept["result"] == kept["delivery"] == total > 0

    looks, rounds, begun = box.looks(), box.tidied(), time.monotonic()
    box.set(seconds)
    box.goes_on()
    assert "the clock was set by" in box.site.log.read_text()
    passed = time.monotonic() - begun
    assert box.looks() - looks <= passed / INTERVAL + 3, "a storm of looks"
    assert box.tidied() - rounds <= passed + 3, "a storm of tidying"

    # nobody is lost, nothing begun or ended
    assert box.told() == said
    assert box.site.client.fine("GET", f"/ACSMP/Computility/{box.cad.code}")["State"] == "online"
    assert box.site.client.fine("POST", "/ACSMP/Alarms/Search", {"Kind": "computility_lost"})["Total"] == 0
    shown = box.site.client.fine("GET", f"/ACSMP/Tasks/{box.plan}")
    assert (shown["RunningCount"], shown["AlgoTaskInfos"]) == (1, instance)
    assert (box.steps(), list(box.cad.tasks), box.cad.max_running) == (steps, tasks, 1)

    # nobody is cut off: the device with its token (renewed on the way), the person, the key
    for _ in range(3):
        assert box.cad.keepalive(box.site.url).accepted
    assert session.get("/ACSMP/Computility/" + box.cad.code).code == 0

    # results: what there was is kept, what comes is taken and is the first shown
    now = {name: box.rows(name) for name in kept}
    assert all(now[name] >= number for name, number in kept.items()), (kept, now)
    box.report()
    page = box.results()
    assert page["Total"] == total + 1
    assert [one["ResultID"] for one in page["PageContent"]] == sorted(
        (one["ResultID"] for one in page["PageContent"]), key=int, reverse=True
    )


def test_a_restart_after_the_clock_was_set_throws_nothing_away(box: Box) -> None:
    box.report()
    total = box.results()["Total"]
    box.set(YEARS)
    box.goes_on(1, 2)
    box.site.stop()
    box.site.start()
    assert abs(box.is_at() - box.clock.off) < HOUR
    box.goes_on()
    assert box.results()["Total"] == total
    box.site.until(f"/ACSMP/Tasks/{box.plan}", lambda shown: shown["RunningCount"] == 1)
    box.set(-YEARS)


def test_a_body_under_way_goes_on_while_the_clock_is_set_forward(box: Box) -> None:
    """Silence of a connection is measured by itself: not cut off, and not held for ever (below)."""
    key = box.site.key
    host, port = box.site.url.removeprefix("http://").split(":")
    line = http.client.HTTPConnection(host, int(port), timeout=20)
    text = b'{"Name": "gate"}'.ljust(5000)
    rest = iter(range(10, len(text)))
    try:
        line.putrequest("POST", "/ACSMP/Tasks/Search")
        for name, value in (("Authorization", f"Bearer {key}"), ("Content-Length", str(len(text))),
                            ("Content-Type", "application/json")):  # fmt: skip
            line.putheader(name, value)
        line.endheaders(text[:10])
        box.set(DAY)
        done = box.tidied() + 3  # in this time the server tidies its connections too

        def is_later() -> bool:
            at = next(rest)
            line.send(text[at : at + 1])
            return box.tidied() >= done

        wait_until(is_later, what="some seconds of a body that comes by the byte")
        line.send(text[next(rest) :])
        assert line.getresponse().status == 200
    finally:
        line.close()
        box.set(-DAY)


def test_a_silent_line_is_closed_though_the_clock_was_set_back(box: Box) -> None:
    box.set(-YEARS)
    host, port = box.site.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=SILENCE * 5) as line:
        line.sendall(b"POST /ACSMP/Tasks/Search HTTP/1.1\r\nHost: ")
        assert line.recv(1) == b""
    box.set(YEARS)
