"""Tables 22-28: task instances."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from acsmpd import faults
from acsmpd.api import starts
from acsmpd.api.call import Call, Reply
from acsmpd.api.filters import created_between, instance_filters
from acsmpd.api.mentions import Mentions, check_control
from acsmpd.api.paging import echoed, page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.decide import placement, windows
from acsmpd.decide.results import receive_urls
from acsmpd.decide.streams import device_id_of
from acsmpd.spec.messages.instances import AlgoTaskInfo, TaskInstanceDetail
from acsmpd.spec.reading import check_task_info
from acsmpd.store import plans, rounds, services
from acsmpd.store.database import Tx
from acsmpd.store.rows import equal, is_number, packed_page_of
from acsmpd.store.tables import Instance, Plan, Task

ORDERS = {
    "ID": Instance.number, "Number": Instance.number, "TaskID": Instance.plan_id, "Status": Instance.status,
    "CreatedDate": Instance.created_ms,
}  # fmt: skip

AUDITED = 256
"""Characters in which the audit record is told what a batch did."""


# --- adding -------------------------------------------------------------------------------------------


def add(
    platform: Platform, tx: Tx, info: AlgoTaskInfo, *, path: str, plan_id: int | None, kind: str, restart: str,
    on: bool, now_ms: int, held: bool = False, origin: str = "", caller_id: str = "", default_device: str = "",
    mentions: Mentions | None = None,
) -> str:  # fmt: skip
    """Write one instance and return its ID; `on`: it is started; `held`: its plan does not let it run now.

    `mentions`: of the request, where it adds several. Raises InvalidField or NotFound naming `path`.
    """
    check_task_info(info, path)
    body, mentions = verbatim(info), mentions or Mentions(tx)
    device, service_id = info.computility_code or default_device, info.algo_service_id or ""
    mentions.check_pins(device, service_id, path)
    check_control(platform, tx, device, service_id, path)
    priority_class = "" if origin else info.priority_class or ""  # a platform above has classes of its own
    mentions.check_class(priority_class, path)
    instance_id, runs = str(uuid.uuid4()), on and not held
    mentions.check_labels(body, path)
    plans.add_instance(
        tx, _events(body), id=instance_id, plan_id=plan_id, origin=origin, caller_id=caller_id, type=kind,
        restart_policy=info.restart_policy or restart, service_id=service_id, device=device, on=runs, started=on,
        priority_class=priority_class, status="PENDING" if runs else "PAUSED", created_ms=now_ms, changed_ms=now_ms,
        **_derived(body),
    )  # fmt: skip
    return instance_id


def held_plans(platform: Platform, tx: Tx, plan_ids: set[int | None], now_ms: int) -> set[int | None]:
    """Plans whose instances do not run by being started alone: their hours, or their turn, have to come."""
    rows = [plans.plan(tx, plan_id) for plan_id in plan_ids if plan_id is not None]
    return {row["id"] for row in rows if row is not None and is_held(platform, row, now_ms)}


def is_held(platform: Platform, plan: dict[str, Any], now_ms: int) -> bool:
    """The same of one plan. Of it only mode and plan_day_time are looked at."""
    hours = windows.parse(plan["plan_day_time"] or [])
    return plan["mode"] == "INSPECTIVE" or not windows.is_open(hours, now_ms, platform.zone)


def restart_policy(auto_restart: bool) -> str:
    """What AutoRestart of a plan makes of its instances."""
    return "ALWAYS" if auto_restart else "NEVER"


def verbatim(info: Any) -> dict[str, Any]:
    """The printed members as the caller wrote them; ours are kept in columns."""
    return {name: value for name, value in msgspec.to_builtins(info).items() if name not in plans.OWN_COLUMNS}


def columns_of(info: AlgoTaskInfo) -> dict[str, Any]:
    """What an update of a plan makes of an instance at its next start (store/plans.become)."""
    return _of_body(verbatim(info), info.restart_policy)


def _of_body(body: dict[str, Any], restart_policy: str | None) -> dict[str, Any]:
    policy = {"restart_policy": restart_policy} if restart_policy else {}
    return {**_derived(body), "events": list(placement.events_of(body)), **policy}


def _derived(body: dict[str, Any]) -> dict[str, Any]:
    """The columns that hold what was given."""
    return {"info": body, "receive_urls": receive_urls(body), "stream_device_id": device_id_of(body)}


def _events(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Which capability serves each is chosen at placement."""
    return [(event, "") for event in placement.events_of(body)]


