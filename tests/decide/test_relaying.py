"""Which line holds for a destination, and that a pace keeps its average."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.relaying import BURST_SECONDS, Pace, line_to, posting_seconds
from acsmpd.settings import Relay

THIN = Relay(to="10.0.0.1:8750", bytes_per_second=8000)
HOST = Relay(to="10.0.0.1:*", order="newest")
SIX = Relay(to="[fd00::1]:443", pictures=False)
NAME = Relay(to="City.example:80")
REST = Relay(pictures=False)


@pytest.mark.parametrize(
    ("destination", "line"),
    [
        ("http://10.0.0.1:8750", THIN),
        ("https://10.0.0.1:8750", THIN),
        ("http://10.0.0.1:80", HOST),
        ("https://[fd00::1]:443", SIX),
        ("http://city.example:80", NAME),
        ("http://10.0.0.2:8750", REST),
        ("no usable address", REST),
    ],
)
def test_the_first_that_names_it_counts(destination: str, line: Relay) -> None:
    assert line_to((THIN, HOST, SIX, NAME, REST), destination) is line


def test_nothing_named_is_the_default() -> None:
    assert line_to((THIN,), "http://10.0.0.2:1") == Relay()
    assert line_to((), "http://10.0.0.2:1") == Relay()


@given(st.integers(1, 10**6), st.lists(st.tuples(st.integers(1, 10**6), st.floats(0, 5)), max_size=60))
def test_never_more_than_the_pace_allows(rate: int, posts: list[tuple[int, float]]) -> None:
    """What had gone before a post began is never more than the time since the start, and a burst, allow."""
    line, pace, now, gone = Relay(bytes_per_second=rate), Pace(), 100.0, 0
    for size, idle in posts:
        now += idle
        now += pace.pause(now)
        assert gone <= rate * (now - 100.0 + BURST_SECONDS) + rate * 1e-6
        pace.taken(line, size, now)
        gone += size


@given(st.lists(st.integers(1, 10**9), max_size=20))
def test_without_a_limit_nothing_waits(sizes: list[int]) -> None:
    pace = Pace()
    for size in sizes:
        pace.taken(Relay(), size, 5.0)
        assert pace.pause(5.0) == 0


def test_a_large_result_gets_the_time_a_thin_line_takes() -> None:
    assert posting_seconds(500_000, 15.0) > 500_000 / 8000 + 15
