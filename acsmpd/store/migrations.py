"""Numbered migrations, each in one transaction. A file from a newer acsmpd is refused, never guessed at."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import peewee

from acsmpd import faults
from acsmpd.store import schema


def _script(text: str) -> Callable[[Any], None]:
    def run(database: peewee.SqliteDatabase) -> None:
        for statement in text.split(";\n"):
            if statement.strip():
                database.execute_sql(statement)

    return run


MIGRATIONS: tuple[Callable[[Any], None], ...] = (
    _script(schema.FIRST),
    _script(schema.FOREIGN_THINGS),
    _script(schema.PAGES),
    _script(schema.PLAN_TIMES),
    _script(schema.ROLLOUTS),
    _script(schema.SCHEDULING),
    _script(schema.PIPELINES),
    _script(schema.READY_SECONDS),
    _script(schema.SEARCHES),
    _script(schema.AUTHORISATION),
    _script(schema.EVENTS_BY_NUMBER),
    _script(schema.ONLINE_QUOTAS),
    _script(schema.LAPSES),
    _script(schema.PLATFORMS),
    _script(schema.TALLIES),
    _script(schema.CHAINS),
    _script(schema.CLUSTERS),
)
"""Migration n brings a file from version n-1 to n. A released one is never edited; add the next."""


def migrate(database: peewee.SqliteDatabase) -> int:
    """Bring the open database to this version and return how many steps ran."""
    database.execute_sql(
        "CREATE TABLE IF NOT EXISTS schema (version INTEGER NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)"
    )
    have = int(database.execute_sql("SELECT COALESCE(MAX(version), 0) FROM schema").fetchone()[0])
    if have > len(MIGRATIONS):
        raise faults.Internal(
            f"cannot open the database: it is of schema {have}, written by a newer acsmpd; "
            f"this one knows up to {len(MIGRATIONS)}"
        )
    for version in range(have + 1, len(MIGRATIONS) + 1):
        _apply(database, version)
    return len(MIGRATIONS) - have


def _apply(database: peewee.SqliteDatabase, version: int) -> None:
    database.execute_sql("BEGIN IMMEDIATE")
    try:
        MIGRATIONS[version - 1](database)
        database.execute_sql(
            "INSERT INTO schema (version, applied_ms) VALUES (?, CAST(strftime('%s', 'now') AS INTEGER) * 1000)",
            (version,),
        )
        database.execute_sql("COMMIT")
    except BaseException:
        with contextlib.suppress(peewee.PeeweeException):  # a bad disk has rolled back already
            database.execute_sql("ROLLBACK")
        raise
