"""The duty of delivering: the outbox, in order per destination, at least once, until results.keep_hours.

One job at a time works for a destination. A post that fails holds up those behind it, with growing waits;
one that is refused again and again is given up, so that it does not hold them up for ever.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct

from acsmpd import faults
from acsmpd.clock import HOUR_SECONDS, Moment
from acsmpd.decide import results as decided
from acsmpd.decide.backoff import delay_seconds
from acsmpd.engine import losses
from acsmpd.engine.core import Core, Retries
from acsmpd.engine.lanes import Lanes
from acsmpd.faults import Permanent, Temporary
from acsmpd.store import alarms, plans, results
from acsmpd.store.database import Tx
from acsmpd.store.rows import is_past
from acsmpd.store.tables import Delivery
from acsmpd.wire.caller import Wire

log = logging.getLogger(__name__)

POSTS, POSTS_SECONDS = 50, 10.0
"""What one job does before the lane is free for another destination."""
DESTINATIONS = 1000
REFUSALS = 5
"""Refusals of one result after which it is given up."""
FAILURES = 8
"""Failures in a row after which an alarm says so; some minutes at the usual back-off."""
TIDY_SECONDS = 60.0
BATCH, EXPIRE_SECONDS = 500, 2.0
"""Deliveries given up in one transaction, for which everybody who writes waits; and how long it may go on."""
UNDELIVERABLE = "undeliverable"


class Parcel(Struct, frozen=True):
    """One delivery made ready: the row, and what is posted."""

    delivery_id: int
    url: str
    attempts: int
    refusals: int
    key: str
    body: dict[str, Any]
    pictures: dict[int, str]


class Relay:
    """Empties the outbox. A destination is scheme://host:port."""

    def __init__(self, core: Core, lanes: Lanes, wire: Wire) -> None:
        self._core, self._lanes, self._wire = core, lanes, wire
        self._retries = Retries()
        self._lock = threading.Lock()
        self._failures: dict[str, int] = {}
        self._tidied = float("-inf")

    def ensure(self, now: Moment) -> float:
        if now.mono - self._tidied >= TIDY_SECONDS:
            self._tidied = now.mono
            self._tidy(now)
        with self._core.store.read() as tx:
            waiting = results.destinations(tx, DESTINATIONS)
        for destination in waiting:
            if self._retries.due(destination, now.mono):
                self._lanes.take(f"relay:{destination}", destination, partial(self._work, destination))
        return now.mono + 1.0 if waiting else self._tidied + TIDY_SECONDS

    def _tidy(self, now: Moment) -> None:
        """Give up what is too old; forget destinations nothing waits for."""
        while self._expire(now) and self._core.clock.now().mono - now.mono <= EXPIRE_SECONDS:
            continue
        day = self._core.clock.steps.shown(now, losses.QUIET_SECONDS)
        with self._core.store.write(durable=False) as tx:
            losses.settle(tx, now.wall_ms, day)
            waiting = set(results.destinations(tx, DESTINATIONS))
            for destination in set(results.alarmed(tx, UNDELIVERABLE)) - waiting:
                alarms.end_alarm(tx, UNDELIVERABLE, destination, now.wall_ms)
        with self._lock:
            idle = set(self._failures) - waiting
            for destination in idle:
                del self._failures[destination]
        for destination in idle:
            self._retries.clear(destination)

    def _expire(self, now: Moment) -> bool:
        """Give up a batch of what is too old; whether there was any."""
        seconds = self._core.settings.results.keep_hours * HOUR_SECONDS
        old = is_past(Delivery.created_ms, self._core.clock.steps.shown(now, seconds))
        with self._core.store.write(durable=False) as tx:
            lost = results.drop_deliveries(tx, results.first_deliveries(BATCH, old))
            for destination, number in lost.items():
                losses.note(tx, destination, "expired", number, now.wall_ms)
        return bool(lost)

    # --- one destination's job ------------------------------------------------------------------------------

    def _work(self, destination: str) -> None:
        begun = self._core.clock.now().mono
        for _ in range(POSTS):
            if self._core.stopping.is_set() or self._core.clock.now().mono - begun > POSTS_SECONDS:
                return
            parcel = self._next(destination)
            if parcel is None or not self._post_or_wait(destination, parcel):
                return

    def _next(self, destination: str) -> Parcel | None:
        """The oldest parcel for a destination."""
        with self._core.store.read() as tx:
            row = results.next_delivery(tx, destination)
            stored = results.get(tx, str(row["result_id"])) if row else None
            return _parcel(tx, row, stored) if row and stored else None

    def _post_or_wait(self, destination: str, parcel: Parcel) -> bool:
        """The same one comes again when what became of it could not be written: not at once, for the disk's sake."""
        try:
            return self._post(destination, parcel)
        except faults.Fault:
            with self._lock:
                failures = self._failures[destination] = self._failures.get(destination, 0) + 1
            pause = self._delay(destination, failures, slow=False)
            self._retries.wait(destination, self._core.clock.now().mono + pause)
            raise

    def _post(self, destination: str, parcel: Parcel) -> bool:
        """Post one; True if the next may follow at once."""
        body = msgspec.json.encode(decided.inlined(parcel.body, self._read(parcel.pictures)))
        try:
            answer = self._wire.post_json(parcel.url, body, {"Idempotency-Key": parcel.key})
        except Permanent as fault:
            return self._not_delivered(destination, parcel, fault.message, slow=True)
        except Temporary as fault:
            return self._not_delivered(destination, parcel, fault.message)
        verdict = decided.judge(answer.status, answer.code)
        if verdict.delivered:
            self._delivered(destination, parcel)
            return True
        return self._not_delivered(destination, parcel, verdict.reason, refused=verdict.refused)

    def _read(self, pictures: dict[int, str]) -> dict[int, bytes]:
        """The pictures that are still there."""
        found = {}
        for place, path in pictures.items():
            try:
                found[place] = (self._core.data / path).read_bytes()
            except OSError as error:
                log.warning("a result goes without its picture %s: %s", path, error.strerror)
        return found

    # --- what became of it ------------------------------------------------------------------------------------

    def _delivered(self, destination: str, parcel: Parcel) -> None:
        with self._lock:
            failed = self._failures.pop(destination, 0)
        self._retries.clear(destination)
        now_ms = self._core.clock.now().wall_ms
        with self._core.store.write(durable=False) as tx:
            results.drop_delivery(tx, parcel.delivery_id)
            if failed or parcel.attempts:
                alarms.end_alarm(tx, UNDELIVERABLE, destination, now_ms)
        if failed:
            log.info("results are delivered again", extra={"device": destination})

    def _not_delivered(
        self, destination: str, parcel: Parcel, reason: str, *, refused: bool = False, slow: bool = False
    ) -> bool:
        with self._lock:
            failures = self._failures[destination] = self._failures.get(destination, 0) + 1
        refusals, now = parcel.refusals + refused, self._core.clock.now()
        if failures == 1 or refusals >= REFUSALS:
            log.warning(
                "cannot deliver results to %s: %s", destination, reason, extra={"device": destination}
            )
        with self._core.store.write(durable=False) as tx:
            if refusals >= REFUSALS:
                results.drop_delivery(tx, parcel.delivery_id)
                losses.note(tx, destination, "refused", 1, now.wall_ms)
                return True
            results.change_delivery(
                tx, parcel.delivery_id, attempts=parcel.attempts + 1, refusals=refusals, error=reason[:500]
            )
            if slow or failures >= FAILURES:
                waiting = results.waiting(tx, destination)
                text = f"{reason[:500]}; results that wait: {waiting}"
                alarms.raise_alarm(tx, UNDELIVERABLE, destination, text, now.wall_ms)
        self._retries.wait(destination, now.mono + self._delay(destination, failures, slow))
        return False

    def _delay(self, destination: str, failures: int, slow: bool) -> float:
        limits = self._core.settings.engine
        if slow:
            return float(limits.backoff_max_seconds)
        return delay_seconds(
            failures, first=limits.backoff_first_seconds, limit=limits.backoff_max_seconds, salt=destination
        )


def _parcel(tx: Tx, row: dict[str, Any], stored: dict[str, Any]) -> Parcel:
    """A delivery with the body as its receiver knows it: its own ids, our pictures by path."""
    instance = plans.any_instance(tx, row["instance_id"])
    task_id = (
        instance["caller_id"]
        if instance and instance["origin"] and instance["caller_id"]
        else row["instance_id"]
    )
    given = str(stored["body"].get("AlgoServiceID") or "")
    return Parcel(
        delivery_id=row["id"],
        url=row["url"],
        attempts=row["attempts"],
        refusals=row["refusals"],
        key=stored["fingerprint"],
        body=decided.addressed(stored["body"], task_id, results.service_of(tx, row["instance_id"], given)),
        pictures=results.pictures_of(tx, [row["result_id"]])[row["result_id"]],
    )
