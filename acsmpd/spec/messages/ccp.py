"""Part 4 chapter 6: a central computing platform (CCP), a cluster. Code is a string in every answer."""

from __future__ import annotations

from msgspec import field

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.monitoring import AlgoServiceMonitor, XpuMonitorInfo
from acsmpd.spec.messages.paging import ApiOrder
from acsmpd.spec.messages.services import EnvItem
from acsmpd.spec.scalars import (
    DateTime,
    EngineFileType,
    Int64,
    Natural,
    Positive,
    Text20,
    Text40,
    Text45,
    Text64,
    Text256,
    Text1024,
    Text2048,
    Trend,
)


class ClusterMonitorInfo(Message, kw_only=True):
    """Table E.3. ID is opaque: the ClusterCode asked for is the key."""

    id: Int64
    cluster_name: Text64 | None = None
    cpu: Int64
    cpu_utilization: float
    cpu_utilization_list: Trend | None = None
    memory: Int64
    memory_used: float
    memory_used_list: Trend | None = None
    disk: Int64
    disk_used: float
    disk_used_list: Trend | None = None
    xpu_monitors: list[XpuMonitorInfo] | None = None
    algo_service_monitors: list[AlgoServiceMonitor] | None = None


class ClusterMonitorResponse(Envelope, kw_only=True):
    """Table E.2."""

    data: ClusterMonitorInfo


class NodeMonitorRequest(Message, kw_only=True):
    """Table E.4."""

    cluster_code: Text256
    node_id: Text256


class NodeMonitorInfo(Message, kw_only=True):
    """Table E.6. ID is opaque: the NodeID asked for is the key."""

    id: Int64
    ip: Text45 = field(name="Ip")
    cpu: Int64
    cpu_utilization: float
    cpu_utilization_list: Trend | None = None
    memory: Int64
    memory_used: float
    memory_used_list: Trend | None = None
    disk: Int64
    disk_used: float
    disk_used_list: Trend | None = None
    xpu_monitors: list[XpuMonitorInfo] | None = None
    cpu_type: Text20
    algo_service_monitors: list[AlgoServiceMonitor] | None = None


class NodeMonitorResponse(Envelope, kw_only=True):
    """Table E.5."""

    data: NodeMonitorInfo


class EngineRequest(Message, kw_only=True):
    """Table F.1. Engine: Url is an image reference; FilePackage: an http(s) address. LicenseFile is ours."""

    url: Text1024
    auth_address: Text1024 | None = None
    file_type: EngineFileType
    algo_file_package_id: Text40
    license_file: Text1024 | None = None


class WorkloadCreateRequest(Message, kw_only=True):
    """Table G.1. ClusterCode and both spellings of the namespace are in the example only; Env is ours."""

    name: Text256
    labels: dict[str, str]
    label_selector: dict[str, str]
    replicas: Natural
    container_name: Text256
    image: Text256
    cpu: Natural
    xpu_type: Text64
    xpu: float
    memory: Natural
    command: Text1024 | None = None
    args: Text2048 | None = None
    cluster_code: Text256 | None = None
    namespace: Text256 | None = None
    name_space: Text256 | None = None
    env: list[EnvItem] | None = None


class WorkloadResult(Message, kw_only=True):
    """Table G.3. The name may differ from the one sent: this one is the key."""

    workload_name: Text256
    namespace: Text256


class WorkloadCreateResponse(Envelope, kw_only=True):
    """Table G.2."""

    data: WorkloadResult


class WorkloadDeleteRequest(Message, kw_only=True):
    """Table G.4, the same three members as table G.14 (X-CCP-DELETE)."""

    namespace: Text256
    workload_name: Text256
    cluster_code: Text256


class WorkloadScaleRequest(Message, kw_only=True):
    """Table G.6."""

    namespace: Text256
    workload_name: Text256
    replicas: Natural
    cluster_code: Text256


class ApiPAgeRequest(Message, kw_only=True):
    """Table G.9."""

    page_number: Positive
    page_size: Positive
    order_list: list[ApiOrder] | None = None


class WorkloadListRequest(Message, kw_only=True):
    """Table G.8. The paging block is spelled PAgeRequest in table and examples."""

    cluster_code: Text256
    namespace: Text256 | None = None
    workload_name: Text256 | None = None
    page_request: ApiPAgeRequest | None = field(default=None, name="PAgeRequest")


class WorkloadInfo(Message, kw_only=True):
    """Table G.13."""

    namespace: Text256
    workload_name: Text256
    replicas: Int64
    created_date: DateTime


class WorkloadPAgeData(Message, kw_only=True):
    """Table G.12; the echo and the total are in the example only."""

    page_content: list[WorkloadInfo]
    page_request: ApiPAgeRequest | None = field(default=None, name="PAgeRequest")
    total_size: Int64 | None = None


class WorkloadListResponse(Envelope, kw_only=True):
    """Table G.11."""

    data: WorkloadPAgeData | None = None


class WorkloadDetailRequest(Message, kw_only=True):
    """Table G.14."""

    cluster_code: Text256
    namespace: Text256
    workload_name: Text256


class WorkloadDetail(Message, kw_only=True):
    """Data of G.15 as the example has it; only the members of G.13 are required."""

    namespace: Text256
    workload_name: Text256
    xpu_type: str | None = None
    xpu: float | None = None
    cpu_type: str | None = None
    cpu: Int64 | None = None
    replicas: Int64
    xpu_memory: Int64 | None = None
    memory: Int64 | None = None
    created_date: DateTime
    status: str | None = None
    image: str | None = None


class WorkloadDetailResponse(Envelope, kw_only=True):
    """Table G.15."""

    data: WorkloadDetail


class AlgoServiceListRequest(Message, kw_only=True):
    """Table G.16."""

    cluster_code: Text256
    namespace: Text256
    workload_name: Text256


class Label(Message, kw_only=True):
    """Table G.20."""

    name: Text64
    value: Text64


class PodVO(Message, kw_only=True):
    """Table G.19. HOStIP is printed so everywhere; Namespace is in an example only."""

    name: Text256
    node_name: Text256
    host_ip: Text45 = field(name="HOStIP")
    pod_ip: Text45
    port: Int64
    status: Text64
    status_desc: Text256
    image: Text256
    restarts: Int64
    age: Int64
    ready: bool
    deployment_name: Text256
    labels: list[Label]
    namespace: Text256 | None = None


class ClusterPodListResult(Message, kw_only=True):
    """Table G.18."""

    pods: list[PodVO]


class AlgoServiceListResponse(Envelope, kw_only=True):
    """Table G.17."""

    data: ClusterPodListResult


class AlgoServiceDetailRequest(Message, kw_only=True):
    """Table G.21."""

    cluster_code: Text256
    namespace: Text256
    workload_name: Text256
    pod_name: Text256


class AlgoServiceDetailResponse(Envelope, kw_only=True):
    """Table G.22, titled there like the request."""

    data: PodVO
