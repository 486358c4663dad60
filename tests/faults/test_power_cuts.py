"""kill -9 at every named point of a job, and at random ones: the work goes on, nothing twice, nothing lost
(R4, R12, R41)."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import peewee
import pytest
import requests

from acsmpd.store import migrations, schema
from tests.support.daemon import Daemon
from tests.support.fake_cad import FakeCad
from tests.support.mortal import POINTS, STEPS
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.wait import wait_until

FILES, SERVICES = "/ACSMP/AlgoFilePackages", "/ACSMP/AlgoServices/Devices"
CUTS = 20


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Daemon]:
    one = Daemon(tmp_path / "data", {"ACSMPD_OBSERVE_INTERVAL_SECONDS": "0.4"})
    try:
        yield one
    finally:
        one.stop()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A package of several blocks."""
    weights = random.Random(1).randbytes(3 * 2**20).hex()
    return make_package(tmp_path, program={"run.sh": "#!/bin/sh\nexec sleep 1000\n", "weights": weights})


class Customer:
    """An application that does a job, and after a cut line looks what stands before it asks again."""

    def __init__(self, box: Daemon, cad: FakeCad, file: Path) -> None:
        self.box, self.cad, self.file = box, cad, file

    def import_package(self) -> None:
        if self.box.client.get(f"{FILES}/{PACKAGE_ID}").code == 40401:
            assert self.box.client.upload(self.file).code == 0

    def load(self) -> None:
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": self.cad.code}
        self.box.client.fine("POST", f"{SERVICES}?Wait=20", body)

    def plan(self, name: str = "job") -> int:
        page = self.box.client.fine("POST", "/ACSMP/Tasks/Search", {"Name": name})
        for one in page["PageContent"]:
            if one["Name"] == name:
                return int(one["TaskID"])
        body = {
            "Name": name, "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
            "AlgoTaskInfos": [task_info(url=f"rtsp://10.0.0.9/{name}")],
        }  # fmt: skip
        return int(self.box.client.fine("POST", "/ACSMP/Tasks", body))

    def start(self) -> int:
        self.import_package()
        self.load()
        plan = self.plan()
        self.running(plan)
        return plan

    def running(self, plan: int) -> None:
        self.box.until(
            f"/ACSMP/Tasks/{plan}", lambda shown: shown["RunningCount"] == shown["TotalCount"] == 1
        )

    def end(self) -> None:
        """Stop, start, delete and clear away, each as far as it is not done yet."""
        plan = self.plan()
        self.box.client.fine("POST", f"/ACSMP/Tasks/{plan}/Stop")
        self.box.until(f"/ACSMP/Tasks/{plan}", lambda shown: shown["StoppedCount"] == 1)
        self.wait(lambda: not self.cad.running_tasks(), "the task paused")
        self.box.client.fine("POST", f"/ACSMP/Tasks/{plan}/Start")
        self.running(plan)
        self.clear(plan)

    def clear(self, plan: int) -> None:
        assert self.box.client.delete(f"/ACSMP/Tasks/{plan}").code in (0, 40401)
        self.wait(lambda: not self.cad.tasks, "the task gone")
        assert self.box.client.delete(f"{FILES}/{PACKAGE_ID}?Force=true").code in (0, 40401)
        self.wait(lambda: not self.cad.packages, "the package gone")

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Until the platform has done it, or is dead."""
        process = self.box.process
        assert process is not None
        wait_until(lambda: condition() or process.poll() is not None, what=what)
        assert process.poll() is None, "it died"


def whole(box: Daemon, cad: FakeCad, tasks: int) -> None:
    """What must hold after any cut, once things have settled."""
    looks = len(cad.calls("POST", "/CAD/AlgoTasks:search"))
    wait_until(lambda: len(cad.calls("POST", "/CAD/AlgoTasks:search")) >= looks + 3, what="looks")
    assert len(cad.tasks) == tasks
    assert cad.max_running <= 1
    with sqlite3.connect(box.data / "acsmpd.db") as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = [row[0] for row in plain.execute("SELECT path FROM package")]
        wait_until(
            lambda: plain.execute("SELECT count(*) FROM intent WHERE outcome IS NULL").fetchone() == (0,),
            what="every intent closed",
        )
    plain.close()
    folder = box.data / "packages"
    assert sorted(str(path) for path in folder.glob("*/*.tar")) == sorted(rows)
    assert list((folder / "incoming").iterdir()) == []


def cut_at(box: Daemon, point: str, work: Any) -> None:
    """Do the work until the process dies at the point; then start it again, whole."""
    box.mortal = point
    box.start()
    died = False
    try:
        work()
    except (requests.RequestException, AssertionError, ValueError):
        died = True
    box.died()
    assert died or box.process is not None
    box.mortal = ""
    box.start()


@pytest.mark.parametrize("point", [one for one in POINTS if one.startswith(("push", "load", "create"))])
def test_a_job_goes_on_after_a_cut_while_it_begins(box: Daemon, cad: FakeCad, file: Path, point: str) -> None:
    customer = Customer(box, cad, file)

    def begin() -> None:
        assert cad.register(box.url).accepted
        customer.start()

    cut_at(box, point, begin)
    customer.start()
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) <= 2
    whole(box, cad, tasks=1)
    assert cad.packages == {PACKAGE_ID: "RUNNING"}


ENDING = tuple(step for step in STEPS if step not in ("push", "load", "create_task"))


@pytest.mark.parametrize("point", [one for one in POINTS if one.startswith(ENDING)])
def test_a_job_goes_on_after_a_cut_while_it_ends(box: Daemon, cad: FakeCad, file: Path, point: str) -> None:
    box.start()
    customer = Customer(box, cad, file)
    assert cad.register(box.url).accepted
    plan = customer.start()
    box.stop()
    cut_at(box, point, customer.end)
    if point.startswith(("pause", "resume")):
        customer.box.client.fine("POST", f"/ACSMP/Tasks/{plan}/Start")
        customer.running(plan)
        whole(box, cad, tasks=1)
    customer.clear(plan)
    whole(box, cad, tasks=0)


@pytest.mark.parametrize(
    "point",
    [
        "upload under way",
        "before the package is renamed",
        "after the package is renamed",
        "before the package is committed",
    ],
)
def test_an_import_that_was_cut_is_not_there_by_half(
    box: Daemon, cad: FakeCad, file: Path, point: str
) -> None:
    cut_at(box, point, lambda: box.client.upload(file))
    assert box.client.get(f"{FILES}/{PACKAGE_ID}").code == 40401
    whole_without_device(box)
    assert cad.register(box.url).accepted
    Customer(box, cad, file).start()
    whole(box, cad, tasks=1)


def test_an_overwrite_that_was_cut_has_happened_or_has_not(box: Daemon, file: Path, tmp_path: Path) -> None:
    box.start()
    assert box.client.upload(file).code == 0
    box.stop()
    (tmp_path / "new").mkdir()
    newer = make_package(tmp_path / "new", name="newer")
    cut_at(box, "before the replaced package goes", lambda: box.client.upload(newer))
    listed = box.client.fine("POST", f"{FILES}/Search", {})
    assert [one["AlgoFilePackageName"] for one in listed] == ["newer"]
    whole_without_device(box)


def whole_without_device(box: Daemon) -> None:
    with sqlite3.connect(box.data / "acsmpd.db") as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = [row[0] for row in plain.execute("SELECT path FROM package")]
    plain.close()
    assert [str(path) for path in (box.data / "packages").glob("*/*.tar")] == rows
    assert list((box.data / "packages" / "incoming").iterdir()) == []


def described(plain: sqlite3.Connection) -> set[tuple[str, str]]:
    """Every table and index with its statement, but the table that counts the migrations."""
    rows = plain.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name != 'schema'")
    return {(name, sql) for name, sql in rows}


def before_the_last_migration() -> set[tuple[str, str]]:
    database = peewee.SqliteDatabase(":memory:")
    for migration in migrations.MIGRATIONS[:-1]:
        migration(database)
    found = described(database.connection())
    database.close()
    return found


def test_a_migration_that_was_cut_begins_again(box: Daemon) -> None:
    box.data.mkdir(mode=0o700, parents=True)
    with sqlite3.connect(box.data / "acsmpd.db") as plain:
        plain.executescript(schema.FIRST)
        plain.execute(
            "CREATE TABLE schema (version INTEGER NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)"
        )
        plain.execute("INSERT INTO schema VALUES (1, 0)")
    plain.close()
    environ = {**os.environ, **box._environ, "ACSMPD_SERVER_PORT": "1"}
    command = [sys.executable, "-m", "tests.support.mortal", "in a migration"]
    ended = subprocess.run(command, env=environ, check=False, capture_output=True, timeout=60)
    assert ended.returncode == -9, ended.stderr[-2000:]
    with sqlite3.connect(box.data / "acsmpd.db") as plain:
        last = len(migrations.MIGRATIONS) - 1  # what came before the one that was cut is kept
        assert plain.execute("SELECT max(version) FROM schema").fetchone() == (last,)
        assert described(plain) == before_the_last_migration()
    plain.close()
    box.start()
    whole_without_device(box)


# --- anywhere ----------------------------------------------------------------------------------------------------


class Busy:
    """Makes and deletes plans until the line breaks; knows which of them were answered."""

    def __init__(self, customer: Customer, first: int) -> None:
        self.customer, self.number = customer, first
        self.made: dict[int, str] = {}
        self.gone: set[int] = set()
        self.leaving = 0  # the plan whose deletion has been asked for and not been answered
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            while True:
                self.number += 1
                name = f"r{self.number}"
                plan = self.customer.plan(name)
                self.made[plan] = name
                if self.number % 2:
                    self.leaving = plan
                    assert self.customer.box.client.delete(f"/ACSMP/Tasks/{plan}").code == 0
                    self.gone.add(plan)
        except (requests.RequestException, AssertionError, ValueError):
            return


def test_twenty_cuts_anywhere(
    box: Daemon, cad: FakeCad, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("POWER_CUT_SEED", "0")) or random.SystemRandom().randrange(1, 2**31)
    with capsys.disabled():
        print(f" [seed {seed}] ", end="", file=sys.stderr)
    chance = random.Random(seed)
    box.start()
    customer = Customer(box, cad, file)
    assert cad.register(box.url).accepted
    customer.start()
    made: dict[int, str] = {}
    gone: set[int] = set()
    left: set[int] = set()  # gone or not, as the cut would have it
    number = 0
    for _ in range(CUTS):
        busy = Busy(customer, number)
        busy.thread.start()
        assert box.process is not None
        with pytest.raises(subprocess.TimeoutExpired):
            box.process.wait(timeout=chance.uniform(0.02, 1.2))  # it runs until it is cut
        box.kill()
        busy.thread.join()
        made |= busy.made
        gone |= busy.gone
        left |= {busy.leaving}
        number = busy.number
        box.start()
        shown = box.client.fine("POST", "/ACSMP/Tasks/Search", {"PageRequest": {"PageSize": 1000}})
        there = {int(one["TaskID"]) for one in shown["PageContent"]}
        assert set(made) - gone - left <= there, f"seed {seed}: an answered plan is not there"
        assert not gone & there, f"seed {seed}: an answered deletion did not last"
    plans = [int(one["TaskID"]) for one in shown["PageContent"]]
    for plan in plans:
        customer.running(plan)
    wait_until(lambda: len(cad.tasks) == len(plans), seconds=60, what="one task for each plan")
    whole(box, cad, tasks=len(plans))
