"""Putting the executable into a package that came without it (Part 4 tables 28, 32)."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Protocol

from acsmpd import faults
from acsmpd.packages import archive
from acsmpd.packages.bytestream import Growth, Limits
from acsmpd.packages.takeout import add


class Sink(Protocol):
    """Where the whole package goes."""

    def write(self, block: bytes, /) -> int: ...


def put_in(package: Path, program: Path, into: Sink, limits: Limits) -> None:
    """Write the package with its executable, one file, under the name that bin.local_uri gives it.

    Nothing of it is judged here but what is already in the package: who takes the result in judges it whole.
    """
    judged = archive.judge(package, limits, need_executable=False)
    if judged.executable != archive.MISSING:
        raise faults.InvalidPackage("the package has its executable already")
    name = archive.within(judged.root, judged.manifest.local_uri)
    with tarfile.open(fileobj=into, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        with archive.opened(package) as (stream, size):
            for entry, content in archive.members(stream, limits, Growth(limits, size)):
                if entry.name:
                    add(tar, entry, entry.name, content)
        with program.open("rb") as file:
            about = tarfile.TarInfo(name)
            about.size, about.mode = program.stat().st_size, 0o644
            tar.addfile(about, file)
