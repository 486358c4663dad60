"""Secret files: written whole or not at all, readable by their owner only, never overwritten by a race."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from acsmpd import faults
from acsmpd.durable import replace_file

_MOST_BYTES = 4096


def load_or_create(path: Path, size: int, make: Callable[[], bytes]) -> bytes:
    """The key of `size` bytes kept as hex in `path`; the first caller of all writes what `make` gives."""
    try:
        with _locked(path.parent):
            if not path.exists():
                _replace(path, make().hex().encode("ascii") + b"\n")
    except OSError as error:
        raise faults.Internal(f"cannot keep the key file {path}: {error.strerror}") from error
    return load(path, size)


def load(path: Path, size: int) -> bytes:
    """The key of `size` bytes kept as hex in `path`, which has to be there."""
    text = read_secret(path)
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != size:
        raise faults.Internal(f"cannot use the key file {path}: it must hold {2 * size} hexadecimal digits")
    return key


def write_secret(path: Path, content: bytes) -> None:
    """Put `content` into `path` (0600) so that a crash leaves either the old file or the new one."""
    try:
        with _locked(path.parent):
            _replace(path, content)
    except OSError as error:
        raise faults.Internal(f"cannot write the secret file {path}: {error.strerror}") from error


def read_secret(path: Path) -> bytes:
    """Return the file's bytes; a file that others may read or write is refused, for its secret is none."""
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise faults.Internal(f"cannot read the secret file {path}: {error.strerror}") from error
    if mode & 0o077:
        raise faults.Internal(
            f"cannot use the secret file {path}: its mode is {mode:04o}, others may reach it; make it 0600"
        )
    if len(content) > _MOST_BYTES:
        raise faults.Internal(f"cannot use the secret file {path}: it is longer than {_MOST_BYTES} bytes")
    return content


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder against other processes: the command line may create keys while the daemon starts."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _replace(path: Path, content: bytes) -> None:
    replace_file(path, path.with_name(f".{path.name}.new"), content)
