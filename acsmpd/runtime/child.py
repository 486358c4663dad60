"""One engine's process tree, from the fork to the last of it: start, ask to end, end, make sure."""

from __future__ import annotations

import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from acsmpd.clock import Clock
from acsmpd.faults import Conflict, InvalidField, NoAnswerInTime
from acsmpd.runtime import cgroup, launch, tree
from acsmpd.runtime.sandbox import BWRAP

_log = logging.getLogger(__name__)

_ORDER_MAX = 60_000  # fits a pipe's buffer: writing it never blocks
_POLL_SECONDS = 0.02


class Child:
    """A started tree. Every wait has a deadline; the methods may be called again after they failed."""

    def __init__(
        self,
        load_id: str,
        popen: subprocess.Popen[bytes],
        kind: str,
        group: cgroup.Group | None,
        clock: Clock,
    ) -> None:
        self._load_id, self._popen, self._kind, self._clock = load_id, popen, kind, clock
        self.group = group
        self._pause = threading.Event()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def returncode(self) -> int | None:
        """None while the outermost process lives; then its code, negative for a signal to itself."""
        return self._popen.poll()

    def terminate(self, seconds: float) -> bool:
        """Ask the program to end by SIGTERM to its group; True when it has ended within the time."""
        asked = False
        deadline = self._clock.now().mono + seconds
        while self.returncode() is None and self._clock.now().mono < deadline:
            asked = asked or self._ask_to_end()
            self._pause.wait(_POLL_SECONDS)
        return self.returncode() is not None

    def kill(self, seconds: float) -> None:
        """End the whole tree; returns when nothing of it is left, else NoAnswerInTime naming what is."""
        known = tree.members(self.pid) if self.returncode() is None else []
        begin = self._clock.now().mono
        while left := self._left(known):
            waited = self._clock.now().mono - begin
            if waited > seconds:
                raise NoAnswerInTime(
                    f"cannot end engine {self._load_id}: {_listed(left)} still there after {seconds:g} s"
                )
            self._strike(known, hard=waited > seconds / 4)
            self._pause.wait(_POLL_SECONDS)

    def _ask_to_end(self) -> bool:
        if self._kind == BWRAP:
            return tree.terminate_inside(self.pid)
        tree.send(self.pid, signal.SIGTERM)
        return True

    def _strike(self, known: list[tree.Member], *, hard: bool) -> None:
        """bubblewrap's namespace dies with it; the guard ends its tree on SIGHUP, and is shot if it fails."""
        if self.group is not None:
            cgroup.kill(self.group)
        if self.returncode() is None:
            tree.send(self.pid, signal.SIGKILL if self._kind == BWRAP else signal.SIGHUP)
        if hard:
            for member in known:
                member.send(signal.SIGKILL)

    def _left(self, known: list[tree.Member]) -> set[int]:
        left = {member.pid for member in known[1:] if member.alive()}
        if self.group is not None:
            left |= cgroup.members(self.group)
        return left | ({self.pid} if self.returncode() is None else set())


def spawn(
    load_id: str,
    order: dict[str, Any],
    keep_record: Callable[[int], None],
    seconds: float,
) -> tuple[subprocess.Popen[bytes], int]:
    """Start the launcher, put it on record, then let it go on: (process, the reading end of its output).

    Conflict with the reason when the program could not be started; nothing is left behind then.
    """
    order["parent"] = os.getpid()
    text = json.dumps(order).encode()
    if len(text) > _ORDER_MAX:
        raise InvalidField(
            f"cannot start engine {load_id}: command and environment are over {_ORDER_MAX} bytes"
        )
    popen, order_fd, report_fd, output_fd = _fork()
    try:
        keep_record(popen.pid)
        with os.fdopen(order_fd, "wb") as pipe:
            order_fd = -1
            pipe.write(text)
        _await_exec(load_id, report_fd, seconds)
    except BaseException:
        _undo(popen, (order_fd, output_fd))
        raise
    finally:
        os.close(report_fd)
    return popen, output_fd


def _fork() -> tuple[subprocess.Popen[bytes], int, int, int]:
    order_read, order_write = os.pipe2(os.O_CLOEXEC)
    report_read, report_write = os.pipe2(os.O_CLOEXEC)
    output_read, output_write = os.pipe2(os.O_CLOEXEC)
    argv = [
        sys.executable,
        "-I",
        "-S",
        "-X",
        "utf8",
        str(Path(launch.__file__)),
        str(order_read),
        str(report_write),
    ]
    try:
        popen = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output_write,
            stderr=output_write,
            env={},
            cwd="/",
            pass_fds=(order_read, report_write),
            start_new_session=True,
        )
    except OSError:
        for fd in (order_write, report_read, output_read):
            os.close(fd)
        raise
    finally:
        for fd in (order_read, report_write, output_write):
            os.close(fd)
    return popen, order_write, report_read, output_read


def _await_exec(load_id: str, report_fd: int, seconds: float) -> None:
    """The report pipe closes without a word when the program has been started."""
    report = select.poll()  # select() knows no descriptor over 1023
    report.register(report_fd, select.POLLIN)
    if not report.poll(seconds * 1000):
        raise NoAnswerInTime(f"cannot start engine {load_id}: not started within {seconds:g} s")
    said = os.read(report_fd, 1000)
    if said:
        raise Conflict(f"cannot start engine {load_id}: {said.decode('utf-8', 'replace')}")


def _undo(popen: subprocess.Popen[bytes], fds: tuple[int, ...]) -> None:
    popen.send_signal(signal.SIGHUP)
    try:
        popen.wait(2)
    except subprocess.TimeoutExpired:
        popen.kill()
        popen.wait(5)
    for fd in fds:
        if fd >= 0:
            os.close(fd)


def _listed(pids: set[int]) -> str:
    return "pid " + ", ".join(str(pid) for pid in sorted(pids)[:10])


def code_and_signal(returncode: int) -> tuple[int | None, int | None]:
    """(exit code, None) or (None, signal); both wrappers tell a signal as a shell does, 128 + number."""
    number = -returncode if returncode < 0 else returncode - 128
    if number in {known.value for known in signal.Signals}:
        return None, number
    return returncode, None
