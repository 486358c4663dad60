"""The one way a test waits: on a condition, with a deadline. No test sleeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def wait_until(condition: Callable[[], T], *, seconds: float = 20.0, what: str = "") -> T:
    """Return the condition's first true value; fail, naming `what`, when the deadline passes."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        pause.wait(0.02)
