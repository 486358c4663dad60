"""Offline authorisation (tables 35-39)."""

from __future__ import annotations

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.authservers import AuthQuota
from acsmpd.spec.scalars import Code20, DateTime, Int64, MultipartFile, Natural, Text64, Text256


class AbilityAuth(Message, kw_only=True):
    """Table E.2: streams a licence grants for one capability."""

    algo_def_code: Text256
    quota: Natural


class License(Message, kw_only=True):
    """Table E.1, form of the import and item of the lists. File is required on import, never written.

    SM3 (of the file) and Expired are ours: they are written and not read.
    """

    id: Int64 | None = None
    provider: Text256
    created_date: DateTime | None = None
    file: MultipartFile | None = None
    device_id: Code20 | None = None
    ability_auths: list[AbilityAuth] | None = None
    expire_time: DateTime | None = None
    sm3: Text64 | None = None
    expired: bool | None = None


class LicenseImportResponse(Envelope, kw_only=True):
    """Table E.3: Data is the record's id."""

    data: Int64


class LicenseListRequest(Message, kw_only=True):
    """Table E.4."""

    provider: Text256 | None = None
    create_time_from: DateTime | None = None
    create_time_to: DateTime | None = None


class LicenseListResponse(Envelope, kw_only=True):
    """Table E.5."""

    data: list[License]


class LicenseDetailResponse(Envelope, kw_only=True):
    """Table E.6, untitled there: one licence."""

    data: License


class DeviceQuotaDetailResponse(Envelope, kw_only=True):
    """Table E.7: the sum over all licences of the capability, no device."""

    data: AuthQuota
