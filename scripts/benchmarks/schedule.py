"""A pass over 10,000 instances x 200 services <= 5 x a bare loop over the rows, all to place <= 40 x; 1,000 starts.

The starts on 50 simulated CADs: <= 1.3 x what the devices themselves take at 200 ms a call, at 50 ms <= 1.6 x a bare
loop of requests.
"""

from __future__ import annotations

import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import starting
from benchmarks.harness import ROOT, Figure, report
from benchmarks.search import info

sys.path.insert(0, str(ROOT))

INSTANCES, DEVICES, SERVICES = 10_000, 50, 200
PACKAGES = SERVICES // DEVICES
ROOM = INSTANCES * 2 // SERVICES


def bare_seconds(path: Path) -> float:
    """Read the rows a scheduler cannot do without, and touch each."""
    begun, touched = time.perf_counter(), 0
    plain = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    for table in ("instance", "task", "load", "computility"):
        for row in plain.execute(f"SELECT * FROM {table}"):
            touched += len(row)
    plain.close()
    assert touched
    return time.perf_counter() - begun


def filled(folder: Path, *, placed: bool) -> object:
    """A store of instances on services that run; `placed`: each has its running task."""
    from tests.engine.bench import Bench
    from tests.store.rows import NOW, add_instance, add_task

    works = Bench(folder)
    codes = [f"1101000000505{number:07d}" for number in range(1, DEVICES + 1)]
    ids = [f"11010000005020000001202611211200000000{number:02d}" for number in range(PACKAGES)]
    for package in ids:
        works.package(
            package, manifest={"env": [], "xpu": [{"stream_video_quota": ROOM}]}, codes=(f"C{package[-2:]}",)
        )
    loads = []
    for place, code in enumerate(codes):
        works.device(code)
        for package in ids:
            loads.append((f"load-{place}-{package[-2:]}", code))
            works.load(*loads[-1], package_id=package, status="RUNNING", sent=True)
    with works.store.write() as tx:
        tx.sql("UPDATE copy SET sent = 1, status = 3, md5 = 'm1'")
        for number in range(INSTANCES):
            add_instance(
                tx, f"i-{number}", info=info(number), started=True, status="RUNNING" if placed else "PENDING"
            )
            load, code = loads[number % SERVICES]
            if placed:
                add_task(
                    tx, f"i-{number}", device=code, load_id=load, sent=True, task_id=str(number), status="RUNNING",
                    created_ms=NOW,
                )  # fmt: skip
    return works


def passes(placed: bool, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of a pass and of the bare loop, in turn."""
    ours, bare = [], []
    with tempfile.TemporaryDirectory(prefix="schedule-", dir=ROOT / ".bench") as name:
        works = filled(Path(name), placed=placed)
        engine = works.engine  # type: ignore[attr-defined]
        duties = [duty for duty in engine._managers if type(duty).__name__ not in ("Observations",)]
        for _ in range(rounds + 1):
            if not placed:
                with works.store.write() as tx:  # type: ignore[attr-defined]
                    tx.sql("DELETE FROM task")
                duties = [
                    duty
                    for duty in engine._managers
                    if type(duty).__name__ in ("Hours", "Rounds", "Placement")
                ]
            begun = time.perf_counter()
            for duty in duties:
                duty.ensure(works.clock.moment)  # type: ignore[attr-defined]
            ours.append(time.perf_counter() - begun)
            bare.append(bare_seconds(works.store.path))  # type: ignore[attr-defined]
        works.close()  # type: ignore[attr-defined]
    return ours[1:], bare[1:]


def run(rounds: int) -> bool:
    figures = []
    for placed, name, limit in ((True, "nothing to do", 5.0), (False, "all to place", 40.0)):
        ours, bare = passes(placed, rounds)
        print(f"  {name}: pass {statistics.median(ours):.3f} s, bare loop {statistics.median(bare):.3f} s")
        ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
        figures.append(Figure(f"a pass over {INSTANCES} x {SERVICES}, {name} / bare loop", ratio, limit))
    return report("schedule", figures + starting.figures(rounds))
