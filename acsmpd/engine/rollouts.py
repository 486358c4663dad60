"""The duty of bringing a package to many devices, wave by wave: writes the wishes a person would write one by one.

All is planned again from the store on every pass; only how long a turn has lasted is remembered here, so that
neither a clock that is set nor a restart ends one early.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import msgspec

from acsmpd import faults
from acsmpd.clock import Moment
from acsmpd.decide import rollouts as decide
from acsmpd.decide import windows
from acsmpd.decide.environment import check_local
from acsmpd.decide.rollouts import Counts, Ledger, Member, Terms, Times, Turn
from acsmpd.engine.core import Core
from acsmpd.model import Family
from acsmpd.store import alarms, packages, rollouts, services
from acsmpd.store.alarms import ROLLOUT_FAILED
from acsmpd.store.database import Tx
from acsmpd.store.installs import Wanted, install, package_of, serving_device

log = logging.getLogger(__name__)

BATCH = 50
"""Members that are changed in one transaction: everybody who writes waits for it."""

LOOK_SECONDS = 30.0
"""The longest time between two looks at a rollout of which something may move."""


class Timer:
    """Since when it is a member's turn, and since when its device is away in it (monotonic); both begin anew when it
    was `held` up by its window. Since when its service is seen running, and until when it has to."""

    def __init__(self, now: float) -> None:
        self.restart(now)
        self.held = False
        self.ready: float | None = None
        self.until = float("inf")

    def restart(self, now: float) -> None:
        self.turn: float = now
        self.away: float | None = None


class Work(NamedTuple):
    """What is to be done about one rollout in this pass."""

    row: dict[str, Any]
    begins: int
    turns: list[tuple[dict[str, Any], Turn]]

    @property
    def is_empty(self) -> bool:
        return not (self.begins or self.turns)


class Rollouts:
    """Begins waves, wishes for packages and services, notes how each member ended."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._zone = core.settings.site.zone
        self._timers: dict[int, Timer] = {}

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            rows = rollouts.active(tx)
            seen: set[int] = set()
            work = self._plan(tx, rows, now, seen)
        self._timers = {member: timer for member, timer in self._timers.items() if member in seen}
        if any(not one.is_empty for one in work):
            with self._core.store.write() as tx:
                for one in self._plan(tx, rollouts.active(tx), now, seen):
                    if not one.is_empty:
                        self._carry_out(tx, one, now)
            self._core.wake()  # the next wave may begin at once
        return self._due(rows, now) if rows else None

    def _due(self, rows: list[dict[str, Any]], now: Moment) -> float:
        """When to look again though nothing was written: time is over, or a window opens or closes."""
        limits = self._core.settings.rollouts
        found = [now.mono + LOOK_SECONDS]
        for timer in self._timers.values():
            found += [timer.turn + limits.member_seconds, timer.until]
            if timer.away is not None:
                found.append(timer.away + limits.offline_seconds)
        for row in rows:
            change = windows.next_change(windows.parse(row["windows"] or ()), now.wall_ms, self._zone)
            if change is not None:
                found.append(now.mono + (change - now.wall_ms) / 1000)
        return max(now.mono, min(found))

    # --- what there is to do -----------------------------------------------------------------------------

    def _plan(self, tx: Tx, rows: list[dict[str, Any]], now: Moment, seen: set[int]) -> list[Work]:
        numbers = rollouts.counts(tx, *(row["id"] for row in rows)) if rows else {}
        return [self._work(tx, row, decide.counts_of(numbers[row["id"]]), now, seen) for row in rows]

    def _work(self, tx: Tx, row: dict[str, Any], counts: Counts, now: Moment, seen: set[int]) -> Work:
        package = packages.get(tx, row["package_id"])
        terms = decide.terms_of(row, package["md5"] if package else None, now.wall_ms, self._zone)
        found = rollouts.members(tx, row["id"], "IN_PROGRESS") if counts.in_progress else []
        seen |= {member["id"] for member in found}
        turns = self._turns(tx, terms, found, now)
        begins = decide.to_begin(
            counts, threshold=row["threshold"], paused=row["paused"], most=row["most"], is_open=terms.is_open
        )
        return Work(row, begins, turns)

    def _turns(
        self, tx: Tx, terms: Terms, found: list[dict[str, Any]], now: Moment
    ) -> list[tuple[dict[str, Any], Turn]]:
        """The members about whom something is to be done, at most BATCH; the time of the others goes on."""
        if not found:
            return []
        codes = [member["device"] for member in found]
        ledger = Ledger(**rollouts.held(tx, terms.package_id, codes))
        turns = [(member, self._turn(member, ledger, terms, now)) for member in found]
        return [one for one in turns if one[1].do][:BATCH]

    def _turn(self, row: dict[str, Any], ledger: Ledger, terms: Terms, now: Moment) -> Turn:
        timer, limits = self._timers.setdefault(row["id"], Timer(now.mono)), self._core.settings.rollouts
        member = msgspec.convert(row, Member)
        if timer.held:
            timer.restart(now.mono)
        is_away = bool(decide.away_reason(row["device"], ledger))
        timer.away = (now.mono if timer.away is None else timer.away) if is_away else None
        self._note_ready(timer, member, ledger, terms, now)
        times = Times(
            turn=now.mono - timer.turn,
            away=now.mono - timer.away if timer.away is not None else 0.0,
            ready=now.mono - timer.ready if timer.ready is not None else None,
            turn_most=limits.member_seconds,
            away_most=limits.offline_seconds,
        )
        turn = decide.next_for(member, ledger, terms, times)
        timer.held = not turn.timed
        return turn

    def _note_ready(self, timer: Timer, member: Member, ledger: Ledger, terms: Terms, now: Moment) -> None:
        """A device that is away tells nothing: its time begins anew when it is back."""
        if decide.is_up(member, ledger, terms):
            timer.ready = now.mono if timer.ready is None else timer.ready
            timer.until = timer.ready + terms.min_ready
        elif timer.away is not None:
            timer.ready, timer.until = None, float("inf")

    # --- doing it ------------------------------------------------------------------------------------------

    def _carry_out(self, tx: Tx, work: Work, now: Moment) -> None:
        row, now_ms = work.row, now.wall_ms
        for member, turn in work.turns:
            self._take(tx, row, member, turn, now_ms)
        if work.begins:
            package = packages.get(tx, row["package_id"])
            rollouts.settle_present(tx, row, package["md5"] if package else None, now_ms)
            rollouts.begin(tx, row["id"], work.begins, now_ms)
        counts = decide.counts_of(rollouts.counts(tx, row["id"])[row["id"]])
        if work.turns and counts.failed >= row["threshold"]:
            self._tell(tx, row, counts, now_ms)
        if decide.is_over(counts, threshold=row["threshold"]):
            rollouts.change(tx, row["id"], ended_ms=now_ms, changed_ms=now_ms)

    def _take(self, tx: Tx, row: dict[str, Any], member: dict[str, Any], turn: Turn, now_ms: int) -> None:
        match turn.do:
            case "push":
                self._push(tx, row, member, now_ms)
            case "load":
                self._load(tx, row, member, now_ms)
            case "withdraw":
                rollouts.withdraw(tx, row["package_id"], member, now_ms)
            case "done":
                rollouts.change_member(tx, member["id"], status="DONE", ended_ms=now_ms)
            case _:
                if turn.do == "give_up":
                    rollouts.withdraw(tx, row["package_id"], member, now_ms)
                _fail(tx, member, turn.why, now_ms)

    def _push(self, tx: Tx, row: dict[str, Any], member: dict[str, Any], now_ms: int) -> None:
        made = member["made_copy"] or _is_first(tx, row, member)
        services.want_copy(tx, row["package_id"], member["device"], now_ms, asked=False)
        rollouts.change_member(tx, member["id"], step="push", made_copy=made)

    def _load(self, tx: Tx, row: dict[str, Any], member: dict[str, Any], now_ms: int) -> None:
        made = member["made_copy"] or _is_first(tx, row, member)
        try:
            device, package = serving_device(tx, member["device"]), package_of(tx, row["package_id"])
            if device.family is Family.LOCAL:
                check_local(package, row["env"])
            wanted = Wanted(env=row["env"], license_url=row["license_url"])
            service = install(tx, device, package["id"], wanted, now_ms)
        except faults.Fault as fault:
            _fail(tx, member, fault.message, now_ms)
            return
        values = {"service_id": service.service_id, "made_copy": made, "made_load": service.is_new}
        rollouts.change_member(tx, member["id"], step="load", **values)

    def _tell(self, tx: Tx, row: dict[str, Any], counts: Counts, now_ms: int) -> None:
        """Say once, and bring up to date, that too many failed."""
        said = decide.told(rollouts.failures(tx, row["id"], decide.NAMED), counts)
        text = f"rollout {row['id']} of package {row['package_id']} stopped: {said}"
        if alarms.raise_alarm(tx, ROLLOUT_FAILED, str(row["id"]), text, now_ms):
            log.warning(text)


def _fail(tx: Tx, member: dict[str, Any], reason: str, now_ms: int) -> None:
    rollouts.change_member(tx, member["id"], status="FAILED", reason=reason, ended_ms=now_ms)


def _is_first(tx: Tx, row: dict[str, Any], member: dict[str, Any]) -> bool:
    """Whether nobody wants the file on that device yet."""
    copy = services.copy(tx, row["package_id"], member["device"])
    return copy is None or not copy["wanted"]
