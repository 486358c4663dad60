"""Cards: never over one, stable, the same answer for the same question."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.cards import Assignment, Card, Share, Wish, assign, fold

A2 = [Card(index=i, uuid=f"GPU-{i}", type="NVIDIA-A2", vendor="NVIDIA") for i in range(3)]


def share(load_id: str, index: int, quota: float) -> Share:
    return Share(load_id=load_id, index=index, quota=quota)


def indexes(answer: Assignment | str) -> list[int]:
    assert isinstance(answer, Assignment), answer
    return [card.index for card in answer.cards]


def test_the_fullest_card_with_room_is_taken() -> None:
    taken = [share("a", 1, 0.5), share("b", 2, 0.25)]
    assert indexes(assign(A2, taken, Wish(load_id="c", quota=0.5))) == [1]
    assert indexes(assign(A2, taken, Wish(load_id="c", quota=0.6))) == [2]
    assert indexes(assign(A2, taken, Wish(load_id="c", quota=1))) == [0]


def test_three_thirds_and_ten_tenths_fit_and_no_more() -> None:
    for quota, count in ((1 / 3, 3), (0.1, 10), (0.5, 2)):
        taken: list[Share] = []
        for number in range(count):
            answer = assign(A2[:1], taken, Wish(load_id=f"l{number}", quota=quota))
            assert isinstance(answer, Assignment)
            taken.extend(answer.shares)
        full = assign(A2[:1], taken, Wish(load_id="more", quota=quota))
        assert isinstance(full, str)
        assert "cannot assign" in full
        assert "0 with that room" in full


def test_a_wish_keeps_its_card_though_another_would_be_chosen_now() -> None:
    taken = [share("me", 2, 0.5), share("a", 0, 0.5)]
    assert indexes(assign(A2, taken, Wish(load_id="me", quota=0.5))) == [2]
    assert indexes(assign(A2, taken, Wish(load_id="me", quota=0.9))) == [2]
    assert indexes(assign(list(reversed(A2)), taken, Wish(load_id="me", quota=0.5))) == [2]


def test_a_wish_leaves_a_card_that_is_sick_gone_or_too_full() -> None:
    wish = Wish(load_id="me", quota=0.5)
    sick = [A2[0], Card(index=1, uuid="GPU-1", type="NVIDIA-A2", vendor="NVIDIA", healthy=False)]
    assert indexes(assign(sick, [share("me", 1, 0.5)], wish)) == [0]
    assert indexes(assign(A2[:1], [share("me", 1, 0.5)], wish)) == [0]
    assert indexes(assign(A2[:2], [share("me", 1, 0.5), share("x", 1, 0.6)], wish)) == [0]


def test_more_than_one_takes_whole_cards() -> None:
    answer = assign(A2, [share("a", 0, 0.1)], Wish(load_id="big", quota=1.5))
    assert indexes(answer) == [1, 2]
    assert isinstance(answer, Assignment)
    assert [one.quota for one in answer.shares] == [1.0, 1.0]
    refused = assign(A2, [share("a", 0, 0.1)], Wish(load_id="big", quota=3))
    assert refused == "cannot assign 3 whole cards to big: 2 with that room, the freest has 1"


@pytest.mark.parametrize("asked", ["NVIDIA-A2", "nvidia_a2", "Nvidia A2"])
def test_spelling_does_not_matter(asked: str) -> None:
    assert indexes(assign(A2, [], Wish(load_id="a", quota=0.5, accelerator=asked, vendor="nvidia "))) == [0]
    assert fold(asked) == "NVIDIA-A2"


def test_another_type_or_vendor_is_refused_by_name() -> None:
    told = assign(A2, [], Wish(load_id="a", quota=0.5, accelerator="NVIDIA-T4"))
    assert told == "cannot assign a card to a: no healthy card of type NVIDIA-T4"
    assert "HUAWEI" in str(assign(A2, [], Wish(load_id="a", quota=0.5, vendor="HUAWEI")))
    nameless = [Card(index=0, uuid="", type="NVIDIA_T4")]
    assert indexes(assign(nameless, [], Wish(load_id="a", quota=0.5, vendor="NVIDIA"))) == [0]
    assert isinstance(assign(nameless, [], Wish(load_id="a", quota=0.5, vendor="NVI")), str)


@pytest.mark.parametrize("quota", [0, -1, math.nan, math.inf])
def test_what_is_no_quota_is_refused(quota: float) -> None:
    assert "not a positive number" in str(assign(A2, [], Wish(load_id="a", quota=quota)))


def test_no_card_and_doubled_index_are_told() -> None:
    assert assign([], [], Wish(load_id="a", quota=1)).endswith("no healthy card on this box")  # type: ignore[union-attr]
    assert "two cards have one index" in str(assign([A2[0], A2[0]], [], Wish(load_id="a", quota=1)))


QUOTAS = st.one_of(st.floats(0.001, 3.0), st.sampled_from([0.1, 0.25, 1 / 3, 0.5, 0.999, 1.0, 1.001, 2.0]))
WISHES = st.lists(st.tuples(st.integers(0, 6), QUOTAS), max_size=25)


@given(WISHES, st.integers(1, 4))
def test_never_over_one_and_equal_questions_get_equal_answers(
    wishes: list[tuple[int, float]], count: int
) -> None:
    cards = [Card(index=i, uuid=str(i), type="NVIDIA-A2") for i in range(count)]
    taken: list[Share] = []
    for number, quota in wishes:
        wish = Wish(load_id=f"l{number}", quota=quota)
        answer = assign(cards, taken, wish)
        assert answer == assign(list(reversed(cards)), list(reversed(taken)), wish)
        if isinstance(answer, Assignment):
            before = {one.index for one in taken if one.load_id == wish.load_id}
            taken = [one for one in taken if one.load_id != wish.load_id] + list(answer.shares)
            again = assign(cards, taken, wish)
            assert again == answer, "asked again it keeps what it has"
            if before and quota <= 1 and len(before) == 1:
                room = 1.0 - sum(
                    one.quota for one in taken if one.load_id != wish.load_id and one.index in before
                )
                assert before == {card.index for card in answer.cards} or room < round(quota, 3) + 1e-9
    for index in range(count):
        assert sum(round(one.quota * 1000) for one in taken if one.index == index) <= 1000
