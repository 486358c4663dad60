"""The sample algorithm: faces, people and motion in video, behind the engine interface on $PORT."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import socketserver
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import unquote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent / "lib"))  # there if the package carries OpenCV

from results import Author
from rules import ID_FORM, Json, Refused
from tasks import Tasks

NAME, VERSION = "acsmp-sample", "1.0.0"
MAX_BODY, MAX_DRAIN, MAX_DEPTH = 1 << 20, 8 << 20, 32
MAX_CONNECTIONS = 32
DEFAULT_STREAM_LIMIT = 4

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True)
class Route:
    method: str
    form: str
    act: Callable[..., Json | None]
    takes_body: bool = False


ONE_TASK = f"/AlgoTasks/({ID_FORM})"
ROUTES = (
    Route("GET", "/Status", Tasks.status),
    Route("POST", "/AlgoTasks", Tasks.create, takes_body=True),
    Route("POST", "/AlgoTasks[:/]search", Tasks.search, takes_body=True),
    Route("POST", f"{ONE_TASK}[:/]resume", Tasks.resume),
    Route("POST", f"{ONE_TASK}[:/]pause", Tasks.pause),
    Route("GET", ONE_TASK, Tasks.detail),
    Route("PUT", ONE_TASK, Tasks.update, takes_body=True),
    Route("DELETE", ONE_TASK, Tasks.delete),
)

log = logging.getLogger("engine")


class Server(ThreadingHTTPServer):
    """One thread a connection, at most MAX_CONNECTIONS of them; one too many is hung up on."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, tasks: Tasks) -> None:
        self.tasks = tasks
        self._room = threading.BoundedSemaphore(MAX_CONNECTIONS)
        super().__init__(("127.0.0.1", port), Handler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the host's name, which can hang."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread to be had
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, *_: Any) -> None:
        log.info("a connection broke off: %s", getattr(sys.exc_info()[0], "__name__", ""))


class Handler(BaseHTTPRequestHandler):
    """One request, one answer in the standard's envelope, then the connection closes."""

    server: Server
    timeout = 10
    server_version, sys_version = f"{NAME}/{VERSION}", ""

    def _serve(self) -> None:
        try:
            data = self._dispatch(self._body())
        except Refused as refusal:
            self._answer(refusal.code // 100, refusal.code, refusal.message)
        except OSError:
            raise  # the caller is gone: nobody to answer
        except Exception:
            log.exception("%s %s failed", self.command, self.path)
            self._answer(500, 50000, "internal fault, see the engine's log")
        else:
            self._answer(200, 0, "success", data)

    do_GET = do_POST = do_PUT = do_DELETE = _serve

    def _dispatch(self, body: Json) -> Json | None:
        path = unquote(urlsplit(self.path).path)
        fitting = [(route, match) for route in ROUTES if (match := re.fullmatch(route.form, path))]
        for route, match in fitting:
            if route.method == self.command:
                values = [*match.groups(), body] if route.takes_body else match.groups()
                return route.act(self.server.tasks, *values)
        if fitting:
            raise Refused(40500, f"{path} does not take {self.command}")
        raise Refused(40401, f"no interface {path:.200}")

    def _body(self) -> Json:
        """The body as an object, {} if there is none; at most 1 MiB is kept of it."""
        if self.headers.get("Transfer-Encoding"):
            raise Refused(41101, "cannot read the body: Content-Length is required")
        length = self.headers.get("Content-Length", "0")
        if not re.fullmatch("[0-9]{1,12}", length):
            raise Refused(40000, "cannot read the body: Content-Length is no number")
        if int(length) > MAX_BODY:
            left = min(int(length), MAX_DRAIN)
            while left > 0 and (piece := self.rfile.read(min(left, 1 << 16))):
                left -= len(piece)  # read away, or the answer would be lost to a reset
            raise Refused(41301, f"the body is over {MAX_BODY} bytes")
        raw = self.rfile.read(int(length))
        return _parsed(raw) if raw.strip() else {}

    def _answer(self, status: int, code: int, message: str, data: Json | None = None) -> None:
        given = self.headers.get("X-Request-ID", "") if hasattr(self, "headers") else ""
        body: Json = {"Code": code, "Message": message[:1024]}
        if data is not None:
            body["Data"] = data
        body["RequestID"] = given if re.fullmatch(r"[A-Za-z0-9._-]{1,128}", given) else str(uuid.uuid4())
        raw = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(raw)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(raw)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses, in the envelope too."""
        status = 405 if code == 501 else code  # http.server's word for a method it has no handler of
        self._answer(status, status * 100, message or explain or "refused")

    def log_message(self, form: str, *values: Any) -> None:
        log.debug(form, *values)


def _parsed(raw: bytes) -> Json:
    try:
        body = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused(40000, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused(40000, "the body is not a JSON object")
    if _depth(body) > MAX_DEPTH:
        raise Refused(40000, f"the body is nested deeper than {MAX_DEPTH}")
    try:
        json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(40001, "a string of the body holds half a surrogate pair") from None
    return body


def _no_constant(word: str) -> NoReturn:
    raise ValueError(word)


def _depth(value: Any, level: int = 1) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if level > MAX_DEPTH:
        return level
    return max((_depth(each, level + 1) for each in inner if isinstance(each, dict | list)), default=level)


def _setting(name: str, default: int | None, low: int, high: int) -> int:
    text = os.environ.get(name, "" if default is None else str(default))
    if not re.fullmatch("[0-9]{1,9}", text) or not low <= int(text) <= high:
        sys.exit(f"cannot start: {name} must be a number from {low} to {high}, got {text!r}")
    return int(text)


def main() -> None:
    """Serve until SIGTERM or SIGINT, then be gone within 2 s."""
    level = os.environ.get("LOG_LEVEL", "info").upper()
    logging.basicConfig(
        stream=sys.stdout,
        level=level if level in LEVELS else "INFO",
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    port = _setting("PORT", None, 0, 65535)
    limit = _setting("STREAM_LIMIT", DEFAULT_STREAM_LIMIT, 1, 64)
    tasks = Tasks(Author(NAME, VERSION, os.environ.get("ACSMP_SERVICE_ID", "")), limit)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server = Server(port, tasks)
    threading.Thread(target=server.serve_forever, args=(0.1,), name="http", daemon=True).start()
    log.info("%s %s ready on 127.0.0.1:%d, %d streams", NAME, VERSION, server.server_port, limit)
    while not ended.wait(0.5):  # a signal that another thread catches does not wake this one
        pass
    log.info("ending")
    server.shutdown()
    server.server_close()
    tasks.close(1.0)
    sys.stdout.flush()
    os._exit(0)  # a read that hangs in the decoder must not hold up the end


if __name__ == "__main__":
    main()
