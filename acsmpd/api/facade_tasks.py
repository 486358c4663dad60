"""Tables 9-15 and 37-43 of Part 4, served: tasks a platform above runs on this box, or on the site, are instances of
the same engine. On the site placement gives them a place among the platform's own services, unless one is named.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from acsmpd import faults
from acsmpd.api import facade_scope as scope
from acsmpd.api import instances, starts
from acsmpd.api.call import Call, Reply
from acsmpd.api.cap_services import start_spread
from acsmpd.api.facade_choice import Choice, Starter, choose
from acsmpd.api.facade_packages import service_values, start_service
from acsmpd.api.facade_scope import Sight
from acsmpd.api.paging import page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.spec.messages.cad import AlgoTaskCreateRequest, AlgoTaskSearchPage
from acsmpd.spec.messages.instances import AlgoTaskInfo, AlgoTaskInfoResult
from acsmpd.spec.reading import check_task_info
from acsmpd.store import plans, services
from acsmpd.store.database import Tx
from acsmpd.store.installs import Wanted
from acsmpd.store.rows import page_of as rows_of
from acsmpd.store.tables import Instance, InstanceEvent, Task

# --- tables 9 and 10 ------------------------------------------------------------------------------------------


@handles("cad.create_algo_task", "cap.create_algo_task")
def create(platform: Platform, call: Call) -> Reply:
    """The repeat of a create whose answer was lost answers the task that is there, so that nobody doubles work."""
    answer, instance_id = starts.afresh(platform, call.now.wall_ms, lambda: _created(platform, call))
    platform.wake()
    return Reply(answer, object=instance_id)


def _created(platform: Platform, call: Call) -> tuple[AlgoTaskInfoResult, str]:
    """The task, and its ID. Raises PastQuota."""
    asked, sight, now = call.message, scope.sight_of(platform, call), call.now.wall_ms
    on = asked.create_and_start_task is not False
    check_task_info(asked.task_info, "$.TaskInfo")
    with platform.store.write() as tx:
        instance_id = _created_before(tx, sight.origin, asked)
        starter = _starter(platform, tx, call, sight) if on and not instance_id else None
        choice = choose(platform, tx, sight, asked.task_info, _named_service(asked), starter)
        if not instance_id:
            instance_id = instances.add(
                platform, tx, _pinned(asked.task_info, choice.service_id), path="$.TaskInfo", plan_id=None,
                kind=choice.kind, restart=asked.restart_policy, on=on, now_ms=now,
                origin=sight.origin, caller_id=_id_text(asked.task_info), default_device=sight.device,
            )  # fmt: skip
            plans.change_instance(tx, instance_id, started_at_once=on)
            _refuse_past_quota(tx, [instance_id] if on else [], now)
        return _result(tx, instances.instance_of(tx, instance_id)), instance_id


def _starter(platform: Platform, tx: Tx, call: Call, sight: Sight) -> Starter:
    """What loads a package where a task is to start on it and no service of it is there (tables 9, 37)."""
    now = call.now.wall_ms

    def here(package: dict[str, Any]) -> str:
        return start_service(platform, tx, sight.origin, package, now)

    def on_the_site(package: dict[str, Any]) -> str:
        wanted = Wanted(**service_values(tx, sight.origin, package["id"], None), origin=sight.origin)
        return start_spread(platform, tx, package, wanted, call.caller, now)

    return here if sight.device else on_the_site


def _refuse_past_quota(tx: Tx, starting: list[str], now_ms: int) -> None:
    past = starts.refused(tx, starting, now_ms)
    if past.why:
        raise past.fault()


def _named_service(asked: Any) -> str:
    return asked.algo_service_id or asked.task_info.algo_service_id or ""


def _id_text(info: AlgoTaskInfo) -> str:
    return "" if info.id is None else str(info.id)


def _created_before(tx: Tx, origin: str, asked: AlgoTaskCreateRequest) -> str:
    """The task that this very request made, "" if none: with another content the ID is just one we do not use."""
    given, service = _id_text(asked.task_info), _named_service(asked)
    if not given:
        return ""
    query = Instance.select().where(
        Instance.origin == origin,
        Instance.caller_id == given,
        Instance.restart_policy == asked.restart_policy,
        Instance.deleted == False,
    )
    printed = instances.verbatim(asked.task_info)
    same = (
        row["id"] for row in tx.rows(query) if row["info"] == printed and service in ("", row["service_id"])
    )
    return next(same, "")


def _pinned(info: AlgoTaskInfo, service_id: str) -> AlgoTaskInfo:
    """The task bound to the caller's own service, if to any, whatever else it names."""
    return replace(info, algo_service_id=service_id, computility_code=None, restart_policy=None)


