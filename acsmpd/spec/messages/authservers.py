"""Online authorisation (tables 29-34)."""

from __future__ import annotations

from typing import Literal

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.scalars import DateTime, Int64, Natural, Text256


class AuthServer(Message, kw_only=True):
    """Table D.1. Server holds one host:port or several, comma-separated; the text is kept as given."""

    id: Int64 | None = None
    server: Text256
    provider: Text256
    created_date: DateTime | None = None
    default: bool


class AuthServerItem(AuthServer, kw_only=True):
    """Table D.1 as it is shown. Extensions: how asking it for quotas goes. LastError names address and cause, and is
    absent while it answers; LastAnswerDate is absent while it never did."""

    health: Literal["unknown", "healthy", "failing"] | None = None
    last_error: str | None = None
    last_answer_date: DateTime | None = None


class AuthServerUpdateRequest(Message, kw_only=True):
    """Table 31: an AuthServer of which an absent member stays unchanged."""

    id: Int64 | None = None
    server: Text256 | None = None
    provider: Text256 | None = None
    created_date: DateTime | None = None
    default: bool | None = None


class AuthServerRegisterResponse(Envelope, kw_only=True):
    """Table D.2: Data is the record's id."""

    data: Int64


class AuthServerListRequest(Message, kw_only=True):
    """Table D.3."""

    provider: Text256 | None = None
    create_time_from: DateTime | None = None
    create_time_to: DateTime | None = None


class AuthServerListResponse(Envelope, kw_only=True):
    """Table D.4."""

    data: list[AuthServerItem]


class AuthServerDetailResponse(Envelope, kw_only=True):
    """Table D.5."""

    data: AuthServerItem


class AuthQuota(Message, kw_only=True):
    """Table D.7, in streams. QuotaTotal -1: nothing declared, no limit by us. Age (extension): seconds since the server
    said so, where it does not answer now."""

    algo_def_code: Text256
    quota_used: Int64
    quota_total: Int64
    age: Natural | None = None


class AuthQuotaDetailResponse(Envelope, kw_only=True):
    """Table D.6."""

    data: AuthQuota
