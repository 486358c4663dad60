"""The duty of knowing who is there: judges every computility by decide/liveness and writes what changed."""

from __future__ import annotations

import logging
from typing import Any

from acsmpd.clock import Moment
from acsmpd.decide import liveness
from acsmpd.engine.core import Core
from acsmpd.model import ENTERED, Family
from acsmpd.store import alarms, devices
from acsmpd.store.database import Tx
from acsmpd.store.presence import Sign

log = logging.getLogger(__name__)

FLUSH_SECONDS = 5.0
JUDGE_SECONDS = 1.0
"""Signs of life are kept in memory, so that nobody tells when they change."""


class Liveness:
    """One state for each computility, with since and reason, the same wherever it is shown."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._flushed = float("-inf")
        self._left: dict[str, float] = {}
        self._excused: dict[str, float] = {}
        computility = core.settings.computility
        self._limits = liveness.Limits(computility.suspect_seconds, computility.lost_seconds)

    def ensure(self, now: Moment) -> float:
        with self._core.store.read() as tx:
            rows = {row["code"]: row for row in devices.all_rows(tx)}
        facts = {code: self._facts(row) for code, row in rows.items() if _is_judged(row)}
        verdicts, mass = liveness.judge_all(
            facts,
            started=self._core.presence.started,
            now=now.mono,
            limits=self._limits,
            interval=self._core.settings.observe.interval_seconds,
        )
        self._excuse(facts, bool(mass), now)
        verdicts |= {
            code: liveness.Verdict("online", "")
            for code, row in rows.items()
            if row["family"] == Family.LOCAL.value
        }
        changed = {
            code: verdict
            for code, verdict in verdicts.items()
            if (verdict.state, verdict.reason) != (rows[code]["state"], rows[code]["state_reason"])
        }
        flush = now.mono - self._flushed >= FLUSH_SECONDS
        if changed or flush:
            self._flushed, signs = now.mono, self._core.presence.take_dirty()
            try:
                with self._core.store.write(durable=False) as tx:
                    standing = devices.standing(tx) if changed else {}
                    for code, verdict in changed.items():  # of those nobody registered or deleted meanwhile
                        if standing.get(code) == devices.standing_of(rows[code]):
                            self._write(tx, rows[code], verdict, now)
                    self._flush(tx, rows, signs, now)
                    self._mass_alarm(tx, mass, now)
            except BaseException:
                self._core.presence.give_back(signs)
                raise
        return now.mono + (JUDGE_SECONDS if facts else FLUSH_SECONDS)

    def _excuse(self, facts: dict[str, liveness.Facts], is_ours: bool, now: Moment) -> None:
        """Until when silence was put down to our own line, for those that are silent still."""
        silent = {code for code, one in facts.items() if one.failures > 0}
        self._excused = {code: at for code, at in self._excused.items() if code in silent}
        if is_ours:
            self._excused |= dict.fromkeys(silent, now.mono)

    def _facts(self, row: dict[str, Any]) -> liveness.Facts:
        sign: Sign = self._core.presence.of(row["code"])
        return liveness.Facts(
            state=row["state"],
            registered=bool(row["registered"]) or Family(row["family"]) in ENTERED,
            callable=bool(row["ip"]),
            heard=sign.heard,
            answered=sign.answered,
            failures=sign.failures,
            failing_since=sign.failing_since,
            failure=sign.failure,
            ever_heard=bool(row["ever_heard"]),
            ever_answered=bool(row["ever_answered"]),
            left_at=self._left.get(row["code"]),
            excused_at=self._excused.get(row["code"]),
        )

    def _write(self, tx: Tx, row: dict[str, Any], verdict: liveness.Verdict, now: Moment) -> None:
        code = row["code"]
        values: dict[str, Any] = {"state": verdict.state, "state_reason": verdict.reason}
        if verdict.state != row["state"]:
            values["state_since_ms"] = now.wall_ms
            log.info("computility is %s: %s", verdict.state, verdict.reason or "fine", extra={"device": code})
            if verdict.state in ("lost", "gone"):
                self._left[code] = now.mono
            if verdict.state == "lost":
                alarms.raise_alarm(tx, "computility_lost", code, verdict.reason, now.wall_ms)
            elif verdict.state in ("online", "gone"):
                alarms.end_alarm(tx, "computility_lost", code, now.wall_ms)
        devices.change(tx, code, **values)

    def _flush(self, tx: Tx, rows: dict[str, dict[str, Any]], signs: list[str], now: Moment) -> None:
        """Write last-heard times of those that gave a sign, in one batch."""
        for code in signs:
            sign = self._core.presence.of(code)
            values: dict[str, Any] = {}
            if sign.heard is not None:
                values |= {"heard_ms": now.wall_ms - int((now.mono - sign.heard) * 1000), "ever_heard": True}
            if sign.answered is not None:
                values |= {
                    "answered_ms": now.wall_ms - int((now.mono - sign.answered) * 1000),
                    "ever_answered": True,
                }
            if values and code in rows:
                devices.change(tx, code, **values)

    def _mass_alarm(self, tx: Tx, mass: str, now: Moment) -> None:
        if mass:
            alarms.raise_alarm(tx, "own_line", self._core.settings.site_code, mass, now.wall_ms)
        else:
            alarms.end_alarm(tx, "own_line", self._core.settings.site_code, now.wall_ms)


def _is_judged(row: dict[str, Any]) -> bool:
    """Not our own compute, and not one that an operator entered and that never came: that stays offline."""
    if row["family"] == Family.LOCAL.value:
        return False
    entered = Family(row["family"]) in ENTERED
    return bool(row["registered"]) or row["registered_ms"] is not None or entered
