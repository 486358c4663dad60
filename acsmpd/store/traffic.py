"""Who was at work here lately, so that work which has time steps aside.

One process has one interpreter: a backlog that drains at full speed makes everybody who searches wait, and looking at
each device as it comes makes all that come after it wait.
"""

from __future__ import annotations

from collections import deque

STORM = 20
"""Registrations within a second that are a storm: a platform that was away is found again by all its devices."""


class Traffic:
    """Moments are monotonic seconds of this process. What is set is set whole: no lock."""

    def __init__(self) -> None:
        self._at = float("-inf")
        self._registrations = deque([float("-inf")] * STORM, maxlen=STORM)

    def seen(self, now: float) -> None:
        """A request of a person or an application begins or ends."""
        self._at = now

    def is_quiet(self, now: float, seconds: float) -> bool:
        """Whether there was none for so long."""
        return now - self._at >= seconds

    def registered(self, now: float) -> None:
        """A device asks to be registered."""
        self._registrations.append(now)

    def is_storming(self, now: float) -> bool:
        """Whether devices come by the dozen."""
        return now - self._registrations[0] <= 1.0
