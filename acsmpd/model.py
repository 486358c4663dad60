"""Frozen values that decisions see: no SQL, no PascalCase, no sockets.

Rooms hand these to each other. Times are UTC milliseconds (`*_ms`) or seconds (`*_seconds`).
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct


class Family(str, Enum):
    """Which driver commands a computility (conventions section 12)."""

    CAD = "cad"
    CAP = "cap"
    CCP = "ccp"
    EDGE = "edge"
    DIRECT = "direct"
    LOCAL = "local"
    NONE = "none"


FAMILY_OF_TYPE = {
    "CAP": Family.CAP, "CAD": Family.CAD, "EDGE_COMPUTE_DEVICE": Family.EDGE, "AI_BOX": Family.EDGE,
    "FRONT_END_DEVICE": Family.DIRECT, "AI_CAMERA": Family.DIRECT, "AI_CLOUD": Family.NONE, "CCP": Family.CCP,
}  # fmt: skip
"""Which driver commands a Type of table B.1 where an operator names no other (conventions section 12)."""

ONE_SERVICE = (Family.CAD, Family.EDGE)
"""Families on which a package has one service (conventions section 5)."""


class Peer(Struct, frozen=True, kw_only=True):
    """How to reach one party. `token` and `password` are plain here and only here; never log a Peer."""

    code: str
    family: Family
    url: str  # http(s)://host:port, no path, "" for the local computility
    prefix: str = ""  # put before the printed path; edge: instead of /CAD
    auth: str = "token"  # token | basic | none
    token: str | None = None
    username: str = ""
    password: str = ""
    pin: str | None = None  # SHA-256 of the peer's certificate, hex
    via: tuple[str, ...] = ()  # site codes this call has passed, ours last
    trusted: bool = False  # an engine of our own on loopback: the egress policy is not asked

    def __repr__(self) -> str:
        return f"Peer({self.code}, {self.family.value}, {self.url})"


# --- what a facility shows -------------------------------------------------------------------------


class SeenPackage(Struct, frozen=True, kw_only=True):
    """A package file as a facility lists it. status: 1 downloading, 2 failed, 3 complete (table F.4)."""

    package_id: str
    name: str = ""
    version: str = ""
    kind: str = ""  # artifact | image
    status: int = 3
    loaded: bool = False
    progress: float | None = None
    error: str = ""
    created: str = ""


class SeenService(Struct, frozen=True, kw_only=True):
    """A running (or failing) algorithm service as a facility shows it (statuses of table F.13)."""

    package_id: str
    facility_id: str = ""  # the facility's own id; "" on a CAD, which has none
    status: str = "RUNNING"
    error: str = ""
    xpu_type: str = ""


class SeenTask(Struct, frozen=True, kw_only=True):
    """A task as a facility lists or details it (Part 4 table D.4)."""

    task_id: str  # the device's own id
    status: str  # PENDING RUNNING PAUSED FINISHED ERROR
    stream_url: str = ""
    event_ids: tuple[str, ...] = ()
    receive_urls: tuple[str, ...] = ()
    service_id: str = ""
    error: str = ""
    policy: str = ""  # ALWAYS | NEVER, "" if it told none
    info: dict[str, Any] | None = None  # the AlgoTaskInfo, JSON-ready, of a task the ledger does not know


class Observed(Struct, frozen=True, kw_only=True):
    """One complete look at a facility. A part that could not be read in full is None, never empty."""

    info: tuple[dict[str, Any], ...] = ()  # DeviceInfo of Part 4 table A.2, JSON-ready, one per device
    packages: tuple[SeenPackage, ...] | None = None
    services: tuple[SeenService, ...] | None = None
    tasks: tuple[SeenTask, ...] | None = None
    faults: tuple[str, ...] = ()  # why a part is None


# --- steps: what the engine has a facility do ------------------------------------------------------


class Push(Struct, frozen=True, kw_only=True, tag="push"):
    """Deliver a package file. `path` is the file on our disk (local computility), `url` its signed link."""

    package_id: str
    url: str
    path: str
    md5: str
    auth_address: str | None = None
    license_url: str | None = None


class DeleteCopy(Struct, frozen=True, kw_only=True, tag="delete_copy"):
    """Remove a package file that our ledger says we put there."""

    package_id: str


class Load(Struct, frozen=True, kw_only=True, tag="load"):
    """Start an algorithm service from a delivered package."""

    load_id: str
    service_id: str
    package_id: str
    env: tuple[tuple[str, str], ...] = ()
    args: str | None = None
    license_url: str | None = None
    auth_address: str | None = None
    xpu_index: tuple[int, ...] = ()  # cards of this box the service was given
    xpu_type: str = ""
    card_uuids: tuple[str, ...] = ()


class Unload(Struct, frozen=True, kw_only=True, tag="unload"):
    load_id: str
    service_id: str
    package_id: str
    facility_id: str


class CreateTask(Struct, frozen=True, kw_only=True, tag="create_task"):
    """Create and start a task. `info` is the AlgoTaskInfo to send; its ID is our instance id."""

    info: dict[str, Any]
    restart_policy: str  # ALWAYS | NEVER
    facility_service_id: str | None = None
    load_id: str | None = None


class UpdateTask(Struct, frozen=True, kw_only=True, tag="update_task"):
    task_id: str
    info: dict[str, Any]
    restart_policy: str
    load_id: str | None = None


class ResumeTask(Struct, frozen=True, kw_only=True, tag="resume_task"):
    task_id: str
    load_id: str | None = None


class PauseTask(Struct, frozen=True, kw_only=True, tag="pause_task"):
    task_id: str
    load_id: str | None = None


class DeleteTask(Struct, frozen=True, kw_only=True, tag="delete_task"):
    task_id: str
    load_id: str | None = None


class LookTask(Struct, frozen=True, kw_only=True, tag="look_task"):
    """Ask for one task by the device's id; a clear 'not there' is an Outcome with gone=True."""

    task_id: str
    load_id: str | None = None


