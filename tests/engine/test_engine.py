"""The loop: its managers in order, none starving the rest; started, woken, stopped."""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from acsmpd.clock import Moment
from acsmpd.engine.core import Retries
from acsmpd.engine.engine import Engine, rest_seconds
from acsmpd.engine.lanes import Lanes
from tests.engine.bench import BEGIN, Bench
from tests.support.wait import wait_until


class Duty:
    """A manager that notes when it was called, and may fail."""

    def __init__(
        self,
        seen: list[tuple[str, float]],
        name: str,
        error: Exception | None = None,
        every: float | None = None,
    ) -> None:
        self._seen, self._name, self._error, self._every = seen, name, error, every

    def ensure(self, now: Moment) -> float | None:
        self._seen.append((self._name, now.mono))
        if self._error is not None:
            raise self._error
        return None if self._every is None else now.mono + self._every


def engine(works: Bench, *duties: Duty, beats: list[int] | None = None) -> Engine:
    told = beats if beats is not None else []
    return Engine(works.core, duties, (works.steps, works.sights), lambda: told.append(1))


def test_managers_are_called_in_order_with_the_moment_given(works: Bench) -> None:
    seen: list[tuple[str, float]] = []
    one = engine(works, Duty(seen, "a"), Duty(seen, "b"))
    one.loop(BEGIN)
    one.loop(BEGIN.later(5))
    assert seen == [("a", 10_000.0), ("b", 10_000.0), ("a", 10_005.0), ("b", 10_005.0)]
    assert one.passes == 2


def test_a_failing_manager_is_logged_and_does_not_starve_the_rest(
    works: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[str, float]] = []
    one = engine(works, Duty(seen, "a"), Duty(seen, "b", ZeroDivisionError("by a test")), Duty(seen, "c"))
    with caplog.at_level(logging.ERROR):
        one.loop(BEGIN)
        one.loop(BEGIN)
    assert [name for name, _ in seen] == ["a", "b", "c"] * 2
    assert [record.getMessage() for record in caplog.records] == ["the duty Duty failed"] * 2
    assert caplog.records[0].exc_info is not None


