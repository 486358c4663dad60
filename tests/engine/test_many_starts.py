"""Many instances started at once: one pass begins them all, nothing stale is begun, and nothing is done per step that
one statement or one look can do for all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from acsmpd.engine import deployments
from acsmpd.engine.stepwork import Item
from acsmpd.faults import Temporary
from acsmpd.store import devices, plans
from tests.engine.bench import Bench
from tests.store.rows import OTHER, add_instance, add_task
from tests.support.wait import wait_until


def ready(works: Bench, instances: int) -> None:
    """A service that runs, and instances that have their place on it and are not sent yet."""
    works.device()
    works.package()
    works.load()
    works.run(6)
    assert works.the_load().status == "RUNNING"
    with works.store.write() as tx:
        for number in range(instances):
            add_instance(tx, f"i-{number}")
            add_task(tx, f"i-{number}")
    works.plant.steps.clear()


def planned(works: Bench) -> list[Item]:
    with works.store.read() as tx:
        return list(works.deployments._items(tx, "task", devices.all_devices(tx), works.clock.moment))


def test_one_pass_begins_all_although_the_lanes_are_few(tmp_path: Path) -> None:
    works = Bench(tmp_path / "few", engine_lanes="2", engine_lanes_per_device="2")
    try:
        ready(works, 30)
        works.deployments.ensure(works.clock.moment)
        works.idle()
        assert works.plant.told() == ["create_task"] * 30
        assert all(task.status == "RUNNING" for number in range(30) for task in works.tasks(f"i-{number}"))
        assert planned(works) == []
    finally:
        works.close()


def test_a_pass_keeps_no_more_for_a_device_than_it_begins_before_the_next(
    works: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployments, "AHEAD", 10)
    ready(works, 25)
    with works.store.write() as tx:  # waits for a device that is not there: it takes nobody's turn
        plans.change_task(tx, works.tasks("i-0")[0].id, device=OTHER)
    works.deployments.ensure(works.clock.moment)
    works.idle()
    assert sorted(step.info["ID"] for _, step in works.plant.steps) == sorted(f"i-{n}" for n in range(1, 11))  # type: ignore[union-attr]
    for left in (14, 4, 0):
        works.deployments.ensure(works.clock.moment)
        works.idle()
        assert len(planned(works)) == max(left - 10, 0) + 1


def test_steps_under_way_take_nobodys_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployments, "AHEAD", 3)
    works, go = Bench(tmp_path / "many", engine_lanes="8", engine_lanes_per_device="8"), threading.Event()
    try:
        ready(works, 3)
        works.deployments.ensure(works.clock.moment)
        works.idle()
        with works.store.write() as tx:
            for number in range(3):
                plans.change_task(tx, works.tasks(f"i-{number}")[0].id, wanted="gone")
                add_instance(tx, f"later-{number}")
                add_task(tx, f"later-{number}")
        works.plant.steps.clear()
        works.plant.before["delete_task"] = [lambda: go.wait(20)] * 3
        works.deployments.ensure(works.clock.moment)
        wait_until(lambda: works.plant.told().count("delete_task") == 3, what="the deletes to hang")
        works.deployments.ensure(works.clock.moment)
        wait_until(lambda: works.plant.told().count("create_task") == 3, what="the creates to begin")
    finally:
        go.set()
        works.close()


def test_what_is_not_wanted_any_more_when_its_turn_comes_is_not_begun(tmp_path: Path) -> None:
    works = Bench(tmp_path / "one", engine_lanes="1", engine_lanes_per_device="1")
    begun, go = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go.wait(20)

    try:
        ready(works, 3)
        works.plant.before["create_task"] = [slow]
        works.deployments.ensure(works.clock.moment)
        assert begun.wait(20)
        with works.store.write() as tx:
            [row] = works.tasks("i-1")
            plans.change_task(tx, row.id, wanted="gone")
        go.set()
        works.idle()
        assert [step.info["ID"] for _, step in works.plant.steps] == ["i-0", "i-2"]  # type: ignore[union-attr]
        assert not works.tasks("i-1")[0].sent
    finally:
        works.close()


def test_a_step_that_failed_is_not_repeated_because_it_was_planned_before_that(works: Bench) -> None:
    """The pass read it while it was under way: its pause counts all the same."""
    ready(works, 1)
    works.plant.before["create_task"] = [Temporary("busy")]
    [item] = planned(works)
    works.deployments._perform(item)
    [again] = planned(works)
    assert (again.rung, works.plant.told()) == (item.rung, ["create_task"])
    works.deployments._perform(again)
    assert works.plant.told() == ["create_task"]
    works.pass_by(60)
    works.deployments._perform(again)
    assert works.plant.told() == ["create_task"] * 2


def test_a_pass_asks_the_store_no_more_often_for_fifty_tasks_than_for_five(works: Bench) -> None:
    ready(works, 5)
    few = statements(works)
    with works.store.write() as tx:
        for number in range(5, 50):
            add_instance(tx, f"i-{number}")
            add_task(tx, f"i-{number}")
    assert len(planned(works)) == 50
    assert statements(works) == few


def statements(works: Bench) -> int:
    """SQL statements that planning all tasks takes."""
    told: list[str] = []
    with works.store.read() as tx:
        known = devices.all_devices(tx)
        connection = tx._database.connection()
        connection.set_trace_callback(told.append)
        works.deployments._items(tx, "task", known, works.clock.moment)
        connection.set_trace_callback(None)
    return len(told)


@pytest.mark.parametrize(("starts_as", "looks"), [("RUNNING", 0), ("PENDING", 1)])
def test_a_device_is_looked_at_after_a_start_only_when_its_answer_does_not_say_it_all(
    works: Bench, starts_as: str, looks: int
) -> None:
    ready(works, 1)
    works.plant.starts_as = starts_as
    works.deployments.ensure(works.clock.moment)
    works.idle()
    before = len(works.plant.looks)
    works.run(1, 0.1)
    assert len(works.plant.looks) - before == looks
    assert works.tasks("i-0")[0].status == starts_as


def test_an_old_task_of_the_instance_on_the_same_device_goes_first(works: Bench) -> None:
    ready(works, 2)
    with works.store.write() as tx:
        add_task(tx, "i-0", wanted="gone", sent=True, task_id="old", status="RUNNING")
        add_task(tx, "i-1", wanted="gone", sent=True, task_id="other", status="RUNNING", device=OTHER)
    rungs = {item.subject: (item.rung.step, item.rung.why) for item in planned(works)}
    [held, _], [free, _] = works.tasks("i-0"), works.tasks("i-1")
    assert rungs[str(held.id)] == ("", "the old one is being deleted first")
    assert rungs[str(free.id)] == ("create_task", "")
