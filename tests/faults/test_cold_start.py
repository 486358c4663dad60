"""The box comes up after a power cut, and nobody above answers: work at the site starts, searches answer (R24).

Both platforms above and the receivers of results are holes in the ground: one swallows packets, one takes the
connection and says nothing. The second time the clock of the box stands in 1970 too: nobody tells it the time (R28).
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.support import engines
from tests.support.daemon import Daemon
from tests.support.engines import Misbehaving
from tests.support.fake_cad import FakeCad
from tests.support.faketime import Faketime
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import SITE_CODE
from tests.support.wait import wait_until

ENGINE_ID = "1101000000502000000120261121120000000002"
SEARCHES = (
    "Tasks/Search",
    "TaskInstances/Search",
    "AlgoFilePackages/Search",
    "Results/Search",
    "Alarms/Search",
)
SUNDAY_1970 = 3 * 86_400 + 43_200
Counts = dict[int, tuple[int, int]]
"""Plan -> how many run, of how many."""
SLOW = 3.0
"""Seconds a search may take on a busy machine; a connection into a hole is given up later than that."""


@contextmanager
def hole(*, swallows: bool) -> Iterator[str]:
    """An address nobody answers at: packets are dropped, or taken and never answered."""
    with socket.socket() as listener, ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0 if swallows else 128)
        address = listener.getsockname()
        for _ in range(4 if swallows else 0):  # once its queue is full the kernel drops who knocks
            line = stack.enter_context(socket.socket())
            line.setblocking(False)
            line.connect_ex(address)
        yield f"http://127.0.0.1:{address[1]}"


class Site(Daemon):
    """A daemon below two platforms that do not answer, with a CAD and an engine of its own."""

    def __init__(self, folder: Path, above: list[str], clock: Faketime) -> None:
        password = folder / "password"
        password.write_text("secret of the box\n")
        entries = [
            {
                "url": url,
                "type": "CAD",
                "username": "box",
                "password_file": str(password),
                "keepalive_seconds": 1,
            }
            for url in above
        ]
        settings = {
            "ACSMPD_UPSTREAM": json.dumps(entries), "ACSMPD_RUNTIME_STOP_TIMEOUT_SECONDS": "1",
            "ACSMPD_OBSERVE_INTERVAL_SECONDS": "0.5", "ACSMPD_SITE_TIMEZONE": "UTC", **engines.ports(),
        }  # fmt: skip
        super().__init__(folder / "data", settings, clock.environment)

    def plan(self, *infos: dict[str, Any], **more: Any) -> int:
        body = {"Name": "p", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True, **more}
        if body["Mode"] == "PERIODIC":
            body["AlgoTaskInfos"] = list(infos)
        else:
            body["InspectionPlan"] = {"Concurrency": 1, "Duration": 3600, "TaskInfo": list(infos)}
        return int(self.client.fine("POST", "/ACSMP/Tasks", body))

    def counts(self, plan: int) -> tuple[int, int]:
        """How many run, of how many."""
        shown = self.client.fine("GET", f"/ACSMP/Tasks/{plan}")
        return shown["RunningCount"], shown["TotalCount"]

    def shows(self, expected: Counts) -> bool:
        self.search_all()
        return {plan: self.counts(plan) for plan in expected} == expected

    def results(self) -> int:
        return int(self.client.fine("POST", "/ACSMP/Results/Search", {})["Total"])

    def search_all(self) -> None:
        """Every search answers, and soon."""
        for path in SEARCHES:
            begun = time.monotonic()
            self.client.fine("POST", f"/ACSMP/{path}", {})
            assert time.monotonic() - begun < SLOW, path


def week(*days: int) -> list[str]:
    return [f"{day},00:00,24:00" for day in days]


def other_day() -> int:
    """One that is neither about today nor about the Sunday of 1970."""
    today = datetime.now(timezone.utc).isoweekday()
    near = {(today + shift - 1) % 7 + 1 for shift in (-1, 0, 1)} | {6, 7, 1}
    return min(set(range(1, 8)) - near)


def watching(event: str, number: int, receiver: str) -> dict[str, Any]:
    info: dict[str, Any] = task_info(event, f"rtsp://10.0.0.9/{number}")
    info["RulesParams"][0]["ResultReceiveUrl"] = [f"{receiver}/results"]
    return info


def set_up(site: Site, cad: FakeCad, engine: Misbehaving, folder: Path, above: list[str]) -> Counts:
    """Services on the device and on this box, and plans of every mode: what runs of each, of how many."""
    assert cad.register(site.url).accepted
    for file, package, where in (
        (make_package(folder), PACKAGE_ID, cad.code), (engine.file, ENGINE_ID, SITE_CODE),
    ):  # fmt: skip
        assert site.client.upload(file).code == 0
        body = {"AlgoFilePackageID": package, "ComputilityCode": where}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=30", body)
    always = site.plan(*(watching("INTRUSION", one, above[one]) for one in (0, 1)))
    timed = site.plan(watching("FIRE", 2, above[0]), PlanDayTime=week(*range(1, 8)))
    shut = site.plan(watching("INTRUSION", 3, above[0]), PlanDayTime=week(other_day()))
    rounds = site.plan(*(watching("INTRUSION", one, above[1]) for one in (4, 5)), Mode="INSPECTIVE")
    return {always: (2, 2), timed: (1, 1), shut: (0, 1), rounds: (1, 2)}


def turn(cad: FakeCad) -> list[str]:
    """Whose turn it is in the inspection."""
    return [task.sent_id for task in cad.running_tasks() if task.stream_url.endswith(("/4", "/5"))]


def power_cut(site: Site, cad: FakeCad, engine: Misbehaving) -> None:
    """For the whole site: the device forgets everything, and comes up later than the box."""
    site.kill()
    cad.restart(keep=False)
    cad.vanish()
    wait_until(lambda: not engine.traces(), what="the engines gone with it")


@pytest.mark.parametrize("year", ["now", "1970"])
def test_plans_run_at_the_site_although_nobody_above_answers(tmp_path: Path, year: str) -> None:
    clock = Faketime(tmp_path)
    with ExitStack() as stack:
        above = [stack.enter_context(hole(swallows=swallows)) for swallows in (True, False)]
        cad = stack.enter_context(FakeCad())
        site = Site(tmp_path, above, clock)
        stack.callback(site.stop)
        site.start()
        folder = tmp_path / "engine"
        engine = Misbehaving(folder, package_id=ENGINE_ID, name="engine", codes=("E-1",), events=("FIRE",))
        expected = set_up(site, cad, engine, tmp_path, above)
        wait_until(lambda: site.shows(expected), seconds=40, what="all plans before the power cut")
        whose = turn(cad)

        power_cut(site, cad, engine)
        written = len(site.log.read_text())
        if year == "1970":
            clock.set(SUNDAY_1970 - int(time.time()))
        site.start()
        assert (" 1970 " in site.client.get("/healthz").response.headers["Date"]) is (year == "1970")
        site.search_all()
        cad.come_back()
        assert cad.register(site.url).accepted
        wait_until(lambda: site.shows(expected), seconds=40, what="all plans after it")
        wait_until(lambda: turn(cad) == whose, seconds=20, what="the turn to go on")
        assert cad.max_running == 1
        kept = site.results()
        wait_until(lambda: site.results() > kept, what="results, kept for those above")
        for task in cad.running_tasks():
            assert cad.send_result(task.task_id)[0].accepted
        wait_until(
            lambda: "upstream is failing" in site.log.read_text()[written:], seconds=40, what="a try upward"
        )
        site.search_all()
