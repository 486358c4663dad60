"""Part 4 chapter 5: a central analysis device (CAD). Code is a string on /CAD/Machine/* only."""

from __future__ import annotations

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.instances import AlgoTaskInfo, AlgoTaskInfoResult
from acsmpd.spec.messages.monitoring import DeviceInfo
from acsmpd.spec.messages.services import EnvItem
from acsmpd.spec.scalars import (
    MD5,
    AlgoPackageRunStatus,
    AlgoPackageType,
    DateTime,
    Int64,
    Positive,
    RestartPolicy,
    TaskInstanceStatus,
    Text40,
    Text128,
    Text256,
    Text1024,
)


class DeviceStatusResponse(Envelope, kw_only=True):
    """Table A.1."""

    data: DeviceInfo | None = None


class AlgoFilePackageRequest(Message, kw_only=True):
    """Table B.1: the device fetches the package itself. MD5 is our addition, verified when present."""

    url: Text1024
    algo_file_package_id: Text40
    auth_address: Text1024 | None = None
    license_file: Text1024 | None = None
    md5: MD5 | None = None


class AlgoPackageInstallRequest(Message, kw_only=True):
    """Table C.1. Env and LicenseFile are additions of the later edition, sent and read when present."""

    algo_file_package_id: Text40
    args: Text1024 | None = None
    env: list[EnvItem] | None = None
    license_file: Text1024 | None = None


class AlgoPackageListRequest(Message, kw_only=True):
    """Table C.2. Args is no member of a list: the handler refuses it as a load without its package."""

    status: AlgoPackageRunStatus | None = None
    args: Text1024 | None = None


class MachineAlgoPackage(Message, kw_only=True):
    """Table C.4 (DeviceAlgoPackage of C.5 is the same). Type BIN is our artifact, ENGINE our image."""

    algo_package_name: Text256
    algo_package_type: AlgoPackageType
    algo_package_version: Text256
    algo_file_package_id: Text40
    status: AlgoPackageRunStatus | None = None
    created_date: DateTime | None = None


DeviceAlgoPackage = MachineAlgoPackage


class AlgoPackageListResponse(Envelope, kw_only=True):
    """Table C.3."""

    data: list[MachineAlgoPackage]


class AlgoPackageDetailResponse(Envelope, kw_only=True):
    """Table C.5."""

    data: MachineAlgoPackage


class AlgoTaskCreateRequest(Message, kw_only=True):
    """Tables D.1 and K.1. We always write CreateAndStartTask; absent means true."""

    restart_policy: RestartPolicy
    task_info: AlgoTaskInfo
    create_and_start_task: bool | None = None
    algo_service_id: Text128 | None = None


class AlgoTaskCreateResponse(Envelope, kw_only=True):
    """Tables D.3 and K.3."""

    data: AlgoTaskInfoResult


class AlgoTaskUpdateRequest(Message, kw_only=True):
    """Tables D.5 and K.5: a full replacement."""

    restart_policy: RestartPolicy
    task_info: AlgoTaskInfo
    algo_service_id: Text128 | None = None


class AlgoTaskUpdateResponse(Envelope, kw_only=True):
    """Tables D.6 and K.6."""

    data: AlgoTaskInfoResult


class AlgoTaskSearchRequest(Message, kw_only=True):
    """Tables D.7 and K.7: flat paging, nested accepted; an absent CreateAndStartTask filters nothing."""

    event_id: Text128 | None = None
    page_size: Positive | None = None
    page_number: Positive | None = None
    restart_policy: RestartPolicy | None = None
    create_and_start_task: bool | None = None
    status: TaskInstanceStatus | None = None


class AlgoTaskSearchPage(Message, kw_only=True):
    """The page of the examples of D.6 and K.6; a bare array is read too."""

    page_number: Int64 | None = None
    page_size: Int64 | None = None
    total_size: Int64 | None = None
    records: list[AlgoTaskInfoResult] | None = None


class AlgoTaskSearchResponse(Envelope, kw_only=True):
    """Tables D.8 and K.8."""

    data: AlgoTaskSearchPage


class AlgoTaskDetailResponse(Envelope, kw_only=True):
    """Tables D.9 and K.9."""

    data: AlgoTaskInfoResult
