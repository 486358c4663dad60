"""Who was heard and who answered: kept in memory, so that a heartbeat costs no write (R19).

The engine flushes it in batches. All moments are monotonic seconds of this process.
"""

from __future__ import annotations

import threading

from msgspec import Struct
from msgspec.structs import replace


class Sign(Struct, frozen=True):
    """Signs of life of one computility since this process started."""

    heard: float | None = None
    answered: float | None = None
    failures: int = 0
    failing_since: float | None = None
    failure: str = ""


NONE = Sign()


class Presence:
    """Thread-safe signs of life, by computility code. Bounded by the codes that are registered."""

    def __init__(self, started: float) -> None:
        self.started = started
        self._lock = threading.Lock()
        self._signs: dict[str, Sign] = {}
        self._dirty: set[str] = set()

    def heard(self, code: str, now: float) -> None:
        """A request came from it."""
        self._set(code, heard=now)

    def answered(self, code: str, now: float, left_out: str = "") -> None:
        """It answered a call of ours; `left_out`: what it could not be asked all the same, in words."""
        self._set(code, answered=now, failures=0, failing_since=None, failure=left_out[:200])

    def failed(self, code: str, now: float, reason: str) -> None:
        """An observation of it failed."""
        with self._lock:
            sign = self._signs.get(code, NONE)
            since = sign.failing_since if sign.failures else now
            self._signs[code] = replace(
                sign, failures=sign.failures + 1, failing_since=since, failure=reason[:200]
            )

    def _set(self, code: str, **changes: object) -> None:
        with self._lock:
            self._signs[code] = replace(self._signs.get(code, NONE), **changes)
            self._dirty.add(code)

    def of(self, code: str) -> Sign:
        with self._lock:
            return self._signs.get(code, NONE)

    def forget(self, code: str) -> None:
        """It unregistered or registered anew: older signs say nothing."""
        with self._lock:
            self._signs.pop(code, None)
            self._dirty.discard(code)

    def give_back(self, codes: list[str]) -> None:
        """What `take_dirty` gave could not be written: it comes again."""
        with self._lock:
            self._dirty.update(code for code in codes if code in self._signs)

    def take_dirty(self) -> list[str]:
        """Codes whose signs changed since the last call, to be written in one batch."""
        with self._lock:
            found = sorted(self._dirty)
            self._dirty.clear()
            return found
