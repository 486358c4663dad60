"""Places that a quota allows, and those it does not: what the hall and the settling make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from acsmpd.decide.hall import NEAREST, PACK, SPREAD, Hall
from acsmpd.decide.policies import Policies
from acsmpd.decide.quotas import Pool, Quotas
from acsmpd.decide.settling import Decision, Held, Wish, settle
from acsmpd.model import Grant, InstanceRow, Place, Policy, PriorityClass, Seat
from tests.decide.rows import QUICK, ability, instance, known, seat, task

INFO = {"RulesParams": [{"EventID": "INTRUSION"}]}
ABLE = [ability("A")]
RULES = Policies([Policy(classes=tuple(PriorityClass(f"p{n}", n) for n in range(3)))])


def one(number: int, priority: int = 0, **more: Any) -> InstanceRow:
    return instance(id=f"i{number}", number=number, info=INFO, priority_class=f"p{priority}", **more)


def pools(**streams: int) -> dict[str, Pool]:
    return {
        name: Pool(words=f"licences of {name}", grants=(Grant(abilities={"A": number}),))
        for name, number in streams.items()
    }


def decided(
    wishes: Sequence[Wish], seats: Sequence[Seat], quotas: Quotas, held: Sequence[Held] = ()
) -> dict[str, Decision]:
    hall = Hall(ABLE, seats, known("d1", "d2", "d3"), quotas=quotas)
    return {got.instance.id: got for got in settle(wishes, hall, RULES, held)}


def holder(task_id: int, owner: InstanceRow, load_id: str = "l1", *, sent: bool = True) -> Held:
    return Held(task_id, owner, "d1", load_id, 1, sent, ("A",))


def placed(found: dict[str, Decision]) -> dict[str, str | None]:
    return {name: got.place.load_id if got.place else None for name, got in found.items()}


def test_the_oldest_get_what_there_is_and_the_others_are_told() -> None:
    found = decided([Wish(one(n)) for n in (3, 1, 2)], [seat("l1", pool="p", capacity=9)], Quotas(pools(p=2)))
    assert placed(found) == {"i1": "l1", "i2": "l1", "i3": None}
    assert found["i3"].reason == "waiting for quota: 2/2 streams of A are used (licences of p)"


def test_where_streams_lack_too_that_is_said() -> None:
    found = decided([Wish(one(1)), Wish(one(2))], [seat("l1", pool="p", capacity=1)], Quotas(pools(p=1)))
    assert found["i2"].reason == "all streams of the 1 fitting services are taken"


def test_a_full_pool_sends_to_another() -> None:
    seats = [seat("l1", on="d1", pool="p"), seat("l2", on="d2", pool="q"), seat("l3", on="d3")]
    found = decided([Wish(one(n)) for n in range(1, 9)], seats, Quotas(pools(p=1, q=0)))
    assert Counter(placed(found).values()) == {"l1": 1, "l3": 4, None: 3}


def test_who_counts_already_moves_within_a_full_pool() -> None:
    seats = [seat("l1", on="d1", pool="p"), seat("l2", on="d2", pool="p")]
    quotas = Quotas(pools(p=1), {("p", "A"): {"i2"}})
    found = decided([Wish(one(1)), Wish(one(2), "moved from d9, which is lost")], seats, quotas)
    assert placed(found) == {"i2": "l1", "i1": None}


@pytest.mark.parametrize(("used", "goes_on"), [(0, 77), (1, None)])
def test_what_stood_still_goes_on_only_where_there_is_quota(used: int, goes_on: int | None) -> None:
    rests = task(
        id=77, instance_id="i1", load_id="l1", wanted="paused", status="PAUSED", capabilities=["A"], sent=True
    )
    quotas = Quotas(pools(p=1), {("p", "A"): {f"other{n}" for n in range(used)}})
    got = decided([Wish(one(1), rests=rests)], [seat("l1", pool="p")], quotas)["i1"]
    assert got.goes_on == goes_on
    assert got.leaves == (None if goes_on else 77)


def test_what_has_not_stopped_yet_goes_on_where_it_is() -> None:
    rests = task(
        id=77,
        instance_id="i1",
        load_id="l1",
        wanted="paused",
        status="RUNNING",
        capabilities=["A"],
        sent=True,
    )
    quotas = Quotas(pools(p=1), {("p", "A"): {"i1"}}, {("p", "A"): {"i1"}})
    found = decided(
        [Wish(one(1), rests=rests), Wish(one(2))], [seat("l1", pool="p", used=1, leaving=1)], quotas
    )
    assert found["i1"].goes_on == 77
    assert found["i2"].place is None


# --- taking the quota of another ------------------------------------------------------------------------------


def test_a_higher_one_has_a_lower_of_the_pool_give_up_its_place_wherever_that_is() -> None:
    seats = [seat("l1", on="d1", pool="p", used=1), seat("l2", on="d2", pool="p", used=2, capacity=2)]
    quotas = Quotas(pools(p=3), {("p", "A"): {"i1", "i2", "i3"}})
    held = [holder(1, one(1, 1)), holder(2, one(2), "l2"), holder(3, one(3), "l2")]
    found = decided([Wish(one(9, 2))], seats, quotas, held)
    assert [gone.task for gone in found["i9"].evicts] == [3]
    assert found["i9"].reason.startswith("instance i3 gives up its place on d1 for it")
    assert found["i3"].place is None


def test_one_that_was_not_sent_yet_makes_room_at_once() -> None:
    quotas = Quotas(pools(p=1), {("p", "A"): {"i1"}})
    found = decided(
        [Wish(one(9, 2))], [seat("l1", pool="p", used=1)], quotas, [holder(1, one(1), sent=False)]
    )
    assert placed(found) == {"i9": "l1", "i1": None}


def test_what_is_being_given_up_in_the_pool_is_waited_for() -> None:
    quotas = Quotas(pools(p=1), {("p", "A"): {"i1"}}, {("p", "A"): {"i1"}})
    found = decided([Wish(one(9, 2))], [seat("l1", pool="p", used=1, leaving=1)], quotas, [holder(2, one(2))])
    assert found["i9"].evicts == ()
    assert "is being given up for it" in found["i9"].reason


def test_nobody_of_another_pool_or_of_the_same_rank_is_displaced() -> None:
    seats = [seat("l1", on="d1", pool="p", used=1), seat("l2", on="d2", used=1, capacity=1)]
    quotas = Quotas(pools(p=1), {("p", "A"): {"i1"}})
    found = decided([Wish(one(9, 2))], seats, quotas, [holder(1, one(1, 2)), holder(2, one(2, 2), "l2")])
    assert found["i9"].evicts == ()
    assert found["i9"].place is None


# --- always -----------------------------------------------------------------------------------------------------

SEATS = some.lists(
    some.tuples(some.sampled_from(["", "p", "q"]), some.integers(0, 4)), min_size=1, max_size=5
)


@QUICK
@given(SEATS, some.integers(0, 6), some.integers(0, 6), some.integers(0, 14), some.data())
def test_no_quota_is_passed_and_nobody_waits_where_there_is_room(
    shape: list[tuple[str, int]], p: int, q: int, wishes: int, data: some.DataObject
) -> None:
    seats = [
        seat(f"l{n}", on=f"d{n % 3 + 1}", pool=name, capacity=size) for n, (name, size) in enumerate(shape)
    ]
    counting = {
        (name, "A"): set(
            data.draw(some.lists(some.sampled_from([f"i{n}" for n in range(20)]), max_size=limit))
        )
        for name, limit in (("p", p), ("q", q))
    }
    quotas, limits = Quotas(pools(p=p, q=q), counting), {"p": p, "q": q}
    strategy = data.draw(some.sampled_from([SPREAD, PACK, NEAREST]))
    hall, used = Hall(ABLE, seats, known("d1", "d2", "d3"), quotas=quotas), Counter[str]()
    by_load = {one.load_id: one for one in seats}
    for number in range(wishes):
        found = hall.place(one(number), strategy)
        free = [s for s in seats if used[s.load_id] < (s.capacity or 0)]
        able = [
            s
            for s in free
            if not s.pool
            or f"i{number}" in counting[s.pool, "A"]
            or len(counting[s.pool, "A"]) < limits[s.pool]
        ]
        if isinstance(found, Place):
            assert by_load[found.load_id or ""] in able
            hall.take(found, f"i{number}")
            used[found.load_id or ""] += 1
            if by_load[found.load_id or ""].pool:
                counting[by_load[found.load_id or ""].pool, "A"].add(f"i{number}")
        else:
            assert able == []
            assert found.startswith("waiting for quota: " if free else "all streams")
