"""Which cards of the box a service gets: the sum of quotas on a card never passes one.

Quotas are counted in thousandths, rounded to the nearest, so that three thirds fit and 0.1 ten times does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

WHOLE = 1000


class Card(Struct, frozen=True, kw_only=True):
    """A card as probed; type and vendor in any spelling of Part 5 tables H.1 and H.2."""

    index: int
    uuid: str
    type: str
    vendor: str = ""
    healthy: bool = True


class Share(Struct, frozen=True, kw_only=True):
    """What one load holds of one card; quota 1.0 = the whole card."""

    load_id: str
    index: int
    quota: float


class Wish(Struct, frozen=True, kw_only=True):
    """What one load needs; None = any accelerator, any vendor."""

    load_id: str
    quota: float
    accelerator: str | None = None
    vendor: str | None = None


class Assignment(Struct, frozen=True, kw_only=True):
    """The cards of one load, by index; `shares` replace whatever the load held before."""

    load_id: str
    cards: tuple[Card, ...]
    shares: tuple[Share, ...]


def assign(cards: Sequence[Card], taken: Sequence[Share], wish: Wish) -> Assignment | str:
    """The cards for this wish, or a sentence why there are none.

    A wish that holds shares keeps those cards while they are there, healthy, fitting and large enough; other
    wishes get the fullest card with room (the lowest index among equals), which keeps whole cards free. A
    quota over 1 takes that many cards, rounded up, each as a whole.
    """
    quota = _thousandths(wish.quota)
    if quota is None:
        return f"cannot assign a card to {wish.load_id}: its quota {wish.quota} is not a positive number"
    fitting = sorted(
        (card for card in cards if card.healthy and fits(card, wish)), key=lambda card: card.index
    )
    if len({card.index for card in fitting}) < len(fitting):
        return f"cannot assign a card to {wish.load_id}: two cards have one index"
    if not fitting:
        return f"cannot assign a card to {wish.load_id}: no healthy card {_asked(wish)}"
    free = _free(fitting, taken, wish.load_id)
    each, count = (quota, 1) if quota <= WHOLE else (WHOLE, -(-quota // WHOLE))
    roomy = [card for card in fitting if free[card.index] >= each]
    if len(roomy) < count:
        most = max(free.values()) / WHOLE
        what = f"{count} whole cards" if count > 1 else f"{each / WHOLE:g} of a card"
        return f"cannot assign {what} to {wish.load_id}: {len(roomy)} with that room, the freest has {most:g}"
    chosen = _choose(roomy, free, _held(taken, wish.load_id), count)
    shares = tuple(Share(load_id=wish.load_id, index=card.index, quota=each / WHOLE) for card in chosen)
    return Assignment(load_id=wish.load_id, cards=chosen, shares=shares)


def fits(card: Card, wish: Wish) -> bool:
    """Whether the card is what the wish asks for, spelling aside."""
    if wish.accelerator and fold(card.type) != fold(wish.accelerator):
        return False
    if not wish.vendor:
        return True
    if card.vendor:
        return fold(card.vendor) == fold(wish.vendor)
    return fold(card.type).startswith(fold(wish.vendor) + "-")


def fold(name: str) -> str:
    """One key for every spelling of an accelerator: case, space, underscore and hyphen are alike."""
    return "-".join(name.upper().replace("_", " ").replace("-", " ").split())


def _thousandths(quota: float) -> int | None:
    """At least one thousandth; None for what is no quota."""
    if not math.isfinite(quota) or quota <= 0:
        return None
    return max(1, round(quota * WHOLE))


def _free(cards: Sequence[Card], taken: Sequence[Share], load_id: str) -> dict[int, int]:
    free = {card.index: WHOLE for card in cards}
    for share in taken:
        if share.load_id != load_id and share.index in free:
            free[share.index] -= _thousandths(share.quota) or 0
    return free


def _held(taken: Sequence[Share], load_id: str) -> set[int]:
    return {share.index for share in taken if share.load_id == load_id}


def _choose(roomy: Sequence[Card], free: dict[int, int], held: set[int], count: int) -> tuple[Card, ...]:
    best = sorted(roomy, key=lambda card: (card.index not in held, free[card.index], card.index))
    return tuple(sorted(best[:count], key=lambda card: card.index))


def _asked(wish: Wish) -> str:
    asked = " ".join(part for part in (wish.vendor, wish.accelerator) if part)
    return f"of type {asked}" if asked else "on this box"
