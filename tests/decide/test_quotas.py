"""How many streams licences allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from acsmpd.decide.quotas import UNDECLARED, pool_of, total
from acsmpd.model import Grant

D, E = "11010000005050000001", "11010000005050000002"


@pytest.mark.parametrize(
    ("grants", "streams"),
    [
        ([], UNDECLARED),
        ([Grant()], UNDECLARED),
        ([Grant(abilities={"A": 4})], 4),
        ([Grant(abilities={"A": 4}), Grant(device=D, abilities={"A": 3, "B": 9})], 7),
        ([Grant(abilities={"B": 4})], 0),
        ([Grant(abilities={})], 0),
        ([Grant(abilities={"A": 4}), Grant()], UNDECLARED),
        ([Grant(abilities={"A": 4}), Grant(is_over=True)], 4),
        ([Grant(abilities={"A": 4}), Grant(abilities={"A": 2}, is_over=True)], 4),
        ([Grant(abilities={"A": 4}, is_over=True)], 0),
        ([Grant(is_over=True)], 0),
    ],
)
def test_quotas_add_up_and_what_is_over_gives_nothing(grants: list[Grant], streams: int) -> None:
    assert total(grants, "A") == streams


def test_who_has_licences_of_its_own_is_bound_by_them_alone() -> None:
    own, shared, over = (
        Grant(device=D, abilities={"A": 1}),
        Grant(abilities={"A": 5}),
        Grant(device=E, is_over=True),
    )
    grants = [shared, own, over]
    assert pool_of(grants, D) == [own]
    assert pool_of(grants, E) == [over]
    assert pool_of(grants, "11010000005050000003") == [shared]
    assert pool_of([own], E) == []


@given(
    some.lists(
        some.builds(
            Grant, device=some.sampled_from(["", D, E]), is_over=some.booleans(),
            abilities=some.dictionaries(some.sampled_from("AB"), some.integers(0, 9)),
        )
    )
)  # fmt: skip
def test_what_all_pools_allow_together_is_what_all_licences_allow(grants: list[Grant]) -> None:
    pools = [[one for one in grants if one.device == device] for device in ("", D, E)]
    there = [pool for pool in pools if pool]
    if there:
        assert total(grants, "A") == sum(total(pool, "A") for pool in there)
    for device in (D, E):
        assert pool_of(grants, device) == (pools[1 if device == D else 2] or pools[0])
