"""Keeps looking at the cards, whatever the driver does: a child asked in rounds, ended and started again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from msgspec import Struct

from acsmpd.clock import Clock
from acsmpd.probes.places import Places
from acsmpd.probes.probe import Card, Reading
from acsmpd.probes.reader import CardReader

log = logging.getLogger(__name__)

Publish = Callable[[tuple[Card, ...], tuple[str, ...]], None]


class Pace(Struct, frozen=True, kw_only=True):
    """How often is looked, how long is waited. A driver's first answer may rightly take many seconds."""

    interval_seconds: float = 10.0
    deadline_seconds: float = 5.0
    start_deadline_seconds: float = 30.0
    restart_seconds: float = 1.0
    restart_max_seconds: float = 60.0


class CardWatch:
    """Looks at the cards once per `round` and publishes what it saw."""

    def __init__(
        self, clock: Clock, pace: Pace, publish: Publish, environment: Mapping[str, str] | None = None
    ) -> None:
        self._pace = pace
        self._publish = publish
        self._reader = CardReader(clock, environment)
        self._places = Places()
        self._failures = 0

    @property
    def child_pid(self) -> int | None:
        return self._reader.pid

    def round(self) -> float | None:
        """Look once; the seconds to pause before the next round, None when there is no sense in another."""
        try:
            reading = self._read()
        except ConnectionAbortedError:
            return None  # interrupted: this says nothing about the cards
        except OSError as error:
            return self._failed(str(error))
        if reading is None:
            log.info("no NVIDIA driver library on this machine: no NVIDIA cards are shown")
            self._publish(self._places.arrange(()), ())
            return None
        if reading.spent:
            return self._failed("; ".join(reading.faults))
        return self._answered(reading)

    def interrupt(self) -> None:
        """End a round that waits for the driver; any thread may say so."""
        self._reader.interrupt()

    def close(self) -> None:
        """Kill the child and let everything go, once no thread is in a round any more."""
        self._reader.close()

    def _read(self) -> Reading | None:
        if self._reader.running:
            return self._reader.ask(self._pace.deadline_seconds)
        if not self._reader.start(self._pace.start_deadline_seconds):
            return None
        return self._reader.ask(self._pace.start_deadline_seconds)

    def _answered(self, reading: Reading) -> float:
        if self._failures:
            log.info("the card driver answers again")
        self._failures = 0
        self._publish(self._places.arrange(reading.cards), reading.faults)
        return self._pace.interval_seconds

    def _failed(self, reason: str) -> float:
        """Publish the silence first: killing the child may take its time."""
        if not self._failures:
            log.warning("cannot read the cards: %s", reason)
        self._publish(self._places.silent(reason), (f"cannot read the cards: {reason}",))
        self._reader.kill()
        pause = self._pace.restart_seconds * 2.0 ** min(self._failures, 16)
        self._failures += 1
        return min(pause, self._pace.restart_max_seconds)
