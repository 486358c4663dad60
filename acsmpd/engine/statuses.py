"""The duty of saying what every instance is: derived from wish, place and device on every pass."""

from __future__ import annotations

from acsmpd.clock import Moment
from acsmpd.decide.status import instance_status
from acsmpd.engine.core import Core
from acsmpd.engine.placement import Placement
from acsmpd.model import TaskRow
from acsmpd.store import devices, plans
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance, Load, Task


class Statuses:
    """Writes Instance.status and its reason where they changed."""

    def __init__(self, core: Core, placement: Placement) -> None:
        self._core, self._placement = core, placement

    def ensure(self, now: Moment) -> None:
        with self._core.store.read() as tx:
            changed = self._changed(tx)
        if not changed:
            return
        with self._core.store.write(durable=False) as tx:
            for instance_id, status, reason in changed:
                plans.change_instances(
                    tx, Instance.id == instance_id, status=status, reason=reason, changed_ms=now.wall_ms
                )

    def _changed(self, tx: Tx) -> list[tuple[str, str, str]]:
        known = devices.all_devices(tx)
        places: dict[str, TaskRow] = {
            task.instance_id: task for task in plans.tasks(tx, Task.wanted != "gone")
        }
        loads = {row["id"]: row for row in tx.rows(Load.select(Load.id, Load.status, Load.error))}
        found = []
        for instance in plans.instances(tx, Instance.deleted == False):
            task = places.get(instance.id)
            device = known.get(task.device) if task else None
            waiting = self._placement.waiting.get(instance.id, "")
            said = instance_status(instance, task, device, waiting=waiting)
            reason = said.reason or _why_pending(said.status, task, loads)
            if (said.status, reason) != (instance.status, instance.reason):
                found.append((instance.id, said.status, reason))
        return found


def _why_pending(status: str, task: TaskRow | None, loads: dict[str, dict[str, str]]) -> str:
    if status != "PENDING" or task is None:
        return ""
    load = loads.get(task.load_id or "")
    if load is not None and load["status"] != "RUNNING":
        return f"its service is {load['status']}" + (f": {load['error']}" if load["error"] else "")
    return "being started on the device"
