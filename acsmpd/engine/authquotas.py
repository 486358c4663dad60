"""The duty of asking authorisation servers for quotas: what somebody asked, and by itself what is loaded.

One question at a time for a server, whatever the others do. A server that says nothing is left alone for longer and
longer, and one that refuses a capability is asked for its others as usual; what somebody asks goes out at once.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from acsmpd import faults
from acsmpd.clock import Moment
from acsmpd.decide.backoff import delay_seconds
from acsmpd.decide.quotas import running_by
from acsmpd.drivers.authserver import AuthServers, Quota
from acsmpd.engine.core import Core
from acsmpd.engine.lanes import Lanes
from acsmpd.store import alarms, asks, authquotas, authservers
from acsmpd.store.authquotas import Known
from acsmpd.store.database import Tx
from acsmpd.store.quotas import authorised
from acsmpd.wire.exchange import Cancelled

log = logging.getLogger(__name__)

FAILING = "auth_server_failing"
"""The kind of alarm for a default server that does not answer as it should; its subject is the server's number."""
QUESTIONS, WORK_SECONDS = 50, 10.0
"""What one job does before the lane is free for another server."""
UNWRITTEN_SECONDS = 10.0
"""When a server is asked again if what it said cannot be written down (a bad disk)."""
ERROR_LENGTH = 800
_NEVER = float("inf")


@dataclass
class _Pause:
    """Until when (monotonic) nothing is asked by itself, and how often asking failed in a row."""

    until: float = float("-inf")
    failures: int = 0


@dataclass
class _Course:
    """How it goes with one server since this process began, or since it became another one."""

    identity: tuple[str, str]
    line: _Pause = field(default_factory=_Pause)
    of: dict[str, _Pause] = field(default_factory=dict)


class _Question(NamedTuple):
    """What a server is asked next; `ask_id` is "" when nobody but we wants to know."""

    capability: str
    ask_id: str


class _Agenda(NamedTuple):
    """Capabilities a server is asked for by itself: `due` now, the one tried longest ago first, the next `later`
    (monotonic). `gone`: those that failed and that no package of the provider has any more."""

    due: list[str]
    gone: set[str]
    later: float


