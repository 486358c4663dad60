"""Commands a central computing platform over Part 4 chapter 6: a cluster, its engines, workloads and pods.

A workload is a service of replicas that the platform keeps running itself; we know it by `name@namespace`. What table
24 asks is never asked: by the same POST table 21 deletes (contract X-CCP-DELETE).
"""

from __future__ import annotations

import shlex
from typing import Any

import msgspec

from acsmpd.clock import Clock
from acsmpd.decide import clusters
from acsmpd.drivers.driver import NONE_PUSHED, Pushed
from acsmpd.drivers.listing import Budget
from acsmpd.drivers.pods import PodEngines
from acsmpd.drivers.workloads import Workload, Workloads, named
from acsmpd.faults import Permanent, StepFault, Temporary, Unknown
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
    Scale,
    SeenService,
    Step,
    Unload,
    UpdateTask,
)
from acsmpd.settings import Settings
from acsmpd.spec.messages import ccp
from acsmpd.spec.messages.services import EnvItem
from acsmpd.spec.tables import BY_ID
from acsmpd.wire.answer import Missing
from acsmpd.wire.caller import Wire

MAX_NODES = 1000
TOLD = 5
"""Faults of one look that are told one by one."""


class Ccp:
    """The driver of the family CCP."""

    def __init__(self, wire: Wire, settings: Settings, clock: Clock | None = None) -> None:
        self._wire, self._settings = wire, settings.ccp
        self._clock = clock or Clock()
        self._workloads = Workloads(wire, self._clock)
        self._engines = PodEngines(wire, self._clock, settings.runtime.engine_base_path)

    # --- looking -----------------------------------------------------------------------------------

    def observe(
        self, peer: Peer, known: frozenset[str] = frozenset(), _pushed: Pushed = NONE_PUSHED
    ) -> Observed:
        """Cluster, nodes, workloads with their pods; tasks where they are on the pods. No interface lists engines.

        Fails as a whole when the cluster cannot be asked.
        """
        faults: list[str] = []
        info = self._info(peer, faults)
        try:
            found = self._workloads.all(peer)
        except StepFault as fault:
            return Observed(info=info, faults=_told([*faults, fault.message]))
        services = tuple(_service(one) for one in found)
        tasks = None
        if self._settings.engine_interface == "ours":
            ours = [(one.key, pod) for one in found if one.load_id for pod in one.pods]
            tasks = self._engines.observe(peer, ours, known, faults)
        return Observed(info=info, services=services, tasks=tasks, faults=_told(faults))

    def _info(self, peer: Peer, faults: list[str]) -> tuple[dict[str, Any], ...]:
        """Each node that was entered, else the cluster as one."""
        if not peer.cluster:
            raise Temporary(f"cannot observe {peer.code}: its Cluster is not entered")
        whole = self._monitor(peer, "ccp.get_cluster_monitor", ClusterCode=peer.cluster)
        budget, nodes = Budget(f"what the nodes of {peer.code} say", self._clock), []
        for node in peer.nodes[:MAX_NODES]:
            try:
                seen = self._monitor(peer, "ccp.get_node_monitor", budget.timeout(), NodeID=node)
                nodes.append(clusters.info_of(peer.code, node, seen))
            except StepFault as fault:
                faults.append(fault.message)
        return tuple(nodes) or (clusters.info_of(peer.code, peer.cluster, whole),)

    def _monitor(self, peer: Peer, row: str, seconds: float | None = None, **path: str) -> dict[str, Any]:
        node = path.get("NodeID")
        message = ccp.NodeMonitorRequest(cluster_code=peer.cluster, node_id=node) if node else None
        try:
            seen = self._wire.call(BY_ID[row], peer, message, path=path, timeout_seconds=seconds)
        except (Permanent, Unknown) as fault:
            raise Temporary(fault.message) from fault
        if seen is None:
            what = f"node {node}" if node else f"cluster {peer.cluster}"
            raise Temporary(f"cannot observe {peer.code}: the answer on its {what} holds no Data")
        return dict(msgspec.to_builtins(seen))

    # --- doing -------------------------------------------------------------------------------------

    def perform(self, peer: Peer, step: Step) -> Outcome:
        match step:
            case Push():
                return self._push(peer, step)
            case PushProgram():
                raise Permanent(f"computility {peer.code} pulls images; it takes no executable")
            case DeleteCopy():
                return self._delete_engine(peer, step.package_id)
            case Load():
                return self._load(peer, step)
            case Unload():
                return self._unload(peer, step)
            case Scale():
                return self._scale(peer, step)
            case CreateTask() | UpdateTask() | ResumeTask() | PauseTask() | DeleteTask() | LookTask():
                return self._task(peer, step)

    def _push(self, peer: Peer, step: Push) -> Outcome:
        """Have the engine pulled. Code 0 is all a platform says of it. It is named by its package: once more does
        no harm."""
        if not step.image:
            raise Permanent(f"computility {peer.code} pulls images, and package {step.package_id} names none")
        message = ccp.EngineRequest(
            url=step.image,
            auth_address=step.auth_address,
            file_type="Engine",
            algo_file_package_id=step.package_id,
            license_file=step.license_url,
        )
        try:
            self._wire.call(BY_ID["ccp.push_engine"], peer, message)
        except Unknown as fault:
            raise Temporary(fault.message) from fault
        return Outcome(progress=1.0)

    def _delete_engine(self, peer: Peer, package_id: str) -> Outcome:
        try:
            self._wire.call(BY_ID["ccp.delete_engine"], peer, path={"AlgoFilePackageID": package_id})
        except Missing:
            return Outcome(gone=True)
        return Outcome()

    # --- workloads -----------------------------------------------------------------------------------

    def _load(self, peer: Peer, step: Load) -> Outcome:
        """A workload of its own for each load; the platform may call it otherwise, and says so in the answer."""
        if not step.image:
            raise Permanent(f"computility {peer.code} pulls images, and package {step.package_id} names none")
        data = self._wire.call(BY_ID["ccp.create_workload"], peer, self._request(peer, step))
        name = str(getattr(data, "workload_name", None) or "")
        space = str(getattr(data, "namespace", None) or peer.namespaces[0])
        return Outcome(facility_id=named(name, space) if name else "", replicas=step.replicas)

    def _request(self, peer: Peer, step: Load) -> ccp.WorkloadCreateRequest:
        name, space = clusters.workload_name(step.load_id), peer.namespaces[0]
        return ccp.WorkloadCreateRequest(
            name=name,
            labels={"app": name, clusters.LABEL: step.load_id},
            label_selector={"app": name},
            replicas=step.replicas,
            container_name=name,
            image=step.image,
            cpu=self._settings.cpu,
            xpu_type=step.xpu_type if step.xpu else "",
            xpu=step.xpu,
            memory=self._settings.memory_gib,
            command=shlex.join(step.command) or None,
            args=step.args or None,
            cluster_code=peer.cluster,
            namespace=space,
            name_space=space,
            env=[EnvItem(name=key, value=value) for key, value in step.env] or None,
        )

    def _scale(self, peer: Peer, step: Scale) -> Outcome:
        """The number is what is to be, not a change: what became of a lost answer does not matter."""
        try:
            self._workloads.scale(peer, step.facility_id, step.replicas)
        except Unknown as fault:
            raise Temporary(fault.message) from fault
        return Outcome(replicas=step.replicas)

    def _unload(self, peer: Peer, step: Unload) -> Outcome:
        if not step.facility_id:
            raise Temporary(f"cannot unload on {peer.code} yet: which workload it became is being looked for")
        self._workloads.delete(peer, step.facility_id, again=step.again)
        return Outcome()

    # --- tasks -----------------------------------------------------------------------------------------

    def _task(self, peer: Peer, step: Any) -> Outcome:
        refused = clusters.tasks_refused(peer.family, self._settings.engine_interface)
        if refused:
            raise Permanent(f"computility {peer.code}: {refused}")
        return self._engines.perform(peer, step, self._workloads)


def _told(faults: list[str]) -> tuple[str, ...]:
    more = (f"and {len(faults) - TOLD} more",) if len(faults) > TOLD else ()
    return (*faults[:TOLD], *more)


def _service(seen: Workload) -> SeenService:
    status, why = clusters.state_of(seen.pods, seen.replicas)
    image = next((pod.image for pod in seen.pods if pod.image), "")
    return SeenService(
        package_id=clusters.shown_as(image, seen.name),
        facility_id=seen.key,
        status=status,
        error=why,
        load_id=seen.load_id,
        replicas=seen.replicas,
        ready=sum(pod.ready for pod in seen.pods),
    )
