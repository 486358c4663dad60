"""Part 4 chapter 7: a central analysis platform (CAP). The task messages are those of the CAD."""

from __future__ import annotations

from typing import Any

from msgspec import field

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.cad import (
    AlgoTaskCreateRequest,
    AlgoTaskCreateResponse,
    AlgoTaskDetailResponse,
    AlgoTaskSearchPage,
    AlgoTaskSearchRequest,
    AlgoTaskSearchResponse,
    AlgoTaskUpdateRequest,
    AlgoTaskUpdateResponse,
)
from acsmpd.spec.scalars import (
    MD5,
    AlgoServiceStatus,
    CapPackageStatus,
    ExecFileType,
    Int64,
    Positive,
    Text20,
    Text40,
    Text50,
    Text64,
    Text128,
    Text256,
    Text1024,
    Text4096,
)

__all__ = [
    "AlgoTaskCreateRequest",
    "AlgoTaskCreateResponse",
    "AlgoTaskDetailResponse",
    "AlgoTaskSearchPage",
    "AlgoTaskSearchRequest",
    "AlgoTaskSearchResponse",
    "AlgoTaskUpdateRequest",
    "AlgoTaskUpdateResponse",
]


class BasicInfo(Message, kw_only=True):
    """Table H.2: one node. Disk may be TB, as the example reads (X-CAP-UNITS).

    ComputilityCode and State are additions: which computility of the site it is, and whether that is there.
    """

    ip: Text50 = field(name="Ip")
    host_name: Text128
    cpu: Int64
    cpu_type: Text20
    xpu: Int64
    xpu_type: Text64
    memory: float
    disk: float
    os: Text20
    computility_code: Text20 | None = None
    state: Text20 | None = None


class XpuUseDetail(Message, kw_only=True):
    """Table H.4: cards a service takes on a node."""

    algo_service_id: Text128
    xpu_quota: float


class OpsInfo(Message, kw_only=True):
    """Table H.3: use of one node. We write percentages; what others mean is settled per facility."""

    ip: Text50 = field(name="Ip")
    host_name: Text128
    cpu_use: float
    xpu_use: float
    memory_use: float
    disk_used: float
    xpu_use_details: list[XpuUseDetail]


class CAPStatusData(Message, kw_only=True):
    """Data of H.1: two lists joined by Ip and HostName. UsageUnit is an addition: what uses are (X-CAP-UNITS)."""

    basic_info: list[BasicInfo]
    ops_info: list[OpsInfo]
    usage_unit: Text20 | None = None


class CAPStatusResponse(Envelope, kw_only=True):
    """Table H.1, which writes RequestId."""

    data: CAPStatusData


class AlgoFilePackagePushRequest(Message, kw_only=True):
    """Table I.1. Name is a file name; AuthAddress and LicenseFile are additions, read when present."""

    algo_file_package_id: Text40
    md5: MD5 | None = None
    url: Text1024
    name: Text128 | None = None
    auth_address: Text1024 | None = None
    license_file: Text1024 | None = None


class AlgoFilePackagePushResult(Message, kw_only=True):
    """Data of I.2, read off the example."""

    algo_file_package_id: Text40


class AlgoFilePackagePushResponse(Envelope, kw_only=True):
    """Table I.2."""

    data: AlgoFilePackagePushResult


class AlgoFilePackageSearchRequest(Message, kw_only=True):
    """Table I.3: Name matches as a substring."""

    page_number: Positive | None = None
    page_size: Positive | None = None
    name: Text128 | None = None


class AlgoFilePackageSearchRecord(Message, kw_only=True):
    """Table I.5. The example prints ID for AlgoFilePackageID."""

    algo_file_package_id: Text40
    name: Text128
    version: Text256
    author: Text256
    description: Text1024 | None = None
    status: CapPackageStatus


class AlgoFilePackageSearchPage(Message, kw_only=True):
    """Data of I.4, the page of the example; a bare array is read too."""

    page_number: Int64 | None = None
    page_size: Int64 | None = None
    total_size: Int64 | None = None
    records: list[AlgoFilePackageSearchRecord] | None = None


class AlgoFilePackageSearchResponse(Envelope, kw_only=True):
    """Table I.4."""

    data: AlgoFilePackageSearchPage


class EnvItem(Message, kw_only=True):
    """An environment variable; {name: value} is read too (X-CAP-ENV)."""

    name: Text128 | None = None
    value: Text4096 | None = None


