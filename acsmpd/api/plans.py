"""Tables 15-21: task plans."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace
from peewee import fn

from acsmpd import faults
from acsmpd.api import instances, merging
from acsmpd.api.call import Call, Reply
from acsmpd.api.filters import created_between, instance_filters
from acsmpd.api.mentions import Mentions
from acsmpd.api.merging import Listed
from acsmpd.api.paging import echoed, page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.decide import windows
from acsmpd.decide.rounds import progress
from acsmpd.model import FOR_QUOTA
from acsmpd.spec import times
from acsmpd.spec.messages.instances import AlgoTaskInfo
from acsmpd.spec.messages.plans import (
    Task,
    TaskCreateRequest,
    TaskInspectionPlan,
    TaskListRequest,
    TaskPageResponse,
    TaskUpdateRequest,
)
from acsmpd.store import plans, rounds
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
    infos = _what_to_run(asked)
    inspection = None if asked.inspection_plan is None else _kept(asked.inspection_plan)
    hours = _hours(asked.plan_day_time or [], asked.mode)
    start = bool(asked.auto_start)
    with platform.store.write() as tx:
        plan_id = plans.add_plan(
            tx, name=asked.name, type=asked.type, mode=asked.mode, description=asked.description or "",
            inspection=inspection, plan_day_time=hours, auto_restart=bool(asked.auto_restart), auto_start=start,
            status="ON" if start else "OFF", created_ms=now, modified_ms=now,
        )  # fmt: skip
        held = instances.is_held(platform, {"mode": asked.mode, "plan_day_time": hours}, now)
        mentions = Mentions(tx)
        for path, info in infos:
            instances.add(
                platform, tx, info, path=path, plan_id=plan_id, kind=asked.type,
                restart=instances.restart_policy(bool(asked.auto_restart)), on=start, held=held, now_ms=now,
                mentions=mentions,
            )  # fmt: skip
    platform.wake()
    return Reply(plan_id, settled=lambda tx: _settled(tx, plan_id), object=str(plan_id))


def _what_to_run(asked: TaskCreateRequest) -> Listed:
    """The instances of a new plan, each with its place in the request."""
    infos = _named(asked, asked.mode)
    if infos is None and asked.mode == "INSPECTIVE":
        raise faults.MissingField("$.InspectionPlan: an INSPECTIVE plan needs one")
    return _listed([]) if infos is None else infos


def _named(asked: TaskCreateRequest | TaskUpdateRequest, mode: str) -> Listed | None:
    """The instances given to a plan of this mode; None when none are."""
    if mode == "INSPECTIVE":
        if asked.algo_task_infos:
            raise faults.InvalidField(
                "$.AlgoTaskInfos: an INSPECTIVE plan names its instances in InspectionPlan"
            )
        return None if asked.inspection_plan is None else _inspected(asked.inspection_plan)
    if asked.inspection_plan is not None:
        raise faults.InvalidField("$.InspectionPlan: a PERIODIC plan names its instances in AlgoTaskInfos")
    return None if asked.algo_task_infos is None else _listed(asked.algo_task_infos)


def _listed(infos: list[AlgoTaskInfo]) -> Listed:
    if not infos:
        raise faults.MissingField("$.AlgoTaskInfos: a PERIODIC plan needs at least one instance")
    return [(f"$.AlgoTaskInfos[{place}]", info) for place, info in enumerate(infos)]


def _inspected(asked: TaskInspectionPlan) -> Listed:
    given = asked.task_info
    if not isinstance(given, list):
        return [("$.InspectionPlan.TaskInfo", given)]
    if not given:
        raise faults.MissingField("$.InspectionPlan.TaskInfo: an INSPECTIVE plan needs at least one instance")
    return [(f"$.InspectionPlan.TaskInfo[{place}]", info) for place, info in enumerate(given)]


def _kept(asked: TaskInspectionPlan) -> dict[str, Any]:
    """What the plan's row holds: seconds and numbers as given, and whether TaskInfo came as one object."""
    return {
        "Concurrency": asked.concurrency, "Duration": asked.duration, "RoundLimit": asked.round_limit,
        "Single": not isinstance(asked.task_info, list),
    }  # fmt: skip


