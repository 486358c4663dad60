"""Authorisation servers of providers: of each provider's one is the default (conventions section 9)."""

from __future__ import annotations

from typing import Any

from acsmpd.store.database import Tx
from acsmpd.store.tables import AuthServer

Row = dict[str, Any]


def rows(tx: Tx, *conditions: Any) -> list[Row]:
    """In the order they were registered in."""
    return tx.rows(AuthServer.select().where(AuthServer.id > 0, *conditions).order_by(AuthServer.id))


def get(tx: Tx, server_id: int) -> Row | None:
    return tx.row(AuthServer.select().where(AuthServer.id == server_id))


def default_row(tx: Tx, provider: str) -> Row | None:
    return tx.row(AuthServer.select().where(AuthServer.provider == provider, AuthServer.is_default == True))


def default_of(tx: Tx, provider: str) -> str:
    """The addresses a package of the provider is given, host:port with commas; "" if there is none."""
    row = default_row(tx, provider)
    return ",".join(addresses(row["server"])) if row else ""


def addresses(server: str) -> list[str]:
    """The host:port of a Server, in their order."""
    return [one.strip() for one in server.split(",")]


def add(tx: Tx, server: str, provider: str, now_ms: int, *, is_default: bool) -> int:
    """A new one; gives its number. A new default takes the place of the earlier one; the first is it anyway."""
    values = {"server": server, "provider": provider, "is_default": False, "created_ms": now_ms}
    number = int(tx.run(AuthServer.insert(**values)))
    if is_default:
        make_default(tx, number, provider)
    settle(tx, provider)
    return number


def change(tx: Tx, server_id: int, **values: Any) -> None:
    tx.run(AuthServer.update(**values).where(AuthServer.id == server_id))


def make_default(tx: Tx, server_id: int, provider: str) -> None:
    """This one and no other of the provider's."""
    others = (AuthServer.provider == provider, AuthServer.is_default == True)
    tx.run(AuthServer.update(is_default=False).where(*others))
    change(tx, server_id, is_default=True)


def settle(tx: Tx, provider: str) -> None:
    """Of a provider that has servers one is the default: where none is, the oldest."""
    there = rows(tx, AuthServer.provider == provider)
    if there and not any(row["is_default"] for row in there):
        change(tx, there[0]["id"], is_default=True)


def drop(tx: Tx, server_id: int) -> None:
    tx.run(AuthServer.delete().where(AuthServer.id == server_id))
