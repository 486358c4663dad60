"""What an earlier daemon left running, found by its records and control groups, and ended."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

from acsmpd.clock import Clock
from acsmpd.runtime import cgroup, tree
from acsmpd.runtime.record import Record, is_same
from acsmpd.runtime.values import Swept

_POLL_SECONDS = 0.02


def end(record: Record, clock: Clock, seconds: float) -> Swept:
    """End the recorded process and all below it, if it is that very process; a stranger is left alone.

    What is in the record's control group is ours whatever its pid, within the same boot.
    """
    if record.boot_id != clock.now().boot_id:
        return _told(record, ended=False, reason="recorded before the last boot")
    group = cgroup.Group(tuple(Path(folder) for folder in record.cgroup_folders))
    known = tree.members(record.pid) if is_same(record, record.boot_id) else []
    found = bool(known) or bool(cgroup.members(group))
    if not found:
        cgroup.remove(group)
        return _told(record, ended=False, reason="its process was gone already")
    if _end_all(known, group, clock, seconds):
        return _told(record, ended=True, reason="ended: it had outlived its daemon")
    return _told(record, ended=False, reason=f"still running after {seconds:g} s of SIGKILL")


def end_groups(group: cgroup.Group, clock: Clock, seconds: float) -> bool:
    """End what is in a control group and remove it; False when it could not be emptied in time."""
    return _end_all([], group, clock, seconds)


def _end_all(known: list[tree.Member], group: cgroup.Group, clock: Clock, seconds: float) -> bool:
    begin, pause = clock.now().mono, threading.Event()
    if known:
        known[0].send(signal.SIGHUP)  # a guard ends its tree; bubblewrap ends, and its namespace with it
    while any(member.alive() for member in known) or cgroup.members(group):
        waited = clock.now().mono - begin
        if waited > seconds:
            return False
        cgroup.kill(group)
        for member in known if waited > seconds / 4 else []:
            member.send(signal.SIGKILL)
        pause.wait(_POLL_SECONDS)
    while not cgroup.remove(group):
        if clock.now().mono - begin > seconds:
            return False
        pause.wait(_POLL_SECONDS)
    return True


def _told(record: Record, *, ended: bool, reason: str) -> Swept:
    return Swept(load_id=record.load_id, pid=record.pid, ended=ended, reason=reason)
