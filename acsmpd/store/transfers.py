"""Package files on their way to devices: kept in memory, since every block would be a write.

Moments are monotonic seconds of this process. What was under way before a restart shows itself again with
its next block.
"""

from __future__ import annotations

import threading

from msgspec import Struct

MOST = 4096
"""Transfers that are remembered; the oldest give way."""


class Transfer(Struct, frozen=True):
    """How far a device has read a file, and when it last took a block. `share`: 0 to 1."""

    share: float
    at: float


class Transfers:
    """Thread-safe, by the number of the copy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, Transfer] = {}

    def moved(self, copy_id: int, share: float, now: float) -> None:
        with self._lock:
            self._known.pop(copy_id, None)
            self._known[copy_id] = Transfer(min(max(share, 0.0), 1.0), now)
            if len(self._known) > MOST:
                del self._known[next(iter(self._known))]

    def of(self, copy_id: int) -> Transfer | None:
        with self._lock:
            return self._known.get(copy_id)

    def forget(self, copy_id: int) -> None:
        with self._lock:
            self._known.pop(copy_id, None)
