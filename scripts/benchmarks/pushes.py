"""A package to 50 devices at once: read from the disk once, memory flat, so many at a time, none waits for a slow one.

Simulated CADs fetch it for real, in two halves by Range, and check its MD5. The pages of the file in memory are
given up before; a second time one of the devices reads slowly.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import statistics
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.fleet import code, fleet, register, within
from benchmarks.harness import Figure, Site, Void, report, site
from benchmarks.upload import PACKAGE, make, upload

DEVICES, PARALLEL, SIZE, SLOW = 50, 16, 64 * 2**20, 2_000_000


@dataclass
class Watched:
    """The daemon's memory, and how many copies are on their way by its record, while a block runs."""

    here: Site
    most: float = 0.0
    at_once: int = 0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Watched:
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self) -> None:
        with contextlib.closing(
            sqlite3.connect(f"file:{self.here.folder}/acsmpd.db?mode=ro", uri=True)
        ) as store:
            while not self._over.wait(0.05):
                self.most = max(self.most, self.here.server.memory())
                [(now,)] = store.execute("SELECT COUNT(*) FROM copy WHERE sent AND status = 1")
                self.at_once = max(self.at_once, now)

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def cold(here: Site) -> int:
    """Have the kernel forget the package files; their size."""
    size = 0
    for path in (here.folder / "packages").rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            size += path.stat().st_size
    return size


def from_disk(here: Site) -> int:
    """Bytes the daemon has read from the disk."""
    return sum(int(one.io_counters().read_bytes) for one in here.server.tree())


def pushed(slow: int) -> dict[str, float]:
    """All devices of a fresh site are told at once; what was seen."""
    with (
        tempfile.TemporaryDirectory() as name,
        fleet(DEVICES) as devices,
        site(push_parallel=str(PARALLEL)) as here,
    ):
        make(Path(name) / "bench.tar", SIZE)
        upload(here, Path(name) / "bench.tar")
        register(here, devices)
        devices.told(0.0, slow=slow)
        within(60, lambda: devices.count()["asked"].get("status", 0) > 2 * DEVICES, "all are looked at twice")
        size, before, idle = cold(here), from_disk(here), here.server.memory()
        with Watched(here) as memory:
            for place in range(1, DEVICES + 1):
                wish = {"AlgoFilePackageID": PACKAGE, "ComputilityCode": code(place)}
                here.ask("POST", "/ACSMP/AlgoFilePackages/Devices", wish)
            within(300, lambda: len(devices.count()["fetches"]) == DEVICES, "all fetched", 0.1)
        seen = devices.count()
        if any(came != size for _, came, *_ in seen["fetches"]):
            raise Void(f"not every device got {size} bytes: {seen['fetches'][:3]}")
        quick = [ended for place, _, _, ended in seen["fetches"] if not (slow and place == 0)]
        first = min(began for *_, began, _ in seen["fetches"])
        return {
            "pss": memory.most / idle, "disk": (from_disk(here) - before) / size, "most": memory.at_once,
            "seconds": max(quick) - first,
        }  # fmt: skip


def run(rounds: int) -> bool:
    found = [(pushed(0), pushed(SLOW)) for _ in range(min(rounds, 2))]
    for plain, slowed in found:
        print(f"  all {plain['seconds']:.1f} s; beside one at {SLOW / 1e6:g} MB/s {slowed['seconds']:.1f} s")
    every = [one for pair in found for one in pair]
    return report(
        "pushes",
        [
            Figure("bytes from the disk / size of the package", max(one["disk"] for one in every), 1.2),
            Figure("PSS while 50 fetch / before", max(one["pss"] for one in every), 1.3),
            Figure("devices served at once, by the daemon's record", max(one["most"] for one in every), PARALLEL),
            Figure(
                "time of the others beside a slow one / without",
                statistics.median(slowed["seconds"] / plain["seconds"] for plain, slowed in found), 1.3,
            ),
        ],
        runs=found,
    )  # fmt: skip
