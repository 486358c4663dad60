"""Where steps are performed: bounded, one for a key, nothing queued but the last plan, nothing leaked."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acsmpd.engine.lanes import Job, Lanes
from tests.support.wait import wait_until


class Gate:
    """Jobs that wait until they are let go, and the most that ran at once."""

    def __init__(self) -> None:
        self.open, self.lock = threading.Event(), threading.Lock()
        self.now, self.most, self.ran = 0, 0, list[str]()

    def job(self, name: str = "") -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.open.wait(20)
        with self.lock:
            self.now -= 1
            self.ran.append(name)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


def make(number: int, per_device: int, gate: Gate, woken: list[int] | None = None) -> Lanes:
    done = woken if woken is not None else []
    return Lanes("test", number, per_device, lambda: done.append(1))


def test_at_most_so_many_at_once_and_the_rest_is_not_taken(gate: Gate) -> None:
    lanes = make(3, 3, gate)
    taken = [lanes.take(f"k{n}", f"d{n}", gate.job) for n in range(5)]
    assert taken == [True, True, True, False, False]
    assert lanes.free == 0
    gate.open.set()
    lanes.close()
    assert (gate.most, lanes.free) == (3, 3)


def test_at_most_so_many_for_one_device(gate: Gate) -> None:
    lanes = make(8, 2, gate)
    assert [lanes.take(f"k{n}", "d1", gate.job) for n in range(3)] == [True, True, False]
    assert lanes.take("other", "d2", gate.job) is True
    gate.open.set()
    wait_until(lambda: lanes.free == 8)
    assert lanes.take("k9", "d1", gate.job) is True
    lanes.close()


def test_one_job_for_a_key(gate: Gate) -> None:
    lanes = make(8, 8, gate)
    assert lanes.take("k", "d1", gate.job) is True
    assert lanes.busy("k") is True
    assert lanes.take("k", "d2", gate.job) is False
    assert lanes.busy("other") is False
    gate.open.set()
    wait_until(lambda: not lanes.busy("k"))
    assert lanes.take("k", "d2", gate.job) is True
    lanes.close()


def test_a_raising_job_frees_its_place_is_logged_and_does_not_wake_the_loop(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that is full would else have the loop spin on writes that cannot succeed."""
    woken: list[int] = []
    lanes = make(1, 1, gate, woken)

    def fails() -> None:
        raise ZeroDivisionError("by a test")

    with caplog.at_level(logging.ERROR):
        assert lanes.take("k", "d1", fails) is True
        wait_until(lambda: lanes.free == 1)
    [record] = caplog.records
    assert (record.getMessage(), record.device, record.subject) == ("a lane failed", "d1", "k")  # type: ignore[attr-defined]
    assert record.exc_info is not None
    assert woken == []
    assert lanes.take("k", "d1", lambda: None) is True
    lanes.close()
    assert woken == [1]


def test_the_loop_is_woken_after_the_place_is_free() -> None:
    free: list[int] = []
    lanes = Lanes("test", 1, 1, lambda: free.append(lanes.free))
    lanes.take("k", "d1", lambda: None)
    lanes.close()
    assert free == [1]


def test_close_waits_for_what_runs_and_takes_nothing_more(gate: Gate) -> None:
    lanes = make(2, 2, gate)
    lanes.take("k", "d1", lambda: gate.job("k"))
    closing = threading.Thread(target=lanes.close)
    closing.start()
    wait_until(lambda: not lanes.take("late", "d1", lambda: gate.job("late")) or gate.open.set())
    closing.join(0.05)
    assert closing.is_alive()
    gate.open.set()
    closing.join(20)
    assert not closing.is_alive()
    assert "k" in gate.ran
    assert lanes.take("later", "d1", gate.job) is False
    lanes.close()  # twice is fine


@settings(max_examples=20, deadline=None)
@given(
    number=st.integers(1, 5), per_device=st.integers(1, 3),
    jobs=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=12),
)  # fmt: skip
def test_the_bounds_hold_whatever_is_asked(number: int, per_device: int, jobs: list[tuple[int, int]]) -> None:
    gate = Gate()
    lanes = make(number, per_device, gate)
    taken: list[tuple[int, int]] = []
    for key, device in jobs:
        fits = len(taken) < number and sum(one[1] == device for one in taken) < per_device
        expected = fits and key not in [one[0] for one in taken]
        assert lanes.take(f"k{key}", f"d{device}", gate.job) is expected
        taken += [(key, device)] if expected else []
    assert lanes.free == number - len(taken)
    gate.open.set()
    lanes.close()
    assert lanes.free == number
    assert gate.most <= number


