"""Results, pictures and the outbox in a real database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.store import results
from acsmpd.store.database import Store
from acsmpd.store.rows import Page, joined_page_of
from acsmpd.store.tables import Delivery, Load, Picture, Result, Task
from tests.store.rows import add_instance


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "acsmpd.db").open()
    yield opened
    opened.close()


def values(mark: str, received_ms: int = 1000, **more: Any) -> dict[str, Any]:
    plain = {
        "instance_id": "i", "plan_id": 3, "event_id": "FIRE", "capability": "cap", "device_id": "cam",
        "fingerprint": mark, "event_ms": received_ms, "body": {"EventID": "FIRE", "Extra": {"x": [1]}},
        "raw_path": "", "late": False, "error": "", "received_ms": received_ms,
    }  # fmt: skip
    return {**plain, **more}


def add(
    store: Store,
    mark: str,
    *,
    files: tuple[tuple[int, str, int], ...] = (),
    to: tuple[str, ...] = (),
    **more: Any,
) -> int | None:
    urls = [(f"{one}/r", one) for one in to]
    with store.write() as tx:
        return results.add(tx, values(mark, **more), files, urls)


def test_a_result_with_its_files_and_deliveries(store: Store) -> None:
    first = add(
        store, "m1", files=((results.RAW, "raw/a", 9), (0, "p/a", 5)), to=("http://a:1", "http://b:2")
    )
    assert first is not None
    with store.read() as tx:
        row = results.get(tx, str(first))
        assert row is not None
        assert row["body"] == {"EventID": "FIRE", "Extra": {"x": [1]}}
        assert results.pictures_of(tx, [first, 99]) == {first: {0: "p/a"}, 99: {}}
        assert results.pictures_size(tx) == 14
        assert results.destinations(tx, 10) == ["http://a:1", "http://b:2"]


def test_a_known_fingerprint_adds_nothing(store: Store) -> None:
    add(store, "m1", files=((0, "p/a", 5),), to=("http://a:1",))
    assert add(store, "m1", files=((0, "p/b", 5),), to=("http://a:1", "http://b:2")) is None
    with store.read() as tx:
        assert (
            len(tx.rows(Result.select())),
            len(tx.rows(Picture.select())),
            len(tx.rows(Delivery.select())),
        ) == (1, 1, 1)


@pytest.mark.parametrize("key", ["x", "", "-1", "1.0", "²", "9" * 30, "0"])
def test_an_id_that_is_none(store: Store, key: str) -> None:
    add(store, "m1")
    with store.read() as tx:
        assert results.get(tx, key) is None


def test_destinations_are_bounded_and_in_order(store: Store) -> None:
    add(store, "m1", to=("http://c:1", "http://a:1", "http://b:1"))
    add(store, "m2", to=("http://a:1",))
    with store.read() as tx:
        assert results.destinations(tx, 10) == ["http://a:1", "http://b:1", "http://c:1"]
        assert results.destinations(tx, 2) == ["http://a:1", "http://b:1"]
        assert results.destinations(tx, 2, "http://b:1") == ["http://c:1"]
        assert results.waiting(tx, "http://a:1") == 2


def test_the_next_delivery_is_the_oldest(store: Store) -> None:
    add(store, "m1", to=("http://a:1",))
    add(store, "m2", to=("http://a:1",))
    with store.write() as tx:
        first, second = results.next_deliveries(tx, "http://a:1", 5, newest=False)
        assert (first["fingerprint"], second["fingerprint"]) == ("m1", "m2")
        assert results.next_deliveries(tx, "http://a:1", 1, newest=True) == [second]
        results.change_delivery(tx, first["id"], attempts=1, refusals=1, error="no")
        again = results.next_deliveries(tx, "http://a:1", 1, newest=False)
        assert again == [{**first, "attempts": 1, "refusals": 1, "error": "no"}]
        results.forget_deliveries(tx, Delivery.id == first["id"])
        assert results.next_deliveries(tx, "http://a:1", 5, newest=False) == [second]
        assert results.next_deliveries(tx, "http://b:1", 5, newest=False) == []


def test_what_is_tallied_is_what_is_there(store: Store) -> None:
    """Every way rows come and go; the triggers count along."""
    add(store, "m1", to=("http://a:1", "http://b:1"), files=((0, "p1", 5), (1, "p2", 7)))
    add(store, "m2", to=("http://a:1",), files=((0, "p3", 11),))
    add(store, "m2", to=("http://c:1",))
    assert tallied(store) == counted(store) == (2, 23, {"http://a:1": 2, "http://b:1": 1})
    with store.write() as tx:
        results.drop_pictures(tx, ["p2"])
        results.forget_deliveries(tx, Delivery.destination == "http://b:1")
    assert tallied(store) == counted(store) == (2, 16, {"http://a:1": 2})
    with store.write() as tx:
        results.drop_deliveries(tx, Delivery.result_id == 1)
        results.drop_results(tx, [1])
    assert tallied(store) == counted(store) == (1, 11, {"http://a:1": 1})
    with contextlib.suppress(RuntimeError), store.write() as tx:
        results.drop_results(tx, [2])
        raise RuntimeError("undone")
    assert tallied(store) == (1, 11, {"http://a:1": 1})


def tallied(store: Store) -> tuple[int, int, dict[str, int]]:
    with store.read() as tx:
        waiting = {name: results.waiting(tx, name) for name in results.destinations(tx, 10)}
        return results.number(tx), results.pictures_size(tx), waiting


def counted(store: Store) -> tuple[int, int, dict[str, int]]:
    with store.read() as tx:
        number = int(tx.sql("SELECT COUNT(*) FROM result")[0][0])
        size = int(tx.sql("SELECT COALESCE(SUM(size), 0) FROM picture")[0][0])
        waiting = tx.sql("SELECT destination, COUNT(*) FROM delivery GROUP BY destination")
    return number, size, {str(name): int(each) for name, each in waiting}


def test_deliveries_given_up_are_counted_by_destination(store: Store) -> None:
    add(store, "m1", received_ms=1000, to=("http://a:1", "http://b:1"))
    add(store, "m2", received_ms=2000, to=("http://a:1",))
    add(store, "m3", received_ms=3000, to=("http://a:1",))
    with store.write() as tx:
        assert results.drop_deliveries(tx, Delivery.created_ms < 2500) == {"http://a:1": 2, "http://b:1": 1}
        assert results.drop_deliveries(tx, Delivery.created_ms < 2500) == {}
        assert results.waiting(tx, "http://a:1") == 1


def test_our_service_for_the_one_a_device_names(store: Store) -> None:
    now = {"created_ms": 1, "changed_ms": 1}
    with store.write() as tx:
        for number, facility in (("1", "f1"), ("2", "f2")):
            tx.run(
                Load.insert(
                    id=f"load{number}", service_id=f"service{number}", package_id="p", device="d",
                    facility_id=facility, **now,
                )
            )  # fmt: skip
        tx.run(Task.insert(instance_id="i", device="d", load_id="load1", **now))
        tx.run(Task.insert(instance_id="i", device="d", load_id="load2", **now))
        assert results.service_of(tx, "i", "f1") == "service1"
        assert results.service_of(tx, "i", "load1") == "service1"
        assert results.service_of(tx, "i", "strange") == "service2", "that of the newest place"
        assert results.service_of(tx, "i", "") == "service2"
        assert results.service_of(tx, "j", "strange") is None


def test_the_capability_of_an_event(store: Store) -> None:
    with store.write() as tx:
        number = add_instance(tx, "i", events=[("FIRE", "c1")])
        assert results.capability_of(tx, number, "FIRE") == "c1"
        assert results.capability_of(tx, number, "SMOKE") == ""


def test_a_search_pages_in_its_order(store: Store) -> None:
    for number, moment in enumerate((3000, 1000, 2000)):
        add(store, f"m{number}", received_ms=moment)
    with store.read() as tx:
        query = results.search(Result.event_ms >= 2000)
        columns = {"EventTime": Result.event_ms}
        rows, total = joined_page_of(tx, query, Page(1, 10, (("EventTime", True),)), columns, Result.id)
        assert ([(row["id"], row["size"]) for row in rows], total) == ([(1, 0), (3, 0)], 2)
        assert [row["event_ms"] for row in results.some(tx, [3, 99, 1])] == [2000, 3000]


# --- keeping within bounds ----------------------------------------------------------------------------


def test_dropping_results_names_the_files_nobody_has_any_more(store: Store) -> None:
    first = add(store, "m1", files=((-1, "raw/a", 9), (0, "p/a", 5)))
    second = add(store, "m2", files=((-1, "raw/a", 0), (0, "p/b", 5)))
    assert first is not None
    assert second is not None
    with store.write() as tx:
        assert results.drop_results(tx, [first]) == ["p/a"]
        assert results.drop_results(tx, [second]) == ["p/b", "raw/a"]
        assert results.number(tx) == 0


def test_what_is_undelivered_can_be_told(store: Store) -> None:
    first = add(store, "m1", files=((-1, "raw/a", 9), (0, "p/a", 5)), to=("http://a:1",))
    second = add(store, "m2", files=((0, "p/b", 5),))
    with store.read() as tx:
        assert results.oldest(tx, 10) == [{"id": first, "size": 0}, {"id": second, "size": 0}]
        assert results.oldest(tx, 1) == [{"id": first, "size": 0}]
        assert results.oldest(tx, 10, ~results.OUTSTANDING) == [{"id": second, "size": 0}]
        assert [row["path"] for row in results.oldest_pictures(tx, 10, ~results.UNDELIVERED)] == ["p/b"]
        assert [row["path"] for row in results.oldest_pictures(tx, 10)] == ["raw/a", "p/a", "p/b"]
        assert results.undelivered_among(tx, ["raw/a", "p/a", "p/b"]) == 1
        assert results.known_paths(tx, ["p/a", "p/x"]) == {"p/a"}
