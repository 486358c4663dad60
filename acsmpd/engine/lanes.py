"""Where steps are performed: a bounded pool of threads, a bound per device, nothing queued.

A job that finds no free lane is simply not taken; the next pass plans it again from state.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

log = logging.getLogger(__name__)


class Lanes:
    """At most `number` jobs at once, at most `per_device` of them for one device, one for a key."""

    def __init__(self, name: str, number: int, per_device: int, done: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(number, thread_name_prefix=name)
        self._number, self._per_device, self._done = number, per_device, done
        self._lock = threading.Lock()
        self._busy: dict[str, str] = {}
        self._devices: Counter[str] = Counter()
        self._open = True

    def take(self, key: str, device: str, job: Callable[[], None]) -> bool:
        """Perform the job in a lane if one is free; False (and nothing happens) if none is."""
        with self._lock:
            full = len(self._busy) >= self._number or self._devices[device] >= self._per_device
            if not self._open or key in self._busy or full:
                return False
            self._busy[key] = device
            self._devices[device] += 1
        self._pool.submit(self._perform, key, device, job)
        return True

    def busy(self, key: str) -> bool:
        with self._lock:
            return key in self._busy

    @property
    def free(self) -> int:
        with self._lock:
            return self._number - len(self._busy)

    def _perform(self, key: str, device: str, job: Callable[[], None]) -> None:
        done = False
        try:
            job()
            done = True
        except Exception:
            log.exception("a lane failed", extra={"device": device, "subject": key})
        finally:
            with self._lock:
                self._busy.pop(key, None)
                self._devices[device] -= 1
                if not self._devices[device]:
                    del self._devices[device]
        if done:  # after a failure the next tick is soon enough: nothing may spin on a full disk
            self._done()

    def close(self) -> None:
        """Take nothing more and wait for what was taken (every call of a lane has a deadline of its own)."""
        with self._lock:
            self._open = False
        self._pool.shutdown(wait=True)
