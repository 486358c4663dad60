"""Tidying beside the audit: each job wrapped and bounded, nothing dropped that is still needed."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable

import pytest

from acsmpd.engine.housekeeping import BATCH, HELD, TOUCHED_SECONDS, Housekeeping
from acsmpd.store import alarms, asks, facts, ledger, plans
from acsmpd.store.database import JOURNAL_LIMIT_BYTES
from acsmpd.store.tables import Alarm, Ask, Intent
from tests.engine.bench import Bench
from tests.store.rows import CODE, NOW, add_task

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def tidy(works: Bench, *more: Callable[[], None]) -> Housekeeping:
    made = Housekeeping(works.core, more)
    made._scheduler.run_all()
    return made


def test_nothing_is_due_at_once(works: Bench) -> None:
    ran: list[int] = []
    made = Housekeeping(works.core, [lambda: ran.append(1)])
    made.ensure(works.clock.moment)
    assert ran == []
    assert sorted(job.interval for job in made._scheduler.jobs) == [60, 60, 60, 60, 600, 600, 600]


def test_a_failing_job_is_logged_and_the_ones_after_it_run_again_and_again(
    works: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[int] = []

    def fails() -> None:
        raise ZeroDivisionError("by a test")

    with caplog.at_level(logging.ERROR):
        made = tidy(works, fails, lambda: ran.append(1))
        made._scheduler.run_all()
    assert ran == [1, 1]
    assert [record.getMessage() for record in caplog.records] == ["housekeeping failed: fails"] * 2


def test_the_log_of_the_database_is_shrunk(works: Bench) -> None:
    with works.store.write() as tx:
        facts.put(tx, "big", "x" * 100_000)
    log = works.store.path.with_name("acsmpd.db-wal")
    assert log.stat().st_size > 100_000
    Housekeeping(works.core).checkpoint()
    assert log.stat().st_size == 0


def test_a_log_that_a_reader_holds_is_told_until_it_has_shrunk(works: Bench) -> None:
    made = Housekeeping(works.core)
    with sqlite3.connect(works.store.path, isolation_level=None) as outside:
        outside.execute("BEGIN")
        outside.execute("SELECT count(*) FROM fact").fetchall()
        with works.store.write() as tx:
            facts.put(tx, "big", "x" * (JOURNAL_LIMIT_BYTES + 1))
        made.checkpoint()
        assert alarm(works) == [], "it may be a short one"
        made.checkpoint()
        [(text, until)] = alarm(works)
        assert (text[:41], until) == ("the log of the database has 8 MiB and can", None)
        outside.execute("COMMIT")
    outside.close()
    made.checkpoint()
    [(_, until)] = alarm(works)
    assert until is not None
    assert works.store.log_size() < JOURNAL_LIMIT_BYTES


def alarm(works: Bench) -> list[tuple[str, int | None]]:
    with works.store.read() as tx:
        return [(row["text"], row["until_ms"]) for row in tx.rows(Alarm.select().where(Alarm.kind == HELD))]


def test_alarms_that_are_over_go_by_age_and_number(works: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alarms, "KEPT", 3)
    days = works.core.settings.audit.keep_days * DAY_MS
    with works.store.write() as tx:
        alarms.raise_alarm(tx, "lasting", CODE, "since long ago", 1)
        for number in range(6):  # the first two ended too long ago, of the others three are kept
            alarms.raise_alarm(tx, "computility_lost", CODE, str(number), 1)
            alarms.end_alarm(tx, "computility_lost", CODE, NOW - days + number - 2)
    Housekeeping(works.core).trim()
    with works.store.read() as tx:
        left = [row["text"] for row in tx.rows(Alarm.select().order_by(Alarm.id))]
    assert left == ["since long ago", "3", "4", "5"]
    monkeypatch.setattr(alarms, "KEPT", 10)
    works.pass_by(1)
    Housekeeping(works.core).trim()
    assert works.alarms() == [("lasting", CODE, "since long ago")]
    with works.store.read() as tx:
        assert len(tx.rows(Alarm.select())) == 1


def test_old_intents_and_answered_asks_go(works: Bench) -> None:
    with works.store.write() as tx:
        for age in (*range(DAY_MS + 1, DAY_MS + BATCH + 3), 0):
            one = ledger.begin(
                tx, kind="task", subject=str(age), device=CODE, step="x", attempt=1, now_ms=NOW - age
            )
            ledger.close(tx, one, "done", "", NOW)
        for age in (*range(7 * DAY_MS + 1, 7 * DAY_MS + BATCH + 3), 0):
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
