"""Tasks over their life: changed, paused, resumed, failed, moved, deleted; and what is foreign."""

from __future__ import annotations

import pytest

from acsmpd.faults import Permanent, Temporary, Unknown
from acsmpd.store import plans, services
from acsmpd.store.tables import InstanceEvent
from tests.engine.bench import INFO, SITE, STREAM, Bench
from tests.engine.plant import Plant
from tests.store.rows import CODE, NOW, OTHER, PACKAGE, add_instance
from tests.support.wait import wait_until

LADDER = ["push", "load", "create_task"]


def two_devices(works: Bench, **more: str) -> str:
    """A task running on CODE, and a second computility with a service of the same package."""
    task_id = works.running()
    works.device(OTHER, **more)
    works.load("load-2", OTHER)
    works.run(5)
    assert works.plant.told(OTHER) == ["push", "load"]
    return task_id


def live(works: Bench, code: str, passes: int, seconds: float = 15.0) -> None:
    """Passes during which a computility keeps speaking to us."""
    for _ in range(passes):
        works.presence.heard(code, works.clock.moment.mono)
        works.run(1, seconds)


# --- off, on, changed ------------------------------------------------------------------------------------


def test_off_pauses_and_on_resumes_the_same_task(works: Bench) -> None:
    task_id = works.running()
    works.change(on=False)
    works.run(3)
    assert works.status() == ("PAUSED", "")
    assert works.plant.boxes[CODE].tasks[task_id].status == "PAUSED"
    works.change(on=True)
    works.run(3)
    assert works.status() == ("RUNNING", "")
    assert works.plant.told() == [*LADDER, "pause_task", "resume_task"]


def test_off_before_anything_was_sent_leaves_nothing_behind(works: Bench) -> None:
    works.device()
    works.package()
    works.load()
    works.run(4)
    works.instance()
    works.plant.before["create_task"] = [Temporary("busy")]
    works.run(1)
    works.change(on=False)
    works.run(5)
    assert works.tasks() == []
    assert works.plant.told().count("create_task") == 1
    assert works.status() == ("PAUSED", "")


def test_a_device_that_ignores_a_pause_is_not_asked_without_end(works: Bench) -> None:
    works.running()
    task_id = works.task().task_id

    def ignore() -> None:
        Plant.show(works.plant.boxes[CODE], task_id, "RUNNING")

    works.plant.after["pause_task"] = [ignore] * 100
    works.change(on=False)
    works.run(40, 0.25)
    assert 2 <= works.plant.told().count("pause_task") <= 8
    assert works.status()[0] in ("RUNNING", "PAUSED")


def test_a_changed_instance_is_changed_on_the_device_paused_first_if_it_is_not_to_restart(
    works: Bench,
) -> None:
    task_id = works.running()
    works.change(info={**INFO, "Labels": {"Zone": "gate"}}, revision=1)
    works.run(6)
    assert works.plant.told() == [*LADDER, "pause_task", "update_task", "resume_task"]
    update = works.plant.last("update_task")
    assert (update.task_id, update.info["ID"], update.info["Labels"]["Zone"]) == (task_id, task_id, "gate")
    assert works.status() == ("RUNNING", "")
    assert works.task().revision == 1


def test_a_change_that_comes_while_another_is_under_way_is_not_lost(works: Bench) -> None:
    works.running()
    works.change(restart_policy="ALWAYS", revision=1)
    works.run(6)
    works.plant.after["update_task"] = [lambda: works.change(info={**INFO, "Name": "b"}, revision=3)]
    works.change(info={**INFO, "Name": "a"}, revision=2)
    works.run(1, 3)
    assert works.task().revision == 2
    works.run(3, 3)
    assert works.task().revision == 3
    assert works.plant.told().count("update_task") == 3


@pytest.mark.parametrize("fault", [Temporary("busy"), Unknown("timed out")])
def test_a_change_that_failed_is_tried_again(works: Bench, fault: Exception) -> None:
    works.running()
    works.plant.before["update_task"] = [fault]
    works.change(info={**INFO, "Labels": {"Zone": "gate"}}, revision=1)
    works.run(10)
    assert works.plant.told()[3:] == ["pause_task", "update_task", "update_task", "resume_task"]
    assert works.task().revision == 1


