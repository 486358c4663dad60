"""An odd device while plans run on it: a plan with hours and an inspection that an honest device shares with it.

The honest one has its turns and its lasting task as if it were alone, the inspection ends by itself, and of what
did not work the reason is told (R15, R16). Time runs ahead: a turn of ten seconds is over in a moment.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from acsmpd.app import App
from tests.journeys.conftest import Ahead
from tests.support import site as site_module
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.wait import wait_until

PLANS = "/ACSMP/Tasks"
WEEK = [f"{day},00:00,24:00" for day in range(1, 8)]
STEP_SECONDS = 4.0
"""By which time is put forward at every look."""
NUMBERS = itertools.count(1)
Odd = Callable[[FakeCad], object]


class Place(NamedTuple):
    site: Site
    clock: Ahead
    honest: FakeCad

    def load(self, cad: FakeCad) -> None:
        assert cad.register(self.site.url).accepted
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        self.site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", body)

    def plans(self, odd: FakeCad) -> tuple[int, int]:
        """One with hours that lasts, one with four turns of which the odd device has two; each its own streams."""
        one, other = (
            [
                task_info(url=f"rtsp://10.0.0.9/{kind}/{cad.code}/{number}", ComputilityCode=cad.code)
                for number in range(most)
                for cad in (odd, self.honest)
            ]
            for kind, most in (("lasting", 1), ("turn", 2))
        )
        body = {"Name": "p", "Type": "VIDEO_REALTIME", "AutoStart": True}
        hours = {"Mode": "PERIODIC", "AlgoTaskInfos": one, "PlanDayTime": WEEK}
        turns = {"Concurrency": 2, "Duration": 10, "RoundLimit": 1, "TaskInfo": other}
        lasting = self.site.client.fine("POST", PLANS, {**body, **hours})
        return lasting, self.site.client.fine(
            "POST", PLANS, {**body, "Mode": "INSPECTIVE", "InspectionPlan": turns}
        )

    def plan(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.site.client.fine("GET", f"{PLANS}/{number}")
        return found

    def instances(self, plan: int, cad: FakeCad) -> list[dict[str, Any]]:
        """Of a plan, those that are bound to this device."""
        page = self.site.client.fine("POST", "/ACSMP/TaskInstances/Search", {"TaskID": plan})["PageContent"]
        return [one for one in page if one["ComputilityCode"] == cad.code]

    def ends(self, plan: int) -> bool:
        self.clock.seconds += STEP_SECONDS
        return bool(self.plan(plan)["Status"] == "OFF")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder, clock = tmp_path_factory.mktemp("odd"), Ahead()
    settings = {"plans_start_timeout_seconds": "300", "wire_read_timeout_seconds": "3"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(site_module, "App", lambda one: App(one, clock))
        with running(folder / "site", **settings) as site, FakeCad("11010000005050000100") as honest:
            assert site.client.upload(make_package(folder)).code == 0
            found = Place(site, clock, honest)
            found.load(honest)
            yield found


def never_runs(cad: FakeCad) -> None:
    cad.board.starts_as = "PENDING"


def fails_at_once(cad: FakeCad) -> None:
    cad.board.starts_as = "ERROR"


def cannot_be_told_to_stop(cad: FakeCad) -> None:
    cad.refuse(50012, "not now", operation="pause_algo_task")
    cad.refuse(50012, "not now", operation="delete_algo_task")


WAYS: dict[str, tuple[Odd, str]] = {
    "refuses what is new": (
        lambda cad: cad.refuse(40012, "no mood", operation="create_algo_task"),
        "no mood",
    ),
    "is slow": (lambda cad: cad.slow(0.5), ""),
    "drops the answers to creates": (lambda cad: cad.drop_answer(2, "create_algo_task"), ""),
    "never runs": (never_runs, "not running within 300 s"),
    "fails at once": (fails_at_once, "could not be started"),
    "cannot be told to stop": (cannot_be_told_to_stop, ""),
    "lists incompletely": (lambda cad: cad.list_incompletely(), ""),
    "answers no page": (lambda cad: cad.answer_http(500, "<html>"), "is unreachable"),
}
"""How a device is odd, and what is said of its turns: "" where they succeed all the same, or may."""


@pytest.mark.parametrize("way", WAYS)
def test_an_odd_device_spoils_no_plan_for_others(place: Place, way: str) -> None:
    make_odd, words = WAYS[way]
    with FakeCad(f"1101000000505000{1000 + next(NUMBERS):04d}") as odd:
        place.load(odd)
        place.honest.forget_calls()
        make_odd(odd)
        lasting, turns = place.plans(odd)
        said: set[str] = set()

        def ends() -> bool:
            said.update(one.get("Reason", "") for one in place.instances(turns, odd))
            return place.ends(turns)

        wait_until(ends, seconds=60, what="the end of the inspection")
        assert any(words in reason for reason in said), said

        [kept] = place.instances(lasting, place.honest)
        assert kept["Status"] == "RUNNING"
        served = {one["Status"]: one.get("Reason", "") for one in place.instances(turns, place.honest)}
        assert set(served) == {"FINISHED"}, served
        assert len(place.honest.asked("create_algo_task")) == 3  # its lasting task and two turns, each once
        assert [task.sent_id for task in place.honest.running_tasks()] == [kept["ID"]]
        if words:
            [left] = place.instances(lasting, odd)
            assert left["Status"] in ("PENDING", "ERROR")
            assert left["Reason"]

        odd.behave()
        odd.list_incompletely(False)
        odd.board.starts_as = "RUNNING"
        for number in (turns, lasting):
            place.site.client.fine("DELETE", f"{PLANS}/{number}?Wait=1")
        wait_until(lambda: not place.honest.tasks, seconds=40, what="the honest one empty")
        assert place.honest.max_running == 1
        assert odd.max_running <= 1
        odd.unregister(place.site.url)
