"""What a container may use of its machine, read at the root of the control group mount.

Inside a container that root is the container's own group; on a plain host it is the machine and sets no
limit (cgroup v2 has no limit files there, v1 a number beyond any machine).
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

ROOT = Path("/sys/fs/cgroup")
_NO_LIMIT = 1 << 60


class Allowance(Struct, frozen=True, kw_only=True):
    """None where the group sets no limit; `used` and `cpu_seconds` only together with theirs."""

    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    cpus: float | None = None
    cpu_seconds: float | None = None


def read_allowance(root: Path = ROOT) -> Allowance:
    """The limits that hold for this container and what it uses of them; nothing on a plain host."""
    if (root / "cgroup.controllers").exists():
        limit, used = _memory_v2(root)
        cpus, seconds = _cpu_v2(root)
    else:
        limit, used = _memory_v1(root / "memory")
        cpus, seconds = _cpu_v1(root)
    return Allowance(
        memory_bytes=limit,
        memory_used_bytes=used if limit is not None else None,
        cpus=cpus,
        cpu_seconds=seconds if cpus is not None else None,
    )


def _memory_v2(root: Path) -> tuple[int | None, int | None]:
    limit = _number(_text(root / "memory.max"))
    return limit, _without_cache(root / "memory.current", root / "memory.stat", "inactive_file")


def _memory_v1(root: Path) -> tuple[int | None, int | None]:
    limit = _number(_text(root / "memory.limit_in_bytes"))
    return limit, _without_cache(root / "memory.usage_in_bytes", root / "memory.stat", "total_inactive_file")


def _without_cache(usage: Path, stat: Path, cache: str) -> int | None:
    """Used memory less the file cache that the kernel gives back when asked."""
    used = _number(_text(usage))
    return None if used is None else max(used - (_named(_text(stat), cache) or 0), 0)


def _cpu_v2(root: Path) -> tuple[float | None, float | None]:
    quota, _, period = _text(root / "cpu.max").partition(" ")
    micros = _named(_text(root / "cpu.stat"), "usage_usec")
    return _cpus(_number(quota), _number(period)), None if micros is None else micros / 1e6


def _cpu_v1(root: Path) -> tuple[float | None, float | None]:
    quota = _number(_text(root / "cpu" / "cpu.cfs_quota_us"))
    period = _number(_text(root / "cpu" / "cpu.cfs_period_us"))
    nanos = _number(_text(root / "cpuacct" / "cpuacct.usage"))
    return _cpus(quota, period), None if nanos is None else nanos / 1e9


def _cpus(quota: int | None, period: int | None) -> float | None:
    return quota / period if quota and period else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _number(text: str) -> int | None:
    """None for "max", for -1, for what is not there and for numbers beyond any machine."""
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT else None


def _named(text: str, name: str) -> int | None:
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _number(value)
    return None
