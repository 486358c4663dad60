"""A folder of licence files with a manifest.csv, and abilities as people write them.

The words and rules are those of scripts/import-licenses.sh: one line a licence, file,provider,device,CODE=N,...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from acsmpd import faults
from acsmpd.licensing.stick import read_file

NAME = "manifest.csv"
MOST_BYTES = 16 * 1024 * 1024
"""Of a manifest: 100,000 lines and more."""
_BLANKS = " \t"
_QUOTED = re.compile(r'"((?:[^"]|"")*)"[ \t]*')


class Line(Struct, frozen=True):
    """One licence of the manifest; `fault` says why it is none."""

    number: int
    file: str
    """Its name below the folder; of a line that cannot be read, the line"""
    fields: dict[str, Any] = {}
    fault: str = ""


class Folder(Struct, frozen=True):
    """A folder, resolved, with the content of its manifest."""

    root: Path
    raw: bytes


def folder_of(path: Path) -> Folder:
    """The folder of licence files at this path; InvalidField when it or its manifest cannot be read."""
    try:
        root = path.resolve(strict=True)
        raw = read_file(root / NAME, MOST_BYTES)
    except OSError as error:
        raise faults.InvalidField(f"{path}: cannot be read: {error.strerror}") from error
    except faults.InvalidField as fault:
        raise faults.InvalidField(f"{path / NAME}: {fault.message}") from fault
    if len(raw) > MOST_BYTES:
        raise faults.InvalidField(f"{path / NAME}: has more than {MOST_BYTES} bytes")
    return Folder(root, raw)


def lines(raw: bytes) -> Iterator[Line]:
    """The licences, without head, notes and empty lines. One that cannot be read takes nothing from the others."""
    for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        line = line.removesuffix(b"\r")
        if not line or line.startswith(b"#") or (number == 1 and line[:5].lower() == b"file,"):
            continue
        text = line.decode("utf-8", "replace")
        try:
            yield _line(number, line.decode("utf-8"))
        except UnicodeDecodeError:
            yield Line(number, text, fault="the line is no UTF-8")
        except faults.Fault as fault:
            yield Line(number, text, fault=fault.message)


def _line(number: int, text: str) -> Line:
    file, *rest = _values(text)
    provider, device, *abilities = [*rest, "", ""][: max(2, len(rest))]
    fields: dict[str, Any] = {"Provider": provider, "DeviceID": device}
    try:
        if any(abilities):
            fields["AbilityAuths"] = [granted(one) for one in abilities if one]
    except faults.InvalidField as fault:
        return Line(number, file or text, fault=fault.message)
    return Line(number, file or text, fields, fault="" if file else "no file is named")


def _values(text: str) -> list[str]:
    """The fields of a line; in double quotes one may hold commas, and quotes written twice."""
    if "\0" in text:  # UTF-16, as some spreadsheets write it
        raise faults.InvalidField("the line is no CSV")
    found, at = [], 0
    while True:
        while text[at : at + 1] and text[at] in _BLANKS:
            at += 1
        if text.startswith('"', at):
            match = _QUOTED.match(text, at)
            if match is None or text[match.end() : match.end() + 1] not in ("", ","):
                raise faults.InvalidField("the line is no CSV")
            value, end = match[1].replace('""', '"'), match.end()
        else:
            end = text.find(",", at)
            end = len(text) if end < 0 else end
            value = text[at:end]
        found.append(value.strip(_BLANKS))
        if end == len(text):
            return found
        at = end + 1


def granted(text: str) -> dict[str, Any]:
    """An item of AbilityAuths from CODE=N."""
    code, sign, number = text.rpartition("=")
    if not sign:
        raise faults.InvalidField(f"ability {text}: has to be CODE=NUMBER")
    if not code or not code.isprintable():
        raise faults.InvalidField(f"ability {text}: this is no capability code")
    if not (number.isascii() and number.isdigit()) or len(number) > 18:
        raise faults.InvalidField(f"ability {text}: the quota has to be a number of streams from 0")
    return {"AlgoDefCode": code, "Quota": int(number)}