@handles("cad.update_algo_task", "cap.update_algo_task")
def update(platform: Platform, call: Call) -> Reply:
    """A full replacement. The path names the task; without Labels and service it stays where it is."""
    asked, sight, now = call.message, scope.sight_of(platform, call), call.now.wall_ms
    info = asked.task_info
    check_task_info(info, "$.TaskInfo")
    with platform.store.write() as tx:
        row = _own_task(platform, tx, call)
        if info.id is not None and str(info.id) not in (row["id"], row["caller_id"]):
            raise faults.InvalidField(f"$.TaskInfo.ID: {info.id} is not the task of the path, {row['id']}")
        if row["restart_policy"] == "NEVER" and row["on"] and row["status"] != "FINISHED":
            raise faults.Conflict(f"cannot change task {row['id']}: it is a NEVER task; pause it first")
        named = _named_service(asked)
        if not info.labels and not named:
            info, named = _as_before(row, info)
        starter = _starter(platform, tx, call, sight) if row["on"] else None
        choice = choose(platform, tx, sight, info, named, starter)
        pinned = replace(_pinned(info, choice.service_id), restart_policy=asked.restart_policy)
        instances.change_info(tx, row, pinned, now, whole=True)
        plans.change_instance(tx, row["id"], type=choice.kind)
        _leave_if_unfit(tx, row["id"], choice, now)
        answer = _result(tx, instances.instance_of(tx, row["id"]))
    platform.wake()
    return Reply(answer, object=row["id"])


def _leave_if_unfit(tx: Tx, instance_id: str, choice: Choice, now_ms: int) -> None:
    """A task of the site whose Labels name another package now gets a place on that."""
    place = plans.place_of(tx, instance_id)
    service = services.service(tx, place.service_id) if place and place.service_id else None
    if service is not None and service["package_id"] not in choice.fitting:
        plans.take_off(tx, [instance_id], now_ms)


def _as_before(row: dict[str, Any], info: AlgoTaskInfo) -> tuple[AlgoTaskInfo, str]:
    """A replacement that names neither Labels nor service keeps those the task has: (info, service)."""
    labels = row["info"].get("Labels")
    return replace(info, labels=labels), "" if labels else row["service_id"]


# --- tables 11-13 ------------------------------------------------------------------------------------------------


@handles("cad.delete_algo_task", "cap.delete_algo_task")
def delete(platform: Platform, call: Call) -> Reply:
    with platform.store.write() as tx:
        row = _own_task(platform, tx, call)
        plans.delete_instances(tx, call.now.wall_ms, Instance.id == row["id"])
    platform.wake()
    return Reply(object=row["id"])


@handles("cad.resume_algo_task", "cap.resume_algo_task")
def resume(platform: Platform, call: Call) -> Reply:
    """Running: no effect. Finished or failed: afresh. A service that was unloaded meanwhile is started."""
    instance_id = starts.afresh(platform, call.now.wall_ms, lambda: _resumed(platform, call))
    platform.wake()
    return Reply(object=instance_id)


def _resumed(platform: Platform, call: Call) -> str:
    """The task's ID. Raises PastQuota."""
    now = call.now.wall_ms
    with platform.store.write() as tx:
        row = _own_task(platform, tx, call)
        if not row["on"]:
            _choose_again(platform, tx, row, call)
        _refuse_past_quota(tx, [row["id"]] if not row["on"] or row["status"] == "FINISHED" else [], now)
        instances.switch(platform, tx, [Instance.id == row["id"]], on=True, now_ms=now)
        if row["status"] in ("PAUSED", "FINISHED", "ERROR"):
            plans.change_instance(tx, row["id"], status="PENDING")
        return str(row["id"])


