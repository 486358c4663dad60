"""Small real programs to run as engines, and a look at what is left of them."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from acsmpd.clock import Clock
from acsmpd.runtime.cgroup import Mounts
from acsmpd.runtime.process import Runtime
from acsmpd.runtime.values import EngineSpec, RuntimeSettings

WAYS = ["bwrap", "user", "bare"]
NO_GROUPS = Mounts(2, None, None)
ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
_numbers = itertools.count(1)
FOLDER = "import os; os.mkdir('n' * 200); os.chdir('n' * 200)"
DEEP = (
    f"import os, time; os.chdir('/var/log/acsmpd'); [exec({FOLDER!r}) for _ in range(1500)]; time.sleep(1000)"
)
THREADS = """
import threading, time
made = 0
try:
    for made in range(40):
        threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
except RuntimeError:
    print("THREADS", made, flush=True)
time.sleep(1000)
"""


def need(way: str) -> None:
    if way == "bwrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    if way == "user" and os.geteuid() != 0:
        pytest.skip("only root can give engines another account")


def settings_for(data: Path, way: str, **more: Any) -> RuntimeSettings:
    fields: dict[str, Any] = {"stop_timeout_seconds": 2.0, "kill_timeout_seconds": 8.0, **more}
    return RuntimeSettings(data_dir=data, way=way, user="nobody", allow_unsandboxed=True, **fields)


@contextmanager
def runtime(data: Path, way: str, mounts: Mounts | None = None, **more: Any) -> Iterator[Runtime]:
    """A runtime over data/services, every engine stopped at the end."""
    need(way)
    made = Runtime(settings_for(data, way, **more), data / "services", Clock(), mounts)
    try:
        yield made
    finally:
        made.close()


def engine(data: Path, script: str, *, load_id: str = "L1", **more: Any) -> EngineSpec:
    """A shell script as an unpacked program (closed to others, as a careful unpacker leaves it)."""
    work = data / "services" / f"program-{load_id}"
    work.mkdir(parents=True, exist_ok=True, mode=0o700)
    (work / "run.sh").write_text("#!/bin/sh\n" + script, encoding="utf-8")
    (work / "run.sh").chmod(0o700)
    fields: dict[str, Any] = {
        "argv": ("./run.sh",), "work": work, "env": dict(ENV), "log": data / "logs" / f"{load_id}.log", **more
    }  # fmt: skip
    return EngineSpec(load_id=load_id, **fields)


def token() -> str:
    """A duration for `sleep` that no other process of this machine uses: found again by it."""
    return f"{90000 + os.getpid() % 9000}.{next(_numbers):04d}"


def running_with(mark: str) -> list[int]:
    found = psutil.process_iter(["cmdline", "status"])
    return [
        p.pid
        for p in found
        if p.info["cmdline"] and mark in p.info["cmdline"] and p.info["status"] != psutil.STATUS_ZOMBIE
    ]


def home(data: Path, load_id: str = "L1") -> Path:
    return data / "services" / ".homes" / load_id / "scratch"
