"""A device with fifty tasks is killed and returns with all of them; policies when a device is lost (R23).

The devices of the first test are processes of their own: what ran where is measured by what they wrote down.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.cad_process import CadProcess
from tests.support.fake_cad import FakeCad, FakeDevice
from tests.support.fake_cap import FakeCap
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.wait import wait_until

INTERVAL, SUSPECT, LOST = 1.0, 2, 4
JUDGED, TICK = 1.0, 0.2
"""Seconds after which silence is noticed at the latest; between two passes."""
SETTINGS = {
    "observe_interval_seconds": str(INTERVAL), "computility_suspect_seconds": str(SUSPECT),
    "computility_lost_seconds": str(LOST),
}  # fmt: skip
FIFTY = 50


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    room = [{"quota": 0.5, "capacities": {"stream_video_quota": FIFTY}}]
    with running(tmp_path / "data", **SETTINGS) as one:
        assert one.client.upload(make_package(tmp_path, xpu=room)).code == 0
        yield one


def load(site: Site, code: str) -> None:
    wait_until(lambda: site.client.get(f"/ACSMP/Computility/{code}").code == 0, what="it registered")
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": code}
    site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=30", body)


def plan(site: Site, number: int) -> int:
    infos = [task_info(url=f"rtsp://10.0.0.9/{one}") for one in range(number)]
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True, "AlgoTaskInfos": infos,
    }  # fmt: skip
    return int(site.client.fine("POST", "/ACSMP/Tasks", body))


def all_run(site: Site, number: int, seconds: float = 40) -> Any:
    return site.until(
        f"/ACSMP/Tasks/{number}", lambda data: data["RunningCount"] == data["TotalCount"], seconds=seconds
    )


def state(site: Site, code: str, expected: str) -> Any:
    return site.until(f"/ACSMP/Computility/{code}", lambda data: data["State"] == expected, seconds=30)


def overlap(ones: list[tuple[float, float]], others: list[tuple[float, float]]) -> float:
    """Seconds in which both ran."""
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in ones for b in others)


def test_fifty_tasks_of_a_killed_device(site: Site, tmp_path: Path) -> None:
    with ExitStack() as stack:
        old = stack.enter_context(CadProcess("11010000005050000001", tmp_path / "old", site.url))
        load(site, old.code)
        begun = time.monotonic()
        number = plan(site, FIFTY)
        wait_until(lambda: len(old.running()) == FIFTY, seconds=120, what="fifty tasks")
        device_time = time.monotonic() - begun  # of fifty creates, a pass among them
        all_run(site, number)
        instances = old.running()
        new = stack.enter_context(CadProcess("11010000005050000002", tmp_path / "new", site.url))
        load(site, new.code)

        killed = old.kill()
        wait_until(lambda: len(new.running()) == FIFTY, seconds=180, what="fifty elsewhere")
        moved = max(spans[-1][0] for spans in new.spans().values()) - killed
        assert moved <= LOST + JUDGED + TICK + 3 * device_time, (moved, device_time)
        all_run(site, number)
        assert new.running() == instances

        old.start()
        returned = old.moments()[-1]
        assert old.running() == instances  # it has them still
        wait_until(lambda: not old.running(), seconds=60, what="none on the old one")
        state(site, old.code, "online")
        first, second = old.spans(), new.spans()
        assert all(len(first[one]) == 2 and len(second[one]) == 1 for one in instances)
        first_gone = min(spans[-1][1] for spans in first.values()) - returned
        assert first_gone <= INTERVAL + JUDGED + TICK, first_gone
        twice = max(overlap(first[one], second[one]) for one in instances)
        assert twice <= INTERVAL + JUDGED + TICK + 3 * device_time, (twice, device_time)
        assert new.running() == instances
        assert all_run(site, number)["TotalCount"] == FIFTY


# --- policies ---------------------------------------------------------------------------------------------------


class Pair(NamedTuple):
    """Two devices with the service: three tasks run on the first; what the second begins does not run at once."""

    site: Site
    old: FakeDevice
    new: FakeDevice
    plan: int

    def instances(self) -> list[dict[str, Any]]:
        asked = {"TaskID": self.plan}
        return list(self.site.client.fine("POST", "/ACSMP/TaskInstances/Search", asked)["PageContent"])

    def lose(self) -> None:
        self.old.vanish()
        state(self.site, self.old.code, "lost")

    def comes_back(self) -> None:
        self.old.come_back()
        assert self.old.register(self.site.url).accepted
        state(self.site, self.old.code, "online")

    def begin(self, cad: FakeDevice) -> None:
        """What was PENDING there runs."""
        cad.board.starts_as = "RUNNING"
        for task in list(cad.tasks.values()):
            cad.board.set_status(task.task_id, "RUNNING")

    def looks(self, number: int = 3) -> None:
        seen = len(self.new.asked("search_algo_tasks")) + number
        wait_until(lambda: len(self.new.asked("search_algo_tasks")) >= seen, what="looks")

    def ran_once(self) -> None:
        """Each instance runs, by one task on one device."""
        all_run(self.site, self.plan)
        ids = sorted(task.sent_id for cad in (self.old, self.new) for task in cad.tasks.values())
        assert ids == sorted(one["ID"] for one in self.instances())


@pytest.fixture
def pair(site: Site, request: pytest.FixtureRequest) -> Iterator[Pair]:
    with FakeCad() as old, FakeCad("11010000005050000002") as new:
        for cad in (old, new):
            assert cad.register(site.url).accepted
        load(site, old.code)
        number = plan(site, 3)
        all_run(site, number)
        load(site, new.code)
        new.board.starts_as = "PENDING"
        yield Pair(site, old, new, number)


def policy(site: Site, failover: str, **more: Any) -> None:
    body = {"AlgoDefCode": CAPABILITY, "Strategy": "spread", "Failover": failover, **more}
    site.client.fine("POST", "/ACSMP/SchedulePolicies", body)


def deleted(cad: FakeDevice) -> int:
    return len(cad.asked("delete_algo_task")) + len(cad.asked("pause_algo_task"))


def test_gap_gives_the_old_place_up_for_good(pair: Pair) -> None:
    policy(pair.site, "gap")
    pair.lose()
    wait_until(lambda: len(pair.new.tasks) == 3, what="three begun elsewhere")
    assert {one["ComputilityCode"] for one in pair.instances()} == {pair.new.code}
    pair.comes_back()
    wait_until(lambda: not pair.old.tasks, what="none on the one that returned")
    pair.begin(pair.new)
    pair.ran_once()
    assert (len(pair.new.tasks), deleted(pair.new)) == (3, 0)


def test_double_keeps_the_old_place_when_it_is_back_before_the_new_one_runs(pair: Pair) -> None:
    policy(pair.site, "double")
    pair.lose()
    wait_until(lambda: len(pair.new.tasks) == 3, what="three begun elsewhere")
    assert {one["Status"] for one in pair.instances()} == {"PENDING"}
    pair.comes_back()
    wait_until(lambda: not pair.new.tasks, what="the new ones gone")
    pair.ran_once()
    assert (len(pair.old.running_tasks()), deleted(pair.old)) == (3, 0)
    assert len(pair.old.asked("create_algo_task")) == 3


def test_double_gives_the_old_place_up_when_the_new_one_runs(pair: Pair) -> None:
    policy(pair.site, "double")
    pair.lose()
    wait_until(lambda: len(pair.new.tasks) == 3, what="three begun elsewhere")
    pair.begin(pair.new)
    all_run(pair.site, pair.plan)
    pair.comes_back()
    wait_until(lambda: not pair.old.tasks, what="none on the one that returned")
    pair.ran_once()
    assert deleted(pair.new) == 0


def test_a_delay_longer_than_its_absence_moves_nothing(pair: Pair) -> None:
    policy(pair.site, "gap", DelaySeconds=3600)
    pair.lose()
    wait_until(
        lambda: all("has been away for 3600 s" in one.get("Reason", "") for one in pair.instances()),
        what="the reason",
    )
    pair.comes_back()
    pair.ran_once()
    assert (pair.new.asked("create_algo_task"), deleted(pair.old)) == ([], 0)


@pytest.mark.parametrize("failover", ["double", "gap"])
def test_the_work_of_a_cap_is_never_moved(site: Site, failover: str) -> None:
    """A cut line to a site must not double its work (conventions section 11): it goes on there meanwhile."""
    with FakeCap() as old, FakeCad("11010000005050000002") as new:
        for one in (old, new):
            assert one.register(site.url).accepted
        load(site, old.code)
        number = plan(site, 3)
        all_run(site, number)
        load(site, new.code)
        both = Pair(site, old, new, number)
        policy(site, failover)
        both.lose()
        wait_until(lambda: {one["Status"] for one in both.instances()} == {"ERROR"}, what="their state told")
        said = {one["Reason"] for one in both.instances()}
        assert said == {f"computility {old.code} is lost; no other place"}
        both.looks()
        assert len(old.running_tasks()) == 3
        assert not new.tasks
        both.comes_back()
        both.ran_once()
        assert (len(old.asked("create_algo_task")), deleted(old)) == (3, 0)
        assert (len(old.asked("create_algo_service")), old.asked("delete_algo_service")) == (1, [])
        assert new.asked("create_algo_task") == []
        assert old.max_running == 1


def test_a_cap_that_comes_back_empty_is_given_everything_again_once(site: Site) -> None:
    """It lost packages, services and tasks while the line was cut: all of it comes back, nothing twice."""
    with FakeCap() as cap:
        assert cap.register(site.url).accepted
        load(site, cap.code)
        number = plan(site, 3)
        all_run(site, number)
        cap.vanish()
        state(site, cap.code, "lost")
        cap.restart(keep=False)
        assert cap.register(site.url).accepted
        state(site, cap.code, "online")
        wait_until(lambda: len(cap.running_tasks()) == 3, seconds=60, what="the three tasks again")
        all_run(site, number)
        assert (len(cap.services), len(cap.tasks)) == (1, 3)
        assert cap.max_running == 1
