"""What a device says of itself in the one form we show: table A.2 of Part 4, whatever form came.

Devices write utilisations as percentages, cards in spellings of their own, numbers with fractions where
whole ones are printed, trends in four forms, and leave out what is mandatory.
"""

from __future__ import annotations

from typing import Any

import msgspec

from acsmpd.spec.accelerators import canonical_card
from acsmpd.spec.messages.monitoring import DeviceInfo
from acsmpd.spec.reading import read_tolerant

Json = dict[str, Any]

_DEVICE: Json = {
    "Cpu": 0, "CpuType": "", "CpuUtilization": 0.0, "Memory": 0, "MemoryUsed": 0.0, "Disk": 0, "DiskUsed": 0.0,
}  # fmt: skip
_CARD: Json = {"XpuUtilization": 0.0, "XpuType": ""}
_LISTS: dict[str, Json] = {
    "DiskDetails": {"Path": "", "Disk": 0, "DiskUsed": 0.0},
    "XpuMonitors": _CARD,
    "AlgoServiceMonitors": {"AlgoFilePackageID": "", **_CARD},
}
"""Mandatory members of an item, and what stands for one that was not said."""
_CODE_LENGTH = 20
_LONGEST = {"CpuType": 20, "XpuType": 64, "AlgoFilePackageID": 40, "AlgoServiceID": 128}


def normalised(info: Json, code: str, online: bool) -> Json:
    """`info` as a DeviceInfo with every mandatory member.

    A utilisation is 0-1, one above 1 was a percentage; IsOnline only if we judge so and the device does not deny it.
    """
    seen = msgspec.to_builtins(read_tolerant(DeviceInfo, info))
    device = _complete(seen, _DEVICE)
    if not 0 < len(device.get("DeviceID", "")) <= _CODE_LENGTH:
        device["DeviceID"] = code
    for name, required in _LISTS.items():
        if name in device:
            device[name] = [_complete(item, required) for item in device[name]]
    return {**device, "IsOnline": online and device.get("IsOnline") is not False}


def _complete(seen: Json, required: Json) -> Json:
    known = {name: value for name, value in seen.items() if value is not None}
    return {name: _member(name, value) for name, value in {**required, **known}.items()}


def _member(name: str, value: Any) -> Any:
    if name.endswith("Utilization"):
        return _fraction(value)
    if name.endswith("UtilizationList"):
        return [{moment: _fraction(number) for moment, number in point.items()} for point in value]
    if name == "XpuType":
        value = canonical_card(value) or value
    return value[: _LONGEST[name]] if name in _LONGEST else value


def _fraction(value: float) -> float:
    return min(max(value / 100 if value > 1 else value, 0.0), 1.0)
