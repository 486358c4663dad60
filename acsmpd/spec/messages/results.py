"""Results: what a receiver takes and a search gives (conventions section 7)."""

from __future__ import annotations

from typing import Any

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.paging import ApiPageRequest
from acsmpd.spec.scalars import DateTime, Int64, Text16, Text64, Text128, Text256


class TargetPoint(Message, kw_only=True):
    """A corner, 0-1 of the picture, origin top left."""

    point_x: float
    point_y: float


class ResultTarget(Message, kw_only=True):
    """One thing seen. Points: a box as two corners, or a polygon."""

    target_id: Text256 | None = None
    target_type: Text128 | None = None
    track_id: Text256 | None = None
    score: float | None = None
    area_id: Int64 | None = None
    points: list[TargetPoint] | None = None


class ResultImage(Message, kw_only=True):
    """A picture, inline (Data, base64) or by address."""

    type: Text64 | None = None
    format: Text16 | None = None
    width: Int64 | None = None
    height: Int64 | None = None
    url: str | None = None
    data: str | None = None


class ResultRequest(Message, kw_only=True):
    """The body a result receiver takes (conventions section 7). Further members are ours to ignore."""

    request_id: Text256 | None = None
    task_id: Text128 | None = None
    algo_service_id: Text256 | None = None
    algo_ca_bin_name: Text256 | None = None
    version: Text256 | None = None
    event_id: Text128
    event_time: DateTime | None = None
    pts: Int64 | None = None
    device_id: Text256 | None = None
    stream_url: str | None = None
    area_ids: list[Int64] | None = None
    labels: dict[str, Any] | None = None
    targets: list[ResultTarget] | None = None
    images: list[ResultImage] | None = None


class Result(ResultRequest, kw_only=True):
    """A stored result: the body received, with where it belongs; Images carry Url in place of Data."""

    result_id: str
    instance_id: str
    plan_id: Int64 | None = None
    received_time: DateTime
    late: bool | None = None


class _ResultFilters(Message, kw_only=True):
    """Which results are meant. TaskID is the plan; times are inclusive and mean the event."""

    task_id: Int64 | None = None
    instance_id: Text128 | Int64 | None = None
    event_id: Text128 | None = None
    algo_def_code: Text256 | None = None
    device_id: Text256 | None = None
    time_from: DateTime | None = None
    time_to: DateTime | None = None


class ResultSearchRequest(_ResultFilters, kw_only=True):
    """POST /ACSMP/Results/Search. TaskID is the plan; times are inclusive and mean the event."""

    page_request: ApiPageRequest | None = None


class ResultReplayRequest(_ResultFilters, kw_only=True):
    """POST /ACSMP/Results/Replay: the results a search with these filters finds. Url: to this address alone, one of
    those their instances name; absent: to all of them."""

    url: str | None = None


class ResultReplay(Message, kw_only=True):
    """Results found, and deliveries that wait for them now and did not before."""

    results: Int64
    deliveries: Int64


class ResultReplayResponse(Envelope, kw_only=True):
    """POST /ACSMP/Results/Replay."""

    data: ResultReplay


class ResultPage(Message, kw_only=True):
    """One page of results."""

    page_content: list[Result]
    total: Int64
    page_request: ApiPageRequest


class ResultSearchResponse(Envelope, kw_only=True):
    """POST /ACSMP/Results/Search."""

    data: ResultPage


class ResultDetailResponse(Envelope, kw_only=True):
    """GET /ACSMP/Results/<ResultID>."""

    data: Result
