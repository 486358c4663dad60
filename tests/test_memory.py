"""Threads share two heaps of the C library."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOOK = """
import ctypes, sys, threading
from acsmpd.memory import few_arenas

if sys.argv[1] == "few":
    few_arenas()
libc, here = ctypes.CDLL(None), threading.Barrier(12)


def take():
    kept = bytearray(3000)
    here.wait(timeout=30)
    kept += bytes(6000)
    here.wait(timeout=30)


threads = [threading.Thread(target=take) for _ in range(12)]
for one in threads:
    one.start()
for one in threads:
    one.join()
libc.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


def heaps(how: str) -> int:
    """Heaps of a process with twelve threads that allocate at the same moment."""
    told = subprocess.run(
        [sys.executable, "-c", LOOK, how], capture_output=True, text=True, check=True
    ).stdout
    return told.count("<heap nr=")


@pytest.mark.parametrize(("how", "few"), [("many", False), ("few", True)])
def test_threads_share_two_heaps(how: str, few: bool) -> None:
    assert (heaps(how) <= 2) is few
