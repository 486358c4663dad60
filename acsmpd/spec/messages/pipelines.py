"""Messages of Pipelines: a result of one capability sets work of another going (Part 5 6.3 j; ours)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.paging import ApiPageRequest
from acsmpd.spec.scalars import CapabilityCode, DateTime, EventID, Int64, Positive, Text64, Text128, Text256

Action = Literal["TASK", "PICTURE"]
RunStatus = Literal["PENDING", "RUNNING", "DONE", "FAILED"]
Score = Annotated[float, Meta(ge=0, le=1)]
DurationSeconds = Annotated[int, Meta(ge=10, le=86_400, description="a whole number from 10 to 86400")]
IntervalSeconds = Annotated[int, Meta(ge=0, le=86_400, description="a whole number from 0 to 86400")]
Events = Annotated[list[EventID], Meta(max_length=64)]
AreaIDs = Annotated[list[Int64], Meta(max_length=64)]
PlanIDs = Annotated[list[Positive], Meta(max_length=1000)]
Rules = Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=64)]


class PipelineTarget(Message, kw_only=True):
    """What is set going: AlgoDefCode serves RulesParams, with Labels and PriorityClass as in an AlgoTaskInfo.

    The stream is that of the result, or its picture.
    """

    algo_def_code: CapabilityCode
    rules_params: Rules
    labels: dict[str, Any] | None = None
    priority_class: Text64 | None = None


class PipelineUpdateRequest(Message, kw_only=True):
    """PUT /ACSMP/Pipelines/<ID>; absent = unchanged, an empty list or MinScore 0 takes a condition away.

    AlgoDefCode with EventIDs, MinScore, AreaIDs and TaskIDs say which results count: all that are given have to
    hold. MinIntervalSeconds (60): a result counts for its stream only so long after the last that did.
    DurationSeconds (60): how long a task of Action TASK runs after the last result that counted; the longest one of
    Action PICTURE may take.
    """

    name: Text256 | None = None
    enabled: bool | None = None
    algo_def_code: CapabilityCode | None = None
    event_ids: Events | None = None
    min_score: Score | None = None
    area_ids: AreaIDs | None = None
    task_ids: PlanIDs | None = None
    min_interval_seconds: IntervalSeconds | None = None
    action: Action | None = None
    target: PipelineTarget | None = None
    duration_seconds: DurationSeconds | None = None


class PipelineRequest(PipelineUpdateRequest, kw_only=True):
    """POST /ACSMP/Pipelines. It is on unless Enabled is false."""

    algo_def_code: CapabilityCode
    action: Action
    target: PipelineTarget


class Pipeline(Message, kw_only=True):
    """A pipeline as it stands. ActiveCount: runs under way; SkippedCount: results that counted and set nothing going
    because too many runs were under way."""

    id: str
    name: str | None = None
    enabled: bool
    algo_def_code: str
    event_ids: list[str] | None = None
    min_score: float | None = None
    area_ids: list[int] | None = None
    task_ids: list[int] | None = None
    min_interval_seconds: int
    action: Action
    target: PipelineTarget
    duration_seconds: int
    active_count: Int64 | None = None
    skipped_count: Int64 | None = None
    created_date: DateTime | None = None
    last_modified_date: DateTime | None = None


class PipelineResponse(Envelope, kw_only=True):
    """POST, PUT and GET of one."""

    data: Pipeline


class PipelineListResponse(Envelope, kw_only=True):
    """GET /ACSMP/Pipelines."""

    data: list[Pipeline]


class PipelineRunSearchRequest(Message, kw_only=True):
    """POST /ACSMP/Pipelines/Runs/Search. InstanceID: what was set going; SourceInstanceID: whose result did it.

    Times are inclusive and mean the beginning.
    """

    pipeline_id: Text64 | None = None
    status: RunStatus | None = None
    instance_id: Text128 | None = None
    source_instance_id: Text128 | None = None
    time_from: DateTime | None = None
    time_to: DateTime | None = None
    page_request: ApiPageRequest | None = None


class PipelineRun(Message, kw_only=True):
    """One run: the result (ResultID) that began it, what was set going (InstanceID), how it went.

    MatchCount: results that counted for it. Reason: why it failed, or ended early.
    """

    id: Int64
    pipeline_id: str
    result_id: str
    source_instance_id: str
    instance_id: str | None = None
    status: RunStatus
    reason: str | None = None
    match_count: Int64
    begin_time: DateTime | None = None
    end_time: DateTime | None = None


class PipelineRunPage(Message, kw_only=True):
    """One page of runs."""

    page_content: list[PipelineRun]
    total: Int64
    page_request: ApiPageRequest


class PipelineRunSearchResponse(Envelope, kw_only=True):
    """POST /ACSMP/Pipelines/Runs/Search."""

    data: PipelineRunPage
