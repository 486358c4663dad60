"""The duty of ending what runs by licences that are over, where a grace is set and has passed; and of remembering how
late it has ever been, by which they end (conventions section 9)."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence

from acsmpd.clock import HOUR_SECONDS, Moment
from acsmpd.decide.policies import Policies
from acsmpd.decide.quotas import Surplus, surplus
from acsmpd.engine.core import Core
from acsmpd.model import Grant
from acsmpd.store import alarms, licences, packages, plans, policies, quotas
from acsmpd.store.database import Tx
from acsmpd.store.licences import Over
from acsmpd.store.tables import Instance

log = logging.getLogger(__name__)

LAPSED = "licence_lapsed"
"""The kind of alarm for instances that were ended since their licence is over and its grace has passed."""

CLOCK_BACK = "clock_back"
"""The kind of alarm while the clock is behind the highest time ever seen."""

BACK_SECONDS = 300.0
"""A clock is put right by less without a word."""

LOOK_SECONDS = 60.0


class Lapses:
    """Licences end by the highest time ever seen: a clock that is set back extends none."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._mark = (0, 0.0)
        """the highest time, and the monotonic moment at which it was that"""

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            is_told, ends = bool(alarms.open_subjects(tx, CLOCK_BACK)), licences.any_ends(tx)
            if not (ends or is_told):
                return None
            kept = licences.latest_ms(tx, 0) if ends else 0
            latest = self._latest(kept, now)
            due = licences.next_end(tx, kept)
            lapsed, graced = self._grace(licences.overs(tx, latest), latest)
        is_late = ends and latest - kept >= LOOK_SECONDS * 1000
        if (due is not None and due <= latest) or is_late or lapsed or _is_back(kept, now) != is_told:
            with self._core.store.write() as tx:
                licences.see(tx, latest)
                self._end(tx, lapsed, graced, now)
                self._tell(tx, kept, now)
        return now.mono + self._seconds(due, graced, latest)

    def _latest(self, kept: int, now: Moment) -> int:
        """The highest time ever seen; while the clock is behind it goes on with the running time."""
        highest, mono = self._mark
        latest = max(kept, now.wall_ms, highest + int((now.mono - mono) * 1000) if highest else 0)
        self._mark = (latest, now.mono)
        return latest

    def _grace(self, overs: Sequence[Over], latest: int) -> tuple[list[Over], list[Over]]:
        """Those whose grace has passed, and those that have it still."""
        hours = self._core.settings.licences.grace_hours
        if hours < 0:
            return [one for one in overs if one.ended], []
        until = latest - hours * HOUR_SECONDS * 1000
        return [one for one in overs if one.since_ms <= until], [one for one in overs if one.since_ms > until]

    def _seconds(self, due: int | None, graced: Sequence[Over], latest: int) -> float:
        """How long there is nothing to do."""
        hours = self._core.settings.licences.grace_hours
        ends = [one.since_ms + hours * HOUR_SECONDS * 1000 for one in graced]
        left = [(end - latest) / 1000 for end in [*ends, *([due] if due is not None else [])]]
        return min([LOOK_SECONDS, *(max(0.1, one) for one in left)])

    def _end(self, tx: Tx, lapsed: Sequence[Over], graced: Sequence[Over], now: Moment) -> None:
        if lapsed and self._core.settings.licences.grace_hours >= 0:
            known = quotas.authorised(tx, now.wall_ms)
            for one in surplus(known, _by_provider(lapsed), _by_provider(graced)):
                self._stop(tx, one, now)
        for over in lapsed:
            licences.lapse(tx, over)

    def _stop(self, tx: Tx, found: Surplus, now: Moment) -> None:
        """Those whose own licence it was, then of the lowest priority the newest. They are to run all the same, and
        wait for a quota."""
        rules = Policies(policies.policies(tx), packages.abilities(tx))
        there = plans.instances(tx, Instance.id.in_(sorted(found.instances)))
        there.sort(key=lambda one: (one.id not in found.first, rules.priority(one).value, -one.number))
        gone = [one.id for one in there[: found.number]]
        for first in range(0, len(gone), plans.CHUNK):
            plans.take_off(tx, gone[first : first + plans.CHUNK], now.wall_ms)
        text = (
            f"{len(gone)} streams of {found.capability} were ended: {found.words} do not allow them any more, "
            f"for longer than licences.grace_hours"
        )
        subject = f"{found.words}: {found.capability}"
        alarms.raise_alarm(tx, LAPSED, subject, text, now.wall_ms)
        alarms.end_alarm(
            tx, LAPSED, subject, now.wall_ms
        )  # it has happened; the instances say what they wait for
        log.warning(text)

    # --- the clock ---------------------------------------------------------------------------------------

    def _tell(self, tx: Tx, kept: int, now: Moment) -> None:
        if not _is_back(kept, now):
            alarms.end_alarm(tx, CLOCK_BACK, "licences", now.wall_ms)
            return
        behind = (kept - now.wall_ms) // 1000
        text = f"the clock is {behind} s behind the highest time ever seen, by which licences end: it extends none"
        if alarms.raise_alarm(tx, CLOCK_BACK, "licences", text, now.wall_ms):
            log.warning(text)


def _is_back(kept: int, now: Moment) -> bool:
    return kept - now.wall_ms > BACK_SECONDS * 1000


def _by_provider(overs: Sequence[Over]) -> dict[str, list[Grant]]:
    found: dict[str, list[Grant]] = defaultdict(list)
    for one in overs:
        found[one.provider].append(one.grant)
    return found
