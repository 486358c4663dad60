"""The nodes of a central analysis platform, each in the form of a device (Part 4 tables H.2-H.4 as table A.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from acsmpd.decide.fitting import cards_in, misfit
from acsmpd.spec.accelerators import folded

AUTO, AMOUNT, PERCENT, FRACTION = "auto", "amount", "percent", "fraction"
_WHOLE = {PERCENT: 100.0, FRACTION: 1.0}
"""What a rate is of."""
MAX_NODES, MAX_CARDS, MAX_SERVICES = 1000, 64, 200
"""What is kept of one answer: a number in it is no reason to keep as many things."""

Json = dict[str, Any]


class Node(Struct, frozen=True):
    """Where a service is to go: a card in the facility's own spelling, an address ("" = anywhere), or why not."""

    xpu_type: str = ""
    host: str = ""
    trouble: str = ""


def node_for(
    infos: Sequence[Mapping[str, Any]], wishes: Sequence[Mapping[str, Any]], host: str, card: str
) -> Node:
    """The node called `host` (an address or a name), and of its cards the one asked for, or that a package asks for."""
    named = host.strip().casefold()
    of_host = [one for one in infos if not host or named in (_word(one, "IP"), _word(one, "HostName"))]
    if host and not of_host:
        return Node(trouble=f"it shows no node {host}")
    address = str(of_host[0].get("IP") or host) if host else ""
    shown = dict.fromkeys(
        str(monitor.get("XpuType") or "") for one in of_host for monitor in one.get("XpuMonitors") or ()
    )
    if card:
        return Node(next((one for one in shown if folded(one) == folded(card)), card), address)
    fits = (one for one in shown if wishes and one and not misfit(wishes, cards_in([_one(one)])))
    asked = (str(wish.get("accelerator") or wish.get("vendor") or "") for wish in wishes)
    return Node(next(fits, "") or next(asked, ""), address)


def _one(card: str) -> Json:
    return {"XpuMonitors": [{"XpuType": card}]}


def _word(info: Mapping[str, Any], name: str) -> str:
    return str(info.get(name) or "").strip().casefold()


_PAIRS = (("Cpu", "CpuUse"), ("Xpu", "XpuUse"), ("Memory", "MemoryUse"), ("Disk", "DiskUsed"))


def infos_of(
    code: str, basic: Sequence[Json], ops: Sequence[Json], packages: Mapping[str, str], unit: str = AUTO
) -> tuple[Json, ...]:
    """One DeviceInfo for each node of BasicInfo, with its part of OpsInfo if there is one.

    `packages`: id of a service there -> its package. Sizes are kept in the platform's own unit; `unit`: that of uses.
    """
    nodes, used = list(basic)[:MAX_NODES], _by_node(ops)
    pairs = [(node, _of(node, used)) for node in nodes]
    unit = unit_of(pairs) if unit == AUTO else unit
    return tuple(_info(code, node, ops_of, unit, packages) for node, ops_of in pairs)


def unit_of(pairs: Sequence[tuple[Json, Json]]) -> str:
    """Whether uses are amounts or percentages: the print names rates and shows amounts (X-CAP-UNITS).

    Amounts, unless one is more than there is of it; a memory use above 100 of a larger memory can be none but that.
    """
    of_memory = [(_number(node, "Memory"), _number(ops, "MemoryUse")) for node, ops in pairs]
    if any(100 < use <= whole for whole, use in of_memory):
        return AMOUNT
    over = (_number(ops, use) > _number(node, whole) for node, ops in pairs for whole, use in _PAIRS)
    return PERCENT if any(over) else AMOUNT


def _by_node(ops: Sequence[Json]) -> dict[str, Json]:
    """OpsInfo by address and by name of its node; an address goes before a name."""
    named = {str(one["HostName"]): one for one in ops if one.get("HostName")}
    return named | {str(one["Ip"]): one for one in ops if one.get("Ip")}


def _of(node: Json, used: Mapping[str, Json]) -> Json:
    found = used.get(str(node.get("Ip") or "")) or used.get(str(node.get("HostName") or ""))
    return found or {}


def _info(code: str, node: Json, ops: Json, unit: str, packages: Mapping[str, str]) -> Json:
    cards, kind = min(max(int(_number(node, "Xpu")), 0), MAX_CARDS), str(node.get("XpuType") or "")
    services = [one for one in ops.get("XpuUseDetails") or () if isinstance(one, dict)][:MAX_SERVICES]
    taken = sum(_number(one, "XpuQuota") for one in services)
    share = taken / cards if taken and cards else _share(node, ops, "Xpu", "XpuUse", unit)
    return {
        "DeviceID": code, "IP": node.get("Ip"), "HostName": node.get("HostName"), "OS": node.get("OS"),
        "IsOnline": node.get("State") in (None, "online"),  # said by a platform of ours alone
        "Cpu": int(_number(node, "Cpu")), "CpuType": str(node.get("CpuType") or ""),
        "CpuUtilization": _share(node, ops, "Cpu", "CpuUse", unit),
        "Memory": round(_number(node, "Memory")), "MemoryUsed": _amount(node, ops, "Memory", "MemoryUse", unit),
        "Disk": round(_number(node, "Disk")), "DiskUsed": _amount(node, ops, "Disk", "DiskUsed", unit),
        "XpuMonitors": [{"XpuType": kind, "XpuUtilization": _within(share)} for _ in range(cards)],
        "AlgoServiceMonitors": [_monitor(one, kind, packages) for one in services],
    }  # fmt: skip


def _monitor(service: Json, kind: str, packages: Mapping[str, str]) -> Json:
    service_id = str(service.get("AlgoServiceID") or "")
    return {
        "AlgoServiceID": service_id, "AlgoFilePackageID": packages.get(service_id, ""), "XpuType": kind,
        "XpuUtilization": _within(_number(service, "XpuQuota")),
    }  # fmt: skip


def _share(node: Json, ops: Json, whole: str, use: str, unit: str) -> float:
    size, used = _number(node, whole), _number(ops, use)
    if unit in _WHOLE:
        return _within(used / _WHOLE[unit])
    return _within(used / size) if size > 0 else 0.0


def _amount(node: Json, ops: Json, whole: str, use: str, unit: str) -> float:
    used = _number(ops, use)
    return round(_number(node, whole) * _within(used / _WHOLE[unit]), 3) if unit in _WHOLE else used


def _within(share: float) -> float:
    return round(min(max(share, 0.0), 1.0), 4)


def _number(of: Json, name: str) -> float:
    value = of.get(name)
    return float(value) if isinstance(value, (int, float)) and abs(value) < 2**53 else 0.0
