"""The duty of delivering: the outbox, in order per destination, at least once, until results.keep_hours.

One job at a time works for a destination, within the bytes a second its line may take. A post that fails holds up
those behind it, with growing waits; one that is refused holds up those for its address alone, and is given up when that
comes again and again, so that it does not hold them up for ever. Destinations that failed last get half of the lanes:
one that takes nothing keeps its own for as long as a thin line would.
"""

from __future__ import annotations

import logging
import threading
from functools import partial

from msgspec import Struct

from acsmpd import faults
from acsmpd.clock import HOUR_SECONDS, Moment
from acsmpd.decide import results as decided
from acsmpd.decide.backoff import delay_seconds
from acsmpd.decide.relaying import Asides, Pace, line_to, posting_seconds
from acsmpd.engine import losses
from acsmpd.engine.core import Core, Retries
from acsmpd.engine.lanes import Lanes
from acsmpd.engine.parcels import JSON, Parcel, next_parcels, packed
from acsmpd.faults import Permanent, Temporary
from acsmpd.settings import Relay as Line
from acsmpd.store import alarms, results
from acsmpd.store.rows import is_past
from acsmpd.store.tables import Delivery
from acsmpd.wire.caller import Wire
from acsmpd.wire.exchange import Cancelled

log = logging.getLogger(__name__)

JOB_SECONDS = 10.0
"""What one job does before the lane is free for another destination."""
ASIDES, ASIDE_SECONDS, QUIET_SECONDS = 2, 0.001, 0.005
"""How often, and for how long each time, a post waits while people or applications are at work here."""
NOTE_SECONDS = 0.5
"""How long what was posted may be known to nobody but its receiver."""
ASIDE_LOOK_SECONDS = 5.0
"""How soon what is fresh for the other addresses is looked for, through all that waits for those left alone."""
DESTINATIONS, ALL = 1000, 1_000_000
"""Looked at in one pass; the next goes on behind them."""
REFUSALS = 5
"""Refusals of one result after which it is given up."""
FAILURES = 8
"""Failures in a row after which an alarm says so; some minutes at the usual back-off."""
TIDY_SECONDS = 60.0
BATCH, EXPIRE_SECONDS = 500, 2.0
"""Deliveries given up in one transaction, for which everybody who writes waits; and how long it may go on."""
UNDELIVERABLE = "undeliverable"


class Trouble(Struct, frozen=True):
    """Why a parcel did not go. `refused`: its receiver does not want it; `slow`: nothing will change soon."""

    reason: str
    refused: bool = False
    slow: bool = False


