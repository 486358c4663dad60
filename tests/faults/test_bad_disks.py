"""A disk that is full, read-only or fails to sync, at every write path of a daemon that runs on (R10).

The callers are told in words, nothing is there by half, reads go on, and once the disk is well the same writes
succeed without a restart. The data directory and its folders lie on small disks of their own, so that each can go bad
while the others are well; what cannot be done to a mounted disk is done to the system calls.
"""

from __future__ import annotations

import base64
import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.daemon import Daemon
from tests.support.disks import Disk, failing
from tests.support.fake_cad import FakeCad
from tests.support.fake_speaking import TINY_JPEG, multipart_of, post_form, post_json, result_of
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.registering import code, registration
from tests.support.site import Answer, Client
from tests.support.wait import wait_until
from tests.wire.servers import Handler, Server, serving

FILES, TASKS, RESULTS = "/ACSMP/AlgoFilePackages", "/ACSMP/Tasks", "/ACSMP/Results/Search"
SIZES = {"": 32, "packages": 8, "results": 8}
LARGE_JPEG = base64.b64encode(b"\xff\xd8\xff" + bytes(600 * 1024)).decode()
LOG_BYTES, LOG_LINES = 64 * 1024, 60
"""What a bad disk may add to the log."""


class Told(NamedTuple):
    """What a caller was answered."""

    status: int
    code: int | None
    message: str


class Rig:
    """A daemon on bad disks, a device with a task, a server of packages, and a hand for each write path."""

    def __init__(self, folder: Path) -> None:
        self.folder, data = folder, folder / "data"
        self.disks = {name: Disk(data / name, size) for name, size in SIZES.items()}
        settings = {"ACSMPD_OBSERVE_INTERVAL_SECONDS": "0.4", "ACSMPD_DATA_MIN_FREE_BYTES": "1"}
        self.box = Daemon(data, settings)
        self.cad = FakeCad()
        self.made: dict[int, int] = {}  # number -> plan, made before so that it can be deleted

    def begin(self, server: Server) -> None:
        self.source, self.box = server, self.box.start()
        self.security = self.box.as_role("security_admin")
        assert self.cad.register(self.box.url).accepted
        assert self.box.client.upload(make_package(self.folder)).code == 0
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": self.cad.code}
        self.box.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", body)
        self.running(self.plan(0).data)
        [self.task] = self.cad.running_tasks()

    def running(self, plan: int) -> None:
        self.box.until(f"{TASKS}/{plan}", lambda shown: shown["RunningCount"] == shown["TotalCount"] == 1)

    def package(self, number: int) -> Path:
        folder = self.folder / str(number)
        folder.mkdir(exist_ok=True)
        program = {"run.sh": "#!/bin/sh\nexec sleep 1000\n", "weights": "x" * 300_000}
        return make_package(folder, package_id=package_id(number), codes=(f"DISK-{number}",), program=program)

    def serve(self, handler: Handler) -> None:
        handler.reply(200, self.package(int(handler.path.strip("/"))).read_bytes())

    # --- the write paths: each does the same again for the same number, and looks whether it is there ----------

    def plan(self, number: int) -> Answer:
        body = {
            "Name": f"plan {number}", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
            "AlgoTaskInfos": [task_info(url=f"rtsp://10.0.0.9/{number}")],
        }  # fmt: skip
        return self.box.client.post(TASKS, body)

    def delete(self, number: int) -> Answer:
        return self.box.client.delete(f"{TASKS}/{self.made[number]}")

    def device(self, number: int) -> Answer:
        return Client(self.box.url, None).post("/ACSMP/Register", registration(number))

    def key(self, number: int) -> Answer:
        return self.security.post("/ACSMP/ApiKeys", {"Name": f"key-{number}", "Roles": ["viewer"]})

    def upload(self, number: int) -> Answer:
        return self.box.client.upload(self.package(number))

    def fetch(self, number: int) -> Answer:
        return self.box.client.post(FILES, {"Url": f"{self.source.url}/{number}"})

    def result(self, number: int, **more: Any) -> Any:
        [url] = self.task.receive_urls
        return post_json(url, result_of(self.task, {"DeviceID": camera(number), **more}))

    def large_result(self, number: int) -> Any:
        return self.result(number, Images=[{"Type": "FULL", "Format": "jpeg", "Data": LARGE_JPEG}])

    def form(self, number: int) -> Any:
        [url] = self.task.receive_urls
        return post_form(url, multipart_of(self.task, camera(number), [TINY_JPEG]))

    def has_plan(self, number: int) -> bool:
        page = self.box.client.fine("POST", f"{TASKS}/Search", {"Name": f"plan {number}"})
        return any(one["Name"] == f"plan {number}" for one in page["PageContent"])

    def has_deleted(self, number: int) -> bool:
        return self.box.client.get(f"{TASKS}/{self.made[number]}").code == 40401

    def has_device(self, number: int) -> bool:
        return self.box.client.get(f"/ACSMP/Computility/{code(number)}").code == 0

    def has_key(self, number: int) -> bool:
        return any(one["Name"] == f"key-{number}" for one in self.security.fine("GET", "/ACSMP/ApiKeys"))

    def has_package(self, number: int) -> bool:
        return self.box.client.get(f"{FILES}/{package_id(number)}").code == 0

    def has_result(self, number: int) -> bool:
        return bool(self.box.client.fine("POST", RESULTS, {"DeviceID": camera(number)})["Total"])

    # --- what must hold ----------------------------------------------------------------------------------------

    def reads_go_on(self) -> None:
        assert self.box.client.get("/healthz").status == 200
        assert self.box.client.post(f"{TASKS}/Search", {}).data["PageContent"]
        assert self.box.client.post(RESULTS, {}).code == 0
        assert self.cad.keepalive(self.box.url).accepted

    def names_of_files(self) -> list[str]:
        """Everything below the data directory but the database, and what only the running daemon needs."""
        data = self.box.data
        files = [path.relative_to(data).as_posix() for path in data.rglob("*") if path.is_file()]
        return sorted(name for name in files if "/" in name and not name.startswith("services/"))

    def sql(self, text: str) -> list[Any]:
        plain = sqlite3.connect(self.box.data / "acsmpd.db")
        try:
            return plain.execute(text).fetchall()
        finally:
            plain.close()

    def refusals_noted(self) -> int:
        """Answers in the audit that a disk is to blame for."""
        [(number,)] = self.sql("SELECT coalesce(sum(times), 0) FROM audit WHERE code IN (50000, 50701)")
        return int(number)

    def end(self) -> None:
        try:
            self.box.stop()
            assert self.sql("PRAGMA integrity_check") == [("ok",)]
        finally:
            for disk in reversed(self.disks.values()):
                disk.end()


