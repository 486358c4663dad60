"""Trends: bounded, ascending, JSON."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from acsmpd.probes.history import History, to_trend


def test_the_oldest_points_go() -> None:
    history = History(points=3, spacing_ms=0)
    for at in range(10):
        history.add("cpu", at, at / 10)
    assert history.points("cpu") == ((7, 0.7), (8, 0.8), (9, 0.9))


def test_points_closer_than_the_spacing_are_left_out() -> None:
    history = History(spacing_ms=1000)
    for at in (5000, 5999, 6000, 6500, 7001):
        history.add("cpu", at, 1.0)
    assert [at for at, _value in history.points("cpu")] == [5000, 6000, 7001]


def test_a_clock_set_back_does_not_stop_the_series() -> None:
    history = History(spacing_ms=1000)
    for at in (9000, 3000, 4000):
        history.add("cpu", at, at / 1000)
    assert to_trend(history.points("cpu")) == [{"3000": 3.0}, {"4000": 4.0}, {"9000": 9.0}]


def test_the_series_longest_untouched_goes() -> None:
    history = History(series=2, spacing_ms=0)
    history.add("a", 1, 1.0)
    history.add("b", 1, 1.0)
    history.add("a", 2, 2.0)
    history.add("c", 3, 3.0)
    assert history.points("b") == ()
    assert len(history.points("a")) == 2
    assert history.points("c") == ((3, 3.0),)


def test_what_is_not_known_leaves_no_point_and_makes_no_series() -> None:
    history = History(series=1)
    history.add("a", 1, 1.0)
    history.add("b", 1, None)
    assert history.points("a") == ((1, 1.0),)
    assert history.points("never") == ()


@settings(deadline=None)  # a busy machine is no fault of the code
@given(st.lists(st.tuples(st.integers(0, 2**45), st.floats(0, 1))))
def test_a_trend_is_ascending_json_with_one_value_a_time(points: list[tuple[int, float]]) -> None:
    trend = json.loads(json.dumps(to_trend(points)))
    times = [int(key) for entry in trend for key in entry]
    assert times == sorted(set(times))
    assert len(trend) == len({at for at, _value in points})
    assert {int(k): v for entry in trend for k, v in entry.items()} == dict(points)
