"""Inspections: batches, turns and rounds, on devices that start late, fail, go away, over restarts and clock steps."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.clock import DAY_SECONDS, HOUR_SECONDS
from acsmpd.engine.rounds import Rounds
from acsmpd.faults import Permanent, Temporary
from acsmpd.model import CreateTask, DeleteTask, Outcome, PauseTask, Peer, Step
from acsmpd.store import plans, rounds
from acsmpd.store.tables import Instance
from tests.engine.bench import Bench
from tests.engine.plant import Box, Plant
from tests.store.rows import CODE, NOW, OTHER, add_instance

ON_DEVICE = ("RUNNING", "PENDING")
YEARS = 3 * 365 * DAY_SECONDS


class Slow(Plant):
    """Devices that start 0 to `latest` seconds late and refuse some tasks; they note who ran when."""

    def __init__(self, works: Bench, latest: int, failing: float) -> None:
        super().__init__()
        self._works, self._latest, self._failing = works, latest, failing
        self._chance = random.Random(5)
        self._due: dict[str, float] = {}
        self._began: dict[str, float] = {}
        self.runs: Counter[str] = Counter()
        self.tries: Counter[str] = Counter()
        self.lasted: list[float] = []
        self.starts_as = "PENDING"
        self.stubborn = ""  # a task that is not paused

    def perform(self, peer: Peer, step: Step) -> Outcome:
        now = self._works.clock.moment.mono
        if isinstance(step, CreateTask):
            self.tries[step.info["ID"]] += 1
            if self._chance.random() < self._failing:
                self.steps.append((peer.code, step))
                raise Permanent("cannot open the stream")
        if isinstance(step, PauseTask) and step.task_id == self.stubborn:
            raise Temporary("busy")
        outcome = super().perform(peer, step)
        if isinstance(step, CreateTask):
            self._due[outcome.facility_id] = now + self._chance.randint(0, self._latest)
        if isinstance(step, PauseTask | DeleteTask) and step.task_id in self._began:
            self.lasted.append(now - self._began.pop(step.task_id))
        return outcome

    def go_on(self) -> None:
        """Start what is due; never more than the plan allows are on the devices."""
        now = self._works.clock.moment.mono
        for box in self.boxes.values():
            for task_id, task in list(box.tasks.items()):
                if task.status == "PENDING" and self._due[task_id] <= now:
                    self.show(box, task_id, "RUNNING")
                    self.runs[box.infos[task_id]["ID"]] += 1
                    self._began[task_id] = now

    @property
    def number(self) -> int:
        return sum(task.status in ON_DEVICE for box in self.boxes.values() for task in box.tasks.values())


class Inspection:
    """A plan of some instances on two devices."""

    def __init__(
        self, works: Bench, number: int, *, late: int = 0, failing: float = 0.0, **asked: Any
    ) -> None:
        self.works = works
        works.plant = self.plant = Slow(works, late, failing)
        works.restart()
        works.package(manifest={"env": [], "xpu": [{"stream_video_quota": 1000}]})
        for place, code in enumerate((CODE, OTHER)):
            works.device(code)
            works.load(f"load-{place}", code)
        self.live(6)
        with works.store.write() as tx:
            self.id = plans.add_plan(
                tx, name="i", type="VIDEO_REALTIME", mode="INSPECTIVE", status="ON", created_ms=NOW, modified_ms=NOW,
                inspection={"Concurrency": 5, "Duration": 30, "RoundLimit": 1, "Single": False, **asked},
            )  # fmt: skip
            for one in range(number):
                add_instance(
                    tx, f"i-{one}", plan_id=self.id, on=False, started=True, status="PAUSED", info=_info(one)
                )

    def live(self, passes: int = 1, seconds: float = 1.0, *, of: tuple[str, ...] = (CODE, OTHER)) -> None:
        for _ in range(passes):
            for code in of:
                self.works.presence.heard(code, self.works.clock.moment.mono)
            self.works.run(1, seconds)
            self.plant.go_on()

    @property
    def row(self) -> dict[str, Any]:
        with self.works.store.read() as tx:
            found = plans.plan(tx, self.id)
        assert found is not None
        return found

    def phases(self) -> Counter[str]:
        with self.works.store.read() as tx:
            rows = tx.sql(
                "SELECT phase, count(*) FROM turn WHERE round = (SELECT round + 1 FROM plan) GROUP BY phase"
            )
        return Counter({row[0]: row[1] for row in rows})

    def statuses(self) -> Counter[str]:
        with self.works.store.read() as tx:
            return Counter(row.status for row in plans.instances(tx))

    def until(self, done: Any, *, most: int = 4000, limit: int = 5) -> None:
        """Live on: second by second while somebody starts or stops, in larger steps while all just run."""
        for _ in range(most):
            if done():
                return
            phases = self.phases()
            all_run = phases["running"] and not phases["starting"] + phases["stopping"] + phases["leaving"]
            self.live(1, 5.0 if all_run else 1.0)
            assert self.plant.number <= limit
        raise AssertionError(f"not within {most} passes: {self.row}, {self.phases()}")


def _info(number: int) -> dict[str, Any]:
    stream = {"VideoStreamOptions": {"Url": f"rtsp://10.0.0.9/{number}"}}
    return {"RulesParams": [{"EventID": "INTRUSION"}], "StreamOptions": stream}


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "works", packages_arrival_seconds="3000")
    yield made
    made.close()


def test_a_hundred_instances_in_ten_rounds_with_a_restart_and_a_reboot(works: Bench) -> None:
    """Five at once, 0 to 4 s late, 3 % refused; the platform restarts in the middle of round 4 and reboots in 5."""
    it = Inspection(works, 100, late=4, failing=0.03, RoundLimit=10)
    it.until(lambda: it.row["round"] == 3 and it.phases()["served"] >= 50)
    before = it.phases()
    works.restart()
    it.live()
    assert it.row["round"] == 3
    assert it.phases()["served"] >= before["served"]
    it.until(lambda: it.row["round"] == 4 and it.phases()["running"] == 5)
    works.clock.moment = works.clock.moment._replace(mono=50.0, boot_id="after")
    works.restart()
    it.until(lambda: it.row["status"] == "OFF")
    assert it.row["round"] == 10
    assert set(it.plant.tries.values()) == {10}
    assert len(it.plant.tries) == 100
    assert sum(it.plant.runs.values()) >= 930
    assert it.statuses() == {"FINISHED": 100}
    it.until(lambda: not any(box.tasks for box in it.plant.boxes.values()), most=60)


def test_a_turn_lasts_its_duration_from_being_seen_running(works: Bench) -> None:
    it = Inspection(works, 7, late=3)
    it.until(lambda: it.row["status"] == "OFF")
    assert len(it.plant.lasted) == 7
    assert all(30 <= seconds <= 41 for seconds in it.plant.lasted), it.plant.lasted
    assert it.plant.told().count("delete_task") == 7


def test_the_next_batch_waits_for_the_last_of_this_one(works: Bench) -> None:
    it = Inspection(works, 6, Concurrency=3)
    it.until(lambda: it.phases()["running"] == 3, limit=3)
    stubborn = next(task_id for box in it.plant.boxes.values() for task_id in box.tasks)
    it.plant.stubborn = stubborn
    it.until(lambda: it.phases()["served"] == 2, limit=3)
    assert it.phases() == {"served": 2, "stopping": 1}
    it.live(25)
    assert it.phases() == {"served": 2, "stopping": 1}
    it.until(lambda: it.phases()["served"] == 3, limit=3)
    assert not any(stubborn in box.tasks for box in it.plant.boxes.values())  # deleted as it was, after 30 s
    it.until(lambda: it.row["status"] == "OFF", limit=3)


def test_a_task_that_is_still_to_leave_its_device_is_shown_running_as_long_as_it_runs(works: Bench) -> None:
    it = Inspection(works, 1)
    it.until(lambda: it.phases()["running"] == 1)
    it.plant.stubborn = works.task("i-0").task_id
    it.plant.before["delete_task"] = [Temporary("busy")]
    seen = []

    def over() -> bool:
        runs = it.plant.number == 1
        seen.append((runs, *works.status("i-0")))
        return not it.phases()["running"] and not runs

    it.until(over, limit=1)
    it.live(2)
    assert works.status("i-0") == ("FINISHED", "")  # its only round is over
    assert [one for one in seen if one[0] and one[1] != "RUNNING"] == []
    reasons = [reason for *_, reason in seen]
    assert reasons.index("being stopped") < reasons.index("being taken off its device")


def test_who_does_not_start_in_time_gives_the_place_back_and_shows_why(works: Bench) -> None:
    it = Inspection(works, 3, late=0, Concurrency=1, RoundLimit=2)
    it.plant._due = dict.fromkeys(map(str, range(1, 2)), float("inf"))  # the first task never runs
    first = it.plant.perform

    def perform(peer: Peer, step: Step) -> Outcome:
        outcome = first(peer, step)
        if isinstance(step, CreateTask) and step.info["ID"] == "i-0":
            it.plant._due[outcome.facility_id] = float("inf")
        return outcome

    it.plant.perform = perform  # type: ignore[method-assign]
    it.until(lambda: it.phases()["served"] == 1, limit=1)
    it.live(2)
    assert works.status("i-0") == ("ERROR", "not running within 20 s")
    it.until(lambda: it.row["round"] == 1, limit=1)
    assert it.plant.runs == {"i-1": 1, "i-2": 1}
    it.until(lambda: it.row["status"] == "OFF", limit=1)
    assert it.plant.runs == {"i-1": 2, "i-2": 2}


def test_a_lost_device_frees_its_places_and_its_instances_show_it(works: Bench) -> None:
    it = Inspection(works, 4, Concurrency=4, RoundLimit=None)
    it.until(lambda: it.phases()["running"] == 4, limit=4)
    it.plant.away.add(OTHER)
    there = [info["ID"] for info in it.plant.boxes[OTHER].infos.values()]
    assert there
    for _ in range(400):
        it.live(1, 1.0, of=(CODE,))
        if works.state(OTHER) == "lost":
            break
    it.live(3, 1.0, of=(CODE,))
    assert works.state(OTHER) == "lost"
    assert it.row["round"] >= 1  # the other device goes on alone
    assert all(task.wanted == "gone" for one in there for task in works.tasks(one) if task.device == OTHER)


def make_unplaceable(works: Bench, *conditions: Any) -> None:
    with works.store.write() as tx:
        plans.change_instances(tx, *conditions, info={"RulesParams": [{"EventID": "NOBODY_KNOWS"}]})


def test_a_plan_that_finds_no_place_at_all_waits_and_says_why(works: Bench) -> None:
    it = Inspection(works, 2, RoundLimit=1)
    make_unplaceable(works, Instance.plan_id == it.id)
    it.live(5)
    assert works.status("i-0") == ("PENDING", "no imported capability serves NOBODY_KNOWS for VIDEO_REALTIME")
    it.live(60)
    assert (it.row["status"], it.row["round"]) == ("ON", 0)
    with works.store.write() as tx:
        plans.change_instances(tx, Instance.plan_id == it.id, info=_info(1))
    it.until(lambda: it.row["status"] == "OFF")


@pytest.mark.parametrize("concurrency", [1, 5])
def test_one_that_finds_no_place_holds_nobody_up(works: Bench, concurrency: int) -> None:
    it = Inspection(works, 6, RoundLimit=1, Concurrency=concurrency)
    make_unplaceable(works, Instance.id == "i-0")
    it.until(lambda: it.phases()["served"] == 6 or it.row["status"] == "OFF", most=400, limit=concurrency)
    it.until(lambda: it.row["status"] == "OFF", most=400, limit=concurrency)
    assert it.plant.runs == {f"i-{number}": 1 for number in range(1, 6)}


def test_who_is_on_a_disabled_device_holds_nobody_up(works: Bench) -> None:
    it = Inspection(works, 4, Concurrency=4)
    it.until(lambda: it.phases()["running"] == 4, limit=4)
    there = {info["ID"] for info in it.plant.boxes[OTHER].infos.values()}
    assert there
    with works.store.write() as tx:
        tx.sql("UPDATE computility SET enabled = 0 WHERE code = ?", OTHER)
    it.live(3)
    assert {works.status(one) for one in there} == {("ERROR", f"computility {OTHER} is disabled")}
    it.until(lambda: it.row["status"] == "OFF", limit=4)


def test_who_cannot_be_taken_off_its_device_holds_the_others_up_for_some_minutes_only(works: Bench) -> None:
    it = Inspection(works, 4, Concurrency=2, RoundLimit=1)
    it.until(lambda: it.phases()["running"] == 2, limit=2)
    it.plant.away.add(OTHER)  # it is heard, and cannot be called
    passes = 0
    while it.row["status"] == "ON" and passes < 900:
        it.live(1, 2.0)
        passes += 1
    assert it.row["status"] == "OFF"


def stop(it: Inspection) -> None:
    with it.works.store.write() as tx:
        plans.change_plan(tx, it.id, status="OFF")
        plans.change_instances(tx, Instance.plan_id == it.id, started=False, on=False)


def start(it: Inspection) -> None:
    with it.works.store.write() as tx:
        rounds.forget(tx, it.id)
        plans.change_plan(tx, it.id, status="ON", round=0)
        plans.change_instances(tx, Instance.plan_id == it.id, started=True)


def busy(it: Inspection, seconds: float) -> None:
    """Devices that let go of nothing for so long."""
    first, until = it.plant.perform, it.works.clock.moment.mono + seconds

    def perform(peer: Peer, step: Step) -> Outcome:
        if isinstance(step, PauseTask | DeleteTask) and it.works.clock.moment.mono < until:
            raise Temporary("busy")
        return first(peer, step)

    it.plant.perform = perform  # type: ignore[method-assign]


def test_stopped_and_started_again_never_more_than_allowed_run(works: Bench) -> None:
    it = Inspection(works, 10, RoundLimit=None)
    it.until(lambda: it.phases()["running"] == 5 and it.phases()["served"] == 5)
    busy(it, 8)
    stop(it)
    it.live(2)
    start(it)
    for _ in range(30):
        it.live(1)
        assert it.plant.number <= 5
    assert it.phases()["running"] == 5


def test_a_stopped_one_holds_its_place_until_it_is_paused(works: Bench) -> None:
    it = Inspection(works, 2, RoundLimit=None, Concurrency=1)
    it.until(lambda: it.phases()["running"] == 1, limit=1)
    busy(it, 8)
    with works.store.write() as tx:
        plans.change_instances(tx, Instance.id == "i-0", started=False, on=False)
    for _ in range(20):
        it.live(1)
        assert it.plant.number <= 1
    assert it.plant.runs == {"i-0": 1, "i-1": 1}


@pytest.mark.parametrize("moment", ["moves", "end"])
def test_a_start_between_look_and_deed_is_not_spoiled(works: Bench, moment: str) -> None:
    it = Inspection(works, 2, RoundLimit=2)
    if moment == "end":
        it.until(lambda: (it.row["round"] == 1 and it.phases()["served"] == 2) or it.row["status"] == "OFF")
    else:
        it.until(lambda: it.phases()["running"] == 2)
        it.live(29)
    duty, write = Rounds(works.core), works.store.write

    def first(**more: Any) -> Any:
        works.store.write = write  # type: ignore[method-assign]
        stop(it)
        start(it)
        return write(**more)

    works.store.write = first  # type: ignore[method-assign, assignment]
    works.pass_by(5)
    duty.ensure(works.clock.moment)
    works.store.write = write  # type: ignore[method-assign]
    assert (it.row["status"], it.row["round"]) == ("ON", 0)
    assert not it.phases()["served"]
    it.until(lambda: it.row["status"] == "OFF")


def test_the_end_makes_finished_of_those_that_took_part(works: Bench) -> None:
    it = Inspection(works, 3)
    with works.store.write() as tx:
        plans.change_instances(tx, Instance.id == "i-2", started=False)
    it.until(lambda: it.row["status"] == "OFF")
    it.live(2)
    assert it.statuses() == {"FINISHED": 2, "PAUSED": 1}


def test_a_round_of_failures_is_not_repeated_without_a_pause(works: Bench) -> None:
    it = Inspection(works, 3, failing=1.0, RoundLimit=None)
    it.live(91)
    assert it.row["round"] in (3, 4)
    assert sum(it.plant.tries.values()) <= 12


def test_a_stopped_instance_leaves_its_batch_and_a_stopped_plan_all(works: Bench) -> None:
    it = Inspection(works, 6, RoundLimit=None)
    it.until(lambda: it.phases()["running"] == 5)
    with works.store.write() as tx:
        plans.change_instances(tx, Instance.id == "i-0", started=False, on=False)
    it.live(3)
    it.until(lambda: it.phases() == {"served": 1, "running": 4}, most=5)
    assert works.status("i-0") == ("PAUSED", "")
    with works.store.write() as tx:
        plans.change_plan(tx, it.id, status="OFF")
        plans.change_instances(tx, Instance.plan_id == it.id, started=False, on=False)
    it.live(6)
    assert it.statuses() == {"PAUSED": 6}
    assert it.plant.number == 0


@pytest.mark.parametrize("seconds", [HOUR_SECONDS, DAY_SECONDS, YEARS])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_that_is_set_ends_no_turn_early(works: Bench, seconds: int, sign: int) -> None:
    it = Inspection(works, 5)
    it.until(lambda: it.phases()["running"] == 5)
    it.live(10)
    now = works.clock.moment
    works.clock.moment = now._replace(wall_ms=now.wall_ms + sign * seconds * 1000)
    it.live(10)
    assert it.phases() == {"running": 5}
    told = len(it.plant.steps)
    it.live(5)
    assert len(it.plant.steps) == told
    it.until(lambda: it.row["status"] == "OFF", most=60)
    assert all(30 <= length <= 41 for length in it.plant.lasted)


def test_how_long_a_turn_has_lasted_outlives_a_reboot(works: Bench) -> None:
    it = Inspection(works, 1)
    it.until(lambda: it.phases()["running"] == 1)
    it.live(21)
    works.clock.moment = works.clock.moment._replace(mono=3.0, boot_id="after")
    works.restart()
    with works.store.read() as tx:
        [turn] = rounds.active(tx)[it.id]
    assert 15 <= turn.elapsed_seconds <= 21
    passes = 0
    while it.phases()["running"]:
        it.live(1)
        passes += 1
    assert 8 <= passes <= 17


def test_nobody_left_is_no_end_of_a_round(works: Bench) -> None:
    it = Inspection(works, 2, RoundLimit=3)
    with works.store.write() as tx:
        plans.change_instances(tx, Instance.plan_id == it.id, started=False)
    it.live(10)
    assert (it.row["status"], it.row["round"]) == ("ON", 0)


def test_boxes_keep_nothing_of_an_inspection_that_is_over(works: Bench) -> None:
    it = Inspection(works, 3)
    it.until(lambda: it.row["status"] == "OFF")
    it.live(5)
    assert [box.tasks for box in it.plant.boxes.values() if isinstance(box, Box)] == [{}, {}]
    assert [works.tasks(f"i-{number}") for number in range(3)] == [[], [], []]
