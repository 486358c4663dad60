"""Policies at work: when places move, how many there are meanwhile, and who takes whose."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd import faults
from acsmpd.api.services import unload_in
from acsmpd.faults import Permanent, StepFault, Temporary
from acsmpd.model import PriorityClass
from acsmpd.store import plans, policies, services
from acsmpd.store.tables import SchedulePolicy, Task
from tests.engine.bench import INFO, Bench
from tests.engine.test_tasks import LADDER, live, two_devices
from tests.store.rows import CODE, NOW, OTHER

CLASSES = [PriorityClass("urgent", 10), PriorityClass("calm", 5), PriorityClass("meek", 20, preempts=False)]


def put_policy(works: Bench, capability: str = "", **values: Any) -> None:
    with works.store.write() as tx:
        tx.run(SchedulePolicy.delete().where(SchedulePolicy.capability == capability))
        policies.add(
            tx, id=f"policy-{capability}", capability=capability, created_ms=NOW, modified_ms=NOW,
            **{"classes": CLASSES, **values},
        )  # fmt: skip


def wanted(works: Bench, instance_id: str = "instance-1") -> list[str]:
    return [row.device for row in works.tasks(instance_id) if row.wanted == "running"]


def lose(works: Bench, code: str = CODE, other: str = OTHER) -> None:
    works.plant.away.add(code)
    for _ in range(15):
        if works.state(code) == "lost":
            return
        live(works, other, 1)
    raise AssertionError("not lost")


def come_back(works: Bench, passes: int = 1) -> None:
    works.plant.away.discard(CODE)
    live(works, CODE, passes)


# --- gap ------------------------------------------------------------------------------------------------------


def test_gap_never_wants_two_places(works: Bench) -> None:
    two_devices(works)
    works.plant.away.add(CODE)
    for _ in range(20):
        live(works, OTHER, 1)
        assert len(wanted(works)) == 1
    assert wanted(works) == [OTHER]
    come_back(works, 4)
    assert wanted(works) == [OTHER]
    assert works.plant.boxes[CODE].tasks == {}


def test_the_delay_gives_a_computility_time_to_come_back(works: Bench) -> None:
    old = two_devices(works)
    put_policy(works, delay_seconds=120)
    lose(works)
    assert works.status() == (
        "PENDING",
        f"computility {CODE} is lost; it moves when {CODE} has been away for 120 s",
    )
    live(works, OTHER, 5)
    assert wanted(works) == [CODE]
    come_back(works, 2)
    assert works.status() == ("RUNNING", "")
    assert list(works.plant.boxes[CODE].tasks) == [old]
    assert works.plant.told(OTHER) == LADDER[:2]


def test_after_the_delay_it_moves_although_nothing_was_written(works: Bench) -> None:
    two_devices(works)
    put_policy(works, delay_seconds=120)
    lose(works)
    works.pass_by(100)
    due = works.placement.ensure(works.clock.moment)
    assert due is not None
    assert 0 < due - works.clock.moment.mono <= 120
    works.clock.moment = works.clock.moment.later(due - works.clock.moment.mono)
    assert works.placement.ensure(works.clock.moment) is None
    assert wanted(works) == [OTHER]


def test_a_restart_counts_the_delay_afresh(works: Bench) -> None:
    two_devices(works)
    put_policy(works, delay_seconds=60)
    lose(works)
    live(works, OTHER, 2)
    works.restart()
    works.placement.ensure(works.clock.moment)
    assert wanted(works) == [CODE]
    works.pass_by(61)
    works.placement.ensure(works.clock.moment)
    assert wanted(works) == [OTHER]


FIFTY = [f"i{number}" for number in range(50)]


def running_tasks(works: Bench, code: str) -> int:
    return sum(task.status == "RUNNING" for task in works.plant.boxes[code].tasks.values())


def test_fifty_tasks_of_a_killed_device_run_elsewhere_and_none_twice_when_it_returns(works: Bench) -> None:
    works.device()
    works.package(manifest={"xpu": [{"stream_video_quota": 50}]})
    works.load()
    for one in FIFTY:
        works.instance(one)
    for _ in range(40):
        live(works, CODE, 1, 1.0)
        if running_tasks(works, CODE) == 50:
            break
    works.device(OTHER)
    works.load("load-2", OTHER)
    live(works, OTHER, 6, 1.0)
    killed = works.clock.moment.mono
    works.plant.away.add(CODE)
    while running_tasks(works, OTHER) < 50:
        assert works.clock.moment.mono - killed < works.settings.computility.lost_seconds + 60
        live(works, OTHER, 1, 1.0 if works.state() == "lost" else 10.0)  # two steps at a time on a device
    live(works, OTHER, 1)
    assert [wanted(works, one) for one in FIFTY] == [[OTHER]] * 50
    assert running_tasks(works, CODE) == 50  # as far as anybody knows
    works.plant.away.clear()
    for _ in range(10):
        works.presence.heard(OTHER, works.clock.moment.mono)
        live(works, CODE, 1, 2.0)
        if works.state() == "online":
            break
    for _ in range(30):
        works.presence.heard(OTHER, works.clock.moment.mono)
        live(works, CODE, 1, 1.0)
    assert running_tasks(works, CODE) == 0
    assert running_tasks(works, OTHER) == 50
    assert {works.status(one) for one in FIFTY} == {("RUNNING", "")}


# --- what has finished is over ----------------------------------------------------------------------------------


def finish(works: Bench) -> str:
    """The task on CODE has come to its end; gives its id there."""
    [task_id] = works.plant.boxes[CODE].tasks
    works.plant.show(works.plant.boxes[CODE], task_id, "FINISHED")
    live(works, OTHER, 2)
    assert works.status() == ("FINISHED", "")
    return task_id


@pytest.mark.parametrize("failover", ["gap", "double"])
def test_a_finished_task_stays_where_it_was_though_its_computility_is_lost(
    works: Bench, failover: str
) -> None:
    two_devices(works)
    put_policy(works, failover=failover)
    finish(works)
    lose(works)
    live(works, OTHER, 5)
    assert wanted(works) == [CODE]
    assert works.status() == ("FINISHED", f"last known: computility {CODE} is lost")
    assert works.plant.told(OTHER) == LADDER[:2]
    come_back(works, 4)
    assert works.status() == ("FINISHED", "")
    assert works.plant.told().count("create_task") == 1


@pytest.mark.parametrize("wish", ["retired", "unwanted"])
def test_a_finished_task_is_not_run_again_because_its_service_ends(works: Bench, wish: str) -> None:
    two_devices(works)
    finish(works)
    with works.store.write() as tx:
        {"retired": services.retire, "unwanted": services.unwant_load}[wish](tx, "load-1", NOW)
    live(works, OTHER, 6)
    assert works.load_row("load-1") is None
    assert works.status() == ("FINISHED", "")
    assert works.plant.told().count("create_task") == 1


def test_what_has_finished_keeps_no_service_from_being_unloaded(works: Bench) -> None:
    two_devices(works)
    with works.store.write() as tx, pytest.raises(faults.Conflict, match="instance-1"):
        unload_in(tx, ["load-1"], NOW, force=False, origin="")
    finish(works)
    with works.store.write() as tx:
        unload_in(tx, ["load-1"], NOW, force=False, origin="")
    live(works, OTHER, 6)
    assert works.load_row("load-1") is None
    assert works.status() == ("FINISHED", "")


@pytest.mark.parametrize("start", ["its service is there", "its service ended"])
def test_started_again_it_runs_where_there_is_a_service(works: Bench, start: str) -> None:
    two_devices(works)
    finish(works)
    if start == "its service ended":
        with works.store.write() as tx:
            services.retire(tx, "load-1", NOW)
        live(works, OTHER, 6)
    with works.store.write() as tx:
        services.run_anew(tx, works.task(), NOW)
    live(works, OTHER, 6)
    assert works.status() == ("RUNNING", "")
    assert wanted(works) == [OTHER if start == "its service ended" else CODE]
    assert [len(works.plant.boxes[code].tasks) for code in (CODE, OTHER)].count(1) == 1


def test_started_again_while_its_computility_is_lost_it_runs_elsewhere(works: Bench) -> None:
    two_devices(works)
    finish(works)
    lose(works)
    with works.store.write() as tx:
        services.run_anew(tx, works.task(), NOW)
    live(works, OTHER, 5)
    assert works.status() == ("RUNNING", "")
    assert wanted(works) == [OTHER]


# --- a service that is refused for good ----------------------------------------------------------------------


def both_live(works: Bench, passes: int) -> None:
    for _ in range(passes):
        works.presence.heard(CODE, works.clock.moment.mono)
        live(works, OTHER, 1)


def refuse_service(works: Bench) -> None:
    """The service dies with its tasks, and its computility does not want it back."""
    works.plant.boxes[CODE].services.clear()
    works.plant.boxes[CODE].tasks.clear()
    works.plant.before["load"] = [Permanent("the licence is over")] * 20
    for _ in range(20):
        both_live(works, 1)
        if works.the_load().parked:
            break
    assert works.the_load().parked
    both_live(works, 3)


def test_work_leaves_a_service_that_is_refused_for_good(works: Bench) -> None:
    two_devices(works)
    refuse_service(works)
    assert wanted(works) == [OTHER]
    assert works.status() == ("RUNNING", "")
    with works.store.read() as tx:
        said = plans.shown(tx, "instance-1")["Reason"]
    assert said.startswith(f"moved from {CODE}, where its service was refused: placed on {OTHER}")


def test_with_no_other_place_it_stays_and_says_why_and_goes_on_with_a_new_wish(works: Bench) -> None:
    works.running()
    works.device(OTHER)
    refuse_service(works)
    assert wanted(works) == [CODE]
    assert works.status() == ("PENDING", "its service is ERROR: the licence is over")
    works.plant.before["load"].clear()
    with works.store.write() as tx:
        services.change_load(tx, "load-1", parked=False)
    both_live(works, 6)
    assert works.status() == ("RUNNING", "")


def test_what_is_pinned_to_the_refused_service_stays(works: Bench) -> None:
    two_devices(works)
    works.change(service_id="service-load-1")
    refuse_service(works)
    assert wanted(works) == [CODE]


def test_what_runs_in_spite_of_the_refusal_is_left_alone(works: Bench) -> None:
    two_devices(works)
    with works.store.write() as tx:
        services.change_load(tx, "load-1", parked=True, status="ERROR")
    works.placement.ensure(works.clock.moment)
    assert wanted(works) == [CODE]


# --- double -----------------------------------------------------------------------------------------------------


def test_double_keeps_the_old_place_until_the_new_one_runs(works: Bench) -> None:
    two_devices(works)
    put_policy(works, failover="double")
    works.plant.starts_as = "PENDING"
    lose(works)
    live(works, OTHER, 3)
    assert wanted(works) == [CODE, OTHER]
    assert works.status()[0] == "PENDING"
    [task_id] = works.plant.boxes[OTHER].tasks
    works.plant.show(works.plant.boxes[OTHER], task_id, "RUNNING")
    live(works, OTHER, 2)
    assert wanted(works) == [OTHER]
    assert works.status() == ("RUNNING", "")
    come_back(works, 4)
    assert works.plant.boxes[CODE].tasks == {}
    assert [row.replaces for row in works.tasks()] == [None]


def test_double_drops_the_new_place_when_the_lost_computility_returns_first(works: Bench) -> None:
    old = two_devices(works)
    put_policy(works, failover="double")
    works.plant.starts_as = "PENDING"
    lose(works)
    live(works, OTHER, 2)
    assert wanted(works) == [CODE, OTHER]
    come_back(works, 1)
    live(works, OTHER, 1)
    for _ in range(4):
        works.presence.heard(OTHER, works.clock.moment.mono)
        live(works, CODE, 1)
    assert wanted(works) == [CODE]
    assert works.status() == ("RUNNING", "")
    assert list(works.plant.boxes[CODE].tasks) == [old]
    assert works.plant.boxes[OTHER].tasks == {}


def test_double_survives_a_restart_between_the_two(works: Bench) -> None:
    two_devices(works)
    put_policy(works, failover="double")
    works.plant.starts_as = "PENDING"
    lose(works)
    live(works, OTHER, 2)
    works.restart()
    live(works, OTHER, 2)
    assert len([code for code in wanted(works) if code == OTHER]) == 1
    [task_id] = works.plant.boxes[OTHER].tasks
    works.plant.show(works.plant.boxes[OTHER], task_id, "RUNNING")
    live(works, OTHER, 2)
    assert wanted(works) == [OTHER]


def test_a_policy_changed_to_gap_leaves_one_place(works: Bench) -> None:
    two_devices(works)
    put_policy(works, failover="double")
    works.plant.starts_as = "PENDING"
    lose(works)
    live(works, OTHER, 1)
    assert len(wanted(works)) == 2
    put_policy(works, failover="gap")
    works.placement.ensure(works.clock.moment)
    assert wanted(works) == [OTHER]


def test_the_capability_s_policy_beats_the_global_one(works: Bench) -> None:
    two_devices(works)
    put_policy(works, delay_seconds=86_400)
    put_policy(works, "A", delay_seconds=0)
    lose(works)
    live(works, OTHER, 1)
    assert wanted(works) == [OTHER]


# --- strategies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("strategy", "counts"), [("spread", [2, 2]), ("pack", [4, 0])])
def test_a_strategy_decides_where_many_go(works: Bench, strategy: str, counts: list[int]) -> None:
    works.package(manifest={"xpu": [{"stream_video_quota": 5}]})
    for code, load_id in ((CODE, "load-1"), (OTHER, "load-2")):
        works.device(code)
        works.load(load_id, code, sent=True, status="RUNNING")
    put_policy(works, strategy=strategy)
    for number in range(4):
        works.instance(f"i{number}")
    works.placement.ensure(works.clock.moment)
    where = [wanted(works, f"i{number}") for number in range(4)]
    assert [where.count([CODE]), where.count([OTHER])] == counts


# --- pre-emption ----------------------------------------------------------------------------------------------------


@pytest.fixture
def narrow(works: Bench) -> Bench:
    """One device with room for one stream, taken by instance-1; three priority classes."""
    works.device()
    works.package(manifest={"xpu": [{"stream_video_quota": 1}]})
    works.load()
    works.instance()
    works.run(8)
    assert works.status() == ("RUNNING", "")
    put_policy(works)
    return works


@pytest.fixture
def wide(narrow: Bench) -> Bench:
    """A second device like the first, taken by instance-2."""
    narrow.device(OTHER)
    narrow.load("load-2", OTHER)
    narrow.instance("instance-2")
    narrow.run(6)
    assert narrow.status("instance-2") == ("RUNNING", "")
    return narrow


def alike(works: Bench, passes: int, seconds: float = 5.0) -> None:
    """Passes during which both devices speak to us and nobody runs twice."""
    for _ in range(passes):
        works.presence.heard(CODE, works.clock.moment.mono)
        live(works, OTHER, 1, seconds)
        on = [box.infos[task_id]["ID"] for box in works.plant.boxes.values() for task_id in box.tasks]
        assert len(on) == len(set(on)), on


@pytest.mark.parametrize("fault", [Permanent("it is mine"), Temporary("busy")])
def test_who_waits_for_a_place_that_is_never_given_up_takes_another(wide: Bench, fault: StepFault) -> None:
    wide.plant.keeps[CODE] = fault
    wide.instance("high", priority_class="urgent")
    alike(wide, 1, 1.0)
    assert wide.status("high") == ("PENDING", f"instance instance-1 gives up its place on {CODE} for it")
    if isinstance(fault, Temporary):
        alike(wide, 20)
        assert wide.status("high") == ("PENDING", f"a stream on {CODE} is being given up for it")
        assert wanted(wide, "instance-2") == [OTHER]
    alike(wide, 10)
    assert wide.status("high") == ("RUNNING", "")
    assert wanted(wide, "high") == [OTHER]
    status, reason = wide.status("instance-2")
    assert status == "PENDING"
    assert reason.startswith("its place was taken by instance high (priority 10 over 0)")
    del wide.plant.keeps[CODE]
    if isinstance(fault, Temporary):
        alike(wide, 60)
        assert sorted([wide.status()[0], wide.status("instance-2")[0]]) == ["PENDING", "RUNNING"]


LEFT_NOT = "a task that is to go has not left"


def test_nobody_else_is_displaced_where_somebody_does_not_go(narrow: Bench) -> None:
    narrow.package(manifest={"xpu": [{"stream_video_quota": 2}]})
    narrow.instance("instance-2")
    narrow.run(3)
    narrow.plant.keeps[CODE] = Permanent("it is mine")
    narrow.instance("high", priority_class="urgent")
    for _ in range(40):
        narrow.run(1, 5)
    assert wanted(narrow) == [CODE]
    assert narrow.status() == ("RUNNING", "")
    assert narrow.status("high")[1].endswith(f"{LEFT_NOT} {CODE}")
    assert narrow.plant.told().count("delete_task") == 1


def test_who_is_displaced_begins_elsewhere_when_the_first_place_is_left(wide: Bench) -> None:
    wide.plant.keeps[OTHER] = Temporary("busy")
    wide.instance("high", priority_class="urgent", device=OTHER)
    alike(wide, 2, 1.0)
    wide.change("instance-1", on=False, deleted=True)
    alike(wide, 4)
    assert wanted(wide, "instance-2") == [CODE]
    assert wide.status("instance-2") == ("PENDING", f"its task on {OTHER} is being deleted first")
    del wide.plant.keeps[OTHER]
    alike(wide, 30)
    assert wide.status("instance-2") == ("RUNNING", "")
    assert wide.status("high") == ("RUNNING", "")


def test_a_higher_instance_takes_the_place_and_the_other_waits_and_says_so(narrow: Bench) -> None:
    narrow.instance("high", priority_class="urgent")
    most = 0
    for _ in range(6):
        narrow.run(1)
        most = max(most, len(narrow.plant.boxes[CODE].tasks))
    assert most == 1  # the room is given up before it is taken
    assert narrow.status("high") == ("RUNNING", "")
    status, reason = narrow.status()
    assert status == "PENDING"
    assert reason == (
        "its place was taken by instance high (priority 10 over 0); "
        "all streams of the 1 fitting services are taken"
    )
    assert narrow.plant.told() == [*LADDER, "delete_task", "create_task"]
    narrow.run(5)
    narrow.restart()
    narrow.run(3)
    assert narrow.status() == ("PENDING", reason)  # it comes to rest, and remembers over a restart


def test_it_gets_its_place_back_when_the_higher_one_is_gone(narrow: Bench) -> None:
    narrow.instance("high", priority_class="urgent")
    narrow.run(6)
    narrow.change("high", on=False, deleted=True)
    narrow.run(6)
    assert narrow.status() == ("RUNNING", "")
    with narrow.store.read() as tx:
        assert tx.sql("SELECT preempted_by FROM instance WHERE id = 'instance-1'") == [("",)]


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ({"priority_class": "urgent"}, {"priority_class": "urgent"}),
        ({"priority_class": "calm"}, {"priority_class": "calm"}),
        ({"priority_class": "calm"}, {}),
        ({"priority_class": ""}, {"priority_class": "meek"}),
        ({"device": CODE}, {"priority_class": "urgent"}),
        ({"service_id": "service-load-1"}, {"priority_class": "urgent"}),
    ],
)
def test_equals_and_the_pinned_keep_their_places(
    narrow: Bench, low: dict[str, Any], high: dict[str, Any]
) -> None:
    narrow.change(**low)
    narrow.instance("high", **high)
    narrow.run(5)
    assert narrow.status() == ("RUNNING", "")
    assert narrow.status("high")[0] == "PENDING"
    assert narrow.plant.told() == LADDER


def test_what_is_finished_is_never_displaced_and_its_stream_is_free(narrow: Bench) -> None:
    [task_id] = narrow.plant.boxes[CODE].tasks
    narrow.plant.show(narrow.plant.boxes[CODE], task_id, "FINISHED")
    narrow.run(3, 15)
    narrow.instance("high", priority_class="urgent")
    narrow.run(4)
    assert (narrow.status(), narrow.status("high")) == (("FINISHED", ""), ("RUNNING", ""))
    assert narrow.plant.told() == [*LADDER, "create_task"]


def test_who_was_paused_finds_its_stream_given_to_another_and_waits(narrow: Bench) -> None:
    """Of one stream never two are taken, and the paused one says what it waits for; it is first to get it back."""
    narrow.change(on=False)
    narrow.run(3)
    narrow.instance("other")
    narrow.run(4)
    assert narrow.status("other") == ("RUNNING", "")
    narrow.change(on=True)
    narrow.run(4)
    assert narrow.status() == ("PENDING", "all streams of the 1 fitting services are taken")
    assert running_tasks(narrow, CODE) == 1
    assert len(narrow.plant.boxes[CODE].tasks) == 1
    narrow.restart()
    narrow.run(3)
    assert running_tasks(narrow, CODE) == 1
    narrow.change("other", on=False)
    narrow.run(4)
    assert narrow.status() == ("RUNNING", "")
    assert running_tasks(narrow, CODE) == 1


def test_who_was_paused_goes_on_where_it_was_when_there_is_room(narrow: Bench) -> None:
    narrow.change(on=False)
    narrow.run(3)
    narrow.change(on=True)
    narrow.run(3)
    assert narrow.status() == ("RUNNING", "")
    assert narrow.plant.told() == [*LADDER, "pause_task", "resume_task"]


def test_what_has_finished_is_not_played_again_though_its_stream_is_anothers(narrow: Bench) -> None:
    [task_id] = narrow.plant.boxes[CODE].tasks
    narrow.plant.show(narrow.plant.boxes[CODE], task_id, "FINISHED")
    narrow.run(3, 15)
    narrow.instance("other")
    narrow.run(4)
    narrow.change(on=False)  # its hours close
    narrow.run(3)
    narrow.change(on=True)
    narrow.run(4)
    assert (narrow.status(), narrow.status("other")) == (("FINISHED", ""), ("RUNNING", ""))
    assert narrow.plant.told() == [*LADDER, "create_task"]


def test_a_watched_place_is_not_taken_while_another_stands_in_for_it(works: Bench) -> None:
    two_devices(works)
    put_policy(works, failover="double")
    works.package(manifest={"xpu": [{"stream_video_quota": 1}]})
    works.plant.starts_as = "PENDING"
    lose(works)
    live(works, OTHER, 1)
    assert wanted(works) == [CODE, OTHER]
    works.instance("high", priority_class="urgent")
    live(works, OTHER, 2)
    assert wanted(works) == [CODE, OTHER]
    assert wanted(works, "high") == []


def test_a_chain_of_three_comes_to_rest(narrow: Bench) -> None:
    narrow.instance("calm", priority_class="calm")
    narrow.run(6)
    assert narrow.status("calm") == ("RUNNING", "")
    narrow.instance("urgent", priority_class="urgent")
    narrow.run(6)
    assert narrow.status("urgent") == ("RUNNING", "")
    before = len(narrow.plant.told())
    narrow.run(10, 15)
    assert len(narrow.plant.told()) == before
    assert narrow.status("calm")[1].startswith("its place was taken by instance urgent (priority 10 over 5)")
    with narrow.store.read() as tx:
        assert len(plans.tasks(tx, Task.wanted == "running")) == 1
    assert narrow.status()[1].startswith("its place was taken by instance calm (priority 5 over 0)")


def test_the_class_is_not_sent_to_a_device(narrow: Bench) -> None:
    narrow.instance("high", priority_class="urgent", info={**INFO, "PriorityClass": "urgent"})
    narrow.run(6)
    assert "PriorityClass" not in narrow.plant.last("create_task").info
