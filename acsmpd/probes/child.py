"""The child that asks a card driver: `python -m acsmpd.probes.child PARENT_PID`.

One JSON line in (a number), one JSON line out (the same number and a Reading). The first line out,
numbered 0, tells whether there is a driver library at all. It ends with its input, and with its parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from types import TracebackType
from typing import BinaryIO

import msgspec

from acsmpd.probes.nvidia import NvidiaProbe, library_present
from acsmpd.probes.probe import Probe, Reading

Hook = Callable[[type[BaseException], BaseException, TracebackType | None], None]

_PR_SET_PDEATHSIG = 1
_MAX_REQUEST_BYTES = 32


class Answer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line out. broken: the child failed and ends; the text says why."""

    number: int
    missing: bool = False
    reading: Reading = Reading()
    broken: str = ""


def serve(probe: Probe, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end, or until the driver's library must be loaded afresh."""
    while line := requests.readline(_MAX_REQUEST_BYTES):
        reading = probe.read()
        _write(answers, Answer(number=int(line), reading=reading))
        if reading.spent:
            return


def main(arguments: list[str]) -> int:
    _die_with(int(arguments[0]))
    answers = _take_stdout()
    sys.excepthook = _teller(answers)
    present = library_present()
    _write(answers, Answer(number=0, missing=not present))
    if present:
        serve(NvidiaProbe(), sys.stdin.buffer, answers)
    return 0


def _write(answers: BinaryIO, answer: Answer) -> None:
    answers.write(msgspec.json.encode(answer) + b"\n")
    answers.flush()


def _die_with(parent: int) -> None:
    """Have the kernel kill us with the parent, also while a driver call holds us."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)  # it died before the line above


def _take_stdout() -> BinaryIO:
    """Keep the real output for ourselves: what a driver library prints goes the way of stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _teller(answers: BinaryIO) -> Hook:
    """An excepthook that tells the parent why the child ends; its stderr goes nowhere."""

    def tell(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        _write(answers, Answer(number=0, broken=f"{kind.__name__}: {error}"[:500]))

    return tell


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
