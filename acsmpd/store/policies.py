"""Schedule policies: one for each capability, and a global one."""

from __future__ import annotations

from typing import Any

from acsmpd.model import Policy
from acsmpd.store.database import Tx
from acsmpd.store.rows import structs
from acsmpd.store.tables import SchedulePolicy


def policies(tx: Tx) -> list[Policy]:
    return structs(tx, SchedulePolicy.select().order_by(SchedulePolicy.capability), Policy)


def rows(tx: Tx) -> list[dict[str, Any]]:
    """The global one first, then by capability."""
    return tx.rows(SchedulePolicy.select().order_by(SchedulePolicy.capability))


def get(tx: Tx, policy_id: str) -> dict[str, Any] | None:
    return tx.row(SchedulePolicy.select().where(SchedulePolicy.id == policy_id))


def of_capability(tx: Tx, capability: str) -> dict[str, Any] | None:
    return tx.row(SchedulePolicy.select().where(SchedulePolicy.capability == capability))


def add(tx: Tx, **values: Any) -> None:
    tx.run(SchedulePolicy.insert(**values))


def change(tx: Tx, policy_id: str, **values: Any) -> None:
    tx.run(SchedulePolicy.update(**values).where(SchedulePolicy.id == policy_id))


def drop(tx: Tx, policy_id: str) -> None:
    tx.run(SchedulePolicy.delete().where(SchedulePolicy.id == policy_id))
