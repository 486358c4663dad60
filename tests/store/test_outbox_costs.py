"""What the outbox costs does not grow with it: no statement of a drain goes through all that waits (R3).

The tally is walked: it has a row for each destination.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.store import results
from acsmpd.store.database import Store, Tx
from acsmpd.store.tables import Delivery

TO = "http://a:1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    opened = Store(Path(tmp_path_factory.mktemp("outbox")) / "acsmpd.db").open()
    with opened.write() as tx:
        for number in range(300):
            row = {
                "instance_id": "i", "plan_id": 1, "event_id": "FIRE", "device_id": "", "event_ms": number,
                "fingerprint": f"m{number}", "body": {}, "size": 2, "received_ms": number, "raw_path": "raw",
            }  # fmt: skip
            files = [(results.RAW, "raw", 1)]
            assert results.add(tx, row, files, [(f"{TO}/r", TO), ("http://b:1/r", "http://b:1")]) is not None
    yield opened
    opened.close()


COSTS: dict[str, Callable[[Tx], Any]] = {
    "who waits": lambda tx: results.destinations(tx, 100),
    "the oldest": lambda tx: results.next_deliveries(tx, TO, 64, newest=False),
    "the newest": lambda tx: results.next_deliveries(tx, TO, 64, newest=True),
    "how many": lambda tx: results.waiting(tx, TO),
    "all results": lambda tx: results.number(tx),
    "all pictures": lambda tx: results.pictures_size(tx),
    "all bodies": lambda tx: results.bodies_size(tx),
    "noted": lambda tx: results.forget_deliveries(tx, Delivery.id.in_([1, 2, 3])),
    "one form": lambda tx: results.forget_deliveries(tx, results.of_raw("raw", "http://nobody/")),
    "refused": lambda tx: results.change_delivery(tx, 9, attempts=1),
    "again": lambda tx: results.deliver_again(tx, [(299, "i", f"{TO}/r", TO)], 1),
}


@pytest.mark.parametrize("what", COSTS)
def test_no_statement_goes_through_all_of_it(store: Store, what: str) -> None:
    with store.write() as tx:
        asked: list[str] = []
        connection = tx._database.connection()
        connection.set_trace_callback(asked.append)
        COSTS[what](tx)
        connection.set_trace_callback(None)
        plans = [
            str(line[3])
            for text in asked
            if text.split(" ", 1)[0] in ("SELECT", "UPDATE", "DELETE") and 'FROM "tally"' not in text
            for line in connection.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()
        ]
    assert asked
    walks = [plan for plan in plans if plan.startswith("SCAN") or "TEMP B-TREE" in plan]
    assert not walks, plans


def test_a_walk_would_be_seen(store: Store) -> None:
    with store.write() as tx:
        plan = tx.sql("EXPLAIN QUERY PLAN SELECT COUNT(*) FROM delivery WHERE attempts > 3")
    assert str(plan[0][3]).startswith("SCAN")
