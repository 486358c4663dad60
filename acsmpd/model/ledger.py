"""What our ledger holds: rows of the store, as decisions see them."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from acsmpd.model.parties import Family


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
    lacks_program: bool = False


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
    replicas: int | None = None  # as it was told or shows, where its facility can change that
    ready: int | None = None  # how many of them serve


CARRIED = ("PENDING", "RUNNING")
"""States in which a task takes its streams."""


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

    @property
    def stopping(self) -> bool:
        """Whether it is to stand still and its device has not let go of its streams yet."""
        return self.wanted == "paused" and self.sent and self.status in CARRIED


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
    capability: str = ""  # the only one that may serve it; "": any that can

    @property
    def pinned(self) -> bool:
        return bool(self.device or self.service_id)
