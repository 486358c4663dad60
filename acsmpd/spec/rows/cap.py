"""Part 4, interface tables 27-43: a central analysis platform."""

from __future__ import annotations

from typing import Any

from acsmpd.spec.messages import cap
from acsmpd.spec.messages.paging import EmptyResponse
from acsmpd.spec.operation import Access, Face, Operation
from acsmpd.spec.scalars import FacilityTaskID, PackageID, ServiceID

_PACKAGE = {"AlgoFilePackageID": PackageID}
_SERVICE = {"AlgoServiceID": ServiceID}
_TASK = {"ID": FacilityTaskID}


def _row(
    table: int,
    name: str,
    method: str,
    uri: str,
    request: type | None = None,
    response: type = EmptyResponse,
    **more: Any,
) -> Operation:
    verb = uri.rpartition(":")
    return Operation(
        id=f"cap.{name}",
        face=Face.CAP,
        table=table,
        method=method,
        uri=uri,
        request=request,
        response=response,
        access=Access.SITE_FACE,
        aliases=((method, f"{verb[0]}/{verb[2]}"),) if verb[1] else (),
        served=True,
        called=True,
        **more,
    )


OPERATIONS: tuple[Operation, ...] = (
    _row(
        27,
        "get_cap_status",
        "GET",
        "/CAP/Status",
        None,
        cap.CAPStatusResponse,
        audit="counted",
        request_id_key="RequestId",
        summary="State and resources of the platform's nodes",
    ),
    _row(
        28,
        "push_algo_file_package",
        "POST",
        "/CAP/AlgoFilePackages",
        cap.AlgoFilePackagePushRequest,
        cap.AlgoFilePackagePushResponse,
        summary="Deliver a package file, with or without its executable",
        note="Without it the package has status 1 until pushExecFile.",
    ),
    _row(
        29,
        "delete_algo_file_package",
        "DELETE",
        "/CAP/AlgoFilePackages/<AlgoFilePackageID>",
        path=_PACKAGE,
        summary="Delete a package file",
    ),
    _row(
        30,
        "search_algo_file_packages",
        "POST",
        "/CAP/AlgoFilePackages:search",
        cap.AlgoFilePackageSearchRequest,
        cap.AlgoFilePackageSearchResponse,
        audit="counted",
        summary="List package files",
    ),
    _row(
        31,
        "get_algo_file_package",
        "GET",
        "/CAP/AlgoFilePackages/<AlgoFilePackageID>",
        None,
        cap.AlgoFilePackageDetailResponse,
        path=_PACKAGE,
        audit="counted",
        summary="Show one package file",
    ),
    _row(
        32,
        "push_exec_file",
        "POST",
        "/CAP/AlgoFilePackages:pushExecFile",
        cap.AlgoFilePackageExecFilePushRequest,
        cap.AlgoFilePackageExecFilePushResponse,
        summary="Deliver a package's executable",
    ),
    _row(
        33,
        "create_algo_service",
        "POST",
        "/CAP/AlgoServices",
        cap.AlgoServiceCreateRequest,
        cap.AlgoServiceCreateResponse,
        summary="Load an algorithm service",
        note="HostName is a node's IP; without it the platform places the replicas.",
    ),
    _row(
        34,
        "delete_algo_service",
        "DELETE",
        "/CAP/AlgoServices/<AlgoServiceID>",
        path=_SERVICE,
        summary="Unload an algorithm service",
    ),
    _row(
        35,
        "search_algo_services",
        "POST",
        "/CAP/AlgoServices:search",
        cap.AlgoServiceSearchRequest,
        cap.AlgoServiceSearchResponse,
        audit="counted",
        request_id_key="RequestId",
        summary="List algorithm services",
    ),
    _row(
        36,
        "get_algo_service",
        "GET",
        "/CAP/AlgoServices/<AlgoServiceID>",
        None,
        cap.AlgoServiceDetailResponse,
        path=_SERVICE,
        audit="counted",
        summary="Show one algorithm service",
    ),
    _row(
        37,
        "create_algo_task",
        "POST",
        "/CAP/AlgoTasks",
        cap.AlgoTaskCreateRequest,
        cap.AlgoTaskCreateResponse,
        summary="Create a task",
    ),
    _row(
        38,
        "update_algo_task",
        "PUT",
        "/CAP/AlgoTasks/<ID>",
        cap.AlgoTaskUpdateRequest,
        cap.AlgoTaskUpdateResponse,
        path=_TASK,
        summary="Replace a task",
    ),
    _row(
        39, "delete_algo_task", "DELETE", "/CAP/AlgoTasks/<ID>", path=_TASK, summary="Stop and delete a task"
    ),
    _row(40, "resume_algo_task", "POST", "/CAP/AlgoTasks/<ID>:resume", path=_TASK, summary="Start a task"),
    _row(41, "pause_algo_task", "POST", "/CAP/AlgoTasks/<ID>:pause", path=_TASK, summary="Stop a task"),
    _row(
        42,
        "search_algo_tasks",
        "POST",
        "/CAP/AlgoTasks:search",
        cap.AlgoTaskSearchRequest,
        cap.AlgoTaskSearchResponse,
        audit="counted",
        summary="List tasks",
    ),
    _row(
        43,
        "get_algo_task",
        "GET",
        "/CAP/AlgoTasks/<ID>",
        None,
        cap.AlgoTaskDetailResponse,
        path=_TASK,
        audit="counted",
        summary="Show one task",
    ),
)
