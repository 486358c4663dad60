"""kill -9 of a daemon with two hundred devices that keep alive: all are online and looked at soon after (R18)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.daemon import ROOT, Daemon, daemon
from tests.support.wait import wait_until
from tests.wire.servers import unused_port

DEVICES = 200
HOLLOW = ROOT / "scripts" / "benchmarks" / "hollow.py"


class Hollow:
    """Devices of all families in one process, each at an address of its own."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def ask(self, path: str, **told: Any) -> dict[str, Any]:
        with requests.Session() as session:
            session.trust_env = False
            found: dict[str, Any] = session.post(self._url + path, json=told, timeout=30).json()
            return found

    def answers(self) -> bool:
        try:
            return bool(self.ask("/seen"))
        except requests.ConnectionError:
            return False


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Daemon]:
    with daemon(tmp_path / "data", observe_interval_seconds="2") as one:
        yield one


@pytest.fixture
def devices(box: Daemon) -> Iterator[Hollow]:
    port = unused_port()
    key = box.client.fine("GET", "/ACSMP/System/PublicKey")["PublicKey"]
    command = [sys.executable, str(HOLLOW), str(port), str(DEVICES), key]
    process = subprocess.Popen(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    try:
        one = Hollow(port)
        wait_until(one.answers, seconds=30, what="the devices")
        yield one
    finally:
        process.terminate()
        process.wait(timeout=20)


def online(box: Daemon) -> int:
    asked = {"PageRequest": {"PageNumber": 1, "PageSize": 1000}}
    found = box.client.fine("POST", "/ACSMP/Computility", asked)["PageContent"]
    return sum(one["State"] == "online" for one in found) - 1  # this box


def test_all_are_back_after_a_kill(box: Daemon, devices: Hollow) -> None:
    devices.ask("/pace", seconds=3)
    devices.ask("/at", port=int(box.url.rpartition(":")[2]), seconds=1)
    wait_until(lambda: devices.ask("/seen")["registered"] == DEVICES, seconds=60, what="all registered")
    wait_until(lambda: online(box) == DEVICES, seconds=60, what="all online")
    told = devices.ask("/seen")["told"]
    assert not [
        what for what in told if what.startswith("register") and what.split()[1] not in ("0", "42901")
    ], told
    box.kill()
    devices.ask("/forget")
    box.start()
    wait_until(lambda: devices.ask("/seen")["looked_at"] == DEVICES, seconds=60, what="all are looked at")
    wait_until(lambda: online(box) == DEVICES, seconds=60, what="all online")
    told = devices.ask("/seen")["told"]
    assert not [what for what in told if what.startswith("register")], "their tokens are good still"
    wait_until(lambda: devices.ask("/seen")["told"].get("keepalive 0", 0) > 10, seconds=30, what="keepalives")
