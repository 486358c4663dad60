"""What the C library is told about memory, before there is a second thread."""

from __future__ import annotations

import contextlib
import ctypes

ARENAS = 2
_M_ARENA_MAX = -8


def few_arenas() -> None:
    """Let the threads share two heaps.

    glibc gives up to eight a core; what is freed in one is not used again in another. With 10,000 instances and
    forty threads that was 8 MB. Most of our threads wait for the interpreter's lock, not for each other's heap.
    Another C library has no such call and is left as it is.
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, ARENAS)
