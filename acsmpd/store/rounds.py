"""Turns of instances in the rounds of their inspections."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from acsmpd.model import ACTIVE, SERVED
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance, Plan, Task, Turn


class TurnRow(Struct, frozen=True):
    """A row of the table."""

    instance_id: str
    plan_id: int
    round: int
    phase: str
    elapsed_seconds: float
    mono: float
    boot_id: str
    stopped: bool  # nobody wants the instance any more


def running(tx: Tx) -> list[dict[str, Any]]:
    """Inspections that are ON: id, round (complete ones), inspection."""
    return tx.rows(
        Plan.select(Plan.id, Plan.round, Plan.inspection).where(
            Plan.mode == "INSPECTIVE", Plan.status == "ON"
        )
    )


def active(tx: Tx, plan_id: int) -> list[TurnRow]:
    """Turns that hold a place, in the order of the instances."""
    query = (
        Turn.select(Turn, (Instance.deleted | ~Instance.started).alias("stopped"))
        .join(Instance, on=(Instance.id == Turn.instance_id))
        .where(Turn.plan_id == plan_id, Turn.phase.in_(ACTIVE))
        .order_by(Instance.number)
    )
    return [msgspec.convert(row, TurnRow, strict=False) for row in tx.rows(query)]


def waiting(tx: Tx, plan_id: int, number: int, limit: int) -> list[str]:
    """The first instances that have had no turn in this round."""
    had = Turn.select(Turn.instance_id).where(Turn.plan_id == plan_id, Turn.round == number)
    query = (
        Instance.select(Instance.id)
        .where(
            Instance.plan_id == plan_id, Instance.deleted == False, Instance.started == True,
            Instance.id.not_in(had),
        )
        .order_by(Instance.number)
        .limit(limit)
    )  # fmt: skip
    return [row["id"] for row in tx.rows(query)]


def served(tx: Tx, plan_id: int, number: int) -> int:
    """How many instances that are there have had their turn in this round."""
    rows = tx.sql(
        "SELECT count(*) FROM turn t JOIN instance i ON i.id = t.instance_id WHERE t.plan_id = ? AND t.round = ?"
        " AND t.phase = ? AND NOT i.deleted AND i.started",
        plan_id, number, SERVED,
    )  # fmt: skip
    return int(rows[0][0])


def members(tx: Tx, plan_id: int) -> int:
    """How many instances take turns."""
    rows = tx.sql("SELECT count(*) FROM instance WHERE plan_id = ? AND NOT deleted AND started", plan_id)
    return int(rows[0][0])


def failures(tx: Tx) -> dict[str, str]:
    """instance id -> why its last turn failed."""
    return {
        row["instance_id"]: row["reason"]
        for row in tx.rows(Turn.select(Turn.instance_id, Turn.reason).where(Turn.reason != ""))
    }


def tasks_of(tx: Tx, instance_ids: list[str]) -> list[dict[str, Any]]:
    """Every task of these instances that is on a device or to go there: instance_id, device, wanted, sent, status,
    parked, reason."""
    return tx.rows(
        Task.select(
            Task.instance_id, Task.device, Task.wanted, Task.sent, Task.status, Task.parked, Task.reason
        ).where(Task.instance_id.in_(instance_ids))
    )


def put(tx: Tx, **values: Any) -> None:
    tx.run(Turn.replace(**values))


def change(tx: Tx, instance_id: str, **values: Any) -> None:
    tx.run(Turn.update(**values).where(Turn.instance_id == instance_id))


def forget(tx: Tx, plan_id: int) -> None:
    """The plan begins anew, or ends: nobody has had a turn."""
    tx.run(Turn.delete().where(Turn.plan_id == plan_id))
