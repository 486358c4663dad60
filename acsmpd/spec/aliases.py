"""Names and values the standard prints in more than one spelling: which one is meant (contract, resolve).

A name is folded only where the struct has the target as a member and not the name itself.
"""

from __future__ import annotations

from msgspec import Struct

from acsmpd.spec.messages import cap, ccp, monitoring

NAMES: dict[str, tuple[str, ...]] = {
    "AlgoFilePackageCode": ("AlgoFilePackageID",),  # examples of tables 9 and 10
    "TaskInspectionPlan": ("InspectionPlan",),  # remark of C.1
    "AltoTaskInfos": ("AlgoTaskInfos",),  # remark of C.6
    "RuleParams": ("RulesParams",),  # title of T/BAX 0006.2 B.11
    "PageReqest": ("PageRequest", "PAgeRequest"),  # G.3
    "PageRequest": ("PageReqest", "PAgeRequest"),
    "PAgeRequest": ("PageRequest", "PageReqest"),  # Part 4 G.8
    "Total": ("TotalSize",),  # A.11, G.3 against C.8
    "TotalSize": ("Total",),
    "Records": ("PageContent",),  # Part 4 X-LISTSHAPE
    "PageContent": ("Records",),
    "RequestId": ("RequestID",),  # Part 4 H.1, J.4
    "WorkloadCode": ("workloadCode",),  # example of A.6
    "HostIP": ("HOStIP",),  # Part 4 G.19
    "NameSpace": ("Namespace",),  # Part 4 example of G.1
    "Node": ("NodeHost",),  # Part 4 example of J.4
    "DiskUsed List": ("DiskUsedList",),  # Part 4 A.2
    "algo_runtime": ("AlgoRuntime",),  # Part 4 example of I.4
    "remote_uri": ("remoteUri",),
    "local_uri": ("localUri",),
}

SCOPED: dict[type[Struct], dict[str, str]] = {
    monitoring.DeviceInfo: {"Code": "DeviceID"},  # Part 4 example of A
    monitoring.AlgoServiceMonitor: {"ID": "AlgoFilePackageID"},  # Part 4 examples of E
    cap.AlgoFilePackageSearchRecord: {"ID": "AlgoFilePackageID"},  # Part 4 example of I.3
    cap.AlgoFilePackage: {"ID": "AlgoFilePackageID"},  # Part 4 example of I.4
    ccp.WorkloadCreateRequest: {"WorkloadName": "Name"},  # Part 4 G.1 against all other tables
}

# A value outside an enumeration that holds the right-hand side.
VALUES: dict[str, str] = {
    "FRONT_END_DEVIE": "FRONT_END_DEVICE",  # G.1
    "STOPPED": "PAUSED",  # example of C.10
    "RUNING": "RUNNING",  # Part 4 example of J.4
}

# Enumerations that are read in any case from applications too.
CASELESS: frozenset[frozenset[str]] = frozenset(
    map(frozenset, (("asc", "desc"), ("image", "artifact"), ("Engine", "FilePackage")))
)

# Part 5 F.4: a service state stands where the state of a download is meant.
NUMBERS: dict[str, int] = {"RUNNING": 3}

LABELS: dict[str, str] = {"JAlgoCaBinName": "AlgoCaBinName"}  # Part 4 D.2
