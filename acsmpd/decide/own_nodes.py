"""The site as nodes, for a platform above: every computility in the words of Part 4 tables H.2 and H.3.

A computility of several hosts shows each of them. An address that several nodes have tells none of them apart: such
nodes are shown by address and port, or by their code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from acsmpd.model import HAS_HOSTS, Family

Json = Mapping[str, Any]


class Box(Struct, frozen=True, kw_only=True):
    """A computility as the store knows it; `infos` as it was last seen, one DeviceInfo for each host."""

    code: str
    family: Family
    state: str
    name: str = ""
    address: str = ""
    port: int = 0
    infos: tuple[Json, ...] = ()


class OwnNode(Struct, frozen=True, kw_only=True):
    """A node as it is shown. `host`: its address inside a computility of several hosts, "" of a single box."""

    code: str
    state: str
    address: str
    name: str
    host: str = ""
    info: Json


def nodes_of(boxes: Sequence[Box]) -> list[OwnNode]:
    """Every node, by code, each with an address no other has."""
    found = [(box, info) for box in sorted(boxes, key=lambda one: one.code) for info in box.infos or ({},)]
    times = Counter(_address(box, info) for box, info in found)
    taken: set[str] = set()
    nodes: list[OwnNode] = []
    for box, info in found:
        tried = (
            _address(box, info),
            f"{box.address}:{box.port}" if box.address else "",
            box.code,
            f"{box.code}#{len(nodes)}",
        )
        address = next(
            one for one in tried if one and one not in taken and (times[one] < 2 or one != tried[0])
        )
        taken.add(address)
        several = box.family in HAS_HOSTS and bool(info)
        nodes.append(
            OwnNode(
                code=box.code, state=box.state, address=address[:50],
                name=(_text(info, "HostName") or box.name or box.code)[:128],
                host=(_text(info, "IP") or _text(info, "HostName")) if several else "", info=info,
            )
        )  # fmt: skip
    return nodes


def named(nodes: Sequence[OwnNode], wanted: str) -> OwnNode | str:
    """The only node of that address, name or code; or why there is none, naming those there are."""
    word = wanted.strip().casefold()
    for of in (_addresses, _names, _codes):
        found = [one for one in nodes if word in of(one)]
        if len(found) == 1:
            return found[0]
        if found:
            there = ", ".join(one.address for one in found[:20])
            return f"several nodes are called {wanted}: {there}"
    there = ", ".join(f"{one.address} ({one.name})" for one in nodes[:20])
    return f"there is no node {wanted}; the nodes are {there}" if there else f"there is no node {wanted}"


def _addresses(node: OwnNode) -> set[str]:
    return {node.address.casefold(), _text(node.info, "IP").casefold()} - {""}


def _names(node: OwnNode) -> set[str]:
    return {node.name.casefold()}


def _codes(node: OwnNode) -> set[str]:
    return {node.code}


def _address(box: Box, info: Json) -> str:
    return _text(info, "IP") or box.address or box.code


def _text(info: Json, name: str) -> str:
    return str(info.get(name) or "").strip()


# --- tables H.2 and H.3 -----------------------------------------------------------------------------------


def basic_of(node: OwnNode) -> dict[str, Any]:
    """Table H.2, with the code and the state of the computility beside it. Memory and disk in GB."""
    info, cards = node.info, _cards(node.info)
    return {
        "Ip": node.address, "HostName": node.name, "Cpu": int(_number(info, "Cpu")),
        "CpuType": _text(info, "CpuType")[:20], "Xpu": len(cards),
        "XpuType": _text(cards[0], "XpuType")[:64] if cards else "", "Memory": _number(info, "Memory"),
        "Disk": _number(info, "Disk"), "OS": _text(info, "OS")[:20],
        "ComputilityCode": node.code, "State": node.state,
    }  # fmt: skip


def ops_of(node: OwnNode, services: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Table H.3, uses in per cent. `services`: (AlgoServiceID, cards it takes here) of those that may be told."""
    info, cards = node.info, _cards(node.info)
    shares = [_number(card, "XpuUtilization") for card in cards]
    return {
        "Ip": node.address, "HostName": node.name, "CpuUse": _percent(_number(info, "CpuUtilization")),
        "XpuUse": _percent(sum(shares) / len(shares)) if shares else 0.0,
        "MemoryUse": _part(info, "MemoryUsed", "Memory"), "DiskUsed": _part(info, "DiskUsed", "Disk"),
        "XpuUseDetails": [{"AlgoServiceID": name, "XpuQuota": quota} for name, quota in services],
    }  # fmt: skip


def _cards(info: Json) -> list[Json]:
    return [one for one in info.get("XpuMonitors") or () if isinstance(one, dict)]


def _number(of: Json, name: str) -> float:
    value = of.get(name)
    return float(value) if isinstance(value, (int, float)) else 0.0


def _part(info: Json, used: str, whole: str) -> float:
    size = _number(info, whole)
    return _percent(_number(info, used) / size) if size > 0 else 0.0


def _percent(share: float) -> float:
    return round(min(max(share, 0.0), 1.0) * 100, 2)
