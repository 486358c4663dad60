"""One way to write, one way to read: nothing lost, nothing half seen, and words when the disk is full."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import peewee
import pytest

from acsmpd import faults
from acsmpd.store import connections, facts
from acsmpd.store.database import BUSY_TIMEOUT_MS, Store
from acsmpd.store.tables import Fact, Package


def value(store: Store, name: str = "n") -> object:
    with store.read() as tx:
        return facts.get(tx, name)


def put(store: Store, what: object, name: str = "n", durable: bool = True) -> None:
    with store.write(durable=durable) as tx:
        facts.put(tx, name, what)


def put_and_raise(store: Store, error: BaseException, durable: bool = True) -> None:
    with store.write(durable=durable) as tx:
        facts.put(tx, "n", 2)
        raise error


def fill(disk: Path) -> Path:
    """A file that leaves no room for another."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    return filler


# --- writing -----------------------------------------------------------------------------------------


def test_eight_threads_of_read_modify_write_lose_nothing(store: Store) -> None:
    failures: list[BaseException] = []

    def add(number: int) -> None:
        try:
            for _ in range(100):
                with store.write(durable=number == 0) as tx:  # both writer connections at once
                    facts.count_up(tx, "counter")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert value(store, "counter") == 800


OTHER_WRITER = """
import sys
from pathlib import Path
from acsmpd.store import connections, facts
from acsmpd.store.database import Store
store = Store(Path(sys.argv[1])).open()
print("ready", flush=True)
for _ in range(200):
    with store.write(durable=False) as tx:
        facts.count_up(tx, "counter")
store.close()
"""


