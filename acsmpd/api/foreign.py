"""Extension Computility/<Code>/ForeignTasks: tasks on a device that somebody else created (conventions section 6).

They are shown and counted, and never changed but by an operator who names one: to adopt it as an instance of
ours, or to delete it. Foreign packages and services stand among the others in tables 9, 10, 13 and 14; there
table 7 or 11 adopts one, table 8 or 12 deletes it.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from acsmpd import faults
from acsmpd.api import instances
from acsmpd.api.call import Call, Reply
from acsmpd.api.paging import echoed, page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.seats import carriers_of
from acsmpd.decide import placement
from acsmpd.model import TaskRow
from acsmpd.spec import times
from acsmpd.spec.messages.extensions import ForeignTask as ForeignTaskItem
from acsmpd.spec.messages.extensions import ForeignTaskPage
from acsmpd.spec.messages.instances import AlgoTaskInfo
from acsmpd.store import devices, foreign, packages, plans
from acsmpd.store.database import Tx
from acsmpd.store.rows import page_of as rows_of
from acsmpd.store.tables import ForeignTask, Instance, Task

NEVER_TOLD = -1
"""The revision of a task the device has from somebody else: lower than any of ours."""


ORDERS = {"TaskID": ForeignTask.task_id, "Status": ForeignTask.status, "FirstSeen": ForeignTask.seen_ms}


@handles("acsmp.search_foreign_tasks")
def search(platform: Platform, call: Call) -> ForeignTaskPage:
    code, page = call.path["Code"], page_of(call.message)
    status = call.message.status
    with platform.store.read() as tx:
        _known(tx, code)
        conditions = [ForeignTask.device == code, *([ForeignTask.status == status] if status else [])]
        rows, total = rows_of(tx, ForeignTask, conditions, page, ORDERS, ForeignTask.id)
        content = [_item(platform, row) for row in rows]
    return ForeignTaskPage(page_content=content, total=total, page_request=echoed(page))


def _known(tx: Tx, code: str) -> None:
    if devices.get(tx, code) is None:
        raise faults.NotFound(f"no computility {code}")


def _item(platform: Platform, row: dict[str, Any]) -> ForeignTaskItem:
    return ForeignTaskItem(
        task_id=row["task_id"],
        status=row["status"],
        stream_url=row["stream_url"],
        event_ids=row["event_ids"],
        labels=row["labels"] or None,
        restart_policy=row["policy"] or None,
        first_seen=times.written(row["seen_ms"], platform.zone) or "",
    )


@handles("acsmp.delete_foreign_task")
def delete(platform: Platform, call: Call) -> Reply:
    """By the word of an operator it enters the ledger as a task that is to go; refused, it is tried once more."""
    code, task_id, now = call.path["Code"], call.path["ID"], call.now.wall_ms
    with platform.store.write() as tx:
        _known(tx, code)
        row, leaving = foreign.task(tx, code, task_id), _leaving(tx, code, task_id)
        for task in leaving:
            plans.change_task(tx, task.id, parked=False, attempts=0, changed_ms=now)
        if row is None and not leaving:
            raise faults.NotFound(f"no foreign task {task_id} on computility {code}")
        if row is not None and not leaving:
            plans.add_task(
                tx, instance_id="", device=code, wanted="gone", sent=True, task_id=task_id,
                status=row["status"], created_ms=now, changed_ms=now,
            )  # fmt: skip
    platform.wake()
    here = Task.select(Task.id).where(Task.device == code, Task.task_id == task_id)
    refused = here.where(Task.parked == True)
    return Reply(
        settled=lambda tx: tx.row(here) is None or tx.row(refused) is not None, object=f"{code}/{task_id}"
    )


def _leaving(tx: Tx, code: str, task_id: str) -> list[TaskRow]:
    """The ledger's word that a foreign task is to go."""
    return plans.tasks(
        tx, Task.device == code, Task.task_id == task_id, Task.wanted == "gone", Task.instance_id == ""
    )


