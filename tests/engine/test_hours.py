"""Plans with hours of the week, over a clock that a test moves (R24, R28 to R31)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from acsmpd.clock import Moment
from acsmpd.decide import windows
from acsmpd.engine.hours import Hours
from acsmpd.store import plans
from acsmpd.store.tables import Instance
from tests.engine.bench import Bench
from tests.store.rows import NOW, add_instance

MINUTE, DAY = 60.0, 24 * 60
MONDAY = int(datetime(2026, 3, 22, 23, 0, tzinfo=timezone.utc).timestamp() * 1000)
"""00:00 in Brussels; on that Sunday its summer time begins. 07:00 in Shanghai."""


def plan(works: Bench, hours: list[str] | None, *, started: bool = True, instances: int = 1) -> int:
    """A plan that is ON with instances nobody has looked at yet."""
    with works.store.write() as tx:
        plan_id = plans.add_plan(
            tx, name="p", type="VIDEO_REALTIME", mode="PERIODIC", status="ON", created_ms=NOW, modified_ms=NOW,
            plan_day_time=windows.written(windows.parse(hours)) if hours else None,
        )  # fmt: skip
        for number in range(instances):
            add_instance(
                tx, f"{plan_id}-{number}", plan_id=plan_id, on=False, started=started, status="PAUSED"
            )
    return plan_id


def running(works: Bench) -> set[int]:
    with works.store.read() as tx:
        return {row[0] for row in tx.sql('SELECT DISTINCT plan_id FROM instance WHERE "on"')}


def at(wall_ms: int, mono: float = 1000.0) -> Moment:
    return Moment(wall_ms, mono, "boot")


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "works", site_timezone="Europe/Brussels")
    yield made
    made.close()


def some_hours(chance: random.Random) -> list[str]:
    found = []
    for _ in range(chance.randint(1, 5)):
        first = chance.randrange(DAY)
        last = chance.randint(first + 1, DAY)
        hands = f"{first // 60}:{first % 60:02d}{chance.choice(',-')}{last // 60:02d}:{last % 60:02d}"
        found.append(f"{chance.randint(1, 7)},{hands}")
    return found


def minutes_of(hours: list[str]) -> bytearray:
    """Minute of the week -> open, by laying every window down."""
    week = bytearray(7 * DAY)
    for text in hours:
        day, begin, end = text.replace("-", ",").split(",")
        first, last = (int(hand.split(":")[0]) * 60 + int(hand.split(":")[1]) for hand in (begin, end))
        for minute in range(first, last):
            week[(int(day) - 1) * DAY + minute] = 1
    return week


def test_a_week_of_a_thousand_plans(works: Bench) -> None:
    """Every on and off, at every minute of a week at whose end summer time begins, as counted by hand."""
    chance = random.Random(20260322)
    said = {plan(works, hours): minutes_of(hours) for hours in (some_hours(chance) for _ in range(1000))}
    hours, zone = Hours(works.core), ZoneInfo("Europe/Brussels")
    switched = 0
    before: set[int] = set()
    for minute in range(7 * DAY):
        now = at(MONDAY + minute * 60_000, 1000.0 + minute * MINUTE)
        due = hours.ensure(now)
        assert due == now.mono + MINUTE
        local = datetime.fromtimestamp(now.wall_ms / 1000, zone)
        shown = local.weekday() * DAY + local.hour * 60 + local.minute
        expected = {plan_id for plan_id, week in said.items() if week[shown]}
        found = running(works)
        assert found == expected, (local, found ^ expected)
        switched += len(found ^ before)
        before = found
    assert switched > 3000


def test_without_hours_nothing_is_due(works: Bench) -> None:
    plan(works, None)
    assert Hours(works.core).ensure(at(MONDAY)) is None
    assert running(works) == set()  # a plan without hours was switched when it was started


def test_it_looks_again_when_the_minute_turns(works: Bench) -> None:
    plan(works, ["1,00:00,01:00"])
    assert Hours(works.core).ensure(at(MONDAY + 59_500, 5.0)) == 5.5


@pytest.mark.parametrize("seconds", [3600, 24 * 3600, 3 * 365 * 24 * 3600])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_that_is_set_is_followed_once(works: Bench, seconds: int, sign: int) -> None:
    """No storm: however many windows were jumped over, an instance is switched by what the clock shows now."""
    week = plan(works, ["1,00:00,24:00"])
    tuesday = plan(works, ["2,00:00,24:00"])
    hours = Hours(works.core)
    hours.ensure(at(MONDAY + 12 * 3600_000))
    assert running(works) == {week}
    set_to = MONDAY + 12 * 3600_000 + sign * seconds * 1000
    hours.ensure(at(set_to, 1001.0))
    day = datetime.fromtimestamp(set_to / 1000, ZoneInfo("Europe/Brussels")).isoweekday()
    assert running(works) == {1: {week}, 2: {tuesday}}.get(day, set())
    assert works.plant.steps == []


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "UTC", "Europe/Brussels"])
def test_a_night_of_two_windows_is_one_run(tmp_path: Path, zone: str) -> None:
    """22:00 to 06:00 is switched on once and off once, every night of the week (R30), the one of summer time too."""
    made = Bench(tmp_path / "night", site_timezone=zone)
    week = [f"{day},{hours}" for day in range(1, 8) for hours in ("22:00,24:00", "00:00,06:00")]
    plan_id = plan(made, week)
    hours, seen = Hours(made.core), []
    noon = int(datetime(2026, 3, 23, 12, 0, tzinfo=ZoneInfo(zone)).timestamp() * 1000)
    for minute in (hour * 60 + around for hour in range(7 * 24) for around in (-1, 0, 1)):
        now = at(noon + minute * 60_000, 1000.0 + minute * MINUTE)
        hours.ensure(now)
        is_on = made.row(f"{plan_id}-0").on
        if is_on is not (seen[-1][0] if seen else False):
            local = datetime.fromtimestamp(now.wall_ms / 1000, ZoneInfo(zone))
            seen.append((is_on, f"{local:%H:%M}"))
    assert seen == [(True, "22:00"), (False, "06:00")] * 7
    made.close()


def test_a_stopped_instance_and_a_stopped_plan_stay_off(works: Bench) -> None:
    stopped = plan(works, ["1,00:00,24:00"], started=False)
    off = plan(works, ["1,00:00,24:00"])
    with works.store.write() as tx:
        plans.change_plan(tx, off, status="OFF")
    Hours(works.core).ensure(at(MONDAY))
    assert running(works) == set()
    with works.store.write() as tx:
        plans.change_instances(tx, Instance.plan_id == stopped, started=True)
    Hours(works.core).ensure(at(MONDAY))
    assert running(works) == {stopped}


def test_what_an_update_left_for_the_next_start_counts_when_the_hours_open(works: Bench) -> None:
    plan_id = plan(works, ["1,08:00,09:00"])
    changed = {"info": {"RulesParams": [{"EventID": "FIRE"}]}, "events": ["FIRE"]}
    with works.store.write() as tx:
        plans.change_instances(tx, Instance.plan_id == plan_id, next=changed)
    hours = Hours(works.core)
    hours.ensure(at(MONDAY))
    assert works.row(f"{plan_id}-0").revision == 0
    hours.ensure(at(MONDAY + 8 * 3600_000))
    row = works.row(f"{plan_id}-0")
    assert (row.on, row.revision, row.info) == (True, 1, changed["info"])
    with works.store.read() as tx:
        assert plans.instance(tx, row.id)["next"] is None  # type: ignore[index]
        assert (
            tx.sql("SELECT event_id FROM instance_event WHERE instance_number = ?", row.number)[0][0]
            == "FIRE"
        )


def test_a_restart_within_the_hours_changes_nothing(works: Bench) -> None:
    plan_id = plan(works, ["1,00:00,24:00"])
    Hours(works.core).ensure(at(MONDAY))
    revision = works.row(f"{plan_id}-0")
    Hours(works.core).ensure(at(MONDAY + 60_000, 7.0)._replace(boot_id="another"))
    assert works.row(f"{plan_id}-0") == revision


def test_hours_taken_away_while_they_close_leave_the_plan_running(works: Bench) -> None:
    plan_id = plan(works, ["1,00:00,01:00"])
    hours, write = Hours(works.core), works.store.write
    hours.ensure(at(MONDAY))

    def first(**more: Any) -> Any:
        works.store.write = write  # type: ignore[method-assign]
        with works.store.write() as tx:
            plans.change_plan(tx, plan_id, plan_day_time=None)
        return write(**more)

    works.store.write = first  # type: ignore[method-assign, assignment]
    hours.ensure(at(MONDAY + 3600_000))
    assert running(works) == {plan_id}
