"""Eight writers, purge and checkpoint at once: nobody hears of a lock, nothing answered is lost; and a reader from
outside that does not end keeps the WAL large only as long as it reads (R1, R7)."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.engine import housekeeping
from acsmpd.store.database import JOURNAL_LIMIT_BYTES
from tests.faults.writers import Results, Writer, eight
from tests.support.daemon import Daemon, daemon
from tests.support.wait import wait_until

SECONDS = 30
ROWS = 100
SETTINGS = {
    "ACSMPD_OBSERVE_INTERVAL_SECONDS": "1",
    "ACSMPD_RESULTS_MAX_ROWS": str(ROWS),
    "ACSMPD_AUDIT_MAX_ROWS": str(ROWS),
}


class Hasty(Daemon):
    """A daemon that tidies every second."""

    def _words(self) -> list[str]:
        return ["tests.support.hasty"]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Daemon]:
    one = Hasty(tmp_path / "data", SETTINGS)
    try:
        yield one.start()
    finally:
        one.stop()


@contextlib.contextmanager
def writing(box: Daemon, period_seconds: float = 1.0) -> Iterator[list[Writer]]:
    """Writers at work until the end of the block; then what every one of them was answered has to be there."""
    writers = eight(box)
    for one in writers:
        one.start()
    try:
        yield writers
    finally:
        for one in writers:
            one.over.set()
        for one in writers:
            one.join()
    assert [one.fault for one in writers if one.fault] == []
    assert min(one.turns for one in writers) > 0
    whole(box, writers, period_seconds + 20)


def whole(box: Daemon, writers: list[Writer], seconds: float) -> None:
    with contextlib.closing(sqlite3.connect(box.data / "acsmpd.db")) as plain:
        wait_until(lambda: count(plain, "result") <= ROWS, seconds=seconds, what="the purge has come round")
        for one in writers:
            one.check(plain)
        assert count(plain, "result") == min(ROWS, posted(writers)), "no more went than had to"
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    text = box.log.read_text()
    assert "locked" not in text
    assert "Traceback" not in text, text[-3000:]


def posted(writers: list[Writer]) -> int:
    return sum(one.turns for one in writers if isinstance(one, Results))


def count(plain: sqlite3.Connection, table: str) -> int:
    return int(plain.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def wal(box: Daemon) -> int:
    return (box.data / "acsmpd.db-wal").stat().st_size


def go_on(writers: list[Writer], seconds: float) -> None:
    """Until the time is up, or one of them has failed."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end or any(one.fault for one in writers), seconds=2 * seconds + 20)
    assert [one.fault for one in writers if one.fault] == []


def test_nobody_hears_of_a_lock_and_nothing_answered_is_lost(
    box: Daemon, capsys: pytest.CaptureFixture[str]
) -> None:
    with writing(box) as writers:
        go_on(writers, SECONDS)
    assert posted(writers) > ROWS, "there was something to purge"
    with capsys.disabled():
        print(f" [{', '.join(f'{one.name} {one.turns}' for one in writers)}] ", end="")
    wait_until(lambda: wal(box) == 0, what="a checkpoint that ends with an empty log")
    with contextlib.closing(sqlite3.connect(box.data / "acsmpd.db")) as plain:
        wait_until(lambda: count(plain, "audit") <= ROWS, what="the audit is trimmed")


# --- a reader from outside -----------------------------------------------------------------------------------------

READER = """
import sqlite3, sys
plain = sqlite3.connect(sys.argv[1], isolation_level=None)
plain.execute("BEGIN")
[before] = plain.execute("SELECT max(id), count(*) FROM audit").fetchall()
print("reading", flush=True)
sys.stdin.read()
[after] = plain.execute("SELECT max(id), count(*) FROM audit").fetchall()
plain.execute("COMMIT")
assert before == after, (before, after)
"""


@contextlib.contextmanager
def reader(box: Daemon) -> Iterator[None]:
    """Somebody who opens a transaction on the file and does not end it before the block does."""
    command = [sys.executable, "-c", READER, str(box.data / "acsmpd.db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        yield
        process.communicate(timeout=60)
        assert process.returncode == 0


def alarms(box: Daemon) -> list[dict[str, Any]]:
    asked = {"Kind": housekeeping.HELD}
    page: dict[str, Any] = box.client.fine("POST", "/ACSMP/Alarms/Search", asked)
    return list(page["PageContent"])


def grown(box: Daemon) -> bool:
    return wal(box) > JOURNAL_LIMIT_BYTES


def shrunk(box: Daemon) -> bool:
    return wal(box) < JOURNAL_LIMIT_BYTES


def test_a_reader_that_stays_is_told_of_and_the_log_shrinks_when_it_ends(box: Daemon) -> None:
    with writing(box) as writers:
        with reader(box):
            wait_until(lambda: grown(box), seconds=60, what="a log the reader holds")
            [told] = wait_until(lambda: alarms(box), what="an alarm")
            go_on(writers, 5)
            assert grown(box)
        wait_until(lambda: shrunk(box), what="a small log, beside the writers")
        with reader(box):
            wait_until(lambda: grown(box), seconds=60, what="a log that is held once more")
    assert told["Text"].startswith("the log of the database has ")
    wait_until(lambda: shrunk(box), what="a small log, with nobody writing")
    wait_until(lambda: all(one["Until"] for one in alarms(box)), what="the end of the alarm")


@pytest.mark.long
def test_a_minute_of_reading_with_the_periods_as_they_are(tmp_path: Path) -> None:
    period = housekeeping.PERIOD_SECONDS
    with daemon(tmp_path / "data", **SETTINGS) as box:
        with reader(box):
            with writing(box, period) as writers:
                go_on(writers, 60)
            assert grown(box)
        wait_until(lambda: shrunk(box), seconds=period + 5, what="a small log after one period")
