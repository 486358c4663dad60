"""20 slow Range downloads at 64 kB/s each: a ping meanwhile < 50 ms."""

from __future__ import annotations

import socket
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.harness import ROOT, Figure, Void, percentile, plain_session, report, site
from benchmarks.upload import PACKAGE, make, upload

sys.path.insert(0, str(ROOT))

CALLERS, RATE, SECONDS = 20, 64_000, 15


def slowly(url: str, first: int, got: list[int], until: float) -> None:
    """Read at so many bytes a second, with a small window, so that the server feels it."""
    parts = urlsplit(url)
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        line.connect((parts.hostname or "", parts.port or 80))
        line.sendall(f"GET {parts.path} HTTP/1.1\r\nHost: x\r\nRange: bytes={first}-\r\n\r\n".encode())
        begun, total = time.monotonic(), 0
        while time.monotonic() < until:
            total += len(line.recv(8192))
            ahead = total / RATE - (time.monotonic() - begun)
            if ahead > 0:
                time.sleep(ahead)
    got.append(total)


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
            got: list[int] = []
            until = time.monotonic() + SECONDS * max(1, rounds // 5)
            callers = [
                threading.Thread(target=slowly, args=(asked.url, number * 2**20, got, until))
                for number in range(CALLERS)
            ]
            for one in callers:
                one.start()
            took: list[float] = []
            with plain_session() as session:
                while time.monotonic() < until:
                    begun = time.monotonic()
                    session.get(f"{here.server.url}/healthz", timeout=30).raise_for_status()
                    took.append((time.monotonic() - begun) * 1000)
                    time.sleep(0.02)
            for one in callers:
                one.join()
    slowest = min(got) / SECONDS
    if slowest < RATE / 2:
        raise Void(f"a download ran at {slowest:.0f} bytes/s only")
    return report(
        "download",
        [
            Figure(f"a ping beside {CALLERS} slow downloads, p99", percentile(took, 0.99), 50.0, unit="ms"),
            Figure("... worst", max(took), unit="ms"),
        ],
        pings=len(took),
    )  # fmt: skip
