"""What a search costs the store: a page of instances is read along an index, whatever it is ordered by, and no filter
goes through all instances to find few."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from acsmpd.api.filters import instance_filters
from acsmpd.api.instances import ORDERS
from acsmpd.store.database import Store
from acsmpd.store.rows import Page, equal, page_of
from acsmpd.store.tables import Instance
from tests.store.rows import add_instance, add_package


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "acsmpd.db").open()
    with store.write() as tx:
        add_package(tx, codes=("HELMET",))
        for number in range(60):
            events = [("INTRUSION", "HELMET" if number % 2 else "")] if number % 3 else [("FIRE", "")]
            add_instance(
                tx, f"i-{number}", plan_id=number % 7, status=("RUNNING", "ERROR")[number % 2], events=events,
                stream_device_id=f"camera-{number % 5}", created_ms=1000 + number % 4,
            )  # fmt: skip
    yield store
    store.close()


def searched(store: Store, page: Page, *conditions: Any) -> tuple[list[int], list[str]]:
    """The numbers found, and the words of SQLite's plans of all statements that were asked."""
    with store.read() as tx:
        asked: list[str] = []
        connection = tx._database.connection()
        connection.set_trace_callback(asked.append)
        wanted = [equal(Instance.deleted, False), *conditions]
        rows, _ = page_of(tx, Instance, wanted, page, ORDERS, Instance.number)
        connection.set_trace_callback(None)
        plans = [
            str(line[3])
            for text in asked
            if text.startswith("SELECT")
            for line in connection.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()
        ]
    return [row["number"] for row in rows], plans


SORT = """
import resource, signal, sys
from pathlib import Path
from acsmpd.api.instances import ORDERS
from acsmpd.store.database import Store
from acsmpd.store.rows import Page, equal, page_of
from acsmpd.store.tables import Instance
from tests.store.rows import add_instance

store = Store(Path(sys.argv[1])).open()
with store.write() as tx:
    for number in range(1000):
        add_instance(tx, f"i-{number}", info={"long": "x" * 3000}, created_ms=1000 - number)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
with store.read() as tx:
    rows, _ = page_of(tx, Instance, [equal(Instance.deleted, False)], Page(1, 1000, (("CreatedDate", False),)),
                      ORDERS, Instance.number)
print(len(rows), rows[0]["id"])
"""


def test_a_page_is_sorted_without_a_disk_to_write_to(tmp_path: Path) -> None:
    """3 MB of rows are more than a reader's cache: SQLite would sort them in a file."""
    words = [sys.executable, "-c", SORT, str(tmp_path / "acsmpd.db")]
    sorted_page = subprocess.run(words, capture_output=True, text=True, check=False)
    assert sorted_page.stdout == "1000 i-999\n", sorted_page.stderr


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("name", sorted(ORDERS))
def test_a_page_in_any_order_sorts_no_more_than_itself(filled: Store, name: str, down: bool) -> None:
    numbers, plans = searched(filled, Page(2, 10, ((name, down),)))
    with filled.read() as tx:
        column = {"ID": "number", "Number": "number", "TaskID": "plan_id", "CreatedDate": "created_ms"}.get(
            name, "status"
        )
        way = "DESC" if down else "ASC"
        expected = tx.sql(
            f"SELECT number FROM instance ORDER BY {column} {way}, number {way} LIMIT 10 OFFSET 10"
        )
    assert numbers == [row[0] for row in expected]
    sorts = [line for line in plans if "TEMP B-TREE" in line]
    assert len(sorts) <= 1, plans  # of the ten rows that are shown


def asked(**more: Any) -> Any:
    return SimpleNamespace(**{"device_ids": None, "algo_def_codes": None, "algo_def_name": None, **more})


@pytest.mark.parametrize(
    ("condition", "index"),
    [
        (equal(Instance.plan_id, 3), "plan_id"), (equal(Instance.status, "ERROR"), "status"),
        (equal(Instance.id, "i-7"), "instance_id"), (*instance_filters(asked(device_ids=["camera-2"])), "camera"),
    ],
)  # fmt: skip
def test_a_filter_is_looked_up_in_its_index(filled: Store, condition: Any, index: str) -> None:
    numbers, plans = searched(filled, Page(1, 1000), condition)
    assert numbers
    name = "stream_device_id" if index == "camera" else index
    lookups = [line for line in plans if line.startswith("SEARCH t1") and "rowid" not in line]
    assert lookups, plans
    assert all(name in line for line in lookups), plans


@pytest.mark.parametrize(
    "wish", [{"algo_def_codes": ["HELMET"]}, {"algo_def_name": "ELM"}, {"algo_def_codes": ["HELMET", "none"]}]
)
def test_by_capability_those_it_serves_and_those_that_ask_for_its_events(
    filled: Store, wish: dict[str, Any]
) -> None:
    numbers, plans = searched(filled, Page(1, 1000), *instance_filters(asked(**wish)))
    assert numbers == [number + 1 for number in range(60) if number % 3]
    assert any("instance_event_instance_number_capability" in line for line in plans), plans


@pytest.mark.parametrize(
    "wish", [{"algo_def_codes": ["none"]}, {"algo_def_codes": []}, {"algo_def_name": "%"}]
)
def test_no_capability_no_instance(filled: Store, wish: dict[str, Any]) -> None:
    assert searched(filled, Page(1, 1000), *instance_filters(asked(**wish)))[0] == []
