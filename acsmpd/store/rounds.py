"""Turns of instances in the rounds of their inspections."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from acsmpd.model import ACTIVE, SERVED
from acsmpd.store.database import Tx
from acsmpd.store.rows import structs
from acsmpd.store.tables import Instance, Plan, Task, Turn


class Inspection(Struct, frozen=True):
    """An INSPECTIVE plan; `round`: whole rounds so far."""

    id: int
    round: int
    inspection: dict[str, Any]


class TurnRow(Struct, frozen=True):
    """A row of the table."""

    instance_id: str
    plan_id: int
    phase: str
    elapsed_seconds: float
    mono: float
    boot_id: str
    stopped: bool  # nobody wants the instance any more


def running(tx: Tx) -> list[Inspection]:
    """Inspections that are ON."""
    return structs(tx, Plan.select().where(Plan.mode == "INSPECTIVE", Plan.status == "ON"), Inspection)


def active(tx: Tx) -> dict[int, list[TurnRow]]:
    """plan -> turns that hold a place, in the order of the instances."""
    query = (
        Turn.select(Turn, (Instance.deleted | ~Instance.started).alias("stopped"))
        .join(Instance, on=(Instance.id == Turn.instance_id))
        .where(Turn.phase.in_(ACTIVE))
        .order_by(Instance.number)
    )
    found: dict[int, list[TurnRow]] = {}
    for row in tx.rows(query):
        turn = msgspec.convert(row, TurnRow, strict=False)
        found.setdefault(turn.plan_id, []).append(turn)
    return found


def tasks_of_active(tx: Tx) -> dict[str, list[dict[str, Any]]]:
    """instance -> its tasks that are on a device or to go there: device, wanted, sent, status, parked, reason."""
    query = (
        Task.select(
            Task.instance_id, Task.device, Task.wanted, Task.sent, Task.status, Task.parked, Task.reason
        )
        .join(Turn, on=(Turn.instance_id == Task.instance_id))
        .where(Turn.phase.in_(ACTIVE))
        .order_by(Task.id)
    )
    found: dict[str, list[dict[str, Any]]] = {}
    for row in tx.rows(query):
        found.setdefault(row["instance_id"], []).append(row)
    return found


def waiting(tx: Tx, plan_id: int, number: int, limit: int, but: list[str]) -> list[str]:
    """The first instances that have had no turn in this round, without those `but` that have theirs now."""
    rows = tx.sql(
        "SELECT i.id FROM instance i LEFT JOIN turn t ON t.instance_id = i.id AND t.round = ?"
        " WHERE i.plan_id = ? AND NOT i.deleted AND i.started AND t.instance_id IS NULL ORDER BY i.number LIMIT ?",
        number, plan_id, limit + len(but),
    )  # fmt: skip
    skipped = set(but)
    return [row[0] for row in rows if row[0] not in skipped][:limit]


def holding(tx: Tx, plan_id: int, but: list[str]) -> int:
    """Tasks of an earlier run of the plan that still run, on devices that take steps; but for these instances."""
    rows = tx.sql(
        "SELECT t.instance_id FROM task t JOIN instance i ON i.id = t.instance_id"
        " JOIN computility c ON c.code = t.device LEFT JOIN turn u ON u.instance_id = i.id"
        " WHERE i.plan_id = ? AND u.instance_id IS NULL"
        " AND t.sent AND t.status IN ('RUNNING', 'PENDING') AND NOT t.parked"
        " AND c.state = 'online' AND c.enabled AND c.approved",
        plan_id,
    )
    return len({row[0] for row in rows} - set(but))


def members(tx: Tx, plan_id: int) -> tuple[int, int]:
    """(served, all): instances that have had their turn in the present round, and those that take turns in it."""
    rows = tx.sql(
        "SELECT coalesce(sum(t.phase = ?), 0), coalesce(sum(i.started OR t.phase IS NOT NULL), 0) FROM instance i"
        " JOIN plan p ON p.id = i.plan_id"
        " LEFT JOIN turn t ON t.instance_id = i.id AND t.round = p.round + 1 WHERE p.id = ? AND NOT i.deleted",
        SERVED, plan_id,
    )  # fmt: skip
    return int(rows[0][0]), int(rows[0][1])


def nobody_placed(tx: Tx, plan_id: int, number: int, reason: str) -> bool:
    """Whether every turn of the round failed for a reason that begins so."""
    rows = tx.sql(
        "SELECT count(*), coalesce(sum(substr(reason, 1, ?) = ?), 0) FROM turn WHERE plan_id = ? AND round = ?",
        len(reason), reason, plan_id, number,
    )  # fmt: skip
    return bool(rows[0][0] == rows[0][1] > 0)


FAILURES = """
    SELECT instance_id, reason FROM turn WHERE reason != '' AND instance_id IN (SELECT value FROM json_each(?))
"""


def failures(tx: Tx, instance_ids: list[str]) -> dict[str, str]:
    """instance id -> why its last turn failed, of these instances."""
    if not instance_ids:
        return {}
    return dict(tx.sql(FAILURES, msgspec.json.encode(instance_ids).decode()))


def put(tx: Tx, **values: Any) -> None:
    tx.run(Turn.replace(**values))


def change(tx: Tx, instance_id: str, **values: Any) -> None:
    tx.run(Turn.update(**values).where(Turn.instance_id == instance_id))


def forget(tx: Tx, plan_id: int) -> None:
    """The plan begins anew, or ends: nobody has had a turn."""
    tx.run(Turn.delete().where(Turn.plan_id == plan_id))
