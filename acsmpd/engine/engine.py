"""THE LOOP: calls the managers in their order, on a period and whenever it is woken.

A manager that fails is logged and does not starve the rest. Tests call `loop(now)` with moments of their own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from acsmpd import faults
from acsmpd.clock import Moment
from acsmpd.engine.core import Core, Manager
from acsmpd.engine.lanes import Lanes

log = logging.getLogger(__name__)

REST_SHARE = 4.0
"""After a pass the loop rests so many times as long as that took, at most a tick."""


class Engine:
    """One thread that re-plans from state. `beat` is called on every tick (watchdog).

    A tick on which nothing was written and nothing is due asks no manager: a quiet box costs nothing.
    """

    def __init__(
        self, core: Core, managers: Sequence[Manager], lanes: Sequence[Lanes], beat: Callable[[], object]
    ) -> None:
        self.core = core
        self._managers, self._lanes, self._beat = tuple(managers), tuple(lanes), beat
        self._due = dict.fromkeys(range(len(self._managers)), float("-inf"))
        self._version = -1
        self._thread = threading.Thread(target=self._run, name="engine")
        self.passes = 0

    def loop(self, now: Moment) -> None:
        """One pass over all duties."""
        for number in range(len(self._managers)):
            self._ensure(number, now)
        self.passes += 1

    def _ensure(self, number: int, now: Moment) -> None:
        manager, self._due[number] = self._managers[number], float("inf")
        try:
            due = manager.ensure(now)
        except Exception:
            log.exception("the duty %s failed", type(manager).__name__)
            due = now.mono
        if due is not None:
            self._due[number] = due

    def tick(self, now: Moment, *, woken: bool) -> None:
        """A pass if somebody asks for it or something was written; else the duties whose time has come."""
        changed = self._has_changed()  # asked in any case: what woke us is not found again at the next tick
        if woken or changed:
            self.loop(now)
            return
        late = [number for number, due in self._due.items() if due <= now.mono]
        for number in late:
            self._ensure(number, now)
        if late and self._has_changed():
            self.loop(now)

    def _has_changed(self) -> bool:
        """Whether anybody wrote since this was last asked, be it another process."""
        try:
            version = self.core.store.version()
        except faults.Fault:
            return True
        before, self._version = self._version, version
        return version != before

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self.core.stopping.is_set():
            woken = self.core.wake_event.is_set()
            if woken:  # else one that comes just now would be taken away unseen
                self.core.wake_event.clear()
            begun = self.core.clock.now()
            self.tick(begun, woken=woken)
            self._beat()
            tick = self.core.settings.engine.tick_seconds
            rest = rest_seconds(self.core.clock.now().mono - begun.mono, tick)
            self.core.stopping.wait(rest)
            self.core.wake_event.wait(tick - rest)

    def stop(self) -> None:
        """End the loop, then let the lanes finish what they are doing."""
        self.core.stopping.set()
        self.core.wake()
        if self._thread.is_alive():
            self._thread.join()
        for lanes in self._lanes:
            lanes.close()


def rest_seconds(pass_seconds: float, tick_seconds: float) -> float:
    """How long nothing wakes the loop after a pass: each step that is done does, and passes over thousands of subjects
    would take the processor away from those who carry the steps out."""
    return min(max(0.0, REST_SHARE * pass_seconds), tick_seconds)