def _hours(texts: list[str], mode: str) -> list[str] | None:
    """PlanDayTime as it is kept and shown; None: round the clock."""
    if texts and mode == "INSPECTIVE":
        raise faults.InvalidField(
            "$.PlanDayTime: only a PERIODIC plan has hours; an INSPECTIVE one has rounds"
        )
    return windows.written(windows.parse(texts)) or None


def _settled(tx: Tx, plan_id: int) -> bool:
    rows = plans.instances(tx, Instance.plan_id == plan_id, Instance.deleted == False)
    return all(instances.is_settled(row.on, row.status) for row in rows)


# --- changing -------------------------------------------------------------------------------------------------


@handles("acsmp.update_task")
def update(platform: Platform, call: Call) -> Reply:
    """Names, hours and restarts count at once, changed instances at their next start or with ?Apply=now; an
    instance that is the same goes on untouched."""
    asked, plan_id, now = call.message, call.path["ID"], call.now.wall_ms
    apply = call.query.get("Apply", "")
    if apply not in ("", "now"):
        raise faults.InvalidField(f"?Apply: {apply[:64]!r} is not now, the only value it has")
    if asked.task_id is not None and asked.task_id != plan_id:
        raise faults.InvalidField(f"$.TaskID: {asked.task_id} is not the plan of the path, {plan_id}")
    with platform.store.write() as tx:
        plan = plan_of(tx, plan_id)
        is_other = asked.auto_restart not in (None, plan["auto_restart"])
        values, infos = _changes(asked, plan)
        plans.change_plan(tx, plan_id, **values, modified_ms=now)
        plan |= values
        if infos is not None:
            merging.merge(platform, tx, plan, infos, at_once=apply == "now", now_ms=now)
        if is_other:
            _restart_as(tx, plan, now)
        if asked.plan_day_time is not None and plan["status"] == "ON":
            _follow_hours(platform, tx, plan, now)
    platform.wake()
    return Reply(settled=lambda tx: _settled(tx, plan_id), object=str(plan_id))


def _changes(asked: TaskUpdateRequest, plan: dict[str, Any]) -> tuple[dict[str, Any], Listed | None]:
    """Columns of the plan, and its instances if they were given."""
    values: dict[str, Any] = {
        column: value
        for column, value in (
            ("name", asked.name), ("description", asked.description), ("auto_restart", asked.auto_restart),
            ("auto_start", asked.auto_start),
        )
        if value is not None
    }  # fmt: skip
    if asked.plan_day_time is not None:
        values["plan_day_time"] = _hours(asked.plan_day_time, plan["mode"])
    infos = _named(asked, plan["mode"])
    if asked.inspection_plan is not None:
        values["inspection"] = _kept(asked.inspection_plan)
    return values, infos


def _restart_as(tx: Tx, plan: dict[str, Any], now_ms: int) -> None:
    """AutoRestart is the RestartPolicy of every instance of the plan."""
    wanted = instances.restart_policy(plan["auto_restart"])
    others = (Instance.plan_id == plan["id"], Instance.deleted == False, Instance.restart_policy != wanted)
    plans.change_instances(
        tx, *others, restart_policy=wanted, revision=Instance.revision + 1, changed_ms=now_ms
    )
    for row in tx.rows(
        Instance.select(Instance.id, Instance.next).where(others[0], others[1], Instance.next.is_null(False))
    ):
        plans.change_instance(tx, row["id"], next={**row["next"], "restart_policy": wanted})


def _follow_hours(platform: Platform, tx: Tx, plan: dict[str, Any], now_ms: int) -> None:
    """Run or rest as the new hours say."""
    if instances.is_held(platform, plan, now_ms):
        plans.close_hours(tx, [plan["id"]], now_ms)
    else:
        plans.open_hours(tx, [plan["id"]], now_ms)


