"""A real server on port 0 with a guard over the real rows, and lines that speak raw HTTP to it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from http.client import HTTPResponse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from acsmpd import faults
from acsmpd.api import access, answers
from acsmpd.api.call import Caller
from acsmpd.api.guard import Guard, caps_of
from acsmpd.api.server import HttpServer
from acsmpd.security.links import LinkSigner
from acsmpd.security.tokens import Header, Presence, read_authorization
from acsmpd.settings import Settings
from acsmpd.settings.sections import Server
from acsmpd.spec.operation import Operation

SETTINGS = Settings()
SIGNER = LinkSigner(b"k" * 32)
INSTANCE = "6b1f6d5e-0d3c-4f62-9d0f-0b5f3c1d2e3f"
IMPORT = "/ACSMP/AlgoFilePackages"
JSON_ROW = "/ACSMP/Tasks/Search"
FORM = "multipart/form-data; boundary=x"
GOOD = {"Authorization": "Bearer good"}
RIGHTS = {
    "good": frozenset({"read", "operate", "admin", "packages"}),
    "viewer": frozenset({"read"}),
}
MIB = 1024 * 1024


def identify(header: Header, address: str) -> Caller | None:
    shown = read_authorization(header)
    if shown.presence is Presence.NONE:
        return None
    if shown.token == "flooding":
        raise faults.SlowDown("too many unknown tokens", retry_after_seconds=1)
    if shown.token not in RIGHTS:
        raise faults.NoToken("the token is not known here")
    return Caller("key", shown.token, address, RIGHTS[shown.token])


def result_path(signature: str | None = None) -> str:
    return f"/ACSMP/Results/{INSTANCE}/{signature or SIGNER.sign('result', INSTANCE)}"


Refusal = tuple[Operation, Caller, faults.Fault, str]


def make_guard(data: Path, refusals: list[Refusal] | None = None, **more: Any) -> Guard:
    return Guard(
        **{
            "identify": identify,
            "allow": access.allow,
            "verify_result": lambda instance, signature: SIGNER.verify(signature, "result", instance),
            "failure": functools.partial(answers.failure, SimpleNamespace(settings=SETTINGS)),
            "data": data,
            "min_free_bytes": 0,
            "caps": caps_of(SETTINGS),
            "refused": lambda *refusal: (refusals if refusals is not None else []).append(refusal),
            **more,
        }
    )


Environ = dict[str, Any]
Start = Callable[..., Any]


def answer(start: Start, value: Any, status: str = "200 OK") -> Iterable[bytes]:
    body = json.dumps(value).encode()
    start(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


class Echo:
    """An application that reads the body to its end and tells what it saw."""

    def __init__(self) -> None:
        self.seen: list[Environ] = []

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        self.seen.append(environ)
        digest, size = hashlib.md5(), 0
        while block := environ["wsgi.input"].read(256 * 1024):
            digest.update(block)
            size += len(block)
        path = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        return answer(start, {"path": path, "bytes": size, "md5": digest.hexdigest()})


@contextlib.contextmanager
def served(app: Any, folder: Path, guard: Guard | None = None, **settings: Any) -> Iterator[HttpServer]:
    server = HttpServer(
        app,
        Server(**{"host": "127.0.0.1", "port": 0, "threads": 4, **settings}),
        guard or make_guard(folder),
        folder / "tmp",
    )
    server.start()
    try:
        yield server
    finally:
        server.stop(2.0)


class _Kept:
    """What an HTTPResponse reads from and would close: the answers of one connection stand in one buffer."""

    def __init__(self, sock: socket.socket) -> None:
        self.file = sock.makefile("rb")
        self.readline, self.read, self.readinto = self.file.readline, self.file.read, self.file.readinto

    def makefile(self, _mode: str) -> _Kept:
        return self

    def close(self) -> None:
        pass

    flush = close


class Line:
    """One connection, by hand."""

    def __init__(self, server: HttpServer, **options: int) -> None:
        self.socket = socket.socket()
        for name, value in options.items():
            self.socket.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
        self.socket.settimeout(10)
        self.socket.connect(("127.0.0.1", server.port))
        self._kept = _Kept(self.socket)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._kept.file.close()
        self.socket.close()

    def send(self, text: str | bytes) -> None:
        self.socket.sendall(text.encode() if isinstance(text, str) else text)

    def ask(
        self, method: str, path: str, *headers: str, body: bytes = b"", length: int | None = None
    ) -> None:
        """A request; with a length that is not the body's only the beginning of one."""
        told = [f"Content-Length: {length if length is not None else len(body)}"] if length or body else []
        lines = [f"{method} {path} HTTP/1.1", "Host: x", *told, *headers, "", ""]
        self.send("\r\n".join(lines).encode() + body)

    def answer(self) -> tuple[int, Any, HTTPResponse]:
        """The next answer: status, JSON, and the response for its headers."""
        response = HTTPResponse(self._kept)  # type: ignore[arg-type]
        response.begin()
        body = response.read()
        response.close()
        return response.status, json.loads(body) if body else None, response

    def is_closed(self) -> bool:
        """Whether the server ends the connection, without another byte."""
        try:
            return self._kept.read(1) == b""
        except ConnectionResetError:
            return True


def files_of(folder: Path) -> list[str]:
    """Names below the folder, and nameless files this process holds open there."""
    named = [str(path) for path in folder.rglob("*") if path.is_file()]
    held = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{number}")
            if target.startswith(str(folder)) and target.endswith("(deleted)"):
                held.append(target)
    return named + held
