"""Real container engines for tests: a dockerd, or a Podman that speaks the same interface, each with its own data.

They need root, and leave the network of the machine alone. On these machines Podman cannot raise limits and
crun cannot use hybrid control groups, hence its containers.conf.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.clock import Clock
from acsmpd.faults import Fault
from acsmpd.runtime.socketapi import SocketApi
from tests.support.wait import wait_until

KINDS = ("dockerd", "podman")
ON_DOCKERD = pytest.mark.parametrize("running", KINDS[:1], indirect=True)
"""For what a second engine shows nothing new of: the fixture `running` starts one of the kind it is given."""
_PODMAN = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
_POLICY = '{"default": [{"type": "insecureAcceptAnything"}]}'


class ContainerEngine:
    """One running engine. `api` asks it as the daemon does; `hang` and `go_on` stop and continue its process."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.socket = kind, folder, folder / "engine.sock"
        self.api = SocketApi(self.socket, Clock(), 60.0)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> ContainerEngine:
        with (self.folder / "log").open("ab") as out:
            self._process = subprocess.Popen(
                self._command(),
                stdout=out,
                stderr=out,
                stdin=subprocess.DEVNULL,
                env=self._environ(),
                cwd=self.folder,
            )
        wait_until(self._answers, seconds=30, what=f"{self.kind} answering")
        return self

    def _command(self) -> list[str]:
        at, folder = f"unix://{self.socket}", self.folder
        if self.kind == "dockerd":
            return [
                "dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec", "-H", at,
                "-p", f"{folder}/pid", "--bridge", "none", "--iptables=false", "--ip6tables=false",
                "--ip-forward=false", "--ip-masq=false",
            ]  # fmt: skip
        return [
            "podman", "--root", f"{folder}/data", "--runroot", f"{folder}/run", "--tmpdir", f"{folder}/tmp",
            "system", "service", "--time", "0", at,
        ]  # fmt: skip

    def _environ(self) -> dict[str, str]:
        (self.folder / "containers.conf").write_text(_PODMAN)
        (self.folder / "registries.conf").write_text(
            '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n'
        )
        return {
            **os.environ, "TMPDIR": str(self.folder), "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_REGISTRIES_CONF": str(self.folder / "registries.conf"),
        }  # fmt: skip

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
        with contextlib.suppress(Fault):
            return self.api.ask("GET", "/_ping") == b"OK"
        return False

    def hang(self) -> None:
        """It takes connections and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """As an update does it: dockerd ends its containers, Podman's go on."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(30)
        self.start()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            with contextlib.suppress(Fault):
                self.clear()
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def clear(self) -> None:
        """No container and no image is left."""
        for one in self.containers():
            self.api.ask("DELETE", f"/containers/{one['Id']}", force="true", v="true")
        for one in self.images():
            with contextlib.suppress(Fault):
                self.api.ask("DELETE", f"/images/{one['Id']}", force="true")

    # --- what is there --------------------------------------------------------------------------------

    def containers(self) -> list[dict[str, Any]]:
        return self.api.get(list[dict[str, Any]], "/containers/json", all="true")

    def container(self, name: str) -> dict[str, Any]:
        return self.api.get(dict[str, Any], f"/containers/{name}/json")

    def images(self) -> list[dict[str, Any]]:
        return self.api.get(list[dict[str, Any]], "/images/json")

    def tags(self) -> dict[str, str]:
        """Every name of every image, and the id it stands for."""
        return {
            tag: "sha256:" + one["Id"].removeprefix("sha256:")
            for one in self.images()
            for tag in one.get("RepoTags") or ()
            if tag != "<none>:<none>"
        }

    def load(self, tar: Path) -> None:
        """As an operator does it, not acsmpd."""
        list(self.api.told("/images/load", iter([tar.read_bytes()]), seconds=60))

    def make(self, name: str, image: str, *command: str, **labels: str) -> str:
        """A container of somebody else, not started; its id."""
        body = {
            "Image": image, "Cmd": list(command), "Labels": labels, "HostConfig": {"NetworkMode": "host"},
            "Entrypoint": [],
        }  # fmt: skip
        made = self.api.read(dict[str, Any], self.api.ask("POST", "/containers/create", body, name=name))
        return str(made["Id"])

    def run(self, name: str, image: str, *command: str, **labels: str) -> str:
        """The same, started."""
        made = self.make(name, image, *command, **labels)
        self.api.ask("POST", f"/containers/{made}/start")
        return made


@contextlib.contextmanager
def container_engine(kind: str) -> Iterator[ContainerEngine]:
    """A started one in a folder of its own: a socket's path has to be short."""
    assert os.geteuid() == 0, "a container engine needs root"
    assert shutil.which(kind), f"apt-get install {'docker.io' if kind == 'dockerd' else 'podman'}"
    folder = Path(tempfile.mkdtemp(prefix="acsmpd-ce-"))
    engine = ContainerEngine(kind, folder)
    try:
        yield engine.start()
    finally:
        engine.stop()
        for mount in _mounts_below(folder):
            subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def _mounts_below(folder: Path) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return sorted(
        (line.split()[4] for line in lines if line.split()[4].startswith(f"{folder}/")), reverse=True
    )
