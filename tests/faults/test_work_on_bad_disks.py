"""Work that a bad disk catches half way: steps on devices, deliveries, engines of this box, starts and stops (R10)."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from acsmpd.decide.backoff import delay_seconds
from tests.support import engines
from tests.support.daemon import ROOT, Daemon, daemon
from tests.support.disks import Disk, LoopDisk, failing
from tests.support.engines import Misbehaving, the_hand
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Answer
from tests.support.wait import wait_until
from tests.wire.servers import Handler, serving

FILES, SERVICES, TASKS = "/ACSMP/AlgoFilePackages", "/ACSMP/AlgoServices/Devices", "/ACSMP/Tasks"
QUICK = {"ACSMPD_OBSERVE_INTERVAL_SECONDS": "0.4", "ACSMPD_DATA_MIN_FREE_BYTES": "1"}
NOT_WRITTEN = {"Status": "failing", "Faults": ["the database cannot be written"]}


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon on a disk that is well; its system calls may fail."""
    one = Daemon(tmp_path / "data", QUICK)
    try:
        yield one.start()
    finally:
        one.stop()
        assert sql(one.data, "PRAGMA integrity_check") == [("ok",)]


def sql(data: Path, text: str) -> list[Any]:
    plain = sqlite3.connect(data / "acsmpd.db")
    try:
        return plain.execute(text).fetchall()
    finally:
        plain.close()


def database_fails(box: Daemon) -> AbstractContextManager[None]:
    assert box.process is not None
    return failing(box.process.pid, "pwrite64", "EIO")


def job(box: Daemon, cad: FakeCad, folder: Path, **rule: Any) -> int:
    """A plan whose task is being created on the device."""
    assert cad.register(box.url).accepted
    assert box.client.upload(make_package(folder)).code == 0
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
    box.client.fine("POST", f"{SERVICES}?Wait=20", body)
    info = task_info()
    info["RulesParams"][0].update(rule)  # type: ignore[index]
    return add_plan(box, info).data  # type: ignore[no-any-return]


def add_plan(box: Daemon, info: dict[str, object] | None = None) -> Answer:
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
        "AlgoTaskInfos": [info or task_info()],
    }  # fmt: skip
    return box.client.post(TASKS, body)


def until_running(box: Daemon, plan: int) -> None:
    box.until(f"{TASKS}/{plan}", lambda shown: shown["RunningCount"] == 1)


def looks(cad: FakeCad, number: int) -> None:
    """So many further looks at the device."""
    before = len(cad.calls("POST", "/CAD/AlgoTasks:search"))
    wait_until(lambda: len(cad.calls("POST", "/CAD/AlgoTasks:search")) >= before + number, what="looks")


# --- what was under way --------------------------------------------------------------------------------------


