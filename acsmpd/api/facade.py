"""Part 4 chapter 5, served: this box seen by a platform above as one complete central analysis device.

Handlers write the same wishes as those of /ACSMP, for the local computility and in the caller's name.
This module answers table 1; packages (2-7) and tasks (9-15) have modules of their own.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from acsmpd.api import cap_packages, cap_services, cap_status, facade_files, facade_packages, facade_tasks
from acsmpd.api.call import Call, Caller
from acsmpd.api.computility import device_info
from acsmpd.api.facade_scope import origin_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.decide.upstreams import code_of
from acsmpd.spec.messages.monitoring import AlgoServiceMonitor, DeviceInfo
from acsmpd.store import devices
from acsmpd.store.installs import serving_device
from acsmpd.store.tables import Service

__all__ = [
    "cap_packages", "cap_services", "cap_status", "facade_files", "facade_packages", "facade_tasks", "status",
]  # fmt: skip


@handles("cad.get_device_status")
def status(platform: Platform, call: Call) -> DeviceInfo:
    """Table A.2 and no more; services of others are not told, though what they use counts in the sums."""
    local, show_local = platform.local_code, platform.settings.facade.show_local
    origin = origin_of(call.caller)
    with platform.store.read() as tx:
        serving_device(tx, local)
        row: dict[str, Any] = devices.get(tx, local) or {}
        shown = Service.select(Service.id)
        own = {one["id"] for one in tx.rows(shown if show_local else shown.where(Service.origin == origin))}
    raw = {**((row.get("info") or [{}])[0]), "DeviceID": _known_as(platform, call.caller), "IsOnline": True}
    info = device_info(raw, local, online=True)
    monitors = [_monitor(one) for one in info.algo_service_monitors or [] if one.algo_service_id in own]
    return replace(info, ip=None, host_name=None, os=None, disk_details=None, algo_service_monitors=monitors)


def _known_as(platform: Platform, caller: Caller) -> str:
    """The code the caller knows this box by."""
    return code_of(caller.name) if caller.kind == "upstream" else platform.settings.site_code


def _monitor(monitor: AlgoServiceMonitor) -> AlgoServiceMonitor:
    """Table A.3 and no more: what Part 5 adds is for the site's own people."""
    return replace(monitor, algo_service_id=None, cpu_utilization=None, memory_used=None)
