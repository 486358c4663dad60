"""How many streams licences allow (conventions section 9). Quotas add up within a pool: what the licences of one
provider give to a computility that has its own, or to all others together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

UNDECLARED = -1
"""Nobody says how many: no limit by us."""


class Grant(Struct, frozen=True, kw_only=True):
    """What a licence gives. `device` "": to all that have none of their own. `abilities`: capability -> streams, None
    where nobody says. One that is over gives nothing, and still is there."""

    device: str = ""
    abilities: Mapping[str, int] | None = None
    is_over: bool = False


def total(grants: Sequence[Grant], capability: str) -> int:
    """The streams of a capability that these grants of its provider allow together (table E.7)."""
    if not grants or any(one.abilities is None and not one.is_over for one in grants):
        return UNDECLARED
    return sum((one.abilities or {}).get(capability, 0) for one in grants if not one.is_over)


def pool_of(grants: Iterable[Grant], device: str) -> list[Grant]:
    """Those that bind a computility: its own if there is any, else those for all."""
    there = list(grants)
    return [one for one in there if one.device == device] or [one for one in there if not one.device]


def grant_of(row: Mapping[str, Any], *, is_over: bool) -> Grant:
    """A stored licence as what it gives."""
    return Grant(device=row["device"], abilities=row["abilities"], is_over=is_over)
