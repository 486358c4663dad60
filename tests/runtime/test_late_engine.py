"""A container engine that notices an end late, or runs its containers elsewhere."""

from __future__ import annotations

import contextlib
import json
import socketserver
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from acsmpd.clock import Clock
from acsmpd.faults import Conflict
from acsmpd.runtime import container
from acsmpd.runtime.container import Containers
from acsmpd.runtime.sockets import Sockets
from acsmpd.runtime.values import EngineSpec, RuntimeSettings
from acsmpd.runtime.walls import LOAD_LABEL, OWNER_LABEL

GONE = 2**22 + 1  # no process has this pid
OWNER = "0123456789ab"


class Late(BaseHTTPRequestHandler):
    """One container, whose process is gone while it is shown running; `wait` tells of its end, or never does."""

    shown: bool = True
    notices: bool = True
    over = threading.Event()

    def serve(self) -> None:
        state = {"Running": Late.shown, "Pid": GONE if Late.shown else 0, "ExitCode": 7}
        labels = {OWNER_LABEL: OWNER, LOAD_LABEL: "L1"}
        said: dict[str, Any] = {"Id": "c1", "State": state, "Config": {"Labels": labels}}
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "/wait" in self.path:
            if not Late.notices:
                Late.over.wait(20)
            Late.shown = False
        there = not self.path.startswith(f"/containers/acsmpd-{OWNER}")
        raw = b"" if "/logs" in self.path else json.dumps(said).encode()
        self.send_response(200 if there else 404)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = do_DELETE = serve

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "unix"


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    def handle_error(self, *_: object) -> None:
        """Who hung up is not waited for."""


@pytest.fixture
def late() -> Iterator[Path]:
    Late.shown, Late.notices = True, True
    Late.over.clear()
    with tempfile.TemporaryDirectory(prefix="acsmpd-s-") as folder, Server(f"{folder}/s", Late) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Path(folder) / "s"
        finally:
            Late.over.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def one(late: Path, data: Path) -> Iterator[Containers]:
    made = Containers(
        RuntimeSettings(data_dir=data), data / "services", Sockets(str(late), Clock(), 2.0), OWNER, Clock()
    )
    with contextlib.closing(made):
        yield made


def spec(data: Path) -> EngineSpec:
    return EngineSpec(load_id="L1", argv=("x",), work=data, env={}, log=data / "logs" / "L1.log", image="i")


def test_one_that_ended_at_once_is_told_with_its_code(one: Containers, data: Path) -> None:
    one.start(spec(data))
    assert one.alive("L1") is None
    told = one.exited("L1")
    assert told is not None
    assert told.reason == "ended with code 7"


def test_one_that_runs_on_another_box_is_refused(
    one: Containers, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container, "_NOTICED_SECONDS", 0.2)
    Late.notices = False
    with pytest.raises(Conflict, match="runs its containers on another box"):
        one.start(spec(data))
