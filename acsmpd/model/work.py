"""What placement, inspections and schedule policies decide about."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

WAITING, STARTING, RUNNING, STOPPING, LEAVING, SERVED = (
    "waiting", "starting", "running", "stopping", "leaving", "served",
)  # fmt: skip
"""The phases of an instance's turn in an inspection: still to come; wanted; its duration runs; told to pause; told to
go; over."""

ACTIVE = (STARTING, RUNNING, STOPPING, LEAVING)
"""Phases of a turn that hold a place."""


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
    stuck: int = 0  # of `used`: streams of tasks that were to go and that the device does not let go
    pool: str = ""  # whose quota binds its streams (decide/quotas); "" nobody's


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
