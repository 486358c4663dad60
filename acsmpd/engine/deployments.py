"""The duty that makes wishes true: one rung per subject and pass, intent first, outcome recorded.

Copies (package files), loads (services) and tasks are three kinds of subject with one way through.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from acsmpd.clock import Moment
from acsmpd.decide import steps
from acsmpd.decide.backoff import delay_seconds
from acsmpd.engine import stepwork
from acsmpd.engine.core import PROGRAM_SECONDS, Core, Retries
from acsmpd.engine.lanes import Job, Lanes
from acsmpd.engine.outcomes import Recorder
from acsmpd.engine.restarts import Restarts
from acsmpd.engine.stepwork import Item
from acsmpd.faults import Fault, Permanent, StepFault, Temporary, Unknown
from acsmpd.model import CopyRow, DeleteCopy, DeleteTask, Device, Load, Outcome, Step, Unload
from acsmpd.store import alarms, devices, ledger, packages, plans, services
from acsmpd.store.alarms import STEP_REFUSED
from acsmpd.store.database import Tx
from acsmpd.store.tables import Copy
from acsmpd.store.tables import Load as LoadTable

KINDS = ("copy", "load", "task")
AGAIN_SECONDS = 5.0
"""What is unsettled is planned again so often though nothing was written: a rung may wait for time alone."""

AHEAD = 1_000
"""Steps that are planned for a device in one pass. A pass with thousands to do and the rest after it take two seconds,
in which two lanes do some hundreds."""

SENT_AWAY = 10_000
"""Things sent away that are remembered."""

MOVING_SECONDS = 60.0
"""A file of which the device took a block so short a time ago is on its way."""

INTERRUPTED = "the platform stopped while it was under way"


@dataclass
class Work:
    """What a pass found to do."""

    settled: bool = True
    planned: list[Item] = field(default_factory=list)
    forgotten: list[Item] = field(default_factory=list)


class Ended(NamedTuple):
    """A step that was performed, and what of its row becomes true by that."""

    intent: int
    item: Item
    result: Outcome | StepFault
    then: dict[str, Any]


class Deployments:
    """Plans the next rung for everything unsettled and hands it to a lane."""

    def __init__(self, core: Core, lanes: Lanes, recorder: Recorder, retries: Retries) -> None:
        self._core, self._lanes, self._recorder, self._retries = core, lanes, recorder, retries
        self._restarts = Restarts()
        self._unwritten: deque[Ended] = deque()

    def recover(self, now: Moment) -> None:
        """At start: what was under way has an unknown outcome; looking comes before repeating."""
        with self._core.store.write() as tx:
            for intent in ledger.open_intents(tx):
                ledger.close(tx, intent["id"], "unknown", INTERRUPTED, now.wall_ms)
                if intent["kind"] == "copy":
                    services.change_copy(tx, int(intent["subject"]), error=INTERRUPTED)
            services.local_engines_ended(tx, self._core.local_code, now.wall_ms)

    def ensure(self, now: Moment) -> float | None:
        self._catch_up()
        with self._core.store.read() as tx:
            known = devices.all_devices(tx)
            self._restarts.see(set(plans.failed_tasks(tx)), now.mono)
            work = self._work(tx, known, now)
        if work.forgotten:
            self._forget(work.forgotten, now)
        self._retries.prune(now.mono)
        self._lanes.plan(Job(item.key, item.device, partial(self._perform, item)) for item in work.planned)
        if work.settled and not self._restarts.any_failing:
            return None
        return min(self._retries.next_due() or float("inf"), now.mono + AGAIN_SECONDS)

    def _work(self, tx: Tx, known: dict[str, Device], now: Moment) -> Work:
        """Looks at everything unsettled and keeps what can begin before the next pass: ten thousand may wait."""
        work, turns = Work(), Counter[str]()
        moving = self._fetching(tx, now)
        room = self._core.settings.push.parallel - len(moving)
        for item in (item for kind in KINDS for item in self._items(tx, kind, known, now)):
            work.settled = False
            if item.rung.step == "forget":
                work.forgotten.append(item)
            elif item.rung.step and turns[item.device] < AHEAD and self._retries.due(item.try_key, now.mono):
                if self._fetches(item) and int(item.subject) not in moving:
                    if room <= 0:
                        continue
                    room -= 1
                turns[item.device] += not self._lanes.busy(item.key)  # one under way takes nobody's turn
                work.planned.append(item)
        return work

    def _fetching(self, tx: Tx, now: Moment) -> set[int]:
        """The copies whose files are on their way. A device that stands still gives its place to the next."""
        moving = self._core.transfers.moving(now.mono, MOVING_SECONDS)
        there = services.copies(tx, Copy.id.in_(moving), Copy.status == 1) if moving else []
        return {copy.id for copy in there}

    def _fetches(self, item: Item) -> bool:
        """Whether this step sets a device to fetch a file from us over the network."""
        return item.rung.step in ("push", "push_program") and item.device != self._core.local_code

    # --- which rungs -----------------------------------------------------------------------------

    def _items(
        self, tx: Tx, kind: str, known: dict[str, Device], now: Moment, subject: str | None = None
    ) -> Iterator[Item]:
        """Everything of a kind that is unsettled, or one subject of it."""
        if kind == "copy":
            return self._copies(tx, known, subject)
        return self._loads(tx, known, subject) if kind == "load" else self._tasks(tx, known, now, subject)

    def _as_it_is(self, tx: Tx, planned: Item, now: Moment) -> Item | None:
        """The item planned again; None when something happened to its subject since, and another rung is due."""
        device = devices.device(tx, planned.device)
        known = {device.code: device} if device else {}
        found = next(self._items(tx, planned.kind, known, now, planned.subject), None)
        return found if found and found.rung.step == planned.rung.step else None

    def _copies(self, tx: Tx, known: dict[str, Device], subject: str | None) -> Iterator[Item]:
        for row in services.unsettled_copies(tx, None if subject is None else int(subject)):
            copy = msgspec.convert(row, CopyRow)
            loads = services.loads(
                tx, LoadTable.package_id == copy.package_id, LoadTable.device == copy.device
            )
            in_use = any(load.wanted or load.sent for load in loads)
            old = copy.sent and row["platform_md5"] and row["platform_md5"] != copy.md5
            stale = bool(old and not any(load.sent for load in loads))
            rung = steps.next_for_copy(copy, known.get(copy.device), in_use=in_use, stale=stale)
            age = self._core.program_age(copy.id, self._core.clock.now().mono)
            if rung.step == "push_program" and age <= PROGRAM_SECONDS:
                rung = steps.Rung("", "it is fetching its executable")
            yield Item("copy", str(copy.id), copy.device, copy.attempts, rung)

    def _loads(self, tx: Tx, known: dict[str, Device], subject: str | None) -> Iterator[Item]:
        for load in services.unsettled_loads(tx, subject):
            row = services.copy(tx, load.package_id, load.device)
            copy = msgspec.convert(row, CopyRow) if row else None
            package = packages.get(tx, load.package_id)
            if (
                copy is not None
                and package is not None
                and copy.sent
                and copy.md5 != package["md5"]
                and not load.sent
            ):
                copy = replace(copy, sent=False)  # another file than the platform holds now: replaced first
            if copy is not None and self._lanes.busy(f"copy:{copy.id}"):
                copy = replace(copy, sent=False)  # marked when its push left, which is still on its way there
            rung = steps.next_for_load(
                load, copy, known.get(load.device),
                tasks=services.tasks_on(tx, load.id), leaving=services.is_leaving(tx, load),
                arriving=self._arriving(copy),
                replicas=services.replicas_of(tx, load),
            )  # fmt: skip
            if rung.step == "forget" and load.device == self._core.local_code:
                rung = steps.Rung("unload")  # a start that failed may have left folders behind on this box
            yield Item("load", load.id, load.device, load.attempts, rung)

    def _arriving(self, copy: CopyRow | None) -> float | None:
        """How much of the file the device has read (0 to 1), while it is reading."""
        transfer = self._core.transfers.of(copy.id) if copy and copy.status == 1 else None
        if (
            transfer is None
            or not transfer.pieces
            or self._core.clock.now().mono - transfer.at > MOVING_SECONDS
        ):
            return None
        return transfer.share

    def _tasks(self, tx: Tx, known: dict[str, Device], now: Moment, subject: str | None) -> Iterator[Item]:
        load_of = cache(partial(services.load, tx))
        leaving = plans.leaving(tx) if subject is None else {}
        rows = plans.unsettled_tasks(tx) if subject is None else plans.wished_task(tx, int(subject))
        for task, wanted in rows:
            if subject is not None:
                leaving = plans.leaving(tx, task.instance_id)
            revision = wanted if wanted is not None else task.revision
            failures, seconds = self._restarts.failing(task.id, now.mono)
            rung = steps.next_for_task(
                task, load_of(task.load_id or ""), known.get(task.device), revision=revision, failures=failures,
                failed_seconds=seconds, leaving=any(one.is_before(task) for one in leaving.get(task.instance_id, ())),
            )  # fmt: skip
            yield Item("task", str(task.id), task.device, task.attempts, rung)

    # --- doing them --------------------------------------------------------------------------------

    def _forget(self, items: list[Item], now: Moment) -> None:
        with self._core.store.write() as tx:
            for item in items:
                if not self._lanes.busy(item.key) and self._as_it_is(tx, item, now) is not None:
                    stepwork.forget(tx, item.kind, item.subject)
                    alarms.end_alarm(tx, STEP_REFUSED, item.key, now.wall_ms)

    def _perform(self, planned: Item) -> None:
        """In a lane: intent on disk, the call outside any transaction, the outcome on disk."""
        if any(ended.item.key == planned.key for ended in self._unwritten.copy()):
            return  # planned before its last step ended, of which the disk knows nothing yet
        now = self._core.clock.now()
        with self._core.store.write() as tx:
            item = self._as_it_is(tx, planned, now)
            if item is None or not self._retries.due(item.try_key, now.mono):
                return
            try:
                prepared = stepwork.prepare(self._core, tx, item)
            except StepFault as fault:
                stepwork.count_try(tx, item, now.wall_ms)
                self._record(tx, item, fault)
                return
            if prepared is None:
                self._pause(item, now)
                return
            intent = ledger.begin(
                tx, kind=item.kind, subject=item.subject, device=item.device,
                step=item.rung.step, attempt=item.attempts + 1, now_ms=now.wall_ms,
            )  # fmt: skip
            then = stepwork.mark_sent(tx, item, now.wall_ms)
        self._core.touched[item.key] = now.mono
        if item.rung.step == "resume_task":
            self._restarts.restarted(int(item.subject))
        if item.rung.step in ("push", "push_program"):
            self._core.transfers.pushed(int(item.subject), now.mono)
            self._core.touched.pop(f"program:{item.subject}", None)
        result = self._call(item, *prepared)
        ended = self._core.clock.now().mono
        if isinstance(result, Outcome) and item.rung.step == "push_program":
            self._core.touched[f"program:{item.subject}"] = ended
        if isinstance(result, (Outcome, Unknown)):
            self._note_leaving(item.device, prepared[1], ended, sure=isinstance(result, Outcome))
        self._core.touched.update({item.key: ended, f"device:{item.device}": ended})
        outcome = Ended(intent, item, result, then)
        try:
            self._close(outcome)
        except Fault:
            self._unwritten.append(outcome)
            raise

    def _close(self, ended: Ended) -> None:
        """The outcome on disk."""
        with self._core.store.write() as tx:
            text = "" if isinstance(ended.result, Outcome) else ended.result.message
            now_ms = self._core.clock.now().wall_ms
            ledger.close(tx, ended.intent, _outcome_name(ended.result), text, now_ms)
            self._record(tx, ended.item, ended.result, ended.then)

    def _catch_up(self) -> None:
        """Outcomes a bad disk did not take come before any new step: what was done is not done again.

        One that cannot be written on a good disk either stays open in the ledger: it must not stop all others.
        """
        while self._unwritten:
            ended, stays = self._unwritten[0], False
            try:
                self._close(ended)
            except Fault:
                stays = True
                raise
            finally:
                if not stays:
                    self._unwritten.popleft()

    def _note_leaving(self, device: str, step: Step, now: float, *, sure: bool) -> None:
        """A device may take its time to let go of what it was told to: it is not somebody else's for that."""
        away = self._core.sent_away
        match step:
            case Load() if step.facility_id:
                away[device, "service", step.facility_id] = now  # it went before the new one was asked for
            case _ if not sure:
                return
            case Unload():
                away[device, "service", step.facility_id or step.package_id] = now
            case DeleteCopy():
                away[device, "package", step.package_id] = now
            case DeleteTask():
                away[device, "task", step.task_id] = now
        while len(away) > SENT_AWAY:
            away.pop(next(iter(away)), None)

    def _call(self, item: Item, peer: Any, step: Step) -> Outcome | StepFault:
        driver = self._core.drivers.get(peer.family)
        if driver is None:
            return Permanent(f"no driver commands a computility of family {peer.family.value}")
        try:
            outcome = driver.perform(peer, step)
        except StepFault as fault:
            return fault
        now = self._core.clock.now()
        self._core.presence.answered(item.device, now.mono)
        return outcome

    def _record(
        self, tx: Tx, item: Item, result: Outcome | StepFault, then: dict[str, Any] | None = None
    ) -> None:
        now = self._core.clock.now()
        if self._recorder.record(tx, item, result, now, then or {}):
            self._retries.clear(item.try_key)
        else:
            self._pause(item, now)

    def _pause(self, item: Item, now: Moment) -> None:
        """The same step on the same subject comes no sooner again, even after a success that did not last."""
        engine = self._core.settings.engine
        pause = delay_seconds(
            item.attempts + 1,
            first=engine.backoff_first_seconds,
            limit=engine.backoff_max_seconds,
            salt=item.key,
        )
        self._retries.wait(item.try_key, now.mono + pause)


def _outcome_name(result: Outcome | StepFault) -> str:
    if isinstance(result, Outcome):
        return "done"
    if isinstance(result, Permanent):
        return "permanent"
    return "temporary" if isinstance(result, Temporary) else "unknown"
