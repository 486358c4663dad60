"""Tables 15-21: task plans."""

from __future__ import annotations

from typing import Any

from acsmpd import faults
from acsmpd.api import instances
from acsmpd.api.call import Call, Reply
from acsmpd.api.filters import created_between, instance_filters
from acsmpd.api.paging import echoed, page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.spec import times
from acsmpd.spec.messages.plans import Task, TaskListRequest, TaskPageResponse
from acsmpd.store import plans
from acsmpd.store.database import Tx
from acsmpd.store.rows import page_of as rows_of
from acsmpd.store.tables import Instance, Plan

ORDERS = {
    "ID": Plan.id, "TaskID": Plan.id, "Name": Plan.name, "Type": Plan.type, "Mode": Plan.mode,
    "Status": Plan.status, "CreatedDate": Plan.created_ms, "LastModifiedDate": Plan.modified_ms,
}  # fmt: skip


@handles("acsmp.create_task")
def create(platform: Platform, call: Call) -> Reply:
    """Record the plan and its instances; with AutoStart they are wanted at once."""
    asked, now = call.message, call.now.wall_ms
    _refuse_what_is_planned(asked)
    if not asked.algo_task_infos:
        raise faults.MissingField("$.AlgoTaskInfos: a PERIODIC plan needs at least one instance")
    start = bool(asked.auto_start)
    with platform.store.write() as tx:
        plan_id = plans.add_plan(
            tx, name=asked.name, type=asked.type, mode=asked.mode, description=asked.description or "",
            auto_restart=bool(asked.auto_restart), auto_start=start, status="ON" if start else "OFF",
            created_ms=now, modified_ms=now,
        )  # fmt: skip
        for place, info in enumerate(asked.algo_task_infos):
            instances.add(
                platform, tx, info, path=f"$.AlgoTaskInfos[{place}]", plan_id=plan_id, kind=asked.type,
                restart="ALWAYS" if asked.auto_restart else "NEVER", on=start, now_ms=now,
            )  # fmt: skip
    platform.wake()
    return Reply(plan_id, settled=lambda tx: _settled(tx, plan_id), object=str(plan_id))


def _refuse_what_is_planned(asked: Any) -> None:
    """INSPECTIVE plans and day windows are a later chapter: said so, never half done."""
    if asked.mode == "INSPECTIVE":
        raise faults.Planned("$.Mode: INSPECTIVE plans are planned and not served yet")
    if asked.inspection_plan is not None:
        raise faults.InvalidField("$.InspectionPlan: a PERIODIC plan names its instances in AlgoTaskInfos")
    if asked.plan_day_time:
        raise faults.Planned("$.PlanDayTime: time windows are planned and not served yet")


def _settled(tx: Tx, plan_id: int) -> bool:
    rows = plans.instances(tx, Instance.plan_id == plan_id, Instance.deleted == False)
    return all(instances.is_settled(row.on, row.status) for row in rows)


@handles("acsmp.get_task")
def get(platform: Platform, call: Call) -> Task:
    with platform.store.read() as tx:
        row = plan_of(tx, call.path["ID"])
        return _items(platform, tx, [row])[0]


@handles("acsmp.search_tasks")
def search(platform: Platform, call: Call) -> TaskPageResponse:
    asked, page = call.message, page_of(call.message)
    with platform.store.read() as tx:
        conditions = [Plan.origin == "", *_filters(platform, asked)]
        rows, total = rows_of(tx, Plan, conditions, page, ORDERS, Plan.id)
        content = _items(platform, tx, rows)
    return TaskPageResponse(page_content=content, total_size=total, page_request=echoed(page))


def _filters(platform: Platform, asked: TaskListRequest) -> list[Any]:
    conditions: list[Any] = []
    if asked.task_ids is not None:
        conditions.append(Plan.id.in_(asked.task_ids))
    if asked.name:
        conditions.append(Plan.name.contains(asked.name))
    for column, value in ((Plan.status, asked.status), (Plan.type, asked.type), (Plan.mode, asked.mode)):
        if value:
            conditions.append(column == value)
    some = instance_filters(asked)
    if some:
        conditions.append(
            Plan.id.in_(Instance.select(Instance.plan_id).where(Instance.deleted == False, *some))
        )
    return conditions + created_between(platform, asked, Plan.created_ms)


def _items(platform: Platform, tx: Tx, rows: list[dict[str, Any]]) -> list[Task]:
    numbers = plans.counts(tx, [row["id"] for row in rows])
    found = tx.rows(
        Instance.select()
        .where(Instance.plan_id.in_([row["id"] for row in rows]), Instance.deleted == False)
        .order_by(Instance.number)
    )
    by_plan: dict[int, list[Any]] = {row["id"]: [] for row in rows}
    for row in found:
        by_plan[row["plan_id"]].append(instances.info_of(row))
    return [_item(platform, row, by_plan[row["id"]], numbers[row["id"]]) for row in rows]


def _item(platform: Platform, row: dict[str, Any], infos: list[Any], numbers: dict[str, int]) -> Task:
    return Task(
        task_id=row["id"],
        name=row["name"],
        type=row["type"],
        mode=row["mode"],
        algo_task_infos=infos,
        description=row["description"] or None,
        status=row["status"],
        created_date=times.written(row["created_ms"], platform.zone),
        last_modified_date=times.written(row["modified_ms"], platform.zone),
        auto_restart=row["auto_restart"],
        auto_start=row["auto_start"],
        device_count=numbers["devices"],
        total_count=sum(numbers[status] for status in plans.STATUSES),
        starting_count=numbers["PENDING"],
        start_err_count=numbers["ERROR"],
        running_count=numbers["RUNNING"],
        stopped_count=numbers["PAUSED"],
        finished_count=numbers["FINISHED"],
    )


@handles("acsmp.delete_task")
def delete(platform: Platform, call: Call) -> Reply:
    """Stop the plan, then delete it and its instances; their tasks leave the devices."""
    plan_id = call.path["ID"]
    with platform.store.write() as tx:
        plan_of(tx, plan_id)
        plans.change_instances(
            tx, Instance.plan_id == plan_id, deleted=True, on=False, changed_ms=call.now.wall_ms
        )
        plans.drop_plan(tx, plan_id)
    platform.wake()
    return Reply(settled=lambda tx: not instances.tasks_left(tx, Instance.plan_id == plan_id))


@handles("acsmp.start_task")
def start(platform: Platform, call: Call) -> Reply:
    return _switch(platform, call, on=True)


@handles("acsmp.stop_task")
def stop(platform: Platform, call: Call) -> Reply:
    return _switch(platform, call, on=False)


def _switch(platform: Platform, call: Call, *, on: bool) -> Reply:
    """Idempotent; starting again also gives refused and finished instances a fresh try."""
    plan_id, now = call.path["ID"], call.now.wall_ms
    with platform.store.write() as tx:
        plan_of(tx, plan_id)
        plans.change_plan(tx, plan_id, status="ON" if on else "OFF", modified_ms=now)
        here = Instance.plan_id == plan_id
        instances.switch(tx, [here], on=on, now_ms=now)
    platform.wake()
    return Reply(settled=lambda tx: _settled(tx, plan_id))


def plan_of(tx: Tx, plan_id: int) -> dict[str, Any]:
    row = plans.plan(tx, plan_id)
    if row is None:
        raise faults.NotFound(f"no task plan {plan_id}")
    return row