def _choose_again(platform: Platform, tx: Tx, row: dict[str, Any], call: Call) -> None:
    """What it runs on may have been unloaded meanwhile: by Labels another is found, a service that was named is not
    replaced on the site. On this box a package has but one, by whatever it was named.
    """
    info, sight = instances.info_of(row), scope.sight_of(platform, call)
    by_labels = sight.device and (info.labels or {}).get("AlgoCaBinName")
    named = "" if by_labels else row["service_id"]
    choice = choose(platform, tx, sight, info, named, _starter(platform, tx, call, sight))
    if choice.service_id != row["service_id"]:
        instances.change_info(tx, row, _pinned(info, choice.service_id), call.now.wall_ms)
        plans.change_instance(tx, row["id"], type=choice.kind)


@handles("cad.pause_algo_task", "cap.pause_algo_task")
def pause(platform: Platform, call: Call) -> Reply:
    with platform.store.write() as tx:
        row = _own_task(platform, tx, call)
        instances.switch(platform, tx, [Instance.id == row["id"]], on=False, now_ms=call.now.wall_ms)
    platform.wake()
    return Reply(object=row["id"])


def _own_task(platform: Platform, tx: Tx, call: Call) -> dict[str, Any]:
    """A task the caller may change. NotFound for those of others, NotAllowed for one it only sees."""
    row = _task_in_sight(platform, tx, call)
    if row["origin"] != scope.sight_of(platform, call).origin:
        raise faults.NotAllowed(f"task {row['id']} belongs to this site and is read-only here")
    return row


def _task_in_sight(platform: Platform, tx: Tx, call: Call) -> dict[str, Any]:
    wanted = call.path["ID"]
    row = tx.row(
        Instance.select().where(Instance.id == wanted, *_in_sight(platform, scope.sight_of(platform, call)))
    )
    if row is None:
        raise faults.NotFound(f"no task {wanted}")
    return row


def _in_sight(platform: Platform, sight: Sight) -> list[Any]:
    """What the caller may see: its own; by facade.show_local all that runs on this box, or on the site."""
    mine: Any = Instance.origin == sight.origin
    if platform.settings.facade.show_local:
        if not sight.device:
            return [Instance.deleted == False]
        here = Task.select(Task.instance_id).where(Task.device == platform.local_code, Task.wanted != "gone")
        mine = mine | (Instance.device == platform.local_code) | Instance.id.in_(here)
    return [Instance.deleted == False, mine]


# --- tables 14 and 15 ------------------------------------------------------------------------------------------------


@handles("cad.search_algo_tasks", "cap.search_algo_tasks")
def search(platform: Platform, call: Call) -> AlgoTaskSearchPage:
    """Whole records, in the object form of the example (X-LISTSHAPE)."""
    asked, page = call.message, page_of(call.message)
    conditions = _in_sight(platform, scope.sight_of(platform, call))
    if asked.event_id:
        named = InstanceEvent.select(InstanceEvent.instance_number).where(
            InstanceEvent.event_id == asked.event_id
        )
        conditions.append(Instance.number.in_(named))
    if asked.restart_policy:
        conditions.append(Instance.restart_policy == asked.restart_policy)
    if asked.create_and_start_task is not None:
        conditions.append(Instance.started_at_once == asked.create_and_start_task)
    if asked.status:
        conditions.append(Instance.status == asked.status)
    with platform.store.read() as tx:
        rows, total = rows_of(tx, Instance, conditions, page, {}, Instance.number)
        records = [_result(tx, row) for row in rows]
    return AlgoTaskSearchPage(page_number=page.number, page_size=page.size, total_size=total, records=records)


@handles("cad.get_algo_task", "cap.get_algo_task")
def get(platform: Platform, call: Call) -> AlgoTaskInfoResult:
    with platform.store.read() as tx:
        return _result(tx, _task_in_sight(platform, tx, call))


def _result(tx: Tx, row: dict[str, Any]) -> AlgoTaskInfoResult:
    """Table D.4: the task as it was given, with our ID; the service once it has a place."""
    place = plans.place_of(tx, row["id"])
    return AlgoTaskInfoResult(
        task_info=replace(instances.info_of(row), reason=row["reason"] or None),
        algo_service_id=place.service_id if place else None,
        status=row["status"],
        restart_policy=row["restart_policy"],
        create_and_start_task=row["started_at_once"],
        message=row["reason"] if row["status"] == "ERROR" else None,
    )
