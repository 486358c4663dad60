"""What a device shows of itself (Part 4 tables A.2-A.4, with the members of the Part 5 example of G)."""

from __future__ import annotations

from acsmpd.spec.message import Message
from acsmpd.spec.scalars import Int64, Text20, Text40, Text64, Text128, Trend


class DiskDetail(Message, kw_only=True):
    """One file system, sizes in GB (read off the example of Part 5 G)."""

    path: str
    disk: Int64
    disk_used: float


class XpuMonitorInfo(Message, kw_only=True):
    """Part 4 table A.4: one card; its place in the list is its number. Utilisation 0-1, memory in GB."""

    xpu_memory: Int64 | None = None
    xpu_memory_used: float | None = None
    xpu_memory_used_list: Trend | None = None
    xpu_utilization: float
    xpu_utilization_list: Trend | None = None
    xpu_type: Text64


class AlgoServiceMonitor(Message, kw_only=True):
    """Part 4 table A.3: resources of one service. AlgoServiceID and XpuMemory from the example of G.

    CpuUtilization and MemoryUsed per service are our addition (Part 5 6.1 b asks for them).
    """

    algo_service_id: Text128 | None = None
    algo_file_package_id: Text40
    xpu_memory: Int64 | None = None
    xpu_memory_used: float | None = None
    xpu_memory_used_list: Trend | None = None
    xpu_utilization: float
    xpu_utilization_list: Trend | None = None
    xpu_type: Text64
    cpu_utilization: float | None = None
    memory_used: float | None = None


class DeviceInfo(Message, kw_only=True):
    """Part 4 table A.2. Memory and disk in GB, utilisation 0-1. The examples print Code for DeviceID."""

    device_id: Text20
    ip: str | None = None
    host_name: str | None = None
    is_online: bool
    os: str | None = None
    cpu: Int64
    cpu_type: Text20
    cpu_utilization: float
    cpu_utilization_list: Trend | None = None
    memory: Int64
    memory_used: float
    memory_used_list: Trend | None = None
    disk: Int64
    disk_used: float
    disk_used_list: Trend | None = None
    disk_details: list[DiskDetail] | None = None
    xpu_monitors: list[XpuMonitorInfo] | None = None
    algo_service_monitors: list[AlgoServiceMonitor] | None = None
