"""Waits double up to a limit, differ between subjects, and are a decision rather than a dice roll."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.backoff import delay_seconds

salts, attempts = st.text(max_size=20), st.integers(-5, 10_000)


@pytest.mark.parametrize(
    ("tries", "low", "high"),
    [(0, 0, 0), (-1, 0, 0), (1, 1.5, 2), (2, 3, 4), (3, 6, 8), (8, 192, 256), (9, 225, 300), (900, 225, 300)],
)
def test_doubling_up_to_the_limit(tries: int, low: float, high: float) -> None:
    assert low <= delay_seconds(tries, first=2, limit=300, salt="task:1") <= high


@given(attempts, salts)
def test_the_same_try_waits_the_same_and_never_over_the_limit(tries: int, salt: str) -> None:
    one = delay_seconds(tries, first=2, limit=300, salt=salt)
    assert one == delay_seconds(tries, first=2, limit=300, salt=salt)
    assert 0 <= one <= 300
    assert (one > 0) == (tries > 0)


def test_subjects_that_failed_together_do_not_come_back_together() -> None:
    waits = {delay_seconds(5, first=2, limit=300, salt=f"task:{number}") for number in range(50)}
    assert len(waits) > 40
    assert max(waits) - min(waits) > 5
