"""Those who write to a running acsmpd at the same time, each its own kind of thing, each knowing what was answered."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from abc import abstractmethod
from typing import Any

from acsmpd import offline
from acsmpd.clock import Clock
from acsmpd.security import links
from tests.support.daemon import Daemon
from tests.support.fake_speaking import Voice
from tests.support.packaging import make_package, task_info

FILES, TASKS = "/ACSMP/AlgoFilePackages", "/ACSMP/Tasks"
FILLING = "x" * 60_000


class Writer(threading.Thread):
    """Takes turns until `over`; a turn that is not answered with success ends it and stands in `fault`."""

    def __init__(self, box: Daemon, name: str) -> None:
        super().__init__(name=name)
        self.box, self.over = box, threading.Event()
        self.turns, self.fault = 0, ""
        self.prepare()

    def prepare(self) -> None:
        """What it needs before its first turn."""

    @abstractmethod
    def turn(self) -> None:
        """Write once."""

    @abstractmethod
    def check(self, plain: sqlite3.Connection) -> None:
        """Everything that was answered is there."""

    def run(self) -> None:
        try:
            while not self.over.is_set():
                self.turn()
                self.turns += 1
        except Exception as error:
            self.fault = f"{self.name}, turn {self.turns}: {error!r}"

    def plan(self, name: str, info: dict[str, Any], **more: Any) -> int:
        body = {"Name": name, "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AlgoTaskInfos": [info], **more}
        return int(self.box.client.fine("POST", TASKS, body))


class Results(Writer):
    """An algorithm; several instances, since one may report 50 results a second."""

    def prepare(self) -> None:
        signer = links.load_or_create(self.box.data / "keys")
        self.links, self.instances = [], []
        for _ in range(6):
            plan = self.plan(self.name, task_info())
            page = self.box.client.fine("POST", "/ACSMP/TaskInstances/Search", {"TaskID": plan})
            (instance,) = [one["ID"] for one in page["PageContent"]]
            self.instances.append(instance)
            self.links.append(f"/ACSMP/Results/{instance}/{signer.sign('result', instance)}")

    def turn(self) -> None:
        body = {"EventID": "INTRUSION", "Pts": self.turns, "Writer": self.name, "Filling": FILLING}
        self.box.client.fine("POST", self.links[self.turns % len(self.links)], body)

    def check(self, plain: sqlite3.Connection) -> None:
        """The oldest may have been purged: what is kept are the last, without a gap."""
        rows = plain.execute(
            "SELECT json_extract(body, '$.Pts') FROM result WHERE json_extract(body, '$.Writer') = ? ORDER BY 1",
            (self.name,),
        ).fetchall()
        kept = [row[0] for row in rows]
        assert kept == list(range(self.turns))[self.turns - len(kept) :], (
            f"{self.name} of {self.turns}: {kept}"
        )


class Plans(Writer):
    """Makes plans, and deletes every other one."""

    def prepare(self) -> None:
        self.left: list[int] = []

    def turn(self) -> None:
        self.left.append(self.plan(f"{self.name} {self.turns}", task_info()))
        if self.turns % 2:
            self.box.client.fine("DELETE", f"{TASKS}/{self.left[-1]}")
            self.left.pop()

    def check(self, plain: sqlite3.Connection) -> None:
        found = plain.execute("SELECT id FROM plan WHERE name LIKE ? ORDER BY id", (f"{self.name} %",))
        assert [row[0] for row in found] == self.left


class Switch(Writer):
    """Stops and starts one plan."""

    def prepare(self) -> None:
        self.id = self.plan(self.name, task_info(), AutoStart=True)

    def turn(self) -> None:
        self.box.client.fine("POST", f"{TASKS}/{self.id}/{'Start' if self.turns % 2 else 'Stop'}")

    def check(self, plain: sqlite3.Connection) -> None:
        found = plain.execute('SELECT "on" FROM instance WHERE plan_id = ?', (self.id,)).fetchall()
        assert found == [(self.turns % 2 == 0,)]


class Packages(Writer):
    """Imports a package and deletes the one before."""

    def prepare(self) -> None:
        self.folder = self.box.data.with_name(self.name)
        self.folder.mkdir()
        self.left: list[str] = []

    def turn(self) -> None:
        package_id = f"110100000050200000022026112112{self.turns:010d}"
        file = make_package(self.folder, package_id=package_id, codes=(f"{self.name}-{self.turns % 2}",))
        answer = self.box.client.upload(file)
        assert answer.code == 0, answer
        file.unlink()
        self.left.append(package_id)
        if len(self.left) > 1:
            self.box.client.fine("DELETE", f"{FILES}/{self.left[0]}")
            self.left.pop(0)

    def check(self, plain: sqlite3.Connection) -> None:
        rows = plain.execute("SELECT id, path FROM package WHERE name = 'test-algo'").fetchall()
        assert [row[0] for row in rows] == self.left
        stored = sorted(str(path) for path in (self.box.data / "packages").glob("*/*.tar"))
        assert stored == sorted(row[1] for row in rows)


class Names(Writer):
    """An operator who names a device again and again."""

    code = "11010000005050000091"

    def prepare(self) -> None:
        assert (
            Voice(self.code, "cad", "Cad-Passw0rd-1")
            .register(self.box.url, 9, None, "CAD", "127.0.0.1", None)
            .accepted
        )

    def turn(self) -> None:
        path = f"/ACSMP/Computility/{self.code}"
        self.box.client.fine("PUT", path, {"Name": f"gate {self.turns}"})

    def check(self, plain: sqlite3.Connection) -> None:
        found = plain.execute("SELECT name FROM computility WHERE code = ?", (self.code,)).fetchall()
        assert found == [(f"gate {self.turns - 1}",)]


class Comings(Writer):
    """A device that registers, says that it lives, and leaves."""

    code = "11010000005050000092"

    def turn(self) -> None:
        voice = Voice(self.code, "cad", "Cad-Passw0rd-1")
        came = voice.register(self.box.url, 9, None, "CAD", "127.0.0.1", None)
        assert came.accepted, came
        said = voice.keepalive(self.box.url, came.token)
        assert said.accepted, said
        left = voice.unregister(self.box.url, None)
        assert left.accepted, left

    def check(self, plain: sqlite3.Connection) -> None:
        found = plain.execute("SELECT registered FROM computility WHERE code = ?", (self.code,)).fetchall()
        assert found == [(0,)]
        assert plain.execute("SELECT count(*) FROM token WHERE code = ?", (self.code,)).fetchall() == [(0,)]


class CommandLine(Writer):
    """The command line, which writes to the file from a process of its own: this one."""

    def turn(self) -> None:
        offline.create_key(self.box.settings, Clock(), f"{self.name} {self.turns}", ["viewer"])
        self.over.wait(0.1)  # people do not type faster

    def check(self, plain: sqlite3.Connection) -> None:
        found = plain.execute("SELECT name FROM api_key WHERE name LIKE ?", (f"{self.name} %",)).fetchall()
        assert {row[0] for row in found} == {f"{self.name} {turn}" for turn in range(self.turns)}


def eight(box: Daemon) -> list[Writer]:
    """Eight over HTTP, three of them with results; and the command line beside them."""
    number = itertools.count()
    kinds = (Results, Results, Results, Plans, Switch, Packages, Names, Comings, CommandLine)
    return [kind(box, f"{kind.__name__.lower()}{next(number)}") for kind in kinds]
