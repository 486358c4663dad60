"""The duty of giving the instances of inspections their turns; whose turn it is decides decide/rounds."""

from __future__ import annotations

from typing import Any, NamedTuple

from acsmpd.clock import Moment
from acsmpd.decide import rounds as decide
from acsmpd.decide.rounds import Member, Move, Rules
from acsmpd.engine.core import Core
from acsmpd.model import LEAVING, RUNNING, SERVED, STARTING, STOPPING
from acsmpd.store import devices, plans, rounds
from acsmpd.store.database import Tx
from acsmpd.store.rounds import Inspection, TurnRow
from acsmpd.store.tables import Instance

_LOOK_SECONDS = 1.0


class _Due(NamedTuple):
    """What is to be done for one inspection."""

    plan: Inspection
    moves: list[Move]
    kept: list[TurnRow]  # whose durations are to be written down
    is_over: bool  # the round


class Rounds:
    """Writes turns, and with them which instances are to run."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._begun: dict[int, tuple[int, float]] = {}
        """plan -> its round and the monotonic moment at which that began"""

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            running = rounds.running(tx)
            is_idle = not running or not self._due(tx, running, now)
        self._begun = {plan.id: self._begun[plan.id] for plan in running if plan.id in self._begun}
        if not is_idle:
            with self._core.store.write() as tx:  # looked at again: somebody may have stopped or started one
                for due in self._due(tx, rounds.running(tx), now):
                    self._do(tx, due, now)
        return now.mono + _LOOK_SECONDS if running else None

    # --- what is to be done -------------------------------------------------------------------------------

    def _due(self, tx: Tx, running: list[Inspection], now: Moment) -> list[_Due]:
        turns, tasks = rounds.active(tx), rounds.tasks_of_active(tx)
        away = _away(tx)
        found = []
        for plan in running:
            mine = turns.get(plan.id, [])
            members = [
                _member(turn, tasks.get(turn.instance_id, []), away, _seconds(turn, now)) for turn in mine
            ]
            due = self._of_one(tx, plan, mine, members, now)
            if due.moves or due.kept or due.is_over:
                found.append(due)
        return found

    def _of_one(
        self, tx: Tx, plan: Inspection, turns: list[TurnRow], members: list[Member], now: Moment
    ) -> _Due:
        asked = plan.inspection
        rules = Rules(
            asked["Concurrency"], asked["Duration"], self._core.settings.plans.start_timeout_seconds
        )
        moves = decide.advance(members, rules)
        if len([move for move in moves if move.phase == SERVED]) == len(members):
            most = min(rules.concurrency, decide.BATCH_MOST)
            waiting = rounds.waiting(tx, plan.id, plan.round + 1, most, [one.instance_id for one in members])
            if not turns and not waiting:
                return _Due(plan, [], [], is_over=rounds.members(tx, plan.id)[1] > 0)
            if turns or self._may_begin(plan, now):
                held = rounds.holding(tx, plan.id, [one.instance_id for one in members])
                if held and now.mono < self._begun.get(plan.id, (0, 0.0))[1] + decide.LEAVE_SECONDS:
                    return _Due(plan, moves, [], is_over=False)
                moves = decide.advance(
                    [*members, *(Member(instance_id=one) for one in waiting)], rules, held=held
                )
        moved = {move.instance_id for move in moves}
        kept = [turn for turn in turns if turn.instance_id not in moved and self._is_old(turn, now)]
        return _Due(plan, moves, kept, is_over=False)

    def _is_old(self, turn: TurnRow, now: Moment) -> bool:
        flush = self._core.settings.plans.duration_flush_seconds
        return now.have_passed(flush, turn.mono, turn.boot_id)

    def _may_begin(self, plan: Inspection, now: Moment) -> bool:
        """A round lasts as long as one turn at least: one of which every turn fails at once is not repeated at once."""
        number, last = plan.round + 1, self._begun.get(plan.id)
        if last is not None and last[0] == number:
            return True
        if last is not None and last[0] < number and now.mono < last[1] + plan.inspection["Duration"]:
            return False
        self._begun[plan.id] = (number, now.mono)
        return True

    # --- doing it -----------------------------------------------------------------------------------------

    def _do(self, tx: Tx, due: _Due, now: Moment) -> None:
        if due.is_over:
            self._end_round(tx, due.plan, now)
        for move in due.moves:
            self._make(tx, due.plan, move, now)
        for turn in due.kept:
            rounds.change(
                tx, turn.instance_id, elapsed_seconds=_seconds(turn, now), mono=now.mono, boot_id=now.boot_id
            )

    def _make(self, tx: Tx, plan: Inspection, move: Move, now: Moment) -> None:
        one = [Instance.id == move.instance_id]
        rounds.put(
            tx, instance_id=move.instance_id, plan_id=plan.id, round=plan.round + 1, phase=move.phase,
            reason=move.failed, elapsed_seconds=0.0, mono=now.mono, boot_id=now.boot_id,
        )  # fmt: skip
        if move.phase == STARTING:
            plans.let_run(tx, [*one, Instance.deleted == False, Instance.started == True], now.wall_ms)
        elif move.phase != RUNNING:
            plans.change_instances(tx, *one, on=False, changed_ms=now.wall_ms)
        if move.phase in (LEAVING, SERVED):
            plans.take_off(tx, [move.instance_id], now.wall_ms)

    def _end_round(self, tx: Tx, plan: Inspection, now: Moment) -> None:
        """The next one; the same again where nobody found a place: a plan that cannot run waits, it does not end."""
        number, limit = plan.round + 1, plan.inspection.get("RoundLimit")
        if rounds.nobody_placed(tx, plan.id, number, decide.NO_PLACE):
            rounds.forget(tx, plan.id)
            return
        plans.change_plan(tx, plan.id, round=number)
        if not limit or number < limit:
            return
        plans.change_plan(tx, plan.id, status="OFF", modified_ms=now.wall_ms)
        rounds.forget(tx, plan.id)
        here = (Instance.plan_id == plan.id, Instance.deleted == False, Instance.started == True)
        plans.change_instances(
            tx, *here, started=False, on=False, status="FINISHED", reason="", changed_ms=now.wall_ms
        )


def _seconds(turn: TurnRow, now: Moment) -> float:
    """How long the phase lasts: over a restart by the monotonic clock, over a reboot without the time between."""
    return turn.elapsed_seconds + now.since(turn.mono, turn.boot_id)


def _away(tx: Tx) -> dict[str, str]:
    """code -> why nothing can be done on that computility, for longer than a moment."""
    return {
        code: f"computility {code} is {device.standing}"
        for code, device in devices.all_devices(tx).items()
        if device.state in ("lost", "gone") or not (device.enabled and device.approved)
    }


def _member(turn: TurnRow, tasks: list[dict[str, Any]], away: dict[str, str], seconds: float) -> Member:
    """With its present task; of one that is to end also the task that is still to leave the device."""
    here = [row for row in tasks if row["wanted"] != "gone"]
    if not here and turn.phase in (STOPPING, LEAVING):
        here = [row for row in tasks if row["sent"]]
    task = here[-1] if here else None
    if task is None:
        return Member(instance_id=turn.instance_id, phase=turn.phase, seconds=seconds, stopped=turn.stopped)
    seen = task["status"] if task["sent"] else "PENDING"
    if task["parked"] and seen != "RUNNING":
        seen = "ERROR"
    return Member(
        instance_id=turn.instance_id, phase=turn.phase, seconds=seconds, status=seen, placed=True,
        away=away.get(task["device"], ""), refused=task["parked"], reason=task["reason"], stopped=turn.stopped,
    )  # fmt: skip
