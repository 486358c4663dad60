"""The demo's own acsmpd: `python -m acsmpd serve` as a child that never outlives the demo."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from application import Application, until

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "conf" / "acsmpd.toml"
HOST, PORT = "127.0.0.1", "8750"
START_SECONDS, STOP_SECONDS, LOCK_SECONDS = 60, 30, 10
_PARENT_DEATH_SIGNAL = 1


class Failed(Exception):
    """The demo cannot go on; the words say why and what to do."""


class Daemon:
    """An acsmpd of the settings' defaults plus what the demo needs; HOST is loopback whatever is set."""

    def __init__(self, readable: Iterable[Path]) -> None:
        own = {
            "ACSMPD_SERVER_HOST": HOST,
            "ACSMPD_EGRESS_ALLOW": _listed("ACSMPD_EGRESS_ALLOW", [f"{HOST}:*"]),
        }
        paths = [str(path) for path in readable if not path.is_relative_to("/usr")]
        own["ACSMPD_RUNTIME_READ_ONLY_PATHS"] = _listed("ACSMPD_RUNTIME_READ_ONLY_PATHS", paths)
        self.port = int(os.environ.get("ACSMPD_SERVER_PORT") or PORT)
        self.data = Path(os.environ.get("ACSMPD_DATA_DIR") or "var")
        own |= {"ACSMPD_SERVER_PORT": str(self.port), "ACSMPD_DATA_DIR": str(self.data)}
        self._environ = {**_inherited(), **own}
        self.folder = self.data / "demo"
        self.log = self.folder / "daemon.log"
        self.url = f"http://{HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def expect_free(self) -> None:
        """Raise Failed when another acsmpd has the data or anything has the port."""
        other = "or give this run its own: ACSMPD_SERVER_PORT=8751 ACSMPD_DATA_DIR=/tmp/acsmpd-demo ./scripts/demo"
        pid = self._holder()
        if pid:
            print(
                f"  an acsmpd (pid {pid}) runs on {self.data}; giving it {LOCK_SECONDS} s to end", flush=True
            )
            if not until(lambda: not self._holder(), LOCK_SECONDS):
                raise Failed(
                    f"an acsmpd (pid {pid}) runs on {self.data} already.\nEnd it: kill {pid}\n{other}"
                )
        with socket.socket() as probe:
            if probe.connect_ex((HOST, self.port)) == 0:
                raise Failed(f"something listens on {HOST}:{self.port} already. End it,\n{other}")

    def _holder(self) -> str:
        """The pid of the acsmpd that holds the data directory, "" when none does."""
        with contextlib.suppress(FileNotFoundError), (self.data / "lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return lock.read().strip() or "unknown"
        return ""

    def run(self, *words: str) -> str:
        """What a command of acsmpd prints. Raises Failed with its words."""
        done = subprocess.run(self._command(*words), capture_output=True, text=True, env=self._environ)
        if done.returncode:
            raise Failed(f"acsmpd {words[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout.strip()

    def choose_sandbox(self) -> str:
        """How engines will be walled off, in words; without walls only where bubblewrap does not work."""
        line = self._doctor("sandbox")
        reason = line.removeprefix("ok   sandbox: ").removeprefix("FAIL sandbox: ")
        if line.startswith("ok"):
            return reason
        self._environ["ACSMPD_RUNTIME_ALLOW_UNSANDBOXED"] = "true"
        why = next((part for part in re.split("[:;] ", reason) if part.startswith("bubblewrap")), reason)
        return f"NONE: {why}; the engine can read what you can (apt-get install bubblewrap)"

    def container_engine(self) -> str:
        """Which engine will run images. Raises Failed with what is missing."""
        words = self._doctor("images")[5:].removeprefix("images: ")
        if words.startswith("cannot ") or " refuses " in words:
            raise Failed(
                f"no container engine can be used: {words}\nInstall one (apt-get install docker.io, or podman and its "
                "podman.socket) and run this as a user who may use its socket, or name it by "
                "ACSMPD_RUNTIME_CONTAINER_SOCKET. ./scripts/demo without --image needs none."
            )
        return words

    def _doctor(self, what: str) -> str:
        """The line of `acsmpd doctor` about this."""
        done = subprocess.run(self._command("doctor"), capture_output=True, text=True, env=self._environ)
        line = next((line for line in done.stdout.splitlines() if line[5:].startswith(f"{what}: ")), "")
        if not line:
            raise Failed(f"acsmpd doctor failed: {done.stderr.strip() or done.stdout.strip()}")
        return line

    def start(self, application: Application) -> int:
        """The pid of a daemon that is ready. Raises Failed with the end of its log."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command("serve"), env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=_end_with_parent,
            )  # fmt: skip
        if not until(lambda: not self.alive() or application.is_ready(), START_SECONDS) or not self.alive():
            raise Failed("the daemon did not become ready")
        return self._process.pid

    def was_started(self) -> bool:
        return self._process is not None

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End what `start` started; its engines end with it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "acsmpd", "--config", str(CONFIG), *words]


def _inherited() -> dict[str, str]:
    """This environment without the names that are the demo's own: the daemon refuses names it does not know."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("ACSMPD_DEMO_") and name != "ACSMPD_PYTHON"
    }


def _listed(name: str, more: list[str]) -> str:
    """A list setting: what is set, and more; entries are parted by commas."""
    for entry in more:
        if "," in entry:
            raise Failed(f"cannot run from {entry}: a comma in the path cannot be written into {name}")
    return ",".join(dict.fromkeys([*filter(None, os.environ.get(name, "").split(",")), *more]))


def _end_with_parent() -> None:
    """In the child: SIGTERM when the demo dies, however it dies."""
    ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
