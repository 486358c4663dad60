"""A central computing platform of the tests: a cluster of two nodes, an honest one until it is told to misbehave.

`with FakeCcp() as ccp:` is used as FakeCad is. It holds `engines` (what was pushed) and `workloads`, by their name; a
workload has pods, each with an engine of its own behind a real port if `engines_listen`. A pod is ready when it was
listed `ready_after` times, unless pods are held.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPMessage
from typing import Any

import msgspec

from acsmpd.spec.messages import ccp
from acsmpd.spec.operation import Face
from acsmpd.spec.reading import to_builtins
from acsmpd.spec.tables import OPERATIONS
from tests.support.fake_cad import FakeCad, _texts
from tests.support.fake_server import HOST, FakeFacility, Handler, Refusal
from tests.support.fake_switches import Habits
from tests.support.fake_tasks import FakeTask

CLUSTER, NODES = "cluster-1", ("13", "14")
CARD = "NVIDIA_T4"
TRIED = "ccp.delete_for_certain"
CREATED = "2026-11-23 00:00:00.000"


def _rows() -> list[Any]:
    """Rows of the standard; POST on a workload's name is one row here (what it does is a habit), DELETE another."""
    rows = [row for row in OPERATIONS if row.face is Face.CCP and row.id != "ccp.get_workload"]
    [delete] = [row for row in rows if row.id == "ccp.delete_workload"]
    rows.remove(delete)
    more = msgspec.structs.replace(delete, id=TRIED, method="DELETE", aliases=())
    return [*rows, msgspec.structs.replace(delete, aliases=()), more]


@dataclass
class FakePod:
    """One replica. `listed`: how often it was shown."""

    name: str
    node: str
    engine: FakeCad | None = None
    listed: int = 0
    status: str = "Running"
    said: str = ""
    restarts: int = 0
    ready: bool = False
    ip: str = HOST

    @property
    def port(self) -> int:
        return self.engine.port if self.engine else 8750


@dataclass
class FakeWorkload:
    """One workload. `asked` is what it was made with; None for somebody else's."""

    name: str
    namespace: str
    replicas: int
    image: str
    asked: ccp.WorkloadCreateRequest | None = None
    pods: list[FakePod] = field(default_factory=list)
    created: str = CREATED

    def listed(self) -> dict[str, Any]:
        return {
            "Namespace": self.namespace, "WorkloadName": self.name, "Replicas": self.replicas,
            "CreatedDate": self.created,
        }  # fmt: skip


