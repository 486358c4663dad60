"""Who gets which place in one pass: by priority, and by taking the place of the lowest."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from acsmpd.decide.hall import Hall
from acsmpd.decide.policies import Policies
from acsmpd.decide.settling import Decision, Held, Wish, settle
from acsmpd.model import InstanceRow, Policy, PriorityClass, Seat
from tests.decide.rows import QUICK, ability, instance, known, seat, task

INFO = {"RulesParams": [{"EventID": "INTRUSION"}]}
CLASSES = tuple(PriorityClass(f"p{n}", n) for n in range(5))
RULES = Policies([Policy(classes=(*CLASSES, PriorityClass("meek", 9, preempts=False)))])
ABLE = [ability("A")]


def one(number: int, priority: int | str = 0, **more: Any) -> InstanceRow:
    name = f"p{priority}" if isinstance(priority, int) else priority
    return instance(id=f"i{number}", number=number, info=INFO, priority_class=name, **more)


def held(task: int, owner: InstanceRow, load_id: str = "l1", **more: Any) -> Held:
    values = {"weight": 1, "sent": True, **more}
    return Held(task, owner, "d1", load_id, **values)


def full(load_id: str = "l1", size: int = 1, **more: Any) -> Seat:
    return seat(load_id, used=size, capacity=size, **more)


def decided(
    wishes: list[InstanceRow], seats: list[Seat], holders: list[Held], rules: Policies = RULES
) -> dict[str, Decision]:
    hall = Hall(ABLE, seats, known("d1", "d2"))
    return {one.instance.id: one for one in settle([Wish(w) for w in wishes], hall, rules, holders)}


# --- places that are not given up -----------------------------------------------------------------------------


def test_nobody_is_displaced_where_somebody_has_not_gone() -> None:
    holders = [held(1, one(1)), held(2, one(2), "l2")]
    found = decided([one(9, 4)], [full("l1", stuck=1), full("l2")], holders)
    assert [gone.task for gone in found["i9"].evicts] == [2]
    found = decided([one(9, 4)], [full("l1", stuck=1)], holders[:1])
    assert found["i9"].evicts == ()
    assert found["i9"].reason.endswith("services are taken; a task that is to go has not left d1")


def test_what_is_being_given_up_is_waited_for_and_what_is_stuck_is_not() -> None:
    leaving = decided([one(9, 4)], [full("l1", leaving=1), full("l2")], [held(2, one(2), "l2")])
    assert leaving["i9"].evicts == ()
    stuck = decided([one(9, 4)], [full("l1", stuck=1), full("l2")], [held(2, one(2), "l2")])
    assert [gone.task for gone in stuck["i9"].evicts] == [2]


# --- order ---------------------------------------------------------------------------------------------------


def test_the_highest_priority_is_served_first_then_the_oldest() -> None:
    found = decided([one(1, 0), one(2, 1), one(3, 1)], [seat("l1", capacity=2)], [])
    assert [name for name, got in found.items() if got.place] == ["i2", "i3"]
    assert list(found) == ["i2", "i3", "i1"]


def test_what_was_watched_comes_before_what_is_new_of_equal_priority() -> None:
    hall = Hall(ABLE, [seat("l1", capacity=1)], known("d1"))
    wishes = [Wish(one(1)), Wish(one(2), "moved from d9, which is lost"), Wish(one(3, 1))]
    found = settle(wishes, hall, RULES)
    assert [got.instance.id for got in found] == ["i3", "i2", "i1"]


# --- what stood still ----------------------------------------------------------------------------------------


def returning(
    seats: list[Seat], number: int, priority: int = 0, holders: list[Held] | None = None
) -> list[Decision]:
    """Of somebody whose task rests on l1, and of a new one of priority 1."""
    rests = task(id=77, instance_id=f"i{number}", load_id="l1", wanted="paused", status="PAUSED")
    wishes = [Wish(one(number, priority), rests=rests), Wish(one(50, 1))]
    return settle(wishes, Hall(ABLE, seats, known("d1", "d2")), RULES, holders or [])


def test_it_goes_on_where_it_was() -> None:
    found = {got.instance.id: got for got in returning([seat("l1", capacity=2)], 1)}
    assert (found["i1"].goes_on, found["i1"].place, found["i1"].leaves) == (77, None, None)
    assert found["i50"].place is not None
    assert found["i50"].goes_on is None


def test_a_higher_one_is_asked_first_and_it_waits_or_moves() -> None:
    [high, low] = returning([seat("l1", capacity=1)], 1)
    assert high.place is not None
    assert (low.goes_on, low.leaves, low.place) == (None, 77, None)
    assert low.reason == "all streams of the 1 fitting services are taken"
    [_, low] = returning([seat("l1", capacity=1), seat("l2", on="d2", capacity=2)], 1)
    assert low.place is not None
    assert (low.leaves, low.place.device) == (77, "d2")


def test_it_may_take_the_place_of_a_lower_one_that_came_meanwhile() -> None:
    [first, *_] = returning([full()], 1, priority=3, holders=[held(11, one(9, 0))])
    assert (first.leaves, [gone.task for gone in first.evicts]) == (77, [11])


# --- pre-emption ---------------------------------------------------------------------------------------------


def test_a_higher_one_takes_the_place_of_the_lowest_and_both_say_so() -> None:
    low, lower = one(1, 1), one(2, 0)
    found = decided([one(3, 3)], [full(size=2)], [held(11, low), held(12, lower)])
    assert [gone.task for gone in found["i3"].evicts] == [12]
    assert found["i3"].place is None
    assert found["i3"].reason == "instance i2 gives up its place on d1 for it"
    assert found["i2"].place is None
    by = "instance i3 (priority 3 over 0)"
    assert found["i2"].preempted_by == by
    assert (
        found["i2"].reason == f"its place was taken by {by}; all streams of the 1 fitting services are taken"
    )
    assert "i1" not in found


def test_while_streams_are_being_given_up_nobody_else_is_asked() -> None:
    seats = [replace(full(size=2), leaving=1)]
    found = decided([one(3, 3), one(4, 0)], seats, [held(11, one(1, 0))])
    assert found["i3"].evicts == ()
    assert found["i3"].reason == "a stream on d1 is being given up for it"
    again = decided([one(3, 3), one(5, 2)], seats, [held(11, one(1, 0))])
    assert [gone.task for gone in again["i5"].evicts] == [11]


def test_a_place_that_never_left_is_taken_over_at_once() -> None:
    found = decided([one(3, 3)], [full()], [held(11, one(1, 0), sent=False)])
    place = found["i3"].place
    assert place is not None
    assert place.reason == "placed on d1: 0 of 1 streams taken, the place of i1"


def test_the_displaced_goes_elsewhere_when_there_is_room() -> None:
    """Only one service suits the high one; the low one has another."""
    seats = [full("l1"), seat("l2", on="d2")]
    found = decided([one(3, 3, device="d1")], seats, [held(11, one(1, 0))])
    moved = found["i1"].place
    assert moved is not None
    assert moved.load_id == "l2"
    assert moved.reason.startswith(
        "moved from d1, where its place was taken by instance i3 (priority 3 over 0): placed"
    )
    assert found["i1"].preempted_by == ""


@pytest.mark.parametrize(
    ("asks", "holds"),
    [
        (one(9, 1), one(1, 1)),
        (one(9, 0), one(1, 1)),
        (one(9, "meek"), one(1, 0)),
        (one(9, 3), one(1, 0, device="d1")),
        (one(9, 3), one(1, 0, service_id="s-l1")),
        (one(9, 3), None),  # taken by somebody else
    ],
)
def test_equals_the_pinned_and_strangers_keep_their_places(
    asks: InstanceRow, holds: InstanceRow | None
) -> None:
    found = decided([asks], [full()], [held(11, holds)] if holds else [])
    assert found["i9"].evicts == ()
    assert found["i9"].place is None
    assert list(found) == ["i9"]


def test_no_more_is_taken_than_it_needs() -> None:
    """It wants two streams: the lowest alone gives one, the two lowest give enough, the third is left alone."""
    heavy = [ability("A"), ability("B", event_ids=("CLIMB",))]
    wide = one(9, 3)
    wide = replace(wide, info={"RulesParams": [{"EventID": "INTRUSION"}, {"EventID": "CLIMB"}]})
    holders = [held(11, one(1, 0)), held(12, one(2, 1)), held(13, one(3, 2))]
    hall = Hall(heavy, [full(size=3)], known("d1"))
    [got, *_] = settle([Wish(wide)], hall, RULES, holders)
    assert [gone.task for gone in got.evicts] == [11, 12]  # one stream of the lowest is not enough


def test_what_one_gives_up_is_not_asked_of_two() -> None:
    """One stream of the lowest and two of the next: the two are enough, so the lowest keeps its own."""
    heavy = [ability("A"), ability("B", event_ids=("CLIMB",))]
    wide = replace(one(9, 3), info={"RulesParams": [{"EventID": "INTRUSION"}, {"EventID": "CLIMB"}]})
    holders = [held(11, one(1, 0)), held(12, one(2, 1), weight=2)]
    [got, *_] = settle([Wish(wide)], Hall(heavy, [full(size=3)], known("d1")), RULES, holders)
    assert [gone.task for gone in got.evicts] == [12]


def test_the_seat_whose_holders_matter_least_is_taken() -> None:
    seats = [full("l1"), full("l2", on="d2")]
    found = decided([one(9, 4)], seats, [held(11, one(1, 2)), held(12, one(2, 1), "l2")])
    assert [gone.task for gone in found["i9"].evicts] == [12]


def test_a_chain_goes_down_only() -> None:
    """3 takes the place of 2, which takes that of 1 elsewhere, which takes nobody's."""
    seats = [full("l1"), full("l2", on="d2")]
    found = decided([one(9, 3, device="d1")], seats, [held(11, one(1, 2)), held(12, one(2, 1), "l2")])
    assert [gone.task for gone in found["i9"].evicts] == [11]
    assert [gone.task for gone in found["i1"].evicts] == [12]
    assert found["i2"].evicts == ()


