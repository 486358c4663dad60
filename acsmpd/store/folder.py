"""The data directory: 0700, made as needed, held by one process at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from pathlib import Path

from acsmpd import faults

FOLDERS = ("packages", "services", "results", "media", "licenses", "keys")


class DataFolder:
    """`take` it before anything is read or written there; `release` it last."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def take(self) -> None:
        """Make what is missing and lock it; raises Conflict when another acsmpd has it."""
        self.prepare()
        lock = self._opened()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise faults.Conflict(f"cannot use {self.path}: another acsmpd is running on it") from error
        self._lock = lock
        with contextlib.suppress(OSError):  # the pid is for people; what holds is the lock
            os.ftruncate(lock, 0)
            os.write(lock, f"{os.getpid()}\n".encode())

    def _opened(self) -> int:
        try:
            return os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> faults.Fault:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return faults.NoSpace(f"cannot use {self.path} as data directory: no space left")
        return faults.Internal(f"cannot use {self.path} as data directory: {error.strerror}")

    def prepare(self) -> None:
        """Make the directory and its folders; raises Internal with the reason."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.chmod(0o700)
            for name in FOLDERS:
                (self.path / name).mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise self._unusable(error) from error

    def release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
