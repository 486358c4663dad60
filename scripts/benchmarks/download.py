"""20 slow Range downloads at 64 kB/s each: a ping meanwhile < 50 ms."""

from __future__ import annotations

import multiprocessing
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import requests

from benchmarks.harness import ROOT, Figure, Site, Void, percentile, plain_session, report, site
from benchmarks.upload import PACKAGE, make, upload

sys.path.insert(0, str(ROOT))

CALLERS, RATE, SECONDS = 20, 64_000, 15


def all_slowly(url: str, until: float, told: Connection) -> None:
    """Every caller, in a process of their own so that the ping waits for the daemon only; tells what each got."""
    got: list[int] = []
    all_begun = threading.Barrier(CALLERS, lambda: told.send(None))
    callers = [
        threading.Thread(target=slowly, args=(url, number * 2**20, got, until, all_begun.wait))
        for number in range(CALLERS)
    ]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    told.send(got)


def slowly(url: str, first: int, got: list[int], until: float, begun: Callable[[], object]) -> None:
    """Read at so many bytes a second, with a small window, so that the server feels it."""
    parts = urlsplit(url)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        line.connect((parts.hostname or "", parts.port or 80))
        line.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\nRange: bytes={first}-\r\n\r\n".encode())
        total = len(line.recv(8192))
        begun()
        since = time.monotonic()
        while time.monotonic() < until:
            total += len(line.recv(8192))
            ahead = total / RATE - (time.monotonic() - since)
            if ahead > 0:
                time.sleep(ahead)
    got.append(total)


def ping_ms(session: requests.Session, here: Site) -> float:
    begun = time.monotonic()
    session.get(f"{here.server.url}/healthz", timeout=30).raise_for_status()
    took = (time.monotonic() - begun) * 1000
    time.sleep(0.02)
    return took


def run(rounds: int) -> bool:
    from tests.support.fake_cad import FakeCad

    with tempfile.TemporaryDirectory(prefix="download-", dir=ROOT / ".bench") as name, site() as here:
        file = Path(name) / "package.tar"
        make(file)
        upload(here, file)
        with FakeCad() as cad:
            cad.hold_downloads()
            if not cad.register(here.server.url).accepted:
                raise Void("the device was not let in")
            body = {"AlgoFilePackageID": PACKAGE, "ComputilityCode": cad.code}
            here.ask("POST", "/ACSMP/AlgoFilePackages/Devices", body)
            deadline = time.monotonic() + 20
            while PACKAGE not in cad.packages and time.monotonic() < deadline:
                time.sleep(0.05)
            asked = cad.package(PACKAGE).asked
            assert asked is not None
            until = time.monotonic() + SECONDS * max(1, rounds // 5)
            ours, theirs = multiprocessing.Pipe()
            callers = multiprocessing.Process(target=all_slowly, args=(asked.url, until, theirs))
            callers.start()
            first, took = [], []
            with plain_session() as session:
                while not ours.poll():
                    first.append(ping_ms(session, here))
                ours.recv()
                while time.monotonic() < until:
                    took.append(ping_ms(session, here))
            callers.join()
            got: list[int] = ours.recv()
    slowest = min(got) / SECONDS
    if slowest < RATE / 2:
        raise Void(f"a download ran at {slowest:.0f} bytes/s only")
    return report(
        "download",
        [
            Figure(f"a ping beside {CALLERS} slow downloads, worst of {len(took)}", max(took), 50.0, unit="ms"),
            Figure("... p99", percentile(took, 0.99), unit="ms"),
            Figure(f"... while all {CALLERS} begin at once, worst", max(first), unit="ms"),
        ],
        pings=len(took),
    )  # fmt: skip
