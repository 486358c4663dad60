"""What devices say of themselves, in whatever form, is shown as table A.2."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from acsmpd.decide.device_info import normalised
from acsmpd.spec.messages.monitoring import DeviceInfo

CODE = "11010000005050000001"
BARE = {
    "DeviceID": CODE, "IsOnline": True, "Cpu": 0, "CpuType": "", "CpuUtilization": 0.0, "Memory": 0,
    "MemoryUsed": 0.0, "Disk": 0, "DiskUsed": 0.0,
}  # fmt: skip


def shown(online: bool = True, **said: Any) -> dict[str, Any]:
    """The device as it is shown; that it is a valid DeviceInfo is part of every test."""
    device = normalised(said, CODE, online)
    msgspec.convert(device, DeviceInfo)
    return device


def test_what_says_nothing_has_every_mandatory_member() -> None:
    assert shown() == BARE
    device = shown(XpuMonitors=[{}], AlgoServiceMonitors=[{"ID": "p"}], DiskDetails=[{}])
    assert device["XpuMonitors"] == [{"XpuUtilization": 0.0, "XpuType": ""}]
    assert device["AlgoServiceMonitors"] == [{"AlgoFilePackageID": "p", "XpuUtilization": 0.0, "XpuType": ""}]
    assert device["DiskDetails"] == [{"Path": "", "Disk": 0, "DiskUsed": 0.0}]


@pytest.mark.parametrize(
    ("said", "fraction"),
    [
        (0.233, 0.233),
        (1, 1.0),
        (1.0, 1.0),
        (23.3, 0.233),
        ("23.3%", 0.233),
        (100, 1.0),
        (250, 1.0),
        (-3, 0.0),
    ],
)
def test_a_utilisation_is_a_fraction_and_above_1_it_was_a_percentage(said: Any, fraction: float) -> None:
    card = {"XpuType": "x", "XpuUtilization": said, "XpuUtilizationList": [{"5": said}]}
    service = {"AlgoFilePackageID": "p", **card, "CpuUtilization": said}
    device = shown(
        CpuUtilization=said,
        CpuUtilizationList=[{"5": said}],
        XpuMonitors=[card],
        AlgoServiceMonitors=[service],
    )
    want = pytest.approx(fraction)
    for one in (device["XpuMonitors"][0], device["AlgoServiceMonitors"][0]):
        assert (one["XpuUtilization"], one["XpuUtilizationList"]) == (want, [{"5": want}])
    assert (device["CpuUtilization"], device["CpuUtilizationList"]) == (want, [{"5": want}])
    assert device["AlgoServiceMonitors"][0]["CpuUtilization"] == want


def test_what_is_measured_in_gigabytes_is_no_percentage() -> None:
    device = shown(
        MemoryUsed=45.3, MemoryUsedList=[{"5": 45.3}], DiskUsed="45", Memory=127.8, Cpu="64", Disk=1e3
    )
    assert (device["MemoryUsed"], device["MemoryUsedList"], device["DiskUsed"]) == (45.3, [{"5": 45.3}], 45.0)
    assert (device["Memory"], device["Cpu"], device["Disk"]) == (128, 64, 1000)


@pytest.mark.parametrize(
    ("said", "card"),
    [
        ("NVIDIA_T4", "NVIDIA-T4"),
        ("nvidia a2", "NVIDIA-A2"),
        ("MLU-370-S8", "MLU-370-S4/S8"),
        ("Weird Card 9", "Weird Card 9"),
        ("x" * 99, "x" * 64),
    ],
)
def test_a_card_has_its_printed_id_and_a_stranger_its_own_name(said: str, card: str) -> None:
    device = shown(XpuMonitors={"XpuType": said, "XpuUtilization": 0.5, "XpuMemory": 15.9})
    assert device["XpuMonitors"] == [{"XpuMemory": 16, "XpuUtilization": 0.5, "XpuType": card}]


@pytest.mark.parametrize(
    "said",
    [
        [{"20": 2}, {"10": "1"}],
        [[20, 2.0], ["10", 1]],
        {"20": 2, "10": 1},
        {20: 2, 10: 1},
        [{20: 2}, {10: 1}],
        [{"20": 2, "10": 1}, {"x": 3}, "y", [1], None],
    ],
)
def test_a_trend_is_ascending_one_key_maps_whatever_form_came(said: Any) -> None:
    assert shown(**{"DiskUsed List": said})["DiskUsedList"] == [{"10": 1.0}, {"20": 2.0}]


@pytest.mark.parametrize(
    ("online", "said", "is_online"),
    [
        (True, {}, True),
        (True, {"IsOnline": "true"}, True),
        (True, {"IsOnline": False}, False),
        (True, {"IsOnline": "false"}, False),
        (False, {"IsOnline": True}, False),
        (False, {}, False),
    ],
)
def test_it_is_online_if_we_say_so_and_it_does_not_deny_it(
    online: bool, said: dict[str, Any], is_online: bool
) -> None:
    assert shown(online, **said)["IsOnline"] is is_online


def test_texts_are_as_short_as_they_are_printed() -> None:
    device = shown(CpuType="Intel(R) Xeon(R) Platinum 8358P", DeviceID="a serial number of 31 characters")
    assert (device["CpuType"], device["DeviceID"]) == ("Intel(R) Xeon(R) Pla", CODE)
    assert shown(Code="machine_Code")["DeviceID"] == "machine_Code"
    assert shown(Code="")["DeviceID"] == CODE


def test_what_is_normal_already_stays_as_it_is() -> None:
    once = shown(CpuUtilization=23.3, XpuMonitors=[{"XpuType": "NVIDIA_T4", "XpuUtilization": 55}])
    assert shown(**once) == once
