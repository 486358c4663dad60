"""The three hands of the clock."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd import clock
from acsmpd.clock import Clock, Moment, Steps


def test_wall_is_utc_milliseconds_and_mono_is_the_monotonic_clock() -> None:
    before_wall, before = time.time() * 1000, time.monotonic()
    now = Clock().now()
    assert before_wall - 1 <= now.wall_ms <= time.time() * 1000
    assert before <= now.mono <= time.monotonic()


def test_mono_never_goes_back() -> None:
    one = Clock()
    readings = [one.now().mono for _ in range(1000)]
    assert readings == sorted(readings)


def test_later_moves_both_hands_alike() -> None:
    now = Moment(1_700_000_000_000, 50.0, "boot")
    assert now.later(1.5) == Moment(1_700_000_001_500, 51.5, "boot")
    assert now.later(-1) == Moment(1_699_999_999_000, 49.0, "boot")


def test_the_boot_id_is_the_kernels_and_the_same_for_every_clock() -> None:
    real = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    assert clock.read_boot_id() == real
    assert Clock().now().boot_id == Clock().now().boot_id == real


def test_without_a_boot_id_durations_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "_BOOT_ID", tmp_path / "none")
    assert clock.read_boot_id() == "unknown"
    assert Clock().now().boot_id == "unknown"


# --- the wall clock is set -----------------------------------------------------------------------------------------

HOUR, YEARS = 3600.0, 3 * 365 * 86_400.0


class Hand:
    """A clock that is moved on, and set."""

    def __init__(self) -> None:
        self.moment, self.steps = Moment(1_800_000_000_000, 50_000.0, "boot"), Steps()
        self.steps.see(self.moment)

    def later(self, seconds: float) -> None:
        self.moment = self.moment.later(seconds)

    def set(self, seconds: float) -> None:
        self.moment = self.moment._replace(wall_ms=self.moment.wall_ms + int(seconds * 1000))

    def is_young(self, stamp_ms: int, seconds: float = HOUR) -> bool:
        return self.steps.shown(self.moment, seconds).holds(stamp_ms)


def test_without_steps_a_stamp_is_as_old_as_it_says() -> None:
    hand = Hand()
    stamp = hand.moment.wall_ms
    hand.later(HOUR)
    assert hand.is_young(stamp)
    hand.later(1)
    assert not hand.is_young(stamp)


@pytest.mark.parametrize("seconds", [HOUR, -HOUR, 86_400, -86_400, YEARS, -YEARS])
def test_what_was_written_before_the_clock_was_set_ages_by_itself(seconds: float) -> None:
    hand = Hand()
    hand.later(2 * HOUR)
    stamp = hand.moment.wall_ms
    hand.later(HOUR / 2)
    hand.set(seconds)
    for _ in range(2):
        assert hand.is_young(stamp)
        after = hand.moment.wall_ms
        hand.later(HOUR / 4)
    hand.later(HOUR)
    if seconds != -HOUR:  # there the same stamps are given a second time
        assert not hand.is_young(stamp)
    hand.later(HOUR)
    assert not hand.is_young(after)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 3000), st.sampled_from([0, 0, 0, HOUR, -HOUR, 90_000, -90_000, YEARS, -YEARS])
        ),
        max_size=30,
    )
)
def test_nothing_young_is_ever_taken_for_old(course: list[tuple[float, float]]) -> None:
    hand = Hand()
    written: list[tuple[float, int]] = []
    for seconds, step in course:
        written.append((hand.moment.mono, hand.moment.wall_ms))
        hand.later(seconds)
        hand.set(step)
        for mono, stamp in written:
            if hand.moment.mono - mono <= HOUR - 1:
                assert hand.is_young(stamp)


def test_slewing_is_no_step() -> None:
    hand = Hand()
    for _ in range(1000):
        hand.later(60)
        hand.set(0.03)  # 500 ppm
        assert hand.steps.see(hand.moment) == 0


def test_a_reading_of_another_thread_that_comes_late_is_no_step() -> None:
    hand = Hand()
    early = hand.moment
    hand.later(1)
    hand.set(YEARS)
    total = hand.steps.see(hand.moment)
    assert hand.steps.see(early) == total


def test_what_is_of_the_future_may_be_of_the_time_before_our_start() -> None:
    """A box without a battery begins in 1970; what it wrote before the power went bears later stamps."""
    hand = Hand()
    stamp = hand.moment.wall_ms + int(YEARS * 1000)
    hand.later(HOUR - 1)
    assert hand.is_young(stamp)
    hand.set(YEARS)  # the time server answered
    assert hand.is_young(stamp)
    hand.later(HOUR + 1)
    assert not hand.is_young(stamp)


@pytest.mark.parametrize("boot", ["boot", "another"])
def test_the_steps_outlive_a_restart(boot: str) -> None:
    hand, after = Hand(), Hand()
    stamp = hand.moment.wall_ms
    hand.set(YEARS)
    hand.steps.see(hand.moment)
    hand.later(HOUR / 2)
    told = json.loads(json.dumps(hand.steps.told(hand.moment, 0)))
    assert told["steps"] == []
    told = json.loads(json.dumps(hand.steps.told(hand.moment, HOUR)))
    after.moment = hand.moment._replace(boot_id=boot)
    if boot == "another":
        after.moment = after.moment._replace(mono=3.0)
    after.steps = Steps()
    after.steps.resume(after.moment, told)
    assert after.is_young(stamp)
    after.later(HOUR / 4)
    assert after.is_young(stamp)
    after.later(HOUR / 2)
    assert not after.is_young(stamp)


def test_a_clock_that_is_set_all_the_time_makes_nothing_old() -> None:
    """Whoever plays with the time server would else have all dropped that was written before the last steps."""
    hand = Hand()
    hand.later(10 * HOUR)
    stamp = hand.moment.wall_ms
    for number in range(clock._STEPS + 7):
        hand.later(10)
        hand.set(-YEARS if number % 2 else YEARS)
        assert hand.is_young(stamp)
    after = Steps()
    after.resume(hand.moment, json.loads(json.dumps(hand.steps.told(hand.moment, HOUR))))
    assert after.shown(hand.moment, HOUR).holds(stamp)
    hand.later(HOUR + 100)
    assert not hand.is_young(stamp)


def test_many_small_steps_hold_nothing_up() -> None:
    """A clock that runs badly and is set by seconds each hour: a large step in between is not forgotten for it."""
    hand = Hand()
    stamp = hand.moment.wall_ms
    hand.later(HOUR / 2)
    hand.set(YEARS)
    for _ in range(clock._STEPS * 2):
        hand.later(10)
        hand.set(3)
        hand.steps.see(hand.moment)
    assert hand.is_young(stamp)
    hand.later(HOUR)
    assert not hand.is_young(stamp)
