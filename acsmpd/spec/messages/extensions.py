"""Messages of our extensions: what Part 5 demands without printing an interface (conventions section 10)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.computility import ComputilityInfo
from acsmpd.spec.messages.paging import ApiPageRequest
from acsmpd.spec.messages.services import EnvItem
from acsmpd.spec.scalars import (
    Code20,
    DateTime,
    Family,
    Int64,
    Namespace,
    Natural,
    PathName,
    PlanID,
    Port,
    Positive,
    TaskInstanceStatus,
    TaskType,
    Text64,
    Text128,
    Text256,
    Text1024,
    UsageUnit,
)

KeyName = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)", description="1 to 64 of A-Z a-z 0-9 _ . -", max_length=64),
]
Role = Literal["system_admin", "security_admin", "audit_admin", "operator", "viewer"]
Sha256Hex = Annotated[
    str, Meta(description="a SHA-256 as 64 hexadecimal digits", pattern=r"^[0-9A-Fa-f]{64}$", max_length=64)
]


class PublicKey(Message, kw_only=True):
    """The SM2 public key: 04 and both coordinates, 130 hex digits."""

    public_key: str


class PublicKeyResponse(Envelope, kw_only=True):
    """GET /ACSMP/System/PublicKey."""

    data: PublicKey


class LoginRequest(Message, kw_only=True):
    """A person's name and password, plain or as an SM2 ciphertext (conventions section 8)."""

    username: Text64
    password: Text1024


class Session(Message, kw_only=True):
    """What a login gives. MustChangePassword: only PUT Password and Logout work until it is changed."""

    token: str
    username: str
    roles: list[str]
    must_change_password: bool
    idle_seconds: Int64


class LoginResponse(Envelope, kw_only=True):
    """POST /ACSMP/Login."""

    data: Session


class PasswordRequest(Message, kw_only=True):
    """PUT /ACSMP/Password: both plain or as SM2 ciphertexts."""

    old_password: Text1024
    new_password: Text1024


class ApiKeyRequest(Message, kw_only=True):
    """POST /ACSMP/ApiKeys. Rights as in conventions section 2: packages, federation."""

    name: KeyName
    roles: list[Role]
    organisation: Text256 | None = None
    rights: list[Literal["packages", "federation"]] | None = None


class ApiKey(Message, kw_only=True):
    """A key as listed; Key itself only in the answer that created it."""

    name: str
    roles: list[str]
    organisation: str | None = None
    rights: list[str] | None = None
    created_date: DateTime | None = None
    last_used: DateTime | None = None
    key: str | None = None


class ApiKeyResponse(Envelope, kw_only=True):
    """The answer that creates a key: the one time it is shown."""

    data: ApiKey


class ApiKeyListResponse(Envelope, kw_only=True):
    """GET /ACSMP/ApiKeys."""

    data: list[ApiKey]


class SystemInfo(Message, kw_only=True):
    """The platform itself. SiteCodeIsDefault: no site.code is set."""

    version: str
    site_code: str
    site_code_is_default: bool
    started: DateTime
    uptime_seconds: Int64
    timezone: str
    standard: str
    details: dict[str, Any] | None = None


class SystemInfoResponse(Envelope, kw_only=True):
    """GET /ACSMP/System/Info."""

    data: SystemInfo


class PackageImport(Message, kw_only=True):
    """Progress of a Url import, in bytes. AlgoFilePackageID once DONE; Message: why it FAILED, or its last trouble."""

    id: str
    status: Literal["RUNNING", "DONE", "FAILED"]
    received: Int64
    size: Int64 | None = None
    message: str | None = None
    algo_file_package_id: str | None = None


class PackageImportResponse(Envelope, kw_only=True):
    """GET /ACSMP/PackageImports/<ID>."""

    data: PackageImport


class Location(Message, kw_only=True):
    """Where a computility stands; degrees, WGS 84."""

    text: Text256 | None = None
    longitude: Annotated[float, Meta(ge=-180, le=180)] | None = None
    latitude: Annotated[float, Meta(ge=-90, le=90)] | None = None


class ComputilityUpdateRequest(Message, kw_only=True):
    """PUT /ACSMP/Computility/<Code>: any of these; absent = unchanged. Username, Address pick the claim.

    UsageUnit: what a central analysis platform means by CpuUse, XpuUse, MemoryUse and DiskUsed (Part 4 table H.3).
    Cluster, Nodes, Namespace: of a central computing platform, which lists none of them (Part 4 chapter 6).
    """

    name: Text256 | None = None
    organisation: Text256 | None = None
    network: Text64 | None = None
    location: Location | None = None
    tags: list[Text64] | None = None
    family: Family | None = None
    scheme: Literal["http", "https"] | None = None
    prefix: Text128 | None = None
    pin: Sha256Hex | None = None
    capabilities: list[Text256] | None = None
    stream_limit: Natural | None = None
    usage_unit: UsageUnit | None = None
    cluster: PathName | None = None
    nodes: Annotated[list[PathName], Meta(max_length=1000)] | None = None
    namespace: Namespace | None = None
    maintenance: bool | None = None
    approved: bool | None = None
    enabled: bool | None = None
    username: Text64 | None = None
    address: Text64 | None = None


