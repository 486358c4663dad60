"""THE LOOP: calls the managers in their order, on a period and whenever it is woken.

A manager that fails is logged and does not starve the rest. Tests call `loop(now)` with moments of their own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence

from acsmpd.clock import Moment
from acsmpd.engine.core import Core, Manager
from acsmpd.engine.lanes import Lanes

log = logging.getLogger(__name__)


class Engine:
    """One thread that re-plans from state. `beat` is called after every pass (watchdog)."""

    def __init__(
        self, core: Core, managers: Sequence[Manager], lanes: Sequence[Lanes], beat: Callable[[], object]
    ) -> None:
        self.core = core
        self._managers, self._lanes, self._beat = tuple(managers), tuple(lanes), beat
        self._thread = threading.Thread(target=self._run, name="engine")
        self.passes = 0

    def loop(self, now: Moment) -> None:
        """One pass over all duties."""
        for manager in self._managers:
            try:
                manager.ensure(now)
            except Exception:
                log.exception("the duty %s failed", type(manager).__name__)
        self.passes += 1

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self.core.stopping.is_set():
            self.core.wake_event.clear()
            self.loop(self.core.clock.now())
            self._beat()
            self.core.wake_event.wait(self.core.settings.engine.tick_seconds)

    def stop(self) -> None:
        """End the loop, then let the lanes finish what they are doing."""
        self.core.stopping.set()
        self.core.wake()
        if self._thread.is_alive():
            self._thread.join()
        for lanes in self._lanes:
            lanes.close()
