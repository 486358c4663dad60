"""The ledger of steps: an intent is written before a step leaves and closed with its outcome."""

from __future__ import annotations

from typing import Any

from acsmpd.clock import Shown
from acsmpd.store import plain
from acsmpd.store.database import Tx
from acsmpd.store.rows import is_past
from acsmpd.store.tables import Intent

KEPT = 20
"""Closed intents kept for one subject; enough to see what was tried."""

TOO_MANY = """
    DELETE FROM intent WHERE kind = ? AND subject = ? AND outcome IS NOT NULL AND id <= (
        SELECT id FROM intent WHERE kind = ? AND subject = ? AND outcome IS NOT NULL
        ORDER BY id DESC LIMIT 1 OFFSET ?)
"""


def begin(tx: Tx, *, kind: str, subject: str, device: str, step: str, attempt: int, now_ms: int) -> int:
    """Write an intent; of the subject's closed ones the last KEPT stay."""
    tx.change(TOO_MANY, kind, subject, kind, subject, KEPT)
    return plain.insert(
        tx, Intent, kind=kind, subject=subject, device=device, step=step, attempt=attempt, begun_ms=now_ms
    )


def close(tx: Tx, intent_id: int, outcome: str, text: str, now_ms: int) -> None:
    plain.update(tx, Intent, {"outcome": outcome, "text": text[:500], "ended_ms": now_ms}, id=intent_id)


def open_intents(tx: Tx) -> list[dict[str, Any]]:
    """Intents without an outcome: after a start, those are unknown."""
    return tx.rows(Intent.select().where(Intent.outcome.is_null(True)).order_by(Intent.id))


def of_subject(tx: Tx, kind: str, subject: str) -> list[dict[str, Any]]:
    return tx.rows(Intent.select().where(Intent.kind == kind, Intent.subject == subject).order_by(Intent.id))


def may_have_come_through(tx: Tx, kind: str, subject: str, step: str) -> bool:
    """Whether an earlier try of the step was done, or nobody knows what became of it."""
    tried = Intent.select(Intent.id).where(
        Intent.kind == kind, Intent.subject == subject, Intent.step == step,
        Intent.outcome.is_null(True) | Intent.outcome.in_(("done", "unknown")),
    )  # fmt: skip
    return tx.row(tried) is not None


def trim(tx: Tx, lately: Shown, limit: int) -> int:
    """Drop closed intents begun before that, at most `limit` of them; returns how many went."""
    old = Intent.select(Intent.id).where(Intent.outcome.is_null(False), is_past(Intent.begun_ms, lately))
    return int(tx.run(Intent.delete().where(Intent.id.in_(old.order_by(Intent.id).limit(limit)))))
