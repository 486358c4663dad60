"""Files on their way: the newest word counts, and the memory of it is bounded."""

from __future__ import annotations

import pytest

from acsmpd.store import transfers
from acsmpd.store.transfers import Transfer, Transfers


def test_the_newest_word_counts() -> None:
    known = Transfers()
    assert known.of(1) is None
    known.moved(1, 0.5, 10.0)
    known.moved(1, 0.25, 11.0)  # it began again
    known.moved(2, 7.0, 12.0)
    assert (known.of(1), known.of(2)) == (Transfer(0.25, 11.0), Transfer(1.0, 12.0))
    known.forget(1)
    known.forget(1)
    assert known.of(1) is None


def test_the_oldest_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfers, "MOST", 2)
    known = Transfers()
    for number in (1, 2, 1, 3):
        known.moved(number, 0.1, float(number))
    assert [number for number in (1, 2, 3) if known.of(number)] == [1, 3]
