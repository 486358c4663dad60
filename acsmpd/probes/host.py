"""The machine's own numbers, by psutil. Asks nothing that can hang: of file systems only the data
directory's and those on local block devices are looked at, never a network mount."""

from __future__ import annotations

import math
import os
import platform
import socket
from pathlib import Path

import psutil

from acsmpd.clock import Clock
from acsmpd.probes.cgroup import ROOT, Allowance, read_allowance
from acsmpd.probes.probe import Disk, HostSample

MAX_DISKS = 32
MAX_IPS = 32
_ROUTES = Path("/proc/net/route")
_NOT_DISKS = ("squashfs", "iso9660", "udf", "fuse")  # always full, or served by a program that may hang
_INNER_NICS = ("docker", "br-", "veth", "virbr", "cni", "flannel", "podman", "kube", "cali")
_MIN_CPU_SECONDS = 0.05  # a shorter stretch of CPU time says nothing


class HostProbe:
    """Samples the machine. CPU use is what was used since the sample before."""

    def __init__(self, clock: Clock, data_dir: Path, cgroup_root: Path = ROOT) -> None:
        self._clock = clock
        self._data_dir = data_dir
        self._cgroup_root = cgroup_root
        self._os = os_name()
        self._times = _cpu_times()
        self._group_before: tuple[float, float] | None = None  # (mono, CPU seconds)
        cores = psutil.cpu_count() or 1
        self._cpu = min(os.getloadavg()[0] / cores, 1.0)  # stands in until there is a stretch to measure

    def sample(self) -> HostSample:
        """The numbers of now. Raises OSError or psutil.Error when the system does not tell them."""
        allowance = read_allowance(self._cgroup_root)
        cores = len(os.sched_getaffinity(0))
        if allowance.cpus is not None:
            cores = min(cores, max(1, math.ceil(allowance.cpus)))
        memory, used = _memory(allowance)
        return HostSample(
            cpu_cores=cores,
            cpu_utilization=self._cpu_use(allowance),
            cpu_type=cpu_type(platform.machine()),
            memory_bytes=memory,
            memory_used_bytes=used,
            disks=disks(self._data_dir),
            hostname=socket.gethostname(),
            os=self._os,
            ips=addresses(),
        )

    def _cpu_use(self, allowance: Allowance) -> float:
        if allowance.cpus is not None and allowance.cpu_seconds is not None:
            measured = self._group_use(allowance.cpus, allowance.cpu_seconds)
        else:
            measured = self._machine_use()
        if measured is not None:
            self._cpu = min(max(measured, 0.0), 1.0)
        return round(self._cpu, 4)

    def _machine_use(self) -> float | None:
        busy, total = _cpu_times()
        busy_before, total_before = self._times
        if total - total_before < _MIN_CPU_SECONDS:
            return None
        self._times = busy, total
        return (busy - busy_before) / (total - total_before)

    def _group_use(self, cpus: float, seconds: float) -> float | None:
        now, before = self._clock.now().mono, self._group_before
        if before is not None and now - before[0] < _MIN_CPU_SECONDS:
            return None
        self._group_before = now, seconds
        return None if before is None else (seconds - before[1]) / (cpus * (now - before[0]))


def cpu_type(machine: str) -> str:
    """x86 or arm as the standard writes them; another architecture by its own name."""
    name = machine.lower()
    if name in {"x86_64", "amd64", "x86"} or (name.startswith("i") and name.endswith("86")):
        return "x86"
    return "arm" if name.startswith(("arm", "aarch")) else name[:20] or "unknown"


def os_name() -> str:
    """The system as its makers call it, else the kernel's name."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def disks(data_dir: Path) -> tuple[Disk, ...]:
    """Every local disk once, the data directory's first, whatever that one is."""
    home, home_device = _home_of(data_dir)
    found = {home_device: home}
    for part in psutil.disk_partitions(all=False):
        if part.fstype.startswith(_NOT_DISKS) or len(found) >= MAX_DISKS:
            continue
        try:
            if os.path.isdir(part.mountpoint):  # containers mount single files of the host's disk
                found.setdefault(os.stat(part.mountpoint).st_dev, Path(part.mountpoint))
        except OSError:
            continue  # unmounted between the listing and the look
    return tuple(disk for disk in map(_measure, found.values()) if disk is not None)


def _home_of(data_dir: Path) -> tuple[Path, int]:
    """The mount point that holds the data directory (its nearest parent while it is not made yet)."""
    path = data_dir.absolute()
    while not path.exists():
        path = path.parent
    path = path.resolve()
    device = path.stat().st_dev
    while not os.path.ismount(path):
        path = path.parent
    return path, device


def _measure(path: Path) -> Disk | None:
    try:
        usage = psutil.disk_usage(str(path))
    except OSError:
        return None
    return Disk(path=str(path), total_bytes=usage.total, used_bytes=usage.used) if usage.total else None


def _memory(allowance: Allowance) -> tuple[int, int]:
    machine = psutil.virtual_memory()
    limit, used = allowance.memory_bytes, allowance.memory_used_bytes
    if limit is not None and used is not None and limit < machine.total:
        return limit, min(used, limit)
    return machine.total, machine.total - machine.available


def _cpu_times() -> tuple[float, float]:
    """(busy, all) seconds of all processors since boot; guest time is counted inside user time."""
    times = psutil.cpu_times()
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def addresses() -> tuple[str, ...]:
    """Addresses by which others reach this machine: the default route's network first, IPv4 before IPv6."""
    up = {name for name, nic in psutil.net_if_stats().items() if nic.isup}
    default = default_nics(_read_routes())
    found = [
        (name not in default, entry.family != socket.AF_INET, name, entry.address.partition("%")[0])
        for name, entries in psutil.net_if_addrs().items()
        if name in up and not name.startswith(_INNER_NICS)
        for entry in entries
        if _reachable(entry.family, entry.address)
    ]
    return tuple(dict.fromkeys(address for *_rank, address in sorted(found)))[:MAX_IPS]


def default_nics(routes: str) -> frozenset[str]:
    """The interfaces of default routes in the text of /proc/net/route."""
    rows = [line.split() for line in routes.splitlines()[1:]]
    return frozenset(row[0] for row in rows if len(row) > 7 and row[1] == row[7] == "00000000")


def _read_routes() -> str:
    try:
        return _ROUTES.read_text(encoding="ascii")
    except OSError:
        return ""


def _reachable(family: int, address: str) -> bool:
    if family == socket.AF_INET:
        return not address.startswith(("127.", "169.254."))
    return family == socket.AF_INET6 and address != "::1" and not address.startswith("fe80:")
