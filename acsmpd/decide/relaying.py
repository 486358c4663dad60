"""How results go to a receiver: which entry of the settings holds for it, and when its line is free again."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from acsmpd.settings import Relay

SLOWEST_BYTES_PER_SECOND = 4_000
"""A thin line carries at least so much; what is posted gets the time it takes at this pace."""
BURST_SECONDS = 1.0
"""So much of a second's worth may go ahead of the pace, so that small results need not go one at a time."""


def line_to(lines: Sequence[Relay], destination: str) -> Relay:
    """The first entry that names scheme://host:port, else the defaults."""
    parts = urlsplit(destination)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname or ""
    names = {"", f"{host}:{parts.port}", f"{host}:*"}
    return next((line for line in lines if line.to.lower() in names), _PLAIN)


def posting_seconds(size: int, usual: float) -> float:
    """How long a post of so many bytes may take on the thinnest of lines."""
    return usual + size / SLOWEST_BYTES_PER_SECOND


class Pace(Struct):
    """Keeps a destination within its bytes a second on average. Times are monotonic seconds."""

    free: float = float("-inf")

    def taken(self, line: Relay, size: int, now: float) -> None:
        """So many bytes have gone."""
        if line.bytes_per_second:
            self.free = max(self.free, now) + size / line.bytes_per_second

    def pause(self, now: float) -> float:
        """Seconds until the next may go."""
        return max(0.0, self.free - now - BURST_SECONDS)


_PLAIN = Relay()
