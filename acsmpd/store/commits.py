"""One transaction for those who write at the same moment: a sync of the disk costs more than what each writes."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator

import peewee

MOST_MEMBERS, MOST_SECONDS = 32, 0.05
"""So many join one transaction, and for so long: those who came first wait for the last."""


class Group:
    """A transaction begun by the first of its members. Each has its changes taken back alone when it fails; all are on
    disk, or none is, when `settled` returns or raises."""

    def __init__(self, database: peewee.SqliteDatabase) -> None:
        """`database`: connected, the transaction open."""
        self.database = database
        self.members = 0
        self.wrote = False
        self._before = database.connection().total_changes
        self._begun = time.monotonic()
        self._over = threading.Event()
        self._error = ""  # in words: an exception that is kept keeps the connection open

    @property
    def is_over(self) -> bool:
        return self._over.is_set()

    @property
    def is_full(self) -> bool:
        return self.members >= MOST_MEMBERS or time.monotonic() - self._begun > MOST_SECONDS

    @contextlib.contextmanager
    def member(self) -> Iterator[None]:
        """One block of changes; the caller has the only turn to write."""
        point = self.members > 0
        if point:
            self.database.execute_sql("SAVEPOINT member")
        try:
            yield
            if point:
                self.database.execute_sql("RELEASE member")
        except BaseException as error:
            self._take_back(error, point)
            raise
        self.members += 1

    def _take_back(self, error: BaseException, point: bool) -> None:
        """Undo the last block. A failing disk may have undone all of them, and then nobody's are there."""
        if point:
            with contextlib.suppress(peewee.PeeweeException, sqlite3.Error):
                self.database.execute_sql("ROLLBACK TO member")
                self.database.execute_sql("RELEASE member")
                return
        self._end(error)

    def commit(self) -> None:
        """Bring all of it to the disk; whether that worked, `settled` tells each member."""
        try:
            self.database.execute_sql("COMMIT")
        except (peewee.PeeweeException, sqlite3.Error) as error:
            self._end(error)
        else:
            self.wrote = self.database.connection().total_changes != self._before
            self._over.set()

    def _end(self, error: BaseException) -> None:
        with contextlib.suppress(peewee.PeeweeException, sqlite3.Error):
            self.database.execute_sql("ROLLBACK")
        self._error = str(error) or type(error).__name__
        self._over.set()

    def wait(self, seconds: float) -> bool:
        return self._over.wait(seconds)

    def settled(self) -> None:
        """Raise what kept the group from the disk."""
        if self._error:
            raise peewee.OperationalError(self._error)
