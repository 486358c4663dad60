"""A facility in memory that does what a driver is told, and misbehaves when a test says so."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from acsmpd.drivers.driver import NONE_PUSHED, Pushed
from acsmpd.faults import Permanent, StepFault, Temporary
from acsmpd.model import (
    CreateTask,
    DeleteCopy,
    DeleteTask,
    Load,
    LookTask,
    Observed,
    Outcome,
    PauseTask,
    Peer,
    Push,
    PushProgram,
    ResumeTask,
    SeenPackage,
    SeenService,
    SeenTask,
    Step,
    Unload,
    UpdateTask,
)

Answer = StepFault | BaseException | Callable[[], None]


class Crash(BaseException):
    """The platform ends at this very point."""


class Box:
    """What one computility holds."""

    def __init__(self) -> None:
        self.packages: dict[str, SeenPackage] = {}
        self.services: dict[str, SeenService] = {}  # by load id; a CAD shows no ids
        self.tasks: dict[str, SeenTask] = {}
        self.infos: dict[str, dict[str, Any]] = {}


class Plant:
    """A Driver. `before` and `after` hold, by step, what happens instead of the next steps, or after them."""

    def __init__(self, *, with_ids: bool = False) -> None:
        self.boxes: defaultdict[str, Box] = defaultdict(Box)
        self.steps: list[tuple[str, Step]] = []
        self.looks: list[str] = []
        self.away: set[str] = set()
        self.hidden: set[str] = set()  # parts of a listing that cannot be read in full
        self.keeps: dict[str, StepFault] = {}  # why a computility deletes no task
        self.before: defaultdict[str, list[Answer]] = defaultdict(list)
        self.after: defaultdict[str, list[Answer]] = defaultdict(list)
        self.seeing: Callable[[], None] = lambda: None  # called between the reading and the answer
        self.tells_id = True
        self.takes_programs = True
        self.starts_as = "RUNNING"
        self._with_ids = with_ids
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()

    # --- what a test asks ------------------------------------------------------------------------------

    def told(self, code: str | None = None) -> list[str]:
        """The tags of the steps so far."""
        return [step.__struct_config__.tag for where, step in self.steps if code in (None, where)]  # type: ignore[misc]

    def last(self, tag: str) -> Any:
        return next(step for _, step in reversed(self.steps) if step.__struct_config__.tag == tag)

    def foreign_task(self, code: str, task_id: str, **more: Any) -> None:
        self.boxes[code].tasks[task_id] = SeenTask(task_id=task_id, status="RUNNING", **more)

    # --- a Driver ----------------------------------------------------------------------------------------

    def observe(
        self, peer: Peer, known: frozenset[str] = frozenset(), pushed: Pushed = NONE_PUSHED
    ) -> Observed:
        self.looks.append(peer.code)
        if peer.code in self.away:
            raise Temporary(f"cannot reach {peer.code}")
        with self._lock:
            box = self.boxes[peer.code]
            seen = Observed(
                info=({"DeviceID": peer.code},),
                packages=None if "packages" in self.hidden else tuple(box.packages.values()),
                services=None if "services" in self.hidden else tuple(box.services.values()),
                tasks=None if "tasks" in self.hidden else tuple(box.tasks.values()),
            )
        self.seeing()
        return seen

    def perform(self, peer: Peer, step: Step) -> Outcome:
        tag = str(step.__struct_config__.tag)
        self.steps.append((peer.code, step))
        if peer.code in self.away:
            raise Temporary(f"cannot reach {peer.code}")
        if tag == "delete_task" and peer.code in self.keeps:
            raise self.keeps[peer.code]
        self._script(self.before, tag)
        with self._lock:
            outcome = self._do(self.boxes[peer.code], step)
        self._script(self.after, tag)
        return outcome

    def _script(self, script: dict[str, list[Answer]], tag: str) -> None:
        if script[tag]:
            answer = script[tag].pop(0)
            if isinstance(answer, BaseException):
                raise answer
            answer()

    def _do(self, box: Box, step: Step) -> Outcome:
        match step:
            case Push():
                box.packages[step.package_id] = SeenPackage(package_id=step.package_id)
            case PushProgram():
                if self.takes_programs:
                    box.packages[step.package_id] = SeenPackage(package_id=step.package_id)
            case DeleteCopy():
                return Outcome(gone=box.packages.pop(step.package_id, None) is None)
            case Load():
                if step.package_id not in box.packages:
                    raise Permanent(f"no package {step.package_id} here")
                shown = step.load_id if self._with_ids else ""
                box.services[step.load_id] = SeenService(package_id=step.package_id, facility_id=shown)
                return Outcome(facility_id=shown)
            case Unload():
                box.services.pop(step.load_id, None)
            case CreateTask():
                return self._create(box, step)
            case LookTask():
                task = box.tasks.get(step.task_id)
                return Outcome(task=task, gone=task is None)
            case _:
                return self._act(box, step)
        return Outcome()

    def _create(self, box: Box, step: CreateTask) -> Outcome:
        task_id = str(next(self._numbers))
        rules = step.info["RulesParams"]
        task = SeenTask(
            task_id=task_id,
            status=self.starts_as,
            stream_url=step.info.get("StreamOptions", {}).get("VideoStreamOptions", {}).get("Url", ""),
            event_ids=tuple(rule["EventID"] for rule in rules),
            receive_urls=tuple(url for rule in rules for url in rule["ResultReceiveUrl"]),
        )
        box.tasks[task_id], box.infos[task_id] = task, step.info
        return Outcome(facility_id=task_id, task=task) if self.tells_id else Outcome()

    def _act(self, box: Box, step: UpdateTask | ResumeTask | PauseTask | DeleteTask) -> Outcome:
        if step.task_id not in box.tasks:
            return Outcome(gone=True)
        if isinstance(step, DeleteTask):
            del box.tasks[step.task_id]
            return Outcome(facility_id=step.task_id)
        if isinstance(step, UpdateTask):
            box.infos[step.task_id] = step.info
        else:
            self.show(box, step.task_id, "PAUSED" if isinstance(step, PauseTask) else "RUNNING")
        return Outcome(facility_id=step.task_id)

    @staticmethod
    def show(box: Box, task_id: str, status: str, error: str = "") -> None:
        """Have a task be in another state from now on."""
        box.tasks[task_id] = replace(box.tasks[task_id], status=status, error=error)
