"""The connections of the store; those that read are lent for one transaction each."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from typing import Any

import peewee

READERS = 6
"""So many read at once. More would not be faster: they would take the interpreter and the caches from each other."""
READER_PATIENCE_SECONDS = 0.25
"""Who waits longer gets a reader of its own: a long search holds nobody up, and somebody who holds one may be
waiting for what we hold."""


class Connection(peewee.SqliteDatabase):  # type: ignore[misc]
    """A Peewee database with one connection, for one thread at a time."""

    def end(self) -> None:
        """Close it for good: who still asks gets an error, where Peewee's own `close` makes way for a new one."""
        if not self.is_closed():
            self.connection().close()


class Reader:
    """A connection that only reads, and what it remembers of its searches."""

    def __init__(self, database: Connection) -> None:
        self.database = database
        self.memory: dict[Any, Any] = {}
        self.version: int | None = None  # of the database, when it was last asked for


class Readers:
    """Lends readers, the one given back last first: its pages are in the caches."""

    def __init__(self, make: Callable[[], Connection]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._free: list[Reader] = []
        self._closed = False
        self._slots = threading.BoundedSemaphore(READERS)

    @contextlib.contextmanager
    def lent(self, *, patient: bool) -> Iterator[Reader]:
        """A reader for one transaction; a spare one after READER_PATIENCE_SECONDS of waiting, or at once."""
        if not self._slots.acquire(timeout=READER_PATIENCE_SECONDS if patient else 0):
            spare = self._fresh()
            try:
                yield spare
            finally:
                spare.database.end()
            return
        try:
            reader = self._take()
            try:
                yield reader
            finally:
                self._give_back(reader)
        finally:
            self._slots.release()

    def _take(self) -> Reader:
        with self._lock:
            return self._free.pop() if self._free else self._fresh()

    def _fresh(self) -> Reader:
        if self._closed:
            raise sqlite3.ProgrammingError("it is closed")
        return Reader(self._make())

    def _give_back(self, reader: Reader) -> None:
        with self._lock:
            if not self._closed:
                self._free.append(reader)
                return
        reader.database.end()

    def close(self) -> None:
        """Close those that are not lent. Who holds one closes it: SQLite's driver crashes when a connection goes
        away under a statement that runs."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for reader in free:
            reader.database.end()
