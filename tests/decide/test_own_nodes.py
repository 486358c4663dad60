"""The site as nodes: what a platform above of ours makes of them is what they are."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.decide.nodes import PERCENT, infos_of
from acsmpd.decide.own_nodes import Box, OwnNode, basic_of, named, nodes_of, ops_of
from acsmpd.model import Family

INFO: dict[str, Any] = {
    "IP": "10.0.0.1", "HostName": "one", "OS": "Linux", "Cpu": 8, "CpuType": "X86", "CpuUtilization": 0.06,
    "Memory": 256, "MemoryUsed": 64, "Disk": 1000, "DiskUsed": 20,
    "XpuMonitors": [{"XpuType": "NVIDIA-A2", "XpuUtilization": 0.2}, {"XpuType": "NVIDIA-A2", "XpuUtilization": 0.4}],
}  # fmt: skip


def box(code: str = "1", *infos: dict[str, Any], **more: Any) -> Box:
    values = {"family": Family.CAD, "state": "online", "address": "10.0.0.1", "port": 80, **more}
    return Box(code=code, infos=infos, **values)


def test_what_is_written_is_what_is_read_above() -> None:
    [node] = nodes_of([box("1", INFO)])
    basic, ops = basic_of(node), ops_of(node, [])
    [read] = infos_of("2", [basic], [ops], {}, PERCENT)
    told = {
        "Cpu",
        "CpuUtilization",
        "Memory",
        "MemoryUsed",
        "Disk",
        "DiskUsed",
        "IP",
        "HostName",
        "OS",
        "CpuType",
    }
    assert {name: read[name] for name in told} == {name: INFO[name] for name in told}
    assert [card["XpuUtilization"] for card in read["XpuMonitors"]] == [0.3, 0.3]
    assert read["IsOnline"] is True


@pytest.mark.parametrize(("state", "online"), [("online", True), ("suspect", False), ("lost", False)])
def test_a_node_that_is_away_is_not_online_above(state: str, online: bool) -> None:
    [node] = nodes_of([box("1", INFO, state=state)])
    assert infos_of("2", [basic_of(node)], [], {})[0]["IsOnline"] is online


@pytest.mark.parametrize(
    "info",
    [
        {}, {"IP": None, "HostName": 5, "XpuMonitors": "x", "Cpu": "many", "Memory": [], "Disk": None},
        {"XpuMonitors": [None, 3, {}], "MemoryUsed": 9, "Memory": 0, "CpuUtilization": 7, "OS": "y" * 99},
    ],
)  # fmt: skip
def test_whatever_was_seen_gives_a_node(info: dict[str, Any]) -> None:
    [node] = nodes_of([box("1", info)])
    basic, ops = basic_of(node), ops_of(node, [("s", 0.5)])
    assert basic["Ip"]
    assert basic["HostName"]
    assert len(basic["OS"]) <= 20
    assert all(0 <= ops[name] <= 100 for name in ("CpuUse", "XpuUse", "MemoryUse", "DiskUsed"))


def test_every_node_has_an_address_of_its_own_whatever_they_say() -> None:
    boxes = [
        box("1", INFO, port=1), box("2", INFO, port=1), box("3", INFO, port=2),
        box("4", INFO, INFO, {"HostName": "b"}, family=Family.CAP, address="10.0.0.4"), box("5", address=""),
    ]  # fmt: skip
    nodes = nodes_of(boxes)
    assert len(nodes) == len({node.address for node in nodes}) == 7
    for node in nodes:
        found = named(nodes, node.address)
        assert isinstance(found, OwnNode)
        assert (found.code, found.host) == (node.code, node.host)


def test_a_node_is_called_by_address_name_or_code_and_by_nothing_else() -> None:
    nodes = nodes_of([box("1" * 20, INFO), box("2" * 20, {**INFO, "IP": "10.0.0.2"})])
    by_address, by_code = named(nodes, " 10.0.0.2 "), named(nodes, "1" * 20)
    assert isinstance(by_address, OwnNode)
    assert isinstance(by_code, OwnNode)
    assert (by_address.code, by_code.code) == ("2" * 20, "1" * 20)
    assert named(nodes, "one") == "several nodes are called one: 10.0.0.1, 10.0.0.2"
    assert named(nodes, "x") == "there is no node x; the nodes are 10.0.0.1 (one), 10.0.0.2 (one)"
    assert named([], "x") == "there is no node x"
