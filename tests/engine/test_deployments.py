"""The ladder: push, load, create, running; what fails, what is unknown, and what a crash leaves behind."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from typing import Any, NoReturn

import peewee
import pytest
from msgspec.structs import replace

from acsmpd import faults
from acsmpd.decide.cards import Card
from acsmpd.engine.deployments import Deployments
from acsmpd.engine.stepwork import Item
from acsmpd.faults import Permanent, Temporary, Unknown
from acsmpd.model import SeenPackage
from acsmpd.store import devices, ledger, plans, services
from tests.engine.bench import SITE, Bench
from tests.engine.plant import Crash
from tests.store.rows import CODE, NOW, OTHER, PACKAGE
from tests.support.wait import wait_until

LADDER = ["push", "load", "create_task"]


def ready(works: Bench) -> None:
    """Everything wished for, nothing done yet."""
    works.device()
    works.package()
    works.load()
    works.instance()


def outcomes(works: Bench) -> list[tuple[str, str | None, str]]:
    with works.store.read() as tx:
        rows = tx.sql("SELECT step, outcome, text FROM intent ORDER BY id")
    return [(step, outcome, text) for step, outcome, text in rows]


# --- the whole way -------------------------------------------------------------------------------------


def test_from_a_wish_to_a_running_task_one_rung_at_a_time(works: Bench) -> None:
    ready(works)
    seen = []
    for _ in range(8):
        works.run()
        seen.append((works.plant.told(), *works.status()))
    assert works.plant.told() == LADDER
    assert [one[1] for one in seen] == sorted([one[1] for one in seen])  # PENDING ... RUNNING, never back
    assert seen[-1] == (LADDER, "RUNNING", "")
    assert outcomes(works) == [(step, "done", "") for step in LADDER]
    assert (works.the_copy()["status"], works.the_load().status) == (3, "RUNNING")
    assert works.task().attempts == 0


def test_what_was_sent_carries_our_ids_links_and_the_chosen_package(works: Bench) -> None:
    ready(works)
    works.run(8)
    push, load, create = (works.plant.last(tag) for tag in LADDER)
    link = works.core.signer.sign("package", PACKAGE, CODE, "0")
    assert push.url.endswith(f"/ACSMP/Links/Packages/{PACKAGE}/{CODE}/0/{link}")
    assert (push.path, push.md5) == (f"/packages/{PACKAGE}", "m1")
    assert (load.load_id, load.service_id, load.package_id) == ("load-1", "service-load-1", PACKAGE)
    assert (create.info["ID"], create.restart_policy, create.load_id) == ("instance-1", "NEVER", "load-1")
    assert create.info["Labels"] == {"AlgoCaBinName": "human", "Version": "1.0"}
    [receiver] = create.info["RulesParams"][0]["ResultReceiveUrl"]
    assert receiver.endswith(f"/ACSMP/Results/instance-1/{works.core.signer.sign('result', 'instance-1')}")


def test_what_is_settled_is_left_alone_pass_after_pass_and_over_a_restart(works: Bench) -> None:
    works.running()
    works.run(25)
    works.restart()
    works.run(25)
    assert works.plant.told() == LADDER
    assert works.status() == ("RUNNING", "")


@pytest.mark.parametrize("code", [CODE, SITE])
def test_a_service_is_not_loaded_while_its_file_is_still_being_delivered(works: Bench, code: str) -> None:
    """Else a slow push makes the first load fail and be taken again."""
    arrived = threading.Event()
    works.device(code, **({"family": "local"} if code == SITE else {}))
    works.package()
    works.load(code=code)
    plant = works.here if code == SITE else works.plant
    plant.before["push"] = [lambda: wait_for(arrived)]
    for _ in range(4):
        works.pass_by(1)
        works.engine.loop(works.clock.moment)
        wait_until(lambda: works.sights.free == works.settings.engine.lanes, what="the looks")
    assert plant.told() == ["push"]
    arrived.set()
    works.idle()
    works.run(2)
    assert plant.told() == ["push", "load"]
    assert [outcome for _, outcome, _ in outcomes(works)] == ["done", "done"]


def wait_for(event: threading.Event) -> None:
    assert event.wait(20)


def test_one_failing_device_does_not_hold_up_another(works: Bench) -> None:
    ready(works)
    works.device(OTHER)
    works.load("load-2", OTHER)
    works.instance("instance-2", device=OTHER)
    works.plant.away.add(CODE)
    works.run(10)
    assert works.status("instance-2") == ("RUNNING", "")
    assert works.status("instance-1")[0] != "RUNNING" or works.task("instance-1").device == OTHER


# --- temporary: back off -------------------------------------------------------------------------------


@pytest.mark.parametrize("step", LADDER)
def test_a_temporary_failure_is_not_retried_before_it_is_due(works: Bench, step: str) -> None:
    ready(works)
    works.plant.before[step] = [Temporary("busy"), Temporary("busy"), Temporary("busy")]
    while works.plant.told().count(step) == 0:
        works.run(1, 0.5)
    waits, last = [], works.clock.moment.mono
    for tries in (2, 3, 4):
        while works.plant.told().count(step) < tries:
            works.run(1, 0.5)
        waits.append(works.clock.moment.mono - last)
        last = works.clock.moment.mono
    for wait, full in zip(waits, (2, 4, 8), strict=True):
        assert 0.75 * full <= wait <= full + 0.5
    works.run(8)
    assert works.status() == ("RUNNING", "")
    assert [one for one in outcomes(works) if one[0] == step] == [
        *[(step, "temporary", "busy")] * 3, (step, "done", ""),
    ]  # fmt: skip


def test_the_reason_of_a_failure_is_shown_until_it_passes(works: Bench) -> None:
    ready(works)
    works.plant.before["create_task"] = [Temporary("no decoder is free")]
    works.run(5)
    assert works.status() == ("PENDING", "no decoder is free")
    works.run(5)
    assert works.status() == ("RUNNING", "")


def test_waits_do_not_grow_for_ever(works: Bench) -> None:
    ready(works)
    works.plant.before["push"] = [Temporary("busy")] * 90
    works.run(12, 60)
    before = works.plant.told().count("push")
    works.run(30, 60)
    assert 5 <= works.plant.told().count("push") - before <= 8  # one in 225 to 300 seconds


# --- permanent: parked, told, and a fresh try after a new wish -----------------------------------------


def test_a_refused_push_waits_for_a_new_wish(works: Bench) -> None:
    ready(works)
    works.plant.before["push"] = [Permanent("no space on the device")]
    works.run(20, 60)
    assert works.plant.told() == ["push"]
    row = works.the_copy()
    assert (row["parked"], row["status"], row["sent"], row["error"]) == (
        True,
        2,
        False,
        "no space on the device",
    )
    assert works.alarms("step_refused") == [
        ("step_refused", f"copy:{row['id']}", f"push on computility {CODE}: no space on the device")
    ]
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run()
    assert works.plant.told()[:2] == ["push", "push"]  # at once
    assert works.alarms("step_refused") == []
    works.run(8)
    assert works.status() == ("RUNNING", "")


def test_a_refused_load_is_an_error_until_a_new_wish(works: Bench) -> None:
    works.device()
    works.package()
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run(3)  # the file is there
    works.run(1, 90)
    works.load()
    works.instance()
    works.plant.before["load"] = [Permanent("licence expired")]
    works.run(20, 60)
    assert works.plant.told() == ["push", "load"]
    load = works.the_load()
    assert (load.status, load.parked, load.sent, load.error) == ("ERROR", True, False, "licence expired")
    assert works.alarms("step_refused")[0][1:] == (
        "load:load-1",
        f"load on computility {CODE}: licence expired",
    )
    with works.store.write() as tx:
        services.change_load(tx, "load-1", parked=False)
    works.run(6)
    assert works.status() == ("RUNNING", "")
    assert works.alarms("step_refused") == []


def test_a_refused_create_is_an_error_of_the_instance_and_gets_a_fresh_try(works: Bench) -> None:
    ready(works)
    works.plant.before["create_task"] = [Permanent("this codec is not known")]
    works.run(30, 10)
    assert works.plant.told() == LADDER
    assert works.status() == ("ERROR", "this codec is not known")
    [(_, subject, text)] = works.alarms("step_refused")
    assert (subject, text) == (
        f"task:{works.task().id}",
        f"create_task on computility {CODE}: this codec is not known",
    )
    with works.store.write() as tx:
        plans.change_task(tx, works.task().id, parked=False, attempts=0, status="PENDING")
    works.run(3)
    assert works.status() == ("RUNNING", "")
    assert works.alarms("step_refused") == []


def test_a_load_refused_while_the_file_is_still_coming_is_tried_again(works: Bench) -> None:
    """A CAD answers the push before it has fetched the file; a load may come too early."""
    ready(works)
    box = works.plant.boxes[CODE]
    works.plant.after["push"] = [box.packages.clear]
    works.run(5)
    assert works.plant.told() == ["push", "load", "load"]
    assert works.the_load().parked is False
    assert works.alarms("step_refused") == []
    box.packages[PACKAGE] = SeenPackage(package_id=PACKAGE)
    works.run(12)
    assert works.status() == ("RUNNING", "")
    assert works.plant.told() == ["push", "load", "load", "load", "create_task"]


def test_a_file_that_arrives_while_its_load_is_being_refused_is_loaded_again(works: Bench) -> None:
    """The device reads the file to its end, and judges it, between our load and its answer."""
    ready(works)

    def arrive_too_late() -> None:
        with works.store.write() as tx:
            services.arrived(tx, works.the_copy()["id"], "m1", works.clock.moment.wall_ms)
        raise Permanent("it is downloading")

    works.plant.before["load"] = [arrive_too_late, Permanent("it is being checked")]
    works.run(16)
    assert works.plant.told() == ["push", "load", "load", "load", "create_task"]
    assert works.status() == ("RUNNING", "")
    assert works.alarms() == []


def test_a_load_that_is_refused_again_and_again_is_parked_within_a_minute(works: Bench) -> None:
    ready(works)
    works.plant.before["load"] = [Permanent("licence expired")] * 9
    works.run(30, 2)
    assert works.plant.told() == ["push"] + ["load"] * 5
    assert works.the_load().parked is True


def test_a_file_that_never_arrives_is_pushed_again_and_then_given_up(tmp_path: Path) -> None:
    works = Bench(tmp_path / "quick", engine_backoff_max_seconds="10")
    try:
        ready(works)
        works.plant.after["push"] = [works.plant.boxes[CODE].packages.clear] * 10
        works.run(30, 10)
        told = works.plant.told()
        assert 2 <= told.count("push") <= 4
        assert 12 <= told.count("load") <= 25
        assert works.the_load().parked is True
        assert len(works.alarms("step_refused")) == 1
    finally:
        works.close()


# --- unknown: look before repeating --------------------------------------------------------------------


def test_a_create_whose_answer_was_lost_is_found_and_not_repeated(works: Bench) -> None:
    ready(works)
    works.plant.after["create_task"] = [Unknown("timed out")]
    works.run(10)
    assert works.plant.told() == LADDER
    assert works.status() == ("RUNNING", "")
    assert works.task().task_id == next(iter(works.plant.boxes[CODE].tasks))
    assert ("create_task", "unknown", "timed out") in outcomes(works)


def test_a_create_that_did_not_happen_is_repeated_after_two_complete_listings(works: Bench) -> None:
    ready(works)
    works.plant.before["create_task"] = [Unknown("timed out")]
    while works.plant.told() != LADDER:
        works.run(1, 0.5)
    looks = len(works.plant.looks)
    works.plant.hidden.add("tasks")
    works.run(20, 15)
    assert works.plant.told() == LADDER  # a listing that is not whole says nothing
    assert len(works.plant.looks) >= looks + 20
    assert works.task().missing == 0
    works.plant.hidden.clear()
    works.run(1, 15)
    assert works.task().missing == 1
    assert works.plant.told() == LADDER
    works.run(4, 15)
    assert works.plant.told() == [*LADDER, "create_task"]
    assert works.status() == ("RUNNING", "")
    assert len(works.plant.boxes[CODE].tasks) == 1


def test_a_create_whose_answer_told_no_id_is_completed_by_a_look(works: Bench) -> None:
    works.plant.tells_id = False
    ready(works)
    works.run(10)
    assert works.plant.told() == LADDER
    assert works.task().task_id == "1"


def test_a_task_switched_off_while_its_create_is_unknown_is_not_created_again(works: Bench) -> None:
    ready(works)
    works.plant.before["create_task"] = [Unknown("timed out")]
    while works.plant.told() != LADDER:
        works.run(1, 0.5)
    works.change(on=False)
    works.run(6, 15)
    assert works.plant.told() == LADDER
    assert works.tasks() == []
    assert works.status() == ("PAUSED", "")


def test_an_unknown_load_that_came_up_is_not_repeated(works: Bench) -> None:
    ready(works)
    works.plant.after["load"] = [Unknown("timed out")]
    works.run(10)
    assert works.plant.told() == LADDER
    assert works.status() == ("RUNNING", "")


def test_an_unknown_load_that_did_not_is_repeated_after_two_looks(works: Bench) -> None:
    ready(works)
    works.plant.before["load"] = [Unknown("timed out")]
    works.run(3, 1)
    assert works.plant.told() == ["push", "load"]
    works.run(6, 15)
    assert works.plant.told() == ["push", "load", "load", "create_task"]


def test_an_unknown_push_is_repeated_only_if_the_device_does_not_list_the_file(works: Bench) -> None:
    ready(works)
    with works.store.write() as tx:
        services.drop_load(tx, "load-1")
    works.plant.before["push"] = [Unknown("timed out")]
    works.plant.after["push"] = [Unknown("timed out")]
    works.run(2, 1)
    assert works.plant.told() == ["push"]
    works.run(10, 15)
    assert works.plant.told() == ["push", "push"]  # the second one arrived
    assert works.the_copy()["status"] == 3


# --- a crash between intent and outcome ----------------------------------------------------------------


@pytest.mark.parametrize(("moment", "pushes"), [("before", 2), ("after", 1)])
def test_a_push_cut_off_by_a_crash_is_repeated_if_the_device_does_not_list_the_file(
    works: Bench, moment: str, pushes: int
) -> None:
    works.device()
    works.package()
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)  # wished for by itself: no load will tell
    getattr(works.plant, moment)["push"] = [Crash()]
    works.run()
    works.restart()
    works.run(6, 15)
    assert works.plant.told() == ["push"] * pushes
    assert (works.the_copy()["status"], works.the_copy()["error"]) == (3, "")


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", LADDER)
def test_a_crash_in_the_middle_of_a_step_ends_in_exactly_one_of_each(
    works: Bench, step: str, moment: str
) -> None:
    ready(works)
    getattr(works.plant, moment)[step] = [Crash()]
    while step not in works.plant.told():
        works.run(1, 0.5)
    assert outcomes(works)[-1] == (step, None, "")
    works.restart()
    assert outcomes(works)[-1] == (step, "unknown", "the platform stopped while it was under way")
    works.run(15, 15)
    assert works.status() == ("RUNNING", "")
    box = works.plant.boxes[CODE]
    assert (len(box.packages), len(box.services), len(box.tasks)) == (1, 1, 1)
    assert works.plant.told().count(step) == (2 if moment == "before" else 1)
    with works.store.read() as tx:
        assert ledger.open_intents(tx) == []


def test_engines_of_this_box_are_loaded_again_after_a_restart(works: Bench) -> None:
    works.device(SITE, family="local", type="AI_BOX", ip="")
    works.package()
    works.load(code=SITE)
    works.instance()
    works.run(8)
    assert works.status() == ("RUNNING", "")
    works.here.boxes[SITE].services.clear()
    works.here.boxes[SITE].tasks.clear()
    works.restart()
    works.run(8)
    assert works.status() == ("RUNNING", "")
    assert works.here.told() == [*LADDER, "load", "create_task"]  # the file was still there


# --- nothing is done on a view that is out of date -----------------------------------------------------


def planned(works: Bench, kind: str) -> list[Item]:
    """What a pass would do, as it reads the state now."""
    with works.store.read() as tx:
        return works.deployments._items(tx, kind, devices.all_devices(tx), works.clock.moment)


def test_a_step_planned_on_an_older_view_is_dropped(works: Bench) -> None:
    """Between the reading of a pass and the lane, the step before it may have ended."""
    works.running()
    row = works.task()
    with works.store.write() as tx:
        plans.change_task(tx, row.id, sent=False, task_id="", status="PENDING")
    [item] = planned(works, "task")
    assert item.rung.step == "create_task"
    with works.store.write() as tx:
        plans.change_task(tx, row.id, sent=True, task_id=row.task_id, status="RUNNING")
    works.deployments._perform(item)
    assert works.plant.told() == LADDER


def unwritten(works: Bench, monkeypatch: pytest.MonkeyPatch, answer: Temporary | None = None) -> Item:
    """A task is paused on its device, and the disk does not take the outcome; the plan of before the pause."""
    works.running()
    with works.store.write() as tx:
        plans.change_task(tx, works.task().id, wanted="paused")
    [item] = planned(works, "task")
    write = works.store.write

    def bad(**_: bool) -> NoReturn:
        monkeypatch.setattr(works.store, "write", write)
        raise faults.Internal("cannot write to the database: the disk failed")

    def ends() -> None:
        monkeypatch.setattr(works.store, "write", bad)
        if answer is not None:
            raise answer

    works.plant.after["pause_task"].append(ends)
    with pytest.raises(faults.Internal):
        works.deployments._perform(item)
    assert works.plant.told() == [*LADDER, "pause_task"]
    return item


def test_a_step_planned_before_the_unwritten_outcome_of_the_last_is_dropped(
    works: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass may have caught up just before the disk refused the outcome, and find the lane free just after."""
    item = unwritten(works, monkeypatch)
    works.deployments._perform(item)
    assert works.plant.told() == [*LADDER, "pause_task"]
    works.deployments._catch_up()
    assert (works.task().status, outcomes(works)[-1]) == ("PAUSED", ("pause_task", "done", ""))


