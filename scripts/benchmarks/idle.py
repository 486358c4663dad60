"""Start to /readyz against importing the same libraries: <= 2; memory <= 50 MB and CPU <= 0.5 % when idle."""

from __future__ import annotations

import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.harness import (
    ACSMPD,
    ROOT,
    Figure,
    answers,
    free_port,
    prepared,
    report,
    served,
    settings_of,
    site,
    surroundings,
)

AT_START = "flask, waitress, peewee, schedule, psutil, msgspec, click, gmssl.sm2"
LIBRARIES = f"{AT_START}, requests, pynvml, yaml"
"""What setup.cfg names; the last three are loaded when they are first needed."""
SETTLE, WATCH = 20.0, 60.0
PEERS = {"glances": ["glances", "-w", "-B", "127.0.0.1"], "thingsboard-gateway": ["thingsboard-gateway"]}
GATEWAY = {
    "thingsboard": {"host": "127.0.0.1", "port": 1883, "security": {"accessToken": "bench"}},
    "storage": {"type": "memory"}, "connectors": [],
}  # fmt: skip
"""A thingsboard-gateway without connectors; nobody answers it."""


def start_seconds(environ: dict[str, str], port: int) -> float:
    begun = time.monotonic()
    with served([*ACSMPD, "serve"], port, "/readyz", environ) as server:
        return answers(server, "/readyz") - begun


def import_seconds(libraries: str = LIBRARIES) -> float:
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", f"import {libraries}"], check=True)
    return time.monotonic() - begun


def share_of_a_core(cpu: float, seconds: float) -> float:
    return 100 * cpu / seconds


def of_others() -> list[Figure]:
    """The same of comparable programs, where they are installed: shown, not judged."""
    found = []
    for name, command in PEERS.items():
        if shutil.which(command[0]) is None:
            continue
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "tb_gateway.json").write_text(json.dumps(GATEWAY))
            environ = surroundings({"TB_GW_CONFIG_DIR": folder})
            process = psutil.Popen(
                command, cwd=folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                time.sleep(SETTLE)
                before = sum(process.cpu_times()[:2])
                time.sleep(WATCH)
                pss = process.memory_full_info().pss / 1e6
                cpu = share_of_a_core(sum(process.cpu_times()[:2]) - before, WATCH)
                if process.poll() is not None:
                    print(f"  {name} ended by itself")
                    continue
                found += [Figure(f"{name}: PSS", pss, unit="MB"), Figure(f"{name}: CPU", cpu, unit="%")]
            finally:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.terminate()
                    process.wait(10)
    return found


def run(rounds: int) -> bool:
    pairs = []
    with tempfile.TemporaryDirectory(prefix="idle-", dir=ROOT / ".bench") as name:
        folder, port = Path(name) / "data", free_port()
        environ = settings_of(folder, port)
        prepared(environ)
        start_seconds(environ, port), import_seconds()
        for number in range(rounds):
            pair = (start_seconds(environ, port), import_seconds(), import_seconds(AT_START))
            pairs.append(pair)
            print(f"  round {number + 1}: ready after {pair[0]:.2f} s, libraries alone {pair[1]:.2f} s")
    with site() as here:
        time.sleep(SETTLE)
        before = here.server.cpu_seconds()
        time.sleep(WATCH)
        cpu = share_of_a_core(here.server.cpu_seconds() - before, WATCH)
        pss, processes = here.server.memory("pss"), len(here.server.tree())
    return report(
        "idle",
        [
            Figure("start to /readyz / its libraries", statistics.median(a / b for a, b, _ in pairs), 2.0),
            Figure("... / those loaded at the start", statistics.median(a / c for a, _, c in pairs)),
            Figure(f"PSS of {processes} processes", pss, 50.0, unit="MB"),
            Figure("CPU of a core, idle", cpu, 0.5, unit="%"),
            *of_others(),
        ],
        rounds=pairs,
    )  # fmt: skip