@handles("acsmp.create_task_instances")
def create(platform: Platform, call: Call) -> Reply:
    asked, now = call.message, call.now.wall_ms
    on = bool(asked.auto_start)
    with platform.store.write() as tx:
        plan = plans.plan(tx, asked.task_id)
        if plan is None:
            raise faults.NotFound(f"no task plan {asked.task_id}")
        if on:
            open_plan(tx, plan["id"], now)
        if not asked.algo_task_infos:
            raise faults.InvalidField("$.AlgoTaskInfos: at least one instance is wanted")
        held, mentions = is_held(platform, plan, now), Mentions(tx)
        added = [
            add(
                platform, tx, info, path=f"$.AlgoTaskInfos[{place}]", plan_id=plan["id"], kind=plan["type"],
                restart=restart_policy(plan["auto_restart"]), on=on, held=held, now_ms=now, mentions=mentions,
            )
            for place, info in enumerate(asked.algo_task_infos)
        ]  # fmt: skip
        plans.change_plan(tx, plan["id"], modified_ms=now)
    platform.wake()
    return Reply(added, settled=lambda tx: _settled(tx, added), object=str(asked.task_id))


# --- changing -------------------------------------------------------------------------------------------


@handles("acsmp.update_task_instance")
def update(platform: Platform, call: Call) -> Reply:
    """The path governs; absent members stay. Result addresses live here and are no device call."""
    asked = call.message
    wanted = str(call.path.get("ID") or asked.id or "")
    if not wanted:
        raise faults.MissingField("$.ID: the instance to change")
    if call.path.get("ID") and asked.id is not None and str(asked.id) != wanted:
        raise faults.InvalidField(f"$.ID: {asked.id} is not the instance of the path, {wanted}")
    with platform.store.write() as tx:
        row = instance_of(tx, wanted)
        _refuse_foreign_owner(row, call)
        check_control(platform, tx, asked.computility_code or "", asked.algo_service_id or "", "$")
        change_info(tx, row, asked, call.now.wall_ms)
    platform.wake()
    return Reply(settled=lambda tx: _settled(tx, [row["id"]]), object=row["id"])


def change_info(tx: Tx, row: dict[str, Any], asked: Any, now_ms: int, *, whole: bool = False) -> None:
    """Bring an instance's information up to date; only what a device would see raises its revision.

    `whole`: what is not given is not wanted any more (Part 4 table 10), else it stays (Part 5 table 23).
    """
    given = verbatim(asked)
    body = given if whole else {**row["info"], **given}
    check_task_info(msgspec.convert(body, AlgoTaskInfo), "$")
    values: dict[str, Any] = {**_derived(body), "changed_ms": now_ms}
    if _seen_by_device(body) != _seen_by_device(row["info"]):
        values["revision"] = row["revision"] + 1
    if asked.restart_policy and asked.restart_policy != row["restart_policy"]:
        values |= {"restart_policy": asked.restart_policy, "revision": row["revision"] + 1}
    if asked.priority_class is not None and not row["origin"]:
        Mentions(tx).check_class(asked.priority_class, "$")
        values["priority_class"] = asked.priority_class
    if asked.computility_code is not None or asked.algo_service_id is not None:
        values |= _new_pins(tx, row, asked, now_ms)
    values["next"] = None if whole else _next_too(row["next"], given, asked)
    plans.change_instance(tx, row["id"], **values)
    if placement.events_of(body) != placement.events_of(row["info"]):
        plans.set_events(tx, row["number"], _events(body))
    for task in plans.tasks(tx, Task.instance_id == row["id"], Task.wanted != "gone"):
        if task.parked:
            plans.unpark(tx, task, now_ms)


def _next_too(columns: dict[str, Any] | None, given: dict[str, Any], asked: Any) -> dict[str, Any] | None:
    """What waits for the next start, with a change that was made meanwhile."""
    if columns is None:
        return None
    return {**columns, **_of_body({**columns["info"], **given}, asked.restart_policy)}


def _new_pins(tx: Tx, row: dict[str, Any], asked: Any, now_ms: int) -> dict[str, Any]:
    """Pinning elsewhere takes the present place away; placement gives the new one.

    What a read shows as the present place is no pin when it is written back: who reads, changes and writes
    an instance must neither restart nor tie it.
    """
    pins, is_elsewhere = wanted_pins(tx, row, asked, "$")
    if is_elsewhere:
        plans.take_off(tx, [row["id"]], now_ms)
    return pins


