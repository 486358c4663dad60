"""Reading files that strangers bring, such as those on a stick: only regular files, and no more than is asked for."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from acsmpd import faults
from acsmpd.licensing.intake import MAX_BYTES


def read_below(root: Path, name: str) -> bytes:
    """The content of a file below the folder; neither its name nor a link leads out of it. `root` is resolved."""
    if name.startswith("/") or ".." in name.split("/"):
        raise faults.InvalidField("the file has to lie in the folder")
    try:
        path = (root / name).resolve()
        is_below = path.is_relative_to(root)
    except (OSError, RuntimeError, ValueError):  # links in a circle, a name that is too long, a NUL
        raise faults.InvalidField("is no file") from None
    if not is_below:
        raise faults.InvalidField("the file has to lie in the folder")
    return read_file(path)


def read_file(path: Path, most_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file, at most a byte more than it may have; a named pipe is not waited for."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(number, "rb") as file:
            if not stat.S_ISREG(os.fstat(number).st_mode):
                raise faults.InvalidField("is no file")
            return file.read(most_bytes + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise faults.InvalidField("is no file") from None
    except (OSError, ValueError) as error:
        raise faults.InvalidField(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
