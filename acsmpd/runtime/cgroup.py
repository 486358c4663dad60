"""Limits for a whole process tree by control groups, version 1 or 2, whichever we may write.

Groups are made below the daemon's own group, so a limit set on the daemon by its service manager holds for
its engines too. Version 2 hands controllers down only from a group without processes: the daemon then moves
itself one level down first, and only when it is alone there.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from acsmpd.faults import NotAllowed

_log = logging.getLogger(__name__)

_PAGE = os.sysconf("SC_PAGE_SIZE")
_OWN_LEAF = "acsmpd-daemon"


class Mounts(Struct, frozen=True):
    """Where groups may be made: one folder per controller (version 1 keeps them apart)."""

    version: int
    memory: Path | None
    pids: Path | None

    @property
    def folders(self) -> tuple[Path, ...]:
        return tuple(dict.fromkeys(path for path in (self.memory, self.pids) if path is not None))


class Group(Struct, frozen=True):
    """One engine's group: its folders, one per hierarchy."""

    folders: tuple[Path, ...]

    @property
    def procs_files(self) -> tuple[Path, ...]:
        return tuple(folder / "cgroup.procs" for folder in self.folders)


def find(mountinfo: Path = Path("/proc/self/mountinfo"), own: Path = Path("/proc/self/cgroup")) -> Mounts:
    """What is usable here; both controllers None when nothing is writable."""
    roots = _roots(mountinfo.read_text(encoding="utf-8"))
    paths = _own_paths(own.read_text(encoding="utf-8"))
    memory, pids = (_v1_folder(roots, paths, name) for name in ("memory", "pids"))
    if memory is not None or pids is not None:
        return Mounts(1, memory, pids)
    unified = _v2_folder(roots, paths)
    return Mounts(2, unified, unified)


def make(mounts: Mounts, name: str, memory_bytes: int, pids: int) -> Group:
    """A new empty group with both limits set and read back; what was made is removed when that fails."""
    group = Group(tuple(folder / name for folder in mounts.folders))
    try:
        for folder in group.folders:
            folder.mkdir()
        if mounts.memory is not None:
            _limit_memory(mounts, mounts.memory / name, memory_bytes)
        if mounts.pids is not None:
            _set(mounts.pids / name / "pids.max", pids, slack=0)
    except OSError as error:
        remove(group)
        raise NotAllowed(f"cannot limit {name} by a control group: {error}") from error
    except NotAllowed:
        remove(group)
        raise
    return group


