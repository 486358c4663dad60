"""Our extensions under /ACSMP and the plain addresses beside it (conventions section 10)."""

from __future__ import annotations

from typing import Any

from acsmpd.spec.messages import extensions, policies, results, rollouts
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
    PlanID,
    ServiceID,
    Signature,
)

_CREDENTIALS_CAP = 64 * 1024
_RESULT_CAP = 16 * MIB
_COMPUTILITY = {"Code": Code20}
_FOREIGN_TASK = {"Code": Code20, "ID": FacilityTaskID}


def _row(
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


def _read(
    name: str, method: str, uri: str, request: type | None, response: type, summary: str, **more: Any
) -> Operation:
    return _row(
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
    _read(
        "public_key",
        "GET",
        "System/PublicKey",
        None,
        extensions.PublicKeyResponse,
        "The SM2 key passwords are encrypted with",
        access=Access.OPEN,
    ),
    _read("system_info", "GET", "System/Info", None, extensions.SystemInfoResponse, "The platform itself"),
    _row(
        "login",
        "POST",
        "Login",
        extensions.LoginRequest,
        extensions.LoginResponse,
        Access.CREDENTIALS,
        "Open a session",
        body_cap=_CREDENTIALS_CAP,
    ),
    _row("logout", "POST", "Logout", None, EmptyResponse, Access.SELF, "Close the session"),
    _row(
        "change_password",
        "PUT",
        "Password",
        extensions.PasswordRequest,
        EmptyResponse,
        Access.SELF,
        "Change one's own password",
        body_cap=_CREDENTIALS_CAP,
    ),
    _row(
        "create_api_key",
        "POST",
        "ApiKeys",
        extensions.ApiKeyRequest,
        extensions.ApiKeyResponse,
        Access.SECURITY,
        "Create an API key",
        note="Key is shown in this answer and never again.",
    ),
    _read(
        "list_api_keys",
        "GET",
        "ApiKeys",
        None,
        extensions.ApiKeyListResponse,
        "List API keys",
        access=Access.SECURITY,
    ),
    _row(
        "delete_api_key",
        "DELETE",
        "ApiKeys/<Name>",
        None,
        EmptyResponse,
        Access.SECURITY,
        "Revoke an API key",
        path={"Name": PathName},
    ),
    _read(
        "search_alarms",
        "POST",
        "Alarms/Search",
        extensions.AlarmSearchRequest,
        extensions.AlarmSearchResponse,
        "List alarms",
    ),
)

SUBJECTS: tuple[Operation, ...] = (
    _read(
        "get_package_import",
        "GET",
        "PackageImports/<ID>",
        None,
        extensions.PackageImportResponse,
        "Progress of an import by Url",
        path={"ID": PathName},
    ),
    _row(
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
    _read(
        "show_computility",
        "GET",
        "Computility/<Code>",
        None,
        extensions.ComputilityResponse,
        "One computility's record and pending claims",
        path=_COMPUTILITY,
    ),
    _row(
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
    _read(
        "search_foreign_tasks",
        "POST",
        "Computility/<Code>/ForeignTasks/Search",
        extensions.ForeignTaskSearchRequest,
        extensions.ForeignTaskSearchResponse,
        "List the tasks on a computility that somebody else created",
        path=_COMPUTILITY,
    ),
    _row(
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
    _row(
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
    _row(
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
    _row(
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
    _read(
        "search_results",
        "POST",
        "Results/Search",
        results.ResultSearchRequest,
        results.ResultSearchResponse,
        "List results",
    ),
    _read(
        "get_result",
        "GET",
        "Results/<ResultID>",
        None,
        results.ResultDetailResponse,
        "One result",
        path={"ResultID": PathName},
    ),
    _read(
        "get_result_image",
        "GET",
        "Results/<ResultID>/Images/<Index>",
        None,
        extensions.Binary,
        "A picture of a result",
        path={"ResultID": PathName, "Index": Natural},
    ),
    _read(
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
)

_ROLLOUT = {"path": {"ID": PlanID}}

ROLLOUTS: tuple[Operation, ...] = (
    _read("list_rollouts", "GET", "Rollouts", None, rollouts.RolloutListResponse, "List rollouts"),
    _row(
        "create_rollout",
        "POST",
        "Rollouts",
        rollouts.RolloutRequest,
        rollouts.RolloutCreateResponse,
        Access.OPERATE,
        "Bring a package to many devices, in waves",
        wait=True,
        note="The next wave begins when every member of the present one is done or has failed. A device that has "
        "the package (with Load: a service of it) already is done without a step.",
    ),
    _read(
        "get_rollout",
        "GET",
        "Rollouts/<ID>",
        None,
        rollouts.RolloutResponse,
        "One rollout and its members",
        **_ROLLOUT,
    ),
    _row(
        "delete_rollout",
        "DELETE",
        "Rollouts/<ID>",
        None,
        EmptyResponse,
        Access.OPERATE,
        "Stop a rollout and forget it",
        **_ROLLOUT,
        note="What has left for a device stays there; what has not is withdrawn.",
    ),
    _row(
        "pause_rollout",
        "POST",
        "Rollouts/<ID>/Pause",
        None,
        EmptyResponse,
        Access.OPERATE,
        "Begin no further members of a rollout",
        **_ROLLOUT,
        note="Members in progress are carried through.",
    ),
    _row(
        "resume_rollout",
        "POST",
        "Rollouts/<ID>/Resume",
        None,
        EmptyResponse,
        Access.OPERATE,
        "Go on with a rollout",
        **_ROLLOUT,
        note="?Force=true goes on at once and drops its DispatchWindow.",
    ),
)

POLICIES: tuple[Operation, ...] = (
    _read(
        "list_schedule_policies",
        "GET",
        "SchedulePolicies",
        None,
        policies.SchedulePolicyListResponse,
        "List schedule policies, the global one first",
    ),
    _row(
        "create_schedule_policy",
        "POST",
        "SchedulePolicies",
        policies.SchedulePolicyRequest,
        policies.SchedulePolicyResponse,
        Access.OPERATE,
        "Say how the work of a capability, or all work, is placed and moved",
        note="One policy for a capability, one without AlgoDefCode for all others.",
    ),
    _row(
        "update_schedule_policy",
        "PUT",
        "SchedulePolicies/<ID>",
        policies.SchedulePolicyUpdateRequest,
        policies.SchedulePolicyResponse,
        Access.OPERATE,
        "Change a schedule policy",
        path={"ID": PathName},
    ),
    _row(
        "delete_schedule_policy",
        "DELETE",
        "SchedulePolicies/<ID>",
        None,
        EmptyResponse,
        Access.OPERATE,
        "Delete a schedule policy; what is placed stays where it is",
        path={"ID": PathName},
    ),
)

PLAIN: tuple[Operation, ...] = (
    _plain("healthz", extensions.Health, "The process answers"),
    _plain("readyz", extensions.Health, "Store, engine and disk are well"),
    _plain("openapi_json", extensions.Document, "This interface as OpenAPI 3.1"),
)
