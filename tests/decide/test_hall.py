"""Where an instance runs: by Labels, events and room; the same choice every time, and never over capacity."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from acsmpd.decide import hall as hall_module
from acsmpd.decide import nearness
from acsmpd.decide.hall import NEAREST, PACK, SPREAD, Hall
from acsmpd.model import Ability, Device, Family, InstanceRow, Place, Seat
from tests.decide.rows import QUICK, ability, device, instance, known, seat, task, wants


def place(
    one: InstanceRow,
    abilities: Sequence[Ability],
    seats: Sequence[Seat],
    devices: Mapping[str, Device],
    streams: Mapping[str, int] = MappingProxyType({}),
    strategy: str = SPREAD,
) -> Place | str:
    """One instance alone. `streams`: taken on direct devices."""
    return Hall(abilities, seats, devices, streams).place(one, strategy)


def chosen(*arguments: Any, **more: Any) -> Place:
    found = place(*arguments, **more)
    assert isinstance(found, Place), found
    return found


def bare(found: Place | str) -> Place:
    """The place without why."""
    assert isinstance(found, Place), found
    assert found.reason
    return replace(found, reason="")


# --- the choice -------------------------------------------------------------------------------------------


def test_a_place_names_the_device_the_load_the_labels_and_the_capabilities() -> None:
    found = place(wants("INTRUSION"), [ability("A")], [seat("l1")], known("d1"))
    assert bare(found) == Place("d1", "l1", {"AlgoCaBinName": "human", "Version": "1.0"}, ("A",))


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


def test_an_instance_without_events_may_run_on_any_service() -> None:
    assert bare(place(wants(), [], [seat("l1")], known("d1"))) == Place("d1", "l1", None, ())


NONE = "no fitting service is running on a computility that takes work"


@pytest.mark.parametrize(
    ("more", "seats", "devices", "reason"),
    [
        ({}, [seat("l1")], {"state": "lost"}, f"{NONE} (d1: lost)"),
        ({}, [seat("l1")], {"maintenance": True}, f"{NONE} (d1: in maintenance)"),
        ({}, [seat("l1", running=False)], {}, f"{NONE} (d1: its service is not running)"),
        ({}, [seat("l1", used=4), seat("l2", used=9)], {}, "all streams of the 2 fitting services are taken"),
        ({}, [seat("l1", "p9")], {}, "no service of a fitting package is loaded"),
        ({"device": "d1"}, [seat("l1", on="d2")], {}, "no service of a fitting package is loaded on d1"),
        ({"device": "d9"}, [seat("l1")], {}, "computility d9 is not known"),
        ({"service_id": "other"}, [seat("l1")], {}, "service other is not loaded, or not of a fitting package"),
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
    assert (bare(got) if found else got) == (Place("c1", None, None, ()) if found else reason)


def test_a_direct_device_is_not_for_a_platform_above() -> None:
    """Its services are its own, and a direct device has none: by itself it takes the site's work alone."""
    here = {"c1": camera(capabilities=["INTRUSION"])}
    assert isinstance(place(wants("INTRUSION", origin="2" * 20), [], [], here), str)


def test_a_pinned_direct_device_needs_no_list_but_has_its_limit() -> None:
    here = {"c1": camera()}
    assert bare(place(wants("X", device="c1"), [], [], here)) == Place("c1", None, None, ())
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


# --- why it is where it is -----------------------------------------------------------------------------------

LONE = "placed on d1: 0 of 4 streams taken, the only fitting service"


@pytest.mark.parametrize(
    ("more", "seats", "reason"),
    [
        ({}, [seat("l1")], LONE),
        (
            {},
            [seat("l1"), seat("l2", on="d2", used=4)],
            "placed on d1: 0 of 4 streams taken, the least taken of 2 services",
        ),
        (
            {},
            [seat("l1", used=2), seat("l2", on="d2", used=1)],
            "placed on d2: 1 of 4 streams taken, the least taken of 2 services",
        ),
        (
            {"device": "d1"},
            [seat("l1", used=2), seat("l2", on="d2")],
            "placed on d1: 2 of 4 streams taken, where its ComputilityCode wants it",
        ),
        (
            {"service_id": "s-l1"},
            [seat("l1", capacity=None, used=7), seat("l2")],
            "placed on d1: 7 streams taken, where its AlgoServiceID wants it",
        ),
    ],
)
def test_a_place_says_why(more: Any, seats: list[Seat], reason: str) -> None:
    assert chosen(wants("INTRUSION", **more), [ability("A")], seats, known("d1", "d2")).reason == reason


