"""How many replicas: never outside min..max, no flapping inside the cool-down; where they go and which one leaves."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.scaling import (
    Ground,
    Member,
    Use,
    grounds_for,
    member_to_go,
    pause_seconds,
    replicas_wanted,
)
from acsmpd.model import Scaling
from tests.decide.rows import QUICK

RULE = Scaling(min_replicas=1, max_replicas=5, target_use=80, cooldown_seconds=60)


@pytest.mark.parametrize(
    ("use", "wanted"),
    [
        ({"replicas": 1, "used": 8}, 1),
        ({"replicas": 1, "used": 9}, 2),
        ({"replicas": 1, "used": 10, "waiting": 20}, 4),
        ({"replicas": 1, "used": 10, "waiting": 500}, 5),
        ({"replicas": 2, "used": 8, "broken": 1}, 2),  # the broken one carries nothing
        ({"replicas": 1, "used": 0, "broken": 1}, 1),
        ({"replicas": 4, "used": 0}, 3),  # one by one
        ({"replicas": 2, "used": 8}, 1),
        ({"replicas": 2, "used": 9}, 2),
        ({"replicas": 0}, 1),
        ({"replicas": 9, "used": 90}, 5),
        ({"replicas": 3, "streams": None, "used": 99}, 3),  # nobody knows what they carry
        ({"replicas": 0, "streams": None}, 1),
        ({"replicas": 3, "streams": 0}, 3),
    ],
)
def test_use_decides_within_bounds(use: dict[str, Any], wanted: int) -> None:
    assert replicas_wanted(Use(**{"streams": 10, **use}), RULE, None) == wanted


@pytest.mark.parametrize(("since", "wanted"), [(0.0, 1), (59.9, 1), (60.0, 2), (None, 2), (float("inf"), 2)])
def test_the_cool_down_holds_what_use_alone_would_change(since: float | None, wanted: int) -> None:
    assert replicas_wanted(Use(replicas=1, used=10, streams=10), RULE, since) == wanted


@pytest.mark.parametrize(
    ("refused", "since", "wanted"),
    [
        (0, 60.0, 5),
        (1, 60.0, 3), (1, 119.9, 3), (1, 120.0, 5),
        (2, 120.0, 3), (2, 240.0, 4),
        (3, 10_000.0, 3), (9, None, 3),
    ],
)  # fmt: skip
def test_who_was_refused_asks_fewer_and_later_and_in_the_end_nobody(
    refused: int, since: float | None, wanted: int
) -> None:
    use = Use(replicas=3, broken=2, used=8, waiting=16, streams=10, refused=refused)
    assert replicas_wanted(use, RULE, since) == wanted


def test_a_refusal_neither_keeps_a_replica_nor_moves_a_bound() -> None:
    assert replicas_wanted(Use(replicas=3, used=1, streams=10, refused=3), RULE, 60.0) == 2
    assert replicas_wanted(Use(replicas=0, streams=10, refused=3), RULE, 0.0) == 1


@pytest.mark.parametrize(("refused", "pause"), [(0, 300), (1, 600), (3, 2400), (9, 2400)])
def test_the_pause_doubles_and_is_bounded(refused: int, pause: float) -> None:
    assert pause_seconds(refused, Scaling(cooldown_seconds=300)) == pause
    assert pause_seconds(3, Scaling(cooldown_seconds=1000)) == 3600
    assert pause_seconds(3, Scaling(cooldown_seconds=86_400)) == 86_400


@pytest.mark.parametrize(("replicas", "wanted"), [(0, 2), (9, 4)])
def test_the_bounds_hold_at_once(replicas: int, wanted: int) -> None:
    rule = Scaling(min_replicas=2, max_replicas=4, cooldown_seconds=60)
    assert replicas_wanted(Use(replicas=replicas, used=1, streams=10), rule, 0.0) == wanted


def test_no_fraction_is_lost() -> None:
    assert (
        replicas_wanted(Use(replicas=1, used=21, streams=7), Scaling(max_replicas=9, target_use=100), None)
        == 3
    )
    assert (
        replicas_wanted(Use(replicas=1, used=3, streams=1), Scaling(max_replicas=9, target_use=33), None) == 9
    )


scalings = st.builds(
    lambda low, more, target, cool: Scaling(
        min_replicas=low, max_replicas=low + more, target_use=target, cooldown_seconds=cool
    ),
    st.integers(1, 4), st.integers(0, 6), st.integers(1, 100), st.sampled_from([0, 30, 300]),
)  # fmt: skip


@QUICK
@given(
    scaling=scalings, streams=st.none() | st.integers(1, 8), begin=st.integers(0, 12),
    loads=st.lists(st.tuples(st.integers(0, 80), st.integers(0, 3), st.floats(0.1, 200)), max_size=30),
)  # fmt: skip
def test_never_outside_the_bounds_and_no_flapping_inside_the_cool_down(
    scaling: Scaling, streams: int | None, begin: int, loads: list[tuple[int, int, float]]
) -> None:
    replicas, now, changed = begin, 0.0, None
    changes: list[float] = []
    for demand, broken, pause in loads:
        now += pause
        since = None if changed is None else now - changed
        broken = min(broken, replicas)
        size = (streams or 0) * (replicas - broken)
        used = min(demand, size)
        use = Use(replicas=replicas, broken=broken, used=used, waiting=demand - used, streams=streams)
        wanted = replicas_wanted(use, scaling, since)
        assert scaling.min_replicas <= wanted <= scaling.max_replicas
        assert wanted == replicas_wanted(use, scaling, since)
        if wanted != replicas:
            if scaling.min_replicas <= replicas <= scaling.max_replicas:
                changes.append(now)
                assert streams is not None
                assert wanted >= replicas - 1
            replicas, changed = wanted, now
    assert all(later - sooner >= scaling.cooldown_seconds for sooner, later in itertools.pairwise(changes))


@QUICK
@given(scaling=scalings, streams=st.integers(1, 8), begin=st.integers(1, 12), demand=st.integers(0, 80))
def test_steady_demand_comes_to_rest_with_room_for_it(
    scaling: Scaling, streams: int, begin: int, demand: int
) -> None:
    replicas, seen = begin, []
    for _ in range(20):
        used = min(demand, replicas * streams)
        use = Use(replicas=replicas, used=used, waiting=demand - used, streams=streams)
        replicas = replicas_wanted(use, scaling, None)
        seen.append(replicas)
    assert len(set(seen[12:])) == 1
    assert replicas == scaling.max_replicas or demand * 100 <= replicas * streams * scaling.target_use


# --- where, and which -----------------------------------------------------------------------------------------


def test_the_emptiest_device_that_has_the_file_comes_first() -> None:
    grounds = [
        Ground(device="d4", loads=1, has_file=True), Ground(device="d3"), Ground(device="d2"),
        Ground(device="d1", has_file=True),
    ]  # fmt: skip
    assert [one.device for one in grounds_for(grounds, 9)] == ["d1", "d2", "d3", "d4"]
    assert [one.device for one in grounds_for(grounds[::-1], 2)] == ["d1", "d2"]
    assert grounds_for([], 3) == []


def test_a_device_takes_as_many_as_it_has_room_for() -> None:
    grounds = [
        Ground(device="box", service_id="s", loads=1, room=3, has_file=True),
        Ground(device="cad", loads=2),
    ]
    assert [one.device for one in grounds_for(grounds, 9)] == ["box", "box", "cad", "box"]
    assert grounds_for([Ground(device="box", room=0)], 1) == []


def member(name: str, used: int, **more: Any) -> Member:
    return Member(load_id=name, service_id=f"s-{name}", device="d1", used=used, **more)


def test_the_one_that_carries_least_goes() -> None:
    assert member_to_go([]) is None
    some = [member("a", 2), member("b", 1), member("c", 1, of_many=True)]
    for turn in range(3):
        found = member_to_go(some[turn:] + some[:turn])
        assert found is not None
        assert found.load_id == "c"


def test_of_equals_the_newest_goes() -> None:
    found = member_to_go([member("a", 0, order=0), member("c", 0, order=1), member("b", 0, order=2)])
    assert found is not None
    assert found.load_id == "b"


def test_of_equals_one_that_has_failed_goes_first() -> None:
    """Else the only one that works would go, and the broken one be left."""
    some = [
        member("a", 0, order=0, broken=True),
        member("b", 0, order=1),
        member("c", 0, order=2, of_many=True),
    ]
    found = member_to_go(some)
    assert found is not None
    assert found.load_id == "a"
    found = member_to_go([member("a", 1, order=0, broken=True), member("b", 0, order=1)])
    assert found is not None
    assert found.load_id == "b"