# --- properties -------------------------------------------------------------------------------------------------

crowds = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from(["", "", "", "d1", "d2"]), st.integers(0, 3)), max_size=14
)


class World:
    """Passes over a crowd: what is given up is gone at the next pass, what is placed is held."""

    def __init__(self, sizes: list[int], crowd: list[Any]) -> None:
        self.sizes = {f"l{n}": size for n, size in enumerate(sizes)}
        self.on = {load_id: f"d{1 + n % 2}" for n, load_id in enumerate(self.sizes)}
        self.everybody = [one(n, priority, device=pin) for n, (priority, pin, _) in enumerate(crowd)]
        self.arrives = {f"i{n}": at for n, (_, _, at) in enumerate(crowd)}
        self.places: dict[str, str] = {}  # instance -> load
        self.leaving: list[str] = []
        self.displaced: Counter[str] = Counter()

    def step(self, turn: int, shuffle: Any = None) -> bool:
        """One pass; whether anything changed."""
        left, self.leaving = self.leaving, []
        used, going = Counter(self.places.values()) + Counter(left), Counter(left)
        seats = [
            seat(name, on=self.on[name], used=used[name], capacity=size, leaving=going[name])
            for name, size in self.sizes.items()
        ]
        wishes = [Wish(w) for w in self.everybody if w.id not in self.places and self.arrives[w.id] <= turn]
        by_id = {w.id: w for w in self.everybody}
        holders = [
            Held(by_id[name].number, by_id[name], self.on[load], load, 1, sent=True)
            for name, load in self.places.items()
        ]
        if shuffle is not None:
            for some in (seats, wishes, holders):
                shuffle(some)
        found = settle(wishes, Hall(ABLE, seats, known("d1", "d2")), RULES, holders)
        self.check(found)
        return bool(left) or any(got.place or got.evicts for got in found)

    def check(self, found: list[Decision]) -> None:
        for got in found:
            assert got.reason
            for gone in got.evicts:
                assert RULES.priority(gone.instance).value < RULES.priority(got.instance).value
                assert not gone.instance.pinned
                self.leaving.append(self.places.pop(gone.instance.id))
                self.displaced[gone.instance.id] += 1
            if got.place is not None:
                assert got.instance.id not in self.places, "two places"
                self.places[got.instance.id] = str(got.place.load_id)
        there = Counter(self.places.values()) + Counter(self.leaving)
        assert all(there[name] <= size for name, size in self.sizes.items()), "over capacity"