def test_a_task_that_is_gone_when_it_is_changed_is_created_anew(works: Bench) -> None:
    task_id = works.running()
    del works.plant.boxes[CODE].tasks[task_id]
    works.change(info={**INFO, "Labels": {"Zone": "gate"}}, revision=1)
    works.run(5)
    assert works.plant.told()[3:] == ["pause_task", "create_task"]
    assert works.task().revision == 1
    assert works.status() == ("RUNNING", "")


# --- gone, finished, failed ------------------------------------------------------------------------------


def test_a_task_the_device_forgot_is_created_again_after_two_complete_listings(works: Bench) -> None:
    works.running()
    works.plant.boxes[CODE].tasks.clear()
    works.run(1, 15)
    assert works.task().missing == 1
    works.plant.hidden.add("tasks")
    works.run(3, 15)
    assert works.task().missing == 1
    works.plant.hidden.clear()
    works.run(4, 15)
    assert works.plant.told() == [*LADDER, "create_task"]
    assert works.status() == ("RUNNING", "")


def test_one_listing_without_it_is_no_reason(works: Bench) -> None:
    task_id = works.running()
    kept = works.plant.boxes[CODE].tasks.pop(task_id)
    works.run(1, 15)
    works.plant.boxes[CODE].tasks[task_id] = kept
    works.run(5, 15)
    assert works.plant.told() == LADDER
    assert works.task().missing == 0


def test_the_end_of_before_is_no_end_of_what_was_started_again(works: Bench) -> None:
    """A look between the start and the resume still sees the file at its end."""
    task_id = works.running()
    works.plant.show(works.plant.boxes[CODE], task_id, "FINISHED")
    works.run(2, 15)
    [task] = works.tasks()
    assert task.status == "FINISHED"
    with works.store.write() as tx:
        services.run_anew(tx, task, NOW)
    works.pass_by(15)
    works.observations._observe(CODE)
    assert works.tasks()[0].status == "PAUSED"
    works.plant.steps.clear()
    works.run(3)
    assert works.plant.told() == ["resume_task"]


def test_a_finished_task_may_be_cleared_away_by_the_device_and_is_not_run_again(works: Bench) -> None:
    task_id = works.running()
    works.plant.show(works.plant.boxes[CODE], task_id, "FINISHED")
    works.run(2, 15)
    assert works.status() == ("FINISHED", "")
    works.plant.boxes[CODE].tasks.clear()
    works.run(10, 15)
    assert works.plant.told() == LADDER
    assert works.status() == ("FINISHED", "")


def test_a_finished_task_of_a_deleted_instance_goes(works: Bench) -> None:
    task_id = works.running()
    works.plant.show(works.plant.boxes[CODE], task_id, "FINISHED")
    works.run(2, 15)
    works.change(deleted=True, on=False)
    works.run(5)
    assert works.tasks() == []
    assert works.plant.boxes[CODE].tasks == {}


def test_a_failed_task_is_shown_with_its_reason(works: Bench) -> None:
    task_id = works.running()
    works.plant.show(works.plant.boxes[CODE], task_id, "ERROR", "no stream")
    works.run(20, 15)
    assert works.status() == ("ERROR", "no stream")
    assert works.plant.told() == LADDER  # of policy NEVER


def test_a_failed_task_that_is_to_restart_is_ours_after_a_minute(works: Bench) -> None:
    works.device()
    works.package()
    works.load()
    works.instance(restart_policy="ALWAYS")
    works.run(8)
    [task_id] = works.plant.boxes[CODE].tasks
    box = works.plant.boxes[CODE]
    works.plant.show(box, task_id, "ERROR", "no stream")
    works.run(4, 15)
    works.plant.show(box, task_id, "RUNNING")  # the device did it
    works.run(8, 15)
    works.plant.show(box, task_id, "ERROR", "no stream")
    works.run(4, 15)
    assert works.plant.told() == LADDER  # the minute counts anew
    works.run(3, 15)
    assert works.plant.told() == [*LADDER, "resume_task"]
    works.run(2, 15)
    assert works.status() == ("RUNNING", "")