def test_a_second_process_writes_beside_us_and_nothing_is_lost(store: Store) -> None:
    """The command line may write while the daemon runs."""
    command = [sys.executable, "-c", OTHER_WRITER, str(store.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        for _ in range(200):
            with store.write(durable=False) as tx:
                facts.count_up(tx, "counter")
        assert other.wait(60) == 0
    assert value(store, "counter") == 400


@pytest.mark.parametrize("durable", [True, False])
def test_what_fails_half_way_has_not_happened(store: Store, durable: bool) -> None:
    put(store, 1)
    with pytest.raises(faults.NotFound, match="no package"):
        put_and_raise(store, faults.NotFound("no package"), durable)
    assert value(store) == 1
    put(store, 3, durable=durable)  # the connection is fit for the next
    assert value(store) == 3


def test_an_interrupt_leaves_nothing_open(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt):
        put_and_raise(store, KeyboardInterrupt())
    put(store, 3)
    assert value(store) == 3


def test_a_write_within_a_write_is_refused_and_the_outer_one_is_undone(store: Store) -> None:
    def nest() -> None:
        with store.write() as tx:
            facts.put(tx, "n", 1)
            put(store, 2)

    with pytest.raises(
        faults.Internal, match="cannot write to the database: cannot start a transaction within"
    ):
        nest()
    assert value(store) is None


def test_a_broken_constraint_stays_what_it_is(store: Store) -> None:
    """Callers that insert what may be there already have to tell it from a damaged database."""
    put(store, 1)
    with pytest.raises(peewee.IntegrityError), store.write() as tx:
        tx.run(Fact.insert(name="n", value=2))
    assert value(store) == 1


def test_durable_writes_wait_for_the_disk_and_samples_do_not(store: Store) -> None:
    with store.write() as tx:
        assert tx.sql("PRAGMA synchronous") == [(2,)]
    with store.write(durable=False) as tx:
        assert tx.sql("PRAGMA synchronous") == [(1,)]
        assert tx.sql("PRAGMA journal_mode") == [("wal",)]
        assert tx.sql("PRAGMA foreign_keys") == [(1,)]


# --- reading -----------------------------------------------------------------------------------------


def test_a_reader_sees_one_state_from_beginning_to_end(store: Store) -> None:
    put(store, 1)
    with store.read() as tx:
        assert facts.get(tx, "n") == 1
        thread = threading.Thread(target=put, args=(store, 2))
        thread.start()
        thread.join(10)
        assert not thread.is_alive()  # a reader does not hold up writers
        assert facts.get(tx, "n") == 1
    assert value(store) == 2


def test_nobody_sees_what_is_not_committed(store: Store) -> None:
    put(store, 1)
    seen: list[object] = []
    with store.write() as tx:
        facts.put(tx, "n", 2)
        thread = threading.Thread(target=lambda: seen.append(value(store)))
        thread.start()
        thread.join(10)
    assert seen == [1]


def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(faults.Internal, match="cannot read the database: attempt to write a readonly"):
        with store.read() as tx:
            facts.put(tx, "n", 1)
    assert value(store) is None


def test_a_failing_reader_leaves_its_connection_usable(store: Store) -> None:
    with pytest.raises(faults.Internal, match="no such table: nowhere"), store.read() as tx:
        tx.sql("SELECT * FROM nowhere")
    with pytest.raises(ZeroDivisionError), store.read():
        raise ZeroDivisionError
    assert value(store) is None


def test_rows_row_number_and_sql(store: Store) -> None:
    for number in range(3):
        put(store, number, f"f{number}")
    with store.read() as tx:
        query = Fact.select().order_by(Fact.name)
        assert [row["value"] for row in tx.rows(query)] == [0, 1, 2]
        assert tx.row(query) == {"name": "f0", "value": 0}
        assert tx.row(Fact.select().where(Fact.name == "none")) is None
        assert tx.number(Fact.select(peewee.fn.COUNT(1))) == 3
        assert tx.number(Package.select(peewee.fn.SUM(Package.size))) == 0  # NULL
        assert tx.sql("SELECT name FROM fact WHERE name > ? ORDER BY name", "f1") == [("f2",)]


# --- opening and closing -----------------------------------------------------------------------------------


def test_the_folder_is_made_for_us_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "deep" / "acsmpd.db").open()
    store.close()
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700


def test_after_close_every_use_says_so(store: Store) -> None:
    store.close()
    with pytest.raises(faults.Internal, match="cannot write to the database: it is closed"), store.write():
        pass
    with pytest.raises(faults.Internal, match="cannot read the database: it is closed"), store.read():
        pass
    store.close()  # twice is fine


def test_close_reaches_the_connections_of_other_threads(store: Store) -> None:
    put(store, 1)
    thread = threading.Thread(target=value, args=(store,))
    thread.start()
    thread.join(10)
    store.close()
    assert not store.path.with_name("acsmpd.db-wal").exists()  # the last connection took the log along


def test_what_was_written_is_there_after_opening_again(store: Store) -> None:
    put(store, {"deep": [1, None, "中"]})
    store.close()
    again = Store(store.path).open()
    assert value(again) == {"deep": [1, None, "中"]}
    again.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "acsmpd.db"
    path.write_bytes(b"this is not a database, and long enough to show it" * 100)
    with pytest.raises(faults.Internal, match=f"cannot open the database {path}: file is not a database"):
        Store(path).open()
    assert path.read_bytes().startswith(b"this is not")


def test_checkpoint_empties_the_log(store: Store) -> None:
    put(store, "x" * 200_000)
    log = store.path.with_name("acsmpd.db-wal")
    assert log.stat().st_size > 200_000
    assert store.checkpoint() == 0
    assert log.stat().st_size == 0
    assert value(store) == "x" * 200_000


def test_a_checkpoint_beside_an_open_reader_does_no_harm(store: Store) -> None:
    put(store, 1)
    with store.read() as tx:
        assert facts.get(tx, "n") == 1
        put(store, 2)
        before = time.monotonic()
        assert store.checkpoint() == store.path.with_name("acsmpd.db-wal").stat().st_size > 0
        assert time.monotonic() - before < 2  # writers wait for it
        assert facts.get(tx, "n") == 1
    assert value(store) == 2
    with store.write(durable=False) as tx:
        assert tx.sql("PRAGMA busy_timeout") == [(BUSY_TIMEOUT_MS,)]


def test_a_purge_writes_little(store: Store) -> None:
    """Every writer waits for it: what is deleted must not be overwritten, as Debian's SQLite does by itself."""
    for number in range(40):
        put(store, "x" * 100_000, f"f{number}")
    store.checkpoint()
    with store.write(durable=False) as tx:
        tx.run(Fact.delete())
    assert store.log_size() < 400_000


def test_those_who_queue_behind_a_lock_of_another_program_do_not_wait_one_after_the_other(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("acsmpd.store.database.BUSY_TIMEOUT_MS", 1500)
    impatient = Store(store.path).open()
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    told: list[str] = []

    def fail() -> None:
        with pytest.raises(faults.Internal) as caught:
            put(impatient, 1)
        told.append(caught.value.message)

    threads = [threading.Thread(target=fail) for _ in range(8)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert time.monotonic() - begun < 6  # eight times 1.5 s is 12
    words = "cannot write to the database: another program has kept it locked for more than 1.5 s"
    assert told == [words] * 8
    assert value(impatient) is None  # readers do not mind
    other.execute("ROLLBACK")
    put(impatient, 2)
    with impatient.write() as tx:
        assert tx.sql("PRAGMA busy_timeout") == [(1500,)]
    other.close()
    impatient.close()
    assert value(store) == 2


# --- a full disk --------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_reads_go_on_and_it_recovers(small_disk: Path) -> None:
    store = Store(small_disk / "acsmpd.db").open()
    try:
        put(store, 1)
        filler = fill(small_disk)
        for durable in (True, False):
            with pytest.raises(faults.NoSpace, match="cannot write to the database: the disk is full"):
                put(store, "x" * 500_000, durable=durable)
        assert value(store) == 1
        filler.unlink()
        for durable in (True, False):
            put(store, 2, durable=durable)
        assert value(store) == 2
    finally:
        store.close()
    with sqlite3.connect(small_disk / "acsmpd.db") as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    plain.close()


def test_many_who_read_at_once_share_a_few_connections(store: Store) -> None:
    inside, go = threading.Barrier(connections.READERS + 1), threading.Event()

    def reading() -> None:
        with store.read() as tx:
            inside.wait(10)
            assert go.wait(10)
            assert tx.sql("SELECT 1") == [(1,)]

    threads = [threading.Thread(target=reading) for _ in range(connections.READERS)]
    for thread in threads:
        thread.start()
    inside.wait(10)
    late = threading.Thread(target=value, args=[store])
    late.start()
    go.set()
    for thread in [*threads, late]:
        thread.join(10)
        assert not thread.is_alive()
    assert len(store._readers._free) == connections.READERS


def test_who_waits_too_long_for_a_reader_gets_one_of_its_own(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers that wait for the writer, and a writer who wants to read, do not hold each other up for good."""
    monkeypatch.setattr(connections, "READER_PATIENCE_SECONDS", 0.01)
    with contextlib.ExitStack() as held:
        for _ in range(connections.READERS):
            held.enter_context(store.read())
        with store.write(), store.read() as tx:
            assert tx.sql("SELECT 1") == [(1,)]
    assert len(store._readers._free) == connections.READERS


def test_a_reading_under_way_ends_by_itself_when_the_store_is_closed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that outlasts the stop of the server: to close its connection under it would crash the process."""
    monkeypatch.setattr(connections, "READER_PATIENCE_SECONDS", 0.01)
    held = contextlib.ExitStack()
    open_ones = [held.enter_context(store.read()) for _ in range(connections.READERS + 1)]
    store.close()
    assert [tx.sql("SELECT 1") for tx in open_ones] == [[(1,)]] * len(open_ones)
    for ask in (functools.partial(store._readers.lent, patient=True), store.read):
        with pytest.raises((faults.Internal, sqlite3.ProgrammingError), match="closed"), ask():
            pass
    held.close()
    for tx in open_ones:
        with pytest.raises(sqlite3.ProgrammingError):
            tx.sql("SELECT 1")
    assert store._readers._free == []