class Relay:
    """Empties the outbox. A destination is scheme://host:port."""

    def __init__(self, core: Core, lanes: Lanes, wire: Wire) -> None:
        self._core, self._lanes, self._wire = core, lanes, wire
        self._retries = Retries()
        self._lock = threading.Lock()
        self._failures: dict[str, int] = {}
        self._paces: dict[str, Pace] = {}
        self._asides: dict[str, Asides] = {}
        self._served: dict[str, float] = {}
        self._most_tried = max(1, core.settings.engine.lanes // 2)
        self._tidied, self._after = float("-inf"), ""

    def ensure(self, now: Moment) -> float:
        if now.mono - self._tidied >= TIDY_SECONDS:
            self._tidied = now.mono
            self._tidy(now)
        with self._core.store.read() as tx:
            after, waiting = self._after, results.destinations(tx, DESTINATIONS, self._after)
        self._after = waiting[-1] if len(waiting) == DESTINATIONS else ""
        tried = sum(self._lanes.busy(f"relay:{one}") for one in tuple(self._failures))
        for destination in sorted(waiting, key=lambda one: self._served.get(one, float("-inf"))):
            failing = destination in self._failures
            if not self._retries.due(destination, now.mono) or (failing and tried >= self._most_tried):
                continue
            took = self._lanes.take(f"relay:{destination}", destination, partial(self._work, destination))
            tried += failing and took
        return now.mono + 1.0 if waiting or after else self._tidied + TIDY_SECONDS

    def _tidy(self, now: Moment) -> None:
        """Give up what is too old; forget destinations nothing waits for."""
        while self._expire(now) and self._core.clock.now().mono - now.mono <= EXPIRE_SECONDS:
            continue
        day = self._core.clock.steps.shown(now, losses.QUIET_SECONDS)
        with self._core.store.write(durable=False) as tx:
            losses.settle(tx, now.wall_ms, day)
            waiting = set(results.destinations(tx, ALL))
            for destination in set(results.alarmed(tx, UNDELIVERABLE)) - waiting:
                alarms.end_alarm(tx, UNDELIVERABLE, destination, now.wall_ms)
        with self._lock:
            idle = (set(self._failures) | set(self._served)) - waiting
            for destination in idle:
                self._failures.pop(destination, None)
                self._served.pop(destination, None)
                self._paces.pop(destination, None)
                self._asides.pop(destination, None)
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
        line = line_to(self._core.settings.relay, destination)
        begun = self._served[destination] = self._core.clock.now().mono
        while not self._core.stopping.is_set() and self._core.clock.now().mono - begun <= JOB_SECONDS:
            parcels = self._next(destination, line)
            if not (parcels and self._post_or_wait(destination, parcels, line)):
                return

    def _next(self, destination: str, line: Line) -> list[Parcel]:
        """What goes next: after a failure what is for addresses that have refused nothing, if there is any.

        Where only addresses that are left alone have something, they are looked at later.
        """
        now = self._core.clock.now().mono
        asides = self._asides_of(destination)
        aside, parcels = asides.now(now), []
        with self._core.store.read() as tx:
            if destination in self._failures and asides.refused:
                parcels = next_parcels(tx, destination, line, list(asides.refused))
            parcels = parcels or next_parcels(tx, destination, line, list(aside))
        if aside and not parcels:
            self._retries.wait(destination, min(*aside.values(), now + ASIDE_LOOK_SECONDS))
        return parcels

    def _post_or_wait(self, destination: str, parcels: list[Parcel], line: Line) -> bool:
        """The same come again when what became of them could not be written: not at once, for the disk's sake."""
        try:
            return self._post_all(destination, parcels, line)
        except faults.Fault:
            with self._lock:
                failures = self._failures[destination] = self._failures.get(destination, 0) + 1
            pause = self._delay(destination, failures, slow=False)
            self._retries.wait(destination, self._core.clock.now().mono + pause)
            raise

    def _post_all(self, destination: str, parcels: list[Parcel], line: Line) -> bool:
        """Post one after the other until one does not go; True if the next may follow at once.

        What went is noted together: soon, since a crash before it posts so many again.
        """
        posted: list[Parcel] = []
        forms: set[tuple[str, str]] = set()
        until, trouble = self._core.clock.now().mono + NOTE_SECONDS, None
        pace = self._paces.setdefault(destination, Pace())
        for parcel in parcels:
            self._step_aside()
            now = self._core.clock.now().mono
            paused = pace.pause(now)
            if paused or self._core.stopping.is_set() or now > until:
                break
            if (parcel.raw, parcel.url) in forms:
                continue
            body, content_type = packed(self._core.data, parcel)
            pace.taken(line, len(body), now)
            try:
                trouble = self._post(parcel, body, content_type)
            except Cancelled:
                break
            if trouble is not None:
                break
            posted.append(parcel)
            if content_type != JSON:
                forms.add((parcel.raw, parcel.url))
        if posted:
            self._delivered(destination, posted, forms)
        if trouble is not None:
            return self._not_delivered(destination, parcel, trouble)
        if paused:
            self._retries.wait(destination, self._core.clock.now().mono + paused)
        return not paused

    def _step_aside(self) -> None:
        """Let those go first who are at work here; not for long, or they would keep the backlog for ever."""
        for _ in range(ASIDES):
            if self._core.traffic.is_quiet(self._core.clock.now().mono, QUIET_SECONDS):
                return
            self._core.stopping.wait(ASIDE_SECONDS)

    def _post(self, parcel: Parcel, body: bytes, content_type: str) -> Trouble | None:
        """Post one; None when it was taken. Cancelled when we stop and it had the usual time."""
        headers = {"Content-Type": content_type, "Idempotency-Key": parcel.key}
        usual = self._core.settings.wire.read_timeout_seconds
        seconds, until = posting_seconds(len(body), usual), self._core.clock.now().mono + usual

        def is_over() -> bool:
            return self._core.stopping.is_set() and self._core.clock.now().mono > until

        try:
            answer = self._wire.post_result(parcel.url, body, headers, seconds, is_over)
        except Permanent as fault:
            return Trouble(fault.message, slow=True)
        except Temporary as fault:
            return Trouble(fault.message)
        verdict = decided.judge(answer.status, answer.code)
        return None if verdict.delivered else Trouble(verdict.reason, refused=verdict.refused)

    # --- what became of it ------------------------------------------------------------------------------------

    def _delivered(self, destination: str, parcels: list[Parcel], forms: set[tuple[str, str]]) -> None:
        """Forget what was taken; with each (path, address) of a form that went as it came all that was in it."""
        with self._lock:
            failed = self._failures.pop(destination, 0)
        self._retries.clear(destination)
        for parcel in parcels:
            self._asides_of(destination).took(parcel.url)
        now_ms = self._core.clock.now().wall_ms
        with self._core.store.write(durable=False) as tx:
            results.forget_deliveries(tx, Delivery.id.in_([parcel.delivery_id for parcel in parcels]))
            for path, url in forms:
                results.forget_deliveries(tx, results.of_raw(path, url))
            if failed or any(parcel.attempts for parcel in parcels):
                alarms.end_alarm(tx, UNDELIVERABLE, destination, now_ms)
        if failed:
            log.info("results are delivered again", extra={"device": destination})

    def _not_delivered(self, destination: str, parcel: Parcel, trouble: Trouble) -> bool:
        """True if the next may follow at once: this one is given up, or its address left alone for a while."""
        reason, now = trouble.reason, self._core.clock.now()
        with self._lock:
            failures = self._failures[destination] = self._failures.get(destination, 0) + 1
        asides = self._asides_of(destination)
        times = asides.refuses(parcel.url) if trouble.refused else 0
        refusals = parcel.refusals + (trouble.refused and asides.is_one)
        if failures == 1 or refusals >= REFUSALS:
            log.warning(
                "cannot deliver results to %s: %s", destination, reason, extra={"device": destination}
            )
        with self._core.store.write(durable=False) as tx:
            if refusals >= REFUSALS:
                results.forget_deliveries(tx, Delivery.id == parcel.delivery_id)
                losses.note(tx, destination, "refused", 1, now.wall_ms)
                return True
            results.change_delivery(
                tx, parcel.delivery_id, attempts=parcel.attempts + 1, refusals=refusals, error=reason[:500]
            )
            if trouble.slow or max(failures, times) >= FAILURES:
                waiting = results.waiting(tx, destination)
                text = f"{reason[:500]}; results that wait: {waiting}"
                alarms.raise_alarm(tx, UNDELIVERABLE, destination, text, now.wall_ms)
        wait = self._delay(destination, failures, trouble.slow)
        if trouble.refused:
            asides.leave(parcel.url, now.mono + self._delay(parcel.url, max(times, failures), slow=False))
            wait = 0.0 if failures == 1 else min(wait, ASIDE_LOOK_SECONDS)
        self._retries.wait(destination, now.mono + wait)
        return not wait

    def _asides_of(self, destination: str) -> Asides:
        """Made anew where tidying forgot them while a post was under way."""
        return self._asides.setdefault(destination, Asides())

    def _delay(self, destination: str, failures: int, slow: bool) -> float:
        limits = self._core.settings.engine
        if slow:
            return float(limits.backoff_max_seconds)
        return delay_seconds(
            failures, first=limits.backoff_first_seconds, limit=limits.backoff_max_seconds, salt=destination
        )
