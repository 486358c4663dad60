"""A gate before costly work: few inside, some waiting, the rest told to come back."""

from __future__ import annotations

import threading
from types import TracebackType

from acsmpd import faults

MOST_WAITING = 64


def waiting_within(threads: int) -> int:
    """How many may wait at a gate of a server with so many threads.

    Whoever waits holds a thread: with 16 of them 64 could never be reached, and a queue at the gate
    would leave no thread for anybody else.
    """
    return min(MOST_WAITING, max(2, threads // 4))


class Gate:
    """Lets `inside` threads in at once and `waiting` more wait; any further one gets SlowDown at once."""

    def __init__(self, inside: int, waiting: int, what: str) -> None:
        self._free = threading.Semaphore(inside)
        self._lock = threading.Lock()
        self._here = 0
        self._most = inside + waiting
        self._what = what

    @property
    def here(self) -> int:
        """Threads inside or waiting, now."""
        return self._here

    def __enter__(self) -> None:
        with self._lock:
            if self._here >= self._most:
                raise faults.SlowDown(
                    f"cannot {self._what} now: {self._here} wait already", retry_after_seconds=2
                )
            self._here += 1
        try:
            self._free.acquire()
        except BaseException:
            self._leave()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._free.release()
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            self._here -= 1
