"""Tasks that are wanted otherwise than their instances: those that stop, those that go on, those that leave."""

from __future__ import annotations

from collections.abc import Sequence

from peewee import JOIN

from acsmpd.model import InstanceRow, TaskRow
from acsmpd.store.database import Tx
from acsmpd.store.plans import CHUNK, NO, YES, instances, tasks
from acsmpd.store.tables import Instance, Load, Task


def astray(tx: Tx) -> dict[str, list[int]]:
    """Rows of tasks that are wanted otherwise than their instances, by how they are to be wanted.

    gone: deleted, or nothing of it has left, or to stand still on a service that ends; paused: off; running: on again.
    """
    ends = (Load.wanted == NO) & (Task.status != "FINISHED")
    query = (
        Task.select(Task.id, Task.sent, Instance.on, Instance.deleted, ends.alias("ends"))
        .join(Instance, on=(Instance.id == Task.instance_id), join_type=JOIN.LEFT_OUTER)
        .join_from(Task, Load, on=(Load.id == Task.load_id), join_type=JOIN.LEFT_OUTER)
        .where(
            ((Task.wanted != "gone") & ((Instance.deleted == YES) | Instance.id.is_null(YES)))
            | ((Task.wanted == "running") & (Instance.on == NO))
            | ((Task.wanted == "paused") & ((Instance.on == YES) | ends))
        )
        .order_by(Task.id)
    )
    found: dict[str, list[int]] = {"gone": [], "paused": [], "running": []}
    for row in tx.rows(query):
        gone = (
            row["deleted"] in (True, None)
            or not (row["on"] or row["sent"])
            or (row["ends"] and not row["on"])
        )
        found["gone" if gone else "running" if row["on"] else "paused"].append(row["id"])
    return found


def wish(tx: Tx, task_row_ids: Sequence[int], wanted: str, now_ms: int) -> None:
    """Wish the same for many tasks; a new wish is a fresh try, and what held up the old one says nothing any more."""
    for first in range(0, len(task_row_ids), CHUNK):
        some = Task.id.in_(task_row_ids[first : first + CHUNK])
        tx.run(Task.update(wanted=wanted, parked=False, reason="", changed_ms=now_ms).where(some))


def resting(tx: Tx, task_row_ids: Sequence[int]) -> list[tuple[InstanceRow, TaskRow]]:
    """The instances of these tasks, each with the newest of its own."""
    found: list[tuple[InstanceRow, TaskRow]] = []
    for first in range(0, len(task_row_ids), CHUNK):
        some = {one.instance_id: one for one in tasks(tx, Task.id.in_(task_row_ids[first : first + CHUNK]))}
        found += [(one, some[one.id]) for one in instances(tx, Instance.id.in_(list(some)))]
    return found


OTHERWISE = """
    SELECT DISTINCT t.id, l.package_id FROM instance_event e JOIN instance i ON i.number = e.instance_number
    JOIN task t ON t.instance_id = i.id JOIN load l ON l.id = t.load_id
    WHERE e.capability = '' AND NOT i.deleted AND t.wanted != 'gone' AND t.capabilities IS NOT NULL
    ORDER BY t.id LIMIT ?
"""


def otherwise(tx: Tx) -> list[tuple[InstanceRow, TaskRow, str]]:
    """Instances whose events were changed since they got their place on a service, with it and its package; CHUNK at
    most."""
    packages = {row[0]: row[1] for row in tx.sql(OTHERWISE, CHUNK)}
    there = tasks(tx, Task.id.in_(list(packages))) if packages else []
    named = {one.id: one for one in instances(tx, Instance.id.in_([task.instance_id for task in there]))}
    return [(named[task.instance_id], task, packages[task.id]) for task in there]