class XpuCapacities(Message, kw_only=True):
    """Streams per kind, read off the example of I.4."""

    stream_video_quota: Int64 | None = field(default=None, name="Stream_Video_Quota")
    stream_capture_quota: Int64 | None = field(default=None, name="Stream_Capture_Quota")
    analyze_quota: Int64 | None = field(default=None, name="Analyze_Quota")


class XpuRequirement(Message, kw_only=True):
    """Cards a replica needs, read off the example of I.4."""

    quota: float | None = None
    limit: float | None = None
    vendor: str | None = None
    accelerator: str | None = None
    capacities: XpuCapacities | None = None
    resolution: str | None = None


class AlgoPackageBin(Message, kw_only=True):
    """Bin of I.7."""

    type: str | None = None
    remote_uri: str | None = field(default=None, name="remoteUri")
    local_uri: str | None = field(default=None, name="localUri")


class AlgoPackageRuntime(Message, kw_only=True):
    """AlgoRuntime of I.7."""

    cmd: str | None = field(default=None, name="cmd")
    env: list[EnvItem] | None = None
    xpu: list[XpuRequirement] | None = None


class AlgoFilePackage(Message, kw_only=True):
    """Table I.7. The example prints ID for AlgoFilePackageID and algo_runtime for AlgoRuntime."""

    algo_file_package_id: Text40
    name: Text128
    version: Text256
    author: Text256
    description: Text1024 | None = None
    status: CapPackageStatus
    tags: list[str] | None = None
    bin: AlgoPackageBin
    algo_runtime: AlgoPackageRuntime


class AlgoFilePackageDetailResponse(Envelope, kw_only=True):
    """Table I.6."""

    data: AlgoFilePackage


class AlgoFilePackageExecFilePushRequest(Message, kw_only=True):
    """Table I.8. Type is read in any case."""

    type: ExecFileType
    md5: MD5
    name: Text128 | None = None
    url: Text1024
    algo_file_package_id: Text40


class AlgoFilePackageExecFilePushResponse(Envelope, kw_only=True):
    """Table I.9: Data is an empty object."""

    data: dict[str, Any]


class AlgoServiceCreateRequest(Message, kw_only=True):
    """Table J.1. HostName is the node's IP; without it the platform chooses. LicenseFile is an addition."""

    env: list[EnvItem] | None = None
    replicas: Positive
    xpu_type: Text64
    algo_file_package_id: Text40
    host_name: Text128 | None = None
    license_file: Text1024 | None = None


class AlgoServiceCreateResult(Message, kw_only=True):
    """Data of J.2: an object as a CAP writes it; a bare string is read too."""

    algo_service_id: Text128


class AlgoServiceCreateResponse(Envelope, kw_only=True):
    """Table J.2."""

    data: AlgoServiceCreateResult


class AlgoServiceSearchRequest(Message, kw_only=True):
    """Table J.3."""

    page_number: Positive | None = None
    page_size: Positive | None = None
    algo_file_package_id: Text40 | None = None
    xpu_type: Text64 | None = None


class AlgoServiceSearchRecord(Message, kw_only=True):
    """Table J.5. Env is an empty list when there is none. Status and LastError are additions, read when present."""

    env: list[EnvItem]
    replicas: Int64
    xpu_type: Text64
    algo_file_package_id: Text40
    algo_service_id: Text128
    status: AlgoServiceStatus | None = None
    last_error: str | None = None


class AlgoServiceSearchPage(Message, kw_only=True):
    """Data of J.4, the page of the example; a bare array is read too."""

    page_number: Int64 | None = None
    page_size: Int64 | None = None
    total_size: Int64 | None = None
    records: list[AlgoServiceSearchRecord] | None = None


class AlgoServiceSearchResponse(Envelope, kw_only=True):
    """Table J.4, which writes RequestId."""

    data: AlgoServiceSearchPage


class AlgoServiceReplicaDetail(Message, kw_only=True):
    """Table J.8. The example prints Node for NodeHost."""

    node_host: Text128
    node_ipv4: Text50


class AlgoService(Message, kw_only=True):
    """Table J.7. XpuQuota in cards. LastError, an addition: why it does not run."""

    env: list[EnvItem] | None = None
    replicas: Int64
    xpu_type: Text64
    algo_file_package_id: Text40
    algo_service_id: Text128
    status: AlgoServiceStatus
    xpu_quota: float
    replicas_detail: list[AlgoServiceReplicaDetail]
    last_error: str | None = None


class AlgoServiceDetailResponse(Envelope, kw_only=True):
    """Table J.6."""

    data: AlgoService
