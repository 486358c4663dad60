"""What becomes of places when computilities are lost and come back: gap and double."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.failover import Failover, Spot, fail_over
from acsmpd.model import Policy
from tests.decide.rows import QUICK, task

GAP, DOUBLE = Policy(), Policy(failover="double")


def spot(
    row: int = 1, lost: float | None = None, ends: bool = False, refused: bool = False, **more: Any
) -> Spot:
    return Spot(task(id=row, **more), lost, ends, refused)


def judged(new: Spot, old: Spot | None = None, policy: Policy = GAP, movable: bool = True) -> Failover:
    return fail_over(new, old, policy, movable=movable)


@pytest.mark.parametrize("policy", [GAP, DOUBLE])
def test_a_place_that_stands_stays(policy: Policy) -> None:
    assert judged(spot(), policy=policy) == Failover()


def test_gap_gives_the_lost_place_up_for_the_new_one_and_double_keeps_it() -> None:
    lost = spot(lost=0.0)
    assert judged(lost) == Failover(moves=lost)
    assert judged(lost, policy=DOUBLE) == Failover(moves=lost, keeps=1)


@pytest.mark.parametrize("policy", [GAP, DOUBLE])
def test_what_is_pinned_waits_for_its_computility_but_not_for_a_service_that_ends(policy: Policy) -> None:
    assert judged(spot(lost=9.0), policy=policy, movable=False) == Failover()
    ends = spot(ends=True)
    assert judged(ends, policy=policy, movable=False) == Failover(moves=ends)


@pytest.mark.parametrize("policy", [GAP, DOUBLE, Policy(delay_seconds=60)])
def test_a_service_that_is_refused_is_left_at_once_but_not_by_what_is_pinned(policy: Policy) -> None:
    refused = spot(refused=True, status="PENDING")
    assert judged(refused, policy=policy) == Failover(moves=refused)
    assert judged(refused, policy=policy, movable=False) == Failover()


def test_the_delay_is_waited_out() -> None:
    patient = Policy(delay_seconds=60)
    assert judged(spot(lost=0.0), policy=patient) == Failover(wait_seconds=60)
    assert judged(spot(lost=59.5), policy=patient) == Failover(wait_seconds=0.5)
    assert judged(spot(lost=60.0), policy=patient).moves is not None
    assert judged(spot(ends=True), policy=patient).moves is not None  # nobody comes back there


@pytest.mark.parametrize(
    ("new", "old", "policy", "gone"),
    [
        (spot(2), spot(1, lost=5.0), DOUBLE, (1,)),  # the new one runs
        (spot(2, status="PENDING"), spot(1, lost=5.0), DOUBLE, ()),
        (spot(2, sent=False, status="RUNNING"), spot(1, lost=5.0), DOUBLE, ()),
        (spot(2, status="PENDING"), spot(1), DOUBLE, (2,)),  # the old one is back first
        (spot(2), spot(1), DOUBLE, (1,)),  # both at once: the one that runs stays
        (spot(2, status="PENDING"), spot(1, ends=True), DOUBLE, (1,)),
        (spot(2, status="FINISHED"), spot(1, lost=5.0), DOUBLE, (1,)),
        (spot(2, status="PENDING"), spot(1, refused=True), DOUBLE, ()),
        (spot(2, status="PENDING"), spot(1, lost=5.0), GAP, (1,)),  # the policy was changed
        (spot(2, status="PAUSED", wanted="paused"), spot(1, lost=5.0), DOUBLE, (1,)),
    ],
)
def test_of_two_places_one_goes(new: Spot, old: Spot, policy: Policy, gone: tuple[int, ...]) -> None:
    assert judged(new, old, policy) == Failover(gone)


def test_when_the_second_is_lost_too_it_is_replaced_and_the_first_kept() -> None:
    second = spot(2, lost=1.0, status="PENDING")
    assert judged(second, spot(1, lost=9.0), DOUBLE) == Failover(moves=second, keeps=1)


spots = st.builds(
    lambda lost, ends, refused, sent, status: spot(0, lost, ends, refused, sent=sent, status=status),
    st.none() | st.floats(0, 200), st.booleans(), st.booleans(), st.booleans(),
    st.sampled_from(["PENDING", "RUNNING", "ERROR", "PAUSED"]),
)  # fmt: skip


@QUICK
@given(
    turns=st.lists(st.tuples(spots, spots, st.booleans()), max_size=12), movable=st.booleans(),
    delay=st.sampled_from([0, 60]), mode=st.sampled_from(["gap", "double"]),
)  # fmt: skip
def test_never_two_wanted_places_under_gap_and_never_more_than_two(
    turns: list[Any], movable: bool, delay: int, mode: str
) -> None:
    policy = Policy(failover=mode, delay_seconds=delay)
    wanted: list[int] = [1]
    for turn, (now_new, now_old, room) in enumerate(turns):

        def at(row: int, shown: Spot) -> Spot:
            one = task(id=row, sent=shown.task.sent, status=shown.task.status)
            return Spot(one, shown.lost_seconds, shown.ends, shown.refused)

        new = at(wanted[-1], now_new)
        old = at(wanted[0], now_old) if len(wanted) == 2 else None
        found = judged(new, old, policy, movable)
        assert set(found.gone) <= set(wanted)
        wanted = [row for row in wanted if row not in found.gone]
        if found.moves is not None:
            assert found.moves.task.id in wanted
            if room:
                if found.keeps != found.moves.task.id:
                    wanted.remove(found.moves.task.id)
                assert found.keeps is None or found.keeps in wanted
                wanted.append(turn + 10)
        assert 1 <= len(wanted) <= (2 if mode == "double" else 1)
        if new.stands and new.task.sent and new.task.status == "RUNNING":
            assert wanted == [new.task.id]
