"""Alarms: one open row per (kind, subject), closed when the cause is gone."""

from __future__ import annotations

from acsmpd.clock import Shown
from acsmpd.store.database import Tx
from acsmpd.store.rows import is_past
from acsmpd.store.tables import Alarm

STEP_REFUSED = "step_refused"
"""The kind of alarm for a step that is not tried again until there is a new wish."""

ROLLOUT_FAILED = "rollout_failed"
"""The kind of alarm for a rollout that stopped because too many failed."""

KEPT = 10_000
"""Alarms that are over and still shown: a device that comes and goes makes a new one each time."""


def raise_alarm(tx: Tx, kind: str, subject: str, text: str, now_ms: int) -> bool:
    """Open an alarm, or bring the text of an open one up to date; True if it is new."""
    is_open = (Alarm.kind == kind) & (Alarm.subject == subject) & Alarm.until_ms.is_null(True)
    if tx.run(Alarm.update(text=text).where(is_open)):
        return False
    tx.run(Alarm.insert(kind=kind, subject=subject, text=text, since_ms=now_ms))
    return True


def end_alarm(tx: Tx, kind: str, subject: str, now_ms: int) -> None:
    tx.change(
        "UPDATE alarm SET until_ms = ? WHERE kind = ? AND subject = ? AND until_ms IS NULL",
        now_ms,
        kind,
        subject,
    )


def open_subjects(tx: Tx, kind: str) -> list[str]:
    """What there is an open alarm of this kind about."""
    query = Alarm.select(Alarm.subject).where(Alarm.kind == kind, Alarm.until_ms.is_null(True))
    return [row["subject"] for row in tx.rows(query)]


def trim(tx: Tx, lately: Shown, limit: int) -> int:
    """Drop what has been over since before that, and of the rest of what is over all but the last KEPT; at most
    `limit` of them. Returns how many went."""
    is_over = Alarm.until_ms.is_null(False)
    kept = Alarm.select(Alarm.id).where(is_over).order_by(Alarm.id.desc()).limit(KEPT)
    surplus = is_past(Alarm.until_ms, lately) | Alarm.id.not_in(kept)
    gone = Alarm.select(Alarm.id).where(is_over, surplus).order_by(Alarm.id).limit(limit)
    return int(tx.run(Alarm.delete().where(Alarm.id.in_(gone))))
