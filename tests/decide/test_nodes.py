"""Nodes of a platform as devices: units that are not told, cards in its own spelling, numbers nobody can mean."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from acsmpd.decide.device_info import normalised
from acsmpd.decide.nodes import AMOUNT, MAX_CARDS, MAX_NODES, PERCENT, Node, infos_of, node_for, unit_of
from acsmpd.spec.messages.monitoring import DeviceInfo

CODE = "11010000005020000031"
NODE: dict[str, Any] = {
    "Ip": "192.168.200.208", "HostName": "BQF996500332", "Cpu": 16, "CpuType": "x86", "Xpu": 4,
    "XpuType": "NVIDIA A2", "Memory": 256.0, "Disk": 14.0, "OS": "ubuntu 18.0.4",
}  # fmt: skip
OPS: dict[str, Any] = {
    "Ip": "192.168.200.208", "HostName": "BQF996500332", "CpuUse": 6.0, "XpuUse": 1.0, "MemoryUse": 55.8,
    "DiskUsed": 2.765,
    "XpuUseDetails": [{"AlgoServiceID": "s1", "XpuQuota": 1.0}, {"AlgoServiceID": "s2", "XpuQuota": 0.5}],
}  # fmt: skip


def one(node: dict[str, Any], ops: dict[str, Any]) -> dict[str, Any]:
    [found] = infos_of(CODE, [node], [ops], {"s1": "p1"})
    return found


def test_amounts_as_the_example_has_them() -> None:
    found = one(NODE, OPS)
    assert (found["Cpu"], found["CpuUtilization"]) == (16, 0.375)
    assert (found["Memory"], found["MemoryUsed"]) == (256, 55.8)
    assert (found["Disk"], found["DiskUsed"]) == (14, 2.765)
    assert (found["IP"], found["HostName"], found["OS"]) == (
        "192.168.200.208",
        "BQF996500332",
        "ubuntu 18.0.4",
    )


def test_the_use_of_cards_is_the_sum_of_the_services() -> None:
    """XpuUse says 1, the services add up to 1.5 of 4 (contract)."""
    found = one(NODE, OPS)
    assert found["XpuMonitors"] == [{"XpuType": "NVIDIA A2", "XpuUtilization": 0.375}] * 4
    assert [(item["AlgoServiceID"], item["AlgoFilePackageID"]) for item in found["AlgoServiceMonitors"]] == [
        ("s1", "p1"), ("s2", ""),
    ]  # fmt: skip
    assert one(NODE, {**OPS, "XpuUseDetails": []})["XpuMonitors"][0]["XpuUtilization"] == 0.25


@pytest.mark.parametrize(
    ("ops", "unit"),
    [
        ({}, AMOUNT),
        ({"CpuUse": 16.0}, AMOUNT),
        ({"CpuUse": 37.5}, PERCENT),
        ({"DiskUsed": 20.0}, PERCENT),
        ({"XpuUse": 25.0}, PERCENT),
        ({"MemoryUse": 140.0}, AMOUNT),
        ({"MemoryUse": 140.0, "CpuUse": 37.5}, AMOUNT),  # no percentage of memory is above 100
        ({"MemoryUse": 300.0}, PERCENT),
    ],
)
def test_the_unit_is_told_by_what_can_be(ops: dict[str, Any], unit: str) -> None:
    assert unit_of([(NODE, {**OPS, **ops})]) == unit


def test_percentages_of_one_node_are_percentages_of_all() -> None:
    small = {"Ip": "b", "HostName": "b", "CpuUse": 10.0, "MemoryUse": 50.0, "DiskUsed": 10.0}
    infos = infos_of(CODE, [NODE, {**NODE, "Ip": "b", "HostName": "b"}], [{**OPS, "CpuUse": 37.5}, small], {})
    assert [info["CpuUtilization"] for info in infos] == [0.375, 0.1]
    assert (infos[1]["MemoryUsed"], infos[1]["DiskUsed"]) == (128.0, 1.4)


@pytest.mark.parametrize(
    ("unit", "cpu", "memory"), [("amount", 0.0312, 0.5), ("percent", 0.005, 1.28), ("fraction", 0.5, 128.0)]
)
def test_a_unit_that_was_chosen_counts(unit: str, cpu: float, memory: float) -> None:
    """Half of everything, or very little of it: no number tells."""
    [found] = infos_of(CODE, [NODE], [{**OPS, "CpuUse": 0.5, "MemoryUse": 0.5}], {}, unit)
    assert (found["CpuUtilization"], found["MemoryUsed"]) == (cpu, memory)


def test_uses_are_joined_by_address_then_by_name() -> None:
    basic = [
        {**NODE, "Ip": "a", "HostName": "x"},
        {**NODE, "Ip": "b", "HostName": "y"},
        {**NODE, "Ip": "c", "HostName": "z"},
    ]
    ops = [{"HostName": "y", "CpuUse": 8.0}, {"Ip": "a", "HostName": "y", "CpuUse": 4.0}]
    used = [info["CpuUtilization"] for info in infos_of(CODE, basic, ops, {})]
    assert used == [0.25, 0.25, 0.0]


def test_numbers_nobody_can_mean() -> None:
    assert len(one({**NODE, "Xpu": 10**12}, OPS)["XpuMonitors"]) == MAX_CARDS
    assert one({**NODE, "Xpu": -3, "Cpu": 0}, OPS)["XpuMonitors"] == []
    assert len(infos_of(CODE, [NODE] * (MAX_NODES + 5), [], {})) == MAX_NODES
    for odd in ({**OPS, "CpuUse": -5.0}, {**OPS, "CpuUse": "many"}, {"XpuUseDetails": [None, 7]}, {}):
        found = one(NODE, odd)
        assert found["CpuUtilization"] == 0.0 or found["Cpu"]
    assert one({**NODE, "Memory": 1e300}, {**OPS, "MemoryUse": 1e300})["Memory"] == 0


@pytest.mark.parametrize("basic", [{}, {"Ip": None}, NODE, {**NODE, "Xpu": None, "CpuType": None}])
def test_every_node_can_be_shown(basic: dict[str, Any]) -> None:
    shown = msgspec.convert(normalised(one(basic, OPS), CODE, True), DeviceInfo)
    assert (shown.device_id, shown.is_online) == (CODE, True)


# --- where a service goes -----------------------------------------------------------------------------------------

INFOS = [
    {"IP": "10.0.0.1", "HostName": "node-a", "XpuMonitors": [{"XpuType": "NVIDIA A2"}]},
    {"IP": "10.0.0.2", "HostName": "Node-B", "XpuMonitors": [{"XpuType": "NVIDIA_T4"}]},
]
T4, A2 = {"accelerator": "NVIDIA-T4"}, {"accelerator": "nvidia_a2"}


@pytest.mark.parametrize(
    ("wishes", "host", "card", "expected"),
    [
        ((), "", "", Node()),
        ((T4,), "", "", Node("NVIDIA_T4")),
        ((A2, T4), "", "", Node("NVIDIA A2")),
        ((A2, T4), "node-b", "", Node("NVIDIA_T4", "10.0.0.2")),
        ((T4,), "10.0.0.1", "", Node("NVIDIA-T4", "10.0.0.1")),
        (({"vendor": "NVIDIA"},), "", "", Node("NVIDIA A2")),
        ((), "NODE-A", "", Node("", "10.0.0.1")),
        ((A2,), "", "nvidia-t4", Node("NVIDIA_T4")),
        ((), "", "ASCEND-310", Node("ASCEND-310")),
        ((), "node-c", "", Node(trouble="it shows no node node-c")),
    ],
)
def test_node_and_card(wishes: tuple[dict[str, str], ...], host: str, card: str, expected: Node) -> None:
    assert node_for(INFOS, wishes, host, card) == expected


def test_before_anything_was_seen() -> None:
    assert node_for([], (T4,), "", "") == Node("NVIDIA-T4")
    assert node_for([], (T4,), "node-a", "").trouble
