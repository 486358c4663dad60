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


def _fits(wish: Mapping[str, Any], card: str) -> bool:
    accelerator, vendor = str(wish.get("accelerator") or ""), str(wish.get("vendor") or "")
    if accelerator and folded(canonical_card(accelerator) or accelerator) != folded(card):
        return False
    return not vendor or folded(vendor) == folded(_VENDOR_OF[card]) or folded(card).startswith(folded(vendor))


def _asked(wish: Mapping[str, Any]) -> str:
    return str(wish.get("accelerator") or wish.get("vendor") or "")
