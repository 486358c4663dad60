"""Unpacking an artifact's program: files, folders and links that stay inside, all or nothing."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from acsmpd import faults
from acsmpd.durable import disk_told, free_bytes, sync_folder, write_whole
from acsmpd.packages import archive, names
from acsmpd.packages.archive import Survey
from acsmpd.packages.bytestream import DEFAULTS, MIB, Growth, Limits, Stream
from acsmpd.packages.tarstream import FILE, FOLDER, Entry

_PREFIX = ".unpack-"
_COST_OF_A_NAME = 4096  # what a small file or folder takes on disk at least


def unpack(path: Path, local_uri: str, into: Path, limits: Limits = DEFAULTS) -> None:
    """Put what lies below bin.local_uri (a folder, or an archive in the package) into the new folder `into`.

    Everything is judged first. The folder appears whole or not at all; modes become 0755 or 0644.
    """
    if os.path.lexists(into):
        raise faults.Conflict(f"cannot unpack into {into}: it exists")
    with archive.naming(path.name):
        survey, root = archive.survey_package(path, limits)
        name = archive.within(root, local_uri)
        in_archive = name in survey.archives
        if in_archive:
            survey = archive.survey_inner(path, name, limits)
        elif not survey.is_folder(name):
            raise faults.InvalidPackage(
                f"{names.shown(local_uri)}: neither a folder nor an archive in the package"
            )
        else:
            survey.check_links(name)
        _expect_room(survey, "" if in_archive else name, into.parent)
        found = _inner(path, name, limits) if in_archive else _outer(path, name, limits)
        _write_all(found, into)


def sweep_unpacked(folder: Path) -> int:
    """Remove what a killed unpacking left in this folder; tells how many there were."""
    left = [path for path in folder.glob(_PREFIX + "*") if path.is_dir() and not path.is_symlink()]
    for path in left:
        shutil.rmtree(path)
    return len(left)


def _expect_room(survey: Survey, folder: str, where: Path) -> None:
    inside = [entry for name, entry in survey.entries.items() if names.below(name, folder) is not None]
    needed = sum(entry.size + _COST_OF_A_NAME for entry in inside)
    free = free_bytes(where)
    if needed > free:
        raise faults.NoSpace(f"cannot unpack: {needed} bytes needed, {free} free")


def _outer(path: Path, folder: str, limits: Limits) -> Iterator[tuple[Entry, str, Stream]]:
    with archive.opened(path) as (stream, size):
        for entry, content in archive.members(stream, limits, Growth(limits, size)):
            name = names.below(entry.name, folder)
            if name:
                yield entry, name, content


def _inner(path: Path, name: str, limits: Limits) -> Iterator[tuple[Entry, str, Stream]]:
    with archive.opened(path) as (stream, size):
        for outer, held in archive.members(stream, limits, Growth(limits, size)):
            if outer.name == name:
                for entry, content in archive.members(held, limits, Growth(limits, size)):
                    yield entry, entry.name, content
                return


def _write_all(found: Iterator[tuple[Entry, str, Stream]], into: Path) -> None:
    fresh = into.parent / f"{_PREFIX}{secrets.token_hex(8)}"
    with disk_told("unpack"):
        fresh.mkdir(mode=0o700)
        try:
            _fill(fresh, found)
            fresh.chmod(0o755)
            fresh.rename(into)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
        sync_folder(into.parent)


def _fill(top: Path, found: Iterator[tuple[Entry, str, Stream]]) -> None:
    """Files and folders first; links last, so that nothing is ever written through one."""
    folders = {top}
    links: list[tuple[Path, str]] = []
    for entry, name, content in found:
        path = top / name
        if entry.kind == FOLDER:
            _make_folders(path, folders)
            continue
        _make_folders(path.parent, folders)
        if entry.kind == FILE:
            _write_file(path, content, executable=entry.executable)
        else:
            links.append((path, entry.target))
    for path, target in links:
        path.symlink_to(target)
    for folder in folders:
        sync_folder(folder)


def _make_folders(path: Path, made: set[Path]) -> None:
    missing: list[Path] = []
    while path not in made:
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        folder.mkdir()
        folder.chmod(0o755)
        made.add(folder)


def _write_file(path: Path, content: Stream, *, executable: bool) -> None:
    number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(number, "wb", buffering=0) as file:
        while block := content.read(MIB):
            write_whole(file, block)
        os.fchmod(number, 0o755 if executable else 0o644)
        os.fsync(number)
