"""DeviceInfo, member by member."""

from __future__ import annotations

import json

import msgspec

from acsmpd.probes.device_info import ServiceUse, device_info, record_services
from acsmpd.probes.history import History
from acsmpd.probes.probe import Card, CardProcess, Disk, HostSample, Sample
from acsmpd.probes.trends import record_sample

GIB = 1 << 30
CODE = "11010800005050000001"

HOST = HostSample(
    cpu_cores=64,
    cpu_utilization=0.2334,
    cpu_type="x86",
    memory_bytes=int(125.6 * GIB),
    memory_used_bytes=int(45.25 * GIB),
    disks=(
        Disk(path="/data", total_bytes=1000 * GIB, used_bytes=300 * GIB),
        Disk(path="/boot/efi", total_bytes=GIB // 10, used_bytes=0),
    ),
    hostname="XpuDevice20",
    os="Linux",
    ips=("192.0.2.1", "192.0.2.2"),
)
CARD = Card(
    index=0,
    uuid="GPU-a2",
    vendor="NVIDIA",
    type="NVIDIA-A2",
    name_raw="NVIDIA A2",
    memory_bytes=16 * GIB,
    memory_used_bytes=5 * GIB,
    utilization=0.37,
    processes=(
        CardProcess(pid=100, memory_used_bytes=2 * GIB, utilization=0.25),
        CardProcess(pid=101, memory_used_bytes=GIB),
        CardProcess(pid=200, memory_used_bytes=2 * GIB),
    ),
)
SERVICE = ServiceUse(
    service_id="s1",
    package_id="p1",
    xpu_index=0,
    xpu_type="NVIDIA-A2",
    cpu_fraction=0.125,
    memory_bytes=GIB // 2,
    pids=(100, 101),
)


def sample(*cards: Card, wall_ms: int = 1000) -> Sample:
    return Sample(wall_ms=wall_ms, host=HOST, cards=cards)


def monitor(card: Card, service: ServiceUse) -> dict[str, object]:
    info = device_info(sample(card), History(), [service], device_id=CODE)
    return dict(info["AlgoServiceMonitors"][0])


def test_every_member_and_its_unit() -> None:
    history = History()
    record_sample(history, sample(CARD))
    record_services(history, sample(CARD), [SERVICE])
    info = device_info(sample(CARD), history, [SERVICE], device_id=CODE)
    assert info == {
        "DeviceID": CODE,
        "IsOnline": True,
        "IP": "192.0.2.1",
        "HostName": "XpuDevice20",
        "OS": "Linux",
        "Cpu": 64,
        "CpuType": "x86",
        "CpuUtilization": 0.2334,
        "CpuUtilizationList": [{"1000": 0.2334}],
        "Memory": 126,
        "MemoryUsed": 45.25,
        "MemoryUsedList": [{"1000": 45.25}],
        "Disk": 1000,
        "DiskUsed": 300.0,
        "DiskUsedList": [{"1000": 300.0}],
        "DiskDetails": [
            {"Path": "/data", "Disk": 1000, "DiskUsed": 300.0},
            {"Path": "/boot/efi", "Disk": 1, "DiskUsed": 0.0},
        ],
        "XpuMonitors": [
            {
                "XpuMemory": 16,
                "XpuMemoryUsed": 5.0,
                "XpuMemoryUsedList": [{"1000": 5.0}],
                "XpuUtilization": 0.37,
                "XpuUtilizationList": [{"1000": 0.37}],
                "XpuType": "NVIDIA-A2",
            }
        ],
        "AlgoServiceMonitors": [
            {
                "AlgoServiceID": "s1",
                "AlgoFilePackageID": "p1",
                "XpuMemory": 16,
                "XpuMemoryUsed": 3.0,
                "XpuMemoryUsedList": [{"1000": 3.0}],
                "XpuUtilization": 0.25,
                "XpuUtilizationList": [{"1000": 0.25}],
                "XpuType": "NVIDIA-A2",
                "CpuUtilization": 0.125,
                "MemoryUsed": 0.5,
            }
        ],
    }
    assert json.loads(json.dumps(info)) == info


def test_a_silent_card_says_so_beside_its_required_number() -> None:
    history = History()
    silent = CARD.unread("not answering", "no answer within 5 s")
    record_sample(history, sample(silent))
    card = device_info(sample(silent), history, [], device_id=CODE)["XpuMonitors"][0]
    assert (card["XpuUtilization"], card["State"], card["XpuMemory"]) == (0.0, "not answering", 16)
    assert "XpuMemoryUsed" not in card
    assert (card["XpuUtilizationList"], card["XpuMemoryUsedList"]) == ([], [])


def test_a_card_that_never_tells_its_use_says_so() -> None:
    mute = msgspec.structs.replace(CARD, utilization=None, memory_bytes=None)
    card = device_info(sample(mute), History(), [], device_id=CODE)["XpuMonitors"][0]
    assert (card["XpuUtilization"], card["State"]) == (0.0, "utilization not supported")
    assert "XpuMemory" not in card


def test_a_machine_without_cards_and_address() -> None:
    bare = Sample(wall_ms=1, host=msgspec.structs.replace(HOST, ips=(), disks=()))
    info = device_info(bare, History(), [], device_id=CODE)
    assert "IP" not in info
    assert (info["Disk"], info["DiskUsed"], info["XpuMonitors"]) == (0, 0.0, [])


def test_a_service_on_the_processor_alone() -> None:
    shown = monitor(CARD, ServiceUse(service_id="s", package_id="p", pids=(100,)))
    assert (shown["XpuUtilization"], shown["XpuType"]) == (0.0, "")
    assert not {"XpuMemory", "XpuMemoryUsed", "CpuUtilization", "MemoryUsed", "State"} & shown.keys()


def test_a_service_alone_on_a_card_has_the_cards_use_where_the_driver_tells_no_shares() -> None:
    alone = msgspec.structs.replace(CARD, processes=(CardProcess(pid=100),))
    assert monitor(alone, SERVICE)["XpuUtilization"] == 0.37
    shared = msgspec.structs.replace(CARD, processes=(CardProcess(pid=100), CardProcess(pid=9)))
    assert monitor(shared, SERVICE)["XpuUtilization"] == 0.0
    assert "XpuMemoryUsed" not in monitor(shared, SERVICE)


def test_a_service_whose_processes_are_not_on_its_card_uses_nothing() -> None:
    idle = msgspec.structs.replace(SERVICE, pids=(7,))
    assert (monitor(CARD, idle)["XpuUtilization"], monitor(CARD, idle)["XpuMemoryUsed"]) == (0.0, 0.0)


def test_a_service_on_a_lost_card_says_so() -> None:
    shown = monitor(CARD.unread("lost", "GPU is lost"), SERVICE)
    assert (shown["XpuUtilization"], shown["State"], shown["XpuType"]) == (0.0, "lost", "NVIDIA-A2")
    assert "XpuMemoryUsed" not in shown
