"""Algorithm services on devices (tables 11-14)."""

from __future__ import annotations

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.scalars import (
    AlgoServiceStatus,
    Code20,
    DateTime,
    Int64,
    Natural,
    Positive,
    Text40,
    Text64,
    Text128,
    Text256,
    Text1024,
    Text4096,
)


class EnvItem(Message, kw_only=True):
    """Table F.7. Value is longer than printed: several servers or a path do not fit in 128."""

    name: Text128
    value: Text4096


class AlgoServiceInstallRequest(Message, kw_only=True):
    """Table F.6. Env carries AUTH_SERVER_ADDR online, LicenseFile is the offline form; both may be absent.

    HostName is an addition: the node of a central analysis platform (Part 4 table J.1) the service is to run on.
    """

    algo_file_package_id: Text40
    computility_code: Code20
    env: list[EnvItem] | None = None
    license_file: Text1024 | None = None
    replicas: Positive | None = None
    xpu_type: Text64 | None = None
    host_name: Text128 | None = None


class AlgoServiceInstallResponse(Envelope, kw_only=True):
    """Table F.8: Data is the AlgoServiceID, a bare string."""

    data: Text256


class AlgoServiceUnInstallRequest(Message, kw_only=True):
    """Table F.9. Without AlgoServiceID all services of the package on the device; a list is accepted."""

    algo_file_package_id: Text40
    computility_code: Code20
    algo_service_id: Text256 | list[Text256] | None = None


class AlgoServiceListRequest(Message, kw_only=True):
    """Table F.10: paging is flat here; a nested PageRequest is accepted."""

    computility_code: Code20
    status: AlgoServiceStatus | None = None
    algo_file_package_id: Text40 | None = None
    page_number: Positive | None = None
    page_size: Positive | None = None


class AlgoService(Message, kw_only=True):
    """Table F.13. CreatedDate with milliseconds. XpuType from the examples; the last four are ours.

    Foreign is true for a service that somebody else loaded; HostName the node it is bound to.
    """

    algo_service_id: Text256
    algo_file_package_id: Text40
    status: AlgoServiceStatus
    env: list[EnvItem] | None = None
    replicas: Natural | None = None
    created_date: DateTime | None = None
    xpu_type: str | None = None
    last_error: str | None = None
    computility_code: Code20 | None = None
    foreign: bool | None = None
    host_name: str | None = None


AlgoServiceSearchRecord = AlgoService


class AlgoServiceSearchData(Message, kw_only=True):
    """Table F.12; Data of F.11 is one such page, not an array of pages."""

    records: list[AlgoService]
    page_number: Int64 | None = None
    page_size: Int64 | None = None
    total_size: Int64 | None = None


class AlgoServiceListResponse(Envelope, kw_only=True):
    """Table F.11."""

    data: AlgoServiceSearchData


class AlgoServiceDetailResponse(Envelope, kw_only=True):
    """Table F.14, titled there like F.5."""

    data: AlgoService
