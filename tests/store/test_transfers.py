"""Files on their way: which bytes a device has, the newest word, and a memory that is bounded."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.store import transfers
from acsmpd.store.transfers import Transfer, Transfers, joined
from tests.decide.rows import QUICK


def test_from_the_push_to_the_last_byte() -> None:
    known = Transfers()
    assert known.of(1) is None
    known.pushed(1, 10.0)
    assert known.of(1) == Transfer(0, 10.0)
    known.read(1, 0, 40, 100, 11.0)
    known.read(1, 0, 60, 100, 12.0)
    found = known.of(1)
    assert found is not None
    assert (found.share, found.whole, found.at) == (0.6, False, 12.0)
    known.read(1, 60, 100, 100, 13.0)
    found = known.of(1)
    assert found is not None
    assert (found.share, found.whole) == (1.0, True)
    known.forget(1)
    known.forget(1)
    assert known.of(1) is None


def test_the_end_alone_is_not_the_whole() -> None:
    known = Transfers()
    known.pushed(1, 10.0)
    known.read(1, 99, 100, 100, 11.0)
    found = known.of(1)
    assert found is not None
    assert not found.whole


def test_what_was_pushed_before_our_start_may_have_been_read_up_to_where_it_goes_on() -> None:
    known = Transfers()
    known.read(1, 99, 100, 100, 11.0)
    found = known.of(1)
    assert found is not None
    assert found.whole


def test_the_oldest_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "MOST", 2)
    known = Transfers()
    for number in (1, 2, 1, 3):
        known.read(number, 0, 1, 10, float(number))
    assert [number for number in (1, 2, 3) if known.of(number)] == [1, 3]


@QUICK
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=12))
def test_joined_pieces_hold_the_bytes_that_were_read(parts: list[tuple[int, int]]) -> None:
    pieces: tuple[tuple[int, int], ...] = ()
    for first, end in parts:
        pieces = joined(pieces, first, end)
    held = {number for first, end in pieces for number in range(first, end)}
    assert held == {number for first, end in parts for number in range(first, end)}
    assert all(one[1] < other[0] for one, other in itertools.pairwise(pieces))


def test_a_file_read_at_random_is_remembered_within_bounds() -> None:
    pieces: tuple[tuple[int, int], ...] = ()
    for number in range(500):
        pieces = joined(pieces, 2 * number, 2 * number + 1)
    assert len(pieces) == transfers.PIECES
