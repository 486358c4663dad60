"""The executable of a package as a file of its own, for a facility that took the package without it."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import NamedTuple

from acsmpd.durable import disk_told
from acsmpd.packages.bytestream import DEFAULTS, Limits

KEPT = 8
"""Files that are kept made; the oldest goes first, and is made again when it is asked for."""
_PART = ".part-"


class ProgramFile(NamedTuple):
    """`kind` is image or artifact, `name` what the file is called, `md5` of its bytes."""

    kind: str
    name: str
    md5: str


class Executables:
    """<folder>/<package id>_<md5 of the package file>. Safe from any thread; nothing is kept over a start."""

    def __init__(self, folder: Path, limits: Limits = DEFAULTS) -> None:
        self._folder, self._limits = folder, limits
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in folder.iterdir():
            left.unlink(missing_ok=True)

    def make(self, package_id: str, path: Path, md5: str) -> ProgramFile:
        """Take the executable out of the package file at `path`. InvalidPackage where there is none inside."""
        from acsmpd.packages.takeout import take_out  # it reads packages: a box that never does goes without

        final = place_of(self._folder, package_id, md5)
        fresh = self._folder / f"{_PART}{secrets.token_hex(8)}"
        with disk_told(f"take the executable out of package {package_id}"):
            try:
                found = take_out(path, fresh, self._limits)
                fresh.replace(final)
            finally:
                fresh.unlink(missing_ok=True)
            self._drop_oldest()
        return found

    def _drop_oldest(self) -> None:
        held = [one for one in self._folder.iterdir() if not one.name.startswith(_PART)]
        for old in sorted(held, key=lambda one: one.stat().st_mtime_ns)[:-KEPT]:
            old.unlink(missing_ok=True)


def place_of(folder: Path, package_id: str, md5: str) -> Path:
    """Where the executable of a package file is, if it was made."""
    return folder / f"{package_id}_{md5}"
