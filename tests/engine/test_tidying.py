"""Tidying beside the audit: each job wrapped and bounded, nothing dropped that is still needed."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from acsmpd.engine.housekeeping import DAY_MS, HOUR_MS, TOUCHED_SECONDS, Housekeeping
from acsmpd.store import asks, facts, ledger, plans
from acsmpd.store.tables import Ask, Intent
from tests.engine.bench import Bench
from tests.store.rows import CODE, NOW, add_task


def tidy(works: Bench, more: dict[Any, int] | None = None) -> Housekeeping:
    made = Housekeeping(works.core, more or {})
    made._scheduler.run_all()
    return made


def test_nothing_is_due_at_once(works: Bench) -> None:
    ran: list[int] = []
    made = Housekeeping(works.core, {lambda: ran.append(1): 60})
    made.ensure(works.clock.moment)
    assert ran == []
    assert sorted(job.interval for job in made._scheduler.jobs) == [60, 60, 60, 60, 600]


def test_a_failing_job_is_logged_and_the_ones_after_it_run_again_and_again(
    works: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[int] = []

    def fails() -> None:
        raise ZeroDivisionError("by a test")

    with caplog.at_level(logging.ERROR):
        made = tidy(works, {fails: 1, lambda: ran.append(1): 1})
        made._scheduler.run_all()
    assert ran == [1, 1]
    assert [record.getMessage() for record in caplog.records] == ["housekeeping failed: fails"] * 2


def test_the_log_of_the_database_is_shrunk(works: Bench) -> None:
    with works.store.write() as tx:
        facts.put(tx, "big", "x" * 100_000)
    log = works.store.path.with_name("acsmpd.db-wal")
    assert log.stat().st_size > 100_000
    Housekeeping(works.core, {})._checkpoint()
    assert log.stat().st_size == 0


def test_old_intents_and_answered_asks_go(works: Bench) -> None:
    with works.store.write() as tx:
        for age in (DAY_MS + 1, 0):
            one = ledger.begin(
                tx, kind="task", subject=str(age), device=CODE, step="x", attempt=1, now_ms=NOW - age
            )
            ledger.close(tx, one, "done", "", NOW)
        for age in (7 * DAY_MS + 1, 0):
            asks.put(tx, str(age), "import", "u", {}, NOW - age)
            asks.change(tx, str(age), NOW - age, state="done")
    tidy(works)
    with works.store.read() as tx:
        assert [row["subject"] for row in tx.rows(Intent.select())] == ["0"]
        assert [row["id"] for row in tx.rows(Ask.select())] == ["0"]


def test_a_deleted_instance_goes_once_nothing_waits_for_it(works: Bench) -> None:
    keep = works.settings.results.keep_hours * HOUR_MS
    old = {"deleted": True, "changed_ms": NOW - keep - 1}
    works.instance("over", **old)
    works.instance("fresh", deleted=True, changed_ms=NOW - keep)
    works.instance("living", changed_ms=NOW - keep - 1)
    works.instance("on a device", **old)
    with works.store.write() as tx:
        add_task(tx, "on a device", wanted="gone", sent=True)
    tidy(works)
    with works.store.read() as tx:
        assert {row.id for row in plans.instances(tx)} == {"fresh", "living", "on a device"}


def test_moments_of_steps_are_forgotten_after_a_while(works: Bench) -> None:
    now = works.clock.moment.mono
    works.core.touched.update({f"task:{number}": now - TOUCHED_SECONDS - 1 for number in range(5000)})
    works.core.touched.update({"edge": now - TOUCHED_SECONDS, "new": now})
    tidy(works)
    assert set(works.core.touched) == {"edge", "new"}


def test_forgetting_them_changes_no_judgement(works: Bench) -> None:
    works.running()
    works.run(8, 90)
    tidy(works)
    assert works.core.touched == {}
    works.run(5, 15)
    assert works.plant.told() == ["push", "load", "create_task"]
    assert works.status() == ("RUNNING", "")
