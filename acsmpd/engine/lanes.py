"""Where steps are performed: a bounded pool of threads, a bound per device, nothing queued but the last plan.

`take`: a job that finds no free lane is simply not taken; the next pass plans it again from state. `plan`: the jobs
of one pass, begun as lanes become free; the next pass replaces what has not begun, and each job looks at the state
again before it does anything, so that none is done because it was wanted once.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """What is to be done, for which device; one of a key at a time."""

    key: str
    device: str
    run: Callable[[], None]


class Lanes:
    """At most `number` jobs at once, at most `per_device` of them for one device, one for a key."""

    def __init__(self, name: str, number: int, per_device: int, done: Callable[[], None]) -> None:
        self._pool = ThreadPoolExecutor(number, thread_name_prefix=name)
        self._number, self._per_device, self._done = number, per_device, done
        self._lock = threading.Lock()
        self._busy: dict[str, str] = {}
        self._devices: Counter[str] = Counter()
        self._planned: dict[str, deque[Job]] = {}
        """by device, in the order of their turns"""
        self._open = True

    def take(self, key: str, device: str, job: Callable[[], None]) -> bool:
        """Perform the job in a lane if one is free; False (and nothing happens) if none is."""
        with self._lock:
            if not self._fits(key, device):
                return False
            self._begin(Job(key, device, job))
        return True

    def plan(self, jobs: Iterable[Job]) -> None:
        """Perform these as lanes become free, device by device in turn; what was planned before and has not begun
        is not done any more."""
        planned: dict[str, deque[Job]] = {}
        for job in jobs:
            planned.setdefault(job.device, deque()).append(job)
        with self._lock:
            self._planned = planned
            self._fill()

    def busy(self, key: str) -> bool:
        with self._lock:
            return key in self._busy

    @property
    def free(self) -> int:
        with self._lock:
            return self._number - len(self._busy)

    def _fits(self, key: str, device: str) -> bool:
        full = len(self._busy) >= self._number or self._devices[device] >= self._per_device
        return self._open and key not in self._busy and not full

    def _begin(self, job: Job) -> None:
        self._busy[job.key] = job.device
        self._devices[job.device] += 1
        self._pool.submit(self._perform, job)

    def _fill(self) -> None:
        """Begin what is planned and fits. The lock is held."""
        while len(self._busy) < self._number:
            job = self._next()
            if job is None:
                return
            self._begin(job)

    def _next(self) -> Job | None:
        """A planned job that fits, of the device whose last turn is longest ago."""
        for device, jobs in self._planned.items():
            if self._devices[device] >= self._per_device:
                continue
            job = next((one for one in jobs if self._fits(one.key, device)), None)
            if job is None:
                continue
            jobs.remove(job)
            del self._planned[device]
            if jobs:
                self._planned[device] = jobs  # behind all others
            return job
        return None

    def _perform(self, job: Job) -> None:
        done = False
        try:
            job.run()
            done = True
        except Exception:
            log.exception("a lane failed", extra={"device": job.device, "subject": job.key})
        finally:
            with self._lock:
                self._end(job, done)
        if done:  # after a failure the next tick is soon enough: nothing may spin on a full disk
            self._done()

    def _end(self, job: Job, done: bool) -> None:
        self._busy.pop(job.key, None)
        self._devices[job.device] -= 1
        if not self._devices[job.device]:
            del self._devices[job.device]
        if not done:
            self._planned.clear()  # nor may what was planned fail one after the other
        self._fill()

    def close(self) -> None:
        """Take nothing more and wait for what was taken (every call of a lane has a deadline of its own)."""
        with self._lock:
            self._open = False
            self._planned.clear()
        self._pool.shutdown(wait=True)