def test_a_failed_task_that_is_switched_off_goes_and_comes_anew(works: Bench) -> None:
    task_id = works.running()
    works.plant.show(works.plant.boxes[CODE], task_id, "ERROR", "no stream")
    works.run(2, 15)
    works.change(on=False)
    works.run(4)
    assert (works.status(), works.plant.boxes[CODE].tasks) == (("PAUSED", ""), {})
    works.change(on=True)
    works.run(4)
    assert works.status() == ("RUNNING", "")
    assert works.plant.told() == [*LADDER, "delete_task", "create_task"]


# --- deleted ------------------------------------------------------------------------------------------------


def test_a_deleted_instance_takes_its_task_along(works: Bench) -> None:
    works.running()
    works.plant.before["delete_task"] = [Temporary("busy")]
    works.change(deleted=True, on=False)
    works.run(6)
    assert works.plant.told() == [*LADDER, "delete_task", "delete_task"]
    assert works.tasks() == []
    assert works.plant.boxes[CODE].tasks == {}
    assert works.plant.boxes[CODE].services != {}  # the service was not asked to go


def test_a_delete_the_device_refuses_is_told_once(works: Bench) -> None:
    works.running()
    works.plant.before["delete_task"] = [Permanent("locked by its owner")]
    works.change(deleted=True, on=False)
    works.run(10, 60)
    assert works.plant.told() == [*LADDER, "delete_task"]
    [(_, subject, text)] = works.alarms("step_refused")
    assert (subject, text) == (
        f"task:{works.task().id}",
        f"delete_task on computility {CODE}: locked by its owner",
    )


def test_a_task_that_is_gone_already_counts_as_deleted(works: Bench) -> None:
    works.running()
    works.plant.boxes[CODE].tasks.clear()
    works.change(deleted=True, on=False)
    works.run(3)
    assert works.tasks() == []


# --- failover ------------------------------------------------------------------------------------------------


def test_a_lost_device_loses_its_work_and_gets_the_old_task_deleted_when_it_returns(works: Bench) -> None:
    old = two_devices(works)
    works.plant.away.add(CODE)
    live(works, OTHER, 6)
    assert works.state(CODE) == "unreachable"
    assert works.status() == ("RUNNING", f"last known: computility {CODE} is unreachable")
    assert works.plant.told(OTHER) == ["push", "load"]
    live(works, OTHER, 6)
    assert works.state(CODE) == "lost"
    assert works.plant.told(OTHER) == LADDER
    assert works.status() == ("RUNNING", "")
    assert [(row.device, row.wanted) for row in works.tasks()] == [(CODE, "gone"), (OTHER, "running")]
    assert old in works.plant.boxes[CODE].tasks  # it may go on there, unseen

    works.plant.away.clear()
    works.presence.heard(CODE, works.clock.moment.mono)
    live(works, CODE, 4)
    assert works.state(CODE) == "online"
    assert works.plant.boxes[CODE].tasks == {}
    assert works.plant.told(CODE) == [*LADDER, "delete_task"]
    assert [(row.device, row.wanted) for row in works.tasks()] == [(OTHER, "running")]
    assert works.status() == ("RUNNING", "")


def test_without_another_place_the_instance_is_an_error_and_the_old_task_counts_on_return(
    works: Bench,
) -> None:
    old = works.running()
    works.plant.away.add(CODE)
    works.run(10, 15)
    assert works.state() == "lost"
    waits = f"no fitting service is running on a computility that takes work ({CODE}: lost)"
    assert works.status() == ("ERROR", f"computility {CODE} is lost; {waits}")
    works.plant.away.clear()
    live(works, CODE, 4)
    assert works.status() == ("RUNNING", "")
    assert works.plant.told() == LADDER
    assert list(works.plant.boxes[CODE].tasks) == [old]


