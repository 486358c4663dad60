"""acsmpd as a process of its own, for tests that kill it: `python -m acsmpd serve` on a data directory."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import requests

from acsmpd import offline
from acsmpd.clock import Clock
from tests.support.site import Site
from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]


class Daemon(Site):
    """A Site in another process; `kill` is what a power cut does to it."""

    def __init__(
        self, data: Path, settings: Mapping[str, str], environment: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(data, dict(settings))
        self._more, self._port = dict(environment or {}), _free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.mortal = ""  # a point of tests.support.mortal
        self.log = data.with_name(data.name + ".log")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def also(self, **settings: str) -> Daemon:
        """Settings that are known only once its port is."""
        self._environ |= {f"ACSMPD_{name.upper()}": value for name, value in settings.items()}
        return self

    def start(self) -> Daemon:
        self.launch()
        return self.ready()

    def launch(self) -> Daemon:
        """Start the process, without waiting for it."""
        offline.init(self.settings, Clock(), "admin", "correct horse battery")
        self.key = self.key or offline.create_key(
            self.settings, Clock(), "tests", ["system_admin", "operator"]
        )
        environ = {
            "PATH": os.environ["PATH"],
            **self._environ,
            "ACSMPD_SERVER_PORT": str(self._port),
            **self._more,
        }
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self._command(), cwd=ROOT, env=environ, stdout=out, stderr=out)
        return self

    def _command(self) -> list[str]:
        return [sys.executable, "-m", *self._words()]

    def _words(self) -> list[str]:
        return ["tests.support.mortal", self.mortal] if self.mortal else ["acsmpd", "serve"]

    def ready(self) -> Daemon:
        wait_until(self._ready, seconds=30, what="the daemon ready")
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            with requests.Session() as session:
                session.trust_env = False
                return session.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False

    def died(self) -> None:
        """Wait until it has ended at its point."""
        process = self.process
        assert process is not None
        wait_until(lambda: process.poll() is not None, what=f"its end at {self.mortal!r}")
        assert process.returncode == -signal.SIGKILL, self.log.read_text()[-2000:]

    def kill(self) -> None:
        """At once, with no chance to clean up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(timeout=10)
            raise


@contextlib.contextmanager
def daemon(data: Path, environment: Mapping[str, str] | None = None, **settings: str) -> Iterator[Daemon]:
    """A started Daemon; settings as `running` of tests.support.site takes them."""
    named = {
        name if name.startswith("ACSMPD_") else f"ACSMPD_{name.upper()}": v for name, v in settings.items()
    }
    one = Daemon(data, named, environment)
    try:
        yield one.start()
    finally:
        one.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
