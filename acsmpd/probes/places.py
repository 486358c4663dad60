"""A card keeps its number: the places of cards for the life of the process.

A driver counts the cards that answer, so its index of a card changes when another one falls off the bus.
Services are bound to a card by our index, which follows the UUID.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from acsmpd.probes.probe import Card

MAX_PLACES = 64


class Places:
    """The cards ever seen, each in its place. Used by one thread."""

    def __init__(self) -> None:
        self._known: dict[str, Card] = {}
        self._listed: dict[int, str] = {}  # the driver's index -> key of the card it last meant

    def arrange(self, cards: Iterable[Card]) -> tuple[Card, ...]:
        """The cards just read, by place, together with those that vanished, as lost."""
        seen: set[str] = set()
        for card in sorted(cards, key=lambda card: card.uuid == ""):  # the nameless take what is left
            key = self._key(card, seen)
            if key not in self._known and len(self._known) >= MAX_PLACES:
                continue
            self._keep(key, card)
            seen.add(key)
        for key, card in self._known.items():
            if key not in seen:
                self._known[key] = card.unread("lost", "the driver no longer lists this card")
        return self._by_place()

    def silent(self, error: str) -> tuple[Card, ...]:
        """Every card as one that does not answer; one already lost stays lost."""
        for key, card in self._known.items():
            if card.state != "lost":
                self._known[key] = card.unread("not answering", error)
        return self._by_place()

    def _by_place(self) -> tuple[Card, ...]:
        return tuple(sorted(self._known.values(), key=lambda card: card.index))

    def _key(self, card: Card, seen: set[str]) -> str:
        if card.uuid:
            return card.uuid
        key = self._listed.get(card.index, "")
        return key if key and key not in seen else f"index {card.index}"

    def _keep(self, key: str, card: Card) -> None:
        nameless = self._known.get(f"index {card.index}")
        if key not in self._known and nameless is not None:
            del self._known[f"index {card.index}"]  # it was here before it could tell its UUID
        before = self._known.get(key)
        self._listed[card.index] = key
        if before is None:
            self._known[key] = structs.replace(card, index=self._free(card.index))
        elif not card.uuid and before.uuid:
            self._known[key] = before.unread(card.state, card.error)
        else:
            self._known[key] = structs.replace(card, index=before.index)

    def _free(self, wanted: int) -> int:
        taken = {card.index for card in self._known.values()}
        return wanted if wanted not in taken else min(set(range(len(taken) + 1)) - taken)
