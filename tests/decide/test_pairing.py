"""Which service of a facility is which load: by its id there, by the package on a CAD, else by likeness."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.clusters import workload_name
from acsmpd.decide.pairing import Env, pair
from acsmpd.model import LoadRow, SeenService

ENV: Env = frozenset({("A", "1")})


def load(name: str, facility_id: str = "", **more: Any) -> LoadRow:
    values = {
        "id": name, "service_id": name, "package_id": "p", "device": "d", "wanted": True, "status": "INIT",
        "sent": True, "facility_id": facility_id, "parked": False, "attempts": 1, "missing": 0,
    }  # fmt: skip
    return LoadRow(**{**values, **more})


def shown(facility_id: str, package_id: str = "p", **more: Any) -> SeenService:
    return SeenService(facility_id=facility_id, package_id=package_id, **more)


def paired(
    ledger: list[LoadRow], seen: list[SeenService], envs: dict[str, Env] | None = None, going: str = ""
) -> tuple[dict[str, str], list[str]]:
    found, left = pair(
        ledger, seen, lambda one: (envs or {}).get(one.id, frozenset()), lambda one: one.facility_id == going
    )
    return {key: one.facility_id for key, one in found.items()}, [one.facility_id for one in left]


def test_by_the_id_there() -> None:
    assert paired([load("a", "1"), load("b", "2")], [shown("2"), shown("3")]) == ({"b": "2"}, ["3"])
    assert paired([load("a")], [shown("a")]) == ({"a": "a"}, [])  # this box: the load's own id


def test_on_a_cad_by_the_package() -> None:
    assert paired([load("a"), load("b", package_id="q")], [shown("", "q")]) == ({"b": ""}, [])


def test_one_without_a_clear_answer_is_the_new_one_of_its_package() -> None:
    assert paired([load("a", "1"), load("b")], [shown("1"), shown("2")]) == ({"a": "1", "b": "2"}, [])
    assert paired([load("b")], [shown("2", "q")]) == ({}, ["2"])
    assert paired([load("b", sent=False)], [shown("2")]) == ({}, ["2"])


def test_one_that_was_foreign_before_is_not_taken() -> None:
    ledger = [load("b"), load("f", "2", ours=False)]
    assert paired(ledger, [shown("2")]) == ({"f": "2"}, [])
    assert paired(ledger, [shown("3"), shown("2")]) == ({"f": "2", "b": "3"}, [])


def test_once_it_was_seen_a_label_makes_no_other_one_ours() -> None:
    """Ours is gone, and somebody has a copy of it with our label; a name of ours with more to it is ours."""
    own = "0" * 8 + "-0000-0000-0000-" + "0" * 12
    copy, renamed = shown("copy@n", load_id=own), shown(f"{workload_name(own)}-x@n", load_id=own)
    assert paired([load(own, "w@n", ready=1)], [copy]) == ({}, ["copy@n"])
    assert paired([load(own, "w@n", ready=1)], [copy, renamed])[0] == {own: renamed.facility_id}
    for never_seen in (load(own), load(own, "w@n")):
        assert paired([never_seen], [copy]) == ({own: "copy@n"}, [])


def test_what_it_was_given_tells_it_from_others() -> None:
    seen = [shown("1", env=(("A", "2"),)), shown("2", env=(("A", "1"), ("AUTH_SERVER_ADDR", "h")))]
    assert paired([load("b")], seen, {"b": ENV}) == ({"b": "2"}, ["1"])
    assert paired([load("b")], [shown("1")], {"b": ENV}) == ({"b": "1"}, [])  # it tells none


def test_more_than_could_be_ours_are_nobodys() -> None:
    assert paired([load("b")], [shown("1"), shown("2")]) == ({}, ["1", "2"])
    assert paired([load("b"), load("c")], [shown("1"), shown("2")]) == ({"b": "1", "c": "2"}, [])
    assert paired([load("b"), load("c")], [shown("1")]) == ({"b": "1"}, [])


def test_one_that_is_on_its_way_out_is_not_taken() -> None:
    assert paired([load("b")], [shown("1"), shown("2")], going="1") == ({"b": "2"}, ["1"])
    assert paired([load("b")], [shown("1")], going="1") == ({}, ["1"])


LOADS = st.lists(
    st.builds(
        load, st.sampled_from("abcdef"), st.sampled_from(["", "1", "2", "3"]), sent=st.booleans(),
        ours=st.booleans(), package_id=st.sampled_from("pq"),
    ),
    max_size=6, unique_by=lambda one: one.id,
)  # fmt: skip
SEEN = st.lists(
    st.builds(shown, st.sampled_from("12345"), st.sampled_from("pq")),
    max_size=6,
    unique_by=lambda one: one.facility_id,
)


@given(LOADS, SEEN)
def test_no_service_is_two_loads_and_none_is_lost(ledger: list[LoadRow], seen: list[SeenService]) -> None:
    found, left = pair(ledger, seen, lambda _: frozenset(), lambda _: False)
    taken = [one.facility_id for one in found.values()]
    assert sorted([*taken, *(one.facility_id for one in left)]) == sorted(one.facility_id for one in seen)
    by_id = {one.id: one for one in ledger}
    for key, service in found.items():
        assert by_id[key].sent
        assert by_id[key].facility_id in ("", service.facility_id)
        assert by_id[key].facility_id or by_id[key].package_id == service.package_id