def test_the_only_one_of_the_best_version_is_not_called_the_only_one() -> None:
    abilities = [ability("A"), ability("B", "p2", "2.0")]
    seats = [seat("l1"), seat("l2", "p2", capacity=1)]
    found = chosen(wants("INTRUSION"), abilities, seats, known("d1"))
    assert found.reason == "placed on d1: 0 of 1 streams taken, the best service with room"
    found = chosen(wants("INTRUSION"), abilities, [seats[0], replace(seats[1], used=1)], known("d1"))
    assert found.reason == "placed on d1: 0 of 4 streams taken, the best service with room"


def test_a_direct_device_says_why() -> None:
    here = {"c1": camera(capabilities=["INTRUSION"], stream_limit=3)}
    found = chosen(wants("INTRUSION"), [], [], here, {"c1": 1})
    assert found.reason == "placed on c1: 1 of 3 streams taken, a direct device that offers what it asks for"
    assert "ComputilityCode" in chosen(wants("X", device="c1"), [], [], here).reason


def test_a_service_on_the_wrong_card_takes_nothing_and_says_so() -> None:
    wrong = seat("l1", misfit="its package asks for a card NVIDIA-A2, the device has NVIDIA-T4")
    found = place(wants("INTRUSION"), [ability("A")], [wrong], known("d1"))
    assert found == f"{NONE} (d1: {wrong.misfit})"
    assert chosen(wants("INTRUSION"), [ability("A")], [wrong, seat("l2")], known("d1")).load_id == "l2"


def test_many_that_cannot_are_named_in_part() -> None:
    seats = [seat(f"l{n}", on=f"d{n}") for n in range(5)]
    devices = {
        f"d{n}": device(f"d{n}", **{"enabled": n > 0, "approved": n > 1, "state": "lost"}) for n in range(5)
    }
    found = place(wants("INTRUSION"), [ability("A")], seats, devices)
    assert found == f"{NONE} (d0: disabled; d1: not approved; d2: lost; and 2 more)"


# --- strategies ------------------------------------------------------------------------------------------------


def stream_at(**where: Any) -> Any:
    options = {"VideoStreamOptions": {"Url": "rtsp://10.0.0.1/1", **where}}
    return instance(info={"RulesParams": [{"EventID": "INTRUSION"}], "StreamOptions": options})


