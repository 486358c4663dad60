"""Computilities: what is known of them, who may be called, what their tokens are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from acsmpd.model import Device
from acsmpd.store import plain
from acsmpd.store.database import Tx
from acsmpd.store.rows import structs
from acsmpd.store.tables import Claim, Computility, Token

_SHOWN = [getattr(Computility, name) for name in Device.__struct_fields__]
"""What decisions see: not what it was last seen to be, which is long and costs more to read than all the rest."""


def get(tx: Tx, code: str) -> dict[str, Any] | None:
    return plain.row(tx, Computility, code=code)


def device(tx: Tx, code: str) -> Device | None:
    row = plain.part(tx, Computility, Device.__struct_fields__, code=code)
    return None if row is None else msgspec.convert(row, Device)


def all_devices(tx: Tx) -> dict[str, Device]:
    return {found.code: found for found in structs(tx, Computility.select(*_SHOWN), Device)}


def some(tx: Tx, codes: Sequence[str]) -> list[Device]:
    """Those of these codes that are known."""
    return structs(tx, Computility.select(*_SHOWN).where(Computility.code.in_(codes)), Device)


def infos(tx: Tx) -> dict[str, list[dict[str, Any]]]:
    """What each computility was last seen to be, by code, where it was seen."""
    query = Computility.select(Computility.code, Computility.info).where(Computility.info.is_null(False))
    return {row["code"]: row["info"] for row in tx.rows(query)}


def all_rows(tx: Tx) -> list[dict[str, Any]]:
    return list(plain.every(tx, Computility))


def standing(tx: Tx) -> dict[str, tuple[Any, ...]]:
    """computility code -> what changes when it registers, unregisters or is judged: see `standing_of`."""
    return {
        row[0]: row[1:] for row in tx.sql("SELECT code, state, registered, registered_ms FROM computility")
    }


def standing_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """The same of a row that was read."""
    return row["state"], row["registered"], row["registered_ms"]


def put(tx: Tx, code: str, now_ms: int, **values: Any) -> None:
    """Change a record, making it if it is new."""
    if tx.run(Computility.update(**values).where(Computility.code == code)) == 0:
        tx.run(Computility.insert(code=code, created_ms=now_ms, **values))


def change(tx: Tx, code: str, **values: Any) -> None:
    plain.update(tx, Computility, values, code=code)


# --- tokens ------------------------------------------------------------------------------------------


def tokens(tx: Tx, code: str | None = None) -> list[dict[str, Any]]:
    return plain.rows(tx, Token, code=code) if code else tx.rows(Token.select())


def token(tx: Tx, token_hash: str) -> dict[str, Any] | None:
    return plain.row(tx, Token, hash=token_hash)


def set_current(tx: Tx, code: str, token_hash: str, sealed: str, now_ms: int) -> None:
    """A fresh registration: one token, every older one is void."""
    tx.run(Token.delete().where(Token.code == code))
    tx.run(Token.insert(hash=token_hash, code=code, role="current", sealed=sealed, created_ms=now_ms))


def add_next(tx: Tx, code: str, token_hash: str, sealed: str, now_ms: int) -> None:
    tx.run(Token.delete().where(Token.code == code, Token.role == "next"))
    tx.run(Token.insert(hash=token_hash, code=code, role="next", sealed=sealed, created_ms=now_ms))


OLD_TOKEN_MS = 5 * 60 * 1000
"""How long a token is taken after its device used the next one."""


def next_was_used(tx: Tx, code: str, now_ms: int, old_dies_ms: int) -> None:
    """The device showed its new token: that is current now, the old one is accepted a little longer."""
    tx.run(Token.delete().where(Token.code == code, Token.role == "old"))
    tx.run(Token.update(role="old", dies_ms=old_dies_ms).where(Token.code == code, Token.role == "current"))
    tx.run(Token.update(role="current", used_ms=now_ms).where(Token.code == code, Token.role == "next"))


def revoke_tokens(tx: Tx, code: str) -> None:
    tx.run(Token.delete().where(Token.code == code))


# --- claims ------------------------------------------------------------------------------------------


def claims(tx: Tx, code: str | None = None) -> list[dict[str, Any]]:
    query = Claim.select().order_by(Claim.id)
    return tx.rows(query.where(Claim.code == code) if code else query)


def drop_claims(tx: Tx, *conditions: Any) -> int:
    return int(tx.run(Claim.delete().where(*conditions)))
