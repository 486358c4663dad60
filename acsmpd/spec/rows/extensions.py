"""Our extensions under /ACSMP and the plain addresses beside it (conventions section 10)."""

from __future__ import annotations

from typing import Any

from acsmpd.spec.messages import extensions, results, upstream
from acsmpd.spec.messages.paging import EmptyResponse
from acsmpd.spec.messages.services import AlgoServiceDetailResponse
from acsmpd.spec.operation import MIB, Access, Face, Operation
from acsmpd.spec.scalars import (
    Code20,
    FacilityTaskID,
    Natural,
    PackageID,
    PathInstanceID,
    PathName,
    Positive,
    ServiceID,
    Signature,
)

_CREDENTIALS_CAP = 64 * 1024
_RESULT_CAP = 16 * MIB
_COMPUTILITY = {"Code": Code20}
_FOREIGN_TASK = {"Code": Code20, "ID": FacilityTaskID}


def row(
    name: str,
    method: str,
    uri: str,
    request: type | None,
    response: type,
    access: Access,
    summary: str,
    **more: Any,
) -> Operation:
    return Operation(
        id=f"acsmp.{name}",
        face=Face.ACSMP,
        table=None,
        method=method,
        uri=f"/ACSMP/{uri}",
        request=request,
        response=response,
        access=access,
        summary=summary,
        **{"served": True, "extension": True, **more},
    )


def read(
    name: str, method: str, uri: str, request: type | None, response: type, summary: str, **more: Any
) -> Operation:
    return row(
        name,
        method,
        uri,
        request,
        response,
        **{"access": Access.READ, "audit": "counted", **more},
        summary=summary,
    )


def _plain(name: str, response: type, summary: str) -> Operation:
    return Operation(
        id=f"plain.{name}",
        face=Face.PLAIN,
        table=None,
        method="GET",
        uri=f"/{name}" if "_" not in name else f"/{name.replace('_', '.')}",
        request=None,
        response=response,
        access=Access.OPEN,
        summary=summary,
        served=True,
        extension=True,
        audit="counted",
    )


SYSTEM: tuple[Operation, ...] = (
    read(
        "public_key",
        "GET",
        "System/PublicKey",
        None,
        extensions.PublicKeyResponse,
        "The SM2 key passwords are encrypted with",
        access=Access.OPEN,
    ),
    read(
        "get_upstream",
        "GET",
        "Upstream",
        None,
        upstream.UpstreamListResponse,
        "How it goes with the platforms above",
    ),
    read("system_info", "GET", "System/Info", None, extensions.SystemInfoResponse, "The platform itself"),
    row(
        "login",
        "POST",
        "Login",
        extensions.LoginRequest,
        extensions.LoginResponse,
        Access.CREDENTIALS,
        "Open a session",
        body_cap=_CREDENTIALS_CAP,
    ),
    row("logout", "POST", "Logout", None, EmptyResponse, Access.SELF, "Close the session"),
    row(
        "change_password",
        "PUT",
        "Password",
        extensions.PasswordRequest,
        EmptyResponse,
        Access.SELF,
        "Change one's own password",
        body_cap=_CREDENTIALS_CAP,
    ),
    row(
        "create_api_key",
        "POST",
        "ApiKeys",
        extensions.ApiKeyRequest,
        extensions.ApiKeyResponse,
        Access.SECURITY,
        "Create an API key",
        note="Key is shown in this answer and never again.",
    ),
    read(
        "list_api_keys",
        "GET",
        "ApiKeys",
        None,
        extensions.ApiKeyListResponse,
        "List API keys",
        access=Access.SECURITY,
    ),
    row(
        "delete_api_key",
        "DELETE",
        "ApiKeys/<Name>",
        None,
        EmptyResponse,
        Access.SECURITY,
        "Revoke an API key",
        path={"Name": PathName},
    ),
    read(
        "search_alarms",
        "POST",
        "Alarms/Search",
        extensions.AlarmSearchRequest,
        extensions.AlarmSearchResponse,
        "List alarms",
    ),
)

