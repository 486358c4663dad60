"""Plans, instances, and their places."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from acsmpd.model import Place
from acsmpd.store import plans
from acsmpd.store.database import Store, Tx
from acsmpd.store.rows import Page, packed_page_of
from acsmpd.store.tables import Instance, InstanceEvent, Task
from tests.store.rows import CODE, NOW, OTHER, add_device, add_instance, add_load, add_task


def add_plan(tx: Tx, name: str = "gate") -> int:
    return plans.add_plan(
        tx, name=name, type="VIDEO_REALTIME", mode="PERIODIC", created_ms=NOW, modified_ms=NOW
    )


def test_a_plan_number_is_never_given_twice(store: Store) -> None:
    """Results of a deleted plan must not turn up under a new one."""
    with store.write() as tx:
        first = add_plan(tx)
        plans.change_plan(tx, first, status="ON")
        row = plans.plan(tx, first)
        assert row is not None
        assert (row["name"], row["status"]) == ("gate", "ON")
        plans.drop_plan(tx, first)
        assert plans.plan(tx, first) is None
        assert add_plan(tx) > first


def test_who_waits_for_quota_is_counted_among_the_pending(store: Store) -> None:
    with store.write() as tx:
        plan = add_plan(tx)
        said = "waiting for quota: 2/2 streams"
        for number, (status, reason) in enumerate(
            [
                ("PENDING", said),
                ("PENDING", f"its place was taken; {said}"),
                ("PENDING", "no service"),
                ("ERROR", said),
            ]
        ):
            add_instance(tx, f"i{number}", plan_id=plan, status=status, reason=reason)
        add_instance(tx, "gone", plan_id=plan, status="PENDING", reason=said, deleted=True)
        assert plans.counts(tx, [plan])[plan]["waiting for quota"] == 2


def test_counts_of_plans_by_status_with_their_cameras(store: Store) -> None:
    with store.write() as tx:
        one, two, empty = add_plan(tx), add_plan(tx), add_plan(tx)
        for number, (plan, status, camera, deleted) in enumerate(
            [
                (one, "RUNNING", "c1", False),
                (one, "RUNNING", "c1", False),
                (one, "ERROR", "c2", False),
                (one, "PENDING", "", False),
                (one, "RUNNING", "c3", True),
                (two, "PAUSED", "rtsp://10.0.0.9/a", False),
                (two, "PAUSED", "rtsp://10.0.0.9/a", False),
                (two, "PAUSED", "rtsp://10.0.0.9/b", False),
                (two, "PAUSED", "c1", False),
                (two, "PAUSED", "", False),
            ]
        ):
            where = {"stream_device_id": camera}
            if camera.startswith("rtsp:"):
                where = {"info": {"StreamOptions": {"VideoStreamOptions": {"Url": camera}}}}
            add_instance(tx, f"i{number}", plan_id=plan, status=status, deleted=deleted, **where)
        found = plans.counts(tx, [one, two, empty])
        assert plans.counts(tx, []) == {}
    assert found[one] == {
        "PENDING": 1, "ERROR": 1, "RUNNING": 2, "PAUSED": 0, "FINISHED": 0, "devices": 2, "waiting for quota": 0
    }  # fmt: skip
    assert (found[two]["PAUSED"], found[two]["devices"]) == (5, 3), (
        "a stream without a code counts by its Url"
    )
    assert set(found[empty].values()) == {0}


# --- instances ---------------------------------------------------------------------------------------


def test_an_instance_is_found_by_its_id_and_its_number(store: Store) -> None:
    with store.write() as tx:
        number = add_instance(tx, "11111111-2222-4333-8444-555555555555")
        for key in ("11111111-2222-4333-8444-555555555555", str(number)):
            row = plans.instance(tx, key)
            assert row is not None
            assert row["number"] == number
        for key in ("", "none", str(number + 1), "9" * 40, "-1", "1.0", "²", "٣"):
            assert plans.instance(tx, key) is None


def test_a_deleted_instance_is_only_found_for_its_late_results(store: Store) -> None:
    with store.write() as tx:
        number = add_instance(tx, "i1", deleted=True)
        assert plans.instance(tx, "i1") is None
        assert plans.instance(tx, str(number)) is None
        assert plans.any_instance(tx, "i1") is not None
        plans.drop_instance(tx, "i1")
        assert plans.any_instance(tx, "i1") is None
        assert tx.rows(InstanceEvent.select()) == []
        assert add_instance(tx, "i2") > number


def test_events_are_replaced_as_a_whole(store: Store) -> None:
    def events(tx: Tx) -> list[tuple[str, str]]:
        return [(row["event_id"], row["capability"]) for row in tx.rows(InstanceEvent.select())]

    with store.write() as tx:
        number = add_instance(tx, "i1", events=[("INTRUSION", ""), ("CLIMB", "B")])
        assert events(tx) == [("INTRUSION", ""), ("CLIMB", "B")]
        plans.set_events(tx, number, [("FALL", "C")])
        assert events(tx) == [("FALL", "C")]


def test_many_instances_are_changed_by_condition(store: Store) -> None:
    with store.write() as tx:
        for name, plan in (("i1", 1), ("i2", 1), ("i3", 2)):
            add_instance(tx, name, plan_id=plan)
        assert plans.change_instances(tx, Instance.plan_id == 1, on=False) == 2
        plans.change_instance(tx, "i3", status="ERROR", reason="no stream")
        rows = {row.id: row for row in plans.instances(tx)}
        assert [rows[name].on for name in ("i1", "i2", "i3")] == [False, False, True]
        assert (rows["i3"].status, rows["i3"].reason) == ("ERROR", "no stream")
        assert [row.id for row in plans.instances(tx, Instance.on == True)] == ["i3"]  # noqa: E712


# --- places ----------------------------------------------------------------------------------------------


def test_the_present_place_is_the_newest_that_is_not_to_go(store: Store) -> None:
    with store.write() as tx:
        add_task(tx, "i1", device="d1")
        second = add_task(tx, "i1", device="d2")
        add_task(tx, "i1", device="d3", wanted="gone")
        add_task(tx, "i2", wanted="gone")
        place = plans.place_of(tx, "i1")
        assert place is not None
        assert (place.task, place.device) == (second, "d2")
        assert plans.place_of(tx, "i2") is None


def test_an_instance_is_shown_as_it_was_given_with_its_state_its_plan_and_its_place(store: Store) -> None:
    given = {"RulesParams": [{"EventID": "\u95ef\u5165", "Threshold": 0.5}], "Big": 2**62, "On": True}
    with store.write() as tx:
        number = add_plan(tx)
        plans.change_plan(tx, number, name="night \u591c")
        add_instance(tx, "bare", info=given, plan_id=None)
        add_instance(
            tx, "pinned", info={}, plan_id=number, device="p" * 20, service_id="s1", reason="it waits"
        )
        add_instance(
            tx, "placed", info={}, plan_id=number, device="p" * 20, service_id="s1", status="RUNNING"
        )
        add_load(tx, "l1", service_id="s2")
        add_task(tx, "placed", device="d1", load_id="l1")
        add_task(tx, "placed", device="d2", wanted="gone")
    with store.read() as tx:
        shown = [plans.shown(tx, one) for one in ("bare", "pinned", "placed")]
        bare, pinned, placed = shown
        assert {name: bare[name] for name in given} == given
        assert bare.keys() - given.keys() == {"ID", "Number", "Status", "RestartPolicy"}
        assert (pinned["TaskID"], pinned["TaskName"], pinned["Reason"]) == (
            number,
            "night \u591c",
            "it waits",
        )
        assert (pinned["ComputilityCode"], pinned["AlgoServiceID"]) == ("p" * 20, "s1")
        assert (placed["ComputilityCode"], placed["AlgoServiceID"], placed["Status"]) == (
            "d1",
            "s2",
            "RUNNING",
        )
        page = packed_page_of(tx, Instance, plans.SHOWN, [Instance.number > 0], Page(), {}, Instance.number)
        assert (msgspec.json.decode(page[0]), page[1]) == (shown, 3)
        none = packed_page_of(tx, Instance, plans.SHOWN, [Instance.id == "x"], Page(), {}, Instance.number)
        assert (bytes(none[0]), none[1]) == (b"[]", 0)


def test_a_task_row_is_never_given_its_number_again(store: Store) -> None:
    with store.write() as tx:
        first = add_task(tx)
        plans.change_task(tx, first, status="RUNNING")
        found = plans.task(tx, first)
        assert found is not None
        assert found.status == "RUNNING"
        plans.drop_task(tx, first)
        assert plans.task(tx, first) is None
        assert add_task(tx) > first


DONE = {"sent": True, "task_id": "t1", "status": "RUNNING"}


@pytest.mark.parametrize(
    ("more", "unsettled"),
    [
        (DONE, False),
        ({**DONE, "status": "PENDING"}, False),
        ({**DONE, "status": "FINISHED"}, False),
        ({**DONE, "status": "PAUSED"}, True),
        ({**DONE, "status": "ERROR"}, True),
        ({**DONE, "task_id": ""}, True),
        ({**DONE, "sent": False}, True),
        ({**DONE, "wanted": "gone"}, True),
        ({**DONE, "revision": 1}, True),
        ({**DONE, "wanted": "paused"}, True),
        ({**DONE, "wanted": "paused", "status": "PAUSED"}, False),
        ({**DONE, "wanted": "paused", "status": "FINISHED"}, False),
    ],
)
def test_which_tasks_are_unsettled(store: Store, more: dict[str, Any], unsettled: bool) -> None:
    with store.write() as tx:
        add_instance(tx, "i1", restart_policy="ALWAYS")
        row_id = add_task(tx, "i1", **more)
        found = list(plans.unsettled_tasks(tx))
        assert [task.id for task, _ in found] == ([row_id] if unsettled else [])
        assert all(wanted == 0 for _, wanted in found)
        [alone] = plans.wished_task(tx, row_id)
        assert [alone] == found or not unsettled
        assert list(plans.wished_task(tx, row_id + 1)) == []


def test_a_task_whose_instance_was_dropped_is_still_seen(store: Store) -> None:
    with store.write() as tx:
        row_id = add_task(tx, "nobody", wanted="gone", sent=True)
        [(task, wanted)] = plans.unsettled_tasks(tx)
        assert (task.id, wanted) == (row_id, None)
        assert list(plans.wished_task(tx, row_id)) == [(task, None)]


def test_what_has_to_go_is_told_by_instance_and_computility(store: Store) -> None:
    with store.write() as tx:
        going = {"wanted": "gone", "sent": True}
        first, second = add_task(tx, "i1", **going), add_task(tx, "i1", **going)
        elsewhere, other = add_task(tx, "i1", device=OTHER, **going), add_task(tx, "i2", **going)
        add_task(tx, "i1", wanted="gone", sent=False)  # never was there
        add_task(tx, "i1", wanted="running", sent=True)
        of_one = [plans.Leaver(*one, False) for one in ((first, CODE), (second, CODE), (elsewhere, OTHER))]
        assert plans.leaving(tx, "i1") == {"i1": of_one}
        assert plans.leaving(tx) == {"i1": of_one, "i2": [plans.Leaver(other, CODE, False)]}
        assert plans.leaving(tx, "nobody") == {}


def test_another_row_that_holds_the_same_task_is_found(store: Store) -> None:
    with store.write() as tx:
        mine = add_task(tx, "i1", sent=True, task_id="t1")
        assert plans.holds(tx, CODE, "t1", but=mine) is False
        other = add_task(tx, "i2", sent=True, task_id="t1")
        assert plans.holds(tx, CODE, "t1", but=mine) is True
        assert plans.holds(tx, OTHER, "t1", but=mine) is False
        assert plans.holds(tx, CODE, "t2", but=other) is False


def test_instances_that_are_to_run_and_have_no_place(store: Store) -> None:
    with store.write() as tx:
        add_instance(tx, "placed")
        add_task(tx, "placed", wanted="paused")
        add_instance(tx, "leaving")
        add_task(tx, "leaving", wanted="gone", sent=True)
        add_instance(tx, "off", on=False)
        add_instance(tx, "deleted", deleted=True)
        add_instance(tx, "new")
        assert [row.id for row in plans.unplaced_instances(tx)] == ["leaving", "new"]


def test_where_tasks_are_starting_failing_or_direct(store: Store) -> None:
    with store.write() as tx:
        add_task(tx, device="d1", sent=True, status="PENDING")
        add_task(tx, device="d2", sent=False, status="PENDING")
        add_task(tx, device="d3", sent=True, status="PENDING", wanted="gone")
        failed = add_task(tx, device="d4", sent=True, status="ERROR")
        add_task(tx, device="d5", load_id=None)
        add_task(tx, device="d5", load_id=None, wanted="gone", sent=True)
        add_task(tx, device="d5", load_id=None, wanted="gone", sent=False)
        add_task(tx, device="d5", load_id=None, sent=True, status="FINISHED")  # its file has ended
        assert plans.starting_on(tx) == {"d1"}
        assert plans.failed_tasks(tx) == [failed]
        assert plans.streams_on_direct(tx) == {"d5": 2}


def test_tasks_of_one_device(store: Store) -> None:
    with store.write() as tx:
        add_task(tx, "i1")
        add_task(tx, "i2", device=OTHER, labels={"Version": "1"})
        assert [row.instance_id for row in plans.tasks(tx, Task.device == CODE)] == ["i1"]
        assert [row.labels for row in plans.tasks(tx)] == [None, {"Version": "1"}]


def test_a_place_given_is_a_task_that_is_to_run(store: Store) -> None:
    """The literal statement says what the table's defaults say."""
    place = Place(CODE, "load-1", {"AlgoCaBinName": "human"}, ("A", "B"), "placed there")
    with store.write() as tx:
        plans.give_place(tx, "i1", place, 7, NOW)
        plans.add_task(
            tx, instance_id="i1", device=CODE, load_id="load-1", labels=place.labels, capabilities=["A", "B"],
            why="placed there", replaces=7, created_ms=NOW, changed_ms=NOW,
        )  # fmt: skip
        given, added = tx.rows(Task.select().order_by(Task.id))
    assert {**given, "id": 0} == {**added, "id": 0}


