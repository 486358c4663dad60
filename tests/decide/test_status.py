"""What an instance is said to be, from wish, place and device."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.status import Status, instance_status
from acsmpd.model import Device, TaskRow
from tests.decide.rows import CODE, QUICK, device, instance, task

ON = instance()


@pytest.mark.parametrize(
    ("status", "place", "said"),
    [
        ("RUNNING", None, Status("PAUSED")),
        ("FINISHED", None, Status("FINISHED")),
        ("RUNNING", task(), Status("RUNNING", "being stopped")),
        ("RUNNING", task(sent=False), Status("PAUSED")),
        ("ERROR", task(status="ERROR"), Status("PAUSED")),
        ("RUNNING", task(status="PAUSED"), Status("PAUSED")),
    ],
)
def test_an_instance_that_is_not_wanted_now(status: str, place: TaskRow | None, said: Status) -> None:
    assert instance_status(instance(on=False, status=status), place, device()) == said


def test_one_whose_task_is_about_to_be_deleted_runs_until_it_is() -> None:
    off = instance(on=False, status="RUNNING")
    assert instance_status(off, None, None, going=True) == Status("RUNNING", "being taken off its device")
    assert instance_status(off, None, None, going=True, failed="busy") == Status("ERROR", "busy")
    assert instance_status(ON, None, None, going=True) == Status("PENDING", "waiting for a place")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ({}, Status("RUNNING")),
        ({"reason": "2 frames lost"}, Status("RUNNING", "2 frames lost")),
        ({"status": "FINISHED"}, Status("FINISHED")),
        ({"status": "ERROR", "reason": "no stream"}, Status("ERROR", "no stream")),
        ({"status": "PENDING"}, Status("PENDING")),
        ({"status": "PAUSED"}, Status("PENDING", "being started")),
        ({"status": "PAUSED", "reason": "busy"}, Status("PENDING", "busy")),
        ({"sent": False, "status": "RUNNING"}, Status("PENDING")),
        ({"sent": False, "reason": "cannot connect"}, Status("PENDING", "cannot connect")),
        ({"parked": True, "reason": "refused"}, Status("ERROR", "refused")),
    ],
)
def test_an_instance_with_a_place(place: dict[str, Any], said: Status) -> None:
    assert instance_status(ON, task(**place), device()) == said


def test_an_instance_without_a_place_says_what_it_waits_for() -> None:
    assert instance_status(ON, None, None, waiting="no service") == Status("PENDING", "no service")
    assert instance_status(ON, None, None) == Status("PENDING", "waiting for a place")


@pytest.mark.parametrize("state", ["lost", "gone"])
def test_lost_without_another_place_is_an_error(state: str) -> None:
    said = instance_status(ON, task(), device(state=state))
    assert said == Status("ERROR", f"computility {CODE} is {state}; no other place")
    full = instance_status(ON, task(), device(state=state), waiting="all streams are taken")
    assert full.reason == f"computility {CODE} is {state}; all streams are taken"


@pytest.mark.parametrize("state", ["lost", "gone"])
def test_what_has_finished_stays_so_on_a_lost_computility(state: str) -> None:
    said = instance_status(ON, task(status="FINISHED"), device(state=state))
    assert said == Status("FINISHED", f"last known: computility {CODE} is {state}")
    assert instance_status(ON, task(status="FINISHED", sent=False), device(state=state)).status == "ERROR"


def test_lost_with_a_move_to_come_is_pending() -> None:
    said = instance_status(ON, task(), device(state="lost"), waiting="it moves soon", moving=True)
    assert said == Status("PENDING", f"computility {CODE} is lost; it moves soon")


@pytest.mark.parametrize("state", ["unreachable", "suspect", "offline"])
@pytest.mark.parametrize("status", ["RUNNING", "ERROR", "FINISHED", "PENDING"])
def test_while_a_computility_cannot_be_observed_the_last_status_stays(state: str, status: str) -> None:
    said = instance_status(ON, task(status=status, reason="old"), device(state=state))
    assert said == Status(status, f"last known: computility {CODE} is {state}")


@QUICK
@given(
    on=st.booleans(),
    place=st.none()
    | st.builds(
        task,
        status=st.sampled_from(["PENDING", "RUNNING", "PAUSED", "FINISHED", "ERROR"]),
        sent=st.booleans(), parked=st.booleans(), wanted=st.sampled_from(["running", "paused"]),
    ),
    where=st.none() | st.builds(device, state=st.sampled_from(["online", "unreachable", "lost", "gone"])),
    before=st.sampled_from(["PENDING", "RUNNING", "PAUSED", "FINISHED", "ERROR"]),
)  # fmt: skip
def test_running_is_only_said_of_what_was_observed_running(
    on: bool, place: TaskRow | None, where: Device | None, before: str
) -> None:
    said = instance_status(instance(on=on, status=before), place, where)
    assert said.status in ("PENDING", "RUNNING", "PAUSED", "FINISHED", "ERROR")
    if said.status == "RUNNING":
        assert place is not None
        assert (place.sent, place.status) == (True, "RUNNING")
    if on:
        assert said.status != "PAUSED"
