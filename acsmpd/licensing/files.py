"""The folder of licence files: a file and its rows come and go together, whoever brings or deletes them.

The daemon and commands beside it may bring and delete the same content at the same time. Whoever touches the folder
holds it; the kernel lets go when the holder ends, however that happens.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from acsmpd import faults
from acsmpd.durable import disk_told, free_bytes, replace_file
from acsmpd.store import licences
from acsmpd.store.database import Store

HELD_SECONDS = 10.0
"""How long another holder is waited for: each holds the folder for one file and one transaction."""
_LOOK_SECONDS = 0.01


@contextlib.contextmanager
def held(data: Path) -> Iterator[Path]:
    """The folder, held against every other thread and process. Rows that name its files change only inside."""
    folder = data / licences.FOLDER
    with disk_told("open the folder of licence files"):
        folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _take(handle, folder)
        yield folder
    finally:
        os.close(handle)


def _take(handle: int, folder: Path) -> None:
    over = time.monotonic() + HELD_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > over:
                raise faults.Internal(
                    f"cannot change licence files: another program has held {folder} for more than {HELD_SECONDS:g} s"
                ) from None
            time.sleep(_LOOK_SECONDS)
        else:
            return


def keep(folder: Path, name: str, content: bytes, min_free_bytes: int) -> None:
    """The file is there whole; one that was damaged is whole again. The folder is held."""
    final = folder / name
    with disk_told("keep the licence file"):
        if _holds(final, content):
            return
        if free_bytes(folder) < min_free_bytes + len(content):
            raise faults.NoSpace("cannot keep the licence file: no space left")
        replace_file(final, final.with_name(f".{uuid.uuid4().hex}.part"), content)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def drop(data: Path, path: str) -> None:
    """The file goes; what the disk refuses is left to `sweep`. The folder is held, and no row names the file."""
    with contextlib.suppress(OSError):
        (data / path).unlink()


def sweep(store: Store, data: Path) -> None:
    """Take away files that no licence is: halves of an import, and those of deleted ones.

    What somebody is just bringing stays: its row is read only when the folder is held.
    """
    with held(data) as folder:
        with store.read() as tx:
            known = licences.paths(tx)
        for path in folder.iterdir():
            if path.relative_to(data).as_posix() not in known:
                with contextlib.suppress(OSError):
                    path.unlink()