def wanted_pins(tx: Tx, row: dict[str, Any], asked: Any, path: str) -> tuple[dict[str, Any], bool]:
    """The columns `device` and `service_id`, and whether its present place is another."""
    place = plans.place_of(tx, row["id"])
    at, on = (place.device, place.service_id) if place else (None, None)
    device = row["device"] if asked.computility_code in (None, at) else asked.computility_code
    service = row["service_id"] if asked.algo_service_id in (None, on) else asked.algo_service_id
    Mentions(tx).check_pins(device, service, path)
    return {"device": device, "service_id": service}, bool(
        (device and device != at) or (service and service != on)
    )


def _seen_by_device(body: dict[str, Any]) -> dict[str, Any]:
    rules = [
        {k: v for k, v in rule.items() if k != "ResultReceiveUrl"} for rule in body.get("RulesParams") or []
    ]
    return {**body, "RulesParams": rules}


def _refuse_foreign_owner(row: dict[str, Any], call: Call) -> None:
    if row["origin"] and not call.flag("Force"):
        raise faults.Conflict(
            f"instance {row['id']} was created by platform {row['origin']}; use ?Force=true"
        )


@handles("acsmp.delete_task_instance")
def delete(platform: Platform, call: Call) -> Reply:
    with platform.store.write() as tx:
        row = instance_of(tx, call.path["ID"])
        _refuse_foreign_owner(row, call)
        plans.delete_instances(tx, call.now.wall_ms, Instance.id == row["id"])
    platform.wake()
    return Reply(settled=lambda tx: not tasks_left(tx, Instance.id == row["id"]), object=row["id"])


@handles("acsmp.start_task_instances")
def start(platform: Platform, call: Call) -> Reply:
    return _switch_named(platform, call, on=True)


@handles("acsmp.stop_task_instances")
def stop(platform: Platform, call: Call) -> Reply:
    return _switch_named(platform, call, on=False)


def _switch_named(platform: Platform, call: Call, *, on: bool) -> Reply:
    """Those that are there, and that a quota allows to start, are switched; the answer names the others."""
    wanted = list(dict.fromkeys(str(one) for one in call.message.ids))
    if on:
        starts.ask_afresh(platform, wanted, call.now.wall_ms)
    with platform.store.write() as tx:
        rows = {one: plans.instance(tx, one) for one in wanted}
        missing = [one for one, row in rows.items() if row is None]
        found = [row for row in rows.values() if row is not None]
        for row in found:
            _refuse_foreign_owner(row, call)
        past = starts.refused(
            tx, _begin(platform, tx, found, call.now.wall_ms) if on else [], call.now.wall_ms
        )
        found = [row for row in found if row["id"] not in past.why]
        ids = [row["id"] for row in found]
        if on:
            for plan_id in sorted({row["plan_id"] for row in found if row["plan_id"] is not None}):
                open_plan(tx, plan_id, call.now.wall_ms)
        switch(platform, tx, [Instance.id.in_(ids)], on=on, now_ms=call.now.wall_ms)
    platform.wake()
    done = "started" if on else "stopped"
    told = f"{done} {len(found)} of {len(wanted)}" + (f": {', '.join(ids)}" if ids else "")
    failure = _left_out(
        missing, past, f"the other {len(found)} were {done}" if found else "nothing was changed"
    )
    return Reply(settled=lambda tx: _settled(tx, ids), object=told[:AUDITED], failure=failure)


def _begin(platform: Platform, tx: Tx, rows: list[dict[str, Any]], now_ms: int) -> list[str]:
    """Those of these instances that take a stream when they are started now."""
    held = held_plans(platform, tx, {row["plan_id"] for row in rows}, now_ms)
    resting = [row for row in rows if not row["on"] or row["status"] == "FINISHED"]
    return [row["id"] for row in resting if row["plan_id"] not in held]


def _left_out(missing: list[str], past: starts.Refused, others: str) -> faults.Fault | None:
    """What the caller is told of those that were not switched."""
    unknown = f"no task instances {', '.join(missing[:50])}"
    if past.why:
        return faults.Conflict("; ".join([past.fault().message, *([unknown] if missing else []), others]))
    return faults.NotFound(f"{unknown}; {others}") if missing else None


def open_plan(tx: Tx, plan_id: int, now_ms: int) -> None:
    """The plan is ON; an inspection that was not begins with its first round. No effect on one that was."""
    plan = plans.plan(tx, plan_id)
    if plan is not None and plan["status"] != "ON":
        rounds.forget(tx, plan_id)
        plans.change_plan(tx, plan_id, status="ON", round=0, modified_ms=now_ms)