def test_an_outcome_that_can_never_be_written_does_not_stop_all_others(
    works: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    unwritten(works, monkeypatch, Temporary("it said \ud800"))
    works.package(OTHER)
    with works.store.write() as tx:
        services.want_copy(tx, OTHER, CODE, NOW, asked=True)
    works.run(2)
    assert works.plant.told().count("push") == 2
    assert outcomes(works)[3][:2] == ("pause_task", None), "open: the next start says that it is not known"


def test_a_wish_that_comes_back_before_it_is_forgotten_is_kept(works: Bench) -> None:
    works.device()
    works.package()
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
        services.unwant_copy(tx, PACKAGE, CODE, NOW)
    items = planned(works, "copy")
    assert [item.rung.step for item in items] == ["forget"]
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.deployments._forget(items, works.clock.moment)
    assert works.the_copy()["wanted"] is True
    works.run(2)
    assert works.plant.told() == ["push"]


def test_what_cannot_be_prepared_is_looked_at_again_later_and_not_at_once(works: Bench) -> None:
    """The package went while the wish stood: no lane may spin on it."""
    ready(works)
    with works.store.write() as tx:
        tx.sql("DELETE FROM package")
        services.drop_load(tx, "load-1")
    works.core.wake_event.clear()
    works.run()
    keys = [key for key in works.retries._due if key.startswith("copy:")]
    assert len(keys) == 1
    assert works.plant.told() == []


def test_a_full_queue_of_lanes_leaves_the_rest_for_the_next_pass(works: Bench) -> None:
    ready(works)
    for number in range(2, 10):
        works.instance(f"instance-{number}")
    works.run(12)
    assert all(works.status(f"instance-{number}") == ("RUNNING", "") for number in range(1, 10))
    assert works.plant.told().count("create_task") == 9


# --- services ------------------------------------------------------------------------------------------


def test_a_service_that_fails_again_and_again_is_loaded_with_growing_pauses(works: Bench) -> None:
    works.device(SITE, family="local", type="AI_BOX", ip="")
    works.package()
    works.load(code=SITE)
    tries: list[float] = []
    for _ in range(60):
        before = works.here.told().count("load")
        works.run(1, 2)
        for load_id, service in works.here.boxes[SITE].services.items():
            works.here.boxes[SITE].services[load_id] = replace(service, status="ERROR", error="it crashed")
        if works.here.told().count("load") > before:
            tries.append(works.clock.moment.mono)
    pauses = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert 5 <= len(tries) <= 8
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 16
    assert works.the_load().error == "it crashed"


def test_a_service_the_device_no_longer_shows_is_an_error_and_loaded_again(works: Bench) -> None:
    works.running()
    works.run(8, 15)  # it has run for a while
    assert works.the_load().attempts == 0
    works.plant.boxes[CODE].services.clear()
    works.run(1, 15)
    assert (works.the_load().status, works.the_load().missing) == ("RUNNING", 1)
    works.run(1, 15)
    load = works.the_load()
    assert (load.status, load.error) == ("ERROR", "the device no longer shows it running")
    works.run(3, 15)
    assert works.plant.told() == [*LADDER, "load"]
    assert works.the_load().status == "RUNNING"


def test_a_device_may_take_its_time_to_start_a_service(works: Bench) -> None:
    ready(works)
    works.plant.after["load"] = [works.plant.boxes[CODE].services.clear]
    works.run(18, 3)
    assert works.plant.told() == ["push", "load"]
    assert works.the_load().status == "INIT"
    assert works.status()[1].startswith("no fitting service is running on a computility that takes work (")
    works.run(10, 15)
    assert works.plant.told()[:3] == ["push", "load", "load"]  # it had its minute
    assert works.status() == ("RUNNING", "")


def test_where_a_package_has_one_service_the_old_one_goes_first(works: Bench) -> None:
    works.running()
    with works.store.write() as tx:
        services.change_load(tx, "load-1", wanted=False)
    works.load("load-2")
    works.run(12)
    assert works.plant.told() == [*LADDER, "delete_task", "unload", "load", "create_task"]
    assert works.load_row("load-1") is None
    assert works.status() == ("RUNNING", "")
    assert works.task().load_id == "load-2"


def test_while_the_old_service_cannot_be_unloaded_the_new_one_waits(works: Bench) -> None:
    works.running()
    with works.store.write() as tx:
        services.change_load(tx, "load-1", wanted=False)
    works.load("load-2")
    works.plant.before["unload"] = [Temporary("busy")] * 3
    works.run(4)
    assert works.plant.told() == [*LADDER, "delete_task", "unload"]
    assert (works.the_load("load-2").sent, works.the_load("load-2").status) == (False, "INIT")
    works.run(30)
    assert works.status() == ("RUNNING", "")


def test_an_unload_waits_for_the_tasks_on_it(works: Bench) -> None:
    works.running()
    works.plant.before["delete_task"] = [Temporary("busy")] * 2
    with works.store.write() as tx:
        services.change_load(tx, "load-1", wanted=False)
        services.unwant_copy(tx, PACKAGE, CODE, NOW)
    works.run(3)
    assert "unload" not in works.plant.told()
    works.run(20)
    assert works.plant.told()[3:] == ["delete_task"] * 3 + ["unload", "delete_copy"]
    assert (works.load_row(), works.copy()) == (None, None)
    assert works.status() == ("PENDING", "no service of a fitting package is loaded")
    box = works.plant.boxes[CODE]
    assert (box.packages, box.services, box.tasks) == ({}, {}, {})


def test_cards_are_waited_for_with_growing_pauses_and_the_reason(works: Bench) -> None:
    works.device(SITE, family="local", type="AI_BOX", ip="")
    works.package(manifest={"xpu": [{"quota": 0.5, "accelerator": "NVIDIA-A2"}]})
    works.load(code=SITE)
    works.run(15, 2)
    load = works.the_load()
    assert load.error == "cannot assign a card to load-1: no healthy card of type NVIDIA-A2"
    assert 3 <= load.attempts <= 5  # after 0, 2, 4, 8, 16 seconds
    assert works.here.told() == ["push"]
    works.cards.append(Card(index=3, uuid="GPU-3", type="NVIDIA-A2"))
    works.run(20, 2)
    step = works.here.last("load")
    assert (step.xpu_index, step.xpu_type, step.card_uuids) == ((3,), "NVIDIA-A2", ("GPU-3",))
    assert works.the_load().status == "RUNNING"


# --- files ---------------------------------------------------------------------------------------------


def test_a_file_the_platform_replaced_is_pushed_again_once_nothing_runs_of_it(works: Bench) -> None:
    works.running()
    works.package(md5="m2")
    works.run(5)
    assert works.plant.told() == LADDER
    with works.store.write() as tx:
        services.change_load(tx, "load-1", wanted=False)
    works.load("load-2")
    works.run(12)
    assert works.plant.told()[3:] == ["delete_task", "unload", "push", "load", "create_task"]
    assert (works.plant.last("push").md5, works.the_copy()["md5"]) == ("m2", "m2")


def test_a_file_that_vanished_from_the_device_is_pushed_before_it_is_loaded_again(works: Bench) -> None:
    works.running()
    works.run(8, 90)
    works.plant.boxes[CODE].packages.clear()
    works.plant.boxes[CODE].services.clear()
    works.run(10, 15)
    assert works.plant.told()[3:5] == ["push", "load"]
    assert works.the_load().status == "RUNNING"


def test_a_device_may_take_its_time_to_list_a_file_it_has_fetched(works: Bench) -> None:
    works.device()
    works.package()
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.plant.after["push"] = [works.plant.boxes[CODE].packages.clear]
    works.run(2)
    with works.store.write() as tx:
        services.arrived(tx, works.the_copy()["id"], "m1", NOW)  # it read the file to its end
    works.run(30, 15)
    assert works.plant.told() == ["push"]
    works.plant.boxes[CODE].packages[PACKAGE] = SeenPackage(package_id=PACKAGE)
    works.run(3, 15)
    assert (works.plant.told(), works.the_copy()["status"]) == (["push"], 3)


def test_a_download_the_device_reports_as_failed_is_pushed_again(works: Bench) -> None:
    works.device()
    works.package()
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    failed = SeenPackage(package_id=PACKAGE, status=2, error="404")

    def fail() -> None:
        works.plant.boxes[CODE].packages[PACKAGE] = failed

    works.plant.after["push"] = [fail, fail]
    works.run(2)
    assert (works.the_copy()["status"], works.the_copy()["error"]) == (2, "404")
    works.run(20)
    assert works.plant.told() == ["push"] * 3
    assert (works.the_copy()["status"], works.the_copy()["error"], works.the_copy()["attempts"]) == (3, "", 0)


# --- files that take their time, and files that never come -----------------------------------------------------


def not_listed(works: Bench) -> None:
    works.plant.after["push"] = [works.plant.boxes[CODE].packages.clear]


def accepted(works: Bench) -> int:
    """A push the device took, of a file it does not list."""
    works.device()
    works.package()
    not_listed(works)
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run(2)
    assert (works.plant.told(), works.the_copy()["status"]) == (["push"], 1)
    return int(works.the_copy()["id"])


def test_an_accepted_push_that_never_arrives_fails_with_words_and_waits_for_a_new_wish(works: Bench) -> None:
    row = accepted(works)
    works.run(115, 15)
    assert works.the_copy()["status"] == 1  # not half an hour yet
    works.run(8, 15)
    copy = works.the_copy()
    text = "accepted, but not fetched within 1800 s"
    assert (copy["status"], copy["parked"], copy["error"]) == (2, True, text)
    said = f"push on computility {CODE}: package {PACKAGE} was {text}"
    assert works.alarms() == [("step_refused", f"copy:{row}", said)]
    works.run(10, 600)
    assert works.plant.told() == ["push"]
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run(2)
    works.run(2, 15)
    assert (works.plant.told(), works.the_copy()["status"]) == (["push", "push"], 3)
    assert works.alarms() == []


def test_one_that_shows_up_after_all_counts(works: Bench) -> None:
    accepted(works)
    works.run(125, 15)
    assert works.the_copy()["parked"]
    works.plant.boxes[CODE].packages[PACKAGE] = SeenPackage(package_id=PACKAGE)
    works.run(1, 15)
    copy = works.the_copy()
    assert (copy["status"], copy["parked"], copy["error"]) == (3, False, "")
    assert works.alarms() == []


def test_while_blocks_are_taken_nothing_is_given_up(works: Bench) -> None:
    row = accepted(works)
    for share in range(1, 40):
        works.core.transfers.read(row, 0, share, 100, works.clock.moment.mono)
        works.run(1, 900)
    assert works.the_copy()["status"] == 1
    works.run(2, 1000)
    assert works.the_copy()["status"] == 2


def test_the_time_before_our_own_start_does_not_count(works: Bench) -> None:
    accepted(works)
    works.run(100, 15)
    works.restart()
    works.run(100, 15)
    assert works.the_copy()["status"] == 1
    works.run(25, 15)
    assert works.the_copy()["status"] == 2


def test_a_load_waits_for_a_file_that_is_on_its_way(works: Bench) -> None:
    """Two hours of a thin line: no load is tried meanwhile, and the download is not started again."""
    ready(works)

    def read(minute: int) -> None:
        row = works.the_copy()["id"]
        works.core.transfers.read(row, 0, minute, 121, works.clock.moment.mono)

    def begin() -> None:
        works.plant.boxes[CODE].packages.clear()
        read(1)

    works.plant.after["push"] = [begin]
    works.run(1)
    for minute in range(2, 121):
        read(minute)
        works.run(2, 30)
    assert works.plant.told() == ["push"]
    works.plant.boxes[CODE].packages[PACKAGE] = SeenPackage(package_id=PACKAGE)
    works.run(6, 15)
    assert works.plant.told() == ["push", "load", "create_task"]
    assert works.status() == ("RUNNING", "")


def test_an_outcome_that_can_never_be_written_holds_up_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk refused waits; what is wrong itself is told once, and the next comes."""
    bare: Any = None
    one, told = Deployments(bare, bare, bare, bare), []

    def close(ended: Any) -> None:
        told.append(ended)
        if ended == "wrong":
            raise peewee.IntegrityError("NOT NULL constraint failed")
        if ended == "refused" and told.count(ended) == 1:
            raise faults.NoSpace("cannot write to the database: the disk is full")

    monkeypatch.setattr(one, "_close", close)
    waiting: Any = ["refused", "wrong", "good"]
    one._unwritten.extend(waiting)
    with pytest.raises(faults.NoSpace):
        one._catch_up()
    with pytest.raises(peewee.IntegrityError):
        one._catch_up()
    one._catch_up()
    assert told == ["refused", "refused", "wrong", "good"]
    assert not one._unwritten
