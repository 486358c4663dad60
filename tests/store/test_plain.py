"""Rows found and changed by equality: the same as the query builder says, for every table and every kind of value."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.store import plain
from acsmpd.store.database import Store
from acsmpd.store.tables import Computility, Instance, Intent, Load, Table, Task
from tests.store.rows import CODE, NOW, add_device, add_instance, add_load, add_task


@pytest.mark.parametrize("table", [Computility, Instance, Load, Task])
def test_a_row_reads_as_the_query_builder_reads_it(store: Store, table: type[Table]) -> None:
    with store.write() as tx:
        add_device(tx, CODE, info=[{"Cpu": 8}])
        add_load(tx, "load-1", "service-1", xpu_index=[0, 1], xpu_quota=0.5)
        add_instance(tx, "i1", on=True, info={"ID": "\u4e2d"})
        add_task(tx, "i1", sent=True, labels={"a": "'; DROP TABLE task"})
    with store.read() as tx:
        whole = tx.rows(table.select())
        key = table._meta.primary_key.name
        assert whole
        assert [plain.row(tx, table, **{key: row[key]}) for row in whole] == whole


def test_what_is_not_there_is_none(store: Store) -> None:
    with store.read() as tx:
        assert plain.row(tx, Task, id=7) is None
        assert plain.rows(tx, Task, device=CODE, task_id="") == []


def test_only_rows_equal_in_all_columns_are_found(store: Store) -> None:
    with store.write() as tx:
        first, second = add_task(tx, "i1", task_id="a"), add_task(tx, "i1", task_id="b")
        assert [row["id"] for row in plain.rows(tx, Task, instance_id="i1")] == [first, second]
        assert [row["id"] for row in plain.rows(tx, Task, instance_id="i1", task_id="b")] == [second]


def test_a_new_row_has_the_defaults_of_its_table(store: Store) -> None:
    given = {
        "kind": "task",
        "subject": "1",
        "device": CODE,
        "step": "create_task",
        "attempt": 1,
        "begun_ms": NOW,
    }
    with store.write() as tx:
        first, second = plain.insert(tx, Intent, **given), tx.run(Intent.insert(**given))
        rows = [plain.row(tx, Intent, id=number) for number in (first, second)]
    assert second == first + 1
    assert [{**(row or {}), "id": 0} for row in rows] == [{**given, "id": 0, "outcome": None, "text": "", "ended_ms": None}] * 2  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    "values", [{"on": True}, {"info": {"a": [1, None]}}, {"next": None}, {"reason": "\u4e2d' OR 1=1"}, {"plan_id": 3}]
)  # fmt: skip
def test_columns_are_changed_where_others_are_equal_and_nowhere_else(
    store: Store, values: dict[str, Any]
) -> None:
    with store.write() as tx:
        add_instance(tx, "i1")
        add_instance(tx, "i2")
        before = plain.row(tx, Instance, id="i2")
        assert plain.update(tx, Instance, values, id="i1") == 1
        changed = plain.row(tx, Instance, id="i1")
        assert changed is not None
        assert {name: changed[name] for name in values} == values
        assert plain.row(tx, Instance, id="i2") == before


def test_to_change_nothing_changes_nothing(store: Store) -> None:
    with store.write() as tx:
        add_instance(tx, "i1")
        assert plain.update(tx, Instance, {}, id="i1") == 0
        assert plain.update(tx, Instance, {"reason": "x"}, id="nobody") == 0


def test_a_column_that_does_not_exist_is_a_fault_of_ours(store: Store) -> None:
    with store.write() as tx:
        with pytest.raises(KeyError, match="nonsense"):
            plain.update(tx, Instance, {"nonsense": 1}, id="i1")
        with pytest.raises(KeyError, match="nonsense"):
            plain.rows(tx, Instance, nonsense=1)


def test_all_rows_or_those_that_the_rest_of_the_statement_names(store: Store) -> None:
    with store.write() as tx:
        for number in range(3):
            add_instance(tx, f"i{number}", on=number == 1, info={"n": number})
        assert list(plain.every(tx, Instance)) == tx.rows(Instance.select())
        found = plain.every(tx, Instance, 'WHERE NOT t1."on" AND t1.number > ? ORDER BY t1.number DESC', 1)
        assert [row["info"] for row in found] == [{"n": 2}]
        joined = 'JOIN (SELECT 7 AS seven) s WHERE t1."on"'
        assert list(plain.beside(tx, Instance, "s.seven", joined)) == [(tx.rows(Instance.select())[1], 7)]
