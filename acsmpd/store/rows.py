"""From rows to frozen values, and how every search pages and orders."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from peewee import SQL, BooleanField, FloatField, fn

from acsmpd import faults
from acsmpd.clock import Shown
from acsmpd.store.database import Tx
from acsmpd.store.tables import JsonField, Table

T = TypeVar("T")
MAX_PAGE = 1000


def structs(tx: Tx, query: Any, kind: type[T]) -> list[T]:
    """All rows of a select as `kind`; columns it does not name are left out."""
    return msgspec.convert(tx.rows(query), list[kind])  # type: ignore[valid-type]


def struct(tx: Tx, query: Any, kind: type[T]) -> T | None:
    row = tx.row(query)
    return None if row is None else msgspec.convert(row, kind)


def is_past(column: Any, shown: Shown) -> Any:
    """The condition that a stamp is older than a stretch of time, whatever the clock was set to in it."""
    return (column < shown.from_ms) | (column > shown.to_ms)


class Page(msgspec.Struct, frozen=True):
    """A page asked for: number from 1, size 1 to 1000, order as (property, descending) pairs."""

    number: int = 1
    size: int = 10
    order: tuple[tuple[str, bool], ...] = ()


def is_number(key: str) -> bool:
    """Whether a key may be the number of a row; other digits than 0 to 9 are none."""
    return key.isascii() and key.isdigit() and len(key) < 19


Found = tuple[list[dict[str, Any]], int]


def equal(column: Any, value: Any) -> SQL:
    """The condition of a page that a column has this value: what nearly every search asks, without the way
    through the query builder."""
    return SQL(f'"t1"."{column.column_name}" = ?', [value])


def page_of(
    tx: Tx, table: type[Table], conditions: Sequence[Any], page: Page, columns: Mapping[str, Any], last: Any
) -> Found:
    """One page of the rows that fulfil all conditions, and the number of all of them.

    `columns` are those one may order by; `last` makes the order total. Raises InvalidField for another one.
    """
    whole = _columns(table)
    packed, total = packed_page_of(tx, table, whole.packed, conditions, page, columns, last)
    return [whole.read(row) for row in msgspec.json.decode(packed)], total


def packed_page_of(
    tx: Tx, table: type[Table], item: str, conditions: Sequence[Any], page: Page, columns: Mapping[str, Any],
    last: Any,
) -> tuple[msgspec.Raw, int]:  # fmt: skip
    """`page_of` as a JSON array: of each row what the SQL expression `item` makes of it, in which it is t1.

    The keys of the page are found first, in an index where one fits; only its own rows are read.
    """
    parts = [tx.condition(table, condition) for condition in conditions]
    where, values = " AND ".join(text for text, _ in parts), [value for _, some in parts for value in some]
    order = _order(page, columns, last)
    ordered = ", ".join(f'"t1"."{column.column_name}" {"DESC" if down else "ASC"}' for column, down in order)
    name, key = table._meta.table_name, f'"t1"."{last.column_name}"'
    # Names of tables and columns are ours; every value of the caller's is a parameter.
    matching = f'FROM "{name}" AS "t1" WHERE {where}'
    total = tx.counted(f"SELECT count(*) {matching}", *values)
    start = _Start(tx, f"{key} {matching}", values, page) if len(order) == 1 else None
    beyond, bound, skipped = start.beyond(key) if start else ("", [], (page.number - 1) * page.size)
    keys = f"SELECT {key} {matching}{beyond} ORDER BY {ordered} LIMIT ? OFFSET ?"
    rows = f'SELECT * FROM "{name}" AS "t1" WHERE {key} IN ({keys}) ORDER BY {ordered}'  # noqa: S608
    both = f'SELECT json_array(json_group_array({key}), json_group_array({item})) FROM ({rows}) AS "t1"'  # noqa: S608
    found = tx.packed(both, *values, *bound, page.size, skipped)
    listed, items = msgspec.json.decode(found, type=tuple[list[Any], msgspec.Raw])
    if start and listed:
        start.remember(listed)
    return items, total


class _Start:
    """Where a page begins whose order is that of its key: remembered, so that who goes through all pages does not
    walk over those before again and again."""

    def __init__(self, tx: Tx, question: str, values: list[Any], page: Page) -> None:
        self._tx, self._question, self._values = tx, question, values
        self._offset = (page.number - 1) * page.size

    def beyond(self, key: str) -> tuple[str, list[Any], int]:
        """A further condition, its parameter, and how many rows are to be skipped after it."""
        known = self._tx.recalled(self._question, *self._values, self._offset)
        return (f" AND {key} {known[0]} ?", [known[1]], 0) if known else ("", [], self._offset)

    def remember(self, keys: list[Any]) -> None:
        """This page begins at its first key, the next one after its last."""
        self._tx.remember((">=", keys[0]), self._question, *self._values, self._offset)
        self._tx.remember((">", keys[-1]), self._question, *self._values, self._offset + len(keys))


def joined_page_of(tx: Tx, query: Any, page: Page, columns: Mapping[str, Any], last: Any) -> Found:
    """`page_of` for a select over several tables or of some columns."""
    text, values = tx.text(query.select(fn.COUNT(1)))
    total = tx.counted(text, *values)
    order = [column.desc() if down else column.asc() for column, down in _order(page, columns, last)]
    return tx.rows(query.order_by(*order).limit(page.size).offset((page.number - 1) * page.size)), total


def _order(page: Page, columns: Mapping[str, Any], last: Any) -> list[tuple[Any, bool]]:
    for name, _ in page.order:
        if name not in columns:
            allowed = ", ".join(sorted(columns))
            raise faults.InvalidField(
                f"$.PageRequest.OrderList: cannot order by {name!r}; allowed: {allowed}"
            )
    return [*((columns[name], down) for name, down in page.order), (last, False)]


class _Columns:
    """The columns of a table: as SQL packs them, and how their values are read from JSON."""

    def __init__(self, table: type[Table]) -> None:
        fields = table._meta.sorted_fields
        if any(isinstance(field, FloatField) for field in fields):  # SQLite rounds them, and knows Inf
            raise TypeError(
                f"{table.__name__} holds floats, which JSON changes: joined_page_of reads them as they are"
            )
        listed = ", ".join(f'"{field.column_name}"' for field in fields)
        self.packed = f"json_array({listed})"
        self._names = [field.name for field in fields]
        self._read = [(f.name, f.python_value) for f in fields if isinstance(f, JsonField | BooleanField)]

    def read(self, values: list[Any]) -> dict[str, Any]:
        row = dict(zip(self._names, values, strict=True))
        for name, read in self._read:
            row[name] = read(row[name])
        return row


_columns = functools.cache(_Columns)
