"""Instances that are stopped and started again: their streams are somebody else's meanwhile."""

from __future__ import annotations

import pytest

from acsmpd.faults import Temporary
from acsmpd.store.tables import Task
from tests.engine.bench import Bench
from tests.engine.test_failover import put_policy, wanted
from tests.store.rows import CODE, OTHER


@pytest.fixture
def narrow(works: Bench) -> Bench:
    """One device with room for one stream, taken by "first"."""
    works.device()
    works.package(manifest={"xpu": [{"stream_video_quota": 1}]})
    works.load()
    works.instance("first")
    works.run(8)
    assert works.status("first") == ("RUNNING", "")
    return works


def running_there(works: Bench, code: str = CODE) -> int:
    return sum(task.status == "RUNNING" for task in works.plant.boxes[code].tasks.values())


def taken_meanwhile(works: Bench) -> None:
    works.change("first", on=False)
    works.run(4)
    works.instance("second")
    works.run(4)
    assert works.status("second") == ("RUNNING", "")


def test_one_that_returns_to_a_full_service_waits(narrow: Bench) -> None:
    taken_meanwhile(narrow)
    narrow.change("first", on=True)
    for _ in range(8):
        narrow.run(1)
        assert running_there(narrow) == 1
    assert narrow.status("first") == ("PENDING", "all streams of the 1 fitting services are taken")
    narrow.change("second", on=False)
    narrow.run(6)
    assert narrow.status("first") == ("RUNNING", "")


def test_one_that_returns_to_a_full_service_finds_another(narrow: Bench) -> None:
    narrow.device(OTHER)
    taken_meanwhile(narrow)
    narrow.load("load-2", OTHER)
    narrow.run(5)
    narrow.change("first", on=True)
    narrow.run(6)
    assert narrow.status("first") == ("RUNNING", "")
    assert wanted(narrow, "first") == [OTHER]
    assert (running_there(narrow), running_there(narrow, OTHER)) == (1, 1)


def test_one_that_returns_takes_the_place_of_a_lower_one(narrow: Bench) -> None:
    put_policy(narrow)
    narrow.change("first", priority_class="urgent")
    taken_meanwhile(narrow)
    narrow.change("first", on=True)
    for _ in range(8):
        narrow.run(1)
        assert running_there(narrow) <= 1
    assert narrow.status("first") == ("RUNNING", "")
    assert narrow.status("second")[0] == "PENDING"


def test_nobody_comes_before_the_device_has_let_go(narrow: Bench) -> None:
    """At the end of one plan's hours another's begin: a full device would refuse the new one."""
    narrow.plant.before["pause_task"] = [Temporary("busy")] * 2
    narrow.instance("second", on=False)
    narrow.change("first", on=False)
    narrow.change("second", on=True)
    for _ in range(12):
        narrow.run(1, 5)
        assert running_there(narrow) <= 1
    assert narrow.status("second") == ("RUNNING", "")
    assert narrow.plant.told().index("pause_task") < narrow.plant.told().index("create_task", 3)


def test_one_that_is_on_again_before_it_stopped_goes_on(narrow: Bench) -> None:
    narrow.plant.before["pause_task"] = [Temporary("busy")] * 9
    narrow.change("first", on=False)
    narrow.run(2)
    narrow.instance("second")
    narrow.change("first", on=True)
    narrow.run(4)
    assert narrow.status("first") == ("RUNNING", "")
    assert narrow.status("second")[0] == "PENDING"
    assert "create_task" not in narrow.plant.told()[3:]


def finish(works: Bench) -> None:
    [task_id] = works.plant.boxes[CODE].tasks
    works.plant.show(works.plant.boxes[CODE], task_id, "FINISHED")
    works.run(2, 15)
    assert works.status("first") == ("FINISHED", "")


def test_what_has_finished_leaves_its_stream_to_others(narrow: Bench) -> None:
    finish(narrow)
    narrow.instance("second")
    narrow.run(4)
    assert narrow.status("second") == ("RUNNING", "")
    assert narrow.status("first") == ("FINISHED", "")


def test_what_has_finished_stays_so_when_it_is_on_again(narrow: Bench) -> None:
    finish(narrow)
    narrow.change("first", on=False)
    narrow.run(2)
    narrow.instance("second")
    narrow.run(4)
    narrow.change("first", on=True)
    narrow.run(3)
    assert narrow.status("first") == ("FINISHED", "")
    assert "delete_task" not in narrow.plant.told()


def test_a_place_in_a_pair_rests_and_goes_on_alone(narrow: Bench) -> None:
    with narrow.store.write() as tx:
        [old] = tx.rows(Task.select(Task.id))
    narrow.change("first", on=False)
    narrow.run(3)
    narrow.device(OTHER)
    narrow.load("load-2", OTHER)
    narrow.run(5)
    with narrow.store.write() as tx:
        tx.run(
            Task.insert(
                instance_id="first", device=OTHER, load_id="load-2", wanted="paused", sent=False, replaces=old["id"],
                created_ms=1, changed_ms=1,
            )
        )  # fmt: skip
    narrow.change("first", on=True)
    narrow.run(6)
    assert wanted(narrow, "first") == [OTHER]
    assert (running_there(narrow), running_there(narrow, OTHER)) == (0, 1)
