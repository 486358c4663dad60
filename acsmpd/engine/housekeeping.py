"""The duty of tidying on a period: the WAL, old intents, asks, audit rows, deleted instances.

A private scheduler ticks it; each job is wrapped, since a job that raises would starve the ones after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import schedule

from acsmpd.clock import Moment
from acsmpd.engine.core import Core
from acsmpd.store import asks, ledger, plans
from acsmpd.store.tables import Audit, Instance, Task

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
BATCH = 500
TOUCHED_SECONDS = 600.0
"""How long the moment of a step is remembered; what is older changes no judgement."""


class Housekeeping:
    """Runs due jobs from the loop; each is short and works in small batches."""

    def __init__(self, core: Core, more: dict[Callable[[], None], int]) -> None:
        """`more`: further jobs with their period in seconds."""
        self._core = core
        self._scheduler = schedule.Scheduler()
        for job, seconds in (
            (self._checkpoint, 60),
            (self._trim, 600),
            (self._drop_deleted, 60),
            (self._forget_touched, 60),
            *more.items(),
        ):
            self._scheduler.every(seconds).seconds.do(self._wrapped, job)

    def ensure(self, now: Moment) -> None:
        self._scheduler.run_pending()

    def _wrapped(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:
            log.exception("housekeeping failed: %s", getattr(job, "__name__", job))

    def _checkpoint(self) -> None:
        self._core.store.checkpoint()

    def _trim(self) -> None:
        now = self._core.clock.now().wall_ms
        keep = now - self._core.settings.audit.keep_days * DAY_MS
        with self._core.store.write(durable=False) as tx:
            ledger.trim(tx, now - DAY_MS)
            asks.trim(tx, now - 7 * DAY_MS)
            old = Audit.select(Audit.id).where(Audit.at_ms < keep).limit(BATCH)
            tx.run(Audit.delete().where(Audit.id.in_(old)))

    def _forget_touched(self) -> None:
        """A step under way needs no entry: its lane tells, and its end writes a new one."""
        before = self._core.clock.now().mono - TOUCHED_SECONDS
        for key, moment in list(self._core.touched.items()):
            if moment < before:
                self._core.touched.pop(key, None)

    def _drop_deleted(self) -> None:
        """Deleted instances whose tasks are gone everywhere and whose results are no longer waited for."""
        keep = self._core.clock.now().wall_ms - self._core.settings.results.keep_hours * HOUR_MS
        with self._core.store.read() as tx:
            left = Task.select(Task.instance_id)
            over = plans.instances(
                tx, Instance.deleted == True, Instance.changed_ms < keep, Instance.id.not_in(left)
            )[:BATCH]
        if over:
            with self._core.store.write(durable=False) as tx:
                for instance in over:
                    plans.drop_instance(tx, instance.id)
