"""A facility of the tests as a real HTTP server: rows of the standard in, answers out, every call kept.

It lives in threads of its own on 127.0.0.1 and holds its port for as long as it lives, so that it can
vanish and come back, or restart, where the platform looks for it. The misbehaviour that any facility can
show (slow, refusing, cutting lines ...) is here; what is particular to a face is in the class of that face.
"""

from __future__ import annotations

import collections
import json
import re
import socket
import sys
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from acsmpd.faults import Fault
from acsmpd.spec.operation import Operation
from acsmpd.spec.reading import read_strict
from tests.support.fake_switches import Switches

HOST = "127.0.0.1"
HANGING_SECONDS = 30.0
"""How long a line may stand idle, or a told slowness last, when nobody ends it."""
CALLS_KEPT = 20_000
_PLACE = re.compile(r"<(\w+)>")
JSON_TYPE = "application/json; charset=utf-8"


class Call(NamedTuple):
    """One request as it arrived. `operation` is "" when no row of the standard fits it."""

    method: str
    path: str
    headers: HTTPMessage
    body: bytes
    operation: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Refusal(Exception):
    """The facility says no: a Code other than 0 and why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Reply(NamedTuple):
    """What goes out on the line."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Route(NamedTuple):
    method: str
    pattern: re.Pattern[str]
    operation: Operation


F = TypeVar("F", bound="FakeFacility")
Handler = Callable[[Any, dict[str, str]], Any]
"""Takes the message (None where the row has none) and the path values; gives the Data, or None."""


