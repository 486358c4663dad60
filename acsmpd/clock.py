"""Time, handed out: nobody else in the package asks the operating system what time it is.

Three readings travel together, because each answers another question:
wall (UTC milliseconds; shown to people, compared with plan windows), mono (seconds since some
point of this boot; durations), boot_id (tells whether two mono values may be compared at all).
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
HOUR_SECONDS = 3600
DAY_SECONDS = 24 * HOUR_SECONDS
STEP_MS = 2000
"""What wall and mono drift apart between two readings by slewing is less; a step is more."""
_STEPS = 64
_FORGIVEN_MS = 60_000
"""A step so small may be forgotten when there are more than _STEPS; after a larger one nothing counts as old."""
_AHEAD_MS = 60_000
_NO_END = 2**62


class Moment(NamedTuple):
    """One reading of the clock: wall in UTC milliseconds, mono in seconds, boot_id of the kernel."""

    wall_ms: int
    mono: float
    boot_id: str

    def later(self, seconds: float) -> Moment:
        """The moment `seconds` from this one, both hands moved alike."""
        return Moment(self.wall_ms + int(seconds * 1000), self.mono + seconds, self.boot_id)

    def since(self, mono: float, boot_id: str) -> float:
        """Seconds since a monotonic reading of that boot; of the time between two boots nothing counts."""
        return max(0.0, self.mono - mono) if boot_id == self.boot_id else 0.0

    def have_passed(self, seconds: float, mono: float, boot_id: str) -> bool:
        """Whether so many seconds have passed since a monotonic reading, or a boot."""
        return boot_id != self.boot_id or self.since(mono, boot_id) >= seconds


class Shown(NamedTuple):
    """What the wall clock showed during a stretch of time that ends now; both ends in UTC milliseconds."""

    from_ms: int
    to_ms: int

    def holds(self, wall_ms: int) -> bool:
        """Whether what bears this stamp may have been written during the stretch."""
        return self.from_ms <= wall_ms <= self.to_ms


class Step(NamedTuple):
    """At the monotonic moment `mono` the wall clock went from one reading to another."""

    mono: float
    before_ms: int
    after_ms: int

    @property
    def size_ms(self) -> int:
        return abs(self.after_ms - self.before_ms)


class Steps:
    """The steps of the wall clock, measured against the monotonic one. Any thread may call.

    How old a stored row is cannot be told from its stamp alone once the clock has been set: a row is young
    while its stamp is among what the clock showed lately (`shown`), and old when it is not.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._born: float | None = None
        self._last: Moment | None = None
        self._steps: list[Step] = []
        self._lost = float("-inf")  # when the last step was that had to be forgotten
        self._total_ms = 0

    def see(self, now: Moment) -> int:
        """Take note of a reading; the sum of all steps so far in milliseconds."""
        with self._lock:
            self._see(now)
            return self._total_ms

    def _see(self, now: Moment) -> None:
        last = self._last
        if last is None:
            self._born = now.mono if self._born is None else self._born
        elif now.mono < last.mono:
            return  # read before the last one, by another thread
        else:
            expected = last.wall_ms + int((now.mono - last.mono) * 1000)
            if abs(now.wall_ms - expected) > STEP_MS:
                self._add([Step(now.mono, expected, now.wall_ms)])
                self._total_ms += now.wall_ms - expected
        self._last = now

    def _add(self, steps: list[Step]) -> None:
        self._steps = sorted(self._steps + steps)
        while len(self._steps) > _STEPS:
            least = min(self._steps, key=lambda step: step.size_ms)
            self._steps.remove(least)
            if least.size_ms > _FORGIVEN_MS:
                self._lost = max(self._lost, least.mono)

    def shown(self, now: Moment, seconds: float) -> Shown:
        """What the clock showed in the last so many seconds.

        What it showed before this process started is not known: until it has run so long, any stamp of the
        future may be of that time. Nor is what it showed among more steps than are remembered: then any stamp may.
        """
        with self._lock:
            self._see(now)
            since = now.mono - seconds
            if self._lost > since:
                return Shown(-_NO_END, _NO_END)
            steps = [step for step in self._steps if step.mono > since]
            first_ms, first = (steps[0].before_ms, steps[0].mono) if steps else (now.wall_ms, now.mono)
            begun_ms = first_ms - int((first - since) * 1000)
            is_known = self._born is not None and self._born <= since
            last_ms = max([now.wall_ms, *(step.before_ms for step in steps)]) + _AHEAD_MS
            return Shown(
                min([begun_ms, *(step.after_ms for step in steps)]), last_ms if is_known else _NO_END
            )

    # --- over a restart -----------------------------------------------------------------------------------

    def told(self, now: Moment, seconds: float) -> dict[str, Any]:
        """The steps of the last so many seconds, to be stored."""
        with self._lock:
            steps = [list(step) for step in self._steps if step.mono > now.mono - seconds]
            lost = self._lost if self._lost > now.mono - seconds else None
        return {"boot_id": now.boot_id, "mono": now.mono, "steps": steps, "lost": lost}

    def resume(self, now: Moment, told: dict[str, Any]) -> None:
        """Go on from what was stored; of the time between two boots nothing counts."""
        passed = now.mono - told["mono"] if told["boot_id"] == now.boot_id else 0.0
        shift = now.mono - told["mono"] - passed
        with self._lock:
            self._add([Step(mono + shift, *wall_ms) for mono, *wall_ms in told["steps"]])
            if told.get("lost") is not None:
                self._lost = max(self._lost, told["lost"] + shift)


class Clock:
    """The real clock. Tests hand the engine moments of their own instead of patching this one."""

    def __init__(self) -> None:
        self._boot_id = read_boot_id()
        self.steps = Steps()

    def now(self) -> Moment:
        return Moment(time.time_ns() // 1_000_000, time.monotonic(), self._boot_id)


def read_boot_id() -> str:
    """The kernel's boot id; on a system without one, a constant (durations then restart at each start)."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
