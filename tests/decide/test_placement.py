"""What an instance asks for, who could serve it, and who carries the streams of others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from acsmpd.decide.placement import (
    candidates,
    capabilities_at,
    carriers,
    events_of,
    fold,
    taken_by_others,
    version_key,
)
from acsmpd.model import ForeignStream
from tests.decide.rows import ability, seat, wants

# --- reading the instance --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("info", "events"),
    [
        ({}, ()),
        ({"RulesParams": None}, ()),
        ({"RulesParams": [{"EventID": "B"}, {"EventID": "A"}, {"EventID": "B"}]}, ("B", "A")),
        ({"RulesParams": [{}, {"EventID": None}, {"EventID": ""}]}, ()),
    ],
)
def test_events_in_order_without_repeats(info: dict[str, Any], events: tuple[str, ...]) -> None:
    assert events_of(info) == events


@pytest.mark.parametrize("text", ["Human-Struct", "human_struct", "HUMAN STRUCT", "humanstruct"])
def test_names_fold(text: str) -> None:
    assert fold(text) == "humanstruct"
    assert fold(None) == ""


def test_versions_sort_as_people_read_them() -> None:
    ordered = ["alpha", "1.9-alpha", "1.9-rc", "1.9", "1.9.0", "1.9.1", "1.10", "2", "2.0", "10"]
    for first in range(len(ordered)):
        turned = ordered[first:] + ordered[:first]
        assert sorted(turned, key=version_key) == ordered


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_two_versions_can_be_compared(one: str, other: str) -> None:
    assert (version_key(one) < version_key(other)) or (version_key(one) >= version_key(other))


# --- candidates ------------------------------------------------------------------------------------------


def test_candidates_serve_the_event_and_the_type_best_version_first_then_by_code() -> None:
    abilities = [
        ability("B", "p1", "1.9"),
        ability("A", "p1", "1.9"),
        ability("C", "p2", "1.10"),
        ability("D", "p3", "9", task_types=("IMAGE_REALTIME",)),
        ability("E", "p4", "9", event_ids=("CLIMB",)),
    ]
    assert [one.code for one in candidates(wants("INTRUSION"), abilities)["INTRUSION"]] == ["C", "A", "B"]


@pytest.mark.parametrize(
    ("labels", "codes"),
    [
        ({"AlgoCaBinName": "HUMAN"}, ["B", "A"]),
        ({"AlgoCaBinName": "human", "Version": "1-0"}, []),
        ({"AlgoCaBinName": "human", "Version": "1.0"}, ["A"]),
        ({"Version": "2.0"}, ["C", "B"]),
        ({"AlgoCaBinName": "nobody"}, []),
        ({}, ["C", "B", "A"]),
    ],
)
def test_labels_narrow_the_candidates(labels: dict[str, str], codes: list[str]) -> None:
    abilities = [ability("A", "p1", "1.0"), ability("B", "p2", "2.0")]
    abilities.append(ability("C", "p3", "2.0", package_name="car"))
    found = candidates(wants("INTRUSION", labels=labels), abilities)["INTRUSION"]
    assert sorted(one.code for one in found) == sorted(codes)


def test_each_event_is_told_its_own_capability() -> None:
    abilities = [
        ability("A", event_ids=("E1", "E2")),
        ability("B", event_ids=("E3",)),
        ability("X", "p2", event_ids=("E1", "E2", "E3")),
    ]
    found = capabilities_at(wants("E1", "E2", "E3", "E4"), abilities, "p1")
    assert found == {"E1": "A", "E2": "A", "E3": "B"}


# --- streams of others -------------------------------------------------------------------------------------

CAR = {"package_name": "car", "event_ids": ("CAR",)}
KNOWN = [ability("A"), ability("B", "p2", "2.0"), ability("C", "p3", **CAR)]


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"service_id": "x2", "labels": {"AlgoCaBinName": "human"}, "event_ids": ("CAR",)}, {"l2"}),
        ({"service_id": "unknown", "labels": {"AlgoCaBinName": "Human", "Version": "2.0"}}, {"l2"}),
        ({"labels": {"AlgoCaBinName": "human"}}, {"l1", "l2"}),
        ({"labels": {"AlgoCaBinName": "human", "Version": "9"}, "event_ids": ("CAR",)}, set()),
        ({"labels": {"AlgoCaBinName": None}, "event_ids": ("INTRUSION",)}, {"l1", "l2"}),
        ({"event_ids": ("UNHEARD",)}, set()),
        ({}, set()),
    ],
)
def test_who_may_be_carrying_a_stream_of_others(told: dict[str, Any], found: set[str]) -> None:
    seats = [
        replace(seat(f"l{n}", f"p{n}"), facility_id=f"x{n}") for n in (1, 2, 3)
    ] + [replace(seat("l9", "p2", "d2"), facility_id="x2")]  # fmt: skip
    assert {one.load_id for one in carriers(ForeignStream("d1", **told), seats, KNOWN)} == found


def test_a_stream_that_may_be_on_either_counts_at_both() -> None:
    seats = [seat("l1", "p1"), seat("l2", "p2"), seat("l3", "p3")]
    streams = [
        ForeignStream("d1", ("INTRUSION",)),
        ForeignStream("d1", ("CAR",)),
        ForeignStream("d2", ("CAR",)),
    ]
    assert taken_by_others(streams, seats, KNOWN) == {"l1": 1, "l2": 1, "l3": 1}
