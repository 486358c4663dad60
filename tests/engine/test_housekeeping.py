"""The audit table within its bounds: by age, by number, what strangers caused first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from acsmpd.engine import housekeeping
from acsmpd.engine.housekeeping import DAY_MS, Housekeeping
from acsmpd.settings import Audit
from acsmpd.store.tables import Audit as Row
from tests.engine.results_bench import NOW_MS, Bench


class Old(Bench):
    """A core with audit rows in its store."""

    def note(self, number: int, who: str, age_days: int = 0) -> None:
        at_ms = NOW_MS - age_days * DAY_MS
        values = {"at_ms": at_ms, "who": who, "address": "", "operation": "x", "code": 0, "request_id": ""}
        with self.store.write(durable=False) as tx:
            for _ in range(number):
                tx.run(Row.insert(**values))

    def trim(self, **given: int) -> None:
        self.limits()
        settings = msgspec.structs.replace(self.core.settings, audit=Audit(**given))
        object.__setattr__(self.core, "settings", settings)
        Housekeeping(self.core).trim()

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


def test_trimming_ends_when_its_time_is_up(old: Old) -> None:
    old.note(housekeeping.BATCH * 3, "nobody")
    once = old.clock.now

    def slow() -> object:
        old.clock.forward(housekeeping.TRIM_SECONDS + 1)
        return once()

    old.clock.now = slow  # type: ignore[method-assign,assignment]
    old.trim(max_rows=1)
    assert old.left == {"nobody": housekeeping.BATCH * 2}
