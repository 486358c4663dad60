"""Part 4, interface tables 16-26: a central computing platform. We call these; we serve none.

What the print asks for by POST and changes nothing is `counted`: a lost answer to it is no open question.
"""

from __future__ import annotations

from typing import Any

from acsmpd.spec.messages import ccp
from acsmpd.spec.messages.paging import EmptyResponse
from acsmpd.spec.operation import Access, Face, Operation
from acsmpd.spec.scalars import PackageID, PathName

_WORKLOAD = {"WorkloadName": PathName}


def _row(
    table: int,
    name: str,
    method: str,
    uri: str,
    request: type | None,
    response: type = EmptyResponse,
    **more: Any,
) -> Operation:
    return Operation(
        id=f"ccp.{name}",
        face=Face.CCP,
        table=table,
        method=method,
        uri=uri,
        request=request,
        response=response,
        access=Access.FACE,
        called=True,
        code_as_string=True,
        **more,
    )


OPERATIONS: tuple[Operation, ...] = (
    _row(
        16,
        "get_cluster_monitor",
        "GET",
        "/CCP/Cluster/Monitors/<ClusterCode>",
        None,
        ccp.ClusterMonitorResponse,
        path={"ClusterCode": PathName},
        summary="Resources of a cluster",
    ),
    _row(
        17,
        "get_node_monitor",
        "POST",
        "/CCP/Node/Monitors/<NodeID>",
        ccp.NodeMonitorRequest,
        ccp.NodeMonitorResponse,
        path={"NodeID": PathName},
        audit="counted",
        summary="Resources of a node",
    ),
    _row(
        18, "push_engine", "POST", "/CCP/AlgoService/Engines", ccp.EngineRequest, summary="Deliver an engine"
    ),
    _row(
        19,
        "delete_engine",
        "DELETE",
        "/CCP/AlgoService/Engines/<AlgoFilePackageID>",
        None,
        path={"AlgoFilePackageID": PackageID},
        summary="Delete an engine",
    ),
    _row(
        20,
        "create_workload",
        "POST",
        "/CCP/AlgoService/Workloads",
        ccp.WorkloadCreateRequest,
        ccp.WorkloadCreateResponse,
        when_body_has=("Image", True),
        summary="Deploy a workload",
        note="Shares method and URI with table 23: only a deployment has an Image.",
    ),
    _row(
        21,
        "delete_workload",
        "POST",
        "/CCP/AlgoService/Workloads/<WorkloadName>",
        ccp.WorkloadDeleteRequest,
        path=_WORKLOAD,
        aliases=(("DELETE", "/CCP/AlgoService/Workloads/<WorkloadName>"),),
        summary="Delete a workload",
        note="Cannot be told from table 24: send it only to delete, then look at the list; if the workload "
        "is still there, send the DELETE. Never retried by itself.",
    ),
    _row(
        22,
        "scale_workload",
        "PUT",
        "/CCP/AlgoService/Workloads/<WorkloadName>",
        ccp.WorkloadScaleRequest,
        path=_WORKLOAD,
        summary="Set a workload's replicas",
    ),
    _row(
        23,
        "list_workloads",
        "POST",
        "/CCP/AlgoService/Workloads",
        ccp.WorkloadListRequest,
        ccp.WorkloadListResponse,
        when_body_has=("Image", False),
        aliases=(("GET", "/CCP/AlgoService/Workloads"),),
        audit="counted",
        summary="List workloads",
    ),
    _row(
        24,
        "get_workload",
        "POST",
        "/CCP/AlgoService/Workloads/<WorkloadName>",
        ccp.WorkloadDetailRequest,
        ccp.WorkloadDetailResponse,
        path=_WORKLOAD,
        summary="Show one workload",
        note="Never sent: a platform may take it for table 21 and delete. Details come from tables 23 and 25.",
    ),
    _row(
        25,
        "list_pods",
        "POST",
        "/CCP/AlgoService/Pods",
        ccp.AlgoServiceListRequest,
        ccp.AlgoServiceListResponse,
        audit="counted",
        summary="List a workload's pods",
    ),
    _row(
        26,
        "get_pod",
        "POST",
        "/CCP/AlgoService/Pods/<PodName>",
        ccp.AlgoServiceDetailRequest,
        ccp.AlgoServiceDetailResponse,
        path={"PodName": PathName},
        audit="counted",
        summary="Show one pod",
    ),
)
