"""The duty of scaling: writes loads and replicas as PUT AlgoServices/<ID> or a new service would. How many: decide."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from acsmpd.clock import Moment
from acsmpd.decide.scaling import (
    REFUSALS,
    Ground,
    Member,
    grounds_for,
    member_to_go,
    pause_seconds,
    replicas_wanted,
)
from acsmpd.engine import replicas
from acsmpd.engine.core import Core
from acsmpd.engine.refusals import Refusals, ask_again
from acsmpd.engine.replicas import Group, Key
from acsmpd.model import Device
from acsmpd.store import alarms, devices, policies, services
from acsmpd.store.database import Tx

log = logging.getLogger(__name__)

REFUSED = "scaling_refused"
"""The kind of alarm for a package that so many computilities have refused that no further one is asked."""

NAMED = 3
"""Computilities that an alarm names one by one."""

SHORT = "scaling_short"
"""The kind of alarm for a package that has fewer replicas than its policy wants, because no device takes more."""


class Change(Struct, frozen=True):
    """What is to be done about a group, and how many replicas are lacking for want of devices."""

    group: Group
    grow: tuple[Ground, ...] = ()
    shrink: Member | None = None
    lacking: int = 0
    refused: str = ""  # why no further device is asked


class Scaler:
    """Cool-downs count by running time, from the last change, be it an operator's; after a restart, from that."""

    def __init__(self, core: Core, waiting: Callable[[], Collection[str]] | None = None) -> None:
        """`waiting`: the instances one more replica might help, by the last look at them; else all without a place."""
        self._core, self._waiting = core, waiting
        self._changed: dict[Key, float] = {}
        self._seen: dict[Key, frozenset[str]] = {}
        self._short: dict[str, int] | None = None
        self._refusals, self._refused = Refusals(core), dict[str, str]()

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            changes, again = self._plan(tx, now)
        moves = any(one.grow or one.shrink for one in changes)
        if again or moves or _outlook(changes) != (self._short, self._refused):
            with self._core.store.write() as tx:
                changes, more = self._plan(tx, now)  # what an operator did meanwhile counts
                for change in changes:
                    self._apply(tx, change, now)
                for package, device in [*again, *more]:
                    ask_again(tx, package, device, now.wall_ms)
                self._tell(tx, *_outlook(changes), now)
        self._short, self._refused = _outlook(changes)
        ends = [self._changed[one.group.key] + pause for one in changes for pause in self._pauses(one.group)]
        return min((end for end in ends if end > now.mono), default=None)

    def _pauses(self, group: Group) -> list[float]:
        """Seconds after the last change from which fewer, and more, may be wanted."""
        refused = len(self._refusals.of(group))
        return [float(group.scaling.cooldown_seconds), pause_seconds(refused, group.scaling)]

    def _plan(self, tx: Tx, now: Moment) -> tuple[list[Change], list[tuple[str, str]]]:
        """What changes, and (package, computility) of those that refused and are to be asked again."""
        rules = policies.policies(tx)
        if not any(rule.scaling is not None for rule in rules):
            return [], []
        known = devices.all_devices(tx)
        waiting = None if self._waiting is None else self._waiting()
        found = replicas.groups(self._core, tx, rules, known, waiting)
        before = now.mono if self._short is None else float("-inf")
        self._changed = {
            group.key: now.mono
            if self._seen.get(group.key, group.everybody) != group.everybody
            else self._changed.get(group.key, before)
            for group in found
        }
        self._seen = {group.key: group.everybody for group in found}
        again = self._refusals.see(tx, found)
        return [self._change(tx, group, known, now) for group in found], again

    def _change(self, tx: Tx, group: Group, known: dict[str, Device], now: Moment) -> Change:
        have, refused = group.number, self._refusals.of(group)
        broken = [
            load.parked or load.status == "ERROR" or self._refusals.has_refused(group.key[0], load.device)
            for load in group.loads
        ]
        use = replace(group.use, broken=sum(broken), refused=len(refused))
        wanted = replicas_wanted(use, group.scaling, now.mono - self._changed[group.key])
        said = told(refused) if len(refused) >= REFUSALS else ""
        if wanted > have:
            grow = grounds_for(self._grounds(tx, group, known), wanted - have)
            return Change(group, tuple(grow), lacking=wanted - have - len(grow), refused=said)
        if wanted < have:
            gone = member_to_go(replicas.members(tx, group, known))
            return Change(group, shrink=gone, refused=said)
        return Change(group, refused=said)

    def _grounds(self, tx: Tx, group: Group, known: dict[str, Device]) -> list[Ground]:
        found = replicas.grounds(self._core, tx, group, known)
        return [one for one in found if not self._refusals.has_refused(group.key[0], one.device)]

    # --- what becomes of it -----------------------------------------------------------------------------------

    def _apply(self, tx: Tx, change: Change, now: Moment) -> None:
        group, gone = change.group, change.shrink
        if not change.grow and gone is None:
            return
        self._changed[group.key] = now.mono
        self._seen.pop(group.key)  # what we change ourselves is no news at the next pass
        have = Counter[str]()
        for seat in group.seats:
            have[seat.service_id] += group.of_load(seat.load_id)
        for ground in change.grow:
            if ground.service_id:
                have[ground.service_id] += 1
                self._rescale(tx, group, ground.service_id, ground.device, have, now)
            else:
                services.copy_to(tx, group.like, ground.device, now.wall_ms)
            log.info(
                "one more replica of package %s: %s",
                group.name,
                _words(group),
                extra={"device": ground.device},
            )
        if gone is not None:
            if gone.of_many:
                have[gone.service_id] -= 1
                self._rescale(tx, group, gone.service_id, gone.device, have, now)
            else:
                services.retire(tx, gone.load_id, now.wall_ms)
            log.info(
                "one replica less of package %s: %s", group.name, _words(group), extra={"device": gone.device}
            )

    def _rescale(
        self, tx: Tx, group: Group, service: str, device: str, have: Counter[str], now: Moment
    ) -> None:
        if any(load.service_id == service and load.id in group.many for load in group.loads):
            services.other_number(tx, service, have[service], now.wall_ms)
        else:
            services.rescale(tx, service, group.key[0], device, have[service], now.wall_ms)

    def _tell(self, tx: Tx, short: dict[str, int], refused: dict[str, str], now: Moment) -> None:
        for kind, there in ((SHORT, short.keys()), (REFUSED, refused.keys())):
            for subject in alarms.open_subjects(tx, kind):
                if subject not in there:
                    alarms.end_alarm(tx, kind, subject, now.wall_ms)
        for subject, why in refused.items():
            alarms.raise_alarm(
                tx, REFUSED, subject, f"package {subject} is not tried elsewhere: {why}", now.wall_ms
            )
        for subject, lacking in short.items():
            text = f"package {subject}: {lacking} more replicas are wanted and no computility takes them"
            alarms.raise_alarm(tx, SHORT, subject, text, now.wall_ms)


def told(refused: Mapping[str, str]) -> str:
    """Who refused it and why, in one sentence."""
    named = "; ".join(f"{code}: {why}" for code, why in sorted(refused.items())[:NAMED])
    return f"{len(refused)} computilities in a row have refused it ({named})"


def _outlook(changes: Sequence[Change]) -> tuple[dict[str, int], dict[str, str]]:
    """How many replicas each group lacks, and of which packages no further device is asked."""
    short = {one.group.name: one.lacking for one in changes if one.lacking}
    return short, {one.group.name: one.refused for one in changes if one.refused}


def _words(group: Group) -> str:
    use = group.use
    return f"{use.used} streams used and {use.waiting} waiting on {use.replicas} replicas of {use.streams}"
