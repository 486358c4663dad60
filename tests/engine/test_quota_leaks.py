"""Ways past a quota, and ways in which one is lost, that were found by looking for them: none is open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from acsmpd.api import instances, starts
from acsmpd.api.services import unload_in
from acsmpd.faults import Permanent
from acsmpd.store import authquotas, authservers, plans, policies, services
from acsmpd.store.tables import Instance
from tests.engine.test_lapses import HOUR_MS, Licensed
from tests.store.rows import CODE, NOW, OTHER


class Two(Licensed):
    """Two devices with the service."""

    def __init__(self, folder: Path, grace_hours: int = -1) -> None:
        super().__init__(folder, grace_hours)
        self.device(OTHER)
        self.load("load-2", OTHER)

    def runs(self) -> dict[str, int]:
        return {
            code: sum(task.status == "RUNNING" for task in self.plant.boxes[code].tasks.values())
            for code in (CODE, OTHER)
        }

    def states(self, *names: str) -> list[str]:
        return [self.status(name)[0] for name in names]

    def refused(self, *names: str) -> list[str]:
        """Those that a start by name would be refused for."""
        with self.store.read() as tx:
            return list(starts.refused(tx, names, self.clock.moment.wall_ms).why)

    def server(self, used: int, total: int) -> int:
        with self.store.write() as tx:
            number = authservers.add(tx, "10.9.9.9:1", "ACSMPD", NOW, is_default=True)
        self.told(number, used, total, 0)
        return number

    def told(self, server: int, used: int, total: int, counted: int) -> None:
        with self.store.write() as tx:
            authquotas.note_answer(
                tx, server, "A", NOW, used=used, total=total, counted=counted, address="10.9.9.9:1"
            )


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    made = Two(tmp_path / "works")
    yield made
    made.close()


# --- more than there is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("pin", ["", CODE])
def test_stopped_and_started_while_its_device_is_lost(two: Two, pin: str) -> None:
    """What it had there went to somebody else meanwhile."""
    two.licence(1)
    two.instance("x", device=pin)
    two.run(8)
    at = two.task("x").device
    two.plant.away.add(at)
    two.run(1)
    two.change("x", on=False)
    two.run(40, seconds=10)
    assert two.state(at) == "lost"
    two.instance("y", device=OTHER if at == CODE else CODE)
    two.run(6)
    assert two.states("x", "y")[1] == "RUNNING"
    assert two.refused("x") == ([] if pin else ["x"])  # a pinned one waits for its device first
    two.change("x", on=True)
    two.run(6)
    assert two.states("x", "y") == ["PENDING", "RUNNING"]
    two.plant.away.clear()
    two.run(20, seconds=10)
    assert two.states("x", "y") == ["PENDING", "RUNNING"]
    assert sum(two.runs().values()) == 1


def test_stopped_while_its_service_ends_and_started_again(two: Two) -> None:
    two.licence(1)
    two.instance("x")
    two.run(8)
    load_id = two.task("x").load_id or ""
    with two.store.write() as tx:
        unload_in(tx, [load_id], NOW, force=True, origin="")
    two.change("x", on=False)
    two.run(8)
    assert two.load_row(load_id) is None, "the service is gone: nothing stands still on it"
    two.instance("y")
    two.run(6)
    assert two.refused("x") == ["x"]
    two.change("x", on=True)
    for _ in range(8):
        two.run(1)
        assert sum(two.runs().values()) <= 1
    assert two.states("x", "y") == ["PENDING", "RUNNING"]


def test_started_again_after_its_change_was_refused(two: Two) -> None:
    """It stands still on its device, refused: to go on it needs a stream."""
    two.licence(1)
    two.instance("x", device=CODE)
    two.run(8)
    two.change("x", on=False)
    two.run(4)
    with two.store.write() as tx:
        plans.change_task(tx, two.task("x").id, parked=True)
    two.instance("y", device=OTHER)
    two.run(6)
    assert two.states("x", "y") == ["PAUSED", "RUNNING"]
    assert two.refused("x") == ["x"]
    with two.store.write() as tx:
        instances.switch(cast("Any", None), tx, [Instance.id == "x"], on=True, now_ms=NOW)
    two.run(8)
    assert two.states("x", "y") == ["PENDING", "RUNNING"]
    assert sum(two.runs().values()) == 1


def test_what_own_licences_bind_is_nothing_a_server_has_counted(two: Two) -> None:
    two.licence(3, device=CODE)
    server = two.server(4, 4)
    for number in range(3):
        two.instance(f"a{number}", device=CODE)
    two.run(8)
    two.told(server, 4, 4, counted=0)  # as the engine counts: none of the three runs by its leave
    two.instance("b", device=OTHER)
    two.run(6)
    assert two.runs() == {CODE: 3, OTHER: 0}
    assert "4/4 streams of A are used (the authorisation server of ACSMPD)" in two.status("b")[1]


def test_naming_a_server_that_says_nothing_opens_no_licence_that_is_over(two: Two) -> None:
    two.licence(1, ends=NOW)
    with two.store.write() as tx:
        number = authservers.add(tx, "10.9.9.9:1", "ACSMPD", NOW, is_default=True)
        authquotas.note_failure(tx, number, "A", NOW, "nobody is there")
    two.instance("x")
    two.run(6)
    assert two.states("x") == ["PENDING"]
    assert "licences are over, and the authorisation server of ACSMPD has not said" in two.status("x")[1]
    two.told(number, 0, 1, 0)
    two.run(12)
    assert two.states("x") == ["RUNNING"]


# --- less than there is ---------------------------------------------------------------------------------------


def test_a_server_that_counts_late_does_not_halve_its_quota(two: Two) -> None:
    server = two.server(0, 8)
    for number in range(4):
        two.instance(f"b{number}")
    two.run(8)
    two.told(server, 3, 8, counted=4)
    for number in range(4, 8):
        two.instance(f"b{number}")
    two.run(8)
    assert sum(two.runs().values()) == 8


def test_who_waits_for_a_service_keeps_no_quota_from_who_is_started_by_name(two: Two) -> None:
    two.licence(1)
    with two.store.write() as tx:
        services.change_load(tx, "load-1", status="ERROR", sent=True, parked=True)
    two.run(8)
    two.instance("u", device=CODE)
    two.instance("v", device=OTHER, on=False)
    two.run(4)
    assert two.refused("v") == []
    two.change("v", on=True)
    two.run(4)
    assert two.states("u", "v") == ["PENDING", "RUNNING"]
    two.instance("w", device=OTHER, on=False)
    two.run(1)
    assert two.refused("w") == ["w"]


def test_a_higher_one_does_not_wait_for_what_a_device_does_not_let_go(two: Two) -> None:
    urgent: list[dict[str, Any]] = [{"name": "urgent", "value": 9, "preempts": True}]
    with two.store.write() as tx:
        policies.add(
            tx, id="p", capability="", strategy="spread", classes=urgent, created_ms=NOW, modified_ms=NOW
        )
    two.licence(2)
    two.instance("x", device=CODE)
    two.instance("y")
    two.run(8)
    two.plant.keeps[CODE] = Permanent("no")
    with two.store.write() as tx:
        plans.delete_instances(tx, NOW, Instance.id == "x")
    two.run(8, seconds=10)
    two.instance("h", priority_class="urgent")
    two.run(30, seconds=10)
    assert two.states("y", "h") == ["PENDING", "RUNNING"]
    assert sum(two.runs().values()) == 2


def test_what_a_device_has_refused_holds_no_quota_and_needs_one_for_a_fresh_try(two: Two) -> None:
    two.licence(1)
    two.run(6)
    two.plant.before["create_task"] = [Permanent("no such stream")]
    two.instance("x", device=CODE)
    two.run(4)
    assert two.status("x") == ("ERROR", "no such stream")
    two.instance("y", device=OTHER)
    two.run(4)
    assert two.states("y") == ["RUNNING"]
    assert two.refused("x") == ["x"]
    with two.store.write() as tx:
        plans.unpark(tx, two.task("x"), NOW)
    two.run(6)
    assert two.states("x", "y") == ["PENDING", "RUNNING"]
    two.change("y", on=False)
    two.run(6)
    assert two.states("x", "y") == ["RUNNING", "PAUSED"]


# --- what must not end -------------------------------------------------------------------------------------------


def test_the_end_of_one_devices_own_licence_ends_nothing_of_others(tmp_path: Path) -> None:
    two = Two(tmp_path / "works", grace_hours=2)
    own = two.licence(3, sm3="own", device=CODE)
    two.licence(3, sm3="shared")
    for number in range(3):
        two.instance(f"a{number}", device=CODE)
        two.instance(f"b{number}", device=OTHER)
    two.run(8)
    assert two.runs() == {CODE: 3, OTHER: 3}
    two.delete(own)
    two.run(2)
    two.at(two.clock.moment.wall_ms + 2 * HOUR_MS)
    two.run(6)
    assert two.runs() == {CODE: 0, OTHER: 3}
    two.close()
