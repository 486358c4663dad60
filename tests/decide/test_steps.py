"""Every rung of the ladder, and what must never be said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.steps import (
    DEVICE_SECONDS,
    LOOKS_BEFORE_REPEAT,
    RESUMES,
    Rung,
    next_for_copy,
    next_for_load,
    next_for_task,
)
from acsmpd.model import Device, Family
from tests.decide.rows import CODE, QUICK, copy, device, load, task

STATES = ("online", "unreachable", "suspect", "lost", "gone", "offline")
ONLINE = device()
LOOKING = "looking whether the device has created it"
SILENT = ("", "forget")

# --- package files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "in_use", "stale", "step", "why"),
    [
        ({"sent": False, "status": 1}, False, False, "push", ""),
        ({"sent": False, "status": 1}, True, False, "push", ""),
        ({"status": 1}, False, False, "", ""),  # the device is fetching it
        ({"status": 2}, False, False, "push", ""),  # it failed to
        ({"status": 1, "lacks_program": True}, True, False, "push_program", ""),
        ({"status": 1, "lacks_program": True}, False, True, "push", ""),
        ({"status": 1, "lacks_program": True, "missing": 2}, False, False, "push", ""),
        ({"status": 1, "lacks_program": True, "wanted": False}, False, False, "delete_copy", ""),
        (
            {"status": 1, "lacks_program": True, "parked": True},
            False,
            False,
            "",
            "refused; waits for a new wish",
        ),
        ({"status": 3, "lacks_program": True}, False, False, "", ""),
        ({"status": 3}, True, False, "", ""),
        ({"status": 3}, False, True, "push", ""),  # the platform holds another file by now
        ({"missing": 1}, False, False, "", ""),
        ({"missing": 2}, False, False, "push", ""),
        ({"parked": True, "sent": False}, False, False, "", "refused; waits for a new wish"),
        ({"wanted": False}, False, False, "delete_copy", ""),
        ({"wanted": False}, True, False, "", "a service of it is still loaded there"),
        ({"wanted": False, "missing": 2}, True, False, "", "a service of it is still loaded there"),
        ({"wanted": False, "missing": 2}, False, False, "forget", ""),
        ({"wanted": False, "sent": False}, False, False, "forget", ""),
        ({"wanted": False, "sent": False, "parked": True}, False, False, "forget", ""),
    ],
)
def test_the_rung_for_a_package_file(
    row: dict[str, Any], in_use: bool, stale: bool, step: str, why: str
) -> None:
    assert next_for_copy(copy(**row), ONLINE, in_use=in_use, stale=stale) == Rung(step, why)


# --- services ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "held", "tasks", "step", "why"),
    [
        ({"sent": False, "status": "INIT"}, copy(), 0, "load", ""),
        ({"sent": False, "status": "INIT"}, copy(status=1), 0, "load", ""),
        ({"sent": False}, None, 0, "", "the package file is not on the device yet"),
        (
            {"sent": False},
            copy(status=1, lacks_program=True),
            0,
            "",
            "the package is on the device, its executable is not yet",
        ),
        ({"sent": False}, copy(sent=False), 0, "", "the package file is not on the device yet"),
        ({"sent": False}, copy(missing=2), 0, "", "the package file is not on the device yet"),
        ({"sent": False}, copy(status=2, error="404"), 0, "", "the package file did not arrive: 404"),
        ({"status": "INIT"}, copy(), 0, "", ""),
        ({"status": "RUNNING"}, copy(), 3, "", ""),
        ({"status": "ERROR"}, copy(), 0, "load", ""),
        ({"status": "ERROR", "parked": True}, copy(), 0, "", "refused; waits for a new wish"),
        ({"status": "INIT", "missing": 1}, copy(), 0, "", ""),
        ({"status": "INIT", "missing": 2}, copy(), 0, "load", ""),
        ({"wanted": False, "sent": False}, None, 0, "forget", ""),
        ({"wanted": False}, copy(), 2, "", "2 tasks still run on it"),
        ({"wanted": False}, copy(), 0, "unload", ""),
        ({"wanted": False, "missing": 2}, copy(), 0, "forget", ""),
        ({"wanted": False, "missing": 2}, copy(), 1, "", "1 tasks still run on it"),
    ],
)
def test_the_rung_for_a_service(row: dict[str, Any], held: Any, tasks: int, step: str, why: str) -> None:
    assert next_for_load(load(**row), held, ONLINE, tasks=tasks) == Rung(step, why)


@pytest.mark.parametrize(
    ("family", "step"), [("cad", ""), ("edge", ""), ("local", "load"), ("cap", "load"), ("ccp", "load")]
)
def test_where_a_package_has_one_service_the_new_one_waits_for_the_old(family: str, step: str) -> None:
    there = device(family=Family(family))
    rung = next_for_load(load(sent=False, status="INIT"), copy(), there, tasks=0, leaving=True)
    assert rung.step == step
    assert rung.why == ("" if step else "the old one is being unloaded first")


def test_the_old_service_itself_does_not_wait() -> None:
    assert next_for_load(load(wanted=False), copy(), ONLINE, tasks=0, leaving=True).step == "unload"


# --- tasks -------------------------------------------------------------------------------------------

RUNNING_LOAD = load()


@pytest.mark.parametrize(
    ("row", "on", "step", "why"),
    [
        ({"sent": False, "task_id": ""}, RUNNING_LOAD, "create_task", ""),
        ({"sent": False, "task_id": "", "load_id": None}, None, "create_task", ""),
        ({"sent": False, "task_id": ""}, load(status="INIT"), "", "its service is not running yet"),
        (
            {"sent": False, "task_id": ""},
            load(status="ERROR", error="no card"),
            "",
            "its service is not running yet: no card",
        ),
        ({"sent": False, "task_id": ""}, None, "", "its service is not running yet"),
        ({"sent": False, "task_id": "", "wanted": "paused"}, RUNNING_LOAD, "", ""),
        ({"sent": False, "task_id": "", "wanted": "gone"}, RUNNING_LOAD, "forget", ""),
        ({"status": "RUNNING"}, RUNNING_LOAD, "", ""),
        ({"status": "PENDING"}, RUNNING_LOAD, "", ""),
        ({"status": "FINISHED"}, RUNNING_LOAD, "", ""),
        ({"status": "PAUSED"}, RUNNING_LOAD, "resume_task", ""),
        ({"status": "RUNNING", "wanted": "paused"}, RUNNING_LOAD, "pause_task", ""),
        ({"status": "PENDING", "wanted": "paused"}, RUNNING_LOAD, "pause_task", ""),
        ({"status": "PAUSED", "wanted": "paused"}, RUNNING_LOAD, "", ""),
        ({"status": "FINISHED", "wanted": "paused"}, RUNNING_LOAD, "", ""),
        ({"status": "ERROR", "wanted": "paused"}, RUNNING_LOAD, "delete_task", "it failed and is not wanted now"),
        ({"wanted": "gone"}, RUNNING_LOAD, "delete_task", ""),
        ({"wanted": "gone", "status": "ERROR"}, None, "delete_task", ""),
        ({"task_id": "", "missing": 0}, RUNNING_LOAD, "", LOOKING),
        ({"task_id": "", "missing": 1}, RUNNING_LOAD, "", LOOKING),
        ({"task_id": "", "missing": 2}, RUNNING_LOAD, "create_task", ""),
        ({"task_id": "", "missing": 2}, load(status="INIT"), "", "its service is not running yet"),
        ({"task_id": "", "missing": 2, "wanted": "gone"}, RUNNING_LOAD, "forget", ""),
        ({"task_id": "", "missing": 2, "wanted": "paused"}, RUNNING_LOAD, "forget", ""),
        ({"task_id": "", "missing": 1, "wanted": "gone"}, RUNNING_LOAD, "", LOOKING),
        ({"parked": True}, RUNNING_LOAD, "", "refused; waits for a new wish"),
    ],
)  # fmt: skip
def test_the_rung_for_a_task(row: dict[str, Any], on: Any, step: str, why: str) -> None:
    assert next_for_task(task(**row), on, ONLINE, revision=0) == Rung(step, why)


@pytest.mark.parametrize(
    ("policy", "status", "step"),
    [
        ("ALWAYS", "RUNNING", "update_task"),
        ("ALWAYS", "PAUSED", "update_task"),
        ("NEVER", "PAUSED", "update_task"),
        ("NEVER", "RUNNING", "pause_task"),
        ("NEVER", "PENDING", "pause_task"),
        ("", "RUNNING", "pause_task"),  # a policy nobody remembers is taken for the careful one
        ("NEVER", "FINISHED", "delete_task"),
    ],
)
def test_a_changed_instance_is_brought_to_the_device(policy: str, status: str, step: str) -> None:
    assert next_for_task(task(policy=policy, status=status), RUNNING_LOAD, ONLINE, revision=1).step == step


@pytest.mark.parametrize(
    ("policy", "seconds", "step"),
    [
        ("ALWAYS", DEVICE_SECONDS, "resume_task"),
        ("ALWAYS", DEVICE_SECONDS - 0.1, ""),
        ("NEVER", 10 * DEVICE_SECONDS, ""),
    ],
)
def test_a_failed_task_is_the_devices_own_affair_for_a_minute(policy: str, seconds: float, step: str) -> None:
    failed = task(status="ERROR", policy=policy)
    assert next_for_task(failed, RUNNING_LOAD, ONLINE, revision=0, failed_seconds=seconds).step == step


# --- what holds for all of them ------------------------------------------------------------------------

flags, few = st.booleans(), st.integers(0, 4)
copies = st.builds(
    copy, wanted=flags, sent=flags, parked=flags, missing=few, status=st.sampled_from([1, 2, 3])
)
loads = st.builds(
    load,
    wanted=flags, sent=flags, parked=flags, missing=few,
    status=st.sampled_from(["INIT", "RUNNING", "ERROR", "OVERLOAD", "UNSPECIFIED"]),
)  # fmt: skip
tasks = st.builds(
    task,
    wanted=st.sampled_from(["running", "paused", "gone"]), sent=flags, parked=flags, missing=few,
    task_id=st.sampled_from(["", "t1"]), load_id=st.sampled_from([None, "load-1"]), revision=few,
    status=st.sampled_from(["PENDING", "RUNNING", "PAUSED", "FINISHED", "ERROR"]),
    policy=st.sampled_from(["ALWAYS", "NEVER", ""]),
)  # fmt: skip
devices = st.none() | st.builds(
    device,
    state=st.sampled_from(STATES), enabled=flags, approved=flags, maintenance=flags,
    family=st.sampled_from(list(Family)),
)  # fmt: skip


def rungs(data: st.DataObject, where: Device | None) -> list[Rung]:
    file, service, one = data.draw(copies), data.draw(loads), data.draw(tasks)
    seconds = data.draw(st.floats(0, 1000))
    on = data.draw(st.none() | st.just(service))
    return [
        next_for_copy(file, where, in_use=data.draw(flags), stale=data.draw(flags)),
        next_for_load(service, file, where, tasks=data.draw(few), leaving=data.draw(flags)),
        next_for_task(one, on, where, revision=data.draw(few), failed_seconds=seconds),
    ]


@QUICK
@given(data=st.data(), where=devices)
def test_nothing_is_sent_to_a_computility_that_is_not_there(
    data: st.DataObject, where: Device | None
) -> None:
    if where is not None and where.takes_steps:
        where = device(state="suspect")
    for rung in rungs(data, where):
        assert rung.step in SILENT


@QUICK
@given(file=copies, service=loads, one=tasks, where=devices)
def test_what_is_not_wanted_and_was_never_sent_is_forgotten_wherever_it_is(
    file: Any, service: Any, one: Any, where: Device | None
) -> None:
    rungs = [
        next_for_copy(file, where, in_use=False, stale=False) if not (file.wanted or file.sent) else None,
        next_for_load(service, file, where, tasks=0) if not (service.wanted or service.sent) else None,
        next_for_task(one, service, where, revision=0) if one.wanted == "gone" and not one.sent else None,
    ]
    assert {rung.step for rung in rungs if rung is not None} <= {"forget"}


@QUICK
@given(one=tasks, service=st.none() | loads, where=devices, revision=few, seconds=st.floats(0, 1e6))
def test_an_unknown_create_is_not_repeated_before_two_complete_listings_lack_it(
    one: Any, service: Any, where: Device | None, revision: int, seconds: float
) -> None:
    rung = next_for_task(one, service, where, revision=revision, failed_seconds=seconds)
    if one.sent and not one.task_id and one.missing < LOOKS_BEFORE_REPEAT:
        assert rung.step == ""
    if rung.step == "create_task":
        assert one.wanted == "running"
        assert not one.sent or one.missing >= LOOKS_BEFORE_REPEAT


@QUICK
@given(one=tasks, service=st.none() | loads, where=devices, revision=few)
def test_what_was_sent_is_not_forgotten_while_the_device_may_have_it(
    one: Any, service: Any, where: Device | None, revision: int
) -> None:
    if next_for_task(one, service, where, revision=revision).step == "forget":
        assert not one.sent or (not one.task_id and one.missing >= LOOKS_BEFORE_REPEAT)


@QUICK
@given(service=loads, file=st.none() | copies, where=devices, carried=st.integers(1, 5))
def test_a_service_with_tasks_on_it_is_neither_unloaded_nor_forgotten(
    service: Any, file: Any, where: Device | None, carried: int
) -> None:
    rung = next_for_load(service, file, where, tasks=carried)
    assert rung.step in ("", "load") or not service.sent


@QUICK
@given(one=tasks)
def test_a_refused_subject_waits_for_a_new_wish(one: Any) -> None:
    paused = one.wanted == "running" and one.status == "PAUSED" and one.revision != 0
    if one.parked and (one.sent or one.wanted != "gone") and not paused:
        assert next_for_task(one, load(), ONLINE, revision=0) == Rung("", "refused; waits for a new wish")


@pytest.mark.parametrize(
    ("more", "step"),
    [
        ({}, "resume_task"),
        ({"attempts": RESUMES}, ""),
        ({"task_id": ""}, ""),
        ({"status": "RUNNING"}, ""),
        ({"wanted": "paused"}, ""),
        ({"revision": 0}, ""),
        ({"sent": False}, ""),
    ],
)
def test_a_task_paused_for_a_change_that_was_refused_goes_on(more: dict[str, Any], step: str) -> None:
    one = task(**{"parked": True, "status": "PAUSED", "revision": -1, **more})
    assert next_for_task(one, load(), ONLINE, revision=0).step == step
    assert next_for_task(one, load(), device(state="lost"), revision=0).step == ""


@pytest.mark.parametrize("state", STATES[1:])
def test_the_reason_names_the_computility_and_its_state(state: str) -> None:
    rung = next_for_load(load(sent=False), copy(), device(state=state), tasks=0)
    assert rung == Rung("", f"computility {CODE} is {state}")


def test_an_unknown_computility_is_named_as_such() -> None:
    assert next_for_load(load(), copy(), None, tasks=0) == Rung("", "the computility is not known")


# --- what is not ours --------------------------------------------------------------------------------------


@QUICK
@given(
    status=st.sampled_from((1, 2, 3)), missing=st.integers(0, 3), in_use=st.booleans(), stale=st.booleans(),
    wanted=st.booleans(), parked=st.booleans(),
)  # fmt: skip
def test_nothing_is_done_to_a_foreign_file(
    status: int, missing: int, in_use: bool, stale: bool, wanted: bool, parked: bool
) -> None:
    row = copy(ours=False, status=status, missing=missing, wanted=wanted, parked=parked)
    assert next_for_copy(row, ONLINE, in_use=in_use, stale=stale).step == ""


@QUICK
@given(
    status=st.sampled_from(("INIT", "RUNNING", "OVERLOAD", "ERROR")), missing=st.integers(0, 3),
    tasks=st.integers(0, 2), leaving=st.booleans(),
)  # fmt: skip
def test_nothing_is_done_to_a_foreign_service(status: str, missing: int, tasks: int, leaving: bool) -> None:
    row = load(ours=False, status=status, missing=missing)
    assert next_for_load(row, copy(), ONLINE, tasks=tasks, leaving=leaving).step == ""


def test_one_that_is_gone_is_forgotten_after_our_tasks_on_it() -> None:
    row = load(ours=False, wanted=False, sent=False, status="ERROR")
    assert next_for_load(row, None, ONLINE, tasks=1).step == ""
    assert next_for_load(row, None, None, tasks=0).step == "forget"
