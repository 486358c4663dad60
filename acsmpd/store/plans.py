"""Task plans, task instances and their places."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from peewee import fn

from acsmpd.model import FOR_PLACE, FOR_QUOTA, InstanceRow, Place, TaskRow
from acsmpd.store import plain
from acsmpd.store.database import Tx
from acsmpd.store.rows import is_number, structs
from acsmpd.store.tables import Instance, InstanceEvent, Plan, Task, Turn

YES, NO = True, False
CHUNK = 500
"""Values in one statement."""
OWN_COLUMNS = (
    "ID", "Name", "Number", "Status", "Reason", "TaskID", "TaskName", "RestartPolicy", "AlgoServiceID",
    "ComputilityCode", "PriorityClass",
)  # fmt: skip
"""Members of an AlgoTaskInfo that are kept in columns of their own, not in Instance.info."""

STATUSES = ("PENDING", "ERROR", "RUNNING", "PAUSED", "FINISHED")


def plan(tx: Tx, plan_id: int) -> dict[str, Any] | None:
    return plain.row(tx, Plan, id=plan_id)


def add_plan(tx: Tx, **values: Any) -> int:
    return plain.insert(tx, Plan, **values)


def change_plan(tx: Tx, plan_id: int, **values: Any) -> None:
    plain.update(tx, Plan, values, id=plan_id)


def drop_plan(tx: Tx, plan_id: int) -> None:
    tx.run(Plan.delete().where(Plan.id == plan_id))


def counts(tx: Tx, plan_ids: list[int]) -> dict[int, dict[str, int]]:
    """plan id -> {status: instances}, plus "devices": distinct devices of streams, by Url where none is named, and
    "waiting for quota": those of PENDING."""
    found: dict[int, dict[str, int]] = {
        plan_id: dict.fromkeys((*STATUSES, "devices", FOR_QUOTA), 0) for plan_id in plan_ids
    }
    by_status = (
        Instance.select(Instance.plan_id, Instance.status, fn.COUNT(1).alias("number"))
        .where(Instance.plan_id.in_(plan_ids), Instance.deleted == NO)
        .group_by(Instance.plan_id, Instance.status)
    )
    for row in tx.rows(by_status):
        found[row["plan_id"]][row["status"]] = row["number"]
    waiting = by_status.where(Instance.status == "PENDING", Instance.reason.contains(FOR_QUOTA))
    for row in tx.rows(waiting):
        found[row["plan_id"]][FOR_QUOTA] = row["number"]
    url = fn.JSON_EXTRACT(Instance.info, "$.StreamOptions.VideoStreamOptions.Url")
    device = fn.COALESCE(fn.NULLIF(Instance.stream_device_id, ""), fn.NULLIF(url, ""))
    devices = (
        Instance.select(Instance.plan_id, fn.COUNT(fn.DISTINCT(device)).alias("number"))
        .where(Instance.plan_id.in_(plan_ids), Instance.deleted == NO)
        .group_by(Instance.plan_id)
    )
    for row in tx.rows(devices):
        found[row["plan_id"]]["devices"] = row["number"]
    return found


# --- instances ---------------------------------------------------------------------------------------


def add_instance(tx: Tx, events: list[tuple[str, str]], **values: Any) -> int:
    """Write an instance with its (event, capability) pairs; returns its number."""
    number = plain.insert(tx, Instance, **values)
    _enter_events(tx, number, events)
    return number


def set_events(tx: Tx, number: int, events: list[tuple[str, str]]) -> None:
    tx.run(InstanceEvent.delete().where(InstanceEvent.instance_number == number))
    _enter_events(tx, number, events)


def _enter_events(tx: Tx, number: int, events: list[tuple[str, str]]) -> None:
    for event, capability in events:
        plain.insert(tx, InstanceEvent, instance_number=number, event_id=event, capability=capability)


def serve(tx: Tx, number: int, served: dict[str, str]) -> None:
    """Say which capability serves which event of the instance with this number (event -> capability).

    The plus keeps SQLite from going through all instances with that event.
    """
    for event, capability in served.items():
        tx.sql(
            "UPDATE instance_event SET capability = ? WHERE instance_number = ? AND +event_id = ?",
            capability, number, event,
        )  # fmt: skip


def change_instance(tx: Tx, instance_id: str, **values: Any) -> None:
    plain.update(tx, Instance, values, id=instance_id)


def change_instances(tx: Tx, *conditions: Any, **values: Any) -> int:
    return int(tx.run(Instance.update(**values).where(*conditions)))


def let_run(tx: Tx, conditions: list[Any], now_ms: int) -> None:
    """Instances are to run from now on, as updates of their plans meanwhile want them."""
    changed = Instance.select(Instance.id, Instance.number, Instance.next, Instance.revision)
    for row in tx.rows(changed.where(Instance.next.is_null(False), *conditions)):
        if "device" in row["next"]:
            take_off(tx, [row["id"]], now_ms)
        _become(tx, row)
    change_instances(tx, *conditions, on=True, reason="", changed_ms=now_ms)


def open_hours(tx: Tx, plan_ids: list[int], now_ms: int) -> None:
    """What was started of these plans runs."""
    waits = [Instance.deleted == NO, Instance.started == YES, Instance.on == NO]
    let_run(tx, [Instance.plan_id.in_(plan_ids), *waits], now_ms)


def close_hours(tx: Tx, plan_ids: list[int], now_ms: int) -> None:
    """Nothing of these plans runs; what was started stays so."""
    runs = (Instance.deleted == NO, Instance.on == YES)
    change_instances(tx, Instance.plan_id.in_(plan_ids), *runs, on=False, changed_ms=now_ms)


def delete_instances(tx: Tx, now_ms: int, *conditions: Any) -> None:
    """They are not wanted any more; their rows go with their tasks."""
    change_instances(tx, *conditions, deleted=True, on=False, started=False, changed_ms=now_ms)


def _become(tx: Tx, row: dict[str, Any]) -> None:
    """Give an instance the columns an update has for it in `next`; "events" are its events."""
    values = {name: value for name, value in row["next"].items() if name != "events"}
    change_instance(tx, row["id"], **values, revision=row["revision"] + 1, next=None)
    set_events(tx, row["number"], [(event, "") for event in row["next"]["events"]])


def take_off(tx: Tx, instance_ids: list[str], now_ms: int) -> None:
    """The tasks of these instances leave their devices."""
    _let_go(tx, now_ms, Task.instance_id.in_(instance_ids))


def _let_go(tx: Tx, now_ms: int, *conditions: Any) -> None:
    going = Task.update(wanted="gone", parked=False, changed_ms=now_ms)
    tx.run(going.where(Task.wanted != "gone", *conditions))


class Timed(Struct, frozen=True):
    """A plan with hours of the week that is ON, and whether any of its instances waits for them or runs."""

    id: int
    hours: str  # PlanDayTime, JSON
    waits: bool
    runs: bool


def timed(tx: Tx) -> list[Timed]:
    """Every plan that is ON and has hours."""
    there = "SELECT 1 FROM instance i WHERE i.plan_id = p.id AND NOT i.deleted AND i.started AND"
    rows = tx.sql(
        f'SELECT p.id, p.plan_day_time, EXISTS({there} NOT i."on"), EXISTS({there} i."on")'  # noqa: S608
        " FROM plan p WHERE p.status = 'ON' AND p.mode = 'PERIODIC' AND p.plan_day_time IS NOT NULL"
    )
    return [Timed(row[0], row[1], bool(row[2]), bool(row[3])) for row in rows]


def instance(tx: Tx, key: str) -> dict[str, Any] | None:
    """An instance that is not deleted, by its ID or its number."""
    wanted = Instance.id == key
    if is_number(key):
        wanted = wanted | (Instance.number == int(key))
    return tx.row(Instance.select().where(wanted, Instance.deleted == NO))


def number_of(tx: Tx, instance_id: str) -> int:
    """The number of an instance, deleted or not; 0 if there is none."""
    found = plain.part(tx, Instance, ("number",), id=instance_id)
    return int(found["number"]) if found else 0


def any_instance(tx: Tx, instance_id: str) -> dict[str, Any] | None:
    """An instance, deleted or not: results may still come for it."""
    return plain.row(tx, Instance, id=instance_id)


def instances(tx: Tx, *conditions: Any) -> list[InstanceRow]:
    query = Instance.select().order_by(Instance.number)
    return structs(tx, query.where(*conditions) if conditions else query, InstanceRow)


UNJUDGED = """
    SELECT number FROM instance i WHERE "on" AND NOT deleted AND (reason IN ('', ?) OR reason LIKE ?)
        AND NOT EXISTS (SELECT 1 FROM task WHERE instance_id = i.id AND wanted != 'gone')
    ORDER BY reason LIKE ?, number LIMIT ?