def switch(platform: Platform, tx: Tx, conditions: list[Any], *, on: bool, now_ms: int) -> None:
    """Want instances to run or not; refused tasks get a fresh try, finished ones start anew."""
    columns = (Instance.id, Instance.plan_id, Instance.on, Instance.started)
    rows = tx.rows(Instance.select(*columns).where(Instance.deleted == False, *conditions))
    ids = [row["id"] for row in rows]
    turned = [row["id"] for row in rows if row["started"] is not on]
    plans.change_instances(tx, Instance.id.in_(turned), started=on, preempted_by="", changed_ms=now_ms)
    if not on:
        running = [row["id"] for row in rows if row["on"]]
        plans.change_instances(tx, Instance.id.in_(running), on=False, changed_ms=now_ms)
        return
    held = held_plans(platform, tx, {row["plan_id"] for row in rows}, now_ms)
    resting = [row["id"] for row in rows if row["plan_id"] in held and row["started"] is not on]
    plans.change_instances(tx, Instance.id.in_(resting), Instance.status == "FINISHED", status="PAUSED")
    free = [row["id"] for row in rows if not row["on"] and row["plan_id"] not in held]
    plans.let_run(tx, [Instance.id.in_(free)], now_ms)
    afresh = [row["id"] for row in rows if row["plan_id"] not in held]
    ended = Instance.status.in_(("FINISHED", "ERROR"))
    plans.change_instances(tx, Instance.id.in_(afresh), ended, status="PENDING", changed_ms=now_ms)
    for task in plans.tasks(tx, Task.instance_id.in_(ids), Task.wanted != "gone"):
        if task.parked:
            if task.status != "PAUSED":  # one that stands still takes no stream, and needs one to go on
                plans.change_task(tx, task.id, status="PENDING")
            plans.unpark(tx, task, now_ms)
        elif task.status in ("FINISHED", "ERROR") and task.sent:
            services.run_anew(tx, task, now_ms)


def is_settled(on: bool, status: str) -> bool:
    return status in ("RUNNING", "FINISHED", "ERROR") if on else status in ("PAUSED", "FINISHED", "ERROR")


def _settled(tx: Tx, ids: list[str]) -> bool:
    return all(is_settled(row.on, row.status) for row in plans.instances(tx, Instance.id.in_(ids)))


def tasks_left(tx: Tx, condition: Any) -> bool:
    ids = Instance.select(Instance.id).where(condition)
    return tx.row(Task.select(Task.id).where(Task.instance_id.in_(ids))) is not None


# --- showing ----------------------------------------------------------------------------------------------


@handles("acsmp.search_task_instances")
def search(platform: Platform, call: Call) -> dict[str, Any]:
    """Table C.13. What was checked when it was stored is not made a message again for each page."""
    asked, page = call.message, page_of(call.message)
    conditions: list[Any] = [equal(Instance.deleted, False), *instance_filters(asked)]
    if asked.id is not None:
        key = str(asked.id)
        conditions.append(equal(Instance.number, int(key)) if is_number(key) else equal(Instance.id, key))
    if asked.status:
        conditions.append(equal(Instance.status, asked.status))
    if asked.task_id is not None:
        conditions.append(equal(Instance.plan_id, asked.task_id))
    if asked.task_name:
        named = Plan.select(Plan.id).where(Plan.name.contains(asked.task_name))
        conditions.append(Instance.plan_id.in_(named))
    conditions += created_between(platform, asked, Instance.created_ms)
    with platform.store.read() as tx:
        content, total = packed_page_of(tx, Instance, plans.SHOWN, conditions, page, ORDERS, Instance.number)
    return {"PageContent": content, "TotalSize": total, "PageRequest": echoed(page)}


@handles("acsmp.get_task_instance")
def get(platform: Platform, call: Call) -> TaskInstanceDetail:
    """The AlgoTaskInfo of the table and, beside it, the wrapped form of the example."""
    with platform.store.read() as tx:
        row = instance_of(tx, call.path["ID"])
        item = plans.shown(tx, row["id"])
    detail = {**item, "TaskInfo": msgspec.to_builtins(info_of(row))}
    return msgspec.convert(detail, TaskInstanceDetail)


def info_of(row: dict[str, Any]) -> AlgoTaskInfo:
    """What the caller gave, with our ID and Number."""
    return msgspec.convert({**row["info"], "ID": row["id"], "Number": row["number"]}, AlgoTaskInfo)


def instance_of(tx: Tx, key: str) -> dict[str, Any]:
    row = plans.instance(tx, key)
    if row is None:
        raise faults.NotFound(f"no task instance {key}")
    return row
