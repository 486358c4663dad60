"""Package files on their way to devices: kept in memory, since every block would be a write.

Moments are monotonic seconds of this process. What was under way before a restart shows itself again with
its next block.
"""

from __future__ import annotations

import threading

from msgspec import Struct

MOST = 4096
"""Transfers that are remembered; the oldest give way."""

PIECES = 64
"""Pieces of one file that are told apart; a device that reads more at random shows itself by its listing."""


class Transfer(Struct, frozen=True):
    """The pieces of a file a device has read ((first, end), in order, apart), and when it last took a block."""

    size: int
    at: float
    pieces: tuple[tuple[int, int], ...] = ()

    @property
    def share(self) -> float:
        """0 to 1."""
        return sum(end - first for first, end in self.pieces) / self.size if self.size else 0.0

    @property
    def whole(self) -> bool:
        return self.size > 0 and self.pieces == ((0, self.size),)


class Transfers:
    """Thread-safe, by the number of the copy."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[int, Transfer] = {}

    def pushed(self, copy_id: int, now: float) -> None:
        """A push leaves: the device has nothing of it yet."""
        self._keep(copy_id, Transfer(0, now))

    def read(self, copy_id: int, first: int, end: int, size: int, now: float) -> None:
        """The device took the bytes from `first` up to `end`.

        Of a file that was pushed before this process started it may have read what lies before.
        """
        with self._lock:
            known = self._known.get(copy_id)
        pieces = known.pieces if known else ((0, first),)
        self._keep(copy_id, Transfer(size, now, joined(pieces, first, end)))

    def of(self, copy_id: int) -> Transfer | None:
        with self._lock:
            return self._known.get(copy_id)

    def moving(self, now: float, seconds: float) -> set[int]:
        """The copies that are on their way: pushed, or a block taken, so short a time ago, and not whole."""
        with self._lock:
            return {
                copy_id for copy_id, one in self._known.items() if now - one.at <= seconds and not one.whole
            }

    def forget(self, copy_id: int) -> None:
        with self._lock:
            self._known.pop(copy_id, None)

    def _keep(self, copy_id: int, transfer: Transfer) -> None:
        with self._lock:
            self._known.pop(copy_id, None)
            self._known[copy_id] = transfer
            if len(self._known) > MOST:
                del self._known[next(iter(self._known))]


def joined(pieces: tuple[tuple[int, int], ...], first: int, end: int) -> tuple[tuple[int, int], ...]:
    """The pieces with one more, those that touch made one."""
    found: list[tuple[int, int]] = []
    for begin, stop in sorted([*pieces, (first, end)]):
        if begin >= stop:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], stop))
        else:
            found.append((begin, stop))
    return tuple(found[:PIECES])
