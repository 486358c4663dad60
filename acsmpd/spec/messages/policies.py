"""Messages of SchedulePolicies: how work is placed and moved (Part 5 6.3; ours, conventions section 10)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.scalars import CapabilityCode, DateTime, Text256

Strategy = Literal["spread", "pack", "nearest"]
Failover = Literal["gap", "double"]
PreemptionPolicy = Literal["PreemptLowerPriority", "Never"]
ClassName = Annotated[
    str,
    Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$(?!\n)", description="1 to 64 of A-Z a-z 0-9 _ . -", max_length=64),
]
PriorityValue = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
Replicas = Annotated[int, Meta(ge=1, le=10_000)]
Percent = Annotated[int, Meta(ge=1, le=100)]
DelaySeconds = Annotated[int, Meta(ge=0, le=86_400)]


class PriorityClass(Message, kw_only=True):
    """A class an AlgoTaskInfo may name as PriorityClass. A higher Value comes first."""

    name: ClassName
    value: PriorityValue
    preemption_policy: PreemptionPolicy | None = None


class Scaling(Message, kw_only=True):
    """How many replicas a package has, by the use of their streams. Given as a whole; Enabled false = not scaled."""

    enabled: bool | None = None
    min_replicas: Replicas
    max_replicas: Replicas
    target_use: Percent | None = None
    cooldown_seconds: DelaySeconds | None = None
    per_region: bool | None = None


class SchedulePolicyUpdateRequest(Message, kw_only=True):
    """PUT /ACSMP/SchedulePolicies/<ID>; absent = unchanged. AlgoDefCode may be given back, not changed."""

    name: Text256 | None = None
    algo_def_code: CapabilityCode | None = None
    strategy: Strategy | None = None
    failover: Failover | None = None
    delay_seconds: DelaySeconds | None = None
    priority: PriorityValue | None = None
    preemption_policy: PreemptionPolicy | None = None
    priority_classes: Annotated[list[PriorityClass], Meta(max_length=32)] | None = None
    scaling: Scaling | None = None


class SchedulePolicyRequest(SchedulePolicyUpdateRequest, kw_only=True):
    """POST /ACSMP/SchedulePolicies. Without AlgoDefCode it is for every capability that has none of its own."""

    strategy: Strategy


class SchedulePolicy(Message, kw_only=True):
    """A policy as it stands, every member with what is in force."""

    id: str
    name: str | None = None
    algo_def_code: str | None = None
    strategy: Strategy
    failover: Failover
    delay_seconds: int
    priority: int
    preemption_policy: PreemptionPolicy
    priority_classes: list[PriorityClass]
    scaling: Scaling | None = None
    created_date: DateTime | None = None
    last_modified_date: DateTime | None = None


class SchedulePolicyResponse(Envelope, kw_only=True):
    """POST and PUT."""

    data: SchedulePolicy


class SchedulePolicyListResponse(Envelope, kw_only=True):
    """GET /ACSMP/SchedulePolicies."""

    data: list[SchedulePolicy]
