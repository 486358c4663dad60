"""What is the matter with the disk, in words."""

from __future__ import annotations

import errno
import os
from pathlib import Path

FULL = "the disk is full"
_OF_THE_DISK = ("disk I/O error", "unable to open database file")


def disk_reason(text: str, folder: Path) -> str:
    """What is the matter with the disk, when SQLite means the disk; it hides a full one behind other words."""
    if "full" in text:
        return FULL
    if not any(words in text for words in _OF_THE_DISK):
        return ""
    error = _asked(folder)
    if error in (errno.ENOSPC, errno.EDQUOT):
        return FULL
    return f"the disk {'is read-only' if error == errno.EROFS else 'failed'} ({text})"


def _asked(folder: Path) -> int | None:
    """What the disk itself says to a small file without a name; None: nothing that tells more."""
    try:
        number = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
        try:
            os.write(number, bytes(4096))
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        return error.errno
    return None
