"""How long to wait before a step is tried again."""

from __future__ import annotations

import zlib


def delay_seconds(attempts: int, *, first: float, limit: float, salt: str) -> float:
    """Doubling from `first` to `limit` with up to a quarter taken off, so that many subjects spread out.

    The same attempts and salt always give the same delay: a decision, not a dice roll.
    """
    if attempts <= 0:
        return 0.0
    full = min(limit, first * 2.0 ** min(attempts - 1, 30))
    share = (zlib.crc32(f"{salt}:{attempts}".encode()) % 1000) / 1000
    return float(full * (1 - 0.25 * share))
