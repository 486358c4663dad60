"""Algorithm package files on the platform (tables 1-4) and on devices (tables 7-10)."""

from __future__ import annotations

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.messages.paging import ApiPageRequest
from acsmpd.spec.scalars import (
    MD5,
    AlgoFilePackageType,
    Code20,
    DateTime,
    DeviceAlgoPackageStatus,
    MultipartFile,
    Text40,
    Text256,
)


class AlgoFilePackageForm(Message, kw_only=True):
    """Table A.1, multipart or JSON: exactly one of File and Url. MD5 may be absent, is verified if given."""

    file: MultipartFile | None = None
    url: Text256 | None = None
    md5: MD5 | None = None


class ImportedPackage(Message, kw_only=True):
    """Extension: what an import tells beyond EmptyResponse, since the caller never names the package."""

    algo_file_package_id: Text40


class AlgoFilePackageImportResponse(Envelope, kw_only=True):
    """Table 1 prints EmptyResponse; Data is our addition, no client has to read it."""

    data: ImportedPackage | None = None


class AlgoFilePackageListRequest(Message, kw_only=True):
    """Table A.3. The longer of the two printed lengths governs; PageRequest is accepted (table 3)."""

    algo_file_package_name: Text256 | None = None
    algo_file_package_type: AlgoFilePackageType | None = None
    algo_file_package_ids: list[Text40] | None = None
    algo_file_package_version: Text256 | None = None
    provider: Text256 | None = None
    create_time_from: DateTime | None = None
    create_time_to: DateTime | None = None
    page_request: ApiPageRequest | None = None


class AlgoFilePackageItem(Message, kw_only=True):
    """Table A.5. The examples add a Code that no table has: never written, ignored when read."""

    algo_file_package_name: Text256
    algo_file_package_type: AlgoFilePackageType
    algo_file_package_version: Text256
    algo_file_package_id: Text40 | None = None
    provider: Text256 | None = None
    created_date: DateTime | None = None


class AlgoFilePackageListResponse(Envelope, kw_only=True):
    """Table A.4."""

    data: list[AlgoFilePackageItem] | None = None


class AlgoFilePackageDetailResponse(Envelope, kw_only=True):
    """Table A.6."""

    data: AlgoFilePackageItem | None = None


class AlgoFilePackageRequest(Message, kw_only=True):
    """Table F.1: deliver a package to a device. Part 4 B.1 has another message of this name."""

    algo_file_package_id: Text40
    computility_code: Code20


class AlgoPackageListRequest(Message, kw_only=True):
    """Table F.2: packages on one device. Status 1 downloading, 2 failed, 3 complete."""

    computility_code: Code20
    status: DeviceAlgoPackageStatus | None = None


class DeviceAlgoPackage(Message, kw_only=True):
    """Table F.4. The examples spell the identifier AlgoFilePackageCode: read, never written.

    Foreign is ours: true for a file that somebody else put there.
    """

    algo_package_name: Text256
    algo_package_type: AlgoFilePackageType
    algo_package_version: Text256
    algo_file_package_id: Text40
    status: DeviceAlgoPackageStatus | None = None
    created_date: DateTime | None = None
    download_progress: float | None = None
    progress_update_time: DateTime | None = None
    download_error_message: Text256 | None = None
    foreign: bool | None = None


class AlgoPackageListResponse(Envelope, kw_only=True):
    """Table F.3."""

    data: list[DeviceAlgoPackage]


class AlgoPackageDetailResponse(Envelope, kw_only=True):
    """Table F.5."""

    data: DeviceAlgoPackage
