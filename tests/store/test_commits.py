"""Writers who come at the same moment share a transaction: one sync for all, each undone alone, all told the truth."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peewee
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.store import facts
from acsmpd.store.commits import MOST_MEMBERS, Group
from acsmpd.store.database import Store
from tests.support.wait import wait_until


def names(store: Store) -> set[str]:
    with store.read() as tx:
        return {row[0] for row in tx.sql("SELECT name FROM fact WHERE name LIKE 'w%'")}


class Crowd:
    """Writers that queue up behind a first one, who stays in his turn until all are there."""

    def __init__(self, store: Store, blocks: list[Callable[[Any], None]], *, durable: bool = True) -> None:
        self.store, self.told = store, dict[int, BaseException | None]()
        self.commits: list[str] = []
        self._go = threading.Event()
        self._threads = [
            threading.Thread(target=self._write, args=(place, block, durable))
            for place, block in enumerate(blocks)
        ]

    def run(self) -> Crowd:
        """All of them, in their order; afterwards `told` says what each was told."""
        inside = threading.Event()

        def first() -> None:
            with contextlib.suppress(faults.Internal), self.store.write() as tx:
                connection = tx._database.connection()
                connection.set_trace_callback(self._note)
                inside.set()
                assert self._go.wait(20)

        leader = threading.Thread(target=first)
        leader.start()
        assert inside.wait(20)
        for number, thread in enumerate(self._threads, 1):
            thread.start()
            wait_until(lambda number=number: self.store._waiting == number)  # type: ignore[misc]
        self._go.set()
        for thread in [leader, *self._threads]:
            thread.join(20)
            assert not thread.is_alive()
        return self

    def _note(self, text: str) -> None:
        if text.startswith(("COMMIT", "ROLLBACK")):
            self.commits.append(text)

    def _write(self, place: int, block: Callable[[Any], None], durable: bool) -> None:
        try:
            with self.store.write(durable=durable) as tx:
                block(tx)
            self.told[place] = None
        except Exception as error:
            self.told[place] = error


def putting(name: str) -> Callable[[Any], None]:
    return lambda tx: facts.put(tx, name, 1)


def failing(name: str) -> Callable[[Any], None]:
    def block(tx: Any) -> None:
        facts.put(tx, name, 1)
        raise ZeroDivisionError("by a test")

    return block


def test_those_who_wait_share_one_sync(store: Store) -> None:
    crowd = Crowd(store, [putting(f"w{number}") for number in range(10)]).run()
    assert set(crowd.told.values()) == {None}
    assert names(store) == {f"w{number}" for number in range(10)}
    assert crowd.commits == ["COMMIT"]


def test_one_that_fails_is_undone_alone(store: Store) -> None:
    crowd = Crowd(store, [putting("w0"), failing("w1"), putting("w2"), failing("w3")]).run()
    assert names(store) == {"w0", "w2"}
    assert [type(crowd.told[place]) for place in range(4)] == [type(None), ZeroDivisionError] * 2


def test_what_one_broke_of_a_rule_is_told_to_that_one(store: Store) -> None:
    def doubled(tx: Any) -> None:
        tx.sql("INSERT INTO fact (name, value) VALUES ('w9', '1')")
        tx.sql("INSERT INTO fact (name, value) VALUES ('w9', '2')")

    crowd = Crowd(store, [putting("w0"), doubled, putting("w2")]).run()
    assert "UNIQUE" in str(crowd.told[1])
    assert (crowd.told[0], crowd.told[2], names(store)) == (None, None, {"w0", "w2"})


def test_when_the_disk_undoes_all_of_it_all_are_told(store: Store) -> None:
    """SQLite rolls the whole transaction back by itself when the disk is full or fails."""

    def lost(tx: Any) -> None:
        tx.sql("ROLLBACK")
        raise peewee.OperationalError("disk I/O error")

    crowd = Crowd(store, [putting("w0"), lost, putting("w2")]).run()
    assert isinstance(crowd.told[0], faults.Internal)
    assert "disk I/O error" in str(crowd.told[0])
    assert isinstance(crowd.told[1], faults.Internal)
    assert (crowd.told[2], names(store)) == (None, {"w2"})


def test_a_commit_that_fails_is_told_to_all(store: Store) -> None:
    def orphaned(tx: Any) -> None:
        tx.sql("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
        tx.sql("CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
        tx.sql("INSERT INTO child VALUES (1)")  # found out at COMMIT

    crowd = Crowd(store, [putting("w0"), orphaned]).run()
    assert all("FOREIGN KEY" in str(error) for error in crowd.told.values()), crowd.told
    assert len(crowd.told) == 2
    assert names(store) == set()
    put_one(store, "w1")
    assert names(store) == {"w1"}


def put_one(store: Store, name: str) -> None:
    with store.write() as tx:
        facts.put(tx, name, 1)


def test_durable_and_brisk_writes_do_not_share(store: Store) -> None:
    crowd = Crowd(store, [putting("w0"), putting("w1")], durable=False).run()
    assert (set(crowd.told.values()), names(store)) == ({None}, {"w0", "w1"})
    assert crowd.commits == ["COMMIT"]  # of the first one's own connection


def test_a_group_is_full_after_so_many(store: Store) -> None:
    with store.write() as tx:
        tx.sql("COMMIT")
        group = Group(tx._database)
        tx.sql("BEGIN IMMEDIATE")
        for number in range(MOST_MEMBERS):
            assert not group.is_full or number
            with group.member():
                facts.put(tx, f"w{number}", 1)
        assert group.is_full
        assert not group.is_over
    assert len(names(store)) == MOST_MEMBERS


def test_close_brings_what_is_open_to_the_disk(tmp_path: Path) -> None:
    store = Store(tmp_path / "acsmpd.db").open()
    crowd = Crowd(store, [putting("w0"), lambda _tx: None, lambda _tx: store.close()])
    crowd.run()
    assert crowd.told[0] is None
    again = Store(tmp_path / "acsmpd.db").open()
    assert names(again) == {"w0"}
    again.close()


@settings(max_examples=15, deadline=None)
@given(kinds=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=24))
def test_whoever_writes_at_once_is_told_the_truth(
    tmp_path_factory: pytest.TempPathFactory, kinds: Any
) -> None:
    """What was told to be written is there, what was told to have failed is not; nobody waits for ever."""
    store = Store(tmp_path_factory.mktemp("many") / "acsmpd.db").open()
    told: dict[str, bool] = {}

    def write(name: str, durable: bool, fails: bool) -> None:
        try:
            with store.write(durable=durable) as tx:
                (failing if fails else putting)(name)(tx)
            told[name] = True
            assert name in names(store)
        except ZeroDivisionError:
            told[name] = False

    threads = [threading.Thread(target=write, args=(f"w{place}", *kind)) for place, kind in enumerate(kinds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert told == {f"w{place}": not fails for place, (_, fails) in enumerate(kinds)}
    assert names(store) == {name for name, done in told.items() if done}
    assert (store._waiting, store._group) == (0, None)
    store.close()
