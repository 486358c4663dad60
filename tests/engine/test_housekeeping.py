"""The audit table within its bounds: by age, by number, what strangers caused first."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.engine import housekeeping
from acsmpd.engine.housekeeping import Housekeeping
from acsmpd.settings import Audit
from acsmpd.store import accounts, devices
from acsmpd.store.tables import Audit as Row
from acsmpd.store.tables import Token, UpstreamToken
from tests.engine.results_bench import NOW_MS, Bench, Hands

DAY_MS = 86_400_000


class Old(Bench):
    """A core with audit rows in its store."""

    def note(self, number: int, who: str, age_days: int = 0, code: int = 0) -> None:
        at_ms = NOW_MS - age_days * DAY_MS
        values = {"at_ms": at_ms, "who": who, "address": "", "operation": "x", "code": code, "request_id": ""}
        with self.store.write(durable=False) as tx:
            for _ in range(number):
                tx.run(Row.insert(**values))

    def trim(self, **given: int) -> None:
        self.limits()
        settings = msgspec.structs.replace(self.core.settings, audit=Audit(**given))
        object.__setattr__(self.core, "settings", settings)
        made = Housekeeping(self.core)
        made.ensure(self.clock.now())
        made.trim()

    def deadlines(self, table: type[Token] | type[UpstreamToken]) -> dict[str, int | None]:
        with self.store.read() as tx:
            return {row["hash"]: row["dies_ms"] for row in tx.rows(table.select())}

    @property
    def left(self) -> dict[str, int]:
        rows = self.rows(Row)
        return {who: sum(row["who"] == who for row in rows) for who in {row["who"] for row in rows}}


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Old]:
    made = Old(tmp_path)
    yield made
    made.store.close()


def test_more_than_a_batch_goes_by_age_in_one_trimming(old: Old) -> None:
    old.note(housekeeping.BATCH * 2 + 3, "key:ops", age_days=11)
    old.note(2, "key:ops", age_days=9)
    old.trim(keep_days=10)
    assert old.left == {"key:ops": 2}


def test_what_strangers_caused_goes_first(old: Old) -> None:
    old.note(3, "key:ops")
    old.note(housekeeping.BATCH * 2, "nobody")
    old.note(2, "person:boss")
    old.trim(max_rows=10)
    assert old.left == {"key:ops": 3, "nobody": 5, "person:boss": 2}
    old.trim(max_rows=4)
    assert old.left == {"key:ops": 2, "person:boss": 2}, "then the oldest"


def test_what_others_were_refused_goes_before_what_was_done(old: Old) -> None:
    """Who has a token or a narrow key may knock for days: that washes away nothing but knocking."""
    old.note(2, "person:boss")
    old.note(3, "computility:1")
    old.note(housekeeping.BATCH, "key:narrow", code=40301)
    old.note(housekeeping.BATCH, "computility:1", code=40401)
    old.note(1, "key:ops", code=40401)
    old.trim(max_rows=6)
    assert old.left == {"person:boss": 2, "computility:1": 3, "key:ops": 1}


def test_trimming_ends_when_its_time_is_up(old: Old) -> None:
    old.note(housekeeping.BATCH * 3, "nobody")
    once = old.clock.now

    def slow() -> object:
        old.clock.forward(housekeeping.TRIM_SECONDS + 1)
        return once()

    old.clock.now = slow  # type: ignore[method-assign,assignment]
    old.trim(max_rows=1)
    assert old.left == {"nobody": housekeeping.BATCH * 2}


# --- the clock is set ------------------------------------------------------------------------------------------------

STEPS = [3600, -3600, 86_400, -86_400, 3 * 365 * 86_400, -3 * 365 * 86_400]


@pytest.mark.parametrize("seconds", STEPS)
def test_the_dates_of_jobs_go_along(old: Old, seconds: int) -> None:
    old.clock.moment = Clock().now()
    made = Housekeeping(old.core)
    before = [job.next_run for job in made._scheduler.jobs]
    made._follow_clock(old.clock.now())
    assert [job.next_run for job in made._scheduler.jobs] == before
    old.clock.forward(1)
    old.clock.set(seconds)
    made._follow_clock(old.clock.now())
    moved = [job.next_run - date for job, date in zip(made._scheduler.jobs, before, strict=True)]
    assert all(abs(by.total_seconds() - seconds) < 1 for by in moved)


def test_a_job_that_was_dated_too_late_comes_within_its_period(old: Old) -> None:
    """The clock is put forward after its reading and before the scheduler's."""
    old.clock.moment = Clock().now()
    made = Housekeeping(old.core)
    for job in made._scheduler.jobs:
        job.next_run += timedelta(days=1)
    old.clock.set(86_400)
    made._follow_clock(old.clock.now())
    latest = datetime.fromtimestamp(old.clock.now().wall_ms / 1000)
    assert all(job.next_run <= latest + timedelta(seconds=job.interval) for job in made._scheduler.jobs)