def groups_of(pid: int, mountinfo: Path = Path("/proc/self/mountinfo")) -> Group:
    """The groups a process is in that count its processes, to be read only; empty when they cannot be told."""
    try:
        paths = _own_paths(Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"))
        roots = _roots(mountinfo.read_text(encoding="utf-8"))
    except OSError:
        return Group(())
    names = ("pids", "") if "pids" in roots else ("",)
    return Group(
        tuple(roots[name] / paths[name].lstrip("/") for name in names if name in roots and name in paths)
    )


def members(group: Group) -> set[int]:
    """The pids in the group now."""
    found: set[int] = set()
    for procs in group.procs_files:
        try:
            found.update(int(line) for line in procs.read_text(encoding="ascii").split())
        except OSError:
            continue  # the group is gone, and with it its members
    return found


def kill(group: Group) -> None:
    """SIGKILL everything in the group once; no new process can be made in it any more."""
    for folder in group.folders:
        _write_if_there(folder / "pids.max", "0")
        _write_if_there(folder / "cgroup.kill", "1")
    for pid in members(group):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def remove(group: Group) -> bool:
    """Take the empty group away; False when something still lives in it."""
    done = True
    for folder in group.folders:
        try:
            folder.rmdir()
        except FileNotFoundError:
            continue
        except OSError:
            done = False
    return done


def killed_for_memory(group: Group) -> bool:
    """Whether the kernel ended something in the group because of its memory limit."""
    for folder in group.folders:
        for name in ("memory.oom_control", "memory.events"):
            try:
                text = (folder / name).read_text(encoding="ascii")
            except OSError:
                continue
            if any(line.startswith("oom_kill ") and line != "oom_kill 0" for line in text.splitlines()):
                return True
    return False


def refused_processes(group: Group) -> bool:
    """Whether the kernel refused the group a process or thread because of its limit."""
    for folder in group.folders:
        try:
            text = (folder / "pids.events").read_text(encoding="ascii")
        except OSError:
            continue
        if any(line.startswith("max ") and line != "max 0" for line in text.splitlines()):
            return True
    return False


def _limit_memory(mounts: Mounts, folder: Path, memory_bytes: int) -> None:
    if mounts.version == 1:
        _set(folder / "memory.limit_in_bytes", memory_bytes, slack=_PAGE)
        if (folder / "memory.memsw.limit_in_bytes").exists():
            _set(folder / "memory.memsw.limit_in_bytes", memory_bytes, slack=_PAGE)
        return
    _set(folder / "memory.max", memory_bytes, slack=_PAGE)
    _write_if_there(folder / "memory.swap.max", "0")
    _write_if_there(folder / "memory.oom.group", "1")


def _set(file: Path, wanted: int, *, slack: int) -> None:
    file.write_text(str(wanted), encoding="ascii")
    read_back = file.read_text(encoding="ascii").strip()
    if not read_back.isdigit() or not wanted - slack <= int(read_back) <= wanted:
        raise NotAllowed(f"cannot trust the limit in {file}: wrote {wanted}, read back {read_back}")


def _write_if_there(file: Path, text: str) -> None:
    try:
        if file.exists():
            file.write_text(text, encoding="ascii")
    except OSError as error:
        _log.debug("cannot write %s: %s", file, error)


def _roots(mountinfo: str) -> dict[str, Path]:
    """Controller name (or "" for version 2) to its mount point."""
    found: dict[str, Path] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = [*right.split(" ", 2), "", ""][:3]
        point = Path(left.split()[4])
        if kind == "cgroup2":
            found.setdefault("", point)
        elif kind == "cgroup":
            for option in options.split(","):
                found.setdefault(option, point)
    return found


def _own_paths(text: str) -> dict[str, str]:
    rows = [line.split(":", 2) for line in text.splitlines()]
    return {name: row[2] for row in rows if len(row) == 3 for name in row[1].split(",")}


def _v1_folder(roots: dict[str, Path], paths: dict[str, str], controller: str) -> Path | None:
    """Our own group if it can be seen (a container may see only its root), else the mount itself."""
    if controller not in roots:
        return None
    root = roots[controller]
    own = root / paths.get(controller, "").lstrip("/")
    return _first([own, root], lambda folder: (folder / "cgroup.procs").exists() and _may_make(folder))


def _v2_folder(roots: dict[str, Path], paths: dict[str, str]) -> Path | None:
    if "" not in roots:
        return None
    own = roots[""] / paths.get("", "").lstrip("/")
    if own.name == _OWN_LEAF:
        own = own.parent  # an earlier look has moved us
    return _first([own, roots[""]], _hand_down)


def _first(folders: list[Path], fits: Callable[[Path], bool]) -> Path | None:
    return next((folder for folder in folders if fits(folder)), None)


def _may_make(folder: Path) -> bool:
    return os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _hand_down(folder: Path) -> bool:
    """Have memory and pids handed to the groups below `folder`; True when they are."""
    try:
        offered = (folder / "cgroup.controllers").read_text(encoding="ascii").split()
        if not {"memory", "pids"} <= set(offered) or not _may_make(folder):
            return False
        inside = (folder / "cgroup.procs").read_text(encoding="ascii").split()
        if inside == [str(os.getpid())]:
            (folder / _OWN_LEAF).mkdir(exist_ok=True)
            (folder / _OWN_LEAF / "cgroup.procs").write_text(inside[0], encoding="ascii")
        (folder / "cgroup.subtree_control").write_text("+memory +pids", encoding="ascii")
    except OSError as error:
        _log.debug("cannot have controllers handed down from %s: %s", folder, error)
        return False
    return True
