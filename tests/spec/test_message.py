"""Structs are worked out before there are threads: two that do it in the same moment crash the process."""

from __future__ import annotations

import subprocess
import sys

LOOK = """
import sys

import msgspec

import acsmpd.app
from acsmpd.spec.message import _below, prepare

worked_out = []


def watch(frame, event, _):
    if event == "call" and frame.f_code.co_name == "get_class_annotations":
        worked_out.append(frame.f_code)


def number():
    worked_out.clear()
    for kind in [one for one in _below(msgspec.Struct) if one.__module__.startswith("acsmpd.")]:
        msgspec.json.Decoder(kind)
    return len(worked_out)


if sys.argv[1] == "prepared":
    prepare()
sys.setprofile(watch)
print(number(), number())
"""


def numbers(how: str) -> list[int]:
    """Structs worked out at the first and at the second use of all of them, in a process of its own."""
    found = subprocess.run([sys.executable, "-c", LOOK, how], capture_output=True, text=True, check=True)
    return [int(one) for one in found.stdout.split()]


def test_nothing_is_left_to_be_worked_out_once_they_are_prepared() -> None:
    first, second = numbers("not prepared")
    assert first > 200
    assert second == 0
    assert numbers("prepared") == [0, 0]
