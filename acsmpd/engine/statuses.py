"""The duty of saying what every instance is: derived from wish, place and device on every pass."""

from __future__ import annotations

from collections.abc import Iterator

from acsmpd.clock import Moment
from acsmpd.decide.status import instance_status
from acsmpd.engine.core import Core
from acsmpd.engine.placement import Placement
from acsmpd.model import InstanceRow, TaskRow
from acsmpd.store import devices, plans, rounds
from acsmpd.store.database import Tx
from acsmpd.store.tables import Load

MANY = 500
"""Instances whose states are written at once."""


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
        found: list[tuple[str, str, str]] = []
        around: _Around | None = None
        for some in plans.unsettled_instances(tx):
            around = around or _Around(tx)
            found += self._changed_of(tx, some, around)
        return found

    def _changed_of(
        self, tx: Tx, unsettled: list[InstanceRow], around: _Around
    ) -> Iterator[tuple[str, str, str]]:
        places = plans.present_tasks(tx, [one.id for one in unsettled])
        failures = rounds.failures(tx, [one.id for one in unsettled if not one.on])
        for instance in unsettled:
            task = places.get(instance.id)
            device = around.known.get(task.device) if task else None
            waiting = self._placement.waiting.get(instance.id, "")
            moving = instance.id in self._placement.moving
            said = instance_status(
                instance, task, device, waiting=waiting, moving=moving,
                failed=failures.get(instance.id, ""), going=instance.id in around.going,
            )  # fmt: skip
            pending = task if said.status == "PENDING" else None
            down = "" if moving else _service_down(pending, around.loads)
            reason = down or said.reason or _being_started(pending, around.going.get(instance.id, ""))
            if (said.status, reason) != (instance.status, instance.reason):
                yield instance.id, said.status, reason


class _Around:
    """What an instance is judged by beside its own rows."""

    def __init__(self, tx: Tx) -> None:
        self.known = devices.all_devices(tx)
        online = {code for code, one in self.known.items() if one.state == "online"}
        self.going = {instance: code for instance, code in plans.going(tx) if code in online}
        self.loads = {row["id"]: row for row in tx.rows(Load.select(Load.id, Load.status, Load.error))}


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
