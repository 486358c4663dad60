"""A process whose wall clock is set while it runs, by libfaketime; its monotonic clock is the real one."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

WAITS = Path(__file__).parent / "plain_waits.c"
LIBRARY = "vendor/libfaketime/src/libfaketime.so.1"


class Faketime:
    """A wall clock for one process: the real one, and what it was set off by."""

    def __init__(self, folder: Path) -> None:
        self.file, self.off = folder / "clock", 0
        self._waits = folder / "plain_waits.so"
        command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(self._waits), str(WAITS), "-ldl"]
        subprocess.run(command, check=True)
        self.set(0)

    def set(self, seconds: int) -> None:
        """Set it so far from where it stands now."""
        self.off += seconds
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{self.off:+d}\n")
        fresh.replace(self.file)

    @property
    def environment(self) -> dict[str, str]:
        found = importlib.util.find_spec("libfaketime")
        assert found is not None
        assert found.origin is not None
        return {
            "LD_PRELOAD": f"{self._waits}:{Path(found.origin).parent / LIBRARY}",
            "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1",
        }  # fmt: skip