@pytest.mark.parametrize("pin", [{"device": CODE}, {"service_id": "service-load-1"}])
def test_a_pinned_instance_is_never_moved(works: Bench, pin: dict[str, str]) -> None:
    two_devices(works)
    works.change(**pin)
    works.plant.away.add(CODE)
    live(works, OTHER, 15)
    assert works.state(CODE) == "lost"
    assert works.plant.told(OTHER) == ["push", "load"]
    assert works.status()[0] == "ERROR"


def test_a_lost_cap_keeps_its_work(works: Bench) -> None:
    """A cut line to a site must not double what the site goes on doing."""
    works.device(family="cap", type="CAP")
    works.package()
    works.load()
    works.instance()
    works.run(8)
    works.device(OTHER)
    works.load("load-2", OTHER)
    works.run(5)
    works.plant.away.add(CODE)
    live(works, OTHER, 15)
    assert works.state(CODE) == "lost"
    assert "create_task" not in works.plant.told(OTHER)
    assert works.status() == ("ERROR", f"computility {CODE} is lost; no other place")


def test_an_unloaded_service_hands_its_work_to_another(works: Bench) -> None:
    two_devices(works)
    with works.store.write() as tx:
        services.change_load(tx, "load-1", wanted=False)
    works.run(6)
    assert works.task().device == OTHER
    assert works.status() == ("RUNNING", "")
    assert works.load_row("load-1") is None
    assert works.plant.boxes[CODE].tasks == {}


# --- who counts how much -----------------------------------------------------------------------------------


def test_capacity_is_counted_over_passes_and_capabilities(works: Bench) -> None:
    works.device()
    works.package(codes=(), manifest={"xpu": [{"stream_video_quota": 3}]})
    with works.store.write() as tx:
        for code, event in (("A", "INTRUSION"), ("B", "CLIMB")):
            tx.sql(
                "INSERT INTO capability (code, package_id, name, description, data_type, event_ids, task_types,"
                " task_fields, created_ms, modified_ms) VALUES (?, ?, ?, '', 'ALERT', ?, '[\"VIDEO_REALTIME\"]',"
                " '[]', 0, 0)",
                code, PACKAGE, code, f'["{event}"]',
            )  # fmt: skip
    works.load()
    both = {"RulesParams": [{"EventID": "INTRUSION"}, {"EventID": "CLIMB"}]}
    works.instance("wide", info=both, events=[("INTRUSION", ""), ("CLIMB", "")])
    works.run(6)
    for name in ("second", "third"):
        works.instance(name)
        works.run(4)
    assert [works.status(name)[0] for name in ("wide", "second", "third")] == [
        "RUNNING",
        "RUNNING",
        "PENDING",
    ]
    assert works.status("third")[1] == "all streams of the 1 fitting services are taken"
    with works.store.read() as tx:
        rows = tx.rows(
            InstanceEvent.select().where(InstanceEvent.instance_number == plans.number_of(tx, "wide"))
        )
    assert {row["event_id"]: row["capability"] for row in rows} == {"INTRUSION": "A", "CLIMB": "B"}
    works.change("wide", deleted=True, on=False)
    works.run(6)
    assert works.status("third") == ("RUNNING", "")


def test_this_box_carries_no_more_than_its_setting_says(tmp_path_factory: pytest.TempPathFactory) -> None:
    works = Bench(tmp_path_factory.mktemp("small"), runtime_stream_limit="2")
    try:
        works.device(SITE, family="local", type="AI_BOX", ip="")
        works.package()
        works.load(code=SITE)
        for number in range(3):
            works.instance(f"i{number}")
        works.run(6)
        assert [works.status(f"i{number}")[0] for number in range(3)] == ["RUNNING", "RUNNING", "PENDING"]
    finally:
        works.close()


def test_a_direct_device_takes_tasks_without_a_service_up_to_its_limit(works: Bench) -> None:
    works.device(family="direct", type="AI_CAMERA", support_services=False, capabilities=["INTRUSION"])
    works.instance("i1")
    works.instance("i2")
    works.run(5)
    assert works.plant.told() == ["create_task"]
    assert works.plant.last("create_task").load_id is None
    assert "Labels" not in works.plant.last("create_task").info
    assert works.status("i1") == ("RUNNING", "")
    assert works.status("i2") == ("PENDING", "no imported capability serves INTRUSION for VIDEO_REALTIME")


