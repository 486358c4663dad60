"""Taking the executable out of a package. A part that is no file by itself, a folder, becomes a tar."""

from __future__ import annotations

import hashlib
import os
import tarfile
from pathlib import Path

from acsmpd import faults
from acsmpd.durable import free_bytes
from acsmpd.packages import archive, names
from acsmpd.packages.archive import IN_ARCHIVE, IN_FOLDER, Judged
from acsmpd.packages.bytestream import MIB, Growth, Limits, Stream
from acsmpd.packages.executable import ProgramFile
from acsmpd.packages.tarstream import FILE, FOLDER, RECORD, Entry


def take_out(path: Path, into: Path, limits: Limits) -> ProgramFile:
    """Into a new file. InvalidPackage where there is none inside, NoSpace where it would not fit."""
    judged = archive.judge(path, limits)
    name = archive.within(judged.root, judged.manifest.local_uri)
    if judged.executable not in (IN_ARCHIVE, IN_FOLDER):
        raise faults.InvalidPackage("the executable is not in the package: it is fetched from bin.remote_uri")
    in_folder = judged.executable == IN_FOLDER
    _expect_room(judged, name, into.parent, in_folder=in_folder)
    number = os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(number, "wb") as file, archive.opened(path) as (stream, size):
        found = archive.members(stream, limits, Growth(limits, size))
        if in_folder:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for entry, content in found:
                    below = names.below(entry.name, name)
                    if below:
                        add(tar, entry, below, content)
        else:
            for entry, content in found:
                if entry.name == name:
                    while block := content.read(MIB):
                        file.write(block)
    called = (name.rpartition("/")[2] or "program") + (".tar" if in_folder else "")
    return ProgramFile(judged.manifest.kind, called[-128:], _md5_of(into))


def add(tar: tarfile.TarFile, entry: Entry, name: str, content: Stream) -> None:
    """A member of a package as a member of another tar, called `name`."""
    about = tarfile.TarInfo(name)
    if entry.kind == FILE:
        about.size, about.mode = entry.size, 0o755 if entry.executable else 0o644
        tar.addfile(about, _Reader(content))  # type: ignore[arg-type]
        return
    about.type = tarfile.DIRTYPE if entry.kind == FOLDER else tarfile.SYMTYPE
    about.mode, about.linkname = 0o755, entry.target
    tar.addfile(about)


class _Reader:
    """What tarfile wants of a file."""

    def __init__(self, content: Stream) -> None:
        self._content = content

    def read(self, count: int) -> bytes:
        return self._content.read(count)


def _expect_room(judged: Judged, name: str, where: Path, *, in_folder: bool) -> None:
    parts = [one for one in judged.members if one.name == name or names.below(one.name, name)]
    needed = sum(one.size + (2 * RECORD if in_folder else 0) for one in parts)
    free = free_bytes(where)
    if needed > free:
        raise faults.NoSpace(f"cannot take the executable out: {needed} bytes needed, {free} free")


def _md5_of(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(MIB):
            digest.update(block)
    return digest.hexdigest()
