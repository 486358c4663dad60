"""Tasks on the pods of a computing platform: each pod is an engine that speaks the engine interface (conventions
section 5, setting ccp.engine_interface = ours). Outside, a task is known as `id@pod`, since engines may mint the same
ids.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from acsmpd.clock import Clock
from acsmpd.decide.clusters import Pod
from acsmpd.drivers.tasks import TaskRows
from acsmpd.drivers.workloads import Workloads
from acsmpd.faults import StepFault, Temporary, Unknown
from acsmpd.model import (
    CreateTask,
    Family,
    LookTask,
    Outcome,
    Peer,
    SeenTask,
    UpdateTask,
)
from acsmpd.wire.answer import Missing
from acsmpd.wire.caller import Wire

log = logging.getLogger(__name__)

LIST_SECONDS = 10.0
"""The longest one engine may take to list its tasks."""
LOOK_SECONDS = 60.0
"""The longest the engines of one platform are asked one after the other; of the others the last look stands."""


class _Engine:
    """One pod and what it showed. `coming`: tasks being created there; `unsure`: instances whose create had no clear
    outcome."""

    def __init__(self, service: str, pod: Pod) -> None:
        self.service, self.pod = service, pod
        self.tasks: dict[str, SeenTask] = {}
        self.unsure: set[str] = set()
        self.coming = 0

    @property
    def streams(self) -> int:
        return len(self.tasks) + self.coming


class PodEngines:
    """What is remembered is lost with the daemon, and found again by the first look."""

    def __init__(self, wire: Wire, clock: Clock, base_path: str) -> None:
        self._tasks = TaskRows(wire, "cad", clock, LIST_SECONDS)
        self._clock, self._base_path = clock, base_path
        self._lock = threading.Lock()
        self._of: dict[str, dict[str, _Engine]] = {}

    # --- looking -----------------------------------------------------------------------------------

    def observe(
        self, peer: Peer, pods: Sequence[tuple[str, Pod]], known: frozenset[str], faults: list[str]
    ) -> tuple[SeenTask, ...] | None:
        """The tasks of these pods, each with what its workload is called. Of an engine that does not answer the last
        look stands, so that it hides nothing of the others; None while one of those may have been given a task."""
        engines = self._see(peer, pods)
        until = self._clock.now().mono + LOOK_SECONDS
        found: list[SeenTask] = []
        is_open = False
        for engine in engines:
            try:
                if self._clock.now().mono > until:
                    raise Temporary(f"the engines of {peer.code} did not answer within {LOOK_SECONDS:g} s")
                found.extend(self._list(peer, engine, known))
            except StepFault as fault:
                faults.append(f"pod {engine.pod.name} cannot be asked for its tasks: {fault.message}")
                is_open = is_open or bool(engine.unsure)
                found.extend(_last(engine, known))
        return None if is_open else tuple(found)

    def _see(self, peer: Peer, pods: Sequence[tuple[str, Pod]]) -> list[_Engine]:
        with self._lock:
            before, now = self._of.get(peer.code, {}), dict[str, _Engine]()
            for service, pod in pods:
                engine = now[pod.name] = before.get(pod.name) or _Engine(service, pod)
                engine.service, engine.pod = service, pod
            self._of[peer.code] = now
        return list(now.values())

    def _list(self, peer: Peer, engine: _Engine, known: frozenset[str]) -> tuple[SeenTask, ...]:
        """One that is not ready cannot be asked; what has failed has no tasks any more."""
        if not engine.pod.serves:
            if engine.pod.is_troubled:
                return ()
            raise Temporary("it is not ready")
        unsure = set(engine.unsure)
        ours = frozenset(_inner(one) for one in known if _pod_of(one) == engine.pod.name)
        found = self._tasks.listing(self._peer(peer, engine.pod), ours)
        shown = tuple(_outer(engine, task) for task in found)
        engine.unsure -= unsure
        engine.tasks = {task.task_id: task for task in shown}
        return shown

    # --- doing -------------------------------------------------------------------------------------

    def perform(self, peer: Peer, step: Any, workloads: Workloads) -> Outcome:
        """A task step; a task is gone with its pod. Where the pod is is asked first: its address may be another's by
        now."""
        if isinstance(step, CreateTask):
            return self._create(peer, step, workloads)
        with self._lock:
            seen = self._of.get(peer.code)
            engine = (seen or {}).get(_pod_of(step.task_id))
        if seen is None:
            raise Temporary(f"the pods of {peer.code} have not been looked at yet")
        if engine is None:
            return Outcome(gone=True)
        try:
            engine.pod = workloads.pod(peer, engine.service, engine.pod.name)
        except Missing:
            return Outcome(gone=True)
        except StepFault as fault:
            log.info("pod %s is called where it was last seen: %s", engine.pod.name, fault.message)
        on, inner = self._peer(peer, engine.pod), _inner(step.task_id)
        if isinstance(step, LookTask):
            return self._tasks.look(on, inner)
        if isinstance(step, UpdateTask):
            return self._tasks.update(on, replace(step, task_id=inner, info={**step.info, "ID": inner}))
        return self._tasks.act(on, replace(step, task_id=inner))

    def _create(self, peer: Peer, step: CreateTask, workloads: Workloads) -> Outcome:
        """On the pod of the workload that has the fewest, of those that are ready at this moment."""
        service = step.facility_service_id or ""
        try:
            ready = [pod for pod in workloads.pods(peer, service) if pod.serves]
        except Missing as fault:
            raise Temporary(fault.message) from fault
        if not ready:
            raise Temporary(f"no pod of {service} on {peer.code} is ready")
        engine = self._least_used(peer, service, ready)
        try:
            outcome = self._tasks.create(self._peer(peer, engine.pod), step, service_id=None)
        except Unknown:
            engine.unsure.add(str(step.info.get("ID") or ""))
            raise
        finally:
            with self._lock:
                engine.coming -= 1
        if not outcome.facility_id:
            return outcome
        task = outcome.task or SeenTask(task_id=outcome.facility_id, status="PENDING")
        shown = _outer(engine, task)
        engine.tasks[shown.task_id] = shown
        return Outcome(facility_id=shown.task_id, task=outcome.task and shown)

    def _least_used(self, peer: Peer, service: str, ready: Sequence[Pod]) -> _Engine:
        with self._lock:
            held = self._of.setdefault(peer.code, {})
            for pod in ready:
                engine = held.setdefault(pod.name, _Engine(service, pod))
                engine.pod = pod
            least = min((held[pod.name] for pod in ready), key=lambda one: (one.streams, one.pod.name))
            least.coming += 1
            return least

    def _peer(self, peer: Peer, pod: Pod) -> Peer:
        """The address is what the platform says: the egress policy judges it like any other."""
        if pod.address is None:
            raise Temporary(f"pod {pod.name} of {peer.code} has no address")
        host, port = pod.address
        return Peer(
            code=f"pod {pod.name}",
            family=Family.EDGE,
            url=f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}",
            prefix=self._base_path,
            auth="none",
            via=peer.via,
        )


def _last(engine: _Engine, known: frozenset[str]) -> list[SeenTask]:
    ours = [one for one in known if _pod_of(one) == engine.pod.name]
    return [engine.tasks.get(one) or SeenTask(task_id=one, status="PENDING") for one in ours]


def _outer(engine: _Engine, task: SeenTask) -> SeenTask:
    return replace(task, task_id=f"{task.task_id}@{engine.pod.name}", service_id=engine.service)


def _inner(task_id: str) -> str:
    return task_id.rpartition("@")[0]


def _pod_of(task_id: str) -> str:
    return task_id.rpartition("@")[2]