class AuthQuotas:
    """Keeps what is known of quotas fresh, and answers stored questions."""

    def __init__(self, core: Core, lanes: Lanes, driver: AuthServers) -> None:
        self._core, self._lanes, self._driver = core, lanes, driver
        self._courses: dict[int, _Course] = {}
        self._unwritten = float("-inf")
        self._told: dict[str, str] | None = None  # alarms as they were written last

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            servers = authservers.rows(tx)
            asked = {row["arguments"]["Server"] for row in asks.waiting(tx, asks.QUOTA)}
            self._follow(servers)
            known = authquotas.known(tx) if servers else {}
            agendas = self._agendas(tx, servers, known, now)
        todo = sorted(asked | {number for number, agenda in agendas.items() if agenda.due})
        if now.mono >= self._unwritten:
            for number in todo:
                self._lanes.take(f"quota:{number}", f"server:{number}", partial(self._work, number))
        self._drop({(number, code) for number, agenda in agendas.items() for code in agenda.gone})
        self._tell(servers, known, now)
        if todo:
            return now.mono + 1.0
        later = min((agenda.later for agenda in agendas.values()), default=_NEVER)
        return None if later == _NEVER else later

    def _follow(self, servers: list[dict[str, Any]]) -> None:
        """One that has other addresses or another provider begins anew."""
        before, self._courses = self._courses, {}
        for row in servers:
            course = before.get(row["id"])
            is_same = course is not None and course.identity == _identity(row)
            self._courses[row["id"]] = course if course and is_same else _Course(_identity(row))

    def _agendas(
        self, tx: Tx, servers: list[dict[str, Any]], known: dict[tuple[int, str], Known], now: Moment
    ) -> dict[int, _Agenda]:
        """What each server is to be asked by itself: of a default server what is loaded, of any what failed."""
        wanted = authquotas.wanted(tx) if servers else {}
        found = {}
        for row in servers:
            mine = {code: one for (server, code), one in known.items() if server == row["id"]}
            codes = wanted.get(row["provider"], set()) if row["is_default"] else set()
            failed = {code for code, one in mine.items() if one.error} - codes
            there = authquotas.held(tx, row["provider"]) if failed else set()
            found[row["id"]] = self._agenda(row, codes | (failed & there), failed - there, mine, now)
        return found

    def _agenda(
        self, row: dict[str, Any], codes: set[str], gone: set[str], mine: dict[str, Known], now: Moment
    ) -> _Agenda:
        """One never asked waits for nothing but a server that says nothing."""
        course = self._course(row)
        moments = {
            code: max(course.line.until, course.of[code].until)
            if code in mine and code in course.of
            else course.line.until
            for code in codes
        }
        due = [code for code, moment in moments.items() if moment <= now.mono]
        tried = {code: one.tried_ms or 0 for code, one in mine.items()}
        due.sort(key=lambda code: (tried.get(code, 0), code))
        return _Agenda(due, gone, min(moments.values(), default=_NEVER))

    def _drop(self, gone: set[tuple[int, str]]) -> None:
        """What failed and nobody has any more."""
        if gone:
            with self._core.store.write(durable=False) as tx:
                for number, code in gone:
                    authquotas.drop(tx, number, code)

    # --- one server's job ---------------------------------------------------------------------------------

    def _work(self, number: int) -> None:
        begun = self._core.clock.now().mono
        for _ in range(QUESTIONS):
            if self._core.stopping.is_set() or self._core.clock.now().mono - begun > WORK_SECONDS:
                return
            try:
                if not self._step(number):
                    return
            except Cancelled:
                return  # the platform stops: what is open is asked at the next start
            except faults.Fault:
                self._unwritten = self._core.clock.now().mono + UNWRITTEN_SECONDS
                raise

    def _step(self, number: int) -> bool:
        """Ask the next question; False if there is none."""
        with self._core.store.read() as tx:
            row = authservers.get(tx, number)
            question = self._next(tx, row, number)
            counted = self._counted(tx, number, question.capability) if question else 0
        if question is None:
            return False
        if row is None:
            self._end(question, faults.NotFound(f"authorisation server {number} is gone"))
            return True
        limits = self._core.settings.licences
        try:
            quota = self._driver.quota(
                authservers.addresses(row["server"]), limits.quota_path, question.capability,
                timeout_seconds=limits.quota_timeout_seconds, cancelled=self._core.stopping.is_set,
            )  # fmt: skip
        except (faults.FacilityRefused, faults.NoAnswerInTime) as fault:
            self._failed(row, question, fault)
        else:
            self._answered(row, question, quota, counted)
        return True

    def _counted(self, tx: Tx, number: int, capability: str) -> int:
        """Streams of ours that the server may have counted by now."""
        return running_by(authorised(tx, self._core.clock.now().wall_ms), number, capability)

    def _next(self, tx: Tx, row: dict[str, Any] | None, number: int) -> _Question | None:
        """What somebody asked comes first."""
        for ask in asks.waiting(tx, asks.QUOTA):
            if ask["arguments"]["Server"] == number:
                return _Question(ask["arguments"]["Capability"], ask["id"])
        if row is None:
            return None
        agenda = self._agendas(tx, [row], authquotas.known(tx), self._core.clock.now())[number]
        return _Question(agenda.due[0], "") if agenda.due else None

    def _answered(self, row: dict[str, Any], question: _Question, quota: Quota, counted: int) -> None:
        now, code = self._core.clock.now(), question.capability
        with self._core.store.write(durable=False) as tx:
            if not _is_same(tx, row):
                return  # what is open is put to what it has become
            authquotas.note_answer(
                tx, row["id"], code, now.wall_ms, used=quota.used, total=quota.total, counted=counted,
                address=quota.address,
            )  # fmt: skip
            if question.ask_id:
                answer = {"QuotaUsed": quota.used, "QuotaTotal": quota.total}
                asks.change(tx, question.ask_id, now.wall_ms, state="done", answer=answer)
        course = self._course(row)
        again = course.of.get(code, _Pause()).failures + course.line.failures > 0
        course.line = _Pause()
        course.of[code] = _Pause(now.mono + self._core.settings.licences.quota_refresh_seconds)
        if again:
            log.info("%s answers again: %s", _named(row), code)
        self._core.wake()

    def _failed(self, row: dict[str, Any], question: _Question, fault: faults.Fault) -> None:
        """Whoever asked gets the cause. When the server said nothing it is left alone, else only the capability."""
        now, code = self._core.clock.now(), question.capability
        error = fault.message[:ERROR_LENGTH]
        with self._core.store.write(durable=False) as tx:
            if not _is_same(tx, row):
                return
            authquotas.note_failure(tx, row["id"], code, now.wall_ms, error)
            if question.ask_id:
                _fail(tx, question, type(fault)(f"{_named(row)}: {error}"), now.wall_ms)
        course = self._course(row)
        silent = isinstance(fault, faults.NoAnswerInTime)
        pause = course.line if silent else course.of.setdefault(code, _Pause())
        pause.failures += 1
        limits = self._core.settings.engine
        pause.until = now.mono + delay_seconds(
            pause.failures, first=limits.backoff_first_seconds, limit=limits.backoff_max_seconds,
            salt=f"quota:{row['id']}:{'' if silent else code}",
        )  # fmt: skip
        if pause.failures == 1:
            log.warning("%s fails for %s: %s", _named(row), code, error)
        self._core.wake()

    def _end(self, question: _Question, fault: faults.Fault) -> None:
        with self._core.store.write(durable=False) as tx:
            _fail(tx, question, fault, self._core.clock.now().wall_ms)

    def _course(self, row: dict[str, Any]) -> _Course:
        """That of the server as it was asked; if it has become another one meanwhile, one that is soon forgotten."""
        course = self._courses.get(row["id"])
        return course if course and course.identity == _identity(row) else _Course(_identity(row))

    # --- alarms -------------------------------------------------------------------------------------------

    def _tell(self, servers: list[dict[str, Any]], known: dict[tuple[int, str], Known], now: Moment) -> None:
        """An alarm for each default server that fails, and no other."""
        states = {row["id"]: authquotas.health(row["id"], known) for row in servers if row["is_default"]}
        failing = {
            str(row["id"]): f"{_named(row)}: {states[row['id']].error}"
            for row in servers
            if row["id"] in states and states[row["id"]].state == "failing"
        }
        if failing == self._told:
            return
        with self._core.store.write(durable=False) as tx:
            for subject in set(alarms.open_subjects(tx, FAILING)) - failing.keys():
                alarms.end_alarm(tx, FAILING, subject, now.wall_ms)
            for subject, text in failing.items():
                alarms.raise_alarm(tx, FAILING, subject, text, now.wall_ms)
        self._told = failing


def _fail(tx: Tx, question: _Question, fault: faults.Fault, now_ms: int) -> None:
    answer = {"Code": fault.code, "Message": fault.message}
    asks.change(tx, question.ask_id, now_ms, state="failed", answer=answer)


def _identity(row: dict[str, Any]) -> tuple[str, str]:
    return row["server"], row["provider"]


def _is_same(tx: Tx, row: dict[str, Any]) -> bool:
    """Whether the server is still the one that was asked."""
    there = authservers.get(tx, row["id"])
    return there is not None and _identity(there) == _identity(row)


def _named(row: dict[str, Any]) -> str:
    return f"authorisation server {row['id']} of provider {row['provider']!r}"
