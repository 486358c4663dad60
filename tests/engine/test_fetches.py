"""Packages fetched by address: nobody's slow server holds up the fetches of others, nor leads elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from acsmpd import faults
from acsmpd.engine.assembly import FETCHES, FETCHES_PER_ORIGIN
from acsmpd.engine.fetches import Fetches
from acsmpd.engine.imports import Importer
from acsmpd.engine.lanes import Lanes
from acsmpd.engine.parts import PartImporter
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.intake import Intake
from acsmpd.security.egress import EgressPolicy
from acsmpd.settings import Upstream
from acsmpd.store import asks
from acsmpd.wire.download import Downloader
from tests.engine.results_bench import Bench as Core
from tests.support.wait import wait_until


class Source:
    """A web server: /slow answers when told, /away redirects to another name of this host."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.on = threading.Event()
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source.asked.append(f"{self.headers['Host'].partition(':')[0]}{self.path}")
                if self.path == "/away":
                    self.send_response(302)
                    self.send_header("Location", f"http://localhost:{source.port}/there")
                else:
                    source.on.wait(10)
                    self.send_response(404)
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    def close(self) -> None:
        self.on.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Bench:
    def __init__(self, folder: Path, source: Source) -> None:
        self.made, self.source = Core(folder), source
        core = self.made.core
        above = Upstream(url="http://127.0.0.1:1", code="2" * 20, type="CAD", username="u", password_file="p")
        object.__setattr__(core, "settings", msgspec.structs.replace(core.settings, upstream=(above,)))
        self.lanes = Lanes("fetch", FETCHES, FETCHES_PER_ORIGIN, core.wake)
        limits = Limits(max_members=1000, max_unpacked_bytes=1 << 28, max_ratio=200)
        intake = Intake(folder / "packages", 1 << 28, 1)
        importer = Importer(core.store, intake, limits, core.clock, timezone.utc, "1" * 20)
        downloader = Downloader(EgressPolicy(["127.0.0.1:*"]), 5, 5)
        self.asks = Fetches(
            core, self.lanes, downloader, intake, importer,
            PartImporter(core.store, intake, limits, core.clock, importer),
        )  # fmt: skip

    def ask(self, subject: str, origin: str, path: str = "/slow") -> None:
        arguments = {"Url": f"http://127.0.0.1:{self.source.port}{path}", "Origin": origin}
        with self.made.store.write() as tx:
            asks.put(tx, f"{origin}-{subject}", "package", subject, arguments, 1)

    def step(self) -> None:
        self.asks.ensure(self.made.clock.now())

    def answer(self, ask_id: str) -> Any:
        with self.made.store.read() as tx:
            return (asks.get(tx, ask_id) or {}).get("answer")

    @property
    def running(self) -> int:
        return FETCHES - self.lanes.free

    def close(self) -> None:
        self.made.core.stopping.set()
        self.source.on.set()
        self.lanes.close()
        self.source.close()
        self.made.store.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, Source())
    yield made
    made.close()


def test_one_origin_has_only_so_many_fetches_running(bench: Bench) -> None:
    for number in range(5):
        bench.ask(str(number), "north")
    bench.step()
    assert bench.running == FETCHES_PER_ORIGIN == 2
    bench.ask("9", "south")
    bench.ask("8", "")
    bench.step()
    bench.step()
    assert bench.running == 4


def test_a_package_is_fetched_once_at_a_time(bench: Bench) -> None:
    bench.ask("0", "north")
    bench.ask("0", "south")
    bench.step()
    bench.step()
    assert bench.running == 1


def test_what_is_secret_in_an_address_stays_out_of_the_log(
    bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even when a job fails whose outcome the disk does not take."""
    url = f"http://127.0.0.1:{bench.source.port}/p.tar?Signature=secret"
    with bench.made.store.write() as tx:
        asks.put(tx, "a1", "package", url, {"Url": url, "MD5": None}, 1)

    def full(*_args: object, **_more: object) -> None:
        raise faults.NoSpace("cannot write to the database: the disk is full")

    monkeypatch.setattr(asks, "change", full)
    bench.step()
    wait_until(lambda: caplog.records, what="the lane has failed")
    assert [(one.getMessage(), getattr(one, "subject", "")) for one in caplog.records] == [
        ("a lane failed", "ask:a1")
    ]
    assert "secret" not in caplog.text


def test_a_redirect_to_another_host_is_judged_too(bench: Bench) -> None:
    origin = "2" * 20
    bench.ask("0", origin, "/away")
    bench.step()
    wait_until(lambda: bench.lanes.free == FETCHES, what="the fetch has ended")
    answer = bench.answer(f"{origin}-0")
    assert answer["Code"] == 40301
    assert answer["Message"] == (
        f"the package address of platform {origin} points at localhost:{bench.source.port}, which is another host"
    )
    assert bench.source.asked == ["127.0.0.1/away"]
