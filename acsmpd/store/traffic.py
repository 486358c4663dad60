"""When people and applications were last at work here, so that work which has time steps aside.

One process has one interpreter: a backlog that drains at full speed makes everybody who searches wait.
"""

from __future__ import annotations


class Traffic:
    """Moments are monotonic seconds of this process. A float is set whole: no lock."""

    def __init__(self) -> None:
        self._at = float("-inf")

    def seen(self, now: float) -> None:
        """A request of a person or an application begins or ends."""
        self._at = now

    def is_quiet(self, now: float, seconds: float) -> bool:
        """Whether there was none for so long."""
        return now - self._at >= seconds