"""


def next_to_place(tx: Tx, limit: int) -> list[InstanceRow]:
    """Instances without a place that wait for nothing but a look, or for quota: the former first, then the oldest."""
    quota = f"%{FOR_QUOTA}%"
    numbers = [row[0] for row in tx.sql(UNJUDGED, FOR_PLACE, quota, quota, limit)]
    return instances(tx, Instance.number.in_(numbers))


def instance_ids(tx: Tx, limit: int, *conditions: Any) -> list[str]:
    """The ids of the oldest instances that fulfil the conditions."""
    query = Instance.select(Instance.id).where(*conditions).order_by(Instance.number).limit(limit)
    return [row["id"] for row in tx.rows(query)]


def drop_instance(tx: Tx, instance_id: str) -> None:
    tx.run(InstanceEvent.delete().where(InstanceEvent.instance_number == number_of(tx, instance_id)))
    tx.run(Turn.delete().where(Turn.instance_id == instance_id))
    tx.run(Instance.delete().where(Instance.id == instance_id))


# --- tasks: an instance's places -----------------------------------------------------------------------


def tasks(tx: Tx, *conditions: Any) -> list[TaskRow]:
    query = Task.select().order_by(Task.id)
    return structs(tx, query.where(*conditions) if conditions else query, TaskRow)


def present_tasks(tx: Tx, instance_ids: Sequence[str]) -> dict[str, TaskRow]:
    """instance id -> its newest task that is not to go, of at most CHUNK instances."""
    some = ", ".join("?" * len(instance_ids))
    which = f"WHERE t1.wanted <> 'gone' AND t1.instance_id IN ({some}) ORDER BY t1.id"
    rows = plain.every(tx, Task, which, *instance_ids)
    return {row["instance_id"]: msgspec.convert(row, TaskRow) for row in rows}


def going(tx: Tx) -> list[tuple[str, str]]:
    """(instance id, computility) of tasks that are to go and were last seen to run."""
    text = "SELECT instance_id, device FROM task WHERE wanted = 'gone' AND sent AND status = 'RUNNING' ORDER BY id"
    return [(row[0], row[1]) for row in tx.sql(text)]


def task(tx: Tx, task_row_id: int) -> TaskRow | None:
    row = plain.row(tx, Task, id=task_row_id)
    return None if row is None else msgspec.convert(row, TaskRow)


class Placed(Struct, frozen=True):
    """Where an instance is: its newest task that is not to go."""

    task: int
    device: str
    load_id: str | None = None
    service_id: str | None = None  # of the load


PRESENT = "FROM task WHERE task.instance_id = t1.id AND task.wanted != 'gone' ORDER BY task.id DESC LIMIT 1"
SHOWN = f"""json_patch(t1.info, json_object(
    'ID', t1.id, 'Number', t1.number, 'Status', t1.status,
    'Reason', coalesce(nullif(t1.reason, ''), (SELECT nullif(why, '') {PRESENT})),
    'TaskID', t1.plan_id, 'TaskName', (SELECT name FROM plan WHERE plan.id = t1.plan_id),
    'RestartPolicy', t1.restart_policy, 'PriorityClass', nullif(t1.priority_class, ''),
    'ComputilityCode', coalesce((SELECT device {PRESENT}), nullif(t1.device, '')),
    'AlgoServiceID', coalesce(
        (SELECT service_id FROM load WHERE load.id = (SELECT load_id {PRESENT})), nullif(t1.service_id, ''))
))"""  # noqa: S608
"""An instance t1 as an AlgoTaskInfo: as it was given, with its state, its plan, and where it is. What is NULL is
left out, and nothing given has one of these names. With nothing else to say, Reason is why it has its place: that
stands with the place, so that an instance that is well is never rewritten for it."""


def shown(tx: Tx, instance_id: str) -> dict[str, Any]:
    """One instance as SHOWN says."""
    found = tx.packed(f"SELECT {SHOWN} FROM instance AS t1 WHERE t1.id = ?", instance_id)  # noqa: S608
    item: dict[str, Any] = msgspec.json.decode(found)
    return item


def place_of(tx: Tx, instance_id: str) -> Placed | None:
    """The instance's present place."""
    rows = tx.sql(
        "SELECT t.id, t.device, t.load_id, l.service_id FROM task t LEFT JOIN load l ON l.id = t.load_id"
        " WHERE t.wanted != 'gone' AND t.instance_id = ? ORDER BY t.id DESC LIMIT 1",
        instance_id,
    )
    return Placed(*rows[0]) if rows else None


