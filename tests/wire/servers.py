"""Real HTTP servers in threads on port 0, told by each test how to answer and how to misbehave."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OK = {"Code": 0, "Message": "success"}


class Handler(BaseHTTPRequestHandler):
    """Hands every request to the server's script; never logs."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 20
    server: Server

    def _any(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        self.server.seen.append(
            Seen(self.command, self.path, dict(self.headers), self.body, self.client_address)
        )
        self.server.script(self)

    do_GET = do_POST = do_PUT = do_DELETE = _any

    def reply(self, status: int, body: bytes | dict[str, Any], **headers: str) -> None:
        """A whole, well-framed answer; `Content_Type="x"` is written Content-Type."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content_Length": str(len(raw)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(raw)

    def raw(self, data: bytes) -> None:
        """Bytes on the line as they are; the connection ends after them."""
        self.close_connection = True
        self.connection.sendall(data)

    def reset(self) -> None:
        """Cut the line the hard way."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def drip(self, data: bytes, seconds: float) -> None:
        """One byte every `seconds`, until the data or the test ends."""
        self.close_connection = True
        try:
            for byte in data:
                self.connection.sendall(bytes([byte]))
                if self.server.over.wait(seconds):
                    return
        except OSError:
            return

    def stall(self) -> None:
        """Say nothing until the test is over."""
        self.close_connection = True
        self.server.over.wait(20)

    def log_message(self, format: str, *args: Any) -> None:
        return


class Seen:
    """One request as it arrived."""

    def __init__(
        self, method: str, path: str, headers: dict[str, str], body: bytes, client: tuple[str, int]
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body
        self.client = client


class Server(ThreadingHTTPServer):
    daemon_threads = False

    def __init__(
        self,
        script: Callable[[Handler], None],
        context: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
    ) -> None:
        super().__init__((host, 0), Handler)
        self.script = script
        self.seen: list[Seen] = []
        self.over = threading.Event()
        self.lines: list[socket.socket] = []
        self.context = context
        self.port = int(self.server_address[1])
        self.url = f"{'https' if context else 'http'}://{host}:{self.port}"

    def get_request(self) -> tuple[socket.socket, Any]:
        sock, address = super().get_request()
        if self.context is not None:
            try:
                sock.settimeout(20)
                sock = self.context.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                raise
        self.lines.append(sock)
        return sock, address

    def hang_up(self) -> None:
        """End every line, idle ones too, so that no handler waits for a next request."""
        self.over.set()
        for sock in self.lines:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what many of these tests are about."""


@contextmanager
def serving(
    script: Callable[[Handler], None], context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Server]:
    """A server until the end of the block; every thread of it has ended then."""
    server = Server(script, context, host)
    thread = threading.Thread(target=server.serve_forever, args=(0.005,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join(20)
        server.hang_up()
        server.server_close()


def replying(status: int, body: bytes | dict[str, Any], **headers: str) -> Callable[[Handler], None]:
    """A script that gives the same answer to everything."""
    return lambda handler: handler.reply(status, body, **headers)


def unused_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
