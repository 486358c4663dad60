"""How often tasks have failed lately, so that one that always fails is not restarted without end."""

from __future__ import annotations

import threading
from collections.abc import Collection
from typing import NamedTuple

from acsmpd.clock import HOUR_SECONDS

GOOD_SECONDS = float(HOUR_SECONDS)
"""A task that ran so long without failing has a clean record."""


class _Record(NamedTuple):
    failures: int  # for which a restart of ours was due, the present one included
    since: float  # monotonic: of the present failure, or since when it is well again
    failing: bool
    restarted: bool = False  # by us, in the present failure


class Restarts:
    """Remembered in memory: after a restart of the platform everybody's record is clean. Any thread may call.

    A failure that the device mended by itself does not count.
    """

    def __init__(self) -> None:
        self._records: dict[int, _Record] = {}
        self._lock = threading.Lock()

    def see(self, failed: Collection[int], now: float) -> None:
        """Take note of the tasks that show ERROR at this monotonic moment."""
        with self._lock:
            for task in failed:
                known = self._records.get(task)
                if known is None or not known.failing:
                    self._records[task] = _Record((known.failures if known else 0) + 1, now, failing=True)
            for task in [task for task in self._records if task not in failed]:
                self._is_well(task, now)

    def _is_well(self, task: int, now: float) -> None:
        known = self._records[task]
        if known.failing:
            self._records[task] = _Record(known.failures - (not known.restarted), now, failing=False)
        elif now - known.since >= GOOD_SECONDS:
            del self._records[task]

    def restarted(self, task: int) -> None:
        """We told it to go on."""
        with self._lock:
            known = self._records.get(task)
            if known is not None:
                self._records[task] = known._replace(restarted=True)

    def failing(self, task: int, now: float) -> tuple[int, float]:
        """How many restarts of ours it has needed since its last good hour, this one included, and for how many
        seconds it has failed now; (0, 0.0) when it is well."""
        with self._lock:
            known = self._records.get(task)
        return (known.failures, now - known.since) if known is not None and known.failing else (0, 0.0)

    @property
    def any_failing(self) -> bool:
        with self._lock:
            return any(record.failing for record in self._records.values())
