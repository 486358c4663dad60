"""Files that are there whole after a power cut, and a full disk told as such."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import RawIOBase
from pathlib import Path

from acsmpd import faults

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sync_folder(folder: Path) -> None:
    """Make names just created, renamed or removed in this folder durable."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write where this folder lies."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@contextmanager
def told_when_full(doing: str) -> Iterator[None]:
    """A full disk or quota met inside becomes NoSpace: "cannot `doing`: no space left"."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise faults.NoSpace(f"cannot {doing}: no space left") from error


def write_whole(file: RawIOBase, block: bytes) -> None:
    """An unbuffered write may take only a part, and the rest then tells why."""
    view = memoryview(block)
    while view:
        view = view[file.write(view) or 0 :]