class FakeCcp(FakeFacility, Habits):
    """See the module."""

    def __init__(
        self, code: str = "11010000005020000041", *, engines_listen: bool = False, host: str = HOST
    ) -> None:
        FakeFacility.__init__(self, _rows(), "ccp", "/CCP", host)
        Habits.__init__(self)
        self.code, self.engines_listen = code, engines_listen
        self.engines: dict[str, ccp.EngineRequest] = {}
        self.workloads: dict[str, FakeWorkload] = {}
        self.page_limit, self.ready_after = 1000, 1
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    # --- how it differs ---------------------------------------------------------------------------------

    def take_post_for_question(self, on: bool = True) -> None:
        """POST on a workload's name shows it (table 24) and deletes nothing; DELETE deletes."""
        self.turn("question", on)

    def name_itself(self, on: bool = True) -> None:
        """A workload gets a suffix to the name that was sent, as the example prints it."""
        self.turn("suffix", on)

    def name_by_lot(self, on: bool = True) -> None:
        """A workload gets a name that has nothing to do with the one that was sent."""
        self.turn("lot", on)

    def lists_change(self, on: bool = True) -> None:
        """TotalSize is another on every page."""
        self.turn("lists_change", on)

    def list_without_data(self, on: bool = True) -> None:
        self.turn("without_data", on)

    def list_incompletely(self, on: bool = True) -> None:
        """The last workload is in TotalSize and on no page."""
        self.turn("incomplete", on)

    def hold_pods(self, on: bool = True) -> None:
        """While on, no pod becomes ready."""
        self.turn("held", on)

    def keep_what_is_deleted(self, on: bool = True) -> None:
        """Deletion is accepted, and nothing goes."""
        self.turn("kept", on)

    def numbers_as_strings(self, on: bool = True) -> None:
        self.turn("texts", on)

    # --- what it holds ----------------------------------------------------------------------------------

    def add_foreign(
        self, name: str = "theirs", image: str = "registry:5000/theirs:1", replicas: int = 1
    ) -> FakeWorkload:
        with self._lock:
            one = self.workloads[name] = FakeWorkload(name, "default", replicas, image)
            self._fit(one)
        return one

    def copy_of(self, one: FakeWorkload, name: str) -> FakeWorkload:
        """As somebody makes it who copies the description of a workload, labels and all."""
        with self._lock:
            made = FakeWorkload(name, one.namespace, 1, one.image)
            made.asked = one.asked
            self.workloads = {name: made, **self.workloads}
            self._fit(made)
        return made

    @property
    def pods(self) -> list[FakePod]:
        with self._lock:
            return [pod for one in self.workloads.values() for pod in one.pods]

    def tasks(self) -> list[FakeTask]:
        """Of all engines."""
        return [task for pod in self.pods if pod.engine for task in pod.engine.tasks.values()]

    def fail_pod(self, pod: FakePod, status: str = "CrashLoopBackOff") -> None:
        pod.ready, pod.status, pod.said, pod.restarts = False, status, "exit code 3", pod.restarts + 1
        pod.listed = -10_000

    def heal_pod(self, pod: FakePod) -> None:
        pod.status, pod.said, pod.listed = "Running", "", 0

    def forget(self) -> None:
        """All workloads are gone, as if somebody else had deleted them."""
        with self._lock:
            self.ended()
            self.workloads.clear()

    def ended(self) -> None:
        for pod in self.pods:
            self._end(pod)

    # --- what the server asks of a face ---------------------------------------------------------------------

    def authorised(self, headers: HTTPMessage) -> bool:
        return True

    def dressed(self, row: Any, envelope: dict[str, Any]) -> dict[str, Any]:
        return _texts(envelope) if self.is_on("texts") else envelope

    def handlers(self) -> dict[str, Handler]:
        work: dict[str, Callable[[Any, dict[str, str]], Any]] = {
            "ccp.get_cluster_monitor": lambda _, at: self._cluster(at["ClusterCode"]),
            "ccp.get_node_monitor": lambda asked, at: self._node(asked),
            "ccp.push_engine": lambda asked, at: self._push(asked),
            "ccp.delete_engine": lambda _, at: self._delete_engine(at["AlgoFilePackageID"]),
            "ccp.create_workload": lambda asked, at: self._create(asked),
            "ccp.delete_workload": lambda asked, at: self._posted(asked),
            TRIED: lambda asked, at: self._delete(asked),
            "ccp.scale_workload": lambda asked, at: self._scale(asked),
            "ccp.list_workloads": lambda asked, at: self._list(asked),
            "ccp.list_pods": lambda asked, at: {"Pods": [self._pod(one, pod) for one, pod in self._shown(asked)]},
            "ccp.get_pod": lambda asked, at: self._one_pod(asked),
        }  # fmt: skip
        return work

    # --- cluster and engines ----------------------------------------------------------------------------

    def _cluster(self, code: str) -> dict[str, Any]:
        if code != CLUSTER:
            raise Refusal(40401, f"there is no cluster {code}")
        return {"ID": 1, "ClusterName": "", **_use(128, 256, 4)}

    def _node(self, asked: ccp.NodeMonitorRequest) -> dict[str, Any]:
        if asked.node_id not in NODES:
            raise Refusal(40401, f"there is no node {asked.node_id}")
        return {"ID": 1, "Ip": f"10.9.0.{asked.node_id}", "CpuType": "x86", **_use(64, 128, 2)}

    def _push(self, asked: ccp.EngineRequest) -> None:
        self.engines[asked.algo_file_package_id] = asked

    def _delete_engine(self, package_id: str) -> None:
        if self.engines.pop(package_id, None) is None:
            raise Refusal(40401, f"there is no engine {package_id}")

    # --- workloads ----------------------------------------------------------------------------------------

    def _create(self, asked: ccp.WorkloadCreateRequest) -> dict[str, str]:
        with self._lock:
            name = f"{asked.name}-dxxds" if self.is_on("suffix") else asked.name
            if self.is_on("lot"):
                name = f"lot-{next(self._numbers)}"
            if name in self.workloads:
                raise Refusal(40902, f"there is a workload {name} already")
            space = asked.namespace or asked.name_space or "default"
            one = self.workloads[name] = FakeWorkload(name, space, asked.replicas, asked.image, asked)
            self._fit(one)
        return {"WorkloadName": name, "Namespace": space}

    def _posted(self, asked: ccp.WorkloadDeleteRequest) -> Any:
        if self.is_on("question"):
            return {**self._get(asked).listed(), "Status": "Running", "Image": self._get(asked).image}
        return self._delete(asked)

    def _delete(self, asked: ccp.WorkloadDeleteRequest) -> None:
        with self._lock:
            one = self._get(asked)
            if not self.is_on("kept"):
                del self.workloads[one.name]
                for pod in one.pods:
                    self._end(pod)

    def _scale(self, asked: ccp.WorkloadScaleRequest) -> None:
        with self._lock:
            one = self._get(asked)
            one.replicas = asked.replicas
            self._fit(one)

    def _get(self, asked: Any) -> FakeWorkload:
        found = self.workloads.get(asked.workload_name)
        if found is None or found.namespace != asked.namespace or asked.cluster_code != CLUSTER:
            raise Refusal(40401, f"there is no workload {asked.workload_name}")
        return found

    def _fit(self, one: FakeWorkload) -> None:
        """As many pods as replicas; the newest go first."""
        while len(one.pods) < one.replicas:
            number = next(self._numbers)
            engine = None
            if self.engines_listen and one.asked is not None:
                engine = FakeCad(f"{number:020d}", prefix="/").start()
                engine.needs_service = False
            one.pods.append(FakePod(f"{one.name}-{number:05d}", NODES[number % len(NODES)], engine))
        while len(one.pods) > one.replicas:
            self._end(one.pods.pop())

    def _end(self, pod: FakePod) -> None:
        engine, pod.engine = pod.engine, None
        if engine is not None:
            engine.stop()

    # --- lists ----------------------------------------------------------------------------------------------

    def _list(self, asked: ccp.WorkloadListRequest) -> Any:
        if self.is_on("without_data"):
            return None
        wanted, page = asked.workload_name or "", asked.page_request
        number, size = (
            (page.page_number, min(page.page_size, self.page_limit)) if page else (1, self.page_limit)
        )
        with self._lock:
            here = [one for one in self.workloads.values() if one.namespace == (asked.namespace or "default")]
            records = [one.listed() for one in here if wanted in one.name]
        total = len(records) + (number if self.is_on("lists_change") else 0)
        if self.is_on("incomplete"):
            total, records = max(total, 1), records[:-1]
        content = records[(number - 1) * size : number * size]
        return {
            "PAgeRequest": to_builtins(page) if page else None,
            "PageContent": content,
            "TotalSize": total,
        }

    def _shown(self, asked: Any) -> list[tuple[FakeWorkload, FakePod]]:
        with self._lock:
            one = self._get(asked)
            for pod in one.pods:
                pod.listed += 1
                pod.ready = pod.ready or (pod.listed > self.ready_after and not self.is_on("held"))
            return [(one, pod) for pod in one.pods]

    def _one_pod(self, asked: ccp.AlgoServiceDetailRequest) -> dict[str, Any]:
        found = [self._pod(one, pod) for one, pod in self._shown(asked) if pod.name == asked.pod_name]
        if not found:
            raise Refusal(40401, f"there is no pod {asked.pod_name}")
        return {**found[0], "Namespace": asked.namespace}

    def _pod(self, one: FakeWorkload, pod: FakePod) -> dict[str, Any]:
        labels = one.asked.labels if one.asked else {"app": one.name}
        return {
            "Name": pod.name, "NodeName": f"node-{pod.node}", "HOStIP": f"10.9.0.{pod.node}", "PodIP": pod.ip,
            "Port": pod.port, "Status": pod.status if pod.ready or pod.said else "Pending", "StatusDesc": pod.said,
            "Image": one.image, "Restarts": pod.restarts, "Age": 1, "Ready": pod.ready, "DeploymentName": one.name,
            "Labels": [{"Name": name, "Value": value} for name, value in labels.items()],
        }  # fmt: skip


def _use(cpu: int, memory: int, cards: int) -> dict[str, Any]:
    card = {"XpuMemory": 16, "XpuMemoryUsed": 5.0, "XpuUtilization": 0.25, "XpuType": CARD}
    return {
        "Cpu": cpu, "CpuUtilization": 0.5, "Memory": memory, "MemoryUsed": 45.0,
        "MemoryUsedList": [{"1686470662199": 45.0}], "Disk": 1024, "DiskUsed": 45.0,
        "XpuMonitors": [card] * cards, "AlgoServiceMonitors": [],
    }  # fmt: skip
