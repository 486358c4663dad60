"""Extension: one-call deployment of a package to many devices, in waves (6.3 d)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.paging import ApiPageRequest
from acsmpd.spec.messages.services import EnvItem
from acsmpd.spec.scalars import (
    Code20,
    ComputilityType,
    DateTime,
    Int64,
    Positive,
    Text40,
    Text64,
    Text256,
    Text1024,
)

WaveSize = Annotated[int, Meta(description="a whole number from 1 to 1000", ge=1, le=1000)]
ReadySeconds = Annotated[int, Meta(description="a whole number from 0 to 3600", ge=0, le=3600)]
RolloutState = Literal["RUNNING", "PAUSED", "FAILED", "FINISHED"]
MemberStatus = Literal["WAITING", "IN_PROGRESS", "DONE", "FAILED"]


class RolloutSelector(Message, kw_only=True):
    """Devices by what is known of them; all that is given has to fit. Region: 2 to 8 digits a code begins with
    (the centre of GB/T 28181), or a part of Location.Text."""

    type: ComputilityType | None = None
    organisation: Text256 | None = None
    tags: list[Text64] | None = None
    region: Text256 | None = None


class RolloutRequest(Message, kw_only=True):
    """POST /ACSMP/Rollouts. ComputilityCodes and what Selector finds go together, at most 10,000.

    MaxUnavailable: members of a wave, 1 if absent. FailureThreshold: stop when so many failed, 1 if absent. Load:
    start a service too, true if absent; Env and LicenseFile as in table F.6. DispatchWindow: as PlanDayTime.
    MinReadySeconds: how long a service has to run before its member counts as done, absent: two looks.
    """

    algo_file_package_id: Text40
    name: Text256 | None = None
    computility_codes: list[Code20] | None = None
    selector: RolloutSelector | None = None
    max_unavailable: WaveSize | None = None
    failure_threshold: Positive | None = None
    load: bool | None = None
    env: list[EnvItem] | None = None
    license_file: Text1024 | None = None
    dispatch_window: list[Text64] | None = None
    min_ready_seconds: ReadySeconds | None = None


class RolloutCreateResponse(Envelope, kw_only=True):
    """POST /ACSMP/Rollouts: Data is the ID."""

    data: Int64


class RolloutMember(Message, kw_only=True):
    """One device of a rollout. Wave from 1, once its turn has begun; Reason: what it waits for, or why it failed."""

    computility_code: Code20
    status: MemberStatus
    reason: str | None = None
    wave: Int64 | None = None
    algo_service_id: str | None = None
    begin_date: DateTime | None = None
    end_date: DateTime | None = None


class Rollout(Message, kw_only=True):
    """A rollout: the wish, and how far it is. Progress: members that are over, 0 to 100.

    Reason: who failed and why, or what it waits for. Members and PageRequest only where one is asked for.
    """

    id: Int64
    algo_file_package_id: str
    name: str | None = None
    load: bool
    env: list[EnvItem] | None = None
    license_file: str | None = None
    max_unavailable: Int64
    failure_threshold: Int64
    dispatch_window: list[str] | None = None
    min_ready_seconds: Int64 | None = None
    state: RolloutState
    reason: str | None = None
    total_count: Int64
    waiting_count: Int64
    in_progress_count: Int64
    done_count: Int64
    failed_count: Int64
    progress: Int64
    created_date: DateTime
    end_date: DateTime | None = None
    members: list[RolloutMember] | None = None
    page_request: ApiPageRequest | None = None


class RolloutQuery(Message, kw_only=True):
    """Which members GET /ACSMP/Rollouts/<ID> lists: of one Status or all, a page of at most 1000, which is usual."""

    status: MemberStatus | None = None
    page_number: Positive | None = None
    page_size: Positive | None = None


class RolloutResponse(Envelope, kw_only=True):
    """GET /ACSMP/Rollouts/<ID>."""

    data: Rollout


class RolloutListResponse(Envelope, kw_only=True):
    """GET /ACSMP/Rollouts: all that are kept, the newest first, without their members."""

    data: list[Rollout]
