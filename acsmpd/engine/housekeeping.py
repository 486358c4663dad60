"""The duty of tidying on a period: the WAL, old intents, asks, audit rows, deleted instances.

A private scheduler ticks it; each job is wrapped, since a job that raises would starve the ones after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import schedule
from peewee import fn

from acsmpd.clock import Moment
from acsmpd.engine.core import Core
from acsmpd.store import asks, ledger, plans
from acsmpd.store.database import Tx
from acsmpd.store.tables import Audit, Instance, Task

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
BATCH = 500
TRIM_SECONDS = 2.0
"""How long one trimming may hold up the loop; what is left over goes at the next."""
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
            (self.trim, 600),
            (self._drop_deleted, 60),
            (self._forget_touched, 60),
            *more.items(),
        ):
            self._scheduler.every(seconds).seconds.do(self._wrapped, job)

    def ensure(self, now: Moment) -> float:
        self._scheduler.run_pending()
        return now.mono + 1.0

    def _wrapped(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:
            log.exception("housekeeping failed: %s", getattr(job, "__name__", job))

    def _checkpoint(self) -> None:
        self._core.store.checkpoint()

    def trim(self) -> None:
        """Drop what is too old of intents, asks and audit rows, and audit rows beyond their number."""
        begun = self._core.clock.now()
        with self._core.store.write(durable=False) as tx:
            ledger.trim(tx, begun.wall_ms - DAY_MS)
            asks.trim(tx, begun.wall_ms - 7 * DAY_MS)
        for step in (self._drop_old_audit, self._drop_surplus_audit):
            while step(begun) and not self._is_over(begun):
                continue

    def _is_over(self, begun: Moment) -> bool:
        return self._core.stopping.is_set() or self._core.clock.now().mono - begun.mono > TRIM_SECONDS

    def _drop_old_audit(self, now: Moment) -> bool:
        before = now.wall_ms - self._core.settings.audit.keep_days * DAY_MS
        with self._core.store.write(durable=False) as tx:
            return _drop_audit(tx, BATCH, Audit.at_ms < before) > 0

    def _drop_surplus_audit(self, now: Moment) -> bool:
        """What strangers caused goes first: they must not wash away what others did."""
        del now
        with self._core.store.write(durable=False) as tx:
            surplus = tx.number(Audit.select(fn.COUNT(1))) - self._core.settings.audit.max_rows
            limit = min(surplus, BATCH)
            return limit > 0 and (_drop_audit(tx, limit, Audit.who == "nobody") or _drop_audit(tx, limit)) > 0

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


def _drop_audit(tx: Tx, limit: int, *conditions: Any) -> int:
    """Drop the oldest audit rows that fulfil the conditions; how many there were."""
    oldest = Audit.select(Audit.id).where(Audit.id > 0, *conditions).order_by(Audit.id).limit(limit)
    return int(tx.run(Audit.delete().where(Audit.id.in_(oldest))))
