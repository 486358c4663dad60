"""Packages, their capabilities, and what hangs on them."""

from __future__ import annotations

from acsmpd.model import Ability
from acsmpd.store import foreign, packages, services
from acsmpd.store.database import Store
from acsmpd.store.tables import Capability, Copy, Package
from tests.store.rows import CODE, NOW, OTHER, PACKAGE, add_load, add_package, add_task

SECOND = PACKAGE[:-1] + "2"


def held(store: Store) -> dict[str, str]:
    """capability -> package."""
    with store.read() as tx:
        return {row["code"]: row["package_id"] for row in tx.rows(Capability.select())}


def test_a_package_comes_with_its_capabilities(store: Store) -> None:
    with store.write() as tx:
        assert add_package(tx, codes=("A", "B"), manifest={"xpu": [{"quota": 0.5}]}) == []
        found = packages.get(tx, PACKAGE)
        assert found is not None
        assert (found["name"], found["manifest"], found["created_ms"]) == (
            "human",
            {"xpu": [{"quota": 0.5}]},
            NOW,
        )
        assert packages.get(tx, SECOND) is None
        assert packages.abilities(tx)[0] == Ability(
            "A", PACKAGE, "human", "1.0", ("INTRUSION",), ("VIDEO_REALTIME",)
        )
    assert held(store) == {"A": PACKAGE, "B": PACKAGE}


def test_an_overwritten_package_keeps_its_birthday_and_loses_what_it_no_longer_has(store: Store) -> None:
    with store.write() as tx:
        add_package(tx, codes=("A", "B"))
        add_package(tx, codes=("B", "C"), md5="m2", now=NOW + 5)
        found = packages.get(tx, PACKAGE)
        assert found is not None
        assert (found["md5"], found["created_ms"], found["modified_ms"]) == ("m2", NOW, NOW + 5)
        ages = {row["code"]: row["created_ms"] for row in tx.rows(Capability.select())}
    assert held(store) == {"B": PACKAGE, "C": PACKAGE}
    assert ages == {"B": NOW, "C": NOW + 5}


def test_a_capability_moves_to_the_package_that_came_last(store: Store) -> None:
    with store.write() as tx:
        add_package(tx, codes=("A", "B"))
        assert add_package(tx, SECOND, codes=("B", "C")) == [("B", PACKAGE)]
    assert held(store) == {"A": PACKAGE, "B": SECOND, "C": SECOND}


def test_packages_are_found_oldest_first(store: Store) -> None:
    with store.write() as tx:
        add_package(tx, SECOND, codes=(), now=NOW + 1)
        add_package(tx, codes=())
        assert [row["id"] for row in packages.search(tx)] == [PACKAGE, SECOND]
        assert [row["id"] for row in packages.search(tx, Package.id == SECOND)] == [SECOND]


def test_which_loads_stand_in_the_way_of_a_package(store: Store) -> None:
    with store.write() as tx:
        add_load(tx, "wanted", sent=False)
        add_load(tx, "leaving", wanted=False, sent=True)
        add_load(tx, "gone", wanted=False, sent=False)
        add_load(tx, "other", "service-2", package_id=SECOND)
        add_load(tx, "somebody's", "service-3", sent=True, ours=False)
        assert {row["id"] for row in packages.loads_of(tx, PACKAGE)} == {"wanted", "leaving"}
        add_load(tx, "with our work", "service-4", sent=True, ours=False)
        add_task(tx, load_id="with our work")
        found = {row["id"] for row in packages.loads_of(tx, PACKAGE, SECOND)}
        assert found == {"wanted", "leaving", "with our work", "other"}


def test_deleting_takes_capabilities_along_and_copies_off_the_devices(store: Store) -> None:
    with store.write() as tx:
        add_package(tx, codes=("A",))
        add_package(tx, SECOND, codes=("B",))
        for package_id in (PACKAGE, SECOND):
            services.want_copy(tx, package_id, CODE, NOW, asked=True)
        foreign.add_copy(tx, PACKAGE, OTHER, NOW)
        tx.run(Copy.update(parked=True))
        packages.delete(tx, PACKAGE, NOW + 1)
        copies = {row["package_id"]: row for row in tx.rows(Copy.select().where(Copy.device == CODE))}
        assert services.copies(tx, Copy.device == OTHER)[0].wanted
    assert held(store) == {"B": SECOND}
    gone, kept = copies[PACKAGE], copies[SECOND]
    assert (gone["wanted"], gone["asked"], gone["parked"], gone["generation"]) == (False, False, False, 1)
    assert (kept["wanted"], kept["asked"], kept["parked"], kept["generation"]) == (True, True, True, 0)


def test_wanted_loads_are_counted_by_package_and_status(store: Store) -> None:
    with store.write() as tx:
        add_load(tx, "l1", status="RUNNING")
        add_load(tx, "l2", status="RUNNING", device=OTHER)
        add_load(tx, "l3", status="ERROR")
        add_load(tx, "l4", status="RUNNING", wanted=False)
        assert packages.counts_by_package(tx) == {PACKAGE: {"RUNNING": 2, "ERROR": 1}}