def test_a_step_whose_outcome_could_not_be_written_is_not_done_again(
    box: Daemon, cad: FakeCad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, go_on, real = threading.Event(), threading.Event(), cad.board.create

    def held(*given: Any, **more: Any) -> Any:
        asked.set()
        go_on.wait(20)
        return real(*given, **more)

    monkeypatch.setattr(cad.board, "create", held)
    plan = job(box, cad, tmp_path)
    assert asked.wait(20)
    try:
        with database_fails(box):
            go_on.set()
            wait_until(lambda: box.client.get("/readyz").body == NOT_WRITTEN, what="trouble told")
            looks(cad, 3)
            [(step, outcome)] = sql(box.data, "SELECT step, outcome FROM intent ORDER BY id DESC LIMIT 1")
            assert (step, outcome) == ("create_task", None)
    finally:
        go_on.set()
    until_running(box, plan)
    wait_until(lambda: not sql(box.data, "SELECT 1 FROM intent WHERE outcome IS NULL"), what="the outcome")
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == len(cad.tasks) == 1


def test_a_delivery_that_could_not_be_written_down_is_not_repeated_without_end(
    cad: FakeCad, tmp_path: Path
) -> None:
    asked, go_on = threading.Event(), threading.Event()
    pauses = {"ACSMPD_ENGINE_BACKOFF_FIRST_SECONDS": "4", "ACSMPD_ENGINE_BACKOFF_MAX_SECONDS": "4"}

    def receive(handler: Handler) -> None:
        asked.set()
        go_on.wait(20)
        handler.reply(200, {"Code": 0, "Message": "success"})

    with serving(receive) as server, daemon(tmp_path / "data", **QUICK, **pauses) as box:
        plan = job(box, cad, tmp_path, ResultReceiveUrl=[f"{server.url}/results"])
        until_running(box, plan)
        [said] = cad.send_result(next(iter(cad.tasks)))
        assert said.accepted
        assert asked.wait(20)
        try:
            with database_fails(box):
                go_on.set()
                begun = time.monotonic()
                looks(cad, 8)
                posts, seconds = len(server.seen), time.monotonic() - begun
        finally:
            go_on.set()
        least = sum(
            delay_seconds(number, first=4, limit=4, salt=f"http://127.0.0.1:{server.port}")
            for number in range(1, posts)
        )
        assert least <= seconds, f"{posts} posts in {seconds:.1f} s"
        wait_until(lambda: not sql(box.data, "SELECT 1 FROM delivery"), what="delivered")


# --- the engines of this box ---------------------------------------------------------------------------------


class Shop:
    """A daemon that runs engines, with its services on a small disk."""

    def __init__(self, folder: Path) -> None:
        self.disk = Disk(folder / "data" / "services", 8)
        self.box = Daemon(
            folder / "data", {**QUICK, **engines.ports(1), "ACSMPD_RUNTIME_HEALTH_INTERVAL_SECONDS": "0.3"}
        )
        folder.chmod(0o755)
        self.engine = Misbehaving(folder / "engine")

    def until_told(self, service: str, words: str) -> None:
        engines.until_told(self.box, service, words)

    def programs(self) -> list[str]:
        return [path.name for path in (self.disk.place / "programs").rglob("*")]

    def log(self) -> bytes:
        [path] = (self.disk.place / "logs").glob("*.log")
        return path.read_bytes()


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    one = Shop(tmp_path)
    try:
        one.box.start()
        assert one.box.client.upload(one.engine.file).code == 0
        yield one
    finally:
        one.box.stop()
        assert not one.engine.traces()
        one.disk.end()


def test_an_engine_starts_once_the_disk_is_well(shop: Shop) -> None:
    with shop.disk.read_only():
        service = engines.load(shop.box, PACKAGE_ID, wait=0)
        shop.until_told(service, "the package file is not there: cannot unpack")
        shop.until_told(service, "Read-only file system")
        assert shop.programs() == []
    with shop.disk.full():
        shop.until_told(service, "needed, 0 free")
        assert shop.programs() == []
    engines.until_running(shop.box, service)


def test_an_engine_runs_on_while_its_output_cannot_be_kept(shop: Shop) -> None:
    service = engines.load(shop.box, PACKAGE_ID)
    engines.until_running(shop.box, service)
    hand = the_hand(shop.box.data, service)
    with shop.disk.full():
        assert hand.do("flood", 100) == ""
        assert hand.do("disk", ["more", 1]) != "", "its own disk has room"
        wait_until(lambda: "cannot keep the output" in shop.box.log.read_text(), what="told")
        assert engines.until_running(shop.box, service)["Status"] == "RUNNING"
    before = len(shop.log())
    assert hand.do("flood", 3) == ""
    wait_until(lambda: len(shop.log()) >= before + 3 * 1024, what="its output kept again")
    assert shop.box.log.read_text().count("cannot keep the output") == 1


def test_an_engine_the_disk_refused_starts_and_a_program_it_kept_goes(shop: Shop) -> None:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": shop.box.settings.site_code}
    shop.box.client.fine("POST", f"{FILES}/Devices?Wait=20", body)
    wait_until(lambda: shop.programs(), what="unpacked")
    with shop.disk.full():
        service = engines.load(shop.box, PACKAGE_ID, wait=0)
        shop.until_told(service, "cannot start engine")
        shop.until_told(service, "No space left on device")
        assert not list((shop.disk.place / "engines").rglob("*.new"))
    engines.until_running(shop.box, service)
    engines.unload(shop.box, PACKAGE_ID, service)
    with shop.disk.read_only():
        assert shop.box.client.delete(f"{FILES}/{PACKAGE_ID}?Force=true").code == 0
        wait_until(lambda: "cannot carry out the step deletecopy" in copy_error(shop.box), what="told")
        assert shop.programs()
    wait_until(lambda: shop.programs() == [], what="the program gone")


def copy_error(box: Daemon) -> str:
    return "".join(row[0] for row in sql(box.data, "SELECT error FROM copy"))


# --- starts and ends -----------------------------------------------------------------------------------------


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[LoopDisk]:
    disk = LoopDisk(tmp_path / "image", tmp_path / "data", 24)
    disk.mount()
    try:
        yield disk
    finally:
        disk.unmount()


def test_a_disk_the_kernel_gave_up_is_told_and_after_its_repair_all_is_there(
    loop: LoopDisk, tmp_path: Path
) -> None:
    """No process can make such a disk well again: it is mounted afresh, so the daemon is started afresh."""
    box = Daemon(loop.place, QUICK)
    try:
        plan = add_plan(box.start()).data
        loop.abort()
        refused = add_plan(box)
        assert refused.code == 50000
        assert refused.message == "cannot write to the database: the disk is read-only (disk I/O error)"
        refused = box.client.upload(make_package(tmp_path))
        assert (refused.code, refused.message) == (
            50000,
            "cannot receive the package file: Read-only file system",
        )
        assert box.client.get(f"{TASKS}/{plan}").code == 0
        assert box.client.get("/readyz").body == NOT_WRITTEN
        box.stop()
        assert box.process is not None
        assert box.process.returncode == 0, box.log.read_text()[-3000:]
        loop.unmount()
        loop.repair()
        loop.mount()
        box.start()
        assert box.client.get(f"{TASKS}/{plan}").code == 0
        assert add_plan(box).code == 0
        assert box.client.upload(make_package(tmp_path)).code == 0
        assert sql(box.data, "PRAGMA integrity_check") == [("ok",)]
    finally:
        box.stop()


def test_a_start_on_a_bad_disk_says_why_and_harms_nothing(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "data", 8)
    box = Daemon(disk.place, QUICK)
    try:
        plan = add_plan(box.start()).data
        with disk.full():
            assert command(box, "key", "create", "--name", "late", "--role", "viewer") == (
                1,
                "acsmpd: cannot write to the database: the disk is full\n",
            )
        box.stop()
        full = f"acsmpd: cannot open the database {disk.place}/acsmpd.db: the disk is full\n"
        with disk.full():
            assert command(box, "serve") == (1, full)
        with disk.read_only():
            code, words = command(box, "serve")
            assert (code, "Read-only file system" in words, "Traceback" in words) == (1, True, False), words
        box.start()
        assert box.client.get(f"{TASKS}/{plan}").code == 0
    finally:
        box.stop()
        disk.end()


def command(box: Daemon, *words: str) -> tuple[int, str]:
    """Exit code and last words of the command line on this data directory."""
    environ = {"PATH": os.environ["PATH"], **box._environ}
    done = subprocess.run(
        [sys.executable, "-m", "acsmpd", *words], cwd=ROOT, env=environ, check=False, capture_output=True,
        text=True, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stderr
