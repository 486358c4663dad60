"""Part 4, interface tables 1-15 (8 is an index): a central analysis device."""

from __future__ import annotations

from typing import Any

from acsmpd.spec.messages import cad
from acsmpd.spec.messages.paging import EmptyResponse
from acsmpd.spec.operation import Access, Face, Operation
from acsmpd.spec.scalars import FacilityTaskID, PackageID

_PACKAGE = {"AlgoFilePackageID": PackageID}
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
    return Operation(
        id=f"cad.{name}",
        face=Face.CAD,
        table=table,
        method=method,
        uri=uri,
        request=request,
        response=response,
        access=Access.FACE,
        **{"served": True, "called": True, "code_as_string": "/Machine/" in uri, **more},
    )


OPERATIONS: tuple[Operation, ...] = (
    _row(
        1,
        "get_device_status",
        "GET",
        "/CAD/Status",
        None,
        cad.DeviceStatusResponse,
        audit="counted",
        summary="State and resources of the device",
        note="The example has a body; none is sent or read.",
    ),
    _row(
        2,
        "push_algo_file_package",
        "POST",
        "/CAD/Machine/AlgoFilePackages",
        cad.AlgoFilePackageRequest,
        summary="Deliver a package file",
        note="Code 0 = accepted; the device downloads from Url.",
    ),
    _row(
        3,
        "delete_algo_file_package",
        "DELETE",
        "/CAD/Machine/AlgoFilePackages/<AlgoFilePackageID>",
        path=_PACKAGE,
        summary="Delete a package file",
    ),
    _row(
        4,
        "install_algo_package",
        "POST",
        "/CAD/Machine/AlgoPackages",
        cad.AlgoPackageInstallRequest,
        when_body_has=("AlgoFilePackageID", True),
        summary="Load a package",
        note="Shares method and URI with table 6: a body with AlgoFilePackageID is the load.",
    ),
    _row(
        5,
        "uninstall_algo_package",
        "DELETE",
        "/CAD/Machine/AlgoPackages/<AlgoFilePackageID>",
        path=_PACKAGE,
        summary="Unload a package",
    ),
    _row(
        6,
        "list_algo_packages",
        "POST",
        "/CAD/Machine/AlgoPackages",
        cad.AlgoPackageListRequest,
        cad.AlgoPackageListResponse,
        when_body_has=("AlgoFilePackageID", False),
        aliases=(
            ("GET", "/CAD/Machine/AlgoPackages"),
            ("POST", "/CAD/Machine/AlgoPackages/Search"),
            ("POST", "/CAD/Machine/AlgoPackages/search"),
            ("POST", "/CAD/Machine/AlgoPackages:search"),
        ),
        audit="counted",
        summary="List packages",
        note="A body with Args and no AlgoFilePackageID is a malformed load: refused.",
    ),
    _row(
        7,
        "get_algo_package",
        "GET",
        "/CAD/Machine/AlgoPackages/<AlgoFilePackageID>",
        None,
        cad.AlgoPackageDetailResponse,
        path=_PACKAGE,
        audit="counted",
        summary="Show one package",
    ),
    _row(
        9,
        "create_algo_task",
        "POST",
        "/CAD/AlgoTasks",
        cad.AlgoTaskCreateRequest,
        cad.AlgoTaskCreateResponse,
        summary="Create a task",
        note="The device mints the id and answers it; CreateAndStartTask is always sent.",
    ),
    _row(
        10,
        "update_algo_task",
        "PUT",
        "/CAD/AlgoTasks/<ID>",
        cad.AlgoTaskUpdateRequest,
        cad.AlgoTaskUpdateResponse,
        path=_TASK,
        summary="Replace a task",
        note="The path names the task; a different TaskInfo.ID is refused.",
    ),
    _row(
        11, "delete_algo_task", "DELETE", "/CAD/AlgoTasks/<ID>", path=_TASK, summary="Stop and delete a task"
    ),
    _row(
        12,
        "resume_algo_task",
        "POST",
        "/CAD/AlgoTasks/<ID>:resume",
        path=_TASK,
        aliases=(("POST", "/CAD/AlgoTasks/<ID>/resume"),),
        summary="Start a task",
    ),
    _row(
        13,
        "pause_algo_task",
        "POST",
        "/CAD/AlgoTasks/<ID>:pause",
        path=_TASK,
        aliases=(("POST", "/CAD/AlgoTasks/<ID>/pause"),),
        summary="Stop a task",
    ),
    _row(
        14,
        "search_algo_tasks",
        "POST",
        "/CAD/AlgoTasks:search",
        cad.AlgoTaskSearchRequest,
        cad.AlgoTaskSearchResponse,
        aliases=(("POST", "/CAD/AlgoTasks/search"),),
        audit="counted",
        summary="List tasks",
    ),
    _row(
        15,
        "get_algo_task",
        "GET",
        "/CAD/AlgoTasks/<ID>",
        None,
        cad.AlgoTaskDetailResponse,
        path=_TASK,
        audit="counted",
        summary="Show one task",
    ),
)
