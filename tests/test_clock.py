"""The three hands of the clock."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from acsmpd import clock
from acsmpd.clock import Clock, Moment


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
