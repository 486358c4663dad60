"""The parent's end of the child that asks a card driver. Nothing here waits past its deadline.

TimeoutError: no answer in time, the child must be killed. ConnectionAbortedError: interrupted. Any other
OSError: the child could not be started, ended, or sent something that is no answer.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

import acsmpd
from acsmpd.clock import Clock
from acsmpd.probes.child import Answer
from acsmpd.probes.probe import Reading

MAX_LINE_BYTES = 1024 * 1024
KILL_SECONDS = 1.0
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH")

_decoder = msgspec.json.Decoder(Answer)


class CardReader:
    """One child at a time. All calls but `interrupt` come from one thread, which outlives the child."""

    def __init__(self, clock: Clock, environment: Mapping[str, str] | None = None) -> None:
        self._clock = clock
        self._environment = {**_child_environment(), **(environment or {})}
        self._child: subprocess.Popen[bytes] | None = None
        self._number = 0
        self._wake_read, self._wake_write = os.pipe()

    @property
    def pid(self) -> int | None:
        """The child's process id; None when there is none."""
        return None if self._child is None else self._child.pid

    @property
    def running(self) -> bool:
        """Whether a child is there to be asked (one that could not be killed yet is not)."""
        return self._child is not None and self._child.stdout is not None and not self._child.stdout.closed

    def start(self, seconds: float) -> bool:
        """Start a child; False when this machine has no driver library, and then no child is left."""
        if self._child is not None and self._child.poll() is None:
            raise OSError(f"process {self._child.pid} hangs in the driver and cannot be killed")
        self._number = 0
        self._child = subprocess.Popen(
            [sys.executable, "-m", "acsmpd.probes.child", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            env=self._environment,
            start_new_session=True,
        )
        missing = self._answer(seconds).missing
        if missing:
            self.kill()
        return not missing

    def ask(self, seconds: float) -> Reading:
        """One reading of all cards."""
        child = self._child
        if child is None or child.stdin is None:
            raise ConnectionError("the card reader is not running")
        self._number += 1
        child.stdin.write(b"%d\n" % self._number)
        return self._answer(seconds).reading

    def kill(self) -> None:
        """End the child. One stuck in the kernel is left behind, and `start` refuses while it exists."""
        child = self._child
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()
        try:
            child.wait(KILL_SECONDS)
        except subprocess.TimeoutExpired:
            return
        self._child = None

    def interrupt(self) -> None:
        """Make a waiting call, and every later one, fail at once. For another thread that wants to stop."""
        os.write(self._wake_write, b"x")

    def close(self) -> None:
        """Kill the child and let everything go; the reader is done."""
        self.kill()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _answer(self, seconds: float) -> Answer:
        line = self._line(self._clock.now().mono + seconds, seconds)
        try:
            answer = _decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise ConnectionError(f"the card reader sent something that is no answer: {error}") from None
        if answer.broken:
            raise ConnectionError(f"the card reader failed: {answer.broken}")
        if answer.number != self._number:
            raise ConnectionError(f"the card reader answered question {answer.number}, not {self._number}")
        return answer

    def _line(self, deadline: float, seconds: float) -> bytes:
        buffer = b""
        while b"\n" not in buffer:
            left = deadline - self._clock.now().mono
            if left <= 0:
                raise TimeoutError(f"the card driver did not answer within {seconds:g} s")
            buffer += self._chunk(left)
            if len(buffer) > MAX_LINE_BYTES:
                raise ConnectionError(f"the card reader sent a line of more than {MAX_LINE_BYTES} bytes")
        return buffer

    def _chunk(self, seconds: float) -> bytes:
        """What the child has to say, b"" when it says nothing for so long."""
        child = self._child
        if child is None or child.stdout is None:
            raise ConnectionError("the card reader is not running")
        poll = select.poll()  # not select(): descriptors may be above 1023
        poll.register(child.stdout, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        ready = {descriptor for descriptor, _event in poll.poll(seconds * 1000)}
        if self._wake_read in ready:
            raise ConnectionAbortedError("stopping")
        if not ready:
            return b""
        chunk = os.read(child.stdout.fileno(), 65536)
        if not chunk:
            raise ConnectionError(f"the card reader ended ({_ending(child)})")
        return chunk


def _ending(child: subprocess.Popen[bytes]) -> str:
    try:
        status = child.wait(KILL_SECONDS)
    except subprocess.TimeoutExpired:
        return "its output is closed"
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _child_environment() -> dict[str, str]:
    """Built from nothing: the daemon's own variables may hold secrets."""
    here = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {**here, "PYTHONPATH": str(Path(acsmpd.__file__).resolve().parent.parent)}
