"""Small things to remember, and counters that never give the same number twice."""

from __future__ import annotations

from typing import Any

from acsmpd.store.database import Tx
from acsmpd.store.tables import Fact


def get(tx: Tx, name: str) -> Any:
    row = tx.row(Fact.select().where(Fact.name == name))
    return row["value"] if row else None


def put(tx: Tx, name: str, value: Any) -> None:
    tx.run(Fact.insert(name=name, value=value).on_conflict_replace())


def count_up(tx: Tx, name: str) -> int:
    """The next number of a counter, from 1."""
    number = int(get(tx, name) or 0) + 1
    put(tx, name, number)
    return number
