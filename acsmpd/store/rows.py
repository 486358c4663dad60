"""From rows to frozen values, and how every search pages and orders."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import msgspec
from peewee import SQL, BooleanField, FloatField, fn

from acsmpd import faults
from acsmpd.clock import Shown
from acsmpd.store.database import VERSION, Tx
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
    ordered, reverse = (
        ", ".join(
            f'"t1"."{column.column_name}" {"DESC" if down is not back else "ASC"}' for column, down in order
        )
        for back in (False, True)
    )
    name, key = table._meta.table_name, f'"t1"."{last.column_name}"'
    # Names of tables and columns are ours; every value of the caller's is a parameter.
    matching = f'FROM "{name}" AS "t1" WHERE {where}'
    search = _Search(
        count=f"SELECT count(*) {matching}",
        keys=(f"SELECT {key} {matching}", f" ORDER BY {ordered} LIMIT ? OFFSET ?"),
        from_end=f"SELECT {key} {matching} ORDER BY {reverse} LIMIT ? OFFSET ?",
        rows=(
            f"SELECT json_array({VERSION}, json_group_array({key}), json_group_array({item}))"  # noqa: S608
            f' FROM (SELECT * FROM "{name}" AS "t1" WHERE {key} IN (',
            f') ORDER BY {ordered}) AS "t1"',
        ),
        values=values, key=key if len(order) == 1 else "", page=page,
    )  # fmt: skip
    tx.assume()
    return search.run(tx) or search.certain(tx)


class _Search(msgspec.Struct, frozen=True):
    """A search as SQL. Between the parts of `keys` there is room for a further condition, between those of `rows` for
    the keys; `key` is empty where the order is not that of the key.

    Where it is, it is remembered where a page begins, so that who goes through all pages does not walk over those
    before again and again. A page behind the middle is counted from the end.
    """

    count: str
    keys: tuple[str, str]
    from_end: str
    rows: tuple[str, str]
    values: list[Any]
    key: str
    page: Page

    def run(self, tx: Tx) -> tuple[msgspec.Raw, int] | None:
        """The page and the number of all; None when it turns out that somebody has written."""
        total, offset = tx.counted(self.count, *self.values), (self.page.number - 1) * self.page.size
        start = tx.recalled(self.keys, *self.values, offset) if self.key else None
        wanted, *bound = self._keys(start, total, offset)
        text = tx.alone(wanted.join(self.rows), *self.values, *bound)
        version, keys, items = msgspec.json.decode(text, type=tuple[int, list[Any], msgspec.Raw])
        if not tx.held(version):
            return None
        if self.key and keys:
            tx.remember((">=", keys[0]), self.keys, *self.values, offset)
            tx.remember((">", keys[-1]), self.keys, *self.values, offset + len(keys))
        return items, total

    def _keys(self, start: tuple[str, Any] | None, total: int, offset: int) -> tuple[Any, ...]:
        """The keys of the page as SQL, and its parameters beyond `values`."""
        if start:
            return f" AND {self.key} {start[0]} ?".join(self.keys), start[1], self.page.size, 0
        here = min(self.page.size, total - offset)
        if here > 0 and offset > total - offset - here:
            return self.from_end, here, total - offset - here
        return "".join(self.keys), self.page.size, offset

    def certain(self, tx: Tx) -> tuple[msgspec.Raw, int]:
        """The same in one view of the database."""
        tx.enter()
        found = self.run(tx)
        assert found is not None  # noqa: S101
        return found


def joined_page_of(
    tx: Tx, query: Any, page: Page, columns: Mapping[str, Any], last: Any, total: int | None = None
) -> Found:
    """`page_of` for a select over several tables or of some columns. `total`: the number of all, where it is known."""
    if total is None:
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
    order = [(columns[name], down) for name, down in page.order]
    return [*order, (last, bool(order) and order[-1][1])]  # as the last one: an index is read one way


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
