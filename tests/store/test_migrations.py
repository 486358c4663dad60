"""Schema steps: in order, once, whole or not at all; a newer file is refused."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import peewee
import pytest

from acsmpd import faults
from acsmpd.store import facts, foreign, migrations, plans, schema, services, tables
from acsmpd.store.database import Store
from tests.support.disks import failing


def versions(path: Path) -> list[int]:
    with sqlite3.connect(path) as plain:
        found = [row[0] for row in plain.execute("SELECT version FROM schema ORDER BY version")]
    plain.close()
    return found


def columns(path: Path, table: str) -> list[str]:
    with sqlite3.connect(path) as plain:
        found = [row[1] for row in plain.execute(f"PRAGMA table_info({table})")]
    plain.close()
    return found


def test_a_new_file_gets_every_table_and_every_step(store: Store) -> None:
    with store.read() as tx:
        made = {row[0] for row in tx.sql("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert made >= {kind._meta.table_name for kind in tables.ALL} | {"schema"}
    assert versions(store.path) == list(range(1, len(migrations.MIGRATIONS) + 1))


def test_every_table_stands_in_the_list() -> None:
    declared = {kind for kind in tables.Table.__subclasses__() if kind is not tables.Schema}
    assert set(tables.ALL) == declared


def test_opening_again_runs_nothing(store: Store) -> None:
    store.close()
    again = Store(store.path).open()
    again.close()
    assert versions(store.path) == list(range(1, len(migrations.MIGRATIONS) + 1))


def test_a_file_of_a_newer_acsmpd_is_refused_with_words_and_left_alone(store: Store) -> None:
    newer, known = len(migrations.MIGRATIONS) + 7, len(migrations.MIGRATIONS)
    with store.write() as tx:
        tx.sql("INSERT INTO schema (version, applied_ms) VALUES (?, 0)", newer)
        facts.put(tx, "n", 1)
    store.close()
    text = f"cannot open the database: it is of schema {newer}, written by a newer acsmpd; this one knows up to {known}"
    with pytest.raises(faults.Internal) as refused:
        Store(store.path).open()
    assert refused.value.message == text
    assert versions(store.path)[-1] == newer


def grow(database: Any) -> None:
    database.execute_sql("ALTER TABLE fact ADD COLUMN grown TEXT")
    database.execute_sql("UPDATE fact SET grown = 'yes'")


def test_a_later_step_brings_an_old_file_forward(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.write() as tx:
        facts.put(tx, "n", 1)
    store.close()
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, grow))
    again = Store(store.path).open()
    with again.read() as tx:
        assert tx.sql("SELECT name, grown FROM fact") == [("n", "yes")]
    again.close()
    assert versions(store.path) == list(range(1, len(migrations.MIGRATIONS) + 1))


@pytest.mark.parametrize(
    ("error", "raised"),
    [(None, faults.Internal), (ValueError("bad row"), ValueError), (KeyboardInterrupt(), KeyboardInterrupt)],
)
def test_a_step_that_fails_half_way_leaves_the_old_file(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: BaseException | None, raised: type[BaseException]
) -> None:
    with store.write() as tx:
        facts.put(tx, "n", 1)
    store.close()

    def fails(database: Any) -> None:
        grow(database)
        database.execute_sql("CREATE TABLE halfway (x)")
        if error is not None:
            raise error
        database.execute_sql("SELECT nothing FROM nowhere")

    good = migrations.MIGRATIONS
    monkeypatch.setattr(migrations, "MIGRATIONS", (*good, fails))
    with pytest.raises(raised):
        Store(store.path).open()
    assert versions(store.path) == list(range(1, len(good) + 1))
    assert columns(store.path, "fact") == ["name", "value"]
    assert columns(store.path, "halfway") == []
    monkeypatch.setattr(migrations, "MIGRATIONS", good)
    again = Store(store.path).open()
    with again.read() as tx:
        assert facts.get(tx, "n") == 1
    again.close()


def test_the_steps_before_the_failing_one_stay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.close()

    def fails(database: Any) -> None:
        database.execute_sql("DROP TABLE nowhere")

    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, grow, fails))
    with pytest.raises(faults.Internal, match=r"cannot open the database .*: no such table: nowhere"):
        Store(store.path).open()
    assert versions(store.path) == list(range(1, len(migrations.MIGRATIONS)))
    assert "grown" in columns(store.path, "fact")


def shape(connection: sqlite3.Connection) -> dict[str, Any]:
    """What a file is made of: columns of every table, and its indexes."""
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found: dict[str, Any] = {}
    for name in names:
        if not name.startswith("sqlite_") and name != "schema":
            found[name] = [tuple(row[1:]) for row in connection.execute(f'PRAGMA table_info("{name}")')]
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    return {**found, "indexes": sorted(tuple(row) for row in rows)}


def test_the_migrations_lead_to_what_the_tables_declare(store: Store) -> None:
    """A changed table needs a migration: a file made by the steps must equal one made from the declarations."""
    declared = peewee.SqliteDatabase(":memory:")
    with declared.bind_ctx(tables.ALL, bind_refs=False, bind_backrefs=False):
        declared.create_tables(tables.ALL, safe=False)
    migrated = sqlite3.connect(store.path)
    try:
        assert shape(migrated) == shape(declared.connection())
    finally:
        migrated.close()
        declared.close()


def test_what_stood_before_foreign_things_were_known_is_ours(tmp_path: Path) -> None:
    old = tmp_path / "acsmpd.db"
    with sqlite3.connect(old) as plain:
        plain.executescript(schema.FIRST)
        plain.execute(
            "CREATE TABLE schema (version INTEGER NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)"
        )
        plain.execute("INSERT INTO schema VALUES (1, 0)")
        plain.execute("INSERT INTO copy VALUES (7,'p','d',1,1,'',3,1,'m',0,1.0,'',0,0,0,1,1)")
        plain.execute("INSERT INTO load VALUES ('l','s','p','d',0,1,'RUNNING',1,'',NULL,'',0.0,'',0,0,0,1,1)")
        plain.execute("INSERT INTO \"foreign\" VALUES (1,'d','task','t','RUNNING',NULL,1)")
    plain.close()
    store = Store(old).open()
    with store.read() as tx:
        [copy], [load] = services.copies(tx), services.loads(tx)
        assert (copy.id, copy.ours, load.id, load.ours) == (7, True, "l", True)
        assert foreign.tasks(tx, "d") == []  # the next look brings it again
    store.close()


def test_events_of_instances_are_kept_by_number(tmp_path: Path) -> None:
    """Before version 11 they were kept by id; those of nobody are not kept."""
    old = tmp_path / "acsmpd.db"
    before = peewee.SqliteDatabase(old)
    before.execute_sql(
        "CREATE TABLE schema (version INTEGER NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)"
    )
    for version in range(1, 11):
        migrations._apply(before, version)
    with sqlite3.connect(old) as plain:
        for number, name in ((3, "c"), (5, "e")):
            plain.execute(
                "INSERT INTO instance (number, id, origin, caller_id, type, info, receive_urls, restart_policy,"
                ' service_id, device, "on", started_at_once, deleted, revision, status, reason, stream_device_id,'
                " created_ms, changed_ms) VALUES (?, ?, '', '', 't', '{}', '{}', 'NEVER', '', '', 0, 1, 0, 0, 'PAUSED',"
                " '', '', 1, 1)",
                (number, name),
            )
        for row in [
            (7, "e", "FIRE", "A"),
            (8, "nobody", "FIRE", ""),
            (9, "c", "FALL", ""),
            (11, "e", "FALL", ""),
        ]:
            plain.execute(
                "INSERT INTO instance_event (id, instance_id, event_id, capability) VALUES (?,?,?,?)", row
            )
    plain.close()
    before.close()
    store = Store(old).open()
    with store.read() as tx:
        found = tx.sql("SELECT id, instance_number, event_id, capability FROM instance_event ORDER BY id")
        assert found == [(7, 5, "FIRE", "A"), (9, 3, "FALL", ""), (11, 5, "FALL", "")]
        assert plans.number_of(tx, "e") == 5
        assert plans.number_of(tx, "nobody") == 0
    store.close()


@pytest.mark.parametrize(
    ("call", "error"), [("fdatasync", "EIO"), ("pwrite64", "ENOSPC"), ("pwrite64", "EIO")]
)
def test_a_step_on_a_bad_disk_says_why_and_comes_again(tmp_path: Path, call: str, error: str) -> None:
    path = tmp_path / "acsmpd.db"
    with sqlite3.connect(path) as plain:
        plain.executescript("PRAGMA journal_mode = wal;" + schema.FIRST)
        plain.execute(
            "CREATE TABLE schema (version INTEGER NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)"
        )
        plain.execute("INSERT INTO schema VALUES (1, 0)")
        plain.commit()
        with failing(os.getpid(), call, error), pytest.raises(faults.Fault) as caught:
            Store(path).open()
    plain.close()
    assert caught.value.message.startswith(f"cannot open the database {path}: the disk ")
    assert caught.value.code == (50701 if error == "ENOSPC" else 50000)
    assert versions(path) == [1]
    Store(path).open().close()
    assert versions(path) == list(range(1, len(migrations.MIGRATIONS) + 1))


def test_the_cluster_of_a_platform_that_was_entered_before_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood where others have their place on the map, which stays theirs."""
    whole = migrations.MIGRATIONS
    texts = [one.__closure__[0].cell_contents for one in whole if one.__closure__]
    place = texts.index(schema.CLUSTERS)
    monkeypatch.setattr(migrations, "MIGRATIONS", whole[:place])
    store = Store(tmp_path / "old.db").open()
    rows = (
        ("ccp", '{"Cluster":"c-1","Nodes":["13"]}'),
        ("cad", '{"Text":"gate"}'),
        ("ccp", '{"Text":"hall"}'),
    )
    with store.write() as tx:
        for number, (family, location) in enumerate(rows):
            tx.sql(
                "INSERT INTO computility (code, family, location, type, name, organisation, network, scheme, ip, port,"
                " prefix, auth, username, support_services, stream_limit, preset, approved, enabled, maintenance,"
                " registered, registered_from, ever_heard, ever_answered, state, state_reason, created_ms)"
                " VALUES (?, ?, ?, '', '', '', '', '', '', 0, '', '', '', 1, 1, 1, 1, 1, 0, 0, '', 0, 0, '', '', 0)",
                str(number), family, location,
            )  # fmt: skip
    store.close()
    monkeypatch.setattr(migrations, "MIGRATIONS", whole)
    again = Store(tmp_path / "old.db").open()
    with again.read() as tx:
        found = tx.sql("SELECT cluster, nodes, location FROM computility ORDER BY code")
    again.close()
    assert found == [("c-1", '["13"]', None), ("", None, rows[1][1]), ("", None, rows[2][1])]
