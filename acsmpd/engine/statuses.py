"""The duty of saying what every instance is: derived from wish, place and device on every pass."""

from __future__ import annotations

from acsmpd.clock import Moment
from acsmpd.decide.status import instance_status
from acsmpd.engine.core import Core
from acsmpd.engine.placement import Placement
from acsmpd.model import TaskRow
from acsmpd.store import devices, plans, rounds
from acsmpd.store.database import Tx
from acsmpd.store.tables import Load

MANY = 500
"""From so many instances on their places are read all at once; of more than so many the states are written in parts."""


class Statuses:
    """Writes Instance.status and its reason where they changed."""

    def __init__(self, core: Core, placement: Placement) -> None:
        self._core, self._placement = core, placement

    def ensure(self, now: Moment) -> None:
        with self._core.store.read() as tx:
            changed = self._changed(tx)
        if not changed:
            return
        for first in range(0, len(changed), MANY):  # others write too: nobody waits for ten thousand
            with self._core.store.write(durable=False) as tx:
                for instance_id, status, reason in changed[first : first + MANY]:
                    plans.change_instance(
                        tx, instance_id, status=status, reason=reason, changed_ms=now.wall_ms
                    )

    def _changed(self, tx: Tx) -> list[tuple[str, str, str]]:
        unsettled = plans.unsettled_instances(tx)
        if not unsettled:
            return []
        known = devices.all_devices(tx)
        few = [one.id for one in unsettled] if len(unsettled) < MANY else None
        places = plans.present_tasks(tx, few)
        going = {
            name: code for name, code in plans.going(tx) if code in known and known[code].state == "online"
        }
        failures = rounds.failures(tx, [one.id for one in unsettled if not one.on])
        loads = {row["id"]: row for row in tx.rows(Load.select(Load.id, Load.status, Load.error))}
        found = []
        for instance in unsettled:
            task = places.get(instance.id)
            device = known.get(task.device) if task else None
            waiting = self._placement.waiting.get(instance.id, "")
            moving = instance.id in self._placement.moving
            said = instance_status(
                instance, task, device, waiting=waiting, moving=moving,
                failed=failures.get(instance.id, ""), going=instance.id in going,
            )  # fmt: skip
            pending = task if said.status == "PENDING" else None
            down = "" if moving else _service_down(pending, loads)
            reason = down or said.reason or _being_started(pending, going.get(instance.id, ""))
            if (said.status, reason) != (instance.status, instance.reason):
                found.append((instance.id, said.status, reason))
        return found


def _service_down(pending: TaskRow | None, loads: dict[str, dict[str, str]]) -> str:
    """Why the service a pending instance has its place on does not run, "" when it does."""
    load = loads.get(pending.load_id or "") if pending else None
    if load is None or load["status"] == "RUNNING":
        return ""
    return f"its service is {load['status']}" + (f": {load['error']}" if load["error"] else "")


def _being_started(pending: TaskRow | None, before: str) -> str:
    """`before`: the device that still runs it and has to let it go first."""
    if pending and before and not pending.sent:
        return f"its task on {before} is being deleted first"
    return "being started on the device" if pending else ""
