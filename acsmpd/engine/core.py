"""What every manager is given: the store, the clock, the drivers, the keys. Built once, in app.py."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from acsmpd.clock import Clock, Moment
from acsmpd.decide.cards import Card
from acsmpd.drivers.driver import Driver
from acsmpd.model import Family
from acsmpd.security.links import LinkSigner
from acsmpd.security.seal import Sealer
from acsmpd.settings import Settings
from acsmpd.store.database import Store
from acsmpd.store.presence import Presence
from acsmpd.store.traffic import Traffic
from acsmpd.store.transfers import Transfers

PROGRAM_SECONDS = 60.0
"""How long a device that was sent the executable of a package may go without taking any of it."""


class Manager(Protocol):
    """One duty of the engine. Short, any order, talks to the others only through the store."""

    def ensure(self, now: Moment) -> float | None:
        """Do what is due. Gives the monotonic moment at which it wants to be asked again though nothing has
        changed in the store; None: only when something has."""


class Retries:
    """When a subject may be tried again: monotonic, in memory (after a restart everything may be)."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()

    def wait(self, key: str, until: float) -> None:
        with self._lock:
            self._due[key] = until

    def clear(self, key: str) -> None:
        with self._lock:
            self._due.pop(key, None)

    def due(self, key: str, now: float) -> bool:
        with self._lock:
            return self._due.get(key, float("-inf")) <= now

    def prune(self, now: float) -> None:
        """Drop what is due: it says nothing any more."""
        with self._lock:
            self._due = {key: until for key, until in self._due.items() if until > now}

    def next_due(self) -> float | None:
        with self._lock:
            return min(self._due.values(), default=None)


@dataclass(frozen=True)
class Core:
    """The engine's surroundings."""

    settings: Settings
    store: Store
    clock: Clock
    presence: Presence
    sealer: Sealer
    signer: LinkSigner
    drivers: Mapping[Family, Driver]
    data: Path
    local_code: str
    cards: Callable[[], Sequence[Card]] = tuple
    """the cards of this box as they are now"""
    port: Callable[[], int] = lambda: 0
    """the port we listen on, as it turned out"""
    transfers: Transfers = field(default_factory=Transfers)
    traffic: Traffic = field(default_factory=Traffic)
    wake_event: threading.Event = field(default_factory=threading.Event)
    touched: dict[str, float] = field(default_factory=dict)
    """subject -> monotonic moment of the last step on it; an observation begun before says nothing about it"""
    sent_away: dict[tuple[str, str, str], float] = field(default_factory=dict)
    """(computility, kind, its id there) -> monotonic moment it took our word to unload or delete it"""
    stopping: threading.Event = field(default_factory=threading.Event)

    def program_age(self, copy_id: int, now: float) -> float:
        """Seconds since a device was sent the executable of a package, or took a block of it; endless before that."""
        sent = self.touched.get(f"program:{copy_id}")
        if sent is None:
            return float("inf")
        transfer = self.transfers.of(copy_id)
        return now - max(sent, transfer.at if transfer else sent)

    def wake(self) -> None:
        """Have the engine look at the state soon."""
        self.wake_event.set()