# --- what is planned ----------------------------------------------------------------------------------------


def jobs(gate: Gate, *keys: str) -> list[Job]:
    """Jobs "device/name"."""
    return [Job(key, key.split("/")[0], lambda key=key: gate.job(key)) for key in keys]  # type: ignore[misc]


def test_what_is_planned_is_begun_as_lanes_become_free(gate: Gate) -> None:
    woken: list[int] = []
    lanes = make(2, 1, gate, woken)
    lanes.plan(jobs(gate, "a/1", "a/2", "a/3", "b/1", "c/1"))
    assert (lanes.free, lanes.busy("a/1"), lanes.busy("b/1"), lanes.busy("a/2")) == (0, True, True, False)
    gate.open.set()
    wait_until(lambda: len(gate.ran) == 5)
    lanes.close()
    assert sorted(gate.ran) == ["a/1", "a/2", "a/3", "b/1", "c/1"]
    assert (gate.most, lanes.free, woken) == (2, 2, [1] * 5)


def test_devices_take_turns(gate: Gate) -> None:
    lanes = make(1, 1, gate)
    lanes.plan(jobs(gate, "a/1", "a/2", "a/3", "b/1", "b/2", "c/1"))
    gate.open.set()
    wait_until(lambda: len(gate.ran) == 6)
    assert gate.ran == ["a/1", "b/1", "c/1", "a/2", "b/2", "a/3"]
    lanes.close()


def test_a_new_plan_replaces_what_has_not_begun(gate: Gate) -> None:
    lanes = make(1, 1, gate)
    lanes.plan(jobs(gate, "a/1", "a/2"))
    lanes.plan(jobs(gate, "a/1", "b/2"))  # a/1 is under way: it is not begun beside itself
    gate.open.set()
    wait_until(lambda: len(gate.ran) == 3)
    assert sorted(gate.ran) == ["a/1", "a/1", "b/2"]
    lanes.plan([])
    lanes.close()


def test_after_a_failure_nothing_planned_is_begun(gate: Gate, caplog: pytest.LogCaptureFixture) -> None:
    """A thousand planned jobs on a full disk are one line in the log, not a thousand at once."""
    lanes = make(1, 1, gate)

    def fails() -> None:
        raise ZeroDivisionError("by a test")

    with caplog.at_level(logging.ERROR):
        lanes.plan([Job(f"a/{number}", "a", fails) for number in range(50)])
        wait_until(lambda: lanes.free == 1)
        lanes.close()
    assert [record.getMessage() for record in caplog.records] == ["a lane failed"]


def test_close_begins_nothing_that_is_planned(gate: Gate) -> None:
    lanes = make(1, 1, gate)
    lanes.plan(jobs(gate, "a/1", "a/2"))
    closing = threading.Thread(target=lanes.close)
    closing.start()
    wait_until(lambda: not lanes.take("late", "d1", lambda: None) and not lanes._open)
    gate.open.set()
    closing.join(20)
    assert gate.ran == ["a/1"]
    lanes.plan(jobs(gate, "a/3"))
    assert lanes.free == 1


@settings(max_examples=20, deadline=None)
@given(
    number=st.integers(1, 4), per_device=st.integers(1, 3),
    wanted=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), max_size=20, unique=True),
)  # fmt: skip
def test_all_that_is_planned_is_done_once_and_within_the_bounds(
    number: int, per_device: int, wanted: list[tuple[int, int]]
) -> None:
    gate, lock, now, most = Gate(), threading.Lock(), Counter[str](), Counter[str]()
    lanes = make(number, per_device, gate)
    gate.open.set()

    def work(device: str, key: str) -> None:
        with lock:
            now[device] += 1
            most[device] = max(most[device], now[device])
        gate.job(key)
        with lock:
            now[device] -= 1

    lanes.plan(
        Job(f"{device}/{name}", f"{device}", partial(work, f"{device}", f"{device}/{name}"))
        for device, name in wanted
    )
    wait_until(lambda: len(gate.ran) == len(wanted))
    lanes.close()
    assert sorted(gate.ran) == sorted(f"{device}/{name}" for device, name in wanted)
    assert gate.most <= number
    assert max(most.values(), default=0) <= per_device
