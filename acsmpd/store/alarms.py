"""Alarms: one open row per (kind, subject), closed when the cause is gone."""

from __future__ import annotations

from acsmpd.store.database import Tx
from acsmpd.store.tables import Alarm

STEP_REFUSED = "step_refused"
"""The kind of alarm for a step that is not tried again until there is a new wish."""


def raise_alarm(tx: Tx, kind: str, subject: str, text: str, now_ms: int) -> bool:
    """Open an alarm, or bring the text of an open one up to date; True if it is new."""
    is_open = (Alarm.kind == kind) & (Alarm.subject == subject) & Alarm.until_ms.is_null(True)
    if tx.run(Alarm.update(text=text).where(is_open)):
        return False
    tx.run(Alarm.insert(kind=kind, subject=subject, text=text, since_ms=now_ms))
    return True


def end_alarm(tx: Tx, kind: str, subject: str, now_ms: int) -> None:
    tx.run(
        Alarm.update(until_ms=now_ms).where(
            Alarm.kind == kind, Alarm.subject == subject, Alarm.until_ms.is_null(True)
        )
    )
