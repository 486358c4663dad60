"""Ten ways in which a device may be odd, one by one beside an honest one: nothing doubled, nothing lost, told in
words, over when it behaves again; and nobody else is the worse for it (R15, R16, R20, R22).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest

from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.wait import wait_until

SUSPECT, LOST = 2, 4
STEPS = (
    "create_algo_task",
    "delete_algo_task",
    "pause_algo_task",
    "resume_algo_task",
    "install_algo_package",
)


class Place(NamedTuple):
    site: Site
    honest: FakeCad

    def load(self, cad: FakeCad) -> None:
        assert cad.register(self.site.url).accepted
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        self.site.client.fine("POST", "/ACSMP/AlgoServices/Devices", body)
        wait_until(lambda: cad.packages == {PACKAGE_ID: "RUNNING"}, what="the service loaded")
        self.state(cad, "online")

    def plan(self, cad: FakeCad, *urls: str) -> int:
        infos = [
            task_info(url=url, ComputilityCode=cad.code) for url in urls or (f"rtsp://10.0.0.9/{cad.code}",)
        ]
        body = {
            "Name": "job",
            "Type": "VIDEO_REALTIME",
            "Mode": "PERIODIC",
            "AutoStart": True,
            "AlgoTaskInfos": infos,
        }
        return int(self.site.client.fine("POST", "/ACSMP/Tasks", body))

    def runs(self, plan: int) -> Any:
        return self.site.until(
            f"/ACSMP/Tasks/{plan}", lambda shown: shown["RunningCount"] == shown["TotalCount"] > 0, seconds=40
        )

    def state(self, cad: FakeCad, *states: str) -> Any:
        return self.site.until(f"/ACSMP/Computility/{cad.code}", lambda shown: shown["State"] in states)

    def looks(self, number: int) -> None:
        """So many looks at the honest one: it is not held up."""
        seen = len(self.honest.asked("get_device_status")) + number
        wait_until(
            lambda: len(self.honest.asked("get_device_status")) >= seen, what="looks at the honest one"
        )

    def honest_state(self) -> Any:
        record = self.site.client.fine("GET", f"/ACSMP/Computility/{self.honest.code}")
        steps = [len(self.honest.asked(name)) for name in STEPS]
        return record["State"], record["StateSince"], steps, list(self.honest.tasks)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("odd")
    limits = {"computility_suspect_seconds": str(SUSPECT), "computility_lost_seconds": str(LOST)}
    with (
        running(folder / "site", observe_interval_seconds="0.3", **limits) as site,
        FakeCad("11010000005050000100") as honest,
    ):
        assert site.client.upload(make_package(folder)).code == 0
        one = Place(site, honest)
        one.load(honest)
        one.runs(one.plan(honest))
        yield one


@pytest.fixture
def cad(place: Place, request: pytest.FixtureRequest) -> Iterator[FakeCad]:
    """A device with the service, honest as yet; the honest one is the same after the test."""
    before = place.honest_state()
    number = request.session.items.index(request.node) % 1000
    with FakeCad(f"1101000000505000{1000 + number:04d}") as one:
        place.load(one)
        yield one
        assert one.max_running <= 1
        assert place.honest_state() == before
        one.unregister(place.site.url)


def settled(place: Place, cad: FakeCad, plan: int, creates: int = 1) -> None:
    """It behaves again: the plan runs on it, each instance by one task, created no more often than need be."""
    cad.keepalive(place.site.url)
    shown = place.runs(plan)
    place.looks(3)
    assert len([task for task in cad.running_tasks() if not task.foreign]) == shown["TotalCount"]
    assert len(cad.asked("create_algo_task")) == creates * shown["TotalCount"]


def test_one_that_is_slow(place: Place, cad: FakeCad) -> None:
    cad.slow(1.0)
    plan = place.plan(cad)
    place.looks(6)
    place.runs(plan)
    cad.slow(0)
    settled(place, cad, plan)


def test_one_that_refuses(place: Place, cad: FakeCad) -> None:
    cad.refuse(50012, "no mood today")
    assert "no mood today" in place.state(cad, "unreachable", "suspect", "lost")["Reason"]
    plan = place.plan(cad)
    place.looks(4)
    assert cad.asked("create_algo_task") == []
    cad.behave()
    settled(place, cad, plan)


def test_one_that_answers_texts_for_numbers(place: Place, cad: FakeCad) -> None:
    cad.numbers_as_strings()
    plan = place.plan(cad)
    settled(place, cad, plan)
    assert "Reason" not in place.state(cad, "online")


def test_one_that_does_the_work_and_drops_the_answer(place: Place, cad: FakeCad) -> None:
    cad.drop_answer(times=3, operation="create_algo_task")
    settled(place, cad, place.plan(cad))


def test_one_that_vanishes_and_returns(place: Place, cad: FakeCad) -> None:
    plan = place.plan(cad)
    place.runs(plan)
    cad.vanish()
    assert place.state(cad, "lost")["Reason"]
    assert len(cad.tasks) == 1
    cad.come_back()
    settled(place, cad, plan)
    place.state(cad, "online")


def test_one_that_lists_incompletely(place: Place, cad: FakeCad) -> None:
    listing_is_odd(place, cad, cad.list_incompletely)


def test_one_that_pages_inconsistently(place: Place, cad: FakeCad) -> None:
    cad.page_limit = 1
    listing_is_odd(place, cad, cad.page_inconsistently)


def listing_is_odd(place: Place, cad: FakeCad, turn: Callable[[bool], None]) -> None:
    """What is missing on such a page is not gone; it is told that the listing is not whole."""
    urls = [f"rtsp://10.0.0.9/{cad.code}/{number}" for number in range(3)]
    plan = place.plan(cad, *urls)
    place.runs(plan)
    turn(True)
    reason = place.site.until(f"/ACSMP/Computility/{cad.code}", lambda shown: shown.get("Reason"))["Reason"]
    place.looks(8)
    assert len(cad.asked("create_algo_task")) == 3
    assert "list" in reason
    turn(False)
    settled(place, cad, plan)
    place.site.until(f"/ACSMP/Computility/{cad.code}", lambda shown: not shown.get("Reason"))


def test_one_that_answers_with_anothers_ids(place: Place, cad: FakeCad) -> None:
    foreign = cad.add_foreign_task().task_id
    cad.answer_foreign_ids()
    plan = place.plan(cad)
    wait_until(lambda: len(cad.tasks) == 2, what="our task")
    place.looks(4)
    cad.answer_foreign_ids(False)
    settled(place, cad, plan)
    place.site.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    wait_until(lambda: list(cad.tasks) == [foreign], what="ours gone, the other's there")


@pytest.mark.parametrize("days", [365, -365])
def test_one_whose_clock_is_a_year_off(place: Place, cad: FakeCad, days: int) -> None:
    """What it says of the time is kept as it said it; nothing here is judged by it."""
    there = datetime.now() + timedelta(days=days)
    with cad.shelf._lock:
        cad.package(PACKAGE_ID).created = there.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    plan = place.plan(cad)
    place.runs(plan)
    [task] = cad.running_tasks()
    said = there.strftime("%Y-%m-%d %H:%M:%S.000")
    assert all(one.accepted for one in cad.send_result(task.task_id, EventTime=said, Pts=7))
    [item] = place.site.client.fine("POST", "/ACSMP/Results/Search", {"TaskID": plan})["PageContent"]
    assert (item["EventTime"], item["Late"]) == (said, False)
    received = datetime.strptime(item["ReceivedTime"][:19], "%Y-%m-%d %H:%M:%S")
    assert abs((received - there).days) >= 364, "when it came is ours to say"
    place.looks(3)
    [found] = place.site.client.fine("POST", "/ACSMP/Results/Search", {"TaskID": plan})["PageContent"]
    assert found["ResultID"] == item["ResultID"]
    settled(place, cad, plan)


def test_one_that_keeps_alive_but_cannot_be_called(place: Place, cad: FakeCad) -> None:
    plan = place.plan(cad)
    place.runs(plan)
    cad.vanish()
    begun = time.monotonic()

    def is_heard_so_long() -> bool:
        assert cad.keepalive(place.site.url).accepted
        place.looks(1)
        assert place.site.client.fine("GET", f"/ACSMP/Computility/{cad.code}")["State"] in (
            "online",
            "unreachable",
        )
        return time.monotonic() - begun > LOST + 1

    wait_until(is_heard_so_long, seconds=60, what="longer than a silent one is lost in")
    assert "observations fail" in place.state(cad, "unreachable")["Reason"]
    assert place.site.client.fine("GET", f"/ACSMP/Tasks/{plan}")["TotalCount"] == 1
    cad.come_back()
    settled(place, cad, plan)


def test_one_that_can_be_called_but_never_keeps_alive(place: Place, cad: FakeCad) -> None:
    plan = place.plan(cad)
    place.runs(plan)
    since = place.state(cad, "online")["StateSince"]
    begun = time.monotonic()

    def is_silent_so_long() -> bool:
        place.looks(1)
        shown = place.site.client.fine("GET", f"/ACSMP/Computility/{cad.code}")
        assert (shown["State"], shown["StateSince"]) == ("online", since)
        return time.monotonic() - begun > LOST + 1

    wait_until(is_silent_so_long, seconds=60, what="longer than a silent one is lost in")
    assert len(cad.asked("create_algo_task")) == 1
