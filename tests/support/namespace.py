"""A daemon in a network namespace of its own, and the line to it, which a test makes lossy, thin or dead.

Two cables lead there: the `line`, whose faults are told, and the `desk`, at which the test sits. On this side the ends
are 10.77.0.1 and 10.78.0.1; the daemon has .2 on both. Needs root, ip, tc and iptables.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.daemon import Daemon

LINE, DESK = "10.77.0", "10.78.0"
_NAME = f"acsmpd-{os.getpid() % 100_000}"


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


class Network:
    """The namespace and its cables."""

    def __init__(self) -> None:
        # An interface has a name of 15 characters at most.
        number = os.getpid() % 100_000
        self.line, self.desk = f"ln{number}", f"dk{number}"
        run("ip", "netns", "add", _NAME)
        for name, net in ((self.line, LINE), (self.desk, DESK)):
            run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p", "netns", _NAME)
            run("ip", "address", "add", f"{net}.1/24", "dev", name)
            run("ip", "link", "set", name, "up")
            self.inside("ip", "address", "add", f"{net}.2/24", "dev", f"{name}p")
            self.inside("ip", "link", "set", f"{name}p", "up")
        self.inside("ip", "link", "set", "lo", "up")

    @property
    def enter(self) -> list[str]:
        """Before a command: it runs inside."""
        return ["nsenter", f"--net=/run/netns/{_NAME}"]

    def inside(self, *words: str) -> None:
        run(*self.enter, *words)

    def lossy(self, share: float) -> None:
        """So many of the packets are lost, each way."""
        for chain, way in (("INPUT", "-i"), ("OUTPUT", "-o")):
            self.inside(
                "iptables", "-w", "-A", chain, way, f"{self.line}p", "-m", "statistic", "--mode", "random",
                "--probability", str(share), "-j", "DROP",
            )  # fmt: skip

    def dead(self) -> None:
        """Nothing comes through, and nobody says so."""
        self.lossy(1.0)

    def thin(self, kilobits: int) -> None:
        """So many kbit a second, each way."""
        shape = ("root", "tbf", "rate", f"{kilobits}kbit", "burst", "4kb", "latency", "2s")
        run("tc", "qdisc", "replace", "dev", self.line, *shape)
        self.inside("tc", "qdisc", "replace", "dev", f"{self.line}p", *shape)

    def heal(self) -> None:
        self.inside("iptables", "-w", "-F")
        for words in (("tc",), (*self.enter, "tc")):
            name = self.line if words == ("tc",) else f"{self.line}p"
            subprocess.run([*words, "qdisc", "del", "dev", name, "root"], capture_output=True, check=False)

    def close(self) -> None:
        for name in (self.line, self.desk):
            subprocess.run(["ip", "link", "del", name], capture_output=True, check=False)
        run("ip", "netns", "del", _NAME)


class Remote(Daemon):
    """A Daemon in the namespace. `url` is where the test asks it, `line_url` where devices do."""

    def __init__(self, network: Network, data: Path, settings: Mapping[str, str]) -> None:
        super().__init__(data, {"ACSMPD_SERVER_HOST": "0.0.0.0", **settings})
        self._network = network

    @property
    def url(self) -> str:
        return f"http://{DESK}.2:{self._port}"

    @property
    def line_url(self) -> str:
        return f"http://{LINE}.2:{self._port}"

    def _command(self) -> list[str]:
        return [*self._network.enter, *super()._command()]


@contextlib.contextmanager
def network() -> Iterator[Network]:
    made = Network()
    try:
        yield made
    finally:
        made.close()
