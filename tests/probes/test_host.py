"""The machine the tests run on, and containers made of small files."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import psutil
import pytest

from acsmpd.clock import Clock
from acsmpd.probes.cgroup import Allowance, read_allowance
from acsmpd.probes.host import HostProbe, addresses, cpu_type, default_nics, disks, os_name
from tests.support.wait import wait_until

GIB = 1 << 30


def test_the_numbers_of_this_machine_are_sane(tmp_path: Path) -> None:
    sample = HostProbe(Clock(), tmp_path, tmp_path).sample()
    assert 1 <= sample.cpu_cores <= (psutil.cpu_count() or 1)
    assert 0.0 <= sample.cpu_utilization <= 1.0
    assert sample.memory_bytes == psutil.virtual_memory().total
    assert 0 < sample.memory_used_bytes < sample.memory_bytes
    assert sample.hostname == socket.gethostname()
    assert sample.os
    assert sample.cpu_type in {"x86", "arm", "riscv64", "loongarch64", "ppc64le", "s390x"}
    for disk in sample.disks:
        assert 0 <= disk.used_bytes <= disk.total_bytes


def test_cpu_use_is_measured_between_samples(tmp_path: Path) -> None:
    probe = HostProbe(Clock(), tmp_path, tmp_path)
    burnt = time.process_time() + 0.5
    while time.process_time() < burnt:
        pass
    busy = wait_until(lambda: probe.sample().cpu_utilization, what="a measured CPU use")
    assert busy >= 0.3 / (psutil.cpu_count() or 1) / 2


def test_the_disk_of_the_data_directory_comes_first(tmp_path: Path) -> None:
    found = disks(tmp_path / "not" / "made" / "yet")
    assert os.stat(found[0].path).st_dev == tmp_path.stat().st_dev
    assert found[0].total_bytes == psutil.disk_usage(str(tmp_path)).total
    devices = [os.stat(disk.path).st_dev for disk in found]
    assert len(devices) == len(set(devices))


def test_memory_file_systems_are_no_disks_unless_the_data_lies_there(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    if not memory.is_mount() or not any(
        part.mountpoint == "/dev/shm" and part.fstype == "tmpfs" for part in psutil.disk_partitions(all=True)
    ):
        pytest.skip("needs a tmpfs at /dev/shm")
    assert str(memory) not in [disk.path for disk in disks(tmp_path)]
    assert disks(memory)[0].path == str(memory)


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", "x86"),
        ("AMD64", "x86"),
        ("i686", "x86"),
        ("aarch64", "arm"),
        ("armv7l", "arm"),
        ("riscv64", "riscv64"),
        ("ia64", "ia64"),
        ("", "unknown"),
    ],
)
def test_architectures_as_the_standard_writes_them(machine: str, expected: str) -> None:
    assert cpu_type(machine) == expected


def test_the_system_has_a_name() -> None:
    assert os_name()


def test_addresses_are_reachable_ones() -> None:
    for address in addresses():
        assert not address.startswith(("127.", "169.254.", "fe80:"))
        assert "%" not in address
        assert address != "::1"


def test_the_default_route_names_its_interface() -> None:
    head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
    default = "eth1\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
    local = "eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
    assert default_nics(head + local + default) == {"eth1"}
    assert default_nics(head + local) == frozenset()
    assert default_nics("") == frozenset()


def _files(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2 = {
    "cgroup.controllers": "cpu memory\n",
    "memory.max": f"{2 * GIB}\n",
    "memory.current": f"{GIB}\n",
    "memory.stat": f"anon 1\nfile 2\ninactive_file {GIB // 2}\n",
    "cpu.max": "150000 100000\n",
    "cpu.stat": "usage_usec 3000000\nuser_usec 1\n",
}
V1 = {
    "memory/memory.limit_in_bytes": f"{2 * GIB}\n",
    "memory/memory.usage_in_bytes": f"{GIB}\n",
    "memory/memory.stat": f"inactive_file 7\ntotal_inactive_file {GIB // 2}\n",
    "cpu/cpu.cfs_quota_us": "150000\n",
    "cpu/cpu.cfs_period_us": "100000\n",
    "cpuacct/cpuacct.usage": "3000000000\n",
}


@pytest.mark.parametrize("files", [V1, V2])
def test_a_containers_limits_are_read(tmp_path: Path, files: dict[str, str]) -> None:
    assert read_allowance(_files(tmp_path, files)) == Allowance(
        memory_bytes=2 * GIB, memory_used_bytes=GIB // 2, cpus=1.5, cpu_seconds=3.0
    )


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"cgroup.controllers": "cpu memory\n", "cpu.stat": "usage_usec 5\n", "memory.stat": "file 3\n"},
        V2 | {"memory.max": "max\n", "cpu.max": "max 100000\n"},
        V1 | {"memory/memory.limit_in_bytes": "9223372036854771712\n", "cpu/cpu.cfs_quota_us": "-1\n"},
    ],
)
def test_no_limit_is_no_allowance(tmp_path: Path, files: dict[str, str]) -> None:
    assert read_allowance(_files(tmp_path, files)) == Allowance()


def test_a_container_shows_its_own_size(tmp_path: Path) -> None:
    small = V2 | {"memory.max": "536870912\n", "memory.current": "268435456\n", "memory.stat": "\n"}
    sample = HostProbe(Clock(), tmp_path, _files(tmp_path, small | {"cpu.max": "50000 100000\n"})).sample()
    assert (sample.memory_bytes, sample.memory_used_bytes) == (512 << 20, 256 << 20)
    assert sample.cpu_cores == 1


def test_a_containers_cpu_use_is_of_its_own_share(tmp_path: Path) -> None:
    _files(tmp_path, V2)
    clock = Clock()
    probe = HostProbe(clock, tmp_path, tmp_path)
    probe.sample()
    start = clock.now().mono
    wait_until(lambda: clock.now().mono - start > 0.1)
    _files(tmp_path, {"cpu.stat": "usage_usec 999000000\n"})
    assert probe.sample().cpu_utilization == 1.0
    start = clock.now().mono
    wait_until(lambda: clock.now().mono - start > 0.1)
    assert probe.sample().cpu_utilization == 0.0