# --- adopting --------------------------------------------------------------------------------------------


@handles("acsmp.adopt_foreign_task")
def adopt(platform: Platform, call: Call) -> Reply:
    """A new instance whose place is that task; the engine then has it report here."""
    code, task_id, asked, now = call.path["Code"], call.path["ID"], call.message, call.now.wall_ms
    with platform.store.write() as tx:
        _known(tx, code)
        row = foreign.task(tx, code, task_id)
        if row is None:
            raise faults.NotFound(f"no foreign task {task_id} on computility {code}")
        if _leaving(tx, code, task_id):
            raise faults.Conflict(f"cannot adopt task {task_id}: it is being deleted")
        if row["status"] == "FINISHED":
            raise faults.Conflict(f"cannot adopt task {task_id}: it is finished")
        plan = plans.plan(tx, asked.task_id) if asked.task_id is not None else None
        if asked.task_id is not None and plan is None:
            raise faults.NotFound(f"no task plan {asked.task_id}")
        if plan is not None and plan["mode"] == "INSPECTIVE":
            raise faults.Conflict(
                f"cannot adopt task {task_id} into plan {plan['id']}: an inspection has turns"
            )
        on = row["status"] != "PAUSED"
        if plan is not None and on:
            instances.open_plan(tx, plan["id"], now)
        instance_id = instances.add(
            platform, tx, _info(row), path="TaskInfo", plan_id=asked.task_id,
            kind=plan["type"] if plan else asked.type or "VIDEO_REALTIME", restart=row["policy"] or "NEVER",
            on=on, held=plan is not None and instances.is_held(platform, plan, now), now_ms=now,
        )  # fmt: skip
        _enter(tx, instance_id, row, on=on, now_ms=now)
        foreign.drop_task(tx, row["id"])
    platform.wake()
    return Reply(instance_id, settled=lambda tx: _is_taken_over(tx, instance_id), object=f"{code}/{task_id}")


def _info(row: dict[str, Any]) -> AlgoTaskInfo:
    """What the device told of the task, tied to nothing. Conflict when that is not enough to run it by."""
    cannot = f"cannot adopt task {row['task_id']}: "
    if row["info"] is None:
        raise faults.Conflict(cannot + "the computility tells too much of it to be kept")
    try:
        info = msgspec.convert(row["info"], AlgoTaskInfo, strict=False)
    except msgspec.ValidationError as error:
        raise faults.Conflict(cannot + f"what the computility tells of it is not whole: {error}") from error
    return replace(
        info, algo_service_id=None, computility_code=None, restart_policy=None, priority_class=None
    )


def _enter(tx: Tx, instance_id: str, row: dict[str, Any], *, on: bool, now_ms: int) -> None:
    """The task is the instance's place. The revision it is said to hold brings the change that makes it ours."""
    abilities = packages.abilities(tx)
    carriers = carriers_of(tx, row, abilities)
    load = carriers[0] if len(carriers) == 1 else None
    [instance] = plans.instances(tx, Instance.id == instance_id)
    served = placement.capabilities_at(instance, abilities, load.package_id) if load else {}
    plans.serve(tx, instance.number, served)
    plans.add_task(
        tx, instance_id=instance_id, device=row["device"], load_id=load.load_id if load else None,
        wanted="running" if on else "paused", sent=True, task_id=row["task_id"], status=row["status"],
        policy=row["policy"] or "NEVER", capabilities=list(dict.fromkeys(served.values())),
        revision=NEVER_TOLD, why=f"adopted on {row['device']}, where it ran already", created_ms=now_ms,
        changed_ms=now_ms,
    )  # fmt: skip


def _is_taken_over(tx: Tx, instance_id: str) -> bool:
    return all(
        task.revision != NEVER_TOLD or task.parked
        for task in plans.tasks(tx, Task.instance_id == instance_id)
    )
