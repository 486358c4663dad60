"""The duty of giving the instances of inspections their turns; whose turn it is decides decide/rounds."""

from __future__ import annotations

from typing import Any

from acsmpd.clock import Moment
from acsmpd.decide import rounds as decide
from acsmpd.decide.rounds import Member, Move, Rules
from acsmpd.engine.core import Core
from acsmpd.model import LEAVING, RUNNING, SERVED, STARTING, STOPPING
from acsmpd.store import devices, plans, rounds
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance

_LOOK_SECONDS = 1.0


class Rounds:
    """Writes turns, and with them which instances are to run."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._begun: dict[int, tuple[int, float]] = {}
        """plan -> its round and the monotonic moment at which that began"""

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            plans_on = rounds.running(tx)
            looked = [(plan, rounds.active(tx, plan["id"])) for plan in plans_on]
            members = [self._members(tx, plan, turns, now) for plan, turns in looked]
        self._begun = {plan["id"]: self._begun[plan["id"]] for plan in plans_on if plan["id"] in self._begun}
        for (plan, turns), found in zip(looked, members, strict=True):
            self._advance(plan, turns, found, now)
        return now.mono + _LOOK_SECONDS if plans_on else None

    # --- what is observed ---------------------------------------------------------------------------------

    def _members(
        self, tx: Tx, plan: dict[str, Any], active: list[rounds.TurnRow], now: Moment
    ) -> list[Member]:
        tasks: dict[str, list[dict[str, Any]]] = {}
        for row in rounds.tasks_of(tx, [turn.instance_id for turn in active]):
            tasks.setdefault(row["instance_id"], []).append(row)
        known = devices.all_devices(tx)
        lost = {code for code, device in known.items() if device.state in ("lost", "gone")}
        found = []
        for turn in active:
            found.append(_member(turn, tasks.get(turn.instance_id, []), lost, self._seconds(turn, now)))
        limit = plan["inspection"]["Concurrency"]
        waiting = rounds.waiting(tx, plan["id"], plan["round"] + 1, limit)
        return [*found, *(Member(instance_id=one) for one in waiting)]

    @staticmethod
    def _seconds(turn: rounds.TurnRow, now: Moment) -> float:
        """How long the phase lasts: over a restart by the monotonic clock, over a reboot without the time between."""
        return turn.elapsed_seconds + (max(0.0, now.mono - turn.mono) if turn.boot_id == now.boot_id else 0.0)

    # --- what is done -------------------------------------------------------------------------------------

    def _advance(
        self, plan: dict[str, Any], turns: list[rounds.TurnRow], members: list[Member], now: Moment
    ) -> None:
        asked, settings = plan["inspection"], self._core.settings.plans
        rules = Rules(asked["Concurrency"], asked["Duration"], settings.start_timeout_seconds)
        if not members:
            self._end_round(plan, now)
            return
        moves = decide.advance(members, rules)
        if not turns and not self._may_begin(plan, now):
            return
        moved = {move.instance_id for move in moves}
        kept = [turn for turn in turns if turn.instance_id not in moved and self._is_old(turn, now)]
        if not moves and not kept:
            return
        with self._core.store.write(durable=bool(moves)) as tx:
            for move in moves:
                self._make(tx, plan, move, now)
            for turn in kept:
                seconds = self._seconds(turn, now)
                rounds.change(
                    tx, turn.instance_id, elapsed_seconds=seconds, mono=now.mono, boot_id=now.boot_id
                )

    def _is_old(self, turn: rounds.TurnRow, now: Moment) -> bool:
        flush = self._core.settings.plans.duration_flush_seconds
        return turn.boot_id != now.boot_id or now.mono - turn.mono >= flush

    def _may_begin(self, plan: dict[str, Any], now: Moment) -> bool:
        """A round lasts as long as one turn at least: one of which every turn fails at once is not repeated at once."""
        number, last = plan["round"] + 1, self._begun.get(plan["id"])
        if last is not None and last[0] == number:
            return True
        if last is not None and last[0] < number and now.mono < last[1] + plan["inspection"]["Duration"]:
            return False
        self._begun[plan["id"]] = (number, now.mono)
        return True

    def _make(self, tx: Tx, plan: dict[str, Any], move: Move, now: Moment) -> None:
        one = [Instance.id == move.instance_id]
        rounds.put(
            tx, instance_id=move.instance_id, plan_id=plan["id"], round=plan["round"] + 1, phase=move.phase,
            reason=move.failed, elapsed_seconds=0.0, mono=now.mono, boot_id=now.boot_id,
        )  # fmt: skip
        if move.phase == STARTING:
            plans.let_run(tx, [*one, Instance.deleted == False, Instance.started == True], now.wall_ms)
        elif move.phase != RUNNING:
            plans.change_instances(tx, *one, on=False, changed_ms=now.wall_ms)
        if move.phase in (LEAVING, SERVED):
            plans.take_off(tx, [move.instance_id], now.wall_ms)

    def _end_round(self, plan: dict[str, Any], now: Moment) -> None:
        with self._core.store.write() as tx:
            current = plans.plan(tx, plan["id"])
            if current is None or current["status"] != "ON" or not rounds.members(tx, plan["id"]):
                return
            number = plan["round"] + 1
            plans.change_plan(tx, plan["id"], round=number)
            limit = plan["inspection"].get("RoundLimit")
            if limit and number >= limit:
                self._finish(tx, plan["id"], now)

    def _finish(self, tx: Tx, plan_id: int, now: Moment) -> None:
        plans.change_plan(tx, plan_id, status="OFF", modified_ms=now.wall_ms)
        rounds.forget(tx, plan_id)
        plans.change_instances(
            tx, Instance.plan_id == plan_id, Instance.deleted == False, started=False, on=False,
            status="FINISHED", reason="", changed_ms=now.wall_ms,
        )  # fmt: skip


def _member(turn: rounds.TurnRow, tasks: list[dict[str, Any]], lost: set[str], seconds: float) -> Member:
    """With its present task; of one that is to end also the task that is still to leave the device."""
    here = [row for row in tasks if row["wanted"] != "gone"]
    if not here and turn.phase in (STOPPING, LEAVING):
        here = [row for row in tasks if row["sent"]]
    task = here[-1] if here else None
    if task is None:
        return Member(instance_id=turn.instance_id, phase=turn.phase, seconds=seconds, stopped=turn.stopped)
    seen = "ERROR" if task["parked"] else task["status"] if task["sent"] else "PENDING"
    return Member(
        instance_id=turn.instance_id, phase=turn.phase, seconds=seconds, status=seen, placed=True,
        lost=task["device"] in lost, reason=task["reason"], stopped=turn.stopped,
    )  # fmt: skip
