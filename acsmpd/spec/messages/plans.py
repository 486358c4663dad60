"""Task plans (tables 15-21)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.instances import AlgoTaskInfo
from acsmpd.spec.messages.paging import ApiPageRequest
from acsmpd.spec.scalars import (
    DateTime,
    Int64,
    Positive,
    TaskMode,
    TaskStatus,
    TaskType,
    Text256,
)

BatchSeconds = Annotated[int, Meta(ge=10, le=2**31)]


class TaskInspectionPlan(Message, kw_only=True):
    """Table C.2. TaskInfo is one AlgoTaskInfo or many; Duration in seconds; RoundCount, Progress are ours."""

    concurrency: Positive
    duration: BatchSeconds
    task_info: AlgoTaskInfo | list[AlgoTaskInfo]
    round_count: Int64 | None = None
    progress: float | None = None
    round_limit: Positive | None = None


class TaskCreateRequest(Message, kw_only=True):
    """Table C.1: exactly one of AlgoTaskInfos (PERIODIC) and InspectionPlan (INSPECTIVE)."""

    name: Text256
    type: TaskType
    mode: TaskMode
    algo_task_infos: list[AlgoTaskInfo] | None = None
    inspection_plan: TaskInspectionPlan | None = None
    description: Text256 | None = None
    plan_day_time: list[str] | None = None
    auto_restart: bool | None = None
    auto_start: bool | None = None


class TaskCreateResponse(Envelope, kw_only=True):
    """Table C.3: Data is the plan id."""

    data: Int64


class TaskUpdateRequest(Message, kw_only=True):
    """Table C.4. The path names the plan, TaskID may be absent; an absent member is unchanged."""

    task_id: Int64 | None = None
    name: Text256 | None = None
    algo_task_infos: list[AlgoTaskInfo] | None = None
    inspection_plan: TaskInspectionPlan | None = None
    description: Text256 | None = None
    plan_day_time: list[str] | None = None
    auto_restart: bool | None = None
    auto_start: bool | None = None


class TaskListRequest(Message, kw_only=True):
    """Table C.5; flat paging is accepted beside PageRequest."""

    task_ids: list[Int64] | None = None
    status: TaskStatus | None = None
    name: Text256 | None = None
    type: TaskType | None = None
    mode: TaskMode | None = None
    algo_def_name: Text256 | None = None
    device_ids: list[Text256] | None = None
    algo_def_codes: list[Text256] | None = None
    page_request: ApiPageRequest | None = None
    create_time_from: DateTime | None = None
    create_time_to: DateTime | None = None


class Task(Message, kw_only=True):
    """Table C.6. The counts are PENDING, ERROR, RUNNING, PAUSED, FINISHED and add up to TotalCount.

    NextStartDate and NextStopDate are ours: when the hours of a plan that is ON open, or close. So is
    WaitingForQuotaCount: how many of StartingCount no licence or authorisation server allows to start now.
    """

    task_id: Int64
    name: Text256
    type: TaskType
    mode: TaskMode
    algo_task_infos: list[AlgoTaskInfo] | None = None
    inspection_plan: TaskInspectionPlan | None = None
    description: Text256 | None = None
    status: TaskStatus | None = None
    plan_day_time: list[str] | None = None
    created_date: DateTime | None = None
    last_modified_date: DateTime | None = None
    auto_restart: bool | None = None
    auto_start: bool | None = None
    device_count: Int64 | None = None
    total_count: Int64 | None = None
    starting_count: Int64 | None = None
    start_err_count: Int64 | None = None
    running_count: Int64 | None = None
    stopped_count: Int64 | None = None
    finished_count: Int64 | None = None
    waiting_for_quota_count: Int64 | None = None
    next_start_date: DateTime | None = None
    next_stop_date: DateTime | None = None


class TaskPageResponse(Message, kw_only=True):
    """Table C.8."""

    page_content: list[Task] | None = None
    total_size: Int64 | None = None
    page_request: ApiPageRequest | None = None


class TaskListResponse(Envelope, kw_only=True):
    """Table C.7."""

    data: TaskPageResponse


class TaskDetailResponse(Envelope, kw_only=True):
    """Table C.9."""

    data: Task
