"""Ways in which a central computing platform may be odd, one by one beside an honest one: nothing doubled, nothing
lost, told in words, over when it behaves again, and the honest one is none the worse (R15, R16).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from acsmpd import offline
from acsmpd.clock import Clock
from tests.journeys.ccp_setup import DEVICES, PACKAGE_ID, asked_of, enter, image_package, never_asked_by_name
from tests.support.fake_ccp import CREATED, FakeCcp
from tests.support.packaging import task_info
from tests.support.site import Site, running
from tests.support.wait import wait_until
from tests.wire.servers import Handler, serving

CREATES = ("push_engine", "create_workload")
DEEP = '{"Code": "0", "Data": ' + '{"a":' * 40 + "1" + "}" * 41


class Place(NamedTuple):
    site: Site
    honest: FakeCcp

    def load(self, ccp: FakeCcp) -> str:
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": ccp.code}
        return str(self.site.client.fine("POST", f"{DEVICES}?Wait=20", body))

    def plan(self, ccp: FakeCcp) -> int:
        body = {
            "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
            "AlgoTaskInfos": [task_info(url=f"rtsp://10.0.0.9/{ccp.code}", ComputilityCode=ccp.code)],
        }  # fmt: skip
        return int(self.site.client.fine("POST", "/ACSMP/Tasks", body))

    def runs(self, plan: int) -> Any:
        return self.site.until(f"/ACSMP/Tasks/{plan}", lambda shown: shown["RunningCount"] == 1, seconds=40)

    def shown(self, ccp: FakeCcp, condition: Callable[[Any], Any]) -> Any:
        return self.site.until(f"/ACSMP/Computility/{ccp.code}", condition, seconds=40)

    def looks(self, number: int = 5) -> None:
        """So many looks at the honest one: it is not held up."""
        seen = len(self.honest.asked("get_cluster_monitor")) + number
        wait_until(
            lambda: len(self.honest.asked("get_cluster_monitor")) >= seen, what="looks at the honest one"
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("odd")
    settings = {
        "observe_interval_seconds": "0.3", "wire_read_timeout_seconds": "3", "ccp_engine_interface": "ours",
    }  # fmt: skip
    with (
        running(folder / "site", **settings) as site,
        FakeCcp("11010000005020000400", engines_listen=True) as honest,
    ):
        assert site.client.upload(image_package(folder)).code == 0
        enter(site, honest)
        one = Place(site, honest)
        one.load(honest)
        one.runs(one.plan(honest))
        yield one


@pytest.fixture
def ccp(place: Place, request: pytest.FixtureRequest) -> Iterator[FakeCcp]:
    """A platform with a service and a task, honest as yet; the honest one is the same after the test."""
    before = (list(place.honest.workloads), [task.task_id for task in place.honest.tasks()])
    number = request.session.items.index(request.node) % 1000
    with FakeCcp(f"1101000000502000{5000 + number:04d}", engines_listen=True) as one:
        enter(place.site, one)
        place.load(one)
        place.runs(place.plan(one))
        yield one
        assert asked_of(one, *CREATES) == [1, 1]
        assert len(one.tasks()) == 1
        assert (list(place.honest.workloads), [task.task_id for task in place.honest.tasks()]) == before
        never_asked_by_name(one)
        place.site.client.fine("PUT", f"/ACSMP/Computility/{one.code}", {"Enabled": False})


ODD = {
    "<html>nginx</html>": "no envelope",
    DEEP: "deeper than 32 levels",
    '{"Code": "0", "Data": ["a", 7]}': "",
    '{"Code": 0, "Data": null}': "",
}


@pytest.mark.parametrize("row", ["get_cluster_monitor", "get_node_monitor", "list_workloads", "list_pods"])
def test_answers_that_are_none(place: Place, ccp: FakeCcp, row: str) -> None:
    for body, words in ODD.items():
        ccp.answer_http(200, body, operation=row)
        place.shown(ccp, lambda shown, said=words: shown.get("Reason") and said in shown["Reason"])
        place.looks(2)
        assert len(ccp.tasks()) == 1
        ccp.behave()
        place.shown(ccp, lambda shown: shown["State"] == "online" and not shown.get("Reason"))


@pytest.mark.parametrize("way", ["lists_change", "list_without_data", "list_incompletely"])
def test_lists_that_are_not_whole(place: Place, ccp: FakeCcp, way: str) -> None:
    ccp.add_foreign()
    ccp.page_limit = 1
    getattr(ccp, way)()
    place.shown(ccp, lambda shown: "list" in shown.get("Reason", ""))
    place.looks()
    getattr(ccp, way)(False)
    place.shown(ccp, lambda shown: not shown.get("Reason"))


def test_one_that_says_it_cannot_be_found(place: Place, ccp: FakeCcp) -> None:
    """A proxy before it answers 404 to everything: nothing is gone by that, and nothing is done again."""
    ccp.answer_http(404, "<html>not found</html>")
    place.shown(ccp, lambda shown: "HTTP 404" in shown.get("Reason", ""))
    place.looks()
    ccp.behave()
    place.shown(ccp, lambda shown: shown["State"] == "online")
    place.looks()


def test_codes_as_numbers_and_numbers_as_texts(place: Place, ccp: FakeCcp) -> None:
    ccp.numbers_as_strings()
    place.looks()
    shown = place.shown(ccp, lambda one: one["State"] == "online")
    assert shown.get("Reason") is None


def test_a_clock_off_by_a_year(place: Place, ccp: FakeCcp) -> None:
    """What it says of the time is shown and judges nothing."""
    [workload] = ccp.workloads.values()
    workload.created = CREATED.replace("2026", "2019")
    place.looks()
    workload.created = "31.12.2099 at noon"
    place.looks()
    assert place.shown(ccp, lambda one: one["State"] == "online").get("Reason") is None


def test_tasks_of_somebody_else_on_our_pods(place: Place, ccp: FakeCcp) -> None:
    [pod] = ccp.pods
    assert pod.engine is not None
    theirs = pod.engine.add_foreign_task()
    path = f"/ACSMP/Computility/{ccp.code}/ForeignTasks/Search"
    found = place.site.until(path, lambda shown: shown["PageContent"], body={})
    assert [one["TaskID"] for one in found["PageContent"]] == [f"{theirs.task_id}@{pod.name}"]
    place.looks()
    assert theirs.task_id in pod.engine.tasks
    pod.engine.board.delete(theirs.task_id)


def test_pods_that_are_no_addresses(place: Place, ccp: FakeCcp) -> None:
    """A name, a path or our own listener in the place of an address is never called."""
    [pod] = ccp.pods
    pod.ip = "127.0.0.1@evil.example/x"
    place.looks()
    pod.ip = "169.254.169.254"
    place.shown(ccp, lambda shown: "169.254.169.254" in shown.get("Reason", ""))
    pod.ip = "127.0.0.1"
    place.shown(ccp, lambda shown: not shown.get("Reason"))


def test_an_endless_answer(place: Place) -> None:
    """Ten gigabytes of it: the line is cut after the first, and the honest one is not held up."""

    def endless(handler: Handler) -> None:
        handler.close_connection = True
        handler.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n")
        try:
            while True:
                handler.connection.sendall(b" " * 65536)
        except OSError:
            return

    code = "11010000005020000499"
    with serving(endless) as server:
        offline.add_device(
            place.site.settings, Clock(), code, username="", password="", url=server.url, kind="", family="ccp",
            prefix="", pin=None, cluster="c", nodes=(),
        )  # fmt: skip
        path = f"/ACSMP/Computility/{code}"
        place.site.until(path, lambda shown: "longer than" in shown.get("Reason", ""), seconds=40)
        place.looks()
        place.site.client.fine("PUT", path, {"Enabled": False})
