"""Where an instance runs: by Labels, events and room; the same choice every time, and never over capacity."""

from __future__ import annotations

from collections import Counter
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
    place,
    taken_by_others,
    version_key,
)
from acsmpd.model import Ability, Device, Family, ForeignStream, Place, Seat
from tests.decide.rows import QUICK, device, instance

LIVE = ("VIDEO_REALTIME",)


def ability(code: str, package: str = "p1", version: str = "1.0", **more: Any) -> Ability:
    values = {"package_name": "human", "event_ids": ("INTRUSION",), "task_types": LIVE, **more}
    return Ability(code, package, values["package_name"], version, values["event_ids"], values["task_types"])


def seat(load_id: str, package: str = "p1", on: str = "d1", **more: Any) -> Seat:
    values = {"running": True, "used": 0, "capacity": 4, "service_id": f"s-{load_id}", **more}
    return Seat(
        load_id, values["service_id"], package, on, values["running"], values["used"], values["capacity"]
    )


def known(*codes: str, **more: Any) -> dict[str, Device]:
    return {code: device(code, **more) for code in codes}


def wants(*events: str, **more: Any) -> Any:
    labels = more.pop("labels", None)
    info: dict[str, Any] = {"RulesParams": [{"EventID": event} for event in events]}
    return instance(info=info | ({"Labels": labels} if labels else {}), **more)


def chosen(*arguments: Any) -> Place:
    found = place(*arguments)
    assert isinstance(found, Place), found
    return found


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


# --- the choice -------------------------------------------------------------------------------------------


def test_a_place_names_the_device_the_load_the_labels_and_the_capabilities() -> None:
    found = place(wants("INTRUSION"), [ability("A")], [seat("l1")], known("d1"))
    assert found == Place("d1", "l1", {"AlgoCaBinName": "human", "Version": "1.0"}, ("A",))


def test_the_highest_version_with_room_comes_first() -> None:
    abilities = [ability("A", "p1", "1.9"), ability("B", "p2", "1.10")]
    seats = [seat("l1", "p1"), seat("l2", "p2", used=3)]
    assert chosen(wants("INTRUSION"), abilities, seats, known("d1")).load_id == "l2"
    full = [seats[0], replace(seats[1], used=4)]
    assert chosen(wants("INTRUSION"), abilities, full, known("d1")).load_id == "l1"


def test_among_equals_the_emptiest_then_the_lowest_device() -> None:
    seats = [seat("l1", on="d1", used=2), seat("l2", on="d3", used=1), seat("l3", on="d2", used=1)]
    found = chosen(wants("INTRUSION"), [ability("A")], seats, known("d1", "d2", "d3"))
    assert (found.device, found.load_id) == ("d2", "l3")


def test_a_seat_of_unknown_capacity_always_has_room() -> None:
    seats = [seat("l1", capacity=None, used=500)]
    assert chosen(wants("INTRUSION"), [ability("A")], seats, known("d1")).load_id == "l1"


def test_an_instance_counts_once_for_each_distinct_capability() -> None:
    abilities = [ability("A", event_ids=("INTRUSION",)), ability("B", event_ids=("CLIMB", "FALL"))]
    both = wants("INTRUSION", "CLIMB", "FALL")
    assert chosen(both, abilities, [seat("l1", capacity=2)], known("d1")).capabilities == ("A", "B")
    words = "all streams of the 1 fitting services are taken"
    assert place(both, abilities, [seat("l1", capacity=2, used=1)], known("d1")) == words


def test_every_event_must_be_served_by_the_same_package() -> None:
    abilities = [ability("A", "p1"), ability("B", "p2", event_ids=("CLIMB",))]
    found = place(wants("INTRUSION", "CLIMB"), abilities, [seat("l1", "p1"), seat("l2", "p2")], known("d1"))
    assert found == "no service of a fitting package is loaded"


def test_each_event_is_told_its_own_capability() -> None:
    abilities = [
        ability("A", event_ids=("E1", "E2")),
        ability("B", event_ids=("E3",)),
        ability("X", "p2", event_ids=("E1", "E2", "E3")),
    ]
    found = capabilities_at(wants("E1", "E2", "E3", "E4"), abilities, "p1")
    assert found == {"E1": "A", "E2": "A", "E3": "B"}


def test_an_instance_without_events_may_run_on_any_service() -> None:
    assert place(wants(), [], [seat("l1")], known("d1")) == Place("d1", "l1", None, ())


@pytest.mark.parametrize(
    ("more", "seats", "devices", "reason"),
    [
        ({}, [seat("l1")], {"state": "lost"}, "no fitting service is running on a computility that takes work"),
        ({}, [seat("l1")], {"maintenance": True}, "no fitting service is running on a computility that takes work"),
        ({}, [seat("l1", running=False)], {}, "no fitting service is running on a computility that takes work"),
        ({}, [seat("l1", used=4), seat("l2", used=9)], {}, "all streams of the 2 fitting services are taken"),
        ({}, [seat("l1", "p9")], {}, "no service of a fitting package is loaded"),
        ({"device": "d1"}, [seat("l1", on="d2")], {}, "no service of a fitting package is loaded on d1"),
        ({"device": "d9"}, [seat("l1")], {}, "computility d9 is not known"),
        ({"service_id": "other"}, [seat("l1")], {}, "no service of a fitting package is loaded"),
        ({"type": "VIDEO_FILE"}, [seat("l1")], {}, "no imported capability serves INTRUSION for VIDEO_FILE"),
    ],
)  # fmt: skip
def test_why_an_instance_waits(more: Any, seats: Any, devices: Any, reason: str) -> None:
    assert place(wants("INTRUSION", **more), [ability("A")], seats, known("d1", "d2", **devices)) == reason


