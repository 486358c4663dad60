"""Whether the cards a computility was last seen with are what a package asks for (Part 5 tables H.1, H.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from acsmpd.spec.accelerators import ACCELERATORS, canonical_card, folded

_VENDOR_OF = {card.id: card.vendor for card in ACCELERATORS}


def cards_in(infos: Sequence[Mapping[str, Any]]) -> tuple[str, ...] | None:
    """The cards in a device's own words as printed ids; None when it tells none, or one nobody knows."""
    found = set()
    for info in infos:
        for monitor in info.get("XpuMonitors") or ():
            card = canonical_card(str(monitor.get("XpuType") or ""))
            if card is None:
                return None
            found.add(card)
    return tuple(sorted(found)) or None


def misfit(wishes: Sequence[Mapping[str, Any]], cards: Sequence[str] | None) -> str:
    """Why none of the cards is what a package's xpu entries ask for, "" when one is, or nobody knows."""
    if not wishes or cards is None or any(_fits(wish, card) for wish in wishes for card in cards):
        return ""
    asked = " or ".join(dict.fromkeys(_asked(wish) for wish in wishes))
    return f"its package asks for a card {asked}, the device has {', '.join(cards)}"


def streams(wishes: Sequence[Mapping[str, Any]], xpu_type: str, cards: Sequence[str] | None) -> int | None:
    """Streams one replica carries by its package's xpu entries, None when they do not say.

    By the card it was given (`xpu_type`), else the least by those of its computility, else the least of all: of entries
    for one card, such as for several resolutions, the first with a quota counts.
    """
    own = canonical_card(xpu_type)
    there = [own] if own else list(cards or ())
    told = [wish for wish in wishes if wish.get("stream_video_quota")]
    found = [next((wish for wish in told if _fits(wish, card)), None) for card in there]
    first: dict[str, Mapping[str, Any]] = {}
    for wish in told:
        first.setdefault(folded(_asked(wish)), wish)
    meant = [wish for wish in found if wish is not None] or list(first.values())
    return min((int(wish["stream_video_quota"]) for wish in meant), default=None)


def wish_for(wishes: Sequence[Mapping[str, Any]], xpu_type: str) -> Mapping[str, Any] | None:
    """The first xpu entry of a package that is for this card; None if none is, or the card is unknown."""
    card = canonical_card(xpu_type)
    return next((wish for wish in wishes if card and _fits(wish, card)), None)


def _fits(wish: Mapping[str, Any], card: str) -> bool:
    accelerator, vendor = str(wish.get("accelerator") or ""), str(wish.get("vendor") or "")
    if accelerator and folded(canonical_card(accelerator) or accelerator) != folded(card):
        return False
    return not vendor or folded(vendor) == folded(_VENDOR_OF[card]) or folded(card).startswith(folded(vendor))


def _asked(wish: Mapping[str, Any]) -> str:
    return str(wish.get("accelerator") or wish.get("vendor") or "")