def add_task(tx: Tx, **values: Any) -> int:
    return plain.insert(tx, Task, **values)


GIVEN = """
    INSERT INTO task (instance_id, device, load_id, labels, capabilities, why, replaces, created_ms, changed_ms,
        wanted, sent, task_id, status, reason, revision, policy, attempts, parked, missing)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', 0, '', 'PENDING', '', 0, '', 0, 0, 0)
"""


def give_place(tx: Tx, instance_id: str, place: Place, replaces: int | None, now_ms: int) -> None:
    """A new place for an instance. `replaces`: the row of the one it stands in for.

    `add_task` of one that is to run; said by hand, since ten thousand may come at once.
    """
    labels, capabilities = (
        Task.labels.db_value(place.labels),
        Task.capabilities.db_value(place.capabilities),
    )
    tx.sql(
        GIVEN, instance_id, place.device, place.load_id, labels, capabilities, place.reason, replaces, now_ms, now_ms
    )  # fmt: skip


def change_task(tx: Tx, task_row_id: int, **values: Any) -> None:
    plain.update(tx, Task, values, id=task_row_id)


def unpark(tx: Tx, task: TaskRow, now_ms: int) -> None:
    """A fresh try of one that was refused. What never left for its device is placed anew: others may have its stream
    and its quota."""
    values: dict[str, Any] = {"parked": False, "attempts": 0, "changed_ms": now_ms}
    if not task.sent and task.wanted == "running":
        values["wanted"] = "paused"
    change_task(tx, task.id, **values)


