"""How values went: a bounded ring of points per series, for the trend members of DeviceInfo."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Iterable

Point = tuple[int, float]


class History:
    """At most `points` values in each of at most `series` series; the series longest untouched goes first.

    A point that comes sooner than `spacing_ms` after the last one of its series is left out, so that the
    ring covers points * spacing_ms however often is sampled. Any thread may call.
    """

    def __init__(self, *, points: int = 60, spacing_ms: int = 60_000, series: int = 512) -> None:
        self._points = points
        self._spacing_ms = spacing_ms
        self._series = series
        self._rings: OrderedDict[str, deque[Point]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, name: str, wall_ms: int, value: float | None) -> None:
        """Note a value; None (not known) leaves no point."""
        if value is None:
            return
        with self._lock:
            ring = self._rings.setdefault(name, deque(maxlen=self._points))
            self._rings.move_to_end(name)
            if not ring or not 0 <= wall_ms - ring[-1][0] < self._spacing_ms:
                ring.append((wall_ms, value))
            while len(self._rings) > self._series:
                self._rings.popitem(last=False)

    def points(self, name: str) -> tuple[Point, ...]:
        with self._lock:
            return tuple(self._rings.get(name, ()))


def to_trend(points: Iterable[Point]) -> list[dict[str, float]]:
    """[{"<ms>": value}] ascending (contract X-TREND), also after the clock was set back."""
    return [{str(wall_ms): value} for wall_ms, value in sorted(dict(points).items())]
