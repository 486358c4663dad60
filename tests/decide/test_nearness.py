"""How near a computility is to a stream, as far as either tells."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.nearness import (
    NOWHERE,
    Where,
    apart,
    place_of_device,
    place_of_stream,
    region_of,
    within,
    words,
)
from tests.decide.rows import QUICK
from tests.decide.rows import device as row

HERE = {"Longitude": 116.4, "Latitude": 39.9}


def device(**more: Any) -> Where:
    return place_of_device(row(**more))


def stream(**where: Any) -> dict[str, Any]:
    return {"StreamOptions": {"VideoStreamOptions": {"Url": "rtsp://10.0.0.1/1", **where}}}


@pytest.mark.parametrize(
    "info",
    [
        {}, {"StreamOptions": None}, {"StreamOptions": []}, {"StreamOptions": {"VideoStreamOptions": "text"}},
        stream(), stream(Organisation=" ", Network=None, Location="gate"), stream(Organisation=5, Location={}),
        stream(Location={"Longitude": 116.4}), stream(Location={"Longitude": True, "Latitude": 1}),
        stream(Location={"Longitude": math.nan, "Latitude": 1}), stream(Location={"Longitude": 181, "Latitude": 1}),
        stream(Location={"Longitude": "116", "Latitude": "39"}), stream(Location={"Longitude": 1, "Latitude": 90.1}),
    ],
)  # fmt: skip
def test_a_stream_that_tells_nothing_usable_is_nowhere(info: dict[str, Any]) -> None:
    assert place_of_stream(info) is None
    assert apart(None, device(location=HERE)) == NOWHERE


def test_what_a_stream_tells_is_read() -> None:
    info = stream(Organisation="city/east ", Network="n1", Location={"Text": "gate", **HERE})
    assert place_of_stream(info) == Where("city/east", "n1", "gate", 116.4, 39.9)


@pytest.mark.parametrize(
    ("wanted", "found", "steps"),
    [
        ("", "city", 0),
        ("city/east", "City / East", 0),
        ("city/east", "city", 1),
        ("city/east", "city/west", 2),
        ("city/east", "city/east/gate", 1),
        ("city/east", "town", 3),
        ("city", "", 99),
    ],
)
def test_organisations_and_regions_are_trees(wanted: str, found: str, steps: int) -> None:
    assert apart(Where(organisation=wanted), device(organisation=found))[1] == steps
    assert apart(Where(region=wanted), device(location={"Text": found}))[2] == steps


def test_distances_are_those_of_the_globe() -> None:
    there = Where(longitude=121.47, latitude=31.23)  # Shanghai from Beijing
    assert apart(there, device(location=HERE))[3] == pytest.approx(1067, abs=5)
    assert apart(there, device())[3] == math.inf
    assert apart(Where(network="n"), device(location=HERE))[3] == 0.0


def test_words_say_what_is_common() -> None:
    at = Where("city", "n1", "gate", 116.4, 39.9)
    box = device(organisation="city", network="N1", location={"Text": "Gate", **HERE})
    assert words(at, box) == "same network, same organisation, same region, 0.0 km"
    assert words(at, device()) == "nothing in common"


def test_regions_lie_in_one_another() -> None:
    assert within("City/East", "city")
    assert within("city", "")
    assert not within("city", "city/east")
    assert region_of(row(location={"Text": " city/east "})) == "city/east"


degrees = st.tuples(st.floats(-180, 180), st.floats(-90, 90))


@QUICK
@given(one=degrees, other=degrees)
def test_distances_are_symmetric_and_on_the_globe(one: Any, other: Any) -> None:
    def far(a: Any, b: Any) -> float:
        return apart(
            Where(longitude=a[0], latitude=a[1]), device(location={"Longitude": b[0], "Latitude": b[1]})
        )[3]

    assert 0 <= far(one, other) <= 20_016
    assert far(one, other) == pytest.approx(far(other, one), abs=0.01)
    assert far(one, one) < 0.01
