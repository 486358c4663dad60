"""Algorithm capabilities (tables 5 and 6)."""

from __future__ import annotations

from typing import Any

from msgspec import field

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.paging import ApiPageRequest
from acsmpd.spec.scalars import AlgoDataType, AlgoDefStatus, DateTime, Int64, SourceType, TaskType, Text256


class AlgoDefPageRequest(Message, kw_only=True):
    """Table A.7. The example filters by TaskType, which the table lacks: accepted, matched on TaskTypes."""

    name: Text256 | None = None
    algo_def_codes: list[Text256] | None = None
    status: AlgoDefStatus | None = None
    algo_data_type: AlgoDataType | None = None
    source_type: SourceType | None = None
    engine_code_list: list[Text256] | None = None
    page_request: ApiPageRequest | None = None
    create_time_from: DateTime | None = None
    create_time_to: DateTime | None = None
    task_type: TaskType | None = None


class TaskField(Message, kw_only=True):
    """Element of AlgoDef.TaskFields, read off the example of A.6: a parameter a task takes."""

    name: str
    text: str | None = None
    description: str | None = None
    type: str | None = None
    visible: bool | None = None
    required: bool | None = None
    advanced: bool | None = None
    default_value: Any = None
    validation: str | None = None
    group: str | None = None


class AlgoDef(Message, kw_only=True):
    """No table defines it; the union of the examples of A.5 and A.6. TaskFields are kept verbatim."""

    name: Text256
    code: Text256
    description: str | None = None
    provider: Text256 | None = None
    algo_data_type: AlgoDataType | None = None
    param_type: str | None = None
    source_type: SourceType | None = None
    source: str | None = None
    version: str | None = None
    status: AlgoDefStatus | None = None
    status_desc: str | None = None
    task_types: list[TaskType] | None = None
    task_fields: list[dict[str, Any]] | None = None
    workload_code: str | None = field(default=None, name="workloadCode")
    applied_quota: Int64 | None = None
    quota: Int64 | None = None
    created_date: DateTime | None = None
    last_modified_date: DateTime | None = None


class AlgoDefPageResponseData(Message, kw_only=True):
    """Table A.11. The count is Total here and TotalSize elsewhere; both are read."""

    page_content: list[AlgoDef] | None = None
    total: Int64 | None = None
    page_request: ApiPageRequest | None = None


class AlgoDefPageResponse(Envelope, kw_only=True):
    """Table A.10."""

    data: AlgoDefPageResponseData | None = None


class AlgoDefDetailResponse(Envelope, kw_only=True):
    """Table A.12."""

    data: AlgoDef | None = None
