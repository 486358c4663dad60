"""A card keeps its number, whatever the driver's own count says."""

from __future__ import annotations

from acsmpd.probes.places import MAX_PLACES, Places
from acsmpd.probes.probe import Card, CardState


def card(index: int, uuid: str, state: CardState = "ok", error: str = "") -> Card:
    used = 100 if state == "ok" else None
    name = f"name of {uuid}" if uuid else ""
    return Card(
        index=index,
        uuid=uuid,
        vendor="NVIDIA",
        type=name,
        name_raw=name,
        memory_bytes=1000 if uuid else None,
        memory_used_bytes=used,
        utilization=0.5 if state == "ok" else None,
        state=state,
        error=error,
    )


def seen(cards: tuple[Card, ...]) -> list[tuple[int, str, str]]:
    return [(card.index, card.uuid, card.state) for card in cards]


def test_cards_come_in_the_drivers_order() -> None:
    assert seen(Places().arrange([card(1, "b"), card(0, "a")])) == [(0, "a", "ok"), (1, "b", "ok")]


def test_a_vanished_card_keeps_its_place_as_lost_and_the_others_do_not_move() -> None:
    places = Places()
    places.arrange([card(0, "a"), card(1, "b"), card(2, "c")])
    after = places.arrange([card(0, "b"), card(1, "c")])
    assert seen(after) == [(0, "a", "lost"), (1, "b", "ok"), (2, "c", "ok")]
    assert after[0].error == "the driver no longer lists this card"
    assert (after[0].memory_bytes, after[0].memory_used_bytes, after[0].utilization) == (1000, None, None)
    assert seen(places.arrange([card(0, "a"), card(1, "b"), card(2, "c")])) == [
        (0, "a", "ok"),
        (1, "b", "ok"),
        (2, "c", "ok"),
    ]


def test_a_replacement_takes_a_new_place() -> None:
    places = Places()
    places.arrange([card(0, "a"), card(1, "b")])
    after = places.arrange([card(0, "new"), card(1, "b")])
    assert seen(after) == [(0, "a", "lost"), (1, "b", "ok"), (2, "new", "ok")]


def test_a_card_too_lost_to_tell_its_uuid_is_known_by_the_drivers_index() -> None:
    places = Places()
    places.arrange([card(0, "a"), card(1, "b")])
    after = places.arrange([card(0, "", "lost", "GPU is lost"), card(1, "b")])
    assert seen(after) == [(0, "a", "lost"), (1, "b", "ok")]
    assert (after[0].name_raw, after[0].error) == ("name of a", "GPU is lost")


def test_a_nameless_card_does_not_take_a_place_that_is_filled() -> None:
    places = Places()
    places.arrange([card(0, "a"), card(1, "b")])
    after = places.arrange([card(0, "b"), card(1, "", "lost", "GPU is lost")])
    assert seen(after) == [(0, "a", "lost"), (1, "b", "ok"), (2, "", "lost")]


def test_a_card_that_was_lost_from_the_start_gets_its_name_later() -> None:
    places = Places()
    assert seen(places.arrange([card(0, "", "lost"), card(1, "b")])) == [(0, "", "lost"), (1, "b", "ok")]
    assert seen(places.arrange([card(0, "a"), card(1, "b")])) == [(0, "a", "ok"), (1, "b", "ok")]


def test_silence_leaves_every_card_without_measurements() -> None:
    places = Places()
    places.arrange([card(0, "a"), card(1, "b")])
    places.arrange([card(0, "b")])
    after = places.silent("no answer")
    assert seen(after) == [(0, "a", "lost"), (1, "b", "not answering")]
    assert (after[1].utilization, after[1].memory_bytes, after[1].error) == (None, 1000, "no answer")


def test_places_are_bounded() -> None:
    places = Places()
    for start in range(0, 3 * MAX_PLACES, MAX_PLACES):
        places.arrange([card(at, f"u{start + at}") for at in range(MAX_PLACES)])
    assert len(places.silent("x")) == MAX_PLACES
