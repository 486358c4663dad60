"""An authorisation server in a process of its own: `python -m tests.support.auth_server PORT STATE`.

It answers `GET /AuthServer/Quota/<AlgoDefCode>` for the capabilities it is told, counts each call, and misbehaves when
told. Engines tell it their streams by `POST /AuthServer/Streams {"AlgoDefCode", "Streams", "Holder"?}`. What it is told
goes over `/control` of the same port: GET shows all of it, PUT changes members.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import requests

from tests.support.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
QUOTA = "/AuthServer/Quota/"
STATE: dict[str, Any] = {
    "quotas": {},  # capability -> [used, total]; used by streams it was not told of
    "streams": {},  # capability -> {holder: streams}; they are used too
    "mode": "good",  # good | refusing | html | types | endless | redirect | silent | status
    "bare": False,  # answers without an envelope
    "delay": 0.0,  # seconds before each answer
    "status": 500,
    "calls": [],  # paths that were asked for, in their order
}


# --- in the process ------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def do_GET(self) -> None:
        if self.path == "/control":
            with self.server.lock:
                self.reply(200, self.server.state)
            return
        with self.server.lock:
            self.server.state["calls"].append(self.path)
            state = json.loads(json.dumps(self.server.state))
        self.server.over.wait(state["delay"])
        with contextlib.suppress(OSError):
            self.misbehave(state) if state["mode"] != "good" else self.quota(state)

    def do_PUT(self) -> None:
        with self.server.lock:
            self.server.state.update(self.body())
        self.reply(200, {})

    def do_POST(self) -> None:
        told = self.body()
        with self.server.lock:
            holders = self.server.state["streams"].setdefault(told["AlgoDefCode"], {})
            holders[told.get("Holder", "")] = told["Streams"]
        self.reply(200, {"Code": 0, "Message": "success"})

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def quota(self, state: dict[str, Any]) -> None:
        code = unquote(self.path.removeprefix(QUOTA))
        if not self.path.startswith(QUOTA) or code not in state["quotas"]:
            self.reply(200, {"Code": 40401, "Message": f"no capability {code}"})
            return
        used, total = state["quotas"][code]
        used += sum(state["streams"].get(code, {}).values())
        data = {"AlgoDefCode": code, "QuotaUsed": used, "QuotaTotal": total}
        self.reply(200, data if state["bare"] else {"Code": 0, "Message": "success", "Data": data})

    def misbehave(self, state: dict[str, Any]) -> None:
        mode = state["mode"]
        if mode == "refusing":
            self.reply(200, {"Code": 50000, "Message": "the database is closed"})
        elif mode == "html":
            self.reply(200, b"<html><body>It works!</body></html>", "text/html")
        elif mode == "types":
            self.reply(200, {"Code": 0, "Data": {"QuotaUsed": "three", "QuotaTotal": [30]}})
        elif mode == "status":
            self.reply(state["status"], b"")
        elif mode == "redirect":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_port}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif mode == "endless":
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
            while not self.server.over.wait(0.001):
                self.wfile.write(b"0," * 500)
        elif mode == "silent":
            self.close_connection = True
            self.server.over.wait(60)

    def reply(self, status: int, body: Any, kind: str = "application/json") -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_args: object) -> None:
        """Quiet."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, state: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.state, self.lock, self.over = state, threading.Lock(), threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that hang up are what it is for."""


def main(port: str, state: str) -> None:
    """Live until standard input ends."""
    server = Server(int(port), json.loads(state))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    print(server.server_port, flush=True)
    select.select([sys.stdin], [], [])
    server.over.set()
    server.shutdown()
    server.server_close()


# --- in the test ------------------------------------------------------------------------------------------------


class AuthServerProcess:
    """One server. `kill` ends it as a power cut does; `start` brings it back at the same address as it was."""

    def __init__(self, **state: Any) -> None:
        self._state = {**json.loads(json.dumps(STATE)), **state}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> AuthServerProcess:
        words = [
            sys.executable, "-m", "tests.support.auth_server", str(self.port), json.dumps(self._state),
        ]  # fmt: skip
        self._process = subprocess.Popen(
            words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]}
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"http://{self.address}{path}", json=body, timeout=20).json()

    def set(self, **members: Any) -> None:
        """How it answers from now on; see STATE."""
        self._state.update(members)
        self._ask("PUT", "/control", members)

    def quota(self, code: str, used: int, total: int) -> None:
        self.set(quotas={**self._state["quotas"], code: [used, total]})

    def streams(self, code: str, streams: int, holder: str = "") -> None:
        """As an engine tells it."""
        self._ask("POST", "/AuthServer/Streams", {"AlgoDefCode": code, "Streams": streams, "Holder": holder})

    @property
    def calls(self) -> list[str]:
        """Paths that were asked for since it began."""
        found: list[str] = self._ask("GET", "/control")["calls"]
        return found

    def called(self, number: int) -> None:
        wait_until(lambda: len(self.calls) >= number, what=f"{number} calls of the authorisation server")

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(20)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def auth_server(**quotas: tuple[int, int]) -> Iterator[AuthServerProcess]:
    """A server that knows these capabilities: code=(used, total)."""
    one = AuthServerProcess(quotas={code: list(pair) for code, pair in quotas.items()})
    try:
        yield one.start()
    finally:
        one.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
