"""Tasks that are wanted otherwise than their instances."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.store import plans, turning
from acsmpd.store.database import Store
from tests.store.rows import NOW, add_instance, add_task

NONE = {"gone": 0, "paused": 0, "running": 0}


@pytest.mark.parametrize(
    ("task", "instance", "found"),
    [
        ({"sent": True}, {"on": True}, ""),
        ({"sent": True}, {"on": False}, "paused"),
        ({"sent": False}, {"on": False}, "gone"),
        ({"sent": True, "wanted": "paused"}, {"on": False}, ""),
        ({"sent": True, "wanted": "paused"}, {"on": True}, "running"),
        ({"sent": False, "wanted": "paused"}, {"on": True}, "running"),
        ({"sent": True, "wanted": "paused"}, {"on": False, "deleted": True}, "gone"),
        ({"sent": True}, {"on": True, "deleted": True}, "gone"),
        ({"sent": True, "wanted": "gone"}, {"on": False}, ""),
    ],
)
def test_a_task_is_found_by_what_its_instance_wants(
    store: Store, task: dict[str, Any], instance: dict[str, Any], found: str
) -> None:
    with store.write() as tx:
        add_instance(tx, **instance)
        add_task(tx, **task)
        astray = {name: len(rows) for name, rows in turning.astray(tx).items()}
    assert astray == {**NONE, **({found: 1} if found else {})}


def test_a_task_without_an_instance_goes(store: Store) -> None:
    with store.write() as tx:
        row = add_task(tx, "nobody", sent=True)
        assert turning.astray(tx)["gone"] == [row]


def test_many_are_wished_for_at_once_and_each_gets_a_fresh_try(store: Store) -> None:
    number = 1200  # more than one statement takes
    with store.write() as tx:
        rows = [add_task(tx, f"i{n}", sent=True, parked=True) for n in range(number)]
        turning.wish(tx, rows, "paused", NOW + 1)
        found = plans.tasks(tx)
    assert [(one.wanted, one.parked) for one in found] == [("paused", False)] * number


def test_of_two_tasks_that_rest_the_newer_one_is_the_instance_s(store: Store) -> None:
    with store.write() as tx:
        add_instance(tx, "i1")
        add_instance(tx, "i2")
        rows = [add_task(tx, name, sent=True, wanted="paused") for name in ("i1", "i1", "i2")]
        found = turning.resting(tx, rows)
    assert [(one.id, task.id) for one, task in found] == [("i1", rows[1]), ("i2", rows[2])]