Step = (
    Push
    | DeleteCopy
    | Load
    | Unload
    | CreateTask
    | UpdateTask
    | ResumeTask
    | PauseTask
    | DeleteTask
    | LookTask
)


class Outcome(Struct, frozen=True, kw_only=True):
    """What a performed step gave. `facility_id`: the device's id of the created thing, "" if it told none."""

    facility_id: str = ""
    task: SeenTask | None = None
    gone: bool = False
    progress: float | None = None


# --- what our ledger holds (rows of the store, as decisions see them) --------------------------------


class Device(Struct, frozen=True, kw_only=True):
    """A computility as decisions see it: no secrets."""

    code: str
    type: str
    family: Family
    state: str  # online unreachable suspect lost gone offline
    support_services: bool = True
    capabilities: list[str] | None = None
    stream_limit: int = 1
    approved: bool = True
    enabled: bool = True
    maintenance: bool = False
    organisation: str = ""
    network: str = ""
    location: dict[str, Any] | None = None  # Text, Longitude, Latitude

    @property
    def takes_steps(self) -> bool:
        """Whether a step may be sent there now."""
        return self.enabled and self.approved and self.state == "online"

    @property
    def takes_new_work(self) -> bool:
        return self.takes_steps and not self.maintenance

    @property
    def standing(self) -> str:
        """In one word or two: what keeps it from new work, else its state."""
        if not self.enabled:
            return "disabled"
        if not self.approved:
            return "not approved"
        return "in maintenance" if self.takes_steps and self.maintenance else self.state


class CopyRow(Struct, frozen=True, kw_only=True):
    id: int
    package_id: str
    device: str
    wanted: bool
    status: int
    sent: bool
    md5: str
    generation: int
    parked: bool
    attempts: int
    missing: int
    error: str = ""
    ours: bool = True


class LoadRow(Struct, frozen=True, kw_only=True):
    id: str
    service_id: str
    package_id: str
    device: str
    wanted: bool
    status: str
    sent: bool
    facility_id: str
    parked: bool
    attempts: int
    missing: int
    xpu_index: list[int] | None = None
    xpu_type: str = ""
    error: str = ""
    ours: bool = True


