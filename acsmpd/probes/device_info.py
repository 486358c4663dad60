"""A sample as the standard's DeviceInfo: Part 4 tables A.2-A.4 with what Part 5 appendix G adds.

Utilisations are fractions 0..1, amounts GB (of 2^30 bytes), trends ascending (contract X-TREND). XpuMonitors
is ordered by our stable card index, since the tables have no member for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from acsmpd.probes.history import History, to_trend
from acsmpd.probes.probe import Card, HostSample, Sample
from acsmpd.probes.trends import CPU, DISK, GIB, MEMORY, card_series, gib


class ServiceUse(Struct, frozen=True, kw_only=True):
    """One algorithm service of this box. cpu_fraction: of the machine, 0..1; pids: the host's numbers."""

    service_id: str
    package_id: str
    xpu_index: int | None = None
    xpu_type: str = ""
    cpu_fraction: float | None = None
    memory_bytes: int | None = None
    pids: tuple[int, ...] = ()


def device_info(
    sample: Sample, history: History, services: Sequence[ServiceUse], *, device_id: str
) -> dict[str, Any]:
    """This box as the element that device status and computility monitoring answer, JSON-ready."""
    return {
        "DeviceID": device_id,
        "IsOnline": True,
        **_host(sample.host, history),
        "XpuMonitors": [_card(card, history) for card in sample.cards],
        "AlgoServiceMonitors": [_service(service, sample.cards, history) for service in services],
    }


def record_services(history: History, sample: Sample, services: Sequence[ServiceUse]) -> None:
    """Note the services' use of cards, for the trends of later answers."""
    for service in services:
        memory, use = _share(service, _card_of(service, sample.cards))
        history.add(_series(service, "memory"), sample.wall_ms, None if memory is None else gib(memory))
        history.add(_series(service, "use"), sample.wall_ms, use)


def _host(host: HostSample, history: History) -> dict[str, Any]:
    disk_used = gib(sum(disk.used_bytes for disk in host.disks))
    return {
        **({"IP": host.ips[0]} if host.ips else {}),
        "HostName": host.hostname,
        "OS": host.os,
        "Cpu": host.cpu_cores,
        "CpuType": host.cpu_type,
        "CpuUtilization": host.cpu_utilization,
        "CpuUtilizationList": to_trend(history.points(CPU)),
        "Memory": _whole_gib(host.memory_bytes),
        "MemoryUsed": gib(host.memory_used_bytes),
        "MemoryUsedList": to_trend(history.points(MEMORY)),
        "Disk": _whole_gib(sum(disk.total_bytes for disk in host.disks)),
        "DiskUsed": disk_used,
        "DiskUsedList": to_trend(history.points(DISK)),
        "DiskDetails": [
            {"Path": disk.path, "Disk": _whole_gib(disk.total_bytes), "DiskUsed": gib(disk.used_bytes)}
            for disk in host.disks
        ],
    }


def _card(card: Card, history: History) -> dict[str, Any]:
    """One XpuMonitorInfo. XpuUtilization is required and may not be null: a card that does not tell it has
    0.0 there, and our extra member State says that this is no measurement. No State: all is well.
    """
    state = card.state if card.state != "ok" or card.utilization is not None else "utilization not supported"
    return {
        **_memory(card.memory_bytes, card.memory_used_bytes),
        "XpuMemoryUsedList": to_trend(history.points(card_series(card, "memory"))),
        "XpuUtilization": card.utilization or 0.0,
        "XpuUtilizationList": to_trend(history.points(card_series(card, "use"))),
        "XpuType": card.type,
        **({"State": state} if state != "ok" else {}),
    }


def _service(service: ServiceUse, cards: Sequence[Card], history: History) -> dict[str, Any]:
    """One AlgoServiceMonitor; CpuUtilization and MemoryUsed are our extras (Part 5, 6.1 b)."""
    card = _card_of(service, cards)
    memory, use = _share(service, card)
    cpu, used = service.cpu_fraction, service.memory_bytes
    return {
        "AlgoServiceID": service.service_id,
        "AlgoFilePackageID": service.package_id,
        **_memory(None if card is None else card.memory_bytes, memory),
        "XpuMemoryUsedList": to_trend(history.points(_series(service, "memory"))),
        "XpuUtilization": use or 0.0,
        "XpuUtilizationList": to_trend(history.points(_series(service, "use"))),
        "XpuType": service.xpu_type or ("" if card is None else card.type),
        **({} if cpu is None else {"CpuUtilization": round(cpu, 4)}),
        **({} if used is None else {"MemoryUsed": gib(used)}),
        **({"State": card.state} if card is not None and card.state != "ok" else {}),
    }


def _share(service: ServiceUse, card: Card | None) -> tuple[int | None, float | None]:
    """(card memory in bytes, utilisation) of a service; None where the driver does not tell.

    A driver that tells no use per process leaves only the whole card's, which is the service's own when
    nobody else computes there.
    """
    if card is None or card.state != "ok":
        return None, None
    own = [process for process in card.processes if process.pid in service.pids]
    if not own:
        return 0, 0.0
    memories = [process.memory_used_bytes for process in own if process.memory_used_bytes is not None]
    uses = [process.utilization for process in own if process.utilization is not None]
    alone = len(own) == len(card.processes)
    use = min(sum(uses), 1.0) if uses else card.utilization if alone else None
    return (sum(memories) if memories else None), use


def _card_of(service: ServiceUse, cards: Sequence[Card]) -> Card | None:
    return next((card for card in cards if card.index == service.xpu_index), None)


def _series(service: ServiceUse, what: str) -> str:
    return f"service/{service.service_id}/{what}"


def _memory(total: int | None, used: int | None) -> dict[str, Any]:
    return {
        **({} if total is None else {"XpuMemory": _whole_gib(total)}),
        **({} if used is None else {"XpuMemoryUsed": gib(used)}),
    }


def _whole_gib(amount: int) -> int:
    """The unit of the standard's integer fields; something there is never shown as nothing."""
    return max(1, round(amount / GIB)) if amount else 0
