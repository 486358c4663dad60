"""The duty of looking: every computility is observed on a period, or soon after something was done to it.

What is seen is compared with the ledger in one write; nothing is inferred from a listing that is not whole.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import Any

from acsmpd.clock import Moment
from acsmpd.decide import ownership
from acsmpd.decide.pairing import Env, pair
from acsmpd.decide.placement import events_of
from acsmpd.decide.steps import LOOKS_BEFORE_REPEAT
from acsmpd.decide.streams import stream_url_of
from acsmpd.engine import peers, reflected
from acsmpd.engine.core import PROGRAM_SECONDS, Core
from acsmpd.engine.lanes import Job, Lanes
from acsmpd.engine.pacing import Pacing
from acsmpd.faults import StepFault
from acsmpd.model import (
    ENTERED,
    OWN_PACKAGE_IDS,
    PULLS_IMAGES,
    CopyRow,
    Family,
    LoadRow,
    Observed,
    Peer,
    SeenPackage,
    SeenService,
    SeenTask,
    TaskRow,
)
from acsmpd.store import alarms, devices, foreign, plans, services
from acsmpd.store.alarms import STEP_REFUSED
from acsmpd.store.database import Tx
from acsmpd.store.tables import Copy, Load, Task

log = logging.getLogger(__name__)

STEADY_SECONDS = 60.0
"""A service that has run this long has its count of tries set back."""

STARTING_SECONDS = 60.0
"""How long a device that took a load may need until it shows it running."""

UNPACKING_SECONDS = 600.0
"""How long a device that fetched a package file may need until it lists it."""

PROGRAM_TRIES = 8
"""Deliveries of a package and of its executable, before a device that wants the executable still is given up."""

GOING_SECONDS = 60.0
"""How long a device may go on showing what it was told to unload or delete."""

LOCAL_SOON_SECONDS = 1.0
SOON_SHARE = 5
"""While something is starting there: this box is looked at so often, others at a share of the interval."""


class Observations:
    """Keeps every computility looked at; `poke` brings one forward."""

    def __init__(self, core: Core, lanes: Lanes, steps: Lanes) -> None:
        self._core, self._lanes, self._steps = core, lanes, steps
        self._looked: dict[str, float] = {}
        self._pacing = Pacing(core)
        self._lock = threading.Lock()

    def poke(self, code: str) -> None:
        """Look at this one on the next pass."""
        with self._lock:
            self._looked.pop(code, None)
        self._core.wake()

    def ensure(self, now: Moment) -> float:
        with self._core.store.read() as tx:
            rows = [row for row in devices.all_rows(tx) if row["enabled"] and row["approved"]]
            starting = services.starting_on(tx) | plans.starting_on(tx)
            engines = services.number_on(tx, self._core.local_code)
        due = now.mono + self._core.settings.observe.interval_seconds
        turns: list[tuple[bool, bool, float, Job]] = []
        for row in rows:
            local = row["family"] == Family.LOCAL.value
            entered = Family(row["family"]) in ENTERED
            if local or (row["ip"] and (row["registered"] or entered)):
                soon = row["code"] in starting
                period = self._period(local and (soon or engines > 0), soon)
                next_look = self._next_look(row["code"], period)
                if next_look <= now.mono:
                    job = Job(f"observe:{row['code']}", row["code"], partial(self._look, row["code"], period))
                    failing = self._core.presence.of(row["code"]).failures > 0
                    turns.append((not (local or soon), failing, next_look, job))
                due = min(due, max(next_look, now.mono))
        self._pacing.count(len(rows))
        # The longest overdue first: with more devices than lanes the first of a list would take all the turns. Those
        # that did not answer come last: each may keep a lane for as long as a call may take.
        self._lanes.plan(job for *_, job in sorted(turns, key=lambda turn: turn[:3]))
        return due

    def _period(self, engines: bool, starting: bool) -> float:
        """Seconds between two looks at one computility. `engines`: it is this box, and some run here."""
        if engines:
            health = self._core.settings.runtime.health_interval_seconds
            return min(LOCAL_SOON_SECONDS, health) if starting else health
        interval = self._core.settings.observe.interval_seconds
        return interval / SOON_SHARE if starting else interval

    def _next_look(self, code: str, period: float) -> float:
        with self._lock:
            return self._looked.get(code, float("-inf")) + period

    def _look(self, code: str, period: float) -> None:
        """A turn that has come; another look may have been had since it was planned."""
        now = self._core.clock.now().mono
        if self._next_look(code, period) > now:
            return
        with self._lock:
            usual = code in self._looked and period >= self._core.settings.observe.interval_seconds
            self._looked[code] = now  # before it begins: a poke meanwhile asks for another look
        if code != self._core.local_code:
            self._pacing.step_aside()
        if usual:
            self._pacing.await_slot(now)
        self._observe(code)
        if not usual:
            self._core.wake()  # of what a usual look has changed the next tick hears

    def _observe(self, code: str) -> None:
        begun = self._core.clock.now()
        with self._core.store.read() as tx:
            peer = peers.peer_of(self._core, tx, code)
            ours = plans.tasks(tx, Task.device == code, Task.task_id != "", Task.instance_id != "")
            known = frozenset(task.task_id for task in ours)
            lists_own = peer is not None and peer.family in OWN_PACKAGE_IDS
            pushed = services.pushed_to(tx, code) if lists_own else {}
        driver = self._core.drivers.get(peer.family) if peer else None
        if peer is None or driver is None:
            return
        try:
            seen = driver.observe(peer, known, pushed)
        except StepFault as fault:
            self._core.presence.failed(code, self._core.clock.now().mono, fault.message)
            log.warning("cannot observe: %s", fault.message, extra={"device": code})
            return
        self._core.presence.answered(code, self._core.clock.now().mono, "; ".join(seen.faults))
        self._record(peer, seen, begun)

    def _record(self, peer: Peer, seen: Observed, begun: Moment) -> None:
        with self._core.store.write(durable=False) as tx:
            devices.change(tx, peer.code, info=list(seen.info), observed_ms=begun.wall_ms)
            self._packages(tx, peer, seen, begun)
            self._services(tx, peer, seen, begun)
            if seen.tasks is not None:
                self._tasks(tx, peer, seen.tasks, begun)

    def _touched(self, key: str, begun: Moment) -> bool:
        """Whether a step on the subject is under way or ended after this look began."""
        return self._steps.busy(key) or self._core.touched.get(key, float("-inf")) >= begun.mono

    # --- packages ----------------------------------------------------------------------------------

    def _packages(self, tx: Tx, peer: Peer, seen: Observed, begun: Moment) -> None:
        if seen.packages is None:
            if peer.family in PULLS_IMAGES:
                self._unlisted(tx, peer, begun)
            return
        shown = {package.package_id: package for package in seen.packages}
        ledger = services.copies(tx, Copy.device == peer.code)
        for copy in ledger:
            if copy.ours and copy.sent and not self._touched(f"copy:{copy.id}", begun):
                self._copy(tx, peer, copy, shown.get(copy.package_id), begun)
        if self._is_shared(tx, peer):
            reflected.packages(tx, self._reflection(peer, begun), ledger, seen.packages)

    def _unlisted(self, tx: Tx, peer: Peer, begun: Moment) -> None:
        """Of a delivery that nobody knows the end of no listing tells: it is named by its package, so that it does no
        harm twice."""
        open_ = (Copy.device == peer.code, Copy.ours == True, Copy.sent == True, Copy.status == 1)
        for copy in services.copies(tx, *open_):
            if not self._touched(f"copy:{copy.id}", begun):
                services.change_copy(tx, copy.id, sent=False)

    def _is_shared(self, tx: Tx, peer: Peer) -> bool:
        """Whether others may put packages and services there: not on this box, nor where there can be none."""
        device = devices.device(tx, peer.code)
        return device is not None and device.support_services and peer.family is not Family.LOCAL

    def _reflection(self, peer: Peer, begun: Moment) -> reflected.Look:
        def left(kind: str, name: str) -> bool:
            ended = self._core.sent_away.get((peer.code, kind, name), float("-inf"))
            return begun.mono - ended < GOING_SECONDS

        return reflected.Look(peer, begun, self._touched(f"device:{peer.code}", begun), left)

    def _copy(self, tx: Tx, peer: Peer, copy: CopyRow, package: SeenPackage | None, begun: Moment) -> None:
        if package is not None and package.status == 1:
            self._arriving(tx, peer, copy, package, begun)
        elif package is not None:
            if copy.status != package.status or copy.missing or copy.lacks_program:
                services.change_copy(
                    tx, copy.id, status=package.status, error=package.error, missing=0,
                    progress=1.0 if package.status == 3 else package.progress or 0.0, changed_ms=begun.wall_ms,
                    lacks_program=False, **({"attempts": 0, "parked": False} if package.status == 3 else {}),
                )  # fmt: skip
            if package.status == 3 and copy.parked:
                alarms.end_alarm(tx, STEP_REFUSED, f"copy:{copy.id}", begun.wall_ms)
        elif peer.family is Family.LOCAL and copy.status == 3:
            services.change_copy(tx, copy.id, sent=False, status=1)
        elif copy.wanted and copy.status == 1 and self._unfetched(copy, begun) > self._patience:
            self._give_up(tx, peer, copy, begun)
        elif copy.error or (copy.status == 3 and self._age(f"copy:{copy.id}", begun) > UNPACKING_SECONDS):
            services.change_copy(tx, copy.id, missing=copy.missing + 1)

    def _arriving(self, tx: Tx, peer: Peer, copy: CopyRow, package: SeenPackage, begun: Moment) -> None:
        """The device lists a file that is not whole yet: it fetches it, or waits for its executable."""
        stuck = copy.wanted and self._unfetched(copy, begun) > self._patience
        lacks = package.lacks_program
        if copy.parked and (stuck or copy.status == 1):
            return  # given up or refused: a new wish changes that, or the file, should it come after all
        tried = (
            copy.attempts >= PROGRAM_TRIES and self._core.program_age(copy.id, begun.mono) > PROGRAM_SECONDS
        )
        if tried if lacks else stuck:
            wants = f"accepted, but its executable is wanted still after {copy.attempts} deliveries"
            self._give_up(tx, peer, copy, begun, wants if lacks else "")
        elif copy.status != 1 or copy.missing or copy.lacks_program != lacks:
            services.change_copy(
                tx, copy.id, status=1, error="", missing=0, progress=0.0, changed_ms=begun.wall_ms,
                parked=False, lacks_program=lacks,
            )  # fmt: skip

    @property
    def _patience(self) -> float:
        return float(self._core.settings.packages.arrival_seconds)

    def _unfetched(self, copy: CopyRow, begun: Moment) -> float:
        """Seconds without a sign that the device takes the file: since its push, its last block, or our start."""
        transfer = self._core.transfers.of(copy.id)
        signs = (
            self._core.presence.started,
            self._core.touched.get(f"copy:{copy.id}", float("-inf")),
            transfer.at if transfer else float("-inf"),
        )
        return begun.mono - max(signs)

    def _give_up(self, tx: Tx, peer: Peer, copy: CopyRow, begun: Moment, text: str = "") -> None:
        """Accepted, but it never came (contract G4-CAD-03). Should it come after all, that counts."""
        text = text or f"accepted, but not fetched within {self._patience:g} s"
        services.change_copy(tx, copy.id, status=2, parked=True, error=text, changed_ms=begun.wall_ms)
        said = f"push on computility {peer.code}: package {copy.package_id} was {text}"
        alarms.raise_alarm(tx, STEP_REFUSED, f"copy:{copy.id}", said, begun.wall_ms)

    def _age(self, key: str, begun: Moment) -> float:
        """Seconds since the last step on the subject, as far as this process remembers."""
        return begun.mono - self._core.touched.get(key, float("-inf"))

    # --- services ------------------------------------------------------------------------------------

    def _services(self, tx: Tx, peer: Peer, seen: Observed, begun: Moment) -> None:
        if seen.services is None:
            return
        ledger, look = services.loads(tx, Load.device == peer.code), self._reflection(peer, begun)
        found, left = pair(
            ledger, seen.services, partial(_env, tx), lambda one: look.left("service", one.facility_id)
        )
        for load in ledger:
            if load.sent and not self._touched(f"load:{load.id}", begun):
                self._service(tx, load, found.get(load.id), begun)
        if self._is_shared(tx, peer):
            reflected.services(tx, look, ledger, left)

    def _service(self, tx: Tx, load: LoadRow, service: SeenService | None, begun: Moment) -> None:
        values: dict[str, Any] = {}
        if service is None:
            accepted = load.status == "INIT" and not load.error
            if load.wanted and accepted and self._age(f"load:{load.id}", begun) <= STARTING_SECONDS:
                return
            if not load.ours and load.missing + 1 >= LOOKS_BEFORE_REPEAT:
                foreign.retire(tx, load.id, begun.wall_ms)
                return
            values["missing"] = load.missing + 1
            if load.missing + 1 >= LOOKS_BEFORE_REPEAT and load.status == "RUNNING":
                values |= {"status": "ERROR", "error": "the device no longer shows it running"}
        else:
            if load.missing:
                values["missing"] = 0
            if service.facility_id and service.facility_id != load.facility_id:
                values["facility_id"] = service.facility_id
            if (service.replicas, service.ready) != (load.replicas, load.ready):
                values |= {"replicas": service.replicas, "ready": service.ready}
                if not load.ours and service.replicas is not None:
                    services.change_service(tx, load.service_id, replicas=service.replicas)
            kept = load.error if load.parked and load.status == service.status else ""
            error = service.error or kept
            if load.status != service.status or load.error != error:
                values |= {"status": service.status, "error": error}
            steady = self._age(f"load:{load.id}", begun) > STEADY_SECONDS
            if service.status == "RUNNING" and load.attempts and steady:
                values["attempts"] = 0
        if values:
            services.change_load(tx, load.id, changed_ms=begun.wall_ms, **values)

    # --- tasks ---------------------------------------------------------------------------------------

    def _tasks(self, tx: Tx, peer: Peer, seen: tuple[SeenTask, ...], begun: Moment) -> None:
        code = peer.code
        ledger = plans.tasks(tx, Task.device == code)
        wanted = {
            task.instance_id: _wanted(tx, task.instance_id)
            for task in ledger
            if task.sent and not task.task_id
        }
        matched = ownership.match(ledger, wanted, seen)
        for task in ledger:
            if task.sent and not self._touched(f"task:{task.id}", begun):
                self._task(tx, task, matched.found.get(task.id), begun)
        left = [one for one in matched.foreign if not self._is_double(tx, code, one, begun)]
        named = [
            matched.found[task.id] for task in ledger if not task.instance_id and task.id in matched.found
        ]
        reflected.tasks(tx, self._reflection(peer, begun), [*left, *named])

    def _is_double(self, tx: Tx, code: str, seen: SeenTask, begun: Moment) -> bool:
        """A task that reports to a link only we can have signed, yet no row holds it: a create that came through
        late, after it was repeated. Our ledger made it, so it is entered and sent away."""
        for url in seen.receive_urls:
            instance_id = peers.instance_of_link(self._core, url)
            if instance_id and plans.any_instance(tx, instance_id) is not None:
                if self._touched(f"device:{code}", begun):
                    return True  # it may have been deleted since: the next look will tell
                rows = plans.tasks(
                    tx, Task.instance_id == instance_id, Task.device == code, Task.sent == True
                )
                if any(not row.task_id or self._touched(f"task:{row.id}", begun) for row in rows):
                    return False
                now_ms = begun.wall_ms
                plans.add_task(
                    tx, instance_id=instance_id, device=code, wanted="gone", sent=True, task_id=seen.task_id,
                    status=seen.status, created_ms=now_ms, changed_ms=now_ms,
                )  # fmt: skip
                return True
        return False

    def _task(self, tx: Tx, task: TaskRow, seen: SeenTask | None, begun: Moment) -> None:
        values: dict[str, Any] = {}
        if seen is None:
            if task.task_id and task.status == "FINISHED" and task.wanted != "gone":
                return  # its work is done: a device may clear it away
            values = {"missing": task.missing + 1}
            if task.task_id and task.missing + 1 >= LOOKS_BEFORE_REPEAT:
                values = {"sent": False, "task_id": "", "missing": 0, "status": "PENDING",
                          "reason": "it was gone from the device"}  # fmt: skip
        elif seen.status == "FINISHED" and task.status == "PAUSED" and _is_on(tx, task.instance_id):
            return  # it was started again and has not begun yet: this is the end of before
        else:
            changed = (task.task_id, task.status, task.missing) != (seen.task_id, seen.status, 0)
            if changed or (seen.error and seen.error != task.reason):
                said = seen.error or (task.reason if task.parked else "")
                values = {"task_id": seen.task_id, "status": seen.status, "missing": 0, "reason": said}
        if values:
            plans.change_task(tx, task.id, changed_ms=begun.wall_ms, **values)


def _env(tx: Tx, load: LoadRow) -> Env:
    """What a service was given by its caller, which its facility shows again."""
    service = services.service(tx, load.service_id)
    return frozenset((one["Name"], one["Value"]) for one in (service["env"] if service else ()))


def _is_on(tx: Tx, instance_id: str) -> bool:
    instance = plans.any_instance(tx, instance_id)
    return instance is not None and bool(instance["on"]) and not instance["deleted"]


def _wanted(tx: Tx, instance_id: str) -> ownership.Wanted:
    instance = plans.any_instance(tx, instance_id)
    info = instance["info"] if instance else {}
    return ownership.Wanted(stream_url_of(info), frozenset(events_of(info)))
