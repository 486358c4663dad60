"""Rows found, entered and changed by what columns are equal to: what every step on a device does a dozen times.

The query builder puts a statement together each time it is asked, which costs ten times what SQLite needs to answer
it. These are put together once. Names of tables and columns are ours; every value is a parameter.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from peewee import BooleanField

from acsmpd.store.database import Tx
from acsmpd.store.tables import JsonField, Table

Row = dict[str, Any]


def rows(tx: Tx, table: type[Table], **equal: Any) -> list[Row]:
    """All rows whose columns have these values, as dicts."""
    shape = _shape(table)
    found = tx.sql(_select(table, tuple(equal)), *shape.written(equal))
    return [shape.read(values) for values in found]


def every(tx: Tx, table: type[Table], which: str = "", *values: Any) -> Iterator[Row]:
    """All rows of a table, or `which` of them: what follows FROM in SQL, where the table is t1 and names are ours.

    One by one: ten thousand tasks are 20 MB as dicts, and what a process once took it seldom gives back.
    """
    shape = _shape(table)
    text = f'SELECT {shape.listed} FROM "{table._meta.table_name}" AS t1 {which}'  # noqa: S608
    return map(shape.read, tx.each(text, *values))


def beside(tx: Tx, table: type[Table], column: str, which: str, *values: Any) -> Iterator[tuple[Row, Any]]:
    """`every`, and beside each row a column of what is joined to t1."""
    shape = _shape(table)
    text = f'SELECT {shape.listed}, {column} FROM "{table._meta.table_name}" AS t1 {which}'  # noqa: S608
    return ((shape.read(found[:-1]), found[-1]) for found in tx.each(text, *values))


def part(tx: Tx, table: type[Table], names: tuple[str, ...], **equal: Any) -> Row | None:
    """These columns of the row whose columns have those values, or None."""
    shape = _shape(table)
    found = tx.sql(_select(table, tuple(equal), names), *shape.written(equal))
    return shape.read(found[0], names) if found else None


def row(tx: Tx, table: type[Table], **equal: Any) -> Row | None:
    """The row whose columns have these values, or None; of several, one."""
    found = rows(tx, table, **equal)
    return found[0] if found else None


def insert(tx: Tx, table: type[Table], **values: Any) -> int:
    """A new row; columns that are not given have their defaults. Gives its row id."""
    shape = _shape(table)
    whole = {**shape.defaults, **values}
    return tx.change(_insert(table, tuple(whole)), *shape.written(whole)).row_id


def update(tx: Tx, table: type[Table], values: Mapping[str, Any], **equal: Any) -> int:
    """Give columns these values in all rows where others have those; the number of such rows."""
    if not values:
        return 0
    shape = _shape(table)
    text = _update(table, tuple(values), tuple(equal))
    return tx.change(text, *shape.written(values), *shape.written(equal)).rows


class _Shape:
    """The columns of a table, and how their values are read and written."""

    def __init__(self, table: type[Table]) -> None:
        fields = table._meta.sorted_fields
        self.columns = {field.name: f'"{field.column_name}"' for field in fields}
        self.listed = ", ".join(f't1."{field.column_name}"' for field in fields)
        self.defaults: Row = table._meta.get_default_dict()
        self._write = {field.name: field.db_value for field in fields}
        self._read = [(f.name, f.python_value) for f in fields if isinstance(f, JsonField | BooleanField)]

    def read(self, values: tuple[Any, ...], names: Iterable[str] | None = None) -> Row:
        found = dict(zip(self.columns if names is None else names, values, strict=True))
        for name, read in self._read:
            if name in found:
                found[name] = read(found[name])
        return found

    def written(self, values: Mapping[str, Any]) -> list[Any]:
        return [self._write[name](value) for name, value in values.items()]

    def equal(self, names: Iterable[str], between: str) -> str:
        return between.join(f"{self.columns[name]} = ?" for name in names)


_shape = functools.cache(_Shape)


@functools.cache
def _select(table: type[Table], names: tuple[str, ...], wanted: tuple[str, ...] = ()) -> str:
    shape = _shape(table)
    listed = ", ".join(shape.columns[name] for name in wanted) or ", ".join(shape.columns.values())
    return f'SELECT {listed} FROM "{table._meta.table_name}" WHERE {shape.equal(names, " AND ")}'  # noqa: S608


@functools.cache
def _insert(table: type[Table], names: tuple[str, ...]) -> str:
    shape = _shape(table)
    listed, places = ", ".join(shape.columns[name] for name in names), ", ".join("?" * len(names))
    return f'INSERT INTO "{table._meta.table_name}" ({listed}) VALUES ({places})'  # noqa: S608


@functools.cache
def _update(table: type[Table], values: tuple[str, ...], names: tuple[str, ...]) -> str:
    shape = _shape(table)
    where = shape.equal(names, " AND ")
    return f'UPDATE "{table._meta.table_name}" SET {shape.equal(values, ", ")} WHERE {where}'  # noqa: S608
