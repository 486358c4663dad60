"""The ledger of steps, alarms, asks, and small things to remember."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.clock import Shown
from acsmpd.store import alarms, asks, facts, ledger
from acsmpd.store.database import Store, Tx
from acsmpd.store.tables import Alarm, Fact
from tests.store.rows import CODE, NOW

# --- intents -----------------------------------------------------------------------------------------


def begin(tx: Tx, subject: str = "1", attempt: int = 1, now_ms: int = NOW) -> int:
    return ledger.begin(
        tx, kind="task", subject=subject, device=CODE, step="create_task", attempt=attempt, now_ms=now_ms
    )


def test_an_intent_is_open_until_its_outcome_is_known(store: Store) -> None:
    with store.write() as tx:
        first, second = begin(tx), begin(tx, "2")
        ledger.close(tx, first, "done", "", NOW + 5)
        assert [row["id"] for row in ledger.open_intents(tx)] == [second]
        [row] = ledger.of_subject(tx, "task", "1")
        assert (row["step"], row["outcome"], row["begun_ms"], row["ended_ms"]) == (
            "create_task",
            "done",
            NOW,
            NOW + 5,
        )
        assert ledger.of_subject(tx, "load", "1") == []


def test_what_a_device_said_is_kept_in_part(store: Store) -> None:
    with store.write() as tx:
        ledger.close(tx, begin(tx), "permanent", "x" * 5000, NOW)
        assert len(ledger.of_subject(tx, "task", "1")[0]["text"]) == 500


def test_only_the_last_tries_of_a_subject_are_kept(store: Store) -> None:
    with store.write() as tx:
        other = begin(tx, "2")
        ledger.close(tx, other, "done", "", NOW)
        for attempt in range(100):
            ledger.close(tx, begin(tx, attempt=attempt), "temporary", "busy", NOW)
        last = begin(tx, attempt=100)
        kept = [row["attempt"] for row in ledger.of_subject(tx, "task", "1")]
        assert kept == list(range(100 - ledger.KEPT, 101))
        assert [row["id"] for row in ledger.open_intents(tx)] == [last]
        assert len(ledger.of_subject(tx, "task", "2")) == 1


def test_old_closed_intents_go_and_open_ones_stay(store: Store) -> None:
    with store.write() as tx:
        for number, age in enumerate((100, 100, 0)):
            one = begin(tx, str(number), now_ms=NOW - age)
            if number != 1:
                ledger.close(tx, one, "done", "", NOW)
        assert ledger.trim(tx, Shown(NOW - 50, NOW), 9) == 1
        assert [bool(ledger.of_subject(tx, "task", str(number))) for number in range(3)] == [
            False,
            True,
            True,
        ]


# --- alarms ------------------------------------------------------------------------------------------


def rows(store: Store, *conditions: Any) -> list[tuple[Any, ...]]:
    with store.read() as tx:
        found = tx.rows(Alarm.select().where(Alarm.id > 0, *conditions).order_by(Alarm.id))
    return [(row["kind"], row["subject"], row["text"], row["since_ms"], row["until_ms"]) for row in found]


def test_one_open_alarm_for_a_cause_brought_up_to_date(store: Store) -> None:
    with store.write() as tx:
        assert alarms.raise_alarm(tx, "lost", "d1", "100 s", NOW) is True
        assert alarms.raise_alarm(tx, "lost", "d1", "200 s", NOW + 9) is False
        assert alarms.raise_alarm(tx, "lost", "d2", "100 s", NOW + 9) is True
        assert alarms.raise_alarm(tx, "other", "d1", "text", NOW + 9) is True
    assert rows(store, Alarm.kind == "lost") == [
        ("lost", "d1", "200 s", NOW, None), ("lost", "d2", "100 s", NOW + 9, None),
    ]  # fmt: skip


def test_an_alarm_ends_once_and_the_next_is_a_new_row(store: Store) -> None:
    with store.write() as tx:
        alarms.end_alarm(tx, "lost", "d1", NOW)  # none is open
        alarms.raise_alarm(tx, "lost", "d1", "first", NOW)
        alarms.end_alarm(tx, "lost", "d1", NOW + 1)
        alarms.end_alarm(tx, "lost", "d1", NOW + 2)
        assert alarms.raise_alarm(tx, "lost", "d1", "again", NOW + 3) is True
    assert rows(store) == [("lost", "d1", "first", NOW, NOW + 1), ("lost", "d1", "again", NOW + 3, None)]


# --- asks --------------------------------------------------------------------------------------------


def test_a_question_is_waiting_until_it_is_answered(store: Store) -> None:
    with store.write() as tx:
        for place, name in enumerate(("late", "early", "done", "failed")):
            asks.put(tx, name, "import", "http://h/x", {"Url": "http://h/x"}, NOW - place)
        asks.change(tx, "early", NOW + 1, state="running", received=5, size=10)
        asks.change(tx, "done", NOW + 1, state="done", answer={"ID": "1"})
        asks.change(tx, "failed", NOW + 1, state="failed", answer={"Code": 50401})
        assert [row["id"] for row in asks.waiting(tx, "import")] == ["early", "late"]
        assert asks.waiting(tx, "quota") == []
        row = asks.get(tx, "early")
        assert row is not None
        assert (row["received"], row["size"], row["changed_ms"], row["arguments"]) == (
            5, 10, NOW + 1, {"Url": "http://h/x"},
        )  # fmt: skip
        assert asks.get(tx, "none") is None
        assert asks.trim(tx, Shown(NOW + 1, NOW + 9), 9) == 0
        last = Shown(NOW + 2, NOW + 9)
        assert [asks.trim(tx, last, 1) for _ in range(3)] == [1, 1, 0], "as many as one asks for"
        assert [row["id"] for row in asks.waiting(tx, "import")] == ["early", "late"]


# --- facts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, 0, "text", [1, None], {"a": {"b": 1.5}}, "中"])
def test_a_fact_comes_back_as_it_was_put(store: Store, value: Any) -> None:
    with store.write() as tx:
        facts.put(tx, "n", "before")
        facts.put(tx, "n", value)
        assert facts.get(tx, "n") == value
        assert facts.get(tx, "other") is None
        assert len(tx.rows(Fact.select())) == 1


def test_a_counter_never_gives_the_same_number_twice(store: Store) -> None:
    with store.write() as tx:
        assert [facts.count_up(tx, "a") for _ in range(3)] == [1, 2, 3]
        assert facts.count_up(tx, "b") == 1

    def give_up() -> None:
        with store.write() as tx:
            assert facts.count_up(tx, "a") == 4
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()
    with store.write() as tx:
        assert facts.count_up(tx, "a") == 4  # the one before was never given to anybody
