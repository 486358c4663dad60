"""The shells of small boxes, for the technician's scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

DASH, BASH, BUSYBOX = "dash", "bash", "busybox"
SHELLS = [DASH, BASH, BUSYBOX]
_WORDS = {DASH: ["dash"], BASH: ["bash", "--posix"], BUSYBOX: ["busybox", "sh"]}


def words_of(shell: str) -> list[str]:
    """How the shell is called."""
    return _WORDS[shell]


def path_of(shell: str, folder: Path, *programs: str) -> str:
    """The PATH a script gets: as it is here, or, of BusyBox, its applets and these programs and nothing else."""
    if shell != BUSYBOX:
        return os.environ["PATH"]
    applets = folder / "busybox"
    if not applets.exists():
        applets.mkdir()
        subprocess.run(["busybox", "--install", "-s", str(applets)], check=True, timeout=60)
        for name in ("busybox", *programs):
            found = shutil.which(name)
            assert found, name
            (applets / name).unlink(missing_ok=True)
            (applets / name).symlink_to(found)
    return str(applets)
