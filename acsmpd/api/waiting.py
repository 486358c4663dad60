"""?Wait=SECONDS: holding an answer until the wish is reached, without letting waiters take all threads."""

from __future__ import annotations

from collections.abc import Callable

from acsmpd import faults
from acsmpd.api.platform import Platform
from acsmpd.store.database import Tx

LONGEST_SECONDS = 30.0
LOOK_SECONDS = 0.1


def wait_seconds(text: str) -> float:
    """The seconds a caller wants to wait, 0 to 30. Raises InvalidField."""
    if not text:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise faults.InvalidField(f"Wait: {text[:20]!r} is not a number of seconds from 0 to 30")
    return seconds


def hold(platform: Platform, seconds: float, settled: Callable[[Tx], bool]) -> bool:
    """Wait for a condition in the store; False when it did not come in time, or at once beyond the waiters."""
    if seconds <= 0 or not platform.waiters.acquire(blocking=False):
        return False
    try:
        deadline = platform.clock.now().mono + seconds
        while True:
            with platform.store.read() as tx:
                if settled(tx):
                    return True
            left = deadline - platform.clock.now().mono
            if left <= 0 or platform.stopping.wait(min(LOOK_SECONDS, left)):
                return False
    finally:
        platform.waiters.release()