def camera(number: int) -> str:
    return f"1101000000132000{number:04d}"


def package_id(number: int) -> str:
    return f"{PACKAGE_ID[:-4]}{number:04d}"


class Write(NamedTuple):
    do: Callable[[Rig, int], Any]
    is_there: Callable[[Rig, int], bool]


WRITES = {
    "plan": Write(Rig.plan, Rig.has_plan),
    "deletion": Write(Rig.delete, Rig.has_deleted),
    "registration": Write(Rig.device, Rig.has_device),
    "API key": Write(Rig.key, Rig.has_key),
    "upload": Write(Rig.upload, Rig.has_package),
    "package by Url": Write(Rig.fetch, Rig.has_package),
    "result": Write(Rig.result, Rig.has_result),
    "large result": Write(Rig.large_result, Rig.has_result),
    "form": Write(Rig.form, Rig.has_result),
}
BY_KEY = ("plan", "deletion", "API key", "upload", "package by Url")
"""Refusals of these are a row of the audit each, those of strangers one a minute."""
RESULT_PATHS = ("result", "large result", "form")

DATABASE = "cannot write to the database: "
DATABASE_FULL = (50701, DATABASE + "the disk is full")
DATABASE_FAILED = (50000, DATABASE + "the disk failed (disk I/O error)")
NO_ROOM = (50701, "cannot take [0-9]+ bytes: 0 are free in the data directory, 1 of them stay reserved")
RECEIVE, KEEP = "cannot receive the package file: ", "cannot keep the result: "
BODY = "cannot take the body into the data directory: "
PACKAGES_FULL = (50701, RECEIVE + "no space left: [0-9]+ bytes needed, 0 free, 1 of them stay reserved")

Refusals = dict[str, tuple[int, str]]
Fault = Callable[[Rig], contextlib.AbstractContextManager[None]]


def each(names: tuple[str, ...], refusal: tuple[int, str]) -> Refusals:
    return dict.fromkeys(names, refusal)


def calls(names: str, error: str) -> Fault:
    return lambda rig: failing(rig.box.process.pid, names, error)  # type: ignore[union-attr]


@contextlib.contextmanager
def everything_full(rig: Rig) -> Iterator[None]:
    rig.sql("PRAGMA wal_checkpoint(TRUNCATE)")  # a log that was long before has room for some writes
    with contextlib.ExitStack() as stack:
        for disk in rig.disks.values():
            stack.enter_context(disk.full())
        yield


