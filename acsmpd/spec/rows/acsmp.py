"""Part 5, interface tables 1-28: packages, capabilities, services, plans, instances."""

from __future__ import annotations

from typing import Any

from acsmpd.spec.messages import capabilities, instances, packages, plans, services
from acsmpd.spec.messages.paging import EmptyResponse
from acsmpd.spec.operation import MIB, Access, Face, Operation
from acsmpd.spec.scalars import CapabilityCode, Code20, PackageID, PathInstanceID, PlanID, ServiceID

_PACKAGE_CAP = 16 * 1024 * MIB
_ON_DEVICE = {"ComputilityCode": Code20, "AlgoFilePackageID": PackageID}


def row(
    table: int,
    name: str,
    method: str,
    uri: str,
    request: type | None,
    response: type,
    access: Access,
    **more: Any,
) -> Operation:
    return Operation(
        id=f"acsmp.{name}",
        face=Face.ACSMP,
        table=table,
        method=method,
        uri=uri,
        request=request,
        response=response,
        access=access,
        **{"served": True, **more},
    )


def read(
    table: int, name: str, method: str, uri: str, request: type | None, response: type, **more: Any
) -> Operation:
    return row(table, name, method, uri, request, response, Access.READ, audit="counted", **more)


def change(
    table: int,
    name: str,
    method: str,
    uri: str,
    request: type | None,
    response: type = EmptyResponse,
    access: Access = Access.OPERATE,
    **more: Any,
) -> Operation:
    return row(table, name, method, uri, request, response, access, wait=True, **more)


PACKAGES: tuple[Operation, ...] = (
    change(
        1,
        "import_algo_file_package",
        "POST",
        "/ACSMP/AlgoFilePackages",
        packages.AlgoFilePackageForm,
        packages.AlgoFilePackageImportResponse,
        Access.PACKAGES,
        body_cap=_PACKAGE_CAP,
        summary="Import an algorithm package file, uploaded or by Url",
        note="multipart/form-data with File or Url, or JSON with Url. The real cap is packages.max_bytes. "
        "A Url import that takes longer than Wait, or without it 300 s, goes on: see PackageImports/<ID>.",
    ),
    change(
        2,
        "delete_algo_file_package",
        "DELETE",
        "/ACSMP/AlgoFilePackages/<ID>",
        None,
        access=Access.PACKAGES,
        path={"ID": PackageID},
        summary="Delete a package file, its capabilities and its copies on devices",
        note="?Force=true stops its services first.",
    ),
    read(
        3,
        "search_algo_file_packages",
        "POST",
        "/ACSMP/AlgoFilePackages/Search",
        packages.AlgoFilePackageListRequest,
        packages.AlgoFilePackageListResponse,
        summary="List the package files of the platform",
        note="No paging is printed: the full list, unless PageRequest is given.",
    ),
    read(
        4,
        "get_algo_file_package",
        "GET",
        "/ACSMP/AlgoFilePackages/<ID>",
        None,
        packages.AlgoFilePackageDetailResponse,
        path={"ID": PackageID},
        summary="Show one package file",
    ),
    read(
        5,
        "search_algo_defs",
        "POST",
        "/ACSMP/AlgoDef/Search",
        capabilities.AlgoDefPageRequest,
        capabilities.AlgoDefPageResponse,
        summary="List algorithm capabilities",
    ),
    read(
        6,
        "get_algo_def",
        "GET",
        "/ACSMP/AlgoDef/<Code>",
        None,
        capabilities.AlgoDefDetailResponse,
        path={"Code": CapabilityCode},
        summary="Show one algorithm capability",
        note="A code may hold full stops; Search is reserved.",
    ),
)

SERVICES: tuple[Operation, ...] = (
    change(
        7,
        "push_algo_package_to_device",
        "POST",
        "/ACSMP/AlgoFilePackages/Devices",
        packages.AlgoFilePackageRequest,
        summary="Deliver a package file to a device",
        note="Code 0 = accepted; progress through tables 9 and 10.",
    ),
    change(
        8,
        "delete_algo_package_from_device",
        "DELETE",
        "/ACSMP/AlgoFilePackages/Devices/<ComputilityCode>/<AlgoFilePackageID>",
        None,
        path=_ON_DEVICE,
        summary="Delete a package file from a device",
        note="?Force=true unloads its services first.",
    ),
    read(
        9,
        "search_device_algo_packages",
        "POST",
        "/ACSMP/AlgoFilePackages/Devices/Search",
        packages.AlgoPackageListRequest,
        packages.AlgoPackageListResponse,
        summary="List the package files on one device",
    ),
    read(
        10,
        "get_device_algo_package",
        "POST",
        "/ACSMP/AlgoFilePackages/Devices/<ComputilityCode>/<AlgoFilePackageID>",
        None,
        packages.AlgoPackageDetailResponse,
        path=_ON_DEVICE,
        aliases=(("GET", "/ACSMP/AlgoFilePackages/Devices/<ComputilityCode>/<AlgoFilePackageID>"),),
        summary="Show one package file on a device",
        note="Printed as POST without a body; GET is served too, as every other detail has it.",
    ),
    change(
        11,
        "install_algo_service",
        "POST",
        "/ACSMP/AlgoServices/Devices",
        services.AlgoServiceInstallRequest,
        services.AlgoServiceInstallResponse,
        summary="Load an algorithm service on a device",
    ),
    change(
        12,
        "uninstall_algo_service",
        "POST",
        "/ACSMP/AlgoServices/Devices/UnInstall",
        services.AlgoServiceUnInstallRequest,
        summary="Unload one algorithm service, or all of a package, on a device",
        note="?Force=true re-places or stops the instances first.",
    ),
    read(
        13,
        "search_algo_services",
        "POST",
        "/ACSMP/AlgoServices/Devices/Search",
        services.AlgoServiceListRequest,
        services.AlgoServiceListResponse,
        summary="List the algorithm services on one device",
    ),
    read(
        14,
        "get_algo_service",
        "GET",
        "/ACSMP/AlgoServices/Devices/<ComputilityCode>/<AlgoServiceID>",
        None,
        services.AlgoServiceDetailResponse,
        path={"ComputilityCode": Code20, "AlgoServiceID": ServiceID},
        summary="Show one algorithm service on a device",
        note="The table prints the package id as last segment: taken when exactly one service has it.",
    ),
)

