"""The data directory: 0700, made as needed, held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from acsmpd import faults

FOLDERS = ("packages", "services", "results", "media", "licenses", "keys")


class DataFolder:
    """`take` it before anything is read or written there; `release` it last."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: IO[str] | None = None

    def take(self) -> None:
        """Make what is missing and lock it; raises Conflict when another acsmpd has it."""
        self.prepare()
        lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise faults.Conflict(f"cannot use {self.path}: another acsmpd is running on it") from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def prepare(self) -> None:
        """Make the directory and its folders; raises Internal with the reason."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
            for name in FOLDERS:
                (self.path / name).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise faults.Internal(f"cannot use {self.path} as data directory: {error.strerror}") from error

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None
