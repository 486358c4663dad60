"""The duty of bringing a package to many devices: real store and steps, moments of the test's own."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from acsmpd.engine.rollouts import BATCH, Rollouts
from acsmpd.faults import Permanent, Temporary
from acsmpd.store import packages, rollouts, services
from tests.engine.bench import SITE, Bench
from tests.store.rows import NOW, PACKAGE

CODES = [f"110100000050500000{number:02d}" for number in range(1, 10)]
ENV = [{"Name": "MODE", "Value": "day"}]
SOON = {"rollouts_offline_seconds": "60", "rollouts_member_seconds": "600"}
NEWER = "1101000000502000000120261121120000000002"


@pytest.fixture
def works(tmp_path: Any) -> Any:
    made = Bench(tmp_path / "works", site_timezone="UTC", **SOON)
    made.package()
    yield made
    made.close()


def field(works: Bench, number: int) -> list[str]:
    for code in CODES[:number]:
        works.device(code)
    return CODES[:number]


def begin(works: Bench, codes: list[str], **more: Any) -> int:
    values = {
        "package_id": PACKAGE, "load": True, "env": [], "most": 2, "threshold": 9, "created_ms": NOW,
        "changed_ms": NOW, **more,
    }  # fmt: skip
    with works.store.write() as tx:
        return rollouts.add(tx, codes, **values)


def members(works: Bench, rollout_id: int = 1) -> list[dict[str, Any]]:
    with works.store.read() as tx:
        return rollouts.members(tx, rollout_id)


def stand(works: Bench, rollout_id: int = 1) -> list[str]:
    return [row["status"] for row in members(works, rollout_id)]


def reasons(works: Bench, rollout_id: int = 1) -> list[str]:
    return [row["reason"] for row in members(works, rollout_id)]


def has_ended(works: Bench, rollout_id: int = 1) -> bool:
    with works.store.read() as tx:
        row = rollouts.get(tx, rollout_id)
    assert row is not None
    return row["ended_ms"] is not None


def through(works: Bench, passes: int = 60) -> None:
    """Passes until it is over; the waves are looked at in each."""
    for _ in range(passes):
        works.run()
        if has_ended(works):
            return
    raise AssertionError(f"not over: {members(works)}")


# --- waves ---------------------------------------------------------------------------------------------------


def test_it_goes_out_in_waves_and_ends(works: Bench) -> None:
    begin(works, field(works, 5))
    peak = 0
    while not has_ended(works):
        works.run()
        peak = max(peak, stand(works).count("IN_PROGRESS"))
    assert peak == 2
    assert stand(works) == ["DONE"] * 5
    assert [row["wave"] for row in members(works)] == [1, 1, 2, 2, 3]
    assert all(row["begun_ms"] and row["ended_ms"] and row["service_id"] for row in members(works))
    for code in CODES[:5]:
        assert works.plant.told(code) == ["push", "load"]


def test_pushing_alone_loads_nothing(works: Bench) -> None:
    begin(works, field(works, 2), load=False)
    through(works)
    assert stand(works) == ["DONE", "DONE"]
    assert works.plant.told() == ["push", "push"]
    with works.store.read() as tx:
        assert services.loads(tx) == []


def test_this_box_is_a_member_like_others_and_what_it_cannot_load_has_failed(works: Bench) -> None:
    works.device(SITE, type="AI_BOX", family="local")
    begin(works, [SITE], env=ENV)
    through(works)
    assert reasons(works) == ["$.Env: MODE is not declared in the package's algo.yaml"]
    begin(works, [SITE])
    works.run(8)
    assert stand(works, 2) == ["DONE"]
    assert works.here.told(SITE) == ["push", "load"]


def test_what_is_there_already_takes_no_step_and_no_turn(works: Bench) -> None:
    codes = field(works, 4)
    begin(works, codes[:3])
    through(works)
    before = len(works.plant.steps)
    begin(works, codes, most=1)
    works.run(8)
    assert stand(works, 2) == ["DONE"] * 4
    assert [row["wave"] for row in members(works, 2)] == [0, 0, 0, 1]
    assert {where for where, _ in works.plant.steps[before:]} == {codes[3]}
    begin(works, codes, load=False)
    works.run(2)
    assert stand(works, 3) == ["DONE"] * 4
    assert len(works.plant.steps) == before + 2


def test_a_service_with_another_env_is_named_as_in_the_way(works: Bench) -> None:
    codes = field(works, 1)
    begin(works, codes)
    through(works)
    begin(works, codes, env=ENV)
    works.run(3)
    assert stand(works, 2) == ["FAILED"]
    assert "with another Env" in reasons(works, 2)[0]


def test_a_large_wave_is_wished_for_in_parts(works: Bench) -> None:
    codes = [f"1101000000505100{number:04d}" for number in range(BATCH + 10)]
    for code in codes:
        works.device(code, state="online")
    begin(works, codes, most=1000)
    duty, wished = Rollouts(works.core), []
    for _ in range(4):
        duty.ensure(works.clock.moment)
        wished.append(sum(row["step"] == "load" for row in members(works)))
    assert wished == [0, BATCH, BATCH + 10, BATCH + 10]
    assert stand(works) == ["IN_PROGRESS"] * len(codes)


# --- failures --------------------------------------------------------------------------------------------------


def test_it_stops_when_so_many_failed_and_says_who_and_why(works: Bench) -> None:
    codes = field(works, 6)
    begin(works, codes, threshold=2)
    works.plant.before["load"] = [Permanent("no card is free"), Permanent("no card is free")]
    works.plant.before["push"] = [Permanent("no room"), Permanent("no room")]
    through(works)
    assert stand(works) == ["FAILED", "FAILED", *["WAITING"] * 4]
    assert reasons(works)[0] == "the package file did not arrive: no room"
    [(kind, subject, text)] = works.alarms("rollout_failed")
    assert (kind, subject) == ("rollout_failed", "1")
    assert "2 of 6 computilities failed" in text
    assert f"{codes[0]}: the package file did not arrive: no room" in text
    works.run(5)
    assert not [step for where, step in works.plant.steps if where in codes[2:]]


def test_fewer_failures_do_not_stop_it_and_who_had_begun_is_carried_through(works: Bench) -> None:
    begin(works, field(works, 4), threshold=2)
    works.plant.before["push"] = [Permanent("no room")]
    through(works)
    assert sorted(stand(works)) == ["DONE", "DONE", "DONE", "FAILED"]
    assert works.alarms("rollout_failed") == []


def test_one_that_fails_for_a_while_is_tried_again_and_holds_up_nobody_else(works: Bench) -> None:
    codes = field(works, 3)
    begin(works, codes, most=3)
    works.plant.before["push"] = [Temporary("busy")] * 3
    through(works)
    assert stand(works) == ["DONE"] * 3


def test_a_package_that_is_deleted_ends_it(works: Bench) -> None:
    begin(works, field(works, 3), threshold=1)
    works.plant.away |= set(CODES)
    works.run(2)
    with works.store.write() as tx:
        packages.delete(tx, PACKAGE, NOW)
    works.run(2)
    assert stand(works) == ["FAILED", "FAILED", "WAITING"]
    assert reasons(works)[0] == f"package {PACKAGE} was deleted"
    assert has_ended(works)


@pytest.mark.parametrize(
    ("table", "reason"),
    [("load", "its service was unloaded"), ("copy", "the package file was deleted from it")],
)
def test_what_a_person_takes_away_meanwhile_is_not_brought_again(
    works: Bench, table: str, reason: str
) -> None:
    begin(works, field(works, 1))
    works.plant.before["push"] = [Temporary("busy")] * 99
    works.run(3)
    with works.store.write() as tx:
        for load in services.loads(tx):
            services.unwant_load(tx, load.id, NOW)
        if table == "copy":
            services.unwant_copy(tx, PACKAGE, CODES[0], NOW)
    works.run(2)
    assert (stand(works), reasons(works)) == (["FAILED"], [reason])


# --- who is away ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{"registered": False}, {"enabled": False}, {"approved": False}])
def test_a_device_that_is_away_holds_its_wave_until_its_time_is_over(
    works: Bench, more: dict[str, Any]
) -> None:
    codes = field(works, 3)
    works.device(codes[0], state="offline", **more)
    begin(works, codes)
    works.run(50)
    assert stand(works) == ["IN_PROGRESS", "DONE", "WAITING"]
    works.run(20)
    assert stand(works) == ["FAILED", "DONE", "DONE"]
    assert f"computility {codes[0]} is " in reasons(works)[0]
    assert "for 60 s of its turn" in reasons(works)[0]
    with works.store.read() as tx:
        assert services.copy(tx, PACKAGE, codes[0]) is None, "nothing was wished for it"


def test_one_that_comes_back_in_time_is_served(works: Bench) -> None:
    codes = field(works, 1)
    works.device(codes[0], enabled=False)
    begin(works, codes)
    works.run(50)
    assert stand(works) == ["IN_PROGRESS"]
    works.device(codes[0], enabled=True)
    through(works)
    assert stand(works) == ["DONE"]


def test_what_has_not_left_in_time_is_withdrawn(works: Bench) -> None:
    """A wish that was written must not be carried out long after the member counts as failed."""
    codes = field(works, 1)
    begin(works, codes)
    works.plant.before["push"] = [Temporary("busy")] * 999
    works.run(12, seconds=60)
    assert stand(works) == ["FAILED"]
    assert reasons(works) == ["not done within 600 s: busy"]
    works.run(3)
    with works.store.read() as tx:
        assert services.loads(tx) == []
        assert services.copy(tx, PACKAGE, codes[0]) is None


def test_the_clock_that_is_set_ends_no_turn_and_none_lasts_for_ever(works: Bench) -> None:
    codes = field(works, 1)
    works.device(codes[0], enabled=False)
    begin(works, codes)
    works.run(3)
    for hours in (1, -24, 3 * 365 * 24):
        moment = works.clock.moment
        works.clock.moment = moment._replace(wall_ms=moment.wall_ms + hours * 3_600_000)
        works.run(2)
        assert stand(works) == ["IN_PROGRESS"]
    works.run(60)
    assert stand(works) == ["FAILED"]


# --- pause, restart ------------------------------------------------------------------------------------------------


def pause(works: Bench, paused: bool) -> None:
    with works.store.write() as tx:
        rollouts.change(tx, 1, paused=paused)


def test_a_paused_one_begins_nobody_and_carries_through_who_had_begun(works: Bench) -> None:
    begin(works, field(works, 4))
    works.run(1)
    pause(works, True)
    works.run(10)
    assert stand(works) == ["DONE", "DONE", "WAITING", "WAITING"]
    assert not has_ended(works)
    pause(works, False)
    through(works)
    assert stand(works) == ["DONE"] * 4


@pytest.mark.parametrize("passes", range(1, 9))
def test_a_restart_at_any_point_goes_on(works: Bench, passes: int) -> None:
    begin(works, field(works, 3))
    works.run(passes)
    works.restart()
    if not has_ended(works):
        through(works)
    assert stand(works) == ["DONE"] * 3
    for code in CODES[:3]:
        assert sorted(set(works.plant.told(code))) == ["load", "push"]


# --- windows -------------------------------------------------------------------------------------------------------


def at(works: Bench, day: int, hour: int, minute: int = 0) -> None:
    """Go on to the next such minute; 1 is Monday."""
    now = datetime.fromtimestamp(works.clock.moment.wall_ms / 1000, ZoneInfo("UTC"))
    then = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    then += timedelta(days=(day - then.isoweekday()) % 7)
    if then <= now:
        then += timedelta(days=7)
    works.pass_by((then - now).total_seconds())


def test_nothing_leaves_outside_its_window(works: Bench) -> None:
    at(works, 1, 12)
    begin(works, field(works, 3), windows=["1,22:00,23:00"])
    works.run(3)
    assert stand(works) == ["WAITING"] * 3
    assert works.plant.told() == []
    at(works, 1, 22)
    through(works)
    assert stand(works) == ["DONE"] * 3


def test_it_asks_to_be_asked_when_its_window_opens(works: Bench) -> None:
    at(works, 1, 21, 59)
    begin(works, field(works, 1), windows=["1,22:00,23:00"])
    works.pass_by(50)
    now = works.clock.moment
    due = Rollouts(works.core).ensure(now)
    assert due is not None
    assert due - now.mono == pytest.approx(10, abs=0.01)


def test_the_load_waits_for_the_next_window_and_its_time_with_it(works: Bench) -> None:
    at(works, 1, 22, 58)
    begin(works, field(works, 1), windows=["1,22:00,23:00", "2,22:00,23:00"])
    works.plant.hidden.add("packages")  # nothing tells that the file arrived
    works.run(4)
    assert works.plant.told() == ["push"]
    at(works, 1, 23)
    works.plant.hidden.clear()
    works.run(20)
    works.run(2, seconds=3600)
    assert stand(works) == ["IN_PROGRESS"]
    assert works.plant.told() == ["push"]
    at(works, 2, 22)
    through(works)
    assert works.plant.told() == ["push", "load"]
    assert stand(works) == ["DONE"]


def test_a_push_that_has_not_left_when_the_window_closes_is_for_the_next(works: Bench) -> None:
    at(works, 1, 22, 58)
    begin(works, field(works, 1), windows=["1,22:00,23:00", "2,22:00,23:00"])
    works.plant.before["push"] = [Temporary("busy")] * 99
    works.run(5)
    at(works, 1, 23, 30)
    works.run(3)
    tries = len(works.plant.steps)
    works.plant.before.clear()
    works.run(10, seconds=60)
    assert len(works.plant.steps) == tries
    with works.store.read() as tx:
        assert services.copy(tx, PACKAGE, CODES[0]) is None
    at(works, 2, 22)
    through(works)
    assert stand(works) == ["DONE"]


def test_what_somebody_else_wished_for_too_is_not_withdrawn(works: Bench) -> None:
    at(works, 1, 22, 58)
    begin(works, field(works, 1), windows=["1,22:00,23:00"])
    works.plant.before["push"] = [Temporary("busy")] * 99
    works.run(3)
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODES[0], NOW, asked=True)
    at(works, 1, 23, 30)
    works.run(3)
    with works.store.read() as tx:
        row = services.copy(tx, PACKAGE, CODES[0])
    assert row is not None
    assert row["wanted"]
    assert members(works)[0]["step"] == ""


def test_a_quiet_box_is_not_asked(works: Bench) -> None:
    assert Rollouts(works.core).ensure(works.clock.moment) is None
    begin(works, field(works, 1))
    through(works)
    assert Rollouts(works.core).ensure(works.clock.moment) is None


# --- it has to go on running -------------------------------------------------------------------------------------


def test_a_wave_is_over_when_its_services_have_run_for_a_while(works: Bench) -> None:
    begin(works, field(works, 2), most=1, min_ready=30)
    works.run(4)
    assert stand(works) == ["IN_PROGRESS", "WAITING"]
    with works.store.read() as tx:
        [load] = services.loads(tx)
    assert load.status == "RUNNING"
    works.run(20)
    assert stand(works) == ["IN_PROGRESS", "WAITING"]
    works.run(12)
    assert stand(works) == ["DONE", "IN_PROGRESS"]
    through(works)
    assert stand(works) == ["DONE", "DONE"]


def test_when_it_will_count_is_looked_at_in_time(works: Bench) -> None:
    begin(works, field(works, 1), min_ready=10)
    works.run(4)
    duty = Rollouts(works.core)
    due = duty.ensure(works.clock.moment)
    assert due == works.clock.moment.mono + 10
    works.clock.moment = works.clock.moment.later(10)
    duty.ensure(works.clock.moment)
    assert stand(works) == ["DONE"]


def test_a_service_that_crashes_within_that_time_stops_the_rollout(works: Bench) -> None:
    codes = field(works, 3)
    begin(works, codes, most=1, threshold=1, min_ready=30)
    works.run(6)
    box = works.plant.boxes[codes[0]]
    for load_id, service in box.services.items():
        box.services[load_id] = replace(service, status="ERROR", error="ended by SIGSEGV")
    works.observations.poke(codes[0])
    works.run(3)
    assert stand(works) == ["FAILED", "WAITING", "WAITING"]
    assert reasons(works)[0] == "its service did not stay up: ended by SIGSEGV"
    works.run(10, 15)
    assert stand(works) == ["FAILED", "WAITING", "WAITING"]


def test_the_time_begins_anew_after_a_restart_and_after_the_device_was_away(works: Bench) -> None:
    codes = field(works, 1)
    begin(works, codes, min_ready=30)
    works.run(20)
    works.restart()
    works.run(20)
    assert stand(works) == ["IN_PROGRESS"]
    works.plant.away.add(codes[0])
    works.observations.poke(codes[0])
    works.run(3)
    assert works.state(codes[0]) == "unreachable"
    works.run(1, 15)
    assert stand(works) == ["IN_PROGRESS"]
    works.plant.away.clear()
    works.run(20, 1)
    assert stand(works) == ["IN_PROGRESS"]
    works.run(30, 1)
    assert stand(works) == ["DONE"]
