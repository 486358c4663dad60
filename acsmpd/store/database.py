"""SQLite, opened once: one way to write, one way to read.

Every write is part of one short `BEGIN IMMEDIATE` transaction under a process lock, shared by those who write at
the same moment (commits.py); nothing crosses the network inside it. Two writer connections exist because
`synchronous` cannot change inside a transaction: durable (FULL) for wishes, intents, licences and audit, brisk
(NORMAL) for samples and liveness.
Few readers are open, each lent for one transaction; an open transaction would keep the WAL from shrinking.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import peewee

from acsmpd import faults
from acsmpd.store import migrations
from acsmpd.store.commits import Group
from acsmpd.store.connections import Connection, Reader, Readers
from acsmpd.store.diskwords import FULL, disk_reason

BUSY_TIMEOUT_MS = 5_000
CHECKPOINT_MS = 100
"""How long a checkpoint waits for readers: all writers wait for it."""
LOCKED_OUT_MS = 100
"""How long a write waits for another program that has just outlasted BUSY_TIMEOUT_MS: all writers wait behind it."""
JOURNAL_LIMIT_BYTES = 8 * 1024 * 1024


HANDED_ON_SECONDS = 1.0
"""How long one who has written trusts those who came after to bring it to the disk."""
VERSION = "(SELECT data_version FROM pragma_data_version)"
"""In a statement: what changes when anybody else has written."""
READER_CACHE = -1_000
"""KiB of pages a reader keeps (negative: SQLite's way to say KiB). Six of them with 16 MB each answered no faster."""
REMEMBERED = 400
"""Numbers that are remembered, of each reader: its connection has a version of its own."""
REMEMBERED_VALUES = 32
"""A question with more values is not remembered: a list of devices may be as long as a body."""


class Changed(NamedTuple):
    """How many rows a statement changed, and the row id of the last one it entered."""

    rows: int
    row_id: int


class Tx:
    """One open transaction: runs Peewee queries on the connection it was opened on."""

    def __init__(self, database: peewee.SqliteDatabase, reader: Reader | None = None) -> None:
        """Of a reader the transaction begins with the first statement that is not `alone`."""
        self._database, self._reader = database, reader
        self._version: int | None = None
        self.is_open = reader is None

    def run(self, query: Any) -> Any:
        """Execute a query; an insert gives the new row id, an update or delete the number of rows."""
        self.enter()
        return query.execute(self._database)

    def rows(self, query: Any) -> list[dict[str, Any]]:
        """All rows of a select, as dicts."""
        self.enter()
        return list(query.dicts().execute(self._database))

    def row(self, query: Any) -> dict[str, Any] | None:
        """The first row of a select, or None."""
        found = self.rows(query.limit(1))
        return found[0] if found else None

    def number(self, query: Any) -> int:
        """The single number a select such as COUNT(*) gives; 0 for NULL."""
        self.enter()
        found = list(query.tuples().execute(self._database))
        return int(found[0][0] or 0) if found else 0

    def text(self, query: Any) -> tuple[str, list[Any]]:
        """A query as the text and the parameters SQLite gets."""
        text, values = self._database.get_sql_context().sql(query).query()
        return text, values

    def condition(self, table: Any, condition: Any) -> tuple[str, list[Any]]:
        """A condition on a table, which is called t1 in it, as text and parameters."""
        if isinstance(condition, peewee.SQL):
            return condition.sql, condition.params or []
        context = self._database.get_sql_context()
        with context.scope_normal(subquery=True):  # a select inside it stands in parentheses
            assert context.alias_manager[table._meta.table] == "t1"  # noqa: S101  (the first that asks)
            context.sql(condition)
        text, values = context.query()
        return text, values

    def counted(self, text: str, *values: Any) -> int:
        """The number a SELECT COUNT(*) gives, remembered until anybody writes: the pages of one search ask for
        the same count again."""
        number = self.recalled(text, *values)
        if number is None:
            number = int(self.sql(text, *values)[0][0])
            self.remember(number, text, *values)
        return int(number)

    def recalled(self, *key: Any) -> Any:
        """What was remembered under this key; None when somebody wrote since, or in a transaction that writes."""
        if self._reader is None:
            return None  # a writer does not see by the version what it wrote itself
        version, value = self._reader.memory.get(key, (None, None))
        return value if version == self._seen() else None

    def _seen(self) -> int | None:
        if self._version is None and self._reader is not None:
            [(self._version,)] = self.sql("PRAGMA data_version")
            self._reader.version = self._version
        return self._version

    def assume(self) -> None:
        """Go on as if nobody had written since this reader was lent before: a search that only asks what it asked
        then is one statement. It tells its VERSION, and `held` whether that was so."""
        if not self.is_open and self._reader is not None:
            self._version = self._reader.version

    def held(self, version: int) -> bool:
        """Whether what was assumed is true; if not, it is given up, and the search has to be asked again."""
        if self.is_open or version == self._version:
            return True
        self._version = None
        return False

    def remember(self, value: Any, *key: Any) -> None:
        """Keep what was just read until anybody writes; `recalled` was asked before."""
        if self._reader is None or len(key) > REMEMBERED_VALUES:
            return
        memory = self._reader.memory
        memory.pop(key, None)
        memory[key] = (self._seen(), value)
        if len(memory) > REMEMBERED:
            del memory[next(iter(memory))]

    def packed(self, text: str, *values: Any) -> str:
        """The one JSON text of a statement such as SELECT json_group_array(...).

        SQLite's driver lets other threads run at each row it fetches; under load a page of rows would wait for
        the interpreter as many times.
        """
        return str(self.sql(text, *values)[0][0])

    def alone(self, text: str, *values: Any) -> str:
        """`packed` of a statement that needs no view beyond its own: where none is open, none is begun."""
        return str(self._rows(text, values)[0][0])

    def sql(self, text: str, *values: Any) -> list[tuple[Any, ...]]:
        """A literal statement with parameters, for what the query builder cannot say, or says too slowly."""
        self.enter()
        return self._rows(text, values)

    def each(self, text: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """The rows of `sql` one by one, for many that are made into something else; to be read within the
        transaction."""
        self.enter()
        yield from self._database.connection().execute(text, values)

    def change(self, text: str, *values: Any) -> Changed:
        """A literal statement that writes."""
        self.enter()
        cursor = self._database.connection().execute(text, values)
        return Changed(cursor.rowcount, cursor.lastrowid or 0)

    def _rows(self, text: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._database.connection().execute(text, values).fetchall()
        return rows

    def enter(self) -> None:
        if not self.is_open:
            self._database.connection().execute("BEGIN")
            self.is_open, self._version = True, None


class Store:
    """The one database of a data directory. Open it, use `write` and `read`, close it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.RLock()
        self._counting = threading.Lock()
        self._waiting = 0  # for a turn to write
        self._taken = False
        self._group: Group | None = None
        self._closed = True
        self._locked_out = False
        self._unsure = False  # whether a write to the disk failed whose pages may be lost
        self.trouble = ""
        """why nothing can be written now; empty as far as is known"""

    def open(self) -> Store:
        """Open the file, bring its schema to this version; raises faults.Internal with words if it cannot."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._durable = self._database(synchronous=2)
        self._brisk = self._database(synchronous=1)
        self._watch = self._database(synchronous=1, query_only=1)
        # what outgrows the cache is sorted in memory: a search needs no disk to write to
        reading = {"synchronous": 1, "query_only": 1, "cache_size": READER_CACHE, "temp_store": 2}
        self._readers = Readers(lambda: self._database(**reading))
        self._closed = False
        try:
            with self._words(f"cannot open the database {self.path}"):
                self._durable.connect(reuse_if_open=True)
                migrations.migrate(self._durable)
        except BaseException:
            self.close()
            raise
        return self

    def _database(self, **pragmas: int) -> Connection:
        everywhere: dict[str, int | str] = {
            "journal_mode": "wal",
            "busy_timeout": BUSY_TIMEOUT_MS,
            "foreign_keys": 1,
            "journal_size_limit": JOURNAL_LIMIT_BYTES,
            # Debian's SQLite overwrites what is deleted: a purge would write all it frees, with everybody waiting
            "secure_delete": "fast",
        }
        return Connection(
            str(self.path), pragmas={**everywhere, **pragmas}, thread_safe=False, check_same_thread=False
        )

    @contextlib.contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Tx]:
        """One transaction that is on disk when the block ends, or has not happened at all.

        Who waits for a turn meanwhile joins it, and one sync of the disk serves all of them.
        """
        with self._words("cannot write to the database", writing=True):
            with self._turn():
                group = self._group_for(self._durable if durable else self._brisk)
                with group.member():
                    yield Tx(group.database)
            while not group.wait(HANDED_ON_SECONDS):
                with self._turn():  # nobody of those it was left to is there any more
                    pass
            group.settled()
            if group.wrote:
                self.trouble = ""

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """The only one who writes, inside. What is open afterwards is left to those who wait, or goes to the disk."""
        with self._counting:
            self._waiting += 1
        try:
            self._lock.acquire()
        finally:
            with self._counting:
                self._waiting -= 1
        try:
            if self._taken:
                raise faults.Internal(
                    "cannot write to the database: cannot start a transaction within a transaction"
                )
            self._taken = True
            try:
                yield
            finally:
                self._taken = False
                if self._group is not None and (
                    not self._waiting or self._group.is_full or self._group.is_over
                ):
                    self._finish()
        finally:
            self._lock.release()

    def _group_for(self, database: Connection) -> Group:
        """The open transaction on this connection, or a new one."""
        if self._group is not None and (self._group.is_over or self._group.database is not database):
            self._finish()
        if self._closed:
            raise faults.Internal("cannot write to the database: it is closed")
        if self._group is None:
            if self._unsure:
                self._make_sure()
            database.connect(reuse_if_open=True)
            self._begin(database)
            self._group = Group(database)
        return self._group

    def _finish(self) -> None:
        group, self._group = self._group, None
        if group is not None and not group.is_over:
            group.commit()

    def _make_sure(self) -> None:
        """After a failed sync the system may hold for written what never reached the disk, and say at the next
        sync that all is well. So everything is written once more, into the database file."""
        [(busy, _frames, _moved)] = self._checkpoint()
        self._unsure = bool(busy)

    def _begin(self, database: peewee.SqliteDatabase) -> None:
        """Those who queue behind one that waited in vain do not each wait as long: that would stop everything."""
        with _patience(database, LOCKED_OUT_MS) if self._locked_out else contextlib.nullcontext():
            try:
                database.execute_sql("BEGIN IMMEDIATE")
            except peewee.OperationalError as error:
                self._locked_out = "locked" in str(error)
                raise
        self._locked_out = False

    @contextlib.contextmanager
    def read(self, *, patient: bool = True) -> Iterator[Tx]:
        """One consistent view; keep it short and never hold it across a call to anybody.

        Not `patient`: the others who read, and search for long, are not waited for.
        """
        with self._words("cannot read the database"):
            if self._closed:
                raise faults.Internal("cannot read the database: it is closed")
            with self._readers.lent(patient=patient) as reader:
                reader.database.connect(reuse_if_open=True)
                tx = Tx(reader.database, reader)
                try:
                    yield tx
                finally:
                    if tx.is_open:
                        with contextlib.suppress(sqlite3.Error):
                            reader.database.connection().execute("ROLLBACK")

    def version(self) -> int:
        """A number that changes when anybody, this process or another, has written; meant for one thread."""
        with self._words("cannot read the database"):
            if self._closed:
                raise faults.Internal("cannot read the database: it is closed")
            self._watch.connect(reuse_if_open=True)
            return int(self._watch.execute_sql("PRAGMA data_version").fetchone()[0])

    def checkpoint(self) -> int:
        """Move the WAL into the database and shrink it, as far as open readers allow; its bytes afterwards."""
        with self._lock, self._words("cannot checkpoint the database", writing=True):
            self._finish()
            self._checkpoint()
            return self.log_size()

    def _checkpoint(self) -> list[tuple[int, int, int]]:
        """(1 if a reader was in the way, pages in the WAL, pages moved), in a list."""
        self._brisk.connect(reuse_if_open=True)
        with _patience(self._brisk, CHECKPOINT_MS):
            return list(self._brisk.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())

    def log_size(self) -> int:
        """Bytes of the WAL."""
        try:
            return self.path.with_name(f"{self.path.name}-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def close(self) -> None:
        with self._lock:
            self._finish()
            self._closed = True
            self._readers.close()
            for database in (self._watch, self._brisk, self._durable):
                database.end()

    @contextlib.contextmanager
    def _words(self, what: str, *, writing: bool = False) -> Iterator[None]:
        """Say in words what SQLite says in codes: a full disk is NoSpace, anything else Internal."""
        try:
            yield
        except (peewee.DatabaseError, peewee.InterfaceError, sqlite3.Error) as error:
            if isinstance(error, peewee.IntegrityError | sqlite3.IntegrityError):
                raise
            text = str(error)
            if "locked" in text:
                text = f"another program has kept it locked for more than {BUSY_TIMEOUT_MS / 1000:g} s"
            reason = disk_reason(text, self.path.parent)
            if writing and reason:
                self.trouble = f"{what}: {reason}"
                self._unsure = self._unsure or "I/O" in text
            if reason == FULL:
                raise faults.NoSpace(f"{what}: {reason}") from error
            raise faults.Internal(f"{what}: {reason or text}") from error


@contextlib.contextmanager
def _patience(database: peewee.SqliteDatabase, milliseconds: int) -> Iterator[None]:
    """Wait so long for the locks of others, inside."""
    database.execute_sql(f"PRAGMA busy_timeout = {milliseconds}")
    try:
        yield
    finally:
        database.execute_sql(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