NOT_FILES = ("plan", "deletion", "registration", "API key", "package by Url")
FAULTS: dict[str, tuple[Fault, Refusals]] = {
    "full disk": (everything_full, {
        **each(NOT_FILES, DATABASE_FULL), **each(("upload", *RESULT_PATHS), NO_ROOM),
    }),
    "full packages": (lambda rig: rig.disks["packages"].full(), {
        **each(("upload", "package by Url"), PACKAGES_FULL), "large result": (50701, BODY + "no space left"),
    }),
    "full results": (lambda rig: rig.disks["results"].full(), each(RESULT_PATHS, (50701, KEEP + "no space left"))),
    "read-only packages": (lambda rig: rig.disks["packages"].read_only(), {
        **each(("upload", "package by Url"), (50000, RECEIVE + "Read-only file system")),
        "large result": (50000, BODY + "Read-only file system"),
    }),
    "read-only results": (lambda rig: rig.disks["results"].read_only(), {
        **each(RESULT_PATHS, (50000, KEEP + "Read-only file system")),
    }),
    "files fail to sync": (calls("fsync", "EIO"), {
        **each(("upload", "package by Url"), (50000, RECEIVE + "Input/output error")),
        **each(RESULT_PATHS, (50000, KEEP + "Input/output error")),
    }),
    "folders fail to sync": (calls("fsync", "EIO:when=2+2"), {
        **each(("upload", "package by Url"), (50000, "cannot publish the package file: Input/output error")),
        **each(RESULT_PATHS, (50000, KEEP + "Input/output error")),
    }),
    "database fails to sync": (calls("fdatasync", "EIO"), each(tuple(WRITES), DATABASE_FAILED)),
    "database fails to write": (calls("pwrite64", "EROFS"), each(tuple(WRITES), DATABASE_FAILED)),
}  # fmt: skip


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    one = Rig(tmp_path_factory.mktemp("disks"))
    try:
        with one.cad, serving(one.serve) as server:
            one.begin(server)
            yield one
    finally:
        one.end()


def told(said: Any) -> Told:
    return Told(said.status, said.body.get("Code"), said.body.get("Message", ""))


@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_disk_is_told_and_forgotten_once_it_is_well(rig: Rig, name: str) -> None:
    apply, refusals = FAULTS[name]
    numbers = {write: 1000 + 20 * list(FAULTS).index(name) + at for at, write in enumerate(WRITES)}
    rig.made[numbers["deletion"]] = int(rig.plan(numbers["deletion"]).data)
    files, log, noted = rig.names_of_files(), rig.box.log.stat().st_size, rig.refusals_noted()
    with apply(rig):
        for write, refusal in refusals.items():
            one, number = WRITES[write], numbers[write]
            assert_refused(write, told(one.do(rig, number)), refusal)
            assert not one.is_there(rig, number), f"{write}: it was refused and is there"
        rig.reads_go_on()
        looks_go_on(rig)
        assert rig.names_of_files() == sorted([*files, *fillers(rig)])
    for write, one in WRITES.items():
        said = told(one.do(rig, numbers[write]))
        assert said.code == 0, f"{write}: {said}"
        assert one.is_there(rig, numbers[write]), f"{write}: it was answered and is not there"
    settled(rig, numbers, refusals, log, noted)


def assert_refused(write: str, said: Told, refusal: tuple[int, str]) -> None:
    expected, words = refusal
    assert (said.status, said.code) == (expected // 100, expected), f"{write}: {said}"
    assert re.fullmatch(re.escape(words).replace(re.escape("[0-9]+"), "[0-9]+"), said.message), (
        f"{write}: {said}"
    )


def fillers(rig: Rig) -> list[str]:
    found = [path.relative_to(rig.box.data).as_posix() for path in rig.box.data.glob("*/filler")]
    return sorted(found)


def looks_go_on(rig: Rig) -> None:
    """The engine still looks at the device, whatever it can write down of it."""
    looks = len(rig.cad.calls("POST", "/CAD/AlgoTasks:search"))
    wait_until(lambda: len(rig.cad.calls("POST", "/CAD/AlgoTasks:search")) > looks + 2, what="looks")


def settled(rig: Rig, numbers: dict[str, int], refusals: Refusals, log: int, noted: int) -> None:
    """The engine goes on, what was refused is in the audit, nothing is left over, the log stayed short."""
    [plan] = rig.sql(f"SELECT id FROM plan WHERE name = 'plan {numbers['plan']}'")
    rig.running(plan[0])
    due = noted + len(set(refusals) & set(BY_KEY))
    wait_until(lambda: rig.refusals_noted() >= due, what="the audit of every refusal")
    wait_until(lambda: not rig.sql("SELECT 1 FROM intent WHERE outcome IS NULL"), what="intents closed")
    wait_until(lambda: rig.box.client.get("/readyz").status == 200, what="ready")
    known = {row[0] for row in rig.sql("SELECT path FROM picture")} | {
        Path(row[0]).relative_to(rig.box.data).as_posix() for row in rig.sql("SELECT path FROM package")
    }
    assert {file for file in rig.names_of_files() if file.startswith(("packages", "results"))} == known
    assert rig.sql("SELECT kind, subject, count(*) FROM alarm GROUP BY 1, 2 HAVING count(*) > 1") == []
    added = rig.box.log.read_bytes()[log:]
    assert (len(added) < LOG_BYTES, added.count(b"\n") < LOG_LINES) == (True, True), added[-2000:]