def replaced() -> Any:
    """A select of the rows of places that another stands in for."""
    return Task.select(Task.replaces).where(Task.replaces.is_null(NO), Task.wanted != "gone")


def stand_alone(tx: Tx, task_row_id: int) -> None:
    """Nothing stands in for this place any more."""
    tx.run(Task.update(replaces=None).where(Task.replaces == task_row_id))


def vacate(tx: Tx, load_id: str, now_ms: int) -> None:
    """Take every task off a load that itself stays; one that has finished stays what it is."""
    _let_go(tx, now_ms, Task.load_id == load_id, Task.status != "FINISHED")


def drop_task(tx: Tx, task_row_id: int) -> None:
    stand_alone(tx, task_row_id)
    tx.run(Task.delete().where(Task.id == task_row_id))


UNSETTLED = """
    LEFT JOIN instance i ON i.id = t1.instance_id
    WHERE t1.wanted = 'gone' OR NOT t1.sent OR t1.task_id = ''
        OR (t1.wanted = 'running' AND t1.status IN ('PAUSED', 'ERROR'))
        OR (t1.wanted = 'paused' AND t1.status IN ('RUNNING', 'PENDING', 'ERROR'))
        OR t1.revision <> i.revision
    ORDER BY t1.id
"""


def unsettled_tasks(tx: Tx) -> Iterator[tuple[TaskRow, int | None]]:
    """Tasks something may have to be done about, with the instance's wanted revision (None: it has none)."""
    for row, revision in plain.beside(tx, Task, "i.revision", UNSETTLED):
        yield msgspec.convert(row, TaskRow), revision


def holds(tx: Tx, device: str, task_id: str, *, but: int) -> bool:
    """Whether another row than that one holds this task of the computility."""
    other = "SELECT 1 FROM task WHERE device = ? AND task_id = ? AND id <> ? LIMIT 1"
    return bool(tx.sql(other, device, task_id, but))


def wished_task(tx: Tx, task_row_id: int) -> Iterator[tuple[TaskRow, int | None]]:
    """One task, whether settled or not, in the form of `unsettled_tasks`; none if there is none."""
    found = task(tx, task_row_id)
    if found is not None:
        wanted = tx.sql("SELECT revision FROM instance WHERE id = ?", found.instance_id)
        yield found, wanted[0][0] if wanted else None


