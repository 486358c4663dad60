"""The duty of tidying on a period: the WAL, old intents, asks, alarms, audit rows, deleted instances.

A private scheduler ticks it; each job is wrapped, since a job that raises would starve the ones after it.
The scheduler goes by the local time of day: when that is set, or the zone's summer ends, its dates go along.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import schedule
from peewee import fn

from acsmpd import faults
from acsmpd.clock import DAY_SECONDS, HOUR_SECONDS, STEP_MS, Moment, Shown
from acsmpd.engine.core import Core
from acsmpd.licensing import files
from acsmpd.store import accounts, alarms, asks, facts, ledger, licences, pipelines, plans, results
from acsmpd.store.database import JOURNAL_LIMIT_BYTES, Tx
from acsmpd.store.rows import is_past
from acsmpd.store.tables import Audit, Instance, License, Task

log = logging.getLogger(__name__)

INTENT_DAYS, ASK_DAYS = 1, 7
QUOTA_ASK_DAYS = 1 / 24
"""Of quotas many are asked, and what was answered last is kept elsewhere."""
PERIOD_SECONDS = 60
TRIM_PERIOD_SECONDS = 600
BATCH = 500
"""Rows that go in one transaction: everybody who writes waits for it."""
TRIM_SECONDS = 2.0
"""How long one trimming may hold up the loop; what is left over goes at the next."""
HELD = "database_held"
"""The kind of the alarm while somebody's reading keeps the WAL from shrinking."""
TOUCHED_SECONDS = 600.0
"""How long the moment of a step is remembered; what is older changes no judgement."""
STEPS = "clock_steps"
"""The fact that carries the steps of the clock over a restart."""


