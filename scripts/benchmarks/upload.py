"""Import of 1 GiB against cat, tee, SM3 and MD5 with fsync: <= 1.6; written, memory, other requests (R42, R44)."""

from __future__ import annotations

import contextlib
import io
import os
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml

from benchmarks.harness import ROOT, Figure, Site, Void, percentile, plain_session, report, site

SIZE = 2**30
PACKAGE = "1101000000502000000120261121120000000001"
BLOCK = 2**20


def make(path: Path, size: int = SIZE) -> None:
    """A package of that size whose program does not compress."""
    described = {
        "id": PACKAGE, "name": "bench", "version": "1.0.0", "provider": "BENCH",
        "bin": {"type": "artifact", "local_uri": "bin"},
        "abilities": [{"code": "BENCH-1", "name": "bench", "data_type": "ALERT", "event_ids": ["FIRE"],
                       "task_types": ["VIDEO_REALTIME"]}],
        "algo_runtime": {"cmd": ["./run.sh"]},
    }  # fmt: skip

    class Noise(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: object) -> int:
            view = memoryview(buffer)  # type: ignore[arg-type]
            view[:] = os.urandom(len(view))
            return len(view)

    with tarfile.open(path, "w") as tar:
        for name, data in (("algo.yaml", yaml.safe_dump(described).encode()), ("bin/run.sh", b"#!/bin/sh\n")):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
        entry = tarfile.TarInfo("bin/weights")
        entry.size = size
        tar.addfile(entry, io.BufferedReader(Noise(), BLOCK))


def upload(here: Site, file: Path) -> float:
    begun = time.monotonic()
    told = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-H", f"Authorization: Bearer {here.key}", "-F", f"File=@{file}",
         f"{here.server.url}/ACSMP/AlgoFilePackages"],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    passed = time.monotonic() - begun
    if '"Code":0' not in told:
        raise Void(told)
    return passed


def pipeline(file: Path, folder: Path) -> float:
    """What the same bytes cost the shell: read, written, hashed twice, synced."""
    copy = folder / "copy"
    script = 'cat "$1" | tee "$2" >(openssl dgst -sm3 >/dev/null) | md5sum >/dev/null; wait; sync "$2"'
    begun = time.monotonic()
    subprocess.run(["bash", "-c", script, "bash", str(file), str(copy)], check=True)
    passed = time.monotonic() - begun
    copy.unlink()
    return passed


class Pings:
    """Another caller's requests, one after the other, and how long each took in ms."""

    def __init__(self, here: Site) -> None:
        self.took: list[float] = []
        self._here, self._over = here, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        headers = {"Authorization": f"Bearer {self._here.key}"}
        with plain_session() as session:
            while not self._over.wait(0.02):
                begun = time.monotonic()
                session.post(
                    f"{self._here.server.url}/ACSMP/TaskInstances/Search",
                    json={},
                    headers=headers,
                    timeout=30,
                ).raise_for_status()
                self.took.append((time.monotonic() - begun) * 1000)

    @contextlib.contextmanager
    def going(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()


def peak_mib(process: psutil.Process) -> float:
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def run(rounds: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="upload-", dir=ROOT / ".bench") as name, site() as here:
        folder, file = Path(name), Path(name) / "package.tar"
        make(file)
        upload(here, file)
        pipeline(file, folder)
        daemon, pairs = psutil.Process(here.server.process.pid), []
        Path(f"/proc/{daemon.pid}/clear_refs").write_text("5")
        rss, written = peak_mib(daemon), daemon.io_counters().write_bytes
        pings = Pings(here)
        with pings.going():
            for number in range(rounds):
                pair = (upload(here, file), pipeline(file, folder))
                pairs.append(pair)
                print(f"  round {number + 1}: import {pair[0]:.2f} s, shell {pair[1]:.2f} s")
        written = daemon.io_counters().write_bytes - written
        grown = peak_mib(daemon) - rss
        return report(
            "upload",
            [
                Figure("import of 1 GiB / shell", statistics.median(a / b for a, b in pairs), 1.6),
                Figure("bytes written per byte received", written / (rounds * file.stat().st_size), 2.0),
                Figure("growth of the daemon", grown, 32.0, unit="MiB"),
                Figure("other requests meanwhile, p95", percentile(pings.took, 0.95), 100.0, unit="ms"),
            ],
            rounds=pairs, pings=len(pings.took),
        )  # fmt: skip
