"""Load and unload, import and delete, again and again: what a daemon holds afterwards is what it held before
(R11, R36). Processes, threads, descriptors, control groups, files, rows and the database are counted from outside."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from acsmpd.app import App
from acsmpd.engine.housekeeping import Housekeeping
from tests.journeys.conftest import Ahead
from tests.support import engines
from tests.support.daemon import Daemon, daemon
from tests.support.engines import Misbehaving
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package
from tests.support.site import SITE_CODE
from tests.support.wait import wait_until

FILES, SERVICES = "/ACSMP/AlgoFilePackages", "/ACSMP/AlgoServices/Devices"
HISTORIES = ("audit", "intent", "sqlite_sequence")
"""What is kept of what was done: bounded, but not by what is there."""
AT_ONCE = 10
AUDIT_ROWS = 50
SPARE = {"threads": 2, "descriptors": 8, "pages": 8}
"""A pool may still take on a thread with its connections to the database; a leak adds one or more every cycle."""


class Held:
    """What a daemon holds at this moment; histories apart."""

    def __init__(self, box: Daemon) -> None:
        assert box.process is not None
        process = psutil.Process(box.process.pid)
        files = files_of(box.data)
        self.counts = {
            "threads": process.num_threads(), "descriptors": process.num_fds(), "files": len(files),
            "bytes": sum(files), "processes": len(process.children(recursive=True)),
            "control groups": control_groups(box.data),
        }  # fmt: skip
        rows = rows_of(box.data)
        self.histories = {name: rows.pop(name, 0) for name in HISTORIES}
        self.rows, self.pages = rows, pages_used(box.data)
        self.memory = process.memory_info().rss

    def more_than(self, before: Held) -> dict[str, tuple[int, int]]:
        """What is not as it was: name -> (then, now)."""
        found = {
            name: (then, self.counts[name])
            for name, then in before.counts.items()
            if not (self.counts[name] <= then + SPARE.get(name, 0))
        }
        return found | {
            name: (before.rows.get(name, 0), now)
            for name, now in self.rows.items()
            if now != before.rows.get(name, 0)
        }

    def __repr__(self) -> str:
        return f"{self.counts} {self.histories} {self.pages} pages, rss {self.memory >> 20} MiB"


def files_of(data: Path) -> list[int]:
    """Bytes on disk of everything in the data directory but the database; what vanishes meanwhile is not there."""
    found = []
    for folder, names, files in os.walk(data):
        for name in [*names, *files]:
            with contextlib.suppress(FileNotFoundError):
                if not name.startswith("acsmpd.db"):
                    found.append(os.lstat(os.path.join(folder, name)).st_blocks * 512)
    return found


def control_groups(data: Path) -> int:
    """Those of engines, wherever a hierarchy is mounted."""
    mark = hashlib.sha256(str((data / "services" / "engines").absolute()).encode()).hexdigest()[:8]
    return sum(
        name.startswith(f"acsmpd-{mark}-") for _, names, _ in os.walk("/sys/fs/cgroup") for name in names
    )


def rows_of(data: Path) -> dict[str, int]:
    with sqlite3.connect(data / "acsmpd.db") as plain:
        names = [row[0] for row in plain.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {name: plain.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in names}
    plain.close()
    return found


def pages_used(data: Path) -> int:
    """Pages of the database that hold something."""
    with sqlite3.connect(data / "acsmpd.db") as plain:
        [(pages,)], [(free,)] = plain.execute("PRAGMA page_count"), plain.execute("PRAGMA freelist_count")
    plain.close()
    return int(pages) - int(free)


def flat(box: Daemon, before: Held) -> Held:
    """What is held now, once it is no more than before."""
    last: list[Held] = []

    def settled() -> bool:
        last[:] = [Held(box)]
        return not last[0].more_than(before)

    try:
        wait_until(settled, seconds=30)
    except AssertionError:
        raise AssertionError(f"not flat: {last[0].more_than(before)}") from None
    return last[0]


def cycle(box: Daemon, code: str, package_ids: list[str], loaded: Callable[[], int]) -> None:
    """Load each on the computility, and unload them all again. `loaded`: how many run there, counted where they run:
    to ask the daemon again and again would be most of its work."""

    def ask(path: str, package_id: str) -> None:
        body = {"AlgoFilePackageID": package_id, "ComputilityCode": code}
        box.client.fine("POST", path, body)

    for package_id in package_ids:
        ask(SERVICES, package_id)
    wait_until(lambda: loaded() == len(package_ids), seconds=60, what="all loaded")
    wait_until(lambda: shown(box, code) == ["RUNNING"] * len(package_ids), seconds=60, what="all shown")
    for package_id in dict.fromkeys(package_ids):
        ask(f"{SERVICES}/UnInstall", package_id)
    wait_until(lambda: loaded() == 0, seconds=60, what="all unloaded")
    wait_until(lambda: shown(box, code) == [], seconds=60, what="none shown")


def shown(box: Daemon, code: str) -> list[str]:
    page = box.client.fine("POST", f"{SERVICES}/Search", {"ComputilityCode": code})
    return [one["Status"] for one in page["Records"]]


def repeated(box: Daemon, times: int, work: Callable[[], None]) -> tuple[Held, Held]:
    """What is held before and after; the first two rounds fill the pools and are not counted."""
    for _ in range(2):
        work()
    nothing_open(box)
    before = Held(box)
    for _ in range(times):
        work()
    after = flat(box, before)
    print(f"before {before}\nafter  {after}")
    return before, after


def nothing_open(box: Daemon) -> None:
    """Every step that was begun has ended, and no copy waits to be deleted."""
    with sqlite3.connect(box.data / "acsmpd.db") as plain:
        count = """SELECT (SELECT count(*) FROM intent WHERE outcome IS NULL)
            + (SELECT count(*) FROM copy WHERE NOT wanted)"""
        wait_until(lambda: plain.execute(count).fetchone() == (0,), what="every step ended")
    plain.close()


@pytest.fixture
def loads(request: pytest.FixtureRequest) -> int:
    """How many cycles; the long campaign of 500 takes minutes."""
    return 500 if request.config.getoption("--long") else 30


def test_loads_and_unloads_on_a_device(tmp_path: Path, loads: int) -> None:
    with (
        FakeCad() as cad,
        daemon(tmp_path / "data", engine_lanes_per_device="8", audit_max_rows=str(AUDIT_ROWS)) as box,
    ):
        assert cad.register(box.url).accepted
        numbers = [f"{PACKAGE_ID[:-2]}{number:02d}" for number in range(AT_ONCE)]
        for number in numbers:
            file = make_package(tmp_path, package_id=number, name=f"n{number}", codes=(f"C{number}",))
            assert box.client.upload(file).code == 0

        def work() -> None:
            cycle(box, cad.code, numbers, lambda: list(cad.packages.values()).count("RUNNING"))

        before, after = repeated(box, loads // AT_ONCE, work)
        assert set(cad.packages.values()) == {"STOPPED"}
        assert after.histories["intent"] - before.histories["intent"] >= 2 * loads
        box.stop()
        histories_end(box, before)


def test_loads_and_unloads_on_this_box(tmp_path: Path, loads: int) -> None:
    """Real engines in the real sandbox, five of one package at a time."""
    open_folder = tmp_path / "open"
    settings = {**engines.ports(2), "ACSMPD_RUNTIME_READ_ONLY_PATHS": str(open_folder)}
    rounds = loads // 5 if loads >= 500 else loads // 10
    one = Misbehaving(open_folder)
    with daemon(tmp_path / "data", runtime_health_interval_seconds="0.5", **settings) as box:
        assert box.client.upload(one.file).code == 0
        repeated(box, rounds, lambda: cycle(box, SITE_CODE, [one.id] * 5, lambda: len(one.pids())))
        assert one.traces() == []


def test_50_packages_come_and_go(tmp_path: Path) -> None:
    """2 MiB each, and of the last ten a copy unpacked on this box: the disk is back where it was."""
    chance = random.Random(7)
    with daemon(tmp_path / "data") as box:

        def bring(number: int, size: int = 2**21) -> None:
            weights = chance.randbytes(size // 2).hex()
            package_id = f"{PACKAGE_ID[:-2]}{number:02d}"
            file = make_package(
                tmp_path, package_id=package_id, codes=(f"C{number}",), program={"run.sh": "#!/bin/sh\n", "w": weights},
            )  # fmt: skip
            assert box.client.upload(file).code == 0
            if number >= 40:
                body = {"AlgoFilePackageID": package_id, "ComputilityCode": SITE_CODE}
                box.client.fine("POST", "/ACSMP/AlgoFilePackages/Devices?Wait=20", body)
            file.unlink()

        for number in range(36, 50):  # every thread of the server has answered once
            bring(number, 2**10)
            delete(box, number)
        nothing_open(box)
        before = Held(box)
        for number in range(50):
            bring(number)
        brought = Held(box).counts["bytes"] - before.counts["bytes"]
        assert brought > 60 * 2**21  # the files, and what was unpacked of ten
        for number in range(50):
            delete(box, number)
        flat(box, before)


def delete(box: Daemon, number: int) -> None:
    box.client.fine("DELETE", f"{FILES}/{PACKAGE_ID[:-2]}{number:02d}")


# --- histories ---------------------------------------------------------------------------------------------------


def histories_end(box: Daemon, before: Held) -> None:
    """A day later nothing is kept of the steps, and of the audit no more than its bound; the space can be used anew."""
    clock = Ahead()
    clock.seconds = 25 * 3600
    app = App(box.settings, clock).start()
    try:
        Housekeeping(app._core).trim()
    finally:
        app.stop()
    rows = rows_of(box.data)
    assert rows["intent"] == 0
    assert rows["audit"] <= AUDIT_ROWS
    assert pages_used(box.data) <= before.pages + SPARE["pages"]
