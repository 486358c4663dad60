"""The duty of starting and stopping what has hours of the week (PlanDayTime)."""

from __future__ import annotations

import msgspec

from acsmpd.clock import Moment
from acsmpd.decide import windows
from acsmpd.engine.core import Core
from acsmpd.store import plans

_MINUTE_MS = 60_000


class Hours:
    """Looks at the wall clock once a minute; a clock that is set is followed at the next look."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._read: dict[str, windows.Windows] = {}
        """PlanDayTime as it is stored -> what it says"""

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            timed = plans.timed(tx)
        if not timed:
            self._read.clear()
            return None
        if self._switched(timed, now) != ([], []):
            with self._core.store.write(durable=False) as tx:  # the clock says the same after a power cut
                # Somebody may have given a plan other hours meanwhile.
                opened, closed = self._switched(plans.timed(tx), now)
                plans.open_hours(tx, opened, now.wall_ms)
                plans.close_hours(tx, closed, now.wall_ms)
        return now.mono + (_MINUTE_MS - now.wall_ms % _MINUTE_MS) / 1000

    def _switched(self, timed: list[plans.Timed], now: Moment) -> tuple[list[int], list[int]]:
        """Plans whose hours have opened, and closed."""
        minute = windows.minute_of_week(now.wall_ms, self._core.settings.site.zone)
        hours = self._hours({plan.hours for plan in timed})
        opened = [plan.id for plan in timed if plan.waits and windows.is_open_at(hours[plan.hours], minute)]
        closed = [
            plan.id for plan in timed if plan.runs and not windows.is_open_at(hours[plan.hours], minute)
        ]
        return opened, closed

    def _hours(self, texts: set[str]) -> dict[str, windows.Windows]:
        self._read = {
            text: self._read.get(text) or windows.parse(msgspec.json.decode(text)) for text in texts
        }
        return self._read