class TaskRow(Struct, frozen=True, kw_only=True):
    id: int
    instance_id: str
    device: str
    load_id: str | None
    wanted: str  # running | paused | gone
    sent: bool
    task_id: str
    status: str
    revision: int
    parked: bool
    attempts: int
    missing: int
    reason: str = ""
    policy: str = ""
    labels: dict[str, Any] | None = None
    capabilities: list[str] | None = None
    replaces: int | None = None  # the row of the place that stays until this one is seen running

    @property
    def weight(self) -> int:
        """Streams it takes: one for each capability."""
        return max(1, len(self.capabilities or ()))


class InstanceRow(Struct, frozen=True, kw_only=True):
    id: str
    number: int
    plan_id: int | None
    origin: str
    type: str
    info: dict[str, Any]
    restart_policy: str
    service_id: str
    device: str
    on: bool
    deleted: bool
    revision: int
    status: str
    reason: str = ""
    priority_class: str = ""
    preempted_by: str = ""  # who took its last place, in words

    @property
    def pinned(self) -> bool:
        return bool(self.device or self.service_id)


WAITING, STARTING, RUNNING, STOPPING, LEAVING, SERVED = (
    "waiting", "starting", "running", "stopping", "leaving", "served",
)  # fmt: skip
"""The phases of an instance's turn in an inspection: still to come; wanted; its duration runs; told to pause; told to
go; over."""

ACTIVE = (STARTING, RUNNING, STOPPING, LEAVING)
"""Phases of a turn that hold a place."""


# --- placement ----------------------------------------------------------------------------------------


class Ability(Struct, frozen=True):
    """One capability of an imported package."""

    code: str
    package_id: str
    package_name: str
    version: str
    event_ids: tuple[str, ...]
    task_types: tuple[str, ...]


class Seat(Struct, frozen=True):
    """A loaded service that could carry a stream. capacity None = the facility alone knows."""

    load_id: str
    service_id: str
    package_id: str
    device: str
    running: bool
    used: int
    capacity: int | None
    origin: str = ""  # who loaded it: "" this site, else a platform above
    facility_id: str = ""
    ours: bool = True  # False: somebody else loaded it; with which licence and Env is not known
    misfit: str = ""  # why the cards of the device are not what its package asks for
    leaving: int = 0  # of `used`: streams of tasks that are to go


class ForeignStream(Struct, frozen=True):
    """A task on a device that is not ours, as far as it tells which service carries it."""

    device: str
    event_ids: tuple[str, ...] = ()
    service_id: str = ""  # the facility's own id
    labels: dict[str, Any] | None = None


class Place(Struct, frozen=True):
    """The choice: on which device, on which load (None on a direct device), with which capabilities, and why."""

    device: str
    load_id: str | None
    labels: dict[str, Any] | None
    capabilities: tuple[str, ...]
    reason: str = ""

    @property
    def weight(self) -> int:
        """Streams it takes: one for each capability."""
        return max(1, len(self.capabilities))


class PriorityClass(Struct, frozen=True):
    """A class instances may name. `preempts`: one of it may take the place of one of lower value."""

    name: str
    value: int
    preempts: bool = True


class Scaling(Struct, frozen=True, kw_only=True):
    """How many replicas a package has, by how much of their streams is used."""

    min_replicas: int = 1
    max_replicas: int = 1
    target_use: int = 80  # per cent of the streams
    cooldown_seconds: int = 300
    per_region: bool = False  # each region by itself, else the site as a whole


class Policy(Struct, frozen=True, kw_only=True):
    """How the work of one capability ("": all that have none of their own) is placed and moved."""

    id: str = ""
    capability: str = ""
    strategy: str = "spread"  # spread | pack | nearest
    failover: str = "gap"  # gap | double
    delay_seconds: int = 0  # how long a place must have been lost before its work moves
    priority: int = 0
    preempts: bool = False
    classes: tuple[PriorityClass, ...] = ()
    scaling: Scaling | None = None


class CardShare(Struct, frozen=True):
    """What one load holds of one card of this box; quota 1.0 = the whole card."""

    load_id: str
    index: int
    quota: float