SUBJECTS: tuple[Operation, ...] = (
    read(
        "get_package_import",
        "GET",
        "PackageImports/<ID>",
        None,
        extensions.PackageImportResponse,
        "Progress of an import by Url",
        path={"ID": PathName},
    ),
    row(
        "cancel_package_import",
        "DELETE",
        "PackageImports/<ID>",
        None,
        EmptyResponse,
        Access.PACKAGES,
        "Cancel an import by Url",
        path={"ID": PathName},
        wait=True,
        note="The fetch stops within two seconds and leaves nothing behind; the import is FAILED then. "
        "What a platform above asked for is cancelled by ?Force=true only.",
    ),
    read(
        "show_computility",
        "GET",
        "Computility/<Code>",
        None,
        extensions.ComputilityResponse,
        "One computility's record and pending claims",
        path=_COMPUTILITY,
    ),
    row(
        "update_computility",
        "PUT",
        "Computility/<Code>",
        extensions.ComputilityUpdateRequest,
        extensions.ComputilityResponse,
        Access.ADMIN,
        "Change, approve or disable a computility",
        path=_COMPUTILITY,
        wait=True,
        note="With several claims of one code, Username and Address say which one Approved means.",
    ),
    read(
        "search_foreign_tasks",
        "POST",
        "Computility/<Code>/ForeignTasks/Search",
        extensions.ForeignTaskSearchRequest,
        extensions.ForeignTaskSearchResponse,
        "List the tasks on a computility that somebody else created",
        path=_COMPUTILITY,
    ),
    row(
        "adopt_foreign_task",
        "POST",
        "Computility/<Code>/ForeignTasks/<ID>/Adopt",
        extensions.ForeignTaskAdoptRequest,
        extensions.ForeignTaskAdoptResponse,
        Access.OPERATE,
        "Make a task of somebody else's a task instance here",
        path=_FOREIGN_TASK,
        wait=True,
        note="Its results come here from then on and go on to the addresses it had.",
    ),
    row(
        "delete_foreign_task",
        "DELETE",
        "Computility/<Code>/ForeignTasks/<ID>",
        None,
        EmptyResponse,
        Access.OPERATE,
        "Delete a task of somebody else's from a computility",
        path=_FOREIGN_TASK,
        wait=True,
    ),
    row(
        "update_algo_service",
        "PUT",
        "AlgoServices/<ID>",
        extensions.ServiceUpdateRequest,
        AlgoServiceDetailResponse,
        Access.OPERATE,
        "Change a service's environment, licence, replicas or version",
        path={"ID": ServiceID},
        wait=True,
    ),
    row(
        "receive_result",
        "POST",
        "Results/<InstanceID>/<Signature>",
        results.ResultRequest,
        EmptyResponse,
        Access.RESULT,
        "Take a result from an algorithm service",
        path={"InstanceID": PathInstanceID, "Signature": Signature},
        audit="counted",
        body_cap=_RESULT_CAP,
        note="Also as multipart/form-data with alarm_info and pictures.",
    ),
    read(
        "search_results",
        "POST",
        "Results/Search",
        results.ResultSearchRequest,
        results.ResultSearchResponse,
        "List results",
    ),
    row(
        "replay_results",
        "POST",
        "Results/Replay",
        results.ResultReplayRequest,
        results.ResultReplayResponse,
        Access.OPERATE,
        "Deliver results again",
        note="Each goes under its own Idempotency-Key: a receiver that has it takes no second.",
    ),
    read(
        "get_result",
        "GET",
        "Results/<ResultID>",
        None,
        results.ResultDetailResponse,
        "One result",
        path={"ResultID": PathName},
    ),
    read(
        "get_result_image",
        "GET",
        "Results/<ResultID>/Images/<Index>",
        None,
        extensions.Binary,
        "A picture of a result",
        path={"ResultID": PathName, "Index": Natural},
    ),
    read(
        "download_package",
        "GET",
        "Links/Packages/<AlgoFilePackageID>/<ComputilityCode>/<Generation>/<Signature>",
        None,
        extensions.Binary,
        "A package file, for the device the link was made for",
        access=Access.LINK,
        path={
            "AlgoFilePackageID": PackageID,
            "ComputilityCode": Code20,
            "Generation": Natural,
            "Signature": Signature,
        },
    ),
    read(
        "download_program",
        "GET",
        "Links/Programs/<AlgoFilePackageID>/<ComputilityCode>/<Generation>/<Signature>",
        None,
        extensions.Binary,
        "The executable of a package, for the device the link was made for",
        access=Access.LINK,
        path={
            "AlgoFilePackageID": PackageID,
            "ComputilityCode": Code20,
            "Generation": Natural,
            "Signature": Signature,
        },
    ),
    read(
        "download_license",
        "GET",
        "Links/Licenses/<ID>/<ComputilityCode>/<Signature>",
        None,
        extensions.Binary,
        "A licence file, for the device the link was made for",
        access=Access.LINK,
        path={"ID": Positive, "ComputilityCode": Code20, "Signature": Signature},
    ),
    read(
        "download_picture",
        "GET",
        "Links/Pictures/<InstanceID>/<Signature>",
        None,
        extensions.Binary,
        "The picture of a result, for the instance a pipeline made to look at it",
        access=Access.LINK,
        path={"InstanceID": PathInstanceID, "Signature": Signature},
    ),
)

PLAIN: tuple[Operation, ...] = (
    _plain("healthz", extensions.Health, "The process answers"),
    _plain("readyz", extensions.Health, "Store, engine and disk are well"),
    _plain("openapi_json", extensions.Document, "This interface as OpenAPI 3.1"),
)
