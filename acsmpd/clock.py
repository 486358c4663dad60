"""Time, handed out: nobody else in the package asks the operating system what time it is.

Three readings travel together, because each answers another question:
wall (UTC milliseconds; shown to people, compared with plan windows), mono (seconds since some
point of this boot; durations), boot_id (tells whether two mono values may be compared at all).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Moment(NamedTuple):
    """One reading of the clock: wall in UTC milliseconds, mono in seconds, boot_id of the kernel."""

    wall_ms: int
    mono: float
    boot_id: str

    def later(self, seconds: float) -> Moment:
        """The moment `seconds` from this one, both hands moved alike."""
        return Moment(self.wall_ms + int(seconds * 1000), self.mono + seconds, self.boot_id)


class Clock:
    """The real clock. Tests hand the engine moments of their own instead of patching this one."""

    def __init__(self) -> None:
        self._boot_id = read_boot_id()

    def now(self) -> Moment:
        return Moment(time.time_ns() // 1_000_000, time.monotonic(), self._boot_id)


def read_boot_id() -> str:
    """The kernel's boot id; on a system without one, a constant (durations then restart at each start)."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