@QUICK
@given(sizes=st.lists(st.integers(0, 3), min_size=1, max_size=3), crowd=crowds)
def test_it_comes_to_rest_and_the_highest_have_the_places(sizes: list[int], crowd: list[Any]) -> None:
    world = World(sizes, crowd)
    turns = 0
    while world.step(turns) or turns < 4:
        turns += 1
        assert turns <= 4 + 4 * len(crowd), "it goes on and on"
    waiting = [w for w in world.everybody if w.id not in world.places]
    for left in waiting:
        value = RULES.priority(left).value
        seats = [name for name in world.sizes if world.sizes[name] and left.device in ("", world.on[name])]
        for name in seats:
            on = [w for w in world.everybody if world.places.get(w.id) == name]
            assert len(on) == world.sizes[name]
            assert all(w.pinned or RULES.priority(w).value >= value for w in on)


@QUICK
@given(
    sizes=st.lists(st.integers(0, 3), min_size=1, max_size=3), crowd=crowds,
    order=st.randoms(use_true_random=False),
)  # fmt: skip
def test_equal_input_gives_equal_output_in_whatever_order_it_comes(
    sizes: list[int], crowd: list[Any], order: Any
) -> None:
    one_world, other = World(sizes, crowd), World(sizes, crowd)
    for turn in range(6):
        one_world.step(turn)
        other.step(turn, order.shuffle)
        assert one_world.places == other.places
        assert sorted(one_world.leaving) == sorted(other.leaving)
