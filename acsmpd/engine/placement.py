"""The duty of giving every instance that is to run a place, and of taking places back."""

from __future__ import annotations

from acsmpd.clock import Moment
from acsmpd.decide.failover import Failover
from acsmpd.decide.hall import Hall
from acsmpd.decide.placement import capabilities_at, events_of
from acsmpd.decide.policies import Policies
from acsmpd.decide.settling import Decision, Wish, settle
from acsmpd.engine.core import Core
from acsmpd.engine.moves import Losses, Partings, Shaken, waits
from acsmpd.engine.seating import hall_of, held_places
from acsmpd.model import FOR_QUOTA, Device, InstanceRow, TaskRow
from acsmpd.store import authquotas, devices, packages, plans, policies, turning
from acsmpd.store.database import Tx

ASK_AGAIN_SECONDS = 10.0
"""Between two questions to a server whose quota somebody waits for."""


class Placement:
    """Reads wishes and seats, writes tasks; the choice itself is decide/settling, what moves decide/failover."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._losses, self._partings = Losses(), Partings()
        self._asked: dict[tuple[int, str], float] = {}
        self.waiting: dict[str, str] = {}
        """instance id -> why it has no place, or no better one; read by the statuses duty of the same pass"""
        self.moving: set[str] = set()
        """of them: those that move when their computility stays away for longer"""
        self._waited: set[str] | None = None  # who wished for a place at the last look
        self._due: float | None = None

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            unplaced = plans.unplaced_instances(tx)
            shaken = self._losses.shaken(tx, devices.all_devices(tx), now)
            changed = turning.otherwise(tx)
            idle = turning.astray(tx)
            resting = turning.resting(tx, idle.pop("running", []))
            wishes = [*(Wish(one, rests=task) for one, task in resting), *(Wish(one) for one in unplaced)]
            waited, self._waited = self._waited, {wish.instance.id for wish in wishes}
            is_quiet = not shaken and not changed and not any(idle.values())
            if is_quiet and self._waited == waited and self._still_wait(tx, wishes, now):
                return self._due
        self.waiting.clear()
        self.moving.clear()
        if not wishes and is_quiet:
            return None
        with self._core.store.write() as tx:
            self._recast(tx, changed, now)
            for wanted, rows in idle.items():
                turning.wish(tx, rows, wanted, now.wall_ms)
            self._due = self._place(tx, wishes, shaken, now) if wishes or shaken else None
            return self._due

    def _still_wait(self, tx: Tx, wishes: list[Wish], now: Moment) -> bool:
        """Whether those that waited at the last look would all go on waiting: then nobody who writes has to wait for
        a look at thousands."""
        is_due = self._due is not None and self._due <= now.mono
        if not wishes or is_due or any(wish.rests is not None for wish in wishes):
            return False
        abilities, known = packages.abilities(tx), devices.all_devices(tx)
        hall = hall_of(self._core, tx, abilities, known, self._partings.stuck(tx, now), now.wall_ms)
        rules = Policies(policies.policies(tx), abilities)
        preempts = any(rules.priority(wish.instance).preempts for wish in wishes)
        decided = [] if preempts else settle(wishes, hall, rules)
        return len(decided) == len(wishes) and all(
            one.place is None and one.reason == self.waiting.get(one.instance.id) for one in decided
        )

    def for_streams(self) -> set[str]:
        """Those of `waiting` that one more service might help: of the others no quota allows more."""
        return {instance for instance, why in self.waiting.items() if FOR_QUOTA not in why}

    def _recast(self, tx: Tx, changed: list[tuple[InstanceRow, TaskRow, str]], now: Moment) -> None:
        """Other events may be served by other capabilities: those are other streams, which need room and quota anew."""
        abilities = packages.abilities(tx) if changed else []
        for instance, task, package_id in changed:
            served = capabilities_at(instance, abilities, package_id)
            is_whole = served.keys() == set(events_of(instance.info))
            if is_whole and set(served.values()) == set(task.capabilities or ()):
                plans.serve(tx, instance.number, served)
            else:
                self._give_up(tx, task.id, now)

    # --- where to ----------------------------------------------------------------------------------------

    def _place(self, tx: Tx, wishes: list[Wish], shaken: list[Shaken], now: Moment) -> float | None:
        abilities, known = packages.abilities(tx), devices.all_devices(tx)
        rules = Policies(policies.policies(tx), abilities)
        moves, due = self._moves(tx, shaken, rules, now)
        wishes = [
            *(Wish(instance, _left(move, known)) for instance, move in moves.values()),
            *(wish for wish in wishes if wish.instance.id not in moves),
        ]
        if wishes:
            hall = hall_of(self._core, tx, abilities, known, self._partings.stuck(tx, now), now.wall_ms)
            preempts = any(rules.priority(wish.instance).preempts for wish in wishes)
            held = [one for one in held_places(tx) if one.instance.id not in moves] if preempts else []
            decided = settle(wishes, hall, rules, held)
            going_on = [one.goes_on for one in decided if one.goes_on is not None]
            turning.wish(tx, going_on, "running", now.wall_ms)
            for decision in decided:
                if decision.goes_on is not None:
                    continue
                move = moves.get(decision.instance.id, (None, Failover()))[1]
                self._write(tx, decision, move, hall, known, now)
            asked = self._ask(tx, hall.quotas.asked, now)
            dues = [one for one in (due, self._partings.next_due, asked) if one is not None]
            due = min(dues, default=None)
        return due

    def _ask(self, tx: Tx, wanted: set[tuple[int, str]], now: Moment) -> float | None:
        """Have servers asked that last allowed less than is wanted, or were never asked; when to look again."""
        again = {key: at for key, at in self._asked.items() if key in wanted and at > now.mono}
        for server, capability in sorted(wanted - again.keys()):
            authquotas.ask(tx, server, capability, now.wall_ms)
            again[server, capability] = now.mono + ASK_AGAIN_SECONDS
        self._asked = again
        return min(again.values(), default=None)

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
        if decision.leaves is not None:
            self._give_up(tx, decision.leaves, now)
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
            plans.serve(tx, instance.number, hall.served_at(instance, decision.place.load_id))

    def _free(self, tx: Tx, move: Failover, known: dict[str, Device], now: Moment) -> None:
        """A place whose service is being unloaded goes even when no other is free; the others are kept."""
        device = known.get(move.moves.task.device) if move.moves and move.moves.ends else None
        if move.moves is not None and device is not None and device.state not in ("lost", "gone"):
            self._give_up(tx, move.moves.task.id, now)


def _left(move: Failover, known: dict[str, Device]) -> str:
    """Why an instance leaves its last place."""
    code = move.moves.task.device if move.moves else ""
    device = known.get(code)
    if device is not None and device.state in ("lost", "gone"):
        return f"moved from {code}, which is {device.state}"
    ends = move.moves is not None and move.moves.ends
    return f"moved from {code}, where its service {'ends' if ends else 'was refused'}"
