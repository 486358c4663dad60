"""Task instances (tables 22-28) and the task description that every facility gets (Part 4 D.2, K.2)."""

from __future__ import annotations

from typing import Any

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.paging import ApiPageRequest
from acsmpd.spec.scalars import (
    Code20,
    DateTime,
    EventID,
    InstanceID,
    Int64,
    RestartPolicy,
    TaskInstanceStatus,
    Text64,
    Text128,
    Text256,
    Text1024,
)


class Point(Message, kw_only=True):
    """A vertex, 0-1 of the picture, origin top left (read off the examples)."""

    point_x: float
    point_y: float


class Area(Message, kw_only=True):
    """A region of the picture, POLYGON in the examples."""

    area_id: Int64 | None = None
    area_type: str | None = None
    points: list[Point] | None = None


class RulesParams(Message, kw_only=True):
    """One rule of a task (T/BAX 0006.2 B.11, read off the examples). Only checked: the original is kept."""

    areas: list[Area] | None = None
    result_receive_url: list[Text1024] | None = None
    event_id: EventID | None = None
    extend_params: dict[str, Any] | None = None
    labels: dict[str, Any] | None = None
    masks: list[Area] | None = None


class VideoStreamOptions(Message, kw_only=True):
    """Where the video comes from (T/BAX 0006.2 B.8, read off the examples)."""

    play_type: str | None = None
    url: str | None = None
    resolution: str | None = None


class StreamOptions(Message, kw_only=True):
    """T/BAX 0006.2 B.8, read off the examples. Only checked: the original is kept."""

    video_stream_options: VideoStreamOptions | None = None


class InstanceExtras(Message, kw_only=True):
    """Members beside the printed ones. The lower half is written by us and ignored on the way in."""

    id: InstanceID | None = None
    algo_service_id: Text256 | None = None
    computility_code: Code20 | None = None
    name: Text256 | None = None
    restart_policy: RestartPolicy | None = None
    priority_class: Text64 | None = None
    number: Int64 | None = None
    status: TaskInstanceStatus | None = None
    reason: str | None = None
    task_id: Int64 | None = None
    task_name: Text256 | None = None


class AlgoTaskInfo(InstanceExtras, kw_only=True):
    """Part 4 table D.2. Labels, RulesParams, StreamOptions are handed on verbatim: see check_task_info."""

    labels: dict[str, Any] | None = None
    rules_params: list[dict[str, Any]]
    stream_options: dict[str, Any]


class TaskInstanceUpdateRequest(InstanceExtras, kw_only=True):
    """Table 23: an AlgoTaskInfo of which an absent member stays unchanged; Status is ignored."""

    labels: dict[str, Any] | None = None
    rules_params: list[dict[str, Any]] | None = None
    stream_options: dict[str, Any] | None = None


class AlgoTaskInfoResult(Message, kw_only=True):
    """Part 4 tables D.4 and K.4: a task as a facility answers it. Quota may be any number.

    Message is ours: why a task is in ERROR, from our engine interface and our served face.
    """

    task_info: AlgoTaskInfo
    algo_service_id: Text128 | None = None
    status: TaskInstanceStatus
    restart_policy: RestartPolicy
    create_and_start_task: bool | None = None
    quota: float | None = None
    message: str | None = None


class TaskInstanceDetail(AlgoTaskInfo, kw_only=True):
    """Data of table 25: the AlgoTaskInfo of the table, and beside it the wrapped form of the example."""

    task_info: AlgoTaskInfo | None = None


class CreateTaskInstancesRequest(Message, kw_only=True):
    """Table C.10."""

    task_id: Int64
    algo_task_infos: list[AlgoTaskInfo]
    auto_start: bool | None = None


class CreateTaskInstancesResponse(Envelope, kw_only=True):
    """Table 22. Data is our addition: the ids of the new instances, in the order given."""

    data: list[str] | None = None


class TaskInstanceListRequest(Message, kw_only=True):
    """Table C.11. ID also as an integer; STOPPED is read as PAUSED."""

    id: InstanceID | None = None
    status: TaskInstanceStatus | None = None
    algo_def_codes: list[Text256] | None = None
    algo_def_name: Text256 | None = None
    task_id: Int64 | None = None
    task_name: Text256 | None = None
    device_ids: list[Text256] | None = None
    page_request: ApiPageRequest | None = None
    create_time_from: DateTime | None = None
    create_time_to: DateTime | None = None


class TaskInstanceListData(Message, kw_only=True):
    """Table C.13: an item is an AlgoTaskInfo with Status, TaskID, TaskName, RestartPolicy, Number."""

    page_content: list[AlgoTaskInfo] | None = None
    total_size: Int64 | None = None
    page_request: ApiPageRequest | None = None


class TaskInstanceListResponse(Envelope, kw_only=True):
    """Table C.12."""

    data: TaskInstanceListData


class TaskInstanceDetailResponse(Envelope, kw_only=True):
    """Table C.14."""

    data: TaskInstanceDetail | None = None


class TaskInstanceStartRequest(Message, kw_only=True):
    """Table C.15: ids as strings or integers."""

    ids: list[InstanceID]


class TaskInstanceStopRequest(Message, kw_only=True):
    """Table C.16: ids as strings or integers."""

    ids: list[InstanceID]
