"""How many streams licences allow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from acsmpd.decide.quotas import (
    UNDECLARED,
    Pool,
    Quotas,
    binding,
    licensed_streams,
    pool_of,
    running_by,
    surplus,
    total,
)
from acsmpd.model import Authorised, Claim, Grant, Source, Told

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


# --- what is left of a pool ------------------------------------------------------------------------------------


def pool(streams: int) -> Pool:
    """So many of A, and none of anything else."""
    return Pool(words="licences", grants=(Grant(abilities={"A": streams}),))


def test_an_instance_counts_once_in_a_pool_wherever_it_goes() -> None:
    quotas = Quotas({"p": pool(2)}, {("p", "A"): {"i1", "i2"}})
    assert quotas.short("i1", "p", ["A"]) == {}
    assert quotas.short("i3", "p", ["A"]) == {"A": 1}
    quotas.take("i1", "p", ["A"])
    quotas.give_up("i2", "p", ["A"], at_once=True)
    quotas.take("i3", "p", ["A"])
    assert quotas.short("i4", "p", ["A"]) == {"A": 1}


def test_who_is_to_end_counts_until_it_has_ended_and_is_waited_for() -> None:
    quotas = Quotas({"p": pool(2)}, {("p", "A"): {"i1", "i2"}}, {("p", "A"): {"i2"}})
    assert quotas.short("i3", "p", ["A"]) == {"A": 1}
    assert quotas.short("i3", "p", ["A"], soon=True) == {}
    assert quotas.short("i2", "p", ["A"]) == {}  # it may stay where it is
    quotas.give_up("i1", "p", ["A"], at_once=False)
    assert quotas.short("i1", "p", ["A"]) == {}
    assert quotas.short("i3", "p", ["A"]) == {"A": 1}


def test_so_many_have_to_end_as_run_beyond_the_quota() -> None:
    quotas = Quotas({"p": pool(1)}, {("p", "A"): {"i1", "i2", "i3"}}, {("p", "A"): {"i1"}})
    assert quotas.short("i9", "p", ["A", "B"]) == {"A": 3, "B": 1}
    assert quotas.short("i9", "p", ["A"], soon=True) == {"A": 2}
    assert quotas.short("i1", "p", ["A"]) == {"A": 2}


def test_what_nobody_binds_is_never_short() -> None:
    quotas = Quotas({"p": Pool(words="licences", grants=(Grant(),))}, {("p", "A"): {"i1"}})
    assert quotas.short("i2", "p", ["A"]) == quotas.short("i2", "", ["A"]) == {}


@pytest.mark.parametrize(
    ("told", "left", "asked"),
    [
        (None, 0, True),
        (Told(), 99, False),
        (Told(total=UNDECLARED, used=5), 99, False),
        (Told(total=10, used=4, counted=0), 4, False),  # four are somebody else's, two are ours
        (Told(total=10, used=4, counted=2), 6, False),
        (Told(total=10, used=1, counted=2), 8, False),  # it has not counted all of ours yet
        (Told(total=6, used=4, counted=0), 0, True),
        (Told(total=3, used=9, counted=2), -6, True),
    ],
)
def test_a_server_counts_others_and_is_asked_before_it_is_passed(
    told: Told | None, left: int, asked: bool
) -> None:
    server = Pool(words="server", server=7, told={} if told is None else {"A": told})
    quotas = Quotas({"s": server}, {("s", "A"): {"i1", "i2"}})
    for number in range(max(left, 0) if left < 99 else 3):
        assert quotas.short(f"n{number}", "s", ["A"]) == {}
        quotas.take(f"n{number}", "s", ["A"])
    if left < 99:
        assert quotas.short("n", "s", ["A"])["A"] == max(1, 1 - left)
        assert quotas.asked == {(7, "A")}
    assert asked is False or quotas.asked == {(7, "A")}


# --- who is bound by what ----------------------------------------------------------------------------------------


def known(
    *, grants: list[Grant] | None = None, server: int | None = None, claims: list[Claim] | None = None,
    told: dict[str, Told] | None = None,
) -> Authorised:  # fmt: skip
    """l1 on D, l2 on E, of one provider."""
    source = Source(provider="P", grants=grants or [], server=server, told=told or {})
    return Authorised({"P": source}, [("l1", D, "P"), ("l2", E, "P")], claims or [])


@pytest.mark.parametrize(
    ("grants", "server", "words"),
    [
        ([], None, {"l1": "no licence or server of P", "l2": "no licence or server of P"}),
        ([], 3, {"l1": "the authorisation server of P", "l2": "the authorisation server of P"}),
        ([Grant(abilities={"A": 1})], 3, {"l1": "licences of P", "l2": "licences of P"}),
        (
            [Grant(abilities={"A": 1}, is_over=True)],
            3,
            {"l1": "the authorisation server of P", "l2": "the authorisation server of P"},
        ),
        ([Grant(abilities={"A": 1}, is_over=True)], None, {"l1": "licences of P", "l2": "licences of P"}),
        ([Grant()], 3, {}),
        (
            [Grant(abilities={"A": 1}), Grant(abilities={"A": 1}, device=D)],
            None,
            {"l1": f"licences of P for {D}", "l2": "licences of P"},
        ),
        ([Grant(device=D)], None, {"l2": "no licence or server of P"}),
    ],
)
def test_a_licence_that_is_good_comes_before_the_server_and_that_before_nothing(
    grants: list[Grant], server: int | None, words: dict[str, str]
) -> None:
    assert binding(known(grants=grants, server=server)).pools == words


def test_streams_on_services_that_licences_bind_are_counted() -> None:
    claims = [Claim("i1", "l1", "A", True), Claim("i1", "l2", "A", False), Claim("i2", "l2", "A", True)]
    claims += [Claim("i3", "l9", "A", True), Claim("i4", None, "A", True), Claim("i1", "l1", "B", True)]
    own = [Grant(abilities={}), Grant(abilities={}, device=D)]
    assert (
        licensed_streams(known(grants=own, claims=claims), "P", "A") == 3
    )  # i1 on its way between two pools
    assert licensed_streams(known(grants=own[:1], claims=claims), "P", "A") == 2
    assert licensed_streams(known(claims=claims), "P", "A") == 4
    assert licensed_streams(known(claims=claims), "Q", "A") == 4


def test_a_server_may_have_counted_what_runs_by_its_leave() -> None:
    own = [Grant(abilities={"A": 9}, device=D)]
    claims = [
        Claim("i1", "l1", "A", True, True), Claim("i2", "l2", "A", True, True), Claim("i3", "l2", "A", True, False),
        Claim("i4", "l2", "B", True, True), Claim("i5", "l2", "A", False, True), Claim("i5", "l2", "A", True, True),
    ]  # fmt: skip
    assert running_by(known(grants=own, server=3, claims=claims), 3, "A") == 2
    assert running_by(known(server=3, claims=claims), 3, "A") == 3
    assert running_by(known(server=3, claims=claims), 4, "A") == 0


@given(some.data())
def test_no_pool_is_ever_passed_and_none_waits_where_there_is_room(data: some.DataObject) -> None:
    """Starts, ends and moves in any order, against a plain count of who runs where."""
    limits = {name: data.draw(some.integers(0, 4)) for name in "pq"}
    quotas = Quotas({name: pool(limit) for name, limit in limits.items()})
    runs: dict[str, set[str]] = {"p": set(), "q": set()}
    for _ in range(data.draw(some.integers(0, 40))):
        who, where = f"i{data.draw(some.integers(0, 7))}", data.draw(some.sampled_from("pq"))
        if data.draw(some.booleans()):
            may = not quotas.short(who, where, ["A"])
            assert may == (who in runs[where] or len(runs[where]) < limits[where])
            if may:
                quotas.take(who, where, ["A"])
                runs[where].add(who)
        else:
            quotas.give_up(who, where, ["A"], at_once=True)
            runs[where].discard(who)
        assert all(len(runs[name]) <= limits[name] for name in limits)


# --- what has to end ----------------------------------------------------------------------------------------------


def running(number: int, load_id: str = "l1") -> list[Claim]:
    return [Claim(f"{load_id}-{one}", load_id, "A", True) for one in range(number)]


def test_nobody_has_to_end_where_no_licence_has_lapsed() -> None:
    there = known(grants=[Grant(abilities={"A": 1})], claims=running(3))
    assert surplus(there, {}, {}) == []
    assert surplus(there, {"Q": [Grant(abilities={"A": 9})]}, {}) == []


@pytest.mark.parametrize(
    ("grants", "lapsed", "graced", "ends"),
    [
        ([Grant(abilities={"A": 1})], [Grant(abilities={"A": 4})], [], 2),
        ([], [Grant(abilities={"A": 4})], [], 3),
        ([], [Grant(device=D)], [], 3),
        ([], [Grant(device=E)], [], 3),
        ([Grant(abilities={"A": 1})], [Grant()], [Grant(abilities={"A": 1})], 1),
        ([Grant(abilities={"A": 1})], [Grant()], [Grant()], 0),
        ([Grant()], [Grant(abilities={"A": 4})], [], 0),
        ([Grant(abilities={"A": 1}, device=D)], [Grant(abilities={"A": 4})], [], 0),  # it was not of D's pool
    ],
)
def test_what_is_beyond_what_is_left_has_to_end(
    grants: list[Grant], lapsed: list[Grant], graced: list[Grant], ends: int
) -> None:
    there = known(grants=grants, claims=running(3))
    assert sum(one.number for one in surplus(there, {"P": lapsed}, {"P": graced})) == ends


def test_those_whose_own_licence_it_was_end_first() -> None:
    claims = [claim._replace(device=D) for claim in running(2)]
    claims += [claim._replace(device=E) for claim in running(2, "l2")]
    there = known(grants=[Grant(abilities={"A": 2})], claims=claims)
    [one] = surplus(there, {"P": [Grant(device=D, abilities={"A": 2})]}, {})
    assert (one.number, one.first) == (2, {"l1-0", "l1-1"})
    [one] = surplus(there, {"P": [Grant(abilities={"A": 2})]}, {})
    assert (one.number, one.first) == (2, set())


def test_a_server_ends_nothing() -> None:
    there = known(server=3, told={"A": Told(total=0)}, claims=running(3))
    assert surplus(there, {"P": [Grant()]}, {}) == []
