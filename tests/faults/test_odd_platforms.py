"""Ways in which a central analysis platform may be odd, one by one beside an honest one: nothing doubled, nothing lost,
told in words, over when it behaves again, and the honest one is none the worse (R15, R16).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.fake_cap import FakeCap
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.wait import wait_until

DEVICES = "/ACSMP/AlgoServices/Devices"
STREAMS = itertools.count(1)
CREATES = ("push_algo_file_package", "create_algo_service", "create_algo_task")
DEEP = '{"Code": 0, "Data": ' + '{"a":' * 40 + "1" + "}" * 41


class Place(NamedTuple):
    site: Site
    honest: FakeCap

    def load(self, cap: FakeCap) -> str:
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cap.code}
        return str(self.site.client.fine("POST", f"{DEVICES}?Wait=20", body))

    def plan(self, cap: FakeCap, number: int = 1) -> int:
        infos = [
            task_info(url=f"rtsp://10.0.0.9/{cap.code}/{next(STREAMS)}", ComputilityCode=cap.code)
            for one in range(number)
        ]
        body = {
            "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
            "AlgoTaskInfos": infos,
        }  # fmt: skip
        return int(self.site.client.fine("POST", "/ACSMP/Tasks", body))

    def runs(self, plan: int) -> Any:
        return self.site.until(
            f"/ACSMP/Tasks/{plan}", lambda shown: shown["RunningCount"] == shown["TotalCount"] > 0, seconds=40
        )

    def told(self, cap: FakeCap, words: str) -> None:
        self.site.until(
            f"/ACSMP/Computility/{cap.code}", lambda shown: words in shown.get("Reason", ""), seconds=40
        )

    def looks(self, number: int = 5) -> None:
        """So many looks at the honest one: it is not held up."""
        seen = len(self.honest.asked("get_cap_status")) + number
        wait_until(lambda: len(self.honest.asked("get_cap_status")) >= seen, what="looks at the honest one")


def creates(cap: FakeCap) -> list[int]:
    return [len(cap.asked(row)) for row in CREATES]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("odd")
    settings = {"observe_interval_seconds": "0.3", "wire_read_timeout_seconds": "3"}
    with running(folder / "site", **settings) as site, FakeCap("11010000005020000100") as honest:
        assert site.client.upload(make_package(folder)).code == 0
        assert honest.register(site.url).accepted
        one = Place(site, honest)
        one.load(honest)
        one.runs(one.plan(honest))
        yield one


@pytest.fixture
def cap(place: Place, request: pytest.FixtureRequest) -> Iterator[FakeCap]:
    """A platform with a service and a task, honest as yet; the honest one is the same after the test."""
    before = (creates(place.honest), list(place.honest.tasks), list(place.honest.services))
    number = request.session.items.index(request.node) % 1000
    with FakeCap(f"1101000000502000{1000 + number:04d}") as one:
        assert one.register(place.site.url).accepted
        place.load(one)
        place.runs(place.plan(one))
        assert creates(one) == [1, 1, 1]
        yield one
        assert one.max_running <= 1
        assert (creates(place.honest), list(place.honest.tasks), list(place.honest.services)) == before
        one.unregister(place.site.url)


LISTS = ("search_algo_file_packages", "search_algo_services", "search_algo_tasks")


@pytest.mark.parametrize("row", ["get_cap_status", *LISTS])
@pytest.mark.parametrize(
    ("body", "words"), [("<html>nginx</html>", "no envelope"), (DEEP, "deeper than 32 levels")]
)
def test_answers_that_are_none(place: Place, cap: FakeCap, row: str, body: str, words: str) -> None:
    cap.answer_http(200, body, operation=row)
    place.told(cap, words)
    place.looks()
    assert creates(cap) == [1, 1, 1]
    cap.behave()
    place.runs(place.plan(cap))
    assert creates(cap) == [1, 1, 2]


@pytest.mark.parametrize(
    "way", ["numbers_as_strings", "lower_case_code", "bare_array", "list_by_example", "abridge"]
)
def test_spellings(place: Place, cap: FakeCap, way: str) -> None:
    getattr(cap, way)()
    place.looks()
    assert creates(cap) == [1, 1, 1]
    shown = place.site.client.fine("GET", f"/ACSMP/Computility/{cap.code}")
    assert (shown["State"], shown.get("Reason")) == ("online", None)


@pytest.mark.parametrize("way", ["lists_change", "list_without_data", "list_incompletely"])
def test_lists_that_are_not_whole(place: Place, cap: FakeCap, way: str) -> None:
    cap.page_limit = 1
    getattr(cap, way)()
    place.told(cap, "list")
    place.looks()
    assert creates(cap) == [1, 1, 1]
    assert (len(cap.services), len(cap.running_tasks())) == (1, 1)
    getattr(cap, way)(False)
    place.site.until(f"/ACSMP/Computility/{cap.code}", lambda shown: not shown.get("Reason"))


def test_packages_under_ids_of_its_own(place: Place, cap: FakeCap) -> None:
    """As the examples of the print have it: they are known by name and version, and are not pushed again."""
    cap.ids_of_its_own()
    place.looks(8)
    assert creates(cap) == [1, 1, 1]
    found = place.site.client.fine(
        "POST", "/ACSMP/AlgoFilePackages/Devices/Search", {"ComputilityCode": cap.code}
    )
    assert [(one["AlgoFilePackageID"], one["Status"], one.get("Foreign")) for one in found] == [
        (PACKAGE_ID, 3, None)
    ]


def test_tasks_on_another_service_than_named(place: Place, cap: FakeCap) -> None:
    place.load(cap)
    cap.place_elsewhere()
    plan = place.plan(cap, 2)
    place.runs(plan)
    place.looks()
    assert len(cap.running_tasks()) == 3
    assert len(cap.asked("create_algo_task")) == 3


def test_ids_of_anothers_tasks(place: Place, cap: FakeCap) -> None:
    foreign = cap.add_foreign_task().task_id
    cap.answer_foreign_ids()
    plan = place.plan(cap, 2)
    wait_until(lambda: len(cap.tasks) == 4, what="our tasks")
    place.looks()
    cap.answer_foreign_ids(False)
    place.runs(plan)
    place.site.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    wait_until(lambda: len(cap.tasks) == 2, what="ours gone")
    assert foreign in cap.tasks
    assert len(cap.asked("create_algo_task")) == 3


def test_one_that_says_it_cannot_be_found(place: Place, cap: FakeCap) -> None:
    """A proxy before it answers 404 to everything: nothing is gone by that, and nothing is done again."""
    cap.answer_http(404, "<html>not found</html>")
    place.told(cap, "HTTP 404")
    place.looks()
    assert creates(cap) == [1, 1, 1]
    cap.behave()
    place.site.until(f"/ACSMP/Computility/{cap.code}", lambda shown: shown["State"] == "online")
    place.looks()
    assert creates(cap) == [1, 1, 1]


def test_one_whose_services_cannot_be_unloaded(place: Place, cap: FakeCap) -> None:
    """The failed one stays and is not replaced, so that its cards are not taken twice (R15)."""
    [failed] = cap.services
    cap.refuse(50015, "stuck", operation="delete_algo_service")
    cap.fail_service(failed)
    page = {"ComputilityCode": cap.code}
    wait_until(lambda: len(cap.asked("delete_algo_service")) > 1, what="tries to clear it away")
    [shown] = place.site.client.fine("POST", f"{DEVICES}/Search", page)["Records"]
    assert "stuck" in shown["LastError"] or "failed" in shown["LastError"]
    assert list(cap.services) == [failed]
    cap.board.held.clear()
    cap.behave()
    wait_until(lambda: cap.services and failed not in cap.services, what="it is replaced")
    wait_until(lambda: len(cap.running_tasks()) == 1, what="the task there")
    assert len(cap.services) == 1
