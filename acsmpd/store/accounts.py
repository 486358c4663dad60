"""Accounts of people, API keys, and the tokens platforms above gave us."""

from __future__ import annotations

from typing import Any

from peewee import fn

from acsmpd.store import facts
from acsmpd.store.database import Tx
from acsmpd.store.devices import OLD_TOKEN_MS
from acsmpd.store.tables import ApiKey, Person, Token, UpstreamToken

OLD_UPSTREAM_TOKEN_MS = 24 * 3_600_000
"""How long a token is taken after a platform above gave us a newer one."""
CHANGES = "credentials"
"""The fact that counts changes of keys and tokens by another process; a daemon forgets what it knew by then."""


def person(tx: Tx, name: str) -> dict[str, Any] | None:
    return tx.row(Person.select().where(Person.name == name))


def any_person(tx: Tx) -> bool:
    return tx.row(Person.select(Person.name)) is not None


def add_person(tx: Tx, **values: Any) -> None:
    tx.run(Person.insert(**values))


def change_person(tx: Tx, name: str, **values: Any) -> None:
    tx.run(Person.update(**values).where(Person.name == name))


def keys(tx: Tx) -> list[dict[str, Any]]:
    return tx.rows(ApiKey.select().order_by(ApiKey.created_ms, ApiKey.name))


def key(tx: Tx, name: str) -> dict[str, Any] | None:
    return tx.row(ApiKey.select().where(ApiKey.name == name))


def key_by_hash(tx: Tx, hashed: str) -> dict[str, Any] | None:
    return tx.row(ApiKey.select().where(ApiKey.hash == hashed))


def add_key(tx: Tx, **values: Any) -> None:
    tx.run(ApiKey.insert(**values))


def drop_key(tx: Tx, name: str) -> int:
    return int(tx.run(ApiKey.delete().where(ApiKey.name == name)))


def upstream_tokens(tx: Tx, code: str | None = None) -> list[dict[str, Any]]:
    query = UpstreamToken.select().order_by(UpstreamToken.created_ms.desc())
    return tx.rows(query.where(UpstreamToken.code == code) if code else query)


def upstream_token(tx: Tx, hashed: str) -> dict[str, Any] | None:
    return tx.row(UpstreamToken.select().where(UpstreamToken.hash == hashed))


def add_upstream_token(tx: Tx, code: str, hashed: str, sealed: str, now_ms: int, older_die_ms: int) -> None:
    """A newer token: it counts from now on, earlier ones are taken a while longer."""
    tx.run(
        UpstreamToken.update(dies_ms=older_die_ms).where(
            UpstreamToken.code == code, UpstreamToken.hash != hashed, UpstreamToken.dies_ms.is_null(True)
        )
    )
    tx.run(UpstreamToken.delete().where(UpstreamToken.dies_ms < now_ms))
    tx.run(
        UpstreamToken.insert(hash=hashed, code=code, sealed=sealed, created_ms=now_ms).on_conflict_replace()
    )


def move_deadlines(tx: Tx, now_ms: int, step_ms: int) -> None:
    """The clock was set by so much: what ends at a time of day goes along, and never lasts longer than it may."""
    for table, longest_ms in ((Token, OLD_TOKEN_MS), (UpstreamToken, OLD_UPSTREAM_TOKEN_MS)):
        moved = fn.MIN(table.dies_ms + step_ms, now_ms + longest_ms)
        tx.run(table.update(dies_ms=moved).where(table.dies_ms.is_null(False)))
    facts.count_up(tx, CHANGES)


def drop_upstream_tokens(tx: Tx, code: str) -> None:
    tx.run(UpstreamToken.delete().where(UpstreamToken.code == code))