class Claim(Message, kw_only=True):
    """One pending registration of a code, side by side with others until an operator approves one."""

    username: str
    address: str
    type: str
    ip: str
    port: Port
    first_seen: DateTime
    last_seen: DateTime


class Computility(Message, kw_only=True):
    """A computility's record: asset data, how it is reached, how it is."""

    computility_code: Code20
    type: str | None = None
    ip: str | None = None
    port: Int64 | None = None
    name: str | None = None
    organisation: str | None = None
    network: str | None = None
    location: Location | None = None
    tags: list[str] | None = None
    family: Family | None = None
    scheme: str | None = None
    prefix: str | None = None
    pin: str | None = None
    capabilities: list[str] | None = None
    stream_limit: Int64 | None = None
    usage_unit: UsageUnit | None = None
    cluster: str | None = None
    nodes: list[str] | None = None
    namespace: str | None = None
    maintenance: bool | None = None
    approved: bool | None = None
    enabled: bool | None = None
    support_algo_service: bool | None = None
    state: str | None = None
    state_since: DateTime | None = None
    reason: str | None = None
    last_heard: DateTime | None = None
    claims: list[Claim] | None = None
    info: ComputilityInfo | None = None


class ComputilityResponse(Envelope, kw_only=True):
    """GET and PUT /ACSMP/Computility/<Code>."""

    data: Computility


class ServiceUpdateRequest(Message, kw_only=True):
    """PUT /ACSMP/AlgoServices/<ID>; absent = unchanged. Version names an imported package's version."""

    env: list[EnvItem] | None = None
    license_file: Text1024 | None = None
    replicas: Positive | None = None
    version: Text256 | None = None


class ForeignTask(Message, kw_only=True):
    """A task on a computility that somebody else created. TaskID is the computility's own."""

    task_id: str
    status: str
    stream_url: str
    event_ids: list[str]
    labels: dict[str, Any] | None = None
    restart_policy: str | None = None
    first_seen: DateTime


class ForeignTaskSearchRequest(Message, kw_only=True):
    """POST /ACSMP/Computility/<Code>/ForeignTasks/Search."""

    status: TaskInstanceStatus | None = None
    page_request: ApiPageRequest | None = None


class ForeignTaskPage(Message, kw_only=True):
    """One page of foreign tasks."""

    page_content: list[ForeignTask]
    total: Int64
    page_request: ApiPageRequest


class ForeignTaskSearchResponse(Envelope, kw_only=True):
    """POST /ACSMP/Computility/<Code>/ForeignTasks/Search."""

    data: ForeignTaskPage


class ForeignTaskAdoptRequest(Message, kw_only=True):
    """POST .../ForeignTasks/<ID>/Adopt. TaskID: the plan it joins; without one it stands alone, of this Type."""

    task_id: PlanID | None = None
    type: TaskType | None = None


class ForeignTaskAdoptResponse(Envelope, kw_only=True):
    """POST .../ForeignTasks/<ID>/Adopt: Data is the ID of the new task instance."""

    data: Text128


class AlarmSearchRequest(Message, kw_only=True):
    """POST /ACSMP/Alarms/Search. Active: only those not over yet."""

    kind: Text64 | None = None
    subject: Text256 | None = None
    active: bool | None = None
    time_from: DateTime | None = None
    time_to: DateTime | None = None
    page_request: ApiPageRequest | None = None


class Alarm(Message, kw_only=True):
    """Something an operator should know. Until is absent while it lasts."""

    id: Int64
    kind: str
    subject: str
    since: DateTime
    until: DateTime | None = None
    text: str


class AlarmPage(Message, kw_only=True):
    """One page of alarms."""

    page_content: list[Alarm]
    total: Int64
    page_request: ApiPageRequest


class AlarmSearchResponse(Envelope, kw_only=True):
    """POST /ACSMP/Alarms/Search."""

    data: AlarmPage


class Health(Message, kw_only=True):
    """GET /healthz and /readyz. Faults names what is not well."""

    status: Literal["ok", "failing"]
    faults: list[str] | None = None


class Binary(Message, kw_only=True):
    """An answer that is no JSON: a package file or a picture, as application/octet-stream or image/*."""


class Document(Message, kw_only=True):
    """An answer that is a JSON document of its own (the OpenAPI description)."""
