"""The processes of one engine as the operating system shows them: signals and use, over the whole tree."""

from __future__ import annotations

import os
import signal

import psutil

from acsmpd.runtime.record import start_ticks


class Member:
    """One process of a tree, told from a later one with the same pid by its start time."""

    def __init__(self, pid: int) -> None:
        self.pid, self.ticks = pid, start_ticks(pid)

    def alive(self) -> bool:
        return self.ticks is not None and start_ticks(self.pid) == self.ticks

    def send(self, number: int) -> None:
        if self.alive():
            send(self.pid, number)


def members(pid: int) -> list[Member]:
    """The process and everything below it, the root first."""
    return [Member(process.pid) for process in _tree(pid)]


def terminate_inside(pid: int) -> bool:
    """SIGTERM to the process group of the program behind bubblewrap; False while there is none yet.

    pid is bubblewrap's monitor, its child the namespace's init, which ignores SIGTERM; the program is below.
    """
    try:
        inits = psutil.Process(pid).children()
        programs = [child for init in inits for child in init.children()]
        for program in programs[:1]:
            os.killpg(os.getpgid(program.pid), signal.SIGTERM)
    except (psutil.Error, ProcessLookupError):
        return False
    return bool(programs)


def send(pid: int, number: int) -> None:
    """A signal to one process, if it is still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def cpu_seconds_rss_pids(pid: int) -> tuple[float, int, tuple[int, ...]]:
    """CPU seconds used so far and bytes resident of the living tree, and its process ids, the root's first."""
    cpu, rss, pids = 0.0, 0, []
    for process in _tree(pid):
        try:
            with process.oneshot():
                times, memory = process.cpu_times(), process.memory_info()
        except psutil.Error:
            continue
        cpu += times.user + times.system
        rss += memory.rss
        pids.append(process.pid)
    return cpu, rss, tuple(pids)


def _tree(pid: int) -> list[psutil.Process]:
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []
