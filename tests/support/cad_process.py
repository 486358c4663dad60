"""A fake CAD in a process of its own, so that a test can kill it: `python -m tests.support.cad_process ...`.

What its tasks do is written to a journal the moment it happens, with the monotonic time all processes of a machine
share. Started again on the same journal it holds its tasks as they were: a device whose work outlives its interface.
"""

from __future__ import annotations

import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, Any

from acsmpd.spec.message import prepare
from tests.support.fake_cad import FakeCad
from tests.support.fake_packages import STOPPED, FakePackage
from tests.support.fake_tasks import RUNNING, FakeTask, TaskBoard
from tests.support.packaging import PACKAGE_ID
from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
KEEPALIVE_SECONDS = 0.5


# --- in the process ------------------------------------------------------------------------------------------


class JournalBoard(TaskBoard):
    """Tasks whose every change is in the journal before the platform is answered."""

    def __init__(self, lock: threading.RLock, journal: Path) -> None:
        super().__init__(lock)
        self._said: dict[str, dict[str, Any]] = {}
        for line in read(journal)[0]:
            if line["task"] is None:
                self.held.pop(line["id"], None)
            elif line["id"]:
                self.held[line["id"]] = FakeTask(**line["task"])
        self._file = journal.open("a", buffering=1)
        self._write("", {})
        self._said = {task_id: dataclasses.asdict(task) for task_id, task in self.held.items()}

    def _write(self, task_id: str, task: dict[str, Any] | None) -> None:
        self._file.write(json.dumps({"at": time.monotonic(), "id": task_id, "task": task}) + "\n")

    def _count(self) -> None:
        super()._count()
        self.note()

    def pause(self, task_id: str) -> None:
        super().pause(task_id)
        self.note()

    def delete(self, task_id: str) -> None:
        super().delete(task_id)
        self.note()

    def note(self) -> None:
        """Write down what is not as it was."""
        with self._lock:
            now = {task_id: dataclasses.asdict(task) for task_id, task in self.held.items()}
            for task_id in {**self._said, **now}:
                if now.get(task_id) != self._said.get(task_id):
                    self._write(task_id, now.get(task_id))
            self._said = now


def main(code: str, journal: str, platform: str) -> None:
    """Live until standard input ends, registered and keeping alive."""
    prepare()
    cad = FakeCad(code)
    if Path(journal).exists():
        cad.shelf.held[PACKAGE_ID] = FakePackage(PACKAGE_ID, state=STOPPED, name="test-algo", version="1.0.0")
        cad.shelf.run(cad.shelf.held[PACKAGE_ID])
    cad.board = JournalBoard(threading.RLock(), Path(journal))
    with cad:
        assert cad.register(platform).accepted
        while not select.select([sys.stdin], [], [], KEEPALIVE_SECONDS)[0]:
            cad.keepalive(platform)


# --- in the test ------------------------------------------------------------------------------------------------


def read(journal: Path, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Its lines from that byte on, and where the next begins; one that is half written is for later."""
    if not journal.exists():
        return [], start
    with journal.open("rb") as file:
        file.seek(start)
        whole, end, _ = file.read().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()], start + len(whole) + len(end)


class CadProcess:
    """One device; `lives` are the moments at which it was there: [begin, end or None]."""

    def __init__(self, code: str, journal: Path, platform: str) -> None:
        self.code, self._journal, self._platform = code, journal, platform
        self._process: subprocess.Popen[bytes] | None = None
        self._lines: list[dict[str, Any]] = []
        self._read = 0  # bytes of the journal that are in _lines
        self.lives: list[list[float | None]] = []

    def start(self) -> CadProcess:
        words = [
            sys.executable,
            "-m",
            "tests.support.cad_process",
            self.code,
            str(self._journal),
            self._platform,
        ]
        number = len(self.moments())
        self._process = subprocess.Popen(
            words,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "PYTHONFAULTHANDLER": "1"},
        )
        wait_until(lambda: len(self.moments()) > number, seconds=30, what="the device up")
        self.lives.append([self.moments()[-1], None])
        return self

    def moments(self) -> list[float]:
        """When it came up, each time."""
        return [line["at"] for line in self._known() if not line["id"]]

    def _known(self) -> list[dict[str, Any]]:
        more, self._read = read(self._journal, self._read)
        self._lines += more
        return self._lines

    def kill(self) -> float:
        """At once; gives the moment at which it was gone."""
        return self._end(signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._end(signal.SIGTERM)

    def _end(self, number: int) -> float:
        assert self._process is not None
        pipe: IO[bytes] | None = self._process.stdin
        self._process.send_signal(number)
        self._process.wait(20)
        if pipe is not None:
            pipe.close()
        self.lives[-1][1] = time.monotonic()
        return float(self.lives[-1][1] or 0)

    def __enter__(self) -> CadProcess:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # --- what it did ----------------------------------------------------------------------------------------

    def spans(self) -> dict[str, list[tuple[float, float]]]:
        """instance id -> when it ran here: (begin, end), inf while it does; not while the device is not there."""
        found: dict[str, list[tuple[float, float]]] = {}
        begun: dict[str, tuple[str, float]] = {}  # task id -> its instance, since when
        for line in self._known():
            at, task = line["at"], line["task"]
            if not line["id"]:  # up again, with what it had
                gone = max((end for _, end in self.lives if end is not None and end <= at), default=at)
                for task_id, (instance, since) in begun.items():
                    found.setdefault(instance, []).append((since, gone))
                    begun[task_id] = (instance, at)
                continue
            runs = task is not None and task["status"] == RUNNING and not task["foreign"]
            if runs and line["id"] not in begun:
                begun[line["id"]] = (task["sent_id"], at)
            elif not runs and line["id"] in begun:
                instance, since = begun.pop(line["id"])
                found.setdefault(instance, []).append((since, at))
        for instance, since in begun.values():
            found.setdefault(instance, []).append((since, float("inf")))
        return found

    def running(self) -> list[str]:
        """Instances that run here, as far as it told; one that is created twice stands twice."""
        return sorted(
            instance for instance, spans in self.spans().items() for _, end in spans if end == float("inf")
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