def test_a_real_duty_that_fails_leaves_the_others_working(
    works: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    works.device()
    works.package()
    with works.store.write() as tx:
        tx.sql("UPDATE capability SET event_ids = 'no json'")  # placement cannot read it
    works.load()
    works.instance()
    works.run(6)
    assert works.the_load().status == "RUNNING"
    assert works.plant.told() == ["push", "load"]
    assert {record.getMessage() for record in caplog.records} == {"the duty Placement failed"}


def test_it_runs_when_woken_and_stops_when_told(works: Bench) -> None:
    seen: list[tuple[str, float]] = []
    beats: list[int] = []
    one = engine(works, Duty(seen, "a"), beats=beats)
    one.start()
    wait_until(lambda: len(beats) >= 1)
    before = one.passes
    works.core.wake()
    wait_until(lambda: one.passes > before)
    one.stop()
    assert not one._thread.is_alive()
    assert len(beats) >= one.passes - 1
    assert works.steps.take("k", "d", lambda: None) is False


def test_a_wake_that_comes_while_the_loop_looks_for_one_is_not_lost(works: Bench) -> None:
    class Late(threading.Event):
        """The wake comes in the moment after it was looked for."""

        def is_set(self) -> bool:
            found = super().is_set()
            if not woken:
                woken.append(True)
                self.set()
            return found

    woken: list[bool] = []
    object.__setattr__(works.core, "wake_event", Late())
    seen: list[tuple[str, float]] = []
    one = engine(works, Duty(seen, "a"))
    one._has_changed = lambda: False  # type: ignore[method-assign]
    one.tick(BEGIN, woken=False)
    one.start()
    wait_until(lambda: one.passes == 1, seconds=5, what="a pass for the wake")
    one.stop()


def test_a_quiet_tick_asks_only_those_whose_time_has_come(works: Bench) -> None:
    seen: list[tuple[str, float]] = []
    one = engine(works, Duty(seen, "never"), Duty(seen, "every 3 s", every=3.0))
    one.tick(BEGIN, woken=False)
    assert [name for name, _ in seen] == ["never", "every 3 s"]
    for seconds in range(1, 8):
        one.tick(BEGIN.later(seconds), woken=False)
    assert seen[2:] == [("every 3 s", 10_003.0), ("every 3 s", 10_006.0)]
    one.tick(BEGIN.later(8), woken=True)
    assert [name for name, _ in seen[4:]] == ["never", "every 3 s"]


def test_what_anybody_wrote_is_looked_at(works: Bench) -> None:
    """Also what another process wrote, such as the command line."""
    seen: list[tuple[str, float]] = []
    one = engine(works, Duty(seen, "a"))
    one.tick(BEGIN, woken=False)
    one.tick(BEGIN, woken=False)
    assert len(seen) == 1
    works.device()
    one.tick(BEGIN, woken=False)
    assert len(seen) == 2
    with sqlite3.connect(works.store.path) as other:
        other.execute("UPDATE computility SET name = 'renamed'")
    other.close()
    one.tick(BEGIN, woken=False)
    assert len(seen) == 3
    one.tick(BEGIN, woken=False)
    assert len(seen) == 3


def test_a_duty_that_writes_when_its_time_has_come_is_followed_by_the_others(works: Bench) -> None:
    seen: list[tuple[str, float]] = []

    class Writer(Duty):
        def ensure(self, now: Moment) -> float | None:
            if now.mono > BEGIN.mono:
                works.device()
            return super().ensure(now)

    one = engine(works, Duty(seen, "reader"), Writer(seen, "writer", every=1.0))
    one.tick(BEGIN, woken=False)
    seen.clear()
    one.tick(BEGIN.later(1), woken=False)
    assert [name for name, _ in seen] == ["writer", "reader", "writer"]


def test_a_duty_that_failed_is_asked_again_at_the_next_tick(works: Bench) -> None:
    seen: list[tuple[str, float]] = []
    one = engine(works, Duty(seen, "a", ZeroDivisionError("by a test")))
    for seconds in range(3):
        one.tick(BEGIN.later(seconds), woken=False)
    assert len(seen) == 3


def test_it_looks_without_being_woken(tmp_path: Path) -> None:
    works = Bench(tmp_path / "fast", engine_tick_seconds="0.1")
    seen: list[tuple[str, float]] = []
    try:
        one = engine(works, Duty(seen, "a", every=0.0))
        one.start()
        wait_until(lambda: len(seen) >= 3)
        one.stop()
    finally:
        works.close()


def test_stopping_waits_for_the_step_under_way(works: Bench) -> None:
    begun, go, over = threading.Event(), threading.Event(), threading.Event()

    def step() -> None:
        begun.set()
        assert go.wait(20)
        over.set()

    lanes = Lanes("own", 1, 1, lambda: None)
    one = Engine(works.core, (), (lanes,), lambda: None)
    one.start()
    lanes.take("k", "d", step)
    assert begun.wait(20)
    stopping = threading.Thread(target=one.stop)
    stopping.start()
    assert works.core.stopping.wait(20)
    assert not over.is_set()
    go.set()
    stopping.join(20)
    assert over.is_set()


def test_stopping_what_never_started_is_fine(works: Bench) -> None:
    engine(works).stop()


# --- retries ---------------------------------------------------------------------------------------------


def test_a_subject_is_due_unless_it_waits() -> None:
    retries = Retries()
    assert retries.due("k", 0.0) is True
    retries.wait("k", 10.0)
    assert [retries.due("k", at) for at in (9.9, 10.0, 11.0)] == [False, True, True]
    retries.wait("k", 20.0)
    retries.clear("k")
    retries.clear("k")
    assert retries.due("k", 0.0) is True


def test_what_is_due_is_dropped() -> None:
    retries = Retries()
    assert retries.next_due() is None
    for number in range(1000):
        retries.wait(f"k{number}", float(number))
    assert retries.next_due() == 0.0
    retries.prune(997.0)
    assert len(retries._due) == 2
    assert retries.next_due() == 998.0
    assert retries.due("k998", 997.0) is False


@pytest.mark.parametrize(
    ("passed", "rest"), [(0.0, 0.0), (0.01, 0.04), (0.2, 0.8), (0.25, 1.0), (30.0, 1.0), (-5.0, 0.0)]
)  # fmt: skip
def test_after_a_long_pass_the_loop_rests_longer_but_no_longer_than_a_tick(
    passed: float, rest: float
) -> None:
    assert rest_seconds(passed, 1.0) == pytest.approx(rest)


def test_wakes_that_come_while_the_loop_rests_are_one_pass(works: Bench) -> None:
    """As when a thousand steps are done one after the other while each pass takes its time."""
    begun, go = threading.Event(), threading.Event()

    class Slow(Duty):
        def ensure(self, now: Moment) -> float | None:
            super().ensure(now)
            begun.set()
            assert go.wait(20)
            works.clock.moment = works.clock.moment.later(0.2)  # so long it took
            return None

    seen: list[tuple[str, float]] = []
    one = engine(works, Slow(seen, "a"))
    one.start()
    assert begun.wait(20)
    for _ in range(1000):
        works.core.wake()
    go.set()
    wait_until(lambda: one.passes == 2, what="the one pass for all of them")
    one.stop()
    assert len(seen) == 2