GOING = {"wanted": "gone", "sent": True, "status": "RUNNING"}


@pytest.mark.parametrize(
    ("other", "device", "first"),
    [
        (GOING, {}, True),
        ({**GOING, "status": "PENDING"}, {}, True),
        ({**GOING, "status": "PAUSED"}, {}, False),
        ({**GOING, "sent": False}, {}, False),
        ({**GOING, "wanted": "running"}, {}, False),
        (GOING, {"state": "lost"}, False),
        (GOING, {"state": "unreachable"}, False),
        (GOING, {"enabled": False}, False),
        ({**GOING, "instance_id": "instance-2"}, {}, False),
        ({**GOING, "status": "PAUSED", "device": CODE}, {"state": "lost"}, True),
    ],
)
def test_a_task_begins_when_the_one_before_it_has_gone_where_that_can_be_told(
    store: Store, other: dict[str, Any], device: dict[str, Any], first: bool
) -> None:
    with store.write() as tx:
        for code in (CODE, OTHER):
            add_device(tx, code, **device)
        task = plans.task(tx, add_task(tx))
        add_task(tx, **{"device": OTHER, **other})
    assert task is not None
    with store.read() as tx:
        leavers = plans.leaving(tx, task.instance_id).get(task.instance_id, [])
        assert any(one.is_before(task) for one in leavers) is first


def test_the_present_tasks_of_some_are_the_newest_that_are_not_to_go(store: Store) -> None:
    with store.write() as tx:
        add_task(tx, "i1")
        newest, other = add_task(tx, "i1"), add_task(tx, "i2")
        add_task(tx, "i1", wanted="gone")
        add_task(tx, "i3", wanted="gone")
        found = plans.present_tasks(tx, ["i1", "i2", "i3", "nobody"])
        assert {name: task.id for name, task in found.items()} == {"i1": newest, "i2": other}
        assert plans.present_tasks(tx, ["i2", "i3"]) == {"i2": found["i2"]}
        assert plans.present_tasks(tx, []) == {}


def test_unsettled_instances_come_whole_and_by_number(store: Store) -> None:
    with store.write() as tx:
        for name in ("b", "a", "c"):
            add_instance(tx, name, status="PENDING")
        plans.change_instance(tx, "a", deleted=True)
        assert list(plans.unsettled_instances(tx)) == [plans.instances(tx, Instance.id != "a")]