def test_lacking_events_are_all_named() -> None:
    found = place(wants("CLIMB", "INTRUSION", "FALL"), [ability("A")], [seat("l1")], known("d1"))
    assert found == "no imported capability serves CLIMB, FALL for VIDEO_REALTIME"


def test_pins_are_kept() -> None:
    seats, where = [seat("l1", on="d1"), seat("l2", on="d2", used=3)], known("d1", "d2")
    assert chosen(wants("INTRUSION", device="d2"), [ability("A")], seats, where).load_id == "l2"
    assert chosen(wants("INTRUSION", service_id="s-l2"), [ability("A")], seats, where).load_id == "l2"


# --- direct devices ------------------------------------------------------------------------------------------


def camera(code: str = "c1", **more: Any) -> Device:
    values = {"family": Family.DIRECT, "support_services": False, **more}
    return device(code, **values)


@pytest.mark.parametrize(
    ("more", "streams", "found"),
    [
        ({"capabilities": ["INTRUSION", "CLIMB"]}, {}, "c1"),
        ({"capabilities": ["INTRUSION"], "stream_limit": 2}, {"c1": 1}, "c1"),
        ({"capabilities": ["INTRUSION"]}, {"c1": 1}, None),
        ({"capabilities": ["CLIMB"]}, {}, None),
        ({"capabilities": None}, {}, None),  # nothing automatic
        ({"capabilities": ["INTRUSION"], "state": "unreachable"}, {}, None),
    ],
)
def test_a_direct_device_takes_what_an_operator_said_it_can(more: Any, streams: Any, found: Any) -> None:
    got = place(wants("INTRUSION"), [], [], {"c1": camera(**more)}, streams)
    reason = "no imported capability serves INTRUSION for VIDEO_REALTIME"
    assert got == (Place("c1", None, None, ()) if found else reason)


def test_a_pinned_direct_device_needs_no_list_but_has_its_limit() -> None:
    here = {"c1": camera()}
    assert place(wants("X", device="c1"), [], [], here) == Place("c1", None, None, ())
    full = place(wants("X", device="c1"), [], [], here, {"c1": 1})
    assert full == "all 1 streams of computility c1 are taken"
    away = place(wants("X", device="c1"), [], [], {"c1": camera(state="lost")})
    assert away == "computility c1 is lost"


# --- many -----------------------------------------------------------------------------------------------------

seats_many = st.lists(
    st.builds(
        lambda number, package, on, running, used, capacity: seat(
            f"l{number}", package, on, running=running, used=used, capacity=capacity
        ),
        st.integers(0, 9), st.sampled_from(["p1", "p2"]), st.sampled_from(["d1", "d2", "d3"]), st.booleans(),
        st.integers(0, 5), st.none() | st.integers(0, 5),
    ),
    max_size=6, unique_by=lambda one: one.load_id,
)  # fmt: skip
BOTH = [
    ability("A", "p1", "1.9", event_ids=("INTRUSION", "CLIMB")),
    ability("B", "p2", "1.10"),
    ability("C", "p2", "1.10", event_ids=("CLIMB",)),
]
states = st.dictionaries(
    st.sampled_from(["d1", "d2", "d3"]), st.sampled_from(["online", "lost", "suspect"]), min_size=1
)
events = st.lists(st.sampled_from(["INTRUSION", "CLIMB"]), unique=True)


@QUICK
@given(seats=seats_many, where=states, asked=events, order=st.randoms(use_true_random=False))
def test_the_choice_is_allowed_best_and_does_not_depend_on_order(
    seats: list[Seat], where: dict[str, str], asked: list[str], order: Any
) -> None:
    devices = {code: device(code, state=state) for code, state in where.items()}
    found = place(wants(*asked), BOTH, seats, devices)
    shuffled, abilities = list(seats), list(BOTH)
    order.shuffle(shuffled)
    order.shuffle(abilities)
    assert place(wants(*asked), abilities, shuffled, devices) == found
    if isinstance(found, str):
        return
    taken = next(one for one in seats if one.load_id == found.load_id)
    assert taken.running
    assert devices[taken.device].state == "online"
    assert taken.capacity is None or taken.used + max(1, len(found.capabilities)) <= taken.capacity
    better = [
        one for one in seats
        if asked and one.package_id == "p2" and one.running and where.get(one.device) == "online"
        and (one.capacity is None or one.used + len(asked) <= one.capacity)
    ]  # fmt: skip
    assert taken.package_id == "p2" or not better


@QUICK
@given(capacities=st.lists(st.integers(1, 4), min_size=1, max_size=4), number=st.integers(0, 20))
def test_one_after_the_other_they_spread_evenly_and_never_overfill(
    capacities: list[int], number: int
) -> None:
    seats = {f"l{n}": seat(f"l{n}", on=f"d{n}", capacity=size) for n, size in enumerate(capacities)}
    devices = known(*(one.device for one in seats.values()))
    placed: Counter[str] = Counter()
    for _ in range(number):
        found = place(wants("INTRUSION"), [ability("A")], list(seats.values()), devices)
        if isinstance(found, str):
            break
        assert found.load_id is not None
        placed[found.load_id] += 1
        seats[found.load_id] = replace(seats[found.load_id], used=placed[found.load_id])
    assert sum(placed.values()) == min(number, sum(capacities))
    shares = [placed[name] / (one.capacity or 1) for name, one in seats.items()]
    assert max(shares) - min(shares) <= 1 / min(capacities) + 1e-9


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