# --- what is not ours ---------------------------------------------------------------------------------------


def test_what_we_did_not_create_is_shown_and_never_touched(works: Bench) -> None:
    task_id = works.running()
    box = works.plant.boxes[CODE]
    works.plant.foreign_task(CODE, "theirs", stream_url="rtsp://other/1", event_ids=("INTRUSION",))
    works.plant.foreign_task(CODE, "like ours", stream_url=STREAM, event_ids=("INTRUSION",))
    box.packages["p-theirs"] = type(box.packages[PACKAGE])(package_id="p-theirs", name="car")
    box.services["s-theirs"] = type(box.services["load-1"])(package_id="p-theirs", facility_id="s-theirs")
    works.run(3, 15)
    shown = [("package", "p-theirs"), ("service", "s-theirs"), ("task", "like ours"), ("task", "theirs")]
    assert sorted(works.foreign()) == shown
    works.change(deleted=True, on=False)
    with works.store.write() as tx:
        services.change_load(tx, "load-1", wanted=False)
        services.unwant_copy(tx, PACKAGE, CODE, NOW)
    works.run(15, 5)
    assert works.plant.told()[3:] == ["delete_task", "unload", "delete_copy"]
    assert works.plant.last("delete_task").task_id == task_id
    assert (set(box.tasks), set(box.services), set(box.packages)) == (
        {"theirs", "like ours"}, {"s-theirs"}, {"p-theirs"},
    )  # fmt: skip
    assert sorted(works.foreign()) == shown


def test_a_create_that_came_through_late_after_it_was_repeated_is_sent_away(works: Bench) -> None:
    """It reports to a receiver only we can have signed, so our ledger made it."""
    task_id = works.running()
    box = works.plant.boxes[CODE]
    double = type(box.tasks[task_id])(
        task_id="late", status="RUNNING", receive_urls=box.tasks[task_id].receive_urls
    )
    box.tasks["late"] = double
    works.run(4, 15)
    assert list(box.tasks) == [task_id]
    assert works.plant.told() == [*LADDER, "delete_task"]
    assert works.plant.last("delete_task").task_id == "late"
    assert works.status() == ("RUNNING", "")
    assert works.foreign() == []


def test_a_task_deleted_while_a_look_is_under_way_is_not_taken_for_a_double(works: Bench) -> None:
    works.running()
    with works.mid_look():  # the listing is read with the task
        works.change(deleted=True, on=False)
        works.pass_by(1)
        works.engine.loop(works.clock.moment)
        wait_until(lambda: not works.tasks(), what="the delete")
        works.pass_by(1)
    works.run(3, 15)
    assert works.plant.told() == [*LADDER, "delete_task"]
    assert works.foreign() == []


def test_a_receiver_that_only_looks_like_ours_makes_a_task_no_task_of_ours(works: Bench) -> None:
    works.running()
    url = "http://127.0.0.1:8750/ACSMP/Results/instance-1/notoursignature"
    works.plant.foreign_task(CODE, "cheat", receive_urls=(url,))
    works.run(4, 15)
    assert works.foreign() == [("task", "cheat")]
    assert works.plant.told() == LADDER


def test_a_task_of_an_instance_that_was_dropped_still_leaves_the_device(works: Bench) -> None:
    works.running()
    with works.store.write() as tx:
        plans.drop_instance(tx, "instance-1")
    works.run(4)
    assert works.plant.told() == [*LADDER, "delete_task"]
    assert works.plant.boxes[CODE].tasks == {}


def test_two_instances_of_one_camera_each_keep_their_own_task(works: Bench) -> None:
    works.running()
    with works.store.write() as tx:
        add_instance(tx, "instance-2", info=INFO)
    works.plant.after["create_task"] = [Unknown("timed out")]
    works.run(8)
    assert works.status("instance-2") == ("RUNNING", "")
    assert {works.task().task_id, works.task("instance-2").task_id} == set(works.plant.boxes[CODE].tasks)
    assert works.plant.told() == [*LADDER, "create_task"]
