"""How results go to a receiver: which entry of the settings holds for it, and when its line is free again."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from msgspec import Struct

from acsmpd.settings import Relay

SLOWEST_BYTES_PER_SECOND = 4_000
"""A thin line carries at least so much; what is posted gets the time it takes at this pace."""
MOST_ASIDE = 100
"""Addresses of one destination that are left alone at once: each is a word of every search for what goes next."""
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


class Asides(Struct):
    """Addresses of one destination that refuse what they get, each left alone for a while so that others go on.

    Times are monotonic seconds.
    """

    refused: dict[str, tuple[int, float]] = {}
    """address -> refusals in a row, and until when it is left alone"""
    since: set[str] = set()
    """those that have refused since any took something"""

    @property
    def is_one(self) -> bool:
        """Whether it is one address that refuses; several, and none that takes: hardly for what they get."""
        return len(self.since) <= 1

    def refuses(self, url: str) -> int:
        """It has refused; how often in a row by now. Of too many the first to be tried again is forgotten."""
        number, until = self.refused.get(url, (0, float("-inf")))
        self.refused[url] = (number + 1, until)
        self.since.add(url)
        if len(self.refused) > MOST_ASIDE:
            first = min((one for one in self.refused if one != url), key=lambda one: self.refused[one][1])
            self.refused.pop(first)
            self.since.discard(first)
        return number + 1

    def leave(self, url: str, until: float) -> None:
        """One that has refused is left alone until then."""
        self.refused[url] = (self.refused[url][0], until)

    def took(self, url: str) -> None:
        """It took something."""
        self.refused.pop(url, None)
        self.since.clear()

    def now(self, now: float) -> dict[str, float]:
        """Those left alone, and until when."""
        return {url: until for url, (_, until) in self.refused.items() if until > now}


_PLAIN = Relay()
