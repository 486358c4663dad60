"""A task that fails again and again is restarted ever more rarely; after a good hour as at first."""

from __future__ import annotations

from acsmpd.engine.restarts import GOOD_SECONDS, Restarts
from tests.engine.bench import Bench
from tests.engine.plant import Plant
from tests.store.rows import CODE


def test_failures_are_counted_until_a_good_hour() -> None:
    it = Restarts()
    it.see({1}, 100.0)
    assert (it.failing(1, 130.0), it.failing(2, 130.0), it.any_failing) == ((1, 30.0), (0, 0.0), True)
    it.see({1}, 140.0)  # the same failure
    it.restarted(1)
    it.see(set(), 160.0)
    assert (it.failing(1, 160.0), it.any_failing) == ((0, 0.0), False)
    it.see({1}, 200.0)
    assert it.failing(1, 200.0) == (2, 0.0)
    it.restarted(1)
    it.see(set(), 320.0)
    it.see(set(), 320.0 + GOOD_SECONDS - 1)
    it.see({1}, 320.0 + GOOD_SECONDS - 1)
    assert it.failing(1, 5000.0)[0] == 3
    it.restarted(1)
    it.see(set(), 10_000.0)
    it.see(set(), 10_000.0 + GOOD_SECONDS)
    it.see({1}, 10_001.0 + GOOD_SECONDS)
    assert it.failing(1, 20_000.0)[0] == 1


def test_what_a_device_mends_by_itself_does_not_count() -> None:
    it = Restarts()
    for begun in (0.0, 100.0, 200.0):
        it.see({1}, begun)
        assert it.failing(1, begun)[0] == 1
        it.see(set(), begun + 59.0)


def live(works: Bench, seconds: float) -> None:
    works.presence.heard(CODE, works.clock.moment.mono)
    works.run(1, seconds)


def restarts_within(works: Bench, seconds: float) -> list[float]:
    """When, after now, the platform told the task to go on; the stream is dead, so it fails at once each time."""
    found, begun = [], works.clock.moment.mono
    box = works.plant.boxes[CODE]
    [task_id] = box.tasks
    while works.clock.moment.mono < begun + seconds:
        told = works.plant.told().count("resume_task")
        live(works, 30.0)
        if works.plant.told().count("resume_task") > told:
            found.append(works.clock.moment.mono - begun)
        if box.tasks[task_id].status == "RUNNING":
            live(works, 30.0)
            Plant.show(box, task_id, "ERROR", "no stream")
    return found


def test_the_pauses_between_restarts_double_up_to_an_hour(works: Bench) -> None:
    works.running()
    works.change(restart_policy="ALWAYS", revision=1)
    for _ in range(5):
        live(works, 5.0)
    assert works.task().policy == "ALWAYS"
    box = works.plant.boxes[CODE]
    [task_id] = box.tasks
    Plant.show(box, task_id, "ERROR", "no stream")
    times = restarts_within(works, 4 * 3600.0)
    pauses = [b - a for a, b in zip([0.0, *times], times, strict=False)]
    for expected, pause in zip([60, 120, 240, 480, 960, 1920, 3600, 3600], pauses, strict=False):
        assert expected <= pause <= expected + 150, pauses
    assert len(pauses) >= 7


def test_a_good_hour_makes_the_record_clean(works: Bench) -> None:
    works.running()
    works.change(restart_policy="ALWAYS", revision=1)
    for _ in range(5):
        live(works, 5.0)
    box = works.plant.boxes[CODE]
    [task_id] = box.tasks
    Plant.show(box, task_id, "ERROR", "no stream")
    assert len(restarts_within(works, 1500.0)) >= 3  # after 60, 120, 240 ... s
    for _ in range(100):
        if box.tasks[task_id].status == "RUNNING":
            break
        live(works, 30.0)
    for _ in range(125):
        live(works, 30.0)
        assert box.tasks[task_id].status != "PAUSED"
        if box.tasks[task_id].status == "ERROR":
            Plant.show(box, task_id, "RUNNING")
    Plant.show(box, task_id, "ERROR", "no stream")
    first = restarts_within(works, 200.0)
    assert first
    assert first[0] <= 150
