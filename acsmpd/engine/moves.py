"""Which places are lost, for how long, and which stand in for others: what decide/failover is asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from acsmpd.clock import Moment
from acsmpd.decide.failover import Failover, Spot, fail_over
from acsmpd.decide.policies import Policies
from acsmpd.model import NO_FAILOVER, Device, InstanceRow, LoadRow, TaskRow
from acsmpd.store import plans, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance, Load, Task


class Shaken(Struct, frozen=True):
    """A wanted instance whose present place may have to change, with the place that stays until it runs.

    `movable`: neither bound to a computility nor to a service that is nowhere else.
    """

    instance: InstanceRow
    new: Spot
    old: Spot | None = None
    movable: bool = True

    def judged(self, policies: Policies) -> Failover:
        return fail_over(self.new, self.old, policies.of(self.instance), movable=self.movable)


class Losses:
    """How long computilities have been lost, by running time: not counted from before our own start."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def look(self, known: Mapping[str, Device], now: Moment) -> None:
        lost = {one.code for one in known.values() if one.state in ("lost", "gone")}
        self._since = {code: self._since.get(code, now.mono) for code in lost}

    def shaken(self, tx: Tx, known: Mapping[str, Device], now: Moment) -> list[Shaken]:
        """Instances with a place on a lost computility or on a service that ends or is refused, or with two."""
        self.look(known, now)
        lost = sorted(code for code in self._since if known[code].family not in NO_FAILOVER)
        unsteady = {load.id: load for load in services.loads(tx, _UNSTEADY)}
        endangered = Task.device.in_(lost) | Task.load_id.in_(sorted(unsteady))
        at_risk = (Task.wanted == "running") & (Task.status != "FINISHED") & endangered  # that is an end
        pairs = Task.replaces.is_null(False) & (Task.wanted != "gone")
        rows = {row.id: row for row in plans.tasks(tx, pairs)}
        if lost or unsteady:
            rows |= {row.id: row for row in plans.tasks(tx, at_risk)}
        replaced = {row.replaces for row in rows.values()}
        wanted = _wanted(tx, sorted({row.instance_id for row in rows.values()}))
        several = services.on_several(tx) if any(one.service_id for one in wanted.values()) else set()
        found = []
        for row in rows.values():
            if row.id in replaced or row.instance_id not in wanted:
                continue  # of two places the newer one is the present one
            old = plans.task(tx, row.replaces) if row.replaces is not None else None
            kept = old if old is not None and old.wanted != "gone" else None
            instance = wanted[row.instance_id]
            found.append(
                Shaken(
                    instance, self._spot(row, lost, unsteady, now),
                    self._spot(kept, lost, unsteady, now) if kept else None,
                    not instance.device and instance.service_id in ("", *several),
                )
            )  # fmt: skip
        return found

    def _spot(self, task: TaskRow, lost: list[str], unsteady: Mapping[str, LoadRow], now: Moment) -> Spot:
        since = self._since[task.device] if task.device in lost else None
        load = unsteady.get(task.load_id or "")
        works = task.sent and task.status in ("RUNNING", "FINISHED")
        return Spot(
            task, None if since is None else now.mono - since,
            ends=load is not None and not load.wanted, refused=load is not None and load.wanted and not works,
        )  # fmt: skip


_UNSTEADY = (Load.wanted == False) | ((Load.parked == True) & Load.status.not_in(("RUNNING", "OVERLOAD")))
"""Services that end, and those that their computility has refused for good."""


def _wanted(tx: Tx, instance_ids: Sequence[str]) -> dict[str, InstanceRow]:
    """Those of these instances that are to run."""
    found: dict[str, InstanceRow] = {}
    for first in range(0, len(instance_ids), plans.CHUNK):
        some = Instance.id.in_(instance_ids[first : first + plans.CHUNK])
        found |= {
            one.id: one for one in plans.instances(tx, some, Instance.on == True, Instance.deleted == False)
        }
    return found


LET_GO_SECONDS = 120.0
"""A device that has not let go of a task for so long is not waited for by those who want its place."""


class Partings:
    """How long tasks that are to go have not gone, by running time: not counted from before our own start."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._due: list[float] = []

    def stuck(self, tx: Tx, now: Moment) -> set[int]:
        """Those whose device refuses to delete them, or has not for too long."""
        rows = plans.tasks(tx, Task.wanted == "gone", Task.sent == True, Task.load_id.is_null(False))
        self._since = {row.id: self._since.get(row.id, now.mono) for row in rows}
        found = {row.id for row in rows if row.parked or self._since[row.id] + LET_GO_SECONDS <= now.mono}
        self._due = [since + LET_GO_SECONDS for row, since in self._since.items() if row not in found]
        return found

    @property
    def next_due(self) -> float | None:
        """When the next of those that were not stuck will be (monotonic)."""
        return min(self._due, default=None)


def waits(code: str, seconds: int) -> str:
    return f"it moves when {code} has been away for {seconds} s"