LEAVING = """
    SELECT t.id, t.instance_id, t.device,
        t.status IN ('RUNNING', 'PENDING') AND coalesce(c.state = 'online' AND c.enabled AND c.approved, 0)
    FROM task t LEFT JOIN computility c ON c.code = t.device WHERE t.wanted = 'gone' AND t.sent
"""


class Leaver(Struct, frozen=True):
    """A task that is on a computility still and has to go. `runs`: and can be told to end it."""

    task: int
    device: str
    runs: bool

    def is_before(self, task: TaskRow) -> bool:
        """Whether it has to go before that task of its instance begins: from the same computility, or since it runs."""
        return self.task != task.id and (self.device == task.device or self.runs)


def leaving(tx: Tx, instance_id: str | None = None) -> dict[str, list[Leaver]]:
    """instance -> those of its tasks, of all instances or one."""
    one = () if instance_id is None else (instance_id,)
    found: dict[str, list[Leaver]] = {}
    for task, instance, device, runs in tx.sql(LEAVING + (" AND t.instance_id = ?" if one else ""), *one):
        found.setdefault(instance, []).append(Leaver(task, device, bool(runs)))
    return found


def starting_on(tx: Tx) -> set[str]:
    """Computilities a task of ours was sent to that does not run yet."""
    query = Task.select(Task.device).where(
        Task.wanted == "running", Task.sent == YES, Task.status == "PENDING"
    )
    return {row["device"] for row in tx.rows(query.distinct())}


def failed_tasks(tx: Tx) -> list[int]:
    """Row ids of tasks in ERROR."""
    return [row["id"] for row in tx.rows(Task.select(Task.id).where(Task.status == "ERROR"))]


def unplaced_instances(tx: Tx) -> list[InstanceRow]:
    """Instances that are to run and have no place."""
    placed = Task.select(Task.instance_id).where(Task.wanted != "gone")
    return instances(tx, Instance.on == YES, Instance.deleted == NO, Instance.id.not_in(placed))


STILL = """
    SELECT i.number FROM instance i
    LEFT JOIN (SELECT instance_id, max(id) AS id FROM task WHERE wanted != 'gone' GROUP BY instance_id) newest
        ON newest.instance_id = i.id
    LEFT JOIN task t ON t.id = newest.id
    LEFT JOIN computility c ON c.code = t.device
    WHERE NOT i.deleted AND NOT (
        i.reason = '' AND CASE
            WHEN i."on" THEN i.status IN ('RUNNING', 'FINISHED') AND coalesce(
                t.status = i.status AND t.sent AND NOT t.parked AND t.reason = '' AND c.state = 'online', 0)
            ELSE i.status IN ('PAUSED', 'FINISHED') AND NOT coalesce(t.status = 'RUNNING' AND t.sent, 0)
        END)
"""
"""Numbers of the instances that may be something else than what they are said to be (decide/status)."""


def unsettled_instances(tx: Tx) -> Iterator[list[InstanceRow]]:
    """All but those that run where they are to run, or stand still as they are to; CHUNK at a time."""
    numbers = sorted(row[0] for row in tx.sql(STILL))
    for first in range(0, len(numbers), CHUNK):
        some = numbers[first : first + CHUNK]
        which = f"WHERE t1.number IN ({', '.join('?' * len(some))}) ORDER BY t1.number"
        yield [msgspec.convert(row, InstanceRow) for row in plain.every(tx, Instance, which, *some)]


def streams_on_direct(tx: Tx) -> dict[str, int]:
    """computility code -> tasks of ours that are, or are to be, on it without a service (direct devices).

    A task that has FINISHED takes no stream: its file has ended.
    """
    takes = ((Task.wanted == "running") & (Task.sent == NO)) | (
        (Task.sent == YES) & (Task.status != "FINISHED")
    )
    query = (
        Task.select(Task.device, fn.COUNT(1).alias("number"))
        .where(Task.load_id.is_null(YES), Task.instance_id != "", takes)
        .group_by(Task.device)
    )
    return {row["device"]: row["number"] for row in tx.rows(query)}


def adrift(tx: Tx) -> list[dict[str, Any]]:
    """Tasks of ours on devices that run them on a service nobody knows of: adopted where several could carry them."""
    return tx.rows(
        Task.select(Task.device, Instance.info)
        .join(Instance, on=(Instance.id == Task.instance_id))
        .where(Task.load_id.is_null(YES), Task.sent == YES, Task.wanted != "paused")
    )