# --- showing --------------------------------------------------------------------------------------------------


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
        found = Instance.select(Instance.plan_id).where(Instance.deleted == False, *some)
        # a device has few instances, which are looked up; a capability may have all, of which one a plan is enough
        by_device = asked.device_ids is not None
        conditions.append(
            Plan.id.in_(found) if by_device else fn.EXISTS(found.where(Instance.plan_id == Plan.id))
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
        info = instances.info_of(row)
        by_plan[row["plan_id"]].append(replace(info, restart_policy=row["restart_policy"]))
    turns = {row["id"]: rounds.members(tx, row["id"]) for row in rows if row["inspection"]}
    now_ms = platform.clock.now().wall_ms
    return [
        _item(platform, row, by_plan[row["id"]], numbers[row["id"]], turns.get(row["id"], (0, 0)), now_ms)
        for row in rows
    ]


def _item(
    platform: Platform, row: dict[str, Any], infos: list[AlgoTaskInfo], numbers: dict[str, int],
    turns: tuple[int, int], now_ms: int,
) -> Task:  # fmt: skip
    total = sum(numbers[status] for status in plans.STATUSES)
    start_ms, stop_ms = _next(platform, row, now_ms)
    return Task(
        task_id=row["id"],
        name=row["name"],
        type=row["type"],
        mode=row["mode"],
        algo_task_infos=None if row["inspection"] else infos,
        inspection_plan=_inspection(row, infos, turns) if row["inspection"] else None,
        plan_day_time=row["plan_day_time"],
        next_start_date=times.written(start_ms, platform.zone),
        next_stop_date=times.written(stop_ms, platform.zone),
        description=row["description"] or None,
        status=row["status"],
        created_date=times.written(row["created_ms"], platform.zone),
        last_modified_date=times.written(row["modified_ms"], platform.zone),
        auto_restart=row["auto_restart"],
        auto_start=row["auto_start"],
        device_count=numbers["devices"],
        total_count=total,
        starting_count=numbers["PENDING"],
        waiting_for_quota_count=numbers[FOR_QUOTA] or None,
        start_err_count=numbers["ERROR"],
        running_count=numbers["RUNNING"],
        stopped_count=numbers["PAUSED"],
        finished_count=numbers["FINISHED"],
    )


def _next(platform: Platform, row: dict[str, Any], now_ms: int) -> tuple[int | None, int | None]:
    """When a plan that is ON starts next, and when it stops; by its hours."""
    hours = windows.parse(row["plan_day_time"] or [])
    change = windows.next_change(hours, now_ms, platform.zone) if row["status"] == "ON" else None
    return (None, change) if windows.is_open(hours, now_ms, platform.zone) else (change, None)


def _inspection(row: dict[str, Any], infos: list[AlgoTaskInfo], turns: tuple[int, int]) -> TaskInspectionPlan:
    """In the form it was given: one object, or many. `turns`: those that were, of all in this round."""
    kept, (served, members) = row["inspection"], turns
    is_finished = row["status"] == "OFF" and kept["RoundLimit"] and row["round"] >= kept["RoundLimit"]
    return TaskInspectionPlan(
        concurrency=kept["Concurrency"],
        duration=kept["Duration"],
        round_limit=kept["RoundLimit"],
        task_info=infos[0] if kept["Single"] and len(infos) == 1 else infos,
        round_count=row["round"],
        progress=100.0 if is_finished else progress(members, served),
    )


@handles("acsmp.delete_task")
def delete(platform: Platform, call: Call) -> Reply:
    """Stop the plan, then delete it and its instances; their tasks leave the devices."""
    plan_id = call.path["ID"]
    with platform.store.write() as tx:
        plan_of(tx, plan_id)
        plans.delete_instances(tx, call.now.wall_ms, Instance.plan_id == plan_id)
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
        plan = plan_of(tx, plan_id)
        if on:
            instances.open_plan(tx, plan_id, now)
        elif plan["status"] != "OFF":
            plans.change_plan(tx, plan_id, status="OFF", modified_ms=now)
        instances.switch(platform, tx, [Instance.plan_id == plan_id], on=on, now_ms=now)
    platform.wake()
    return Reply(settled=lambda tx: _settled(tx, plan_id))


def plan_of(tx: Tx, plan_id: int) -> dict[str, Any]:
    row = plans.plan(tx, plan_id)
    if row is None:
        raise faults.NotFound(f"no task plan {plan_id}")
    return row
