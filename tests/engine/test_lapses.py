"""Licences that end, are deleted, and a clock that is set back (R39, R40; conventions section 9)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acsmpd.clock import DAY_SECONDS, HOUR_SECONDS, Moment
from acsmpd.engine.lapses import BACK_SECONDS, CLOCK_BACK, LAPSED
from acsmpd.store import licences, plans, policies
from acsmpd.store.tables import Alarm, Capability, License
from tests.engine.bench import INFO, Bench
from tests.store.rows import CODE, NOW

HOUR_MS = HOUR_SECONDS * 1000
ENDS = NOW + HOUR_MS
NEEDS = {"env": [["AUTH_SERVER_ADDR", ""]]}


class Licensed(Bench):
    """A device with a running service that needs authorisation."""

    def __init__(self, folder: Path, grace_hours: int = -1) -> None:
        super().__init__(folder, licences_grace_hours=str(grace_hours))
        self.device()
        self.package(manifest=NEEDS)
        self.load()

    def licence(
        self, streams: int | None, *, sm3: str = "one", ends: int | None = None, device: str = ""
    ) -> int:
        values: dict[str, Any] = {
            "abilities": None if streams is None else {"A": streams}, "path": f"licenses/{sm3}", "size": 1,
            "expire_ms": ends,
        }  # fmt: skip
        which = {"sm3": sm3, "provider": "ACSMPD", "device": device}
        with self.store.write() as tx:
            known = licences.same(tx, **which)
            if known is not None:
                licences.change(tx, known["id"], **values)
                return int(known["id"])
            return licences.add(tx, created_ms=NOW, **which, **values)

    def delete(self, number: int) -> None:
        with self.store.write() as tx:
            licences.end(tx, number, licences.latest_ms(tx, self.clock.moment.wall_ms))

    def want(self, number: int, **more: Any) -> None:
        for one in range(number):
            self.instance(f"i{one}", **more)

    def at(self, wall_ms: int) -> None:
        """The wall clock is set to this; the running one goes on by a second."""
        self.clock.moment = Moment(wall_ms, self.clock.moment.mono + 1, "boot")

    def on_device(self) -> int:
        return sum(one.status == "RUNNING" for one in self.plant.boxes[CODE].tasks.values())

    def statuses(self, number: int) -> list[str]:
        return [self.status(f"i{one}")[0] for one in range(number)]

    def rows(self) -> list[dict[str, Any]]:
        with self.store.read() as tx:
            return tx.rows(License.select())


@pytest.fixture
def works(tmp_path: Path) -> Any:
    made = Licensed(tmp_path / "works")
    yield made
    made.close()


@pytest.fixture
def graced(tmp_path: Path) -> Any:
    """With a grace of two hours."""
    made = Licensed(tmp_path / "works", grace_hours=2)
    yield made
    made.close()


def told(works: Bench) -> list[tuple[str, str, str]]:
    """What was ended, as (kind, subject, text): an alarm that is over as soon as it is raised."""
    assert works.alarms(LAPSED) == []
    with works.store.read() as tx:
        rows = tx.rows(Alarm.select().where(Alarm.kind == LAPSED).order_by(Alarm.id))
    return [(row["kind"], row["subject"], row["text"]) for row in rows]


# --- what ends ------------------------------------------------------------------------------------------------


def test_what_runs_when_a_licence_expires_goes_on_and_nothing_new_starts(works: Licensed) -> None:
    works.licence(4, ends=ENDS)
    works.want(2)
    works.run(8)
    assert works.statuses(2) == ["RUNNING"] * 2
    works.at(ENDS)
    works.instance("i2")
    works.run(3)
    assert works.statuses(3) == ["RUNNING", "RUNNING", "PENDING"]
    assert works.status("i2")[1] == "waiting for quota: 2/0 streams of A are used (licences of ACSMPD)"
    works.at(ENDS + 400 * DAY_SECONDS * 1000)
    works.run(5)
    assert works.on_device() == 2
    works.restart()
    works.run(5)
    assert works.statuses(3) == ["RUNNING", "RUNNING", "PENDING"]
    assert told(works) == []


def test_what_stopped_meanwhile_does_not_come_back(works: Licensed) -> None:
    """The hours of a plan open again: that is a start."""
    works.licence(4, ends=ENDS)
    works.want(2)
    works.run(8)
    works.change("i0", on=False)
    works.run(3)
    works.at(ENDS)
    works.change("i0", on=True)
    works.run(3)
    assert works.statuses(2) == ["PENDING", "RUNNING"]


def test_after_the_grace_what_no_other_licence_allows_ends_the_newest_first(graced: Licensed) -> None:
    graced.licence(3, ends=ENDS)
    graced.licence(1, sm3="stays")
    graced.want(4)
    graced.run(8)
    assert graced.statuses(4) == ["RUNNING"] * 4
    graced.at(ENDS + 2 * HOUR_MS - 10_000)
    graced.run(3)
    assert graced.statuses(4) == ["RUNNING"] * 4
    graced.at(ENDS + 2 * HOUR_MS)
    graced.run(4)
    assert graced.statuses(4) == ["RUNNING", "PENDING", "PENDING", "PENDING"]
    assert graced.on_device() == 1
    assert "waiting for quota: 1/1" in graced.status("i3")[1]
    [(_, subject, text)] = told(graced)
    assert subject == "licences of ACSMPD: A"
    assert text.startswith("3 streams of A were ended: licences of ACSMPD do not allow them any more")


def test_the_lowest_priority_ends_first(graced: Licensed) -> None:
    with graced.store.write() as tx:
        urgent = [{"name": "urgent", "value": 9, "preempts": True}]
        policies.add(
            tx, id="p", capability="", strategy="spread", classes=urgent, created_ms=NOW, modified_ms=NOW
        )
    graced.licence(2, ends=ENDS)
    graced.licence(1, sm3="stays")
    graced.want(2)
    graced.instance("i2", priority_class="urgent")
    graced.run(8)
    graced.at(ENDS + 2 * HOUR_MS)
    graced.run(4)
    assert graced.statuses(3) == ["PENDING", "PENDING", "RUNNING"]


@pytest.mark.parametrize("device", ["", CODE])
def test_one_that_is_deleted_has_its_grace_too_and_is_forgotten_then(graced: Licensed, device: str) -> None:
    number = graced.licence(2, device=device)
    graced.want(2)
    graced.run(8)
    graced.delete(number)
    graced.instance("i2")
    graced.run(3)
    assert graced.statuses(3) == ["RUNNING", "RUNNING", "PENDING"]
    assert graced.status("i2")[1].endswith("(no licence or server of ACSMPD)")
    graced.at(graced.clock.moment.wall_ms + 2 * HOUR_MS)
    graced.run(4)
    assert graced.statuses(3) == ["PENDING"] * 3
    assert graced.rows() == []


def test_without_a_grace_one_that_is_deleted_is_forgotten_and_ends_nothing(works: Licensed) -> None:
    number = works.licence(2)
    works.want(2)
    works.run(8)
    works.delete(number)
    works.run(3)
    assert works.rows() == []
    assert works.statuses(2) == ["RUNNING"] * 2


def test_one_that_comes_again_in_time_ends_nothing(graced: Licensed) -> None:
    number = graced.licence(2)
    graced.licence(2, sm3="other", ends=ENDS)
    graced.want(4)
    graced.run(8)
    graced.delete(number)
    graced.at(ENDS)
    graced.run(2)
    graced.licence(2)
    graced.licence(2, sm3="other", ends=ENDS + 9 * HOUR_MS)
    graced.at(ENDS + 3 * HOUR_MS)
    graced.run(3)
    assert graced.statuses(4) == ["RUNNING"] * 4
    assert len(graced.rows()) == 2


def test_a_quota_that_is_made_smaller_ends_nothing(graced: Licensed) -> None:
    """Not even where another licence has lapsed before."""
    graced.licence(0, sm3="over", ends=ENDS)
    graced.licence(3)
    graced.want(3)
    graced.run(8)
    graced.at(ENDS + 3 * HOUR_MS)
    graced.run(2)
    graced.licence(1)
    graced.at(ENDS + 9 * HOUR_MS)
    graced.run(3)
    assert graced.statuses(3) == ["RUNNING"] * 3


def test_a_lapse_that_a_restart_interrupts_is_done_after_it(graced: Licensed) -> None:
    graced.licence(1, ends=ENDS)
    graced.want(1)
    graced.run(8)
    graced.restart()
    graced.at(ENDS + 5 * HOUR_MS)
    graced.run(4)
    assert graced.statuses(1) == ["PENDING"]


# --- when the clock is set back ---------------------------------------------------------------------------------


def test_a_clock_set_back_extends_nothing_and_is_told(works: Licensed) -> None:
    works.licence(4, ends=ENDS)
    works.want(1)
    works.run(8)
    works.at(ENDS)
    works.run(1)
    works.at(ENDS - DAY_SECONDS * 1000)
    works.instance("i1")
    works.run(3)
    assert works.statuses(2) == ["RUNNING", "PENDING"]
    works.restart()
    works.run(3)
    assert works.statuses(2) == ["RUNNING", "PENDING"]
    [(_, _, text)] = works.alarms(CLOCK_BACK)
    assert "behind the highest time ever seen" in text
    works.at(ENDS + 1000)
    works.run(1)
    assert works.alarms(CLOCK_BACK) == []


def test_a_clock_that_is_put_right_by_little_is_not_told(works: Licensed) -> None:
    works.licence(4, ends=ENDS)
    works.at(ENDS)
    works.run(1)
    works.at(ENDS - int(BACK_SECONDS * 1000) + 5000)
    works.run(2)
    assert works.alarms(CLOCK_BACK) == []


def test_grace_runs_by_the_highest_time_too(graced: Licensed) -> None:
    """Set back again and again, it does not last longer than the box has seen time pass."""
    graced.licence(1, ends=ENDS)
    graced.want(1)
    graced.run(8)
    graced.at(ENDS + 1 * HOUR_MS)
    graced.run(1)
    graced.at(ENDS - HOUR_MS)
    graced.run(2)
    assert graced.statuses(1) == ["RUNNING"]
    graced.at(ENDS + 2 * HOUR_MS)
    graced.run(4)
    assert graced.statuses(1) == ["PENDING"]


def test_a_clock_set_back_before_the_end_gives_no_more_time_than_there_was(graced: Licensed) -> None:
    """An hour before the end it is set back by a year: after an hour of running it is over, restart or not."""
    graced.licence(2, ends=ENDS)
    graced.want(1)
    graced.run(8)
    graced.at(ENDS - HOUR_MS)
    graced.run(1)
    graced.at(ENDS - 365 * 24 * HOUR_MS)
    graced.run(3)
    graced.pass_by(HOUR_SECONDS / 2)
    graced.run(1)
    graced.restart()
    graced.run(1)
    graced.pass_by(HOUR_SECONDS / 2)
    graced.instance("i1")
    graced.run(6, seconds=20)
    assert graced.statuses(2) == ["RUNNING", "PENDING"]
    assert "waiting for quota: 1/0" in graced.status("i1")[1]
    graced.pass_by(2 * HOUR_SECONDS)
    graced.run(10, seconds=20)
    assert graced.on_device() == 0
    assert "RUNNING" not in graced.statuses(2)


def test_the_word_of_the_clock_ends_also_after_a_restart_and_without_licences(works: Licensed) -> None:
    number = works.licence(4, ends=ENDS + 30 * DAY_SECONDS * 1000)
    other = works.licence(4, sm3="over", ends=ENDS)
    works.at(ENDS)
    works.run(1)
    works.at(ENDS - DAY_SECONDS * 1000)
    works.run(1)
    assert len(works.alarms(CLOCK_BACK)) == 1
    works.restart()
    works.at(ENDS + 5000)
    works.run(1)
    assert works.alarms(CLOCK_BACK) == []
    works.at(ENDS - DAY_SECONDS * 1000)
    works.run(1)
    assert len(works.alarms(CLOCK_BACK)) == 1
    works.delete(number)
    works.delete(other)
    works.run(3)
    assert works.alarms(CLOCK_BACK) == []


def test_a_lapsed_licence_that_is_imported_as_it_was_lapses_once(graced: Licensed) -> None:
    graced.licence(0, sm3="over", ends=ENDS)
    graced.licence(3)
    graced.want(3)
    graced.run(8)
    graced.at(ENDS + 3 * HOUR_MS)
    graced.run(2)
    graced.licence(1)
    graced.licence(0, sm3="over", ends=ENDS)
    graced.run(4)
    assert graced.statuses(3) == ["RUNNING"] * 3


# --- loads ------------------------------------------------------------------------------------------------------


def test_nothing_is_loaded_without_a_good_licence_and_it_is_when_one_comes(tmp_path: Path) -> None:
    works = Licensed(tmp_path / "works")
    works.run(4)
    said = works.the_load().error
    assert "needs authorisation, and there is no good licence of ACSMPD for" in said
    assert works.plant.boxes[CODE].services == {}
    works.licence(1)
    works.run(6, seconds=40)
    assert works.the_load().status == "RUNNING"
    works.close()


# --- other events ------------------------------------------------------------------------------------------------


def other_events(works: Bench, *events: str) -> None:
    """As an update of the instance does."""
    info = {**INFO, "RulesParams": [{"EventID": event} for event in events]}
    with works.store.write() as tx:
        row = plans.instance(tx, "i0")
        assert row is not None
        plans.change_instance(tx, "i0", info=info, revision=row["revision"] + 1)
        plans.set_events(tx, row["number"], [(event, "") for event in events])


def capabilities(works: Bench) -> dict[str, str]:
    with works.store.read() as tx:
        return dict(tx.sql("SELECT event_id, capability FROM instance_event ORDER BY id"))


@pytest.mark.parametrize(
    ("allowed", "status"),
    [({"A": 1, "B": 1}, "RUNNING"), ({"A": 1}, "PENDING"), ({"A": 1, "B": 0}, "PENDING")],
)
def test_events_of_another_capability_are_other_streams(
    tmp_path: Path, allowed: dict[str, int], status: str
) -> None:
    works = Licensed(tmp_path / "works")
    works.package(manifest=NEEDS, codes=("A", "B"))
    with works.store.write() as tx:
        tx.run(Capability.update(event_ids=["INTRUSION", "LOITERING"]).where(Capability.code == "A"))
        tx.run(Capability.update(event_ids=["FENCE"]).where(Capability.code == "B"))
        which = {"sm3": "one", "provider": "ACSMPD", "device": ""}
        licences.add(
            tx, created_ms=NOW, **which, abilities=allowed, path="licenses/one", size=1, expire_ms=None
        )
    works.want(1)
    works.run(8)
    [task_id] = works.plant.boxes[CODE].tasks
    other_events(works, "LOITERING")
    works.run(4)
    assert list(works.plant.boxes[CODE].tasks) == [task_id]  # the same capability: the same stream
    assert capabilities(works) == {"LOITERING": "A"}
    other_events(works, "LOITERING", "FENCE")
    works.run(8)
    assert works.status("i0")[0] == status
    if status == "RUNNING":
        assert works.task("i0").capabilities == ["A", "B"]
        assert capabilities(works) == {"LOITERING": "A", "FENCE": "B"}
    else:
        assert "0/0 streams of B are used" in works.status("i0")[1]
        assert works.on_device() == 0
    works.close()