PLANS: tuple[Operation, ...] = (
    change(
        15,
        "create_task",
        "POST",
        "/ACSMP/Tasks",
        plans.TaskCreateRequest,
        plans.TaskCreateResponse,
        summary="Create a task plan",
    ),
    change(
        16,
        "update_task",
        "PUT",
        "/ACSMP/Tasks/<ID>",
        plans.TaskUpdateRequest,
        path={"ID": PlanID},
        summary="Update a task plan",
        note="Absent = unchanged. ?Apply=now restarts by difference.",
    ),
    read(
        17,
        "search_tasks",
        "POST",
        "/ACSMP/Tasks/Search",
        plans.TaskListRequest,
        plans.TaskListResponse,
        summary="List task plans",
    ),
    read(
        18,
        "get_task",
        "GET",
        "/ACSMP/Tasks/<ID>",
        None,
        plans.TaskDetailResponse,
        path={"ID": PlanID},
        summary="Show one task plan",
        note="The body of the example stands for the path value; none is read.",
    ),
    change(
        19,
        "delete_task",
        "DELETE",
        "/ACSMP/Tasks/<ID>",
        None,
        path={"ID": PlanID},
        summary="Stop and delete a task plan with its instances",
    ),
    change(
        20,
        "start_task",
        "POST",
        "/ACSMP/Tasks/<ID>/Start",
        None,
        path={"ID": PlanID},
        summary="Start a task plan; without effect when it is on",
    ),
    change(
        21,
        "stop_task",
        "POST",
        "/ACSMP/Tasks/<ID>/Stop",
        None,
        path={"ID": PlanID},
        summary="Stop a task plan; without effect when it is off",
    ),
)

INSTANCES: tuple[Operation, ...] = (
    change(
        22,
        "create_task_instances",
        "POST",
        "/ACSMP/TaskInstances",
        instances.CreateTaskInstancesRequest,
        instances.CreateTaskInstancesResponse,
        summary="Add instances to a task plan",
    ),
    change(
        23,
        "update_task_instance",
        "PUT",
        "/ACSMP/TaskInstances/<ID>",
        instances.TaskInstanceUpdateRequest,
        path={"ID": PathInstanceID},
        aliases=(("PUT", "/ACSMP/TaskInstances"),),
        summary="Update a task instance",
        note="Without <ID> the body names the instance; with it a different body ID is refused.",
    ),
    read(
        24,
        "search_task_instances",
        "POST",
        "/ACSMP/TaskInstances/Search",
        instances.TaskInstanceListRequest,
        instances.TaskInstanceListResponse,
        summary="List task instances",
    ),
    read(
        25,
        "get_task_instance",
        "GET",
        "/ACSMP/TaskInstances/<ID>",
        None,
        instances.TaskInstanceDetailResponse,
        path={"ID": PathInstanceID},
        summary="Show one task instance",
        note="Data holds the AlgoTaskInfo of the table and the wrapped form of the example.",
    ),
    change(
        26,
        "delete_task_instance",
        "DELETE",
        "/ACSMP/TaskInstances/<ID>",
        None,
        path={"ID": PathInstanceID},
        summary="Stop and delete a task instance",
    ),
    change(
        27,
        "start_task_instances",
        "POST",
        "/ACSMP/TaskInstances/Start",
        instances.TaskInstanceStartRequest,
        summary="Start task instances",
        note="A partial failure names the failing ids in Message.",
    ),
    change(
        28,
        "stop_task_instances",
        "POST",
        "/ACSMP/TaskInstances/Stop",
        instances.TaskInstanceStopRequest,
        summary="Stop task instances",
        note="A partial failure names the failing ids in Message.",
    ),
)