class FakeFacility:
    """The common part of every fake. A subclass gives `handlers` and says `authorised` and `dressed`."""

    def __init__(self, rows: Iterable[Operation], face: str, prefix: str, host: str = HOST) -> None:
        self.host = host
        self._routes = [route for row in rows for route in routes_of(row, face, prefix)]
        self._face = face
        self._calls: collections.deque[Call] = collections.deque(maxlen=CALLS_KEPT)
        self._held: socket.socket | None = None
        self._server: _Server | None = None
        self.switches = Switches()

    # --- what a subclass says -------------------------------------------------------------------------

    def handlers(self) -> dict[str, Handler]:
        """What does the work of each row, by its id."""
        raise NotImplementedError

    def authorised(self, headers: HTTPMessage) -> bool:
        """Whether the caller may call at all."""
        return True

    def dressed(self, row: Operation, envelope: dict[str, Any]) -> dict[str, Any]:
        """The envelope as this facility would rather write it."""
        return envelope

    def ended(self) -> None:
        """The facility goes for good: end what runs beside the server."""

    # --- life ---------------------------------------------------------------------------------------

    @property
    def port(self) -> int:
        if self._held is None:
            raise RuntimeError("the fake has no port before start()")
        return int(self._held.getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def start(self: F) -> F:
        """Listen; the port is the same in every life of one start() and stop()."""
        if self._held is None:
            self._held = _bound(self.host, 0)
        if self._server is None:
            self._server = _Server(self.host, self.port, self._received)
        return self

    def stop(self) -> None:
        """Nothing of it is left when this returns: no thread, no socket."""
        self.vanish()
        self.ended()
        if self._held is not None:
            self._held.close()
            self._held = None

    def vanish(self) -> None:
        """Cut every line and refuse connections; what it knows stays."""
        server, self._server = self._server, None
        if server is not None:
            server.end()

    def come_back(self) -> None:
        """Be there again on the same port."""
        self.start()

    def __enter__(self: F) -> F:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    # --- what came in ---------------------------------------------------------------------------------

    def calls(self, method: str = "", uri_regex: str = ".*") -> list[Call]:
        """The calls so far, oldest first; `uri_regex` has to match the whole path (without its query)."""
        kept = list(self._calls)
        return [
            call
            for call in kept
            if method in ("", call.method) and re.fullmatch(uri_regex, urlsplit(call.path).path)
        ]

    def asked(self, operation: str) -> list[Call]:
        """The calls of one row, oldest first; "create_algo_task" is enough of its id."""
        name = self._named(operation)
        return [call for call in list(self._calls) if call.operation == name]

    def forget_calls(self) -> None:
        """Start counting afresh."""
        self._calls.clear()

    # --- misbehaviour any facility can show -------------------------------------------------------------

    def slow(self, seconds: float, operation: str | None = None, *, after: bool = False) -> None:
        """Wait before doing the work, or `after` it, with the answer; 0 ends it. stop() ends every wait."""
        self.switches.set("slow_after" if after else "slow", self._named(operation), seconds or None)

    def refuse(self, code: int, message: str, times: int | None = None, operation: str | None = None) -> None:
        """Answer this Code instead of doing anything."""
        self.switches.set("refuse", self._named(operation), (code, message), times)

    def answer_http(
        self,
        status: int,
        body: bytes | str = b"",
        times: int | None = None,
        operation: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer exactly this instead of doing anything."""
        raw = body.encode() if isinstance(body, str) else body
        reply = Reply(status, raw, {"Content-Type": "text/html", **(headers or {})})
        self.switches.set("answer", self._named(operation), reply, times)

    def redirect_to(self, url: str, times: int | None = None, operation: str | None = None) -> None:
        """Send every caller elsewhere."""
        self.answer_http(302, times=times, operation=operation, headers={"Location": url})

    def drop_answer(self, times: int | None = 1, operation: str | None = None) -> None:
        """Do the work, then close the line without an answer."""
        self.switches.set("drop", self._named(operation), True, times)

    def cut_before(self, times: int | None = 1, operation: str | None = None) -> None:
        """Read the request, then close the line without doing the work."""
        self.switches.set("cut", self._named(operation), True, times)

    def behave(self) -> None:
        """End all misbehaviour of this section."""
        self.switches.clear()

    def _named(self, operation: str | None) -> str | None:
        """The full id of a row; KeyError for one this facility does not have."""
        if operation is None:
            return None
        name = operation if "." in operation else f"{self._face}.{operation}"
        if not any(route.operation.id == name for route in self._routes):
            raise KeyError(f"no row {operation} here")
        return name

    # --- the way of one request -------------------------------------------------------------------------

    def _received(
        self, method: str, path: str, headers: HTTPMessage, body: bytes, over: threading.Event
    ) -> Reply | None:
        """The answer to one request; None closes the line without one."""
        row, values = self._routed(method, urlsplit(path).path, body)
        self._calls.append(Call(method, path, headers, body, row.id if row else ""))
        if row is None:
            return _reply(404, {"Code": 40401, "Message": f"there is no {method} {path} here"})
        if self.switches.take("cut", row.id) or _waited(self.switches.take("slow", row.id), over):
            return None
        reply = self.switches.take("answer", row.id) or self._answered(row, values, headers, body)
        late = _waited(self.switches.take("slow_after", row.id), over)
        return None if late or self.switches.take("drop", row.id) else reply

    def _answered(self, row: Operation, values: dict[str, str], headers: HTTPMessage, body: bytes) -> Reply:
        if not self.authorised(headers):
            return _reply(401, self._envelope(row, 40101, "no or bad token"))
        try:
            told = self.switches.take("refuse", row.id)
            if told is not None:
                raise Refusal(*told)
            message = None if row.request is None else read_strict(row.request, body)[0]
            data = self.handlers()[row.id](message, values)
        except (Refusal, Fault) as no:
            return _reply(200, self._envelope(row, no.code, no.message))
        return _reply(200, self._envelope(row, 0, "success", data))

    def _envelope(self, row: Operation, code: int, message: str, data: Any = None) -> dict[str, Any]:
        envelope: dict[str, Any] = {"Code": str(code) if row.code_as_string else code, "Message": message}
        if data is not None:
            envelope["Data"] = data
        return self.dressed(row, {**envelope, row.request_id_key: str(uuid.uuid4())})

    def _routed(self, method: str, path: str, body: bytes) -> tuple[Operation | None, dict[str, str]]:
        for route in self._routes:
            found = route.pattern.fullmatch(path) if route.method == method else None
            if found is not None and _meant(route.operation, body):
                return route.operation, {name: unquote(text) for name, text in found.groupdict().items()}
        return None, {}


def routes_of(row: Operation, face: str, prefix: str) -> Iterable[Route]:
    """A row's method and address, and its aliases; `prefix` stands in the place of the face's own."""
    own = f"/{face.upper()}"
    for method, uri in ((row.method, row.uri), *row.aliases):
        parts = _PLACE.split(prefix.rstrip("/") + uri.removeprefix(own))
        spelled = [f"(?P<{part}>[^/:]+)" if at % 2 else re.escape(part) for at, part in enumerate(parts)]
        yield Route(method, re.compile("".join(spelled)), row)


def _meant(row: Operation, body: bytes) -> bool:
    """Whether a body belongs to this row of two on one address."""
    if row.when_body_has is None:
        return True
    member, there = row.when_body_has
    try:
        value = json.loads(body or b"{}")
    except ValueError:
        value = {}
    return (isinstance(value, dict) and value.get(member) is not None) == there


def _waited(seconds: float | None, over: threading.Event) -> bool:
    """Wait; True when the end of the server came first."""
    return seconds is not None and over.wait(min(seconds, HANGING_SECONDS))


def _reply(status: int, envelope: dict[str, Any]) -> Reply:
    raw = json.dumps(envelope, ensure_ascii=False).encode()
    return Reply(status, raw, {"Content-Type": JSON_TYPE})


# --- the server --------------------------------------------------------------------------------------


def _bound(host: str, port: int) -> socket.socket:
    """A socket that holds the port without listening: nobody else gets it, and callers are refused."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = HANGING_SECONDS
    server: _Server

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        reply = self.server.received(self.command, self.path, self.headers, body, self.server.over)
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = do_DELETE = _any

    def log_message(self, format: str, *args: Any) -> None:
        return


class _Server(ThreadingHTTPServer):
    """One life of a facility: from listening to the end of its last thread."""

    daemon_threads = False
    request_queue_size = 128

    def __init__(self, host: str, port: int, received: Callable[..., Reply | None]) -> None:
        self.received = received
        self.over = threading.Event()
        self._lines: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__((host, port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), name=f"fake-{port}")
        self._thread.start()

    def end(self) -> None:
        self.over.set()
        self.shutdown()
        self._thread.join(HANGING_SECONDS)
        with self._lock:
            for line in self._lines:
                _hang_up(line)
        self.server_close()

    def get_request(self) -> tuple[socket.socket, Any]:
        line, address = super().get_request()
        with self._lock:
            self._lines.add(line)
        return line, address

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._lines.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is no news; anything else is a fault of the fake and is shown."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def _hang_up(line: socket.socket) -> None:
    try:
        line.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
