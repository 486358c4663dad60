"""The record of who did what: each by itself, counted where there are many, bounded against strangers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from acsmpd.api.audit import MAX_STRANGERS, Audit
from acsmpd.api.call import Caller
from acsmpd.clock import Clock
from acsmpd.spec.tables import BY_ID
from acsmpd.store.database import Store
from acsmpd.store.tables import Audit as Row

LOGIN, SEARCH, DELETE = BY_ID["acsmp.login"], BY_ID["acsmp.search_results"], BY_ID["acsmp.delete_task"]
STRANGER = Caller("nobody", "", "10.0.0.9")
OPERATOR = Caller("key", "ops", "10.0.0.1")
DEVICE = Caller("computility", "1" * 20, "10.0.0.9")


def rows(folder: Path, notes: Callable[[Audit], None]) -> list[dict[str, Any]]:
    """What is in the table when all that was noted is written."""
    store = Store(folder / "acsmpd.db").open()
    try:
        audit = Audit(store, Clock())
        audit.start()
        notes(audit)
        audit.close()
        with store.read() as tx:
            return tx.rows(Row.select().order_by(Row.id))
    finally:
        store.close()


def short(found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [(row["who"], row["address"], row["object"], row["code"], row["times"]) for row in found]


def test_refusals_of_a_stranger_are_one_row_and_a_count(tmp_path: Path) -> None:
    def notes(audit: Audit) -> None:
        for number in range(500):
            audit.note(DELETE, STRANGER, str(number % 2), 40101, "q")
        audit.note(DELETE, STRANGER, "7", 40301, "q")
        audit.note(DELETE, Caller("nobody", "", "10.0.0.10"), "7", 40101, "q")
        for _ in range(3):
            audit.note(DELETE, DEVICE, "7", 40301, "q")

    found = rows(tmp_path, notes)
    assert short(found) == [
        ("nobody", "10.0.0.9", "0", 40101, 1),
        ("nobody", "10.0.0.9", "7", 40301, 1),
        ("nobody", "10.0.0.10", "7", 40101, 1),
        (DEVICE.shown, "10.0.0.9", "7", 40301, 1),
        ("nobody", "10.0.0.9", "many", 40101, 499),
        (DEVICE.shown, "10.0.0.9", "7", 40301, 2),
    ]


def test_strangers_with_many_addresses_are_counted_together(tmp_path: Path) -> None:
    def notes(audit: Audit) -> None:
        for number in range(MAX_STRANGERS + 300):
            audit.note(LOGIN, Caller("nobody", "", f"2001:db8::{number:x}"), "", 40102, "q")

    found = rows(tmp_path, notes)
    assert len(found) == MAX_STRANGERS + 2
    assert short(found[-2:]) == [("nobody", "many", "", 40102, 1), ("nobody", "many", "", 40102, 299)]


def test_a_narrow_key_fills_nothing_by_knocking(tmp_path: Path) -> None:
    """A row for each of its refusals would wash away what others did within the hour."""

    def notes(audit: Audit) -> None:
        for row in (DELETE, SEARCH):
            for number in range(500):
                audit.note(row, OPERATOR, str(number), 40301, "q")

    assert short(rows(tmp_path, notes)) == [
        ("key:ops", "10.0.0.1", "0", 40301, 1),
        ("key:ops", "10.0.0.1", "0", 40301, 1),
        ("key:ops", "10.0.0.1", "many", 40301, 499),
        ("key:ops", "10.0.0.1", "many", 40301, 499),
    ]


def test_what_others_do_is_a_row_each_and_reads_are_counted(tmp_path: Path) -> None:
    def notes(audit: Audit) -> None:
        for code in (0, 0, 40401, 40401):
            audit.note(DELETE, OPERATOR, "7", code, "q")
        for _ in range(5):
            audit.note(SEARCH, OPERATOR, "", 0, "q")
        audit.note(LOGIN, STRANGER, "boss", 0, "q")
        audit.note(LOGIN, STRANGER, "boss", 0, "q")

    found = [(row["operation"], row["code"], row["times"]) for row in rows(tmp_path, notes)]
    assert found == [
        (DELETE.id, 0, 1), (DELETE.id, 0, 1), (DELETE.id, 40401, 1), (DELETE.id, 40401, 1), (LOGIN.id, 0, 1),
        (LOGIN.id, 0, 1), (SEARCH.id, 0, 5),
    ]  # fmt: skip
