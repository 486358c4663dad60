"""Files that are there whole after a power cut, and a bad disk told in words."""

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


def replace_file(final: Path, temporary: Path, content: bytes) -> None:
    """The file, ours alone (0600), holds this when it returns, whole and durably; else it is as it was, without the
    temporary one."""
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, final)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(final.parent)


def free_bytes(folder: Path) -> int:
    """What an ordinary user may still write where this folder lies."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def disk_fault(doing: str, error: OSError) -> faults.Fault:
    """What a disk refused: NoSpace when it or a quota is full, else Internal with the reason."""
    if error.errno in _FULL:
        return faults.NoSpace(f"cannot {doing}: no space left")
    return faults.Internal(f"cannot {doing}: {error.strerror or error}")


@contextmanager
def disk_told(doing: str) -> Iterator[None]:
    """What the disk refuses inside becomes a fault: "cannot `doing`: the reason". A cut line stays what it is."""
    try:
        yield
    except (ConnectionError, TimeoutError):
        raise
    except OSError as error:
        raise disk_fault(doing, error) from error


def write_whole(file: RawIOBase, block: bytes) -> None:
    """An unbuffered write may take only a part, and the rest then tells why."""
    view = memoryview(block)
    while view:
        view = view[file.write(view) or 0 :]