THREE = [seat("l1", on="d1", used=2), seat("l2", on="d2", used=1), seat("l3", on="d3", used=3)]
APART = {
    "d1": device("d1", location={"Longitude": 116.0, "Latitude": 39.0}, organisation="city/west"),
    "d2": device("d2", location={"Longitude": 117.0, "Latitude": 39.0}, organisation="city/east", network="n2"),
    "d3": device("d3", organisation="city/east/gate"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("strategy", "where", "load_id", "how"),
    [
        (SPREAD, {}, "l2", "the least taken of 3 services"),
        (PACK, {}, "l3", "the fullest with room of 3 services"),
        (NEAREST, {}, "l2", "the nearest with room of 3 services"),
        (NEAREST, {"Network": "n2"}, "l2", "of 3 services (same network)"),
        (NEAREST, {"Organisation": "City/East/Gate"}, "l3", "of 3 services (same organisation)"),
        (NEAREST, {"Location": {"Longitude": 116.0, "Latitude": 39.01}}, "l1", "of 3 services (1.1 km)"),
        (SPREAD, {"Organisation": "city/west"}, "l2", "of 3 services (nothing in common)"),
    ],
)
def test_a_strategy_says_which(strategy: str, where: dict[str, Any], load_id: str, how: str) -> None:
    found = chosen(stream_at(**where), [ability("A")], THREE, APART, strategy=strategy)
    assert found.load_id == load_id
    assert found.reason.endswith(how)


def test_among_equally_taken_services_the_nearest_is_chosen() -> None:
    even = [replace(one, used=1) for one in THREE]
    assert chosen(stream_at(Organisation="city/east/gate"), [ability("A")], even, APART).load_id == "l3"
    assert chosen(stream_at(), [ability("A")], even, APART).load_id == "l1"


def test_a_device_with_less_of_other_work_comes_first_among_equals() -> None:
    seats = [seat("l1", on="d1"), seat("l2", on="d2"), seat("other", "p9", "d1", used=2)]
    assert chosen(wants("INTRUSION"), [ability("A")], seats, known("d1", "d2")).load_id == "l2"


@pytest.mark.parametrize("strategy", [SPREAD, PACK, NEAREST])
def test_a_higher_version_beats_every_strategy(strategy: str) -> None:
    seats = [seat("l1", "p1", "d1", used=2), seat("l2", "p2", "d2", used=2)]
    both = [ability("A", "p1", "1.9"), ability("B", "p2", "1.10")]
    found = chosen(wants("INTRUSION"), both, seats, known("d1", "d2"), strategy=strategy)
    assert found.load_id == "l2"


@QUICK
@given(
    seats=seats_many, where=states, strategy=st.sampled_from([SPREAD, PACK, NEAREST]), number=st.integers(0, 20),
    order=st.randoms(use_true_random=False), spot=st.none() | st.tuples(st.integers(-180, 180), st.integers(-90, 90)),
)  # fmt: skip
def test_whoever_comes_gets_the_same_place_from_the_same_hall(
    seats: list[Seat], where: dict[str, str], strategy: str, number: int, order: Any, spot: Any
) -> None:
    """Never over capacity, always with a reason, the same for permuted input."""
    given_place = {"Location": {"Longitude": spot[0], "Latitude": spot[1]}} if spot else {}
    devices = {
        code: device(code, state=state, location={"Longitude": n * 50, "Latitude": n * 20})
        for n, (code, state) in enumerate(where.items())
    }
    shuffled, turned = list(seats), list(devices.items())
    order.shuffle(shuffled)
    order.shuffle(turned)
    one, other = Hall(BOTH, seats, devices), Hall(BOTH[::-1], shuffled, dict(turned))
    taken = Counter({seat.load_id: seat.used for seat in seats})
    sizes = {seat.load_id: seat.capacity for seat in seats}
    for _ in range(number):
        found = one.place(stream_at(**given_place), strategy)
        assert other.place(stream_at(**given_place), strategy) == found
        if isinstance(found, str):
            assert found
            break
        assert found.reason.startswith(f"placed on {found.device}: ")
        one.take(found)
        other.take(found)
        taken[str(found.load_id)] += found.weight
        size = sizes[str(found.load_id)]
        assert size is None or taken[str(found.load_id)] <= size


def test_more_kinds_of_work_than_are_remembered_get_the_same_places(monkeypatch: pytest.MonkeyPatch) -> None:
    seats = [seat(f"l{n}", on=f"d{n}") for n in range(4)]
    kinds = [wants("INTRUSION", device=f"d{n % 4}") for n in range(12)] + [wants("INTRUSION")] * 4

    def all_places() -> list[Place | str]:
        hall, found = Hall([ability("A")], seats, known("d0", "d1", "d2", "d3")), []
        for one in kinds:
            found.append(hall.place(one))
            if isinstance(found[-1], Place):
                hall.take(found[-1])
        return found

    plenty = all_places()
    monkeypatch.setattr(hall_module, "REMEMBERED", 2)
    assert all_places() == plenty


def test_one_kind_too_many_does_not_make_all_others_be_looked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They come in turn: whichever was forgotten for it is the next to come."""
    looks: Counter[str] = Counter()
    plain = hall_module.candidates

    def counted(one: InstanceRow, abilities: Sequence[Ability]) -> Any:
        looks[one.info["RulesParams"][0]["EventID"]] += 1
        return plain(one, abilities)

    monkeypatch.setattr(hall_module, "candidates", counted)
    monkeypatch.setattr(hall_module, "REMEMBERED", 2)
    hall = Hall([ability("A", event_ids=("E1", "E2", "E3"))], [seat("l1", capacity=99)], known("d1"))
    for _ in range(5):
        for event in ("E1", "E2", "E3"):
            found = hall.place(wants(event))
            assert isinstance(found, Place)
            hall.take(found)
    assert looks == {"E1": 1, "E2": 1, "E3": 5}


def test_a_place_that_was_given_up_is_found_again() -> None:
    """One that was full has been put out of sight."""
    hall = Hall([ability("A")], [seat("l1", capacity=1)], known("d1"))
    first = hall.place(wants("INTRUSION"))
    assert isinstance(first, Place)
    hall.take(first)
    assert isinstance(hall.place(wants("INTRUSION")), str)
    hall.give_up("l1", 1, at_once=True)
    assert hall.place(wants("INTRUSION")) == first


# --- who stood still -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        ({}, True),
        ({"load_id": "full"}, False),
        ({"load_id": "full", "status": "FINISHED"}, True),  # it is not played again
        ({"capabilities": ["A", "B"]}, False),
        ({"load_id": "unwanted"}, False),  # it gets a new place, which has to be free
        ({"load_id": "endless"}, True),
        ({"load_id": None, "device": "c1"}, True),
        ({"load_id": None, "device": "c2"}, False),
        ({"load_id": None, "device": "nobody"}, True),
    ],
)
def test_one_that_stood_still_has_its_place_back_if_there_is_room(row: dict[str, Any], fits: bool) -> None:
    seats = [seat("load-1", used=3), seat("full", used=4), seat("endless", used=99, capacity=None)]
    here = known("d1") | {"c1": camera("c1"), "c2": camera("c2")}
    hall = Hall([], seats, here, {"c1": 1, "c2": 2})  # it is among those on a direct device
    assert hall.take_again(task(**{"status": "PAUSED", **row})) is fits


def test_room_that_was_taken_back_is_not_given_twice() -> None:
    hall = Hall([], [seat("load-1", used=2)], known("d1"))
    assert [hall.take_again(task(id=number, status="PAUSED")) for number in range(3)] == [True, True, False]


@pytest.mark.parametrize(
    ("rests", "seats", "takes"),
    [
        ({}, [seat("load-1", used=3, capacity=4)], True),
        ({}, [seat("load-1", used=4, capacity=4)], False),
        ({"capabilities": ["A", "B"]}, [seat("load-1", used=3, capacity=4)], False),
        ({}, [seat("load-1", used=9, capacity=None)], True),
        ({"status": "RUNNING"}, [seat("load-1", used=4, capacity=4, leaving=1)], True),
        ({"status": "FINISHED"}, [seat("load-1", used=4, capacity=4)], True),
        ({"load_id": None}, [seat("load-1", used=4, capacity=4)], True),
        ({"load_id": "gone"}, [seat("load-1", used=4, capacity=4)], False),
    ],
)
def test_a_task_that_stood_still_goes_on_where_its_stream_is_free(
    rests: dict[str, Any], seats: list[Seat], takes: bool
) -> None:
    hall = Hall([ability("A")], seats, known("d1"))
    one = task(**{"wanted": "paused", "status": "PAUSED", **rests})
    before = hall.soon(seats[0])
    assert hall.take_again(one) is takes
    counted = takes and one.load_id == "load-1" and one.status != "FINISHED"
    assert hall.soon(seats[0]) == before - (one.weight if counted else 0)


@pytest.mark.parametrize("strategy", [SPREAD, PACK, NEAREST])
def test_how_far_a_device_is_costs_once_for_all_its_services(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of streams that tell where they are wait for this, and everybody who writes with them."""
    asked: Counter[str] = Counter()
    whole, steps = nearness.apart, nearness.steps_apart

    def counted(stream: Any, there: Any) -> Any:
        asked["apart"] += 1
        return whole(stream, there)

    def counted_steps(stream: Any, there: Any) -> Any:
        asked["steps"] += 1
        return steps(stream, there)

    seats = [seat(f"l{device}{n}", on=f"d{device}") for device in range(3) for n in range(9)]
    monkeypatch.setattr(nearness, "apart", counted)
    monkeypatch.setattr(nearness, "steps_apart", counted_steps)
    stream = {"Url": "rtsp://x", "Location": {"Longitude": 116.0, "Latitude": 39.0}}
    info = {**wants("INTRUSION").info, "StreamOptions": {"VideoStreamOptions": stream}}
    found = chosen(instance(info=info), [ability("A")], seats, known("d0", "d1", "d2"), strategy=strategy)
    assert found.load_id == "l00"
    assert asked["apart"] <= 3 + 1  # and once for the words
    assert asked["steps"] <= 3 + 3 + 1