class Housekeeping:
    """Runs due jobs from the loop; each is short and works in small batches."""

    def __init__(self, core: Core, more: Sequence[Callable[[], None]] = ()) -> None:
        """`more`: further jobs for the usual period."""
        self._core = core
        self._was_large = False
        self._scheduler = schedule.Scheduler()
        self._offset = _local_offset(core.clock.now())
        self._total_ms = 0
        for job in (self.checkpoint, self._drop_deleted, self._forget_touched, *more):
            self._scheduler.every(PERIOD_SECONDS).seconds.do(self._wrapped, job)
        for job in (self.trim, self._keep_steps, self._keep_latest):
            self._scheduler.every(TRIM_PERIOD_SECONDS).seconds.do(self._wrapped, job)

    def recover(self) -> None:
        """Before the first pass: the steps of the clock that are still of importance.

        From here on it is watched: a box without a battery gets its time while it starts.
        """
        now = self._core.clock.now()
        self._core.clock.steps.see(now)
        with self._core.store.write() as tx:
            told = facts.get(tx, STEPS)
            accounts.move_deadlines(tx, now.wall_ms, 0)
        if told:
            self._core.clock.steps.resume(now, told)
        self._wrapped(self._sweep_licences)

    def _sweep_licences(self) -> None:
        files.sweep(self._core.store, self._core.data)

    def ensure(self, now: Moment) -> float:
        self._follow_clock(now)
        self._scheduler.run_pending()
        return now.mono + 1.0

    # --- when the clock is set ---------------------------------------------------------------------------

    def _follow_clock(self, now: Moment) -> None:
        """No job runs early because the clock was put forward, none waits because it was put back."""
        offset = _local_offset(now)
        moved, self._offset = offset - self._offset, offset
        if abs(moved.total_seconds()) * 1000 > STEP_MS:
            latest = _local(now)
            for job in self._scheduler.jobs:
                if job.next_run is not None:
                    job.next_run = min(job.next_run + moved, latest + timedelta(seconds=job.interval))
        total_ms = self._core.clock.steps.see(now)
        if total_ms != self._total_ms:
            self._stepped(now, total_ms)

    def _stepped(self, now: Moment, total_ms: int) -> None:
        """Once it is written: a bad disk gets it again at the next tick."""
        step_ms = total_ms - self._total_ms
        with self._core.store.write() as tx:
            accounts.move_deadlines(tx, now.wall_ms, step_ms)
        self._total_ms = total_ms
        log.warning(
            "the clock was set by %+.0f s; what is measured in hours goes on by its own", step_ms / 1000
        )
        self._keep_steps()

    def _keep_steps(self) -> None:
        """What was set lately, for a process after this one."""
        settings, now = self._core.settings, self._core.clock.now()
        days = max(settings.audit.keep_days, settings.enrolment.pending_days, ASK_DAYS)
        hours = max(settings.results.keep_hours, settings.results.pictures_keep_hours)
        told = self._core.clock.steps.told(now, max(days * DAY_SECONDS, hours * HOUR_SECONDS))
        with self._core.store.read() as tx:
            is_empty = not (told["steps"] or (facts.get(tx, STEPS) or told)["steps"])
        if not is_empty:
            with self._core.store.write(durable=False) as tx:
                facts.put(tx, STEPS, told)

    def _keep_latest(self) -> None:
        """The highest time so far, by which licences end: a clock set back after that extends none."""
        now_ms = self._core.clock.now().wall_ms
        with self._core.store.read() as tx:
            is_new = tx.row(License.select(License.id)) is not None and licences.latest_ms(tx, 0) < now_ms
        if is_new:
            with self._core.store.write(durable=False) as tx:
                licences.see(tx, now_ms)

    # --- the jobs ------------------------------------------------------------------------------------------

    def _wrapped(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception:
            log.exception("housekeeping failed: %s", getattr(job, "__name__", job))

    def checkpoint(self) -> None:
        """Shrink the WAL. One that is still large at the next time is held by a reader, and fills the disk."""
        size = self._core.store.checkpoint()
        is_large, was_large = size > JOURNAL_LIMIT_BYTES, self._was_large
        self._was_large = is_large
        if is_large and was_large:
            self._tell_held(size)
        elif not is_large:
            self._settle_held()

    def _tell_held(self, size: int) -> None:
        text = (
            f"the log of the database has {size >> 20} MiB and cannot shrink: something has been reading "
            f"{self._core.store.path} for more than {PERIOD_SECONDS} s; the space comes back when that ends"
        )
        with self._core.store.write(durable=False) as tx:
            is_new = alarms.raise_alarm(tx, HELD, "database", text, self._core.clock.now().wall_ms)
        if is_new:
            log.warning(text)

    def _settle_held(self) -> None:
        with self._core.store.read() as tx:
            is_told = bool(results.alarmed(tx, HELD))
        if is_told:
            with self._core.store.write(durable=False) as tx:
                alarms.end_alarm(tx, HELD, "database", self._core.clock.now().wall_ms)
            log.info("the log of the database has shrunk")

    def trim(self) -> None:
        """Drop what is too old of intents, asks, alarms, runs of pipelines and audit rows, and of the last three what
        is too many."""
        begun = self._core.clock.now()
        steps = (
            self._drop_old_intents, self._drop_old_asks, self._drop_old_alarms, self._drop_old_runs,
            self._drop_old_audit, self._drop_surplus_audit,
        )  # fmt: skip
        for step in steps:
            while step(begun) and not self._is_over(begun):
                continue

    def _lately(self, now: Moment, days: float) -> Shown:
        return self._core.clock.steps.shown(now, days * DAY_SECONDS)

    def _is_over(self, begun: Moment) -> bool:
        return self._core.stopping.is_set() or self._core.clock.now().mono - begun.mono > TRIM_SECONDS

    def _drop_old_intents(self, now: Moment) -> bool:
        with self._core.store.write(durable=False) as tx:
            return ledger.trim(tx, self._lately(now, INTENT_DAYS), BATCH) > 0

    def _drop_old_asks(self, now: Moment) -> bool:
        with self._core.store.write(durable=False) as tx:
            quotas = asks.trim(tx, self._lately(now, QUOTA_ASK_DAYS), BATCH, asks.QUOTA)
            return quotas + asks.trim(tx, self._lately(now, ASK_DAYS), BATCH) > 0

    def _drop_old_alarms(self, now: Moment) -> bool:
        lately = self._lately(now, self._core.settings.audit.keep_days)
        with self._core.store.write(durable=False) as tx:
            return alarms.trim(tx, lately, BATCH) > 0

    def _drop_old_runs(self, now: Moment) -> bool:
        lately = self._lately(now, self._core.settings.audit.keep_days)
        with self._core.store.write(durable=False) as tx:
            return pipelines.trim(tx, lately, self._lately(now, 1), BATCH) > 0

    def _drop_old_audit(self, now: Moment) -> bool:
        old = is_past(Audit.at_ms, self._lately(now, self._core.settings.audit.keep_days))
        with self._core.store.read() as tx:
            found = _oldest_audit(tx, BATCH, old)
        return self._drop_audit(found)

    def _drop_surplus_audit(self, now: Moment) -> bool:
        """What strangers caused goes first, then what others were refused: they must not wash away what was done."""
        del now
        with self._core.store.read() as tx:
            surplus = tx.number(Audit.select(fn.COUNT(1))) - self._core.settings.audit.max_rows
            limit = min(surplus, BATCH)
            if limit <= 0:
                return False
            found = _oldest_audit(tx, limit, Audit.who == "nobody") or _oldest_audit(tx, limit, _REFUSAL)
            found = found or _oldest_audit(tx, limit)
        return self._drop_audit(found)

    def _drop_audit(self, ids: list[int]) -> bool:
        """Whether there was any to drop."""
        if not ids:
            return False
        with self._core.store.write(durable=False) as tx:
            return bool(tx.run(Audit.delete().where(Audit.id.in_(ids))))

    def _forget_touched(self) -> None:
        """A step under way needs no entry: its lane tells, and its end writes a new one."""
        before = self._core.clock.now().mono - TOUCHED_SECONDS
        for key, moment in list(self._core.touched.items()):
            if moment < before:
                self._core.touched.pop(key, None)

    def _drop_deleted(self) -> None:
        """Deleted instances whose tasks are gone everywhere and whose results are no longer waited for."""
        clock, seconds = self._core.clock, self._core.settings.results.keep_hours * HOUR_SECONDS
        old = is_past(Instance.changed_ms, clock.steps.shown(clock.now(), seconds))
        with self._core.store.read() as tx:
            left = Task.select(Task.instance_id)
            over = plans.instance_ids(tx, BATCH, Instance.deleted == True, old, Instance.id.not_in(left))
        if over:
            with self._core.store.write(durable=False) as tx:
                for instance_id in over:
                    plans.drop_instance(tx, instance_id)


def _local(now: Moment) -> datetime:
    """The time the scheduler goes by."""
    return datetime.fromtimestamp(now.wall_ms / 1000)


def _local_offset(now: Moment) -> timedelta:
    """Between the local time of day and the monotonic clock; it changes only when the former is set."""
    return _local(now) - datetime.min - timedelta(seconds=now.mono)


_REFUSAL = Audit.code.in_(faults.NO_RIGHT) | ((Audit.code != 0) & Audit.who.startswith("computility:"))
"""What anybody with a token can have written without a right to anything."""


def _oldest_audit(tx: Tx, limit: int, *conditions: Any) -> list[int]:
    """The oldest audit rows that fulfil the conditions."""
    oldest = Audit.select(Audit.id).where(Audit.id > 0, *conditions).order_by(Audit.id).limit(limit)
    return [row["id"] for row in tx.rows(oldest)]
