"""Paging and ordering of every search; rows as frozen values."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.model import LoadRow
from acsmpd.store import database
from acsmpd.store.database import Store
from acsmpd.store.rows import Page, joined_page_of, page_of, struct, structs
from acsmpd.store.tables import Alarm, Load
from tests.store.rows import add_load

COLUMNS = {"Kind": Alarm.kind, "Text": Alarm.text, "Since": Alarm.since_ms}
ROWS = [("b", "2"), ("a", "1"), ("b", "1"), ("a", "2"), ("c", "1"), ("a", "1"), ("b", "2")]


@pytest.fixture
def filled(store: Store) -> Iterator[Store]:
    with store.write() as tx:
        for place, (kind, text) in enumerate(ROWS):
            tx.run(Alarm.insert(kind=kind, subject=str(place), text=text, since_ms=place))
    return store


def ids(store: Store, page: Page, kind: str | None = None) -> tuple[list[int], int]:
    """The page of whole rows; that of a select is the same."""
    condition = (Alarm.kind == kind) if kind else (Alarm.id > 0)
    with store.read() as tx:
        rows, total = page_of(tx, Alarm, [condition], page, COLUMNS, Alarm.id)
        assert joined_page_of(tx, Alarm.select().where(condition), page, COLUMNS, Alarm.id) == (rows, total)
    return [row["id"] for row in rows], total


@pytest.mark.parametrize(
    ("page", "found"),
    [
        (Page(), [1, 2, 3, 4, 5, 6, 7]),
        (Page(1, 3), [1, 2, 3]),
        (Page(3, 3), [7]),
        (Page(4, 3), []),
        (Page(order=(("Kind", False),)), [2, 4, 6, 1, 3, 7, 5]),
        (Page(order=(("Kind", True),)), [5, 7, 3, 1, 6, 4, 2]),
        (Page(order=(("Kind", False), ("Text", True))), [4, 6, 2, 7, 1, 3, 5]),
        (Page(2, 2, (("Text", True),)), [1, 6]),
    ],
)
def test_a_page_in_order_with_the_number_of_all(filled: Store, page: Page, found: list[int]) -> None:
    assert ids(filled, page) == (found, 7)


def test_the_number_counts_what_the_filter_lets_through(filled: Store) -> None:
    assert ids(filled, Page(1, 1), kind="a") == ([2], 3)
    assert ids(filled, Page(), kind="none") == ([], 0)


@pytest.mark.parametrize("name", ["Nope", "kind", "id; DROP TABLE alarm", ""])
def test_an_unknown_property_is_refused_naming_the_allowed(filled: Store, name: str) -> None:
    with pytest.raises(faults.InvalidField) as refused:
        ids(filled, Page(order=(("Kind", False), (name, False))))
    assert refused.value.message == (
        f"$.PageRequest.OrderList: cannot order by {name!r}; allowed: Kind, Since, Text"
    )
    assert ids(filled, Page()) == ([1, 2, 3, 4, 5, 6, 7], 7)


orders = st.lists(st.tuples(st.sampled_from(sorted(COLUMNS)), st.booleans()), max_size=3).map(tuple)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(1, 9), order=orders)
def test_pages_together_give_every_row_once(
    filled: Store, size: int, order: tuple[tuple[str, bool], ...]
) -> None:
    whole = ids(filled, Page(1, 100, order))[0]
    found = [one for number in range(1, 9) for one in ids(filled, Page(number, size, order))[0]]
    assert found == whole
    assert sorted(found) == [1, 2, 3, 4, 5, 6, 7]


def test_rows_become_frozen_values_without_the_columns_they_do_not_name(store: Store) -> None:
    with store.write() as tx:
        add_load(tx, "l1", xpu_index=[0, 1], sent=True)
        add_load(tx, "l2")
    with store.read() as tx:
        found = structs(tx, Load.select().order_by(Load.id), LoadRow)
        assert [(one.id, one.xpu_index, one.sent) for one in found] == [
            ("l1", [0, 1], True),
            ("l2", None, False),
        ]
        assert struct(tx, Load.select().where(Load.id == "l2"), LoadRow) == found[1]
        assert struct(tx, Load.select().where(Load.id == "none"), LoadRow) is None


def test_a_remembered_number_is_as_new_as_the_rows(filled: Store) -> None:
    """Whoever wrote: this process, another, or the writer itself; also after the file was closed."""
    assert ids(filled, Page())[1] == 7
    with filled.write() as tx:
        assert page_of(tx, Alarm, [Alarm.id > 0], Page(), COLUMNS, Alarm.id)[1] == 7
        tx.run(Alarm.delete().where(Alarm.kind == "a"))
        assert page_of(tx, Alarm, [Alarm.id > 0], Page(), COLUMNS, Alarm.id)[1] == 4
    assert ids(filled, Page())[1] == 4
    with sqlite3.connect(filled.path) as other:
        other.execute("DELETE FROM alarm WHERE kind = 'b'")
    other.close()
    assert ids(filled, Page())[1] == 1
    filled.close()
    with sqlite3.connect(filled.path) as other:
        other.execute("DELETE FROM alarm")
    other.close()
    filled.open()
    assert ids(filled, Page()) == ([], 0)


def test_a_number_asked_for_again_is_not_counted_again(filled: Store) -> None:
    counted = "SELECT count(*) FROM alarm WHERE kind = ?"
    with filled.read() as tx:
        assert [tx.counted(counted, "a") for _ in range(3)] == [3, 3, 3]
        assert tx.counted(counted, "b") == 3
        assert len(tx._reader.memory if tx._reader else ()) == 2


def test_a_question_with_many_values_is_not_remembered(filled: Store) -> None:
    """A search may name as many devices as its body holds: remembered by the hundred they fill the memory."""
    with filled.read() as tx:
        for number in range(3):
            many = [str(number), *map(str, range(10_000))]
            assert page_of(tx, Alarm, [Alarm.kind.in_(many)], Page(), COLUMNS, Alarm.id) == ([], 0)
        assert tx._reader is not None
        assert not tx._reader.memory


def test_numbers_are_forgotten_before_they_are_many(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "REMEMBERED", 3)
    with filled.read() as tx:
        for number in range(20):
            assert tx.counted("SELECT count(*) FROM alarm WHERE id = ?", number) in (0, 1)
        assert len(tx._reader.memory if tx._reader else ()) == 3


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    asked=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.sampled_from("abz"), st.booleans()), max_size=12
    )
)
def test_where_a_page_begins_is_remembered_only_while_nobody_writes(
    store: Store, asked: list[tuple[int, int, str, bool]]
) -> None:
    """Whatever was asked before: a page is what a transaction that remembers nothing finds."""
    with store.write() as tx:
        tx.run(Alarm.delete())
        for place, (kind, text) in enumerate(ROWS * 2):
            tx.run(Alarm.insert(kind=kind, subject=str(place), text=text, since_ms=place))
    for number, size, kind, drops in asked:
        page, condition = Page(number, size), Alarm.kind != kind
        with store.read() as tx:
            found = page_of(tx, Alarm, [condition], page, COLUMNS, Alarm.id)
        with store.write() as tx:
            assert found == page_of(tx, Alarm, [condition], page, COLUMNS, Alarm.id)
            if drops and found[0]:
                tx.run(Alarm.delete().where(Alarm.id == found[0][0]["id"]))


def test_going_through_all_pages_does_not_walk_over_those_before(filled: Store) -> None:
    with filled.read() as tx:
        found = [page_of(tx, Alarm, [Alarm.id > 0], Page(one, 3), COLUMNS, Alarm.id)[0] for one in (1, 2, 3)]
        assert [row["id"] for rows in found for row in rows] == [1, 2, 3, 4, 5, 6, 7]
        begins = {
            key[-1]: kept[1]
            for key, kept in (tx._reader.memory if tx._reader else {}).items()
            if isinstance(key[-1], int)
        }
    assert begins == {0: (">=", 1), 3: (">=", 4), 6: (">=", 7), 7: (">", 7)}


def test_a_table_with_floats_is_not_packed(store: Store) -> None:
    with store.read() as tx, pytest.raises(TypeError, match="Load holds floats"):
        page_of(tx, Load, [Load.id != ""], Page(), {}, Load.id)


def test_what_is_assumed_of_the_database_is_given_up_when_somebody_wrote(filled: Store) -> None:
    """A search asked again is one statement, and sees what this process or another wrote in between."""
    assert ids(filled, Page(2, 2)) == ([3, 4], 7)
    with filled.read() as tx:
        asked = page_of(tx, Alarm, [Alarm.id > 0], Page(2, 2), COLUMNS, Alarm.id)
        assert ([row["id"] for row in asked[0]], asked[1]) == ([3, 4], 7)
        assert not tx.is_open
    with sqlite3.connect(filled.path) as other:
        other.execute("DELETE FROM alarm WHERE id = 3")
    other.close()
    with filled.read() as tx:
        asked = page_of(tx, Alarm, [Alarm.id > 0], Page(2, 2), COLUMNS, Alarm.id)
        assert ([row["id"] for row in asked[0]], asked[1]) == ([4, 5], 6)
        assert tx.is_open


# --- rows that come by thousands -----------------------------------------------------------------------------------
