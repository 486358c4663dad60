"""When a look at a device may begin: many are looked at evenly, and not while others come by the dozen.

A thousand looked at in one go every quarter of a minute would hold up all who ask something meanwhile.
"""

from __future__ import annotations

import threading

from acsmpd.engine.core import Core

AHEAD, SPACED_SECONDS = 1.25, 0.1
"""How much faster than needed the usual looks may be; more than this apart they need no order."""

ASIDES, ASIDE_SECONDS = 10, 0.1
"""How often a look waits while devices register by the dozen; for how long each time, and for a slot at most."""


class Pacing:
    """Safe from any lane. Moments are monotonic seconds."""

    def __init__(self, core: Core) -> None:
        self._core, self._lock = core, threading.Lock()
        self._spacing, self._slot = 0.0, float("-inf")

    def count(self, number: int) -> None:
        """So many are to be looked at within an interval."""
        with self._lock:
            self._spacing = self._core.settings.observe.interval_seconds / (AHEAD * max(1, number))

    def await_slot(self, now: float) -> None:
        """Wait for the next moment that is free."""
        with self._lock:
            self._slot = slot = max(now, self._slot + self._spacing)
            pause = slot - now if self._spacing < SPACED_SECONDS else 0.0
        if pause > 0:
            self._core.stopping.wait(min(pause, ASIDE_SECONDS))

    def step_aside(self) -> None:
        """While devices register by the dozen they go first; for a moment, or who comes without end keeps us blind."""
        for _ in range(ASIDES):
            if not self._core.traffic.is_storming(self._core.clock.now().mono):
                return
            self._core.stopping.wait(ASIDE_SECONDS)
