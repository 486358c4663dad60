"""From rows to frozen values, and how every search pages and orders."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from peewee import fn

from acsmpd import faults
from acsmpd.store.database import Tx

T = TypeVar("T")
MAX_PAGE = 1000


def structs(tx: Tx, query: Any, kind: type[T]) -> list[T]:
    """All rows of a select as `kind`; columns it does not name are left out."""
    return msgspec.convert(tx.rows(query), list[kind])  # type: ignore[valid-type]


def struct(tx: Tx, query: Any, kind: type[T]) -> T | None:
    row = tx.row(query)
    return None if row is None else msgspec.convert(row, kind)


class Page(msgspec.Struct, frozen=True):
    """A page asked for: number from 1, size 1 to 1000, order as (property, descending) pairs."""

    number: int = 1
    size: int = 10
    order: tuple[tuple[str, bool], ...] = ()


def page_of(
    tx: Tx, query: Any, page: Page, columns: Mapping[str, Any], last: Any
) -> tuple[list[dict[str, Any]], int]:
    """One page of a select and the number of all matches. `last` is the column that makes the order total.

    Raises InvalidField for an order property that is not among `columns`.
    """
    total = tx.counted(query.select(fn.COUNT(1)))
    terms = []
    for name, descending in page.order:
        if name not in columns:
            allowed = ", ".join(sorted(columns))
            raise faults.InvalidField(
                f"$.PageRequest.OrderList: cannot order by {name!r}; allowed: {allowed}"
            )
        terms.append(columns[name].desc() if descending else columns[name].asc())
    terms.append(last.asc())
    rows = tx.rows(query.order_by(*terms).limit(page.size).offset((page.number - 1) * page.size))
    return rows, total
