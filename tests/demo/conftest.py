"""Runs of ./scripts/demo: on a port and a data directory of their own, with this Python."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "sample"))

RUN_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Runs:
    """Runs of the demo that share a data directory."""

    def __init__(self, data: Path) -> None:
        self.data, self.port = data, free_port()
        self._environ = {name: value for name, value in os.environ.items() if not name.startswith("ACSMPD_")}
        self._environ |= {
            "ACSMPD_DATA_DIR": str(data),
            "ACSMPD_SERVER_PORT": str(self.port),
            "ACSMPD_OBSERVE_INTERVAL_SECONDS": "1",
            "ACSMPD_DEMO_PYTHON": sys.executable,
        }

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(ROOT / "scripts" / "demo"), *words], env={**self._environ, **environ},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def run(self, *words: str, **environ: str) -> tuple[int, str]:
        """(exit code, everything it said); what it started is gone."""
        with self.start(*words, **environ) as demo:
            try:
                text = demo.communicate(timeout=RUN_SECONDS)[0]
            except BaseException:
                demo.terminate()
                raise
        self.expect_nothing_left()
        return demo.returncode, text

    def expect_nothing_left(self) -> None:
        wait_until(lambda: not self.left(), seconds=15, what=f"an end of {self.left()}")

    def left(self) -> list[str]:
        """Every process that works on the data directory."""
        return [f"{one.pid} {one.name()}" for one in psutil.process_iter() if self._is_ours(one)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                return False
            words = [*process.cmdline(), process.cwd(), *process.environ().values()]
        except (psutil.Error, OSError):
            return False
        return any(str(self.data) in word for word in words)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("demo") / "var")


@pytest.fixture(scope="module")
def first_run(runs: Runs) -> str:
    """What a first run on an empty directory said."""
    code, text = runs.run("--once")
    assert code == 0, text
    return text
