"""Turns of inspections as they are stored."""

from __future__ import annotations

from typing import Any

from acsmpd.store import rounds
from acsmpd.store.database import Store


def put(store: Store, *ids: str, **more: Any) -> None:
    with store.write() as tx:
        for one in ids:
            rounds.put(
                tx, instance_id=one, plan_id=1, mono=1.0, boot_id="b",
                **{"round": 1, "phase": "served", "reason": "no decoder", **more},
            )  # fmt: skip


def test_only_those_that_are_asked_about_are_told_why_they_failed(store: Store) -> None:
    put(store, *(f"old-{number}" for number in range(2000)))
    put(store, "a", "b")
    put(store, "well", reason="")
    with store.read() as tx:
        assert rounds.failures(tx, ["a", "well", "nobody"]) == {"a": "no decoder"}
        assert rounds.failures(tx, []) == {}
        assert len(rounds.failures(tx, [f"old-{number}" for number in range(2000)])) == 2000


def test_the_turns_of_others_are_not_gone_through(store: Store) -> None:
    with store.read() as tx:
        plan = [row[3] for row in tx.sql("EXPLAIN QUERY PLAN " + rounds.FAILURES, "[]")]
    assert any(line.startswith("SEARCH turn") for line in plan), plan
    assert not any(line.startswith("SCAN turn") for line in plan), plan
