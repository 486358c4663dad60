"""Stored questions that need an outgoing call; handlers write them, the engine answers."""

from __future__ import annotations

from typing import Any

from acsmpd.clock import Shown
from acsmpd.store.database import Tx
from acsmpd.store.rows import is_past
from acsmpd.store.tables import Ask

PACKAGE, QUOTA = "package", "quota"
"""Kinds: a package to be fetched from an address, and what an authorisation server says of a capability."""
WAITING = ("open", "running", "withdrawn")
"""States without a final answer; `withdrawn`: under way and not wanted any more, until it has really stopped."""


def put(tx: Tx, ask_id: str, kind: str, subject: str, arguments: dict[str, Any], now_ms: int) -> None:
    tx.run(
        Ask.insert(
            id=ask_id, kind=kind, subject=subject, arguments=arguments, created_ms=now_ms, changed_ms=now_ms
        )
    )  # fmt: skip


def get(tx: Tx, ask_id: str) -> dict[str, Any] | None:
    return tx.row(Ask.select().where(Ask.id == ask_id))


def is_open(tx: Tx, ask_id: str) -> bool:
    """Whether it has no final answer yet."""
    row = get(tx, ask_id)
    return row is not None and row["state"] in WAITING


def waiting(tx: Tx, kind: str) -> list[dict[str, Any]]:
    """The oldest first."""
    return tx.rows(Ask.select().where(Ask.kind == kind, Ask.state.in_(WAITING)).order_by(Ask.created_ms))


def change(tx: Tx, ask_id: str, now_ms: int, **values: Any) -> None:
    tx.run(Ask.update(changed_ms=now_ms, **values).where(Ask.id == ask_id))


def note(tx: Tx, ask_id: str, now_ms: int, **values: Any) -> None:
    """How it goes with one under way; what was withdrawn keeps the words of its withdrawal."""
    tx.run(Ask.update(changed_ms=now_ms, **values).where(Ask.id == ask_id, Ask.state == "running"))


def withdraw(tx: Tx, row: dict[str, Any], now_ms: int, code: int, message: str) -> None:
    """Want it no more: one that has not begun ends here, one under way when the engine has stopped it."""
    state = "failed" if row["state"] == "open" else "withdrawn"
    answer = {"Code": code, "Message": message}
    tx.run(
        Ask.update(changed_ms=now_ms, state=state, answer=answer).where(
            Ask.id == row["id"], Ask.state == row["state"], Ask.state.in_(WAITING)
        )
    )


def end_withdrawn(tx: Tx, ask_id: str, now_ms: int) -> None:
    """One that was withdrawn has stopped."""
    tx.run(Ask.update(changed_ms=now_ms, state="failed").where(Ask.id == ask_id, Ask.state == "withdrawn"))


def trim(tx: Tx, lately: Shown, limit: int, *kinds: str) -> int:
    """Drop answered questions older than that, of these kinds or of all, at most `limit`; returns how many went."""
    old = Ask.select(Ask.id).where(Ask.state.in_(("done", "failed")), is_past(Ask.changed_ms, lately))
    if kinds:
        old = old.where(Ask.kind.in_(kinds))
    return int(tx.run(Ask.delete().where(Ask.id.in_(old.order_by(Ask.created_ms).limit(limit)))))
