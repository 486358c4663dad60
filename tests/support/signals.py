"""Signals to a thread of a process: the kernel may give one that is sent to the process to any."""

from __future__ import annotations

import ctypes
import os


def signal_another_thread(pid: int, number: int) -> None:
    """Send the signal to a thread that is not the main one."""
    others = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task") if int(name) != pid)
    assert others, f"process {pid} has one thread only"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.tgkill(pid, others[0], number) != 0:
        raise OSError(ctypes.get_errno(), f"cannot signal thread {others[0]} of {pid}")
