"""Commands this box's own compute: unpacks packages, runs their engines, speaks the engine interface to them.

The engine interface is the CAD's task set without its prefix (conventions section 5). Nothing survives the
daemon: engines die with it, so what is remembered here may be in memory.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.drivers.driver import NONE_PUSHED, Pushed
from acsmpd.drivers.programs import Programs, engine_spec
from acsmpd.drivers.tasks import TaskRows
from acsmpd.faults import Permanent, StepFault, Temporary, Unknown
from acsmpd.model import (
    CreateTask,
    DeleteCopy,
    DeleteTask,
    Family,
    Load,
    LookTask,
    Observed,
    Outcome,
    PauseTask,
    Peer,
    Push,
    PushProgram,
    ResumeTask,
    Scale,
    SeenPackage,
    SeenService,
    SeenTask,
    Step,
    Unload,
    UpdateTask,
)
from acsmpd.runtime.ports import free_port
from acsmpd.runtime.runner import Runner
from acsmpd.runtime.values import ImageGone
from acsmpd.settings import Settings
from acsmpd.spec.tables import BY_ID
from acsmpd.wire.caller import Wire

log = logging.getLogger(__name__)

SILENT_LOOKS = 3
"""Looks in a row an engine that was well may leave unanswered before it is ended."""
LOOK_SECONDS_MAX = 5.0
"""The longest an engine is waited for at a look: a stuck one must not hold up the looks at the others."""
LIST_SECONDS = 10.0
"""The longest one engine may take to list its tasks."""
ID_LENGTH = 36
_MAY_PASS = (
    faults.NoSpace, faults.Internal, faults.NotSupported, faults.NotFound, faults.Conflict,
    faults.FacilityRefused, faults.NoAnswerInTime,
)  # fmt: skip
"""What keeps a program away today and not for ever: a full disk, a container engine or registry that is away."""


class Use(Struct, frozen=True):
    """What one running service uses of the box. cpu 1.0 = one core; pids: its whole tree, as the host counts."""

    load_id: str
    service_id: str
    package_id: str
    cpu: float
    rss_bytes: int
    pids: tuple[int, ...]
    xpu_index: tuple[int, ...] = ()
    xpu_type: str = ""


class _Engine:
    """One engine we started: where it listens and how it has answered; `before`: why its last run is over.

    `tasks`: as last listed, by the id they have outside. `unsure`: instances whose create had no clear outcome.
    """

    def __init__(self, step: Load, port: int, started: float, before: str = "") -> None:
        self.step, self.port, self.started, self.before = step, port, started, before
        self.well = False
        self.silent = 0
        self.error = ""
        self.tasks: dict[str, SeenTask] = {}
        self.unsure: set[str] = set()


class Local:
    """The driver of the one computility of family LOCAL. `describe` makes a DeviceInfo of the uses."""

    def __init__(
        self,
        wire: Wire,
        runtime: Runner,
        programs: Programs,
        settings: Settings,
        clock: Clock,
        describe: Callable[[Sequence[Use]], dict[str, Any]],
        logs: Path,
    ) -> None:
        self._wire, self._runtime, self._programs, self._clock = wire, runtime, programs, clock
        self._settings, self._describe, self._logs = settings.runtime, describe, logs
        self._look_seconds = min(LOOK_SECONDS_MAX, max(1.0, settings.runtime.health_interval_seconds))
        self._tasks = TaskRows(wire, "cad", clock, LIST_SECONDS)
        self._lock = threading.Lock()
        self._engines: dict[str, _Engine] = {}

    # --- looking -------------------------------------------------------------------------------------

    def observe(
        self, peer: Peer, known: frozenset[str] = frozenset(), _pushed: Pushed = NONE_PUSHED
    ) -> Observed:
        """Every package, engine and task of this box.

        Tasks of an engine that does not answer are shown as last known, so that it hides nothing of the
        others; only while one of them may or may not have been created there are tasks None.
        """
        with self._lock:
            engines = list(self._engines.values())
        services = tuple(self._look(engine) for engine in engines)
        listings = [self._list(engine, known) for engine in engines]
        whole = [task for listing in listings if listing is not None for task in listing]
        open_ = [engine.step.load_id for engine, one in zip(engines, listings, strict=True) if one is None]
        return Observed(
            info=(self._describe(self._uses(engines)),),
            packages=tuple(self._packages()),
            services=services,
            tasks=None if open_ else tuple(whole),
            faults=tuple(f"engine {load_id} cannot be asked for its tasks" for load_id in open_),
        )

    def _list(self, engine: _Engine, known: frozenset[str]) -> tuple[SeenTask, ...] | None:
        """The tasks of one engine. One that does not run, or has not answered since its start, has none."""
        load_id, unsure = engine.step.load_id, set(engine.unsure)
        if not engine.well or self._runtime.alive(load_id) is None:
            return ()
        try:
            if engine.silent:
                raise Temporary("it did not answer just now")
            found = self._tasks.listing(self._peer(engine), frozenset(_inner(one) for one in known))
        except StepFault as fault:
            log.warning("cannot list the tasks of engine %s: %s", load_id, fault.message)
            ours = [one for one in known if one.startswith(f"{load_id}.")]
            last = tuple(engine.tasks.get(one) or SeenTask(task_id=one, status="PENDING") for one in ours)
            return None if unsure else last
        shown = tuple(_outer(load_id, task) for task in found)
        engine.unsure -= unsure
        engine.tasks = {task.task_id: task for task in shown}
        return shown

    def _look(self, engine: _Engine) -> SeenService:
        """The state of one engine by the engine interface; ends one that is stuck."""
        step = engine.step
        if self._runtime.alive(step.load_id) is None:
            ended = self._runtime.exited(step.load_id)
            engine.error = engine.error or (
                f"the engine {ended.reason}" if ended else "the engine is not running"
            )
            return self._seen(step, "ERROR", engine.error)
        try:
            self._wire.call(
                BY_ID["cad.get_device_status"], self._peer(engine), timeout_seconds=self._look_seconds
            )
        except StepFault as fault:
            return self._unwell(engine, fault.message)
        engine.well, engine.silent, engine.error = True, 0, ""
        return self._running(step)

    def _unwell(self, engine: _Engine, reason: str) -> SeenService:
        engine.silent += 1
        age = self._clock.now().mono - engine.started
        if not engine.well and age < self._settings.start_timeout_seconds:
            return self._seen(engine.step, "INIT", engine.before)
        if engine.well and engine.silent < SILENT_LOOKS:
            return self._running(engine.step)
        text = "stopped answering" if engine.well else f"did not answer within {age:.0f} s of its start"
        engine.error = f"the engine {text}: {reason}"[:300]
        try:
            self._end(engine.step.load_id)
        except Temporary as fault:  # it hides nothing of the others; the next look tries again
            log.warning("%s", fault.message)
        return self._seen(engine.step, "ERROR", engine.error)

    def _running(self, step: Load) -> SeenService:
        """It works; what it was refused is told all the same."""
        refused = self._runtime.held_back(step.load_id)
        return self._seen(step, "RUNNING", f"the engine {refused}" if refused else "")

    def _seen(self, step: Load, status: str, error: str) -> SeenService:
        return SeenService(
            package_id=step.package_id, facility_id=step.load_id, status=status, error=error,
            xpu_type=step.xpu_type,
        )  # fmt: skip

    def _packages(self) -> list[SeenPackage]:
        return [
            SeenPackage(
                package_id=package_id,
                name=manifest.name,
                version=manifest.version,
                kind=manifest.kind,
                progress=1.0,
            )
            for package_id, manifest in self._programs.all()
        ]

    def _uses(self, engines: Sequence[_Engine]) -> list[Use]:
        found = []
        for engine in engines:
            step = engine.step
            try:
                used = self._runtime.usage(step.load_id)
            except faults.NotFound:
                continue
            found.append(
                Use(
                    step.load_id, step.service_id, step.package_id, used.cpu, used.rss_bytes, used.pids,
                    step.xpu_index, step.xpu_type,
                )
            )  # fmt: skip
        return found

    def listeners(self) -> list[tuple[str, int]]:
        """Where our engines listen; for diagnosis."""
        with self._lock:
            return [("127.0.0.1", engine.port) for engine in self._engines.values()]

    # --- doing -----------------------------------------------------------------------------------------

    def perform(self, peer: Peer, step: Step) -> Outcome:
        try:
            return self._perform(step)
        except OSError as error:
            doing = type(step).__name__.lower()
            raise Temporary(f"cannot carry out the step {doing} on this box: {error}") from error

    def _perform(self, step: Step) -> Outcome:
        match step:
            case Push():
                return self._push(step)
            case PushProgram() | Scale():
                raise Permanent("this box takes packages as a whole, and has a load for each replica")
            case DeleteCopy():
                return self._delete_copy(step)
            case Load():
                return self._load(step)
            case Unload():
                return self._unload(step)
            case CreateTask():
                return self._create(step)
            case UpdateTask():
                inner = msgspec.structs.replace(
                    step, task_id=_inner(step.task_id), info={**step.info, "ID": _inner(step.task_id)}
                )
                return self._on_engine(step.load_id, lambda engine: self._tasks.update(engine, inner))
            case ResumeTask() | PauseTask() | DeleteTask():
                bare = msgspec.structs.replace(step, task_id=_inner(step.task_id))
                return self._on_engine(step.load_id, lambda engine: self._tasks.act(engine, bare))
            case LookTask():
                task_id = _inner(step.task_id)
                return self._on_engine(step.load_id, lambda engine: self._tasks.look(engine, task_id))

    def _push(self, step: Push) -> Outcome:
        try:
            self._programs.add(step.package_id, Path(step.path), step.md5)
        except _MAY_PASS as fault:
            raise Temporary(fault.message) from fault
        except faults.Fault as fault:
            raise Permanent(fault.message) from fault
        return Outcome(progress=1.0)

    def _delete_copy(self, step: DeleteCopy) -> Outcome:
        try:
            self._programs.remove(step.package_id)
        except faults.Fault as fault:
            raise Temporary(fault.message) from fault
        return Outcome()

    def _load(self, step: Load) -> Outcome:
        """Start the engine of a load; one that runs already is left alone.

        It is entered before it starts: its port is taken from then on, and a start whose outcome stays open
        is settled by the next look.
        """
        with self._lock:
            entered = step.load_id in self._engines
        if self._runtime.alive(step.load_id) is not None:
            if entered:
                return Outcome(facility_id=step.load_id)
            self._end(step.load_id)
        found = self._programs.get(step.package_id)
        if found is None:
            raise Temporary(f"the program of package {step.package_id} is not unpacked here")
        try:
            port = self._enter(step)
            self._runtime.start(engine_spec(step, found, port, self._settings, self._logs))
        except faults.NoAnswerInTime as fault:
            raise Unknown(fault.message) from fault
        except faults.Fault as fault:
            self._leave(step.load_id)
            if isinstance(fault, ImageGone):
                self._programs.gone(step.package_id)
            hopeless = isinstance(fault, (faults.NotAllowed, faults.InvalidField))
            raise (Permanent if hopeless else Temporary)(fault.message) from fault
        return Outcome(facility_id=step.load_id)

    def _enter(self, step: Load) -> int:
        """A port of its own for the load, not the one of its last run: that may not be free for a minute."""
        with self._lock:
            taken = {engine.port for engine in self._engines.values()}
            port = free_port((self._settings.port_from, self._settings.port_to), taken)
            last = self._engines.get(step.load_id)
            self._engines[step.load_id] = _Engine(
                step, port, self._clock.now().mono, last.error if last else ""
            )
        return port

    def _leave(self, load_id: str) -> None:
        with self._lock:
            self._engines.pop(load_id, None)

    def _unload(self, step: Unload) -> Outcome:
        """Nothing of the load is left here, whether its engine ever ran or not."""
        self._end(step.load_id)
        self._leave(step.load_id)
        self._runtime.forget(step.load_id)
        self._programs.tidy()
        for path in self._logs.glob(f"{step.load_id}.log*"):
            path.unlink(missing_ok=True)
        return Outcome()

    def _end(self, load_id: str) -> None:
        try:
            self._runtime.stop(load_id)
        except faults.Fault as fault:
            raise Temporary(fault.message) from fault

    def _create(self, step: CreateTask) -> Outcome:
        try:
            outcome = self._on_engine(
                step.load_id, lambda engine: self._tasks.create(engine, step, service_id=None)
            )
        except Unknown:
            with self._lock:
                engine = self._engines.get(step.load_id or "")
            if engine is not None:
                engine.unsure.add(str(step.info.get("ID") or ""))
            raise
        if not outcome.facility_id or step.load_id is None:
            return outcome
        task = _outer(step.load_id, outcome.task) if outcome.task else None
        return Outcome(facility_id=f"{step.load_id}.{outcome.facility_id}", task=task)

    def _on_engine(self, load_id: str | None, act: Callable[[Peer], Outcome]) -> Outcome:
        """Do it on the load's engine; tasks of an engine that does not run are gone with it."""
        with self._lock:
            engine = self._engines.get(load_id or "")
        if engine is None or self._runtime.alive(engine.step.load_id) is None:
            return Outcome(gone=True)
        return act(self._peer(engine))

    def _peer(self, engine: _Engine) -> Peer:
        return Peer(
            code=f"engine {engine.step.load_id}",
            family=Family.EDGE,
            url=f"http://127.0.0.1:{engine.port}",
            prefix=self._settings.engine_base_path,
            auth="none",
            trusted=True,
        )


def _outer(load_id: str, task: SeenTask) -> SeenTask:
    """Engines may mint the same ids: outside, an engine's task carries its load in front."""
    return msgspec.structs.replace(task, task_id=f"{load_id}.{task.task_id}")


def _inner(task_id: str) -> str:
    return task_id[ID_LENGTH + 1 :] if task_id[ID_LENGTH : ID_LENGTH + 1] == "." else task_id