def replace_tokens(old: Old) -> None:
    with old.store.write() as tx:
        devices.set_current(tx, "c", "first", "", NOW_MS)
        devices.add_next(tx, "c", "second", "", NOW_MS)
        devices.next_was_used(tx, "c", NOW_MS, NOW_MS + devices.OLD_TOKEN_MS)
        accounts.add_upstream_token(tx, "u", "first", "", NOW_MS, 0)
        accounts.add_upstream_token(tx, "u", "second", "", NOW_MS, NOW_MS + accounts.OLD_UPSTREAM_TOKEN_MS)


@pytest.mark.parametrize("seconds", STEPS)
def test_a_replaced_token_is_taken_as_long_as_it_was_to_be(old: Old, seconds: int) -> None:
    replace_tokens(old)
    made = Housekeeping(old.core)
    made.ensure(old.clock.now())
    old.clock.forward(60)
    old.clock.set(seconds)
    made.ensure(old.clock.now())
    left = {Token: devices.OLD_TOKEN_MS - 60_000, UpstreamToken: accounts.OLD_UPSTREAM_TOKEN_MS - 60_000}
    for table, left_ms in left.items():
        assert old.deadlines(table) == {"first": old.clock.now().wall_ms + left_ms, "second": None}


def test_the_clock_is_set_between_the_start_and_the_first_pass(old: Old) -> None:
    """A box without a battery starts in another year; its time comes while it is still tidying up."""
    replace_tokens(old)
    old.clock.set(-50 * 365 * 86_400)
    made = Housekeeping(old.core)
    made.recover()
    old.clock.forward(10)
    old.clock.set(50 * 365 * 86_400)
    made.ensure(old.clock.now())
    assert old.deadlines(Token)["first"] == old.clock.now().wall_ms + devices.OLD_TOKEN_MS - 10_000


def test_the_clock_is_set_while_the_disk_is_bad(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    def bad(**_: bool) -> NoReturn:
        raise faults.Internal("cannot write to the database: the disk failed")

    replace_tokens(old)
    made = Housekeeping(old.core)
    made.ensure(old.clock.now())
    old.clock.set(-365 * 86_400)
    with monkeypatch.context() as broken:
        broken.setattr(old.store, "write", bad)
        for _ in range(2):
            old.clock.forward(1)
            with pytest.raises(faults.Internal):
                made.ensure(old.clock.now())
    for _ in range(2):
        old.clock.forward(1)
        made.ensure(old.clock.now())
        assert old.deadlines(Token)["first"] == NOW_MS - 365 * DAY_MS + devices.OLD_TOKEN_MS


def test_a_replaced_token_does_not_outlive_a_start_with_an_earlier_clock(old: Old) -> None:
    with old.store.write() as tx:
        devices.set_current(tx, "c", "first", "", NOW_MS)
        devices.add_next(tx, "c", "second", "", NOW_MS)
        devices.next_was_used(tx, "c", NOW_MS, NOW_MS + devices.OLD_TOKEN_MS)
    old.clock.set(-1_700_000_000)
    Housekeeping(old.core).recover()
    assert old.deadlines(Token)["first"] == old.clock.now().wall_ms + devices.OLD_TOKEN_MS


@pytest.mark.parametrize("seconds", STEPS)
def test_records_are_kept_as_long_as_they_were_to_be(old: Old, seconds: int) -> None:
    old.note(2, "key:ops")
    old.clock.forward(60)
    old.trim(keep_days=1)
    old.clock.set(seconds)
    old.trim(keep_days=1)
    assert old.left == {"key:ops": 2}
    again = Hands()  # another process of the same boot goes on from what was stored
    again.moment = old.clock.moment
    old.clock = again
    old.limits()
    Housekeeping(old.core).recover()
    old.trim(keep_days=1)
    assert old.left == {"key:ops": 2}
    old.clock.forward(2 * 86_400)
    old.trim(keep_days=1)
    assert old.left == {}
