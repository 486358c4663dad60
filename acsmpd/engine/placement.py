"""The duty of giving every instance that is to run a place, and of taking places back."""

from __future__ import annotations

from collections import Counter
from typing import Any

from msgspec.structs import replace
from peewee import JOIN

from acsmpd.clock import Moment
from acsmpd.decide import fitting, placement
from acsmpd.decide.hall import Hall
from acsmpd.engine.core import Core
from acsmpd.model import Ability, Device, Family, ForeignStream, InstanceRow, Place, Seat, TaskRow
from acsmpd.store import devices, foreign, packages, plans, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance, Load, Package, Task

NO_FAILOVER = (Family.CAP,)
"""A cut line to a site must not double its work (conventions section 11)."""


class Placement:
    """Reads wishes and seats, writes tasks; the choice itself is decide/hall."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.waiting: dict[str, str] = {}
        """instance id -> why it has no place; read by the statuses duty of the same pass"""

    def ensure(self, now: Moment) -> None:
        with self._core.store.read() as tx:
            unplaced = plans.unplaced_instances(tx)
            stranded = self._stranded(tx)
            idle = self._to_pause_or_free(tx)
        if not unplaced and not stranded and not idle:
            self.waiting.clear()
            return
        with self._core.store.write() as tx:
            for task, wanted in idle:
                plans.change_task(tx, task.id, wanted=wanted, parked=False, changed_ms=now.wall_ms)
            self._place(tx, unplaced, stranded, now)

    # --- what has to move ------------------------------------------------------------------------------

    def _stranded(self, tx: Tx) -> list[tuple[InstanceRow, TaskRow]]:
        """Wanted instances whose place is lost for good: device gone or lost, or its load no longer wanted."""
        known = devices.all_devices(tx)
        lost = {d.code for d in known.values() if d.state in ("lost", "gone") and d.family not in NO_FAILOVER}
        unloading = {load.id for load in services.loads(tx, Load.wanted == False)}
        rows = plans.tasks(
            tx, Task.wanted == "running", Task.device.in_(sorted(lost)) | Task.load_id.in_(sorted(unloading))
        )
        found = []
        for task in rows:
            instance = plans.instances(tx, Instance.id == task.instance_id)
            if instance and instance[0].on and not instance[0].deleted:
                movable = not instance[0].device and not instance[0].service_id
                if movable or task.load_id in unloading:
                    found.append((instance[0], task))
        return found

    def _to_pause_or_free(self, tx: Tx) -> list[tuple[TaskRow, str]]:
        """Tasks whose instance is off (pause), on again (run) or deleted (go)."""
        query = (
            Task.select(Task, Instance.on, Instance.deleted)
            .join(Instance, on=(Instance.id == Task.instance_id), join_type=JOIN.LEFT_OUTER)
            .where(
                ((Task.wanted != "gone") & ((Instance.deleted == True) | Instance.id.is_null(True)))
                | ((Task.wanted == "running") & (Instance.on == False))
                | ((Task.wanted == "paused") & (Instance.on == True))
            )
        )
        found = []
        for row in tx.rows(query):
            task = plans.task(tx, row["id"])
            wanted = "gone" if row["deleted"] in (True, None) else "running" if row["on"] else "paused"
            if task is not None:
                found.append((task, wanted if task.sent or wanted != "paused" else "gone"))
        return found

    # --- where to ----------------------------------------------------------------------------------------

    def _place(
        self, tx: Tx, unplaced: list[InstanceRow], stranded: list[tuple[InstanceRow, TaskRow]], now: Moment
    ) -> None:
        self.waiting.clear()
        if not unplaced and not stranded:
            return
        abilities, known = packages.abilities(tx), devices.all_devices(tx)
        theirs = foreign.streams(tx)
        seats = self._seats(tx, [*theirs, *self._adrift(tx)], abilities, known)
        streams = Counter(plans.streams_on_direct(tx)) + Counter(one.device for one in theirs)
        hall = Hall(abilities, seats, known, streams)
        for instance, task in [*stranded, *((one, None) for one in unplaced)]:
            choice = hall.place(instance)
            if isinstance(choice, str):
                self.waiting[instance.id] = choice
                self._free(tx, task, known, now)
                continue
            moved = ""
            if task is not None:
                plans.change_task(tx, task.id, wanted="gone", parked=False, changed_ms=now.wall_ms)
                moved = _moved(task.device, known.get(task.device))
            self._take(tx, instance, replace(choice, reason=moved + choice.reason), abilities, hall, now)

    def _free(self, tx: Tx, task: TaskRow | None, known: dict[str, Device], now: Moment) -> None:
        """A place whose service is being unloaded goes even when no other is free; a lost device keeps its."""
        device = known.get(task.device) if task else None
        if task is not None and device is not None and device.state not in ("lost", "gone"):
            plans.change_task(tx, task.id, wanted="gone", parked=False, changed_ms=now.wall_ms)

    def _take(
        self, tx: Tx, instance: InstanceRow, choice: Place, abilities: list[Ability], hall: Hall, now: Moment
    ) -> None:
        plans.add_task(
            tx, instance_id=instance.id, device=choice.device, load_id=choice.load_id, labels=choice.labels,
            capabilities=list(choice.capabilities), why=choice.reason, created_ms=now.wall_ms,
            changed_ms=now.wall_ms,
        )  # fmt: skip
        hall.take(choice)
        if choice.load_id is not None:
            package = hall.package_at(choice.load_id)
            plans.serve(tx, instance.id, placement.capabilities_at(instance, abilities, package))

    def _adrift(self, tx: Tx) -> list[ForeignStream]:
        """Tasks of ours that may run on a device nobody knows on which of its services."""
        rows = plans.adrift(tx)
        return [
            ForeignStream(row["device"], placement.events_of(row["info"]), "", row["info"].get("Labels"))
            for row in rows
        ]

    def _seats(
        self, tx: Tx, others: list[ForeignStream], abilities: list[Ability], known: dict[str, Device]
    ) -> list[Seat]:
        """Every service there is, with what is taken of it; where an operator says there are none, there are none."""
        used = services.used_streams(tx)
        manifests = {
            row["id"]: row["manifest"] for row in tx.rows(Package.select(Package.id, Package.manifest))
        }
        local = self._core.local_code
        cards = {code: fitting.cards_in(infos) for code, infos in devices.infos(tx).items()}
        origins = services.origins(tx)
        seats = [
            Seat(
                load.id, load.service_id, load.package_id, load.device, load.status == "RUNNING",
                used.get(load.id, 0), self._capacity(manifests.get(load.package_id), load.device == local),
                origins.get(load.service_id, ""), load.facility_id, load.ours,
                fitting.misfit((manifests.get(load.package_id) or {}).get("xpu") or (), cards.get(load.device)),
            )
            for load in services.loads(tx, Load.wanted == True)
            if load.device in known and known[load.device].support_services
        ]  # fmt: skip
        taken = placement.taken_by_others(others, seats, abilities)
        return [replace(seat, used=seat.used + taken[seat.load_id]) for seat in seats]

    def _capacity(self, manifest: dict[str, Any] | None, local: bool) -> int | None:
        """Streams one replica carries: what the package says, else our own limit here, else unknown."""
        for xpu in (manifest or {}).get("xpu") or []:
            if xpu.get("stream_video_quota"):
                return int(xpu["stream_video_quota"])
        return int(self._core.settings.runtime.stream_limit) if local else None


def _moved(code: str, device: Device | None) -> str:
    """Why an instance left its last place, before why it has its new one."""
    away = device is not None and device.state in ("lost", "gone")
    why = f"which is {device.state}" if device is not None and away else "where its service ends"
    return f"moved from {code}, {why}: "
