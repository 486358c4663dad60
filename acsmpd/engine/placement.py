"""The duty of giving every instance that is to run a place, and of taking places back."""

from __future__ import annotations

from peewee import JOIN

from acsmpd.clock import Moment
from acsmpd.decide.failover import Failover
from acsmpd.decide.hall import Hall
from acsmpd.decide.policies import Policies
from acsmpd.decide.settling import Decision, Wish, settle
from acsmpd.engine.core import Core
from acsmpd.engine.moves import Losses, Partings, Shaken, waits
from acsmpd.engine.seating import hall_of, held_places
from acsmpd.model import Device, InstanceRow, TaskRow
from acsmpd.store import devices, packages, plans, policies
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance, Task


class Placement:
    """Reads wishes and seats, writes tasks; the choice itself is decide/settling, what moves decide/failover."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._losses, self._partings = Losses(), Partings()
        self.waiting: dict[str, str] = {}
        """instance id -> why it has no place, or no better one; read by the statuses duty of the same pass"""
        self.moving: set[str] = set()
        """of them: those that move when their computility stays away for longer"""

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            unplaced = plans.unplaced_instances(tx)
            shaken = self._losses.shaken(tx, devices.all_devices(tx), now)
            idle = self._to_pause_or_free(tx)
        self.waiting.clear()
        self.moving.clear()
        if not unplaced and not shaken and not idle:
            return None
        with self._core.store.write() as tx:
            self._switch(tx, idle, now)
            return self._place(tx, unplaced, shaken, now) if unplaced or shaken else None

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

    def _switch(self, tx: Tx, idle: list[tuple[TaskRow, str]], now: Moment) -> None:
        """Who stands still for long may find its streams given to others: then it needs another place."""
        for task, wanted in idle:
            if wanted != "running":
                plans.change_task(tx, task.id, wanted=wanted, parked=False, changed_ms=now.wall_ms)
        again = [task for task, wanted in idle if wanted == "running"]
        if again:
            abilities, known = packages.abilities(tx), devices.all_devices(tx)
            hall = hall_of(self._core, tx, abilities, known, self._partings.stuck(tx, now))
            for task in again:
                if hall.take_back(task):
                    plans.change_task(tx, task.id, wanted="running", parked=False, changed_ms=now.wall_ms)
                else:
                    self._give_up(tx, task.id, now)

    # --- where to ----------------------------------------------------------------------------------------

    def _place(self, tx: Tx, unplaced: list[InstanceRow], shaken: list[Shaken], now: Moment) -> float | None:
        abilities, known = packages.abilities(tx), devices.all_devices(tx)
        rules = Policies(policies.policies(tx), abilities)
        moves, due = self._moves(tx, shaken, rules, now)
        wishes = [
            *(Wish(instance, _left(move, known)) for instance, move in moves.values()),
            *(Wish(instance) for instance in unplaced),
        ]
        if wishes:
            hall = hall_of(self._core, tx, abilities, known, self._partings.stuck(tx, now))
            preempts = any(rules.priority(wish.instance).preempts for wish in wishes)
            held = [one for one in held_places(tx) if one.instance.id not in moves] if preempts else []
            for decision in settle(wishes, hall, rules, held):
                move = moves.get(decision.instance.id, (None, Failover()))[1]
                self._write(tx, decision, move, hall, known, now)
            dues = [one for one in (due, self._partings.next_due) if one is not None]
            due = min(dues, default=None)
        return due

    def _moves(
        self, tx: Tx, shaken: list[Shaken], rules: Policies, now: Moment
    ) -> tuple[dict[str, tuple[InstanceRow, Failover]], float | None]:
        """Give up places that stand in for one that is back, or were stood in for; what moves now, and when next."""
        moves, dues = {}, []
        for one in shaken:
            verdict = one.judged(rules)
            for row in verdict.gone:
                self._give_up(tx, row, now)
            if verdict.moves is not None:
                moves[one.instance.id] = (one.instance, verdict)
            elif verdict.wait_seconds:
                self.waiting[one.instance.id] = waits(
                    one.new.task.device, rules.of(one.instance).delay_seconds
                )
                self.moving.add(one.instance.id)
                dues.append(now.mono + verdict.wait_seconds)
        return moves, min(dues, default=None)

    def _give_up(self, tx: Tx, row: int, now: Moment) -> None:
        plans.change_task(tx, row, wanted="gone", parked=False, changed_ms=now.wall_ms)
        plans.stand_alone(tx, row)

    def _write(
        self, tx: Tx, decision: Decision, move: Failover, hall: Hall, known: dict[str, Device], now: Moment
    ) -> None:  # fmt: skip
        instance = decision.instance
        for one in decision.evicts:
            self._give_up(tx, one.task, now)
        if decision.preempted_by or instance.preempted_by:
            plans.change_instance(tx, instance.id, preempted_by=decision.preempted_by)
        if decision.place is None:
            self.waiting[instance.id] = decision.reason
            self._free(tx, move, known, now)
            return
        if move.moves is not None and move.keeps != move.moves.task.id:
            self._give_up(tx, move.moves.task.id, now)
        plans.give_place(tx, instance.id, decision.place, move.keeps, now.wall_ms)
        if decision.place.load_id is not None:
            plans.serve(tx, instance.id, hall.served_at(instance, decision.place.load_id))

    def _free(self, tx: Tx, move: Failover, known: dict[str, Device], now: Moment) -> None:
        """A place whose service is being unloaded goes even when no other is free; a lost device keeps its."""
        device = known.get(move.moves.task.device) if move.moves else None
        if move.moves is not None and device is not None and device.state not in ("lost", "gone"):
            self._give_up(tx, move.moves.task.id, now)


def _left(move: Failover, known: dict[str, Device]) -> str:
    """Why an instance leaves its last place."""
    code = move.moves.task.device if move.moves else ""
    device = known.get(code)
    away = device is not None and device.state in ("lost", "gone")
    return f"moved from {code}, " + (
        f"which is {device.state}" if device and away else "where its service ends"
    )
