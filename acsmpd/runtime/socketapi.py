"""The REST interface of a container engine (Docker, or Podman's socket that speaks it) over its unix socket.

Standard library alone: what we ask for is a dozen calls, and the packaged clients cost memory at every start.
Nothing is asked by a version of the interface: each engine answers by its own newest one, and all we use is
in every one since 2017. Answers are bounded in size and in time, and judged by type before they are used.

Every fault names the socket. FacilityRefused (NotFound for 404, Conflict for 409, NoSpace for a full disk):
it did not happen. NoAnswerInTime: it may have happened.
"""

from __future__ import annotations

import http.client
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from acsmpd.clock import Clock
from acsmpd.faults import Conflict, FacilityRefused, Fault, NoAnswerInTime, NoSpace, NotFound

ANSWER_MAX_BYTES = 4 * 1024 * 1024
_LINE_MAX_BYTES = 64 * 1024
_SAID_MAX = 300
_FULL = ("no space left on device", "disk quota exceeded")
_T = TypeVar("_T")


class _Line(http.client.HTTPConnection):
    """One connection over a unix socket."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = str(path)

    def connect(self) -> None:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            line.settimeout(self.timeout)
            line.connect(self._path)
        except BaseException:
            line.close()
            raise
        self.sock = line


class SocketApi:
    """Calls to one engine. Each call is a connection of its own; any thread may call."""

    def __init__(self, path: Path, clock: Clock, seconds: float = 10.0) -> None:
        self.path, self._clock, self._seconds = path, clock, seconds

    def ask(
        self, method: str, path: str, body: Any = None, *, seconds: float | None = None, **query: str
    ) -> bytes:
        """The body of a successful answer."""
        raw = None if body is None else msgspec.json.encode(body)
        more = {"Content-Type": "application/json"} if raw is not None else {}
        with _Exchange(self, method, path, query, seconds or self._seconds) as exchange:
            exchange.send(raw, more)
            return exchange.whole()

    def get(self, kind: type[_T], path: str, *, seconds: float | None = None, **query: str) -> _T:
        """The answer to a GET as this type; what is no such thing is a FacilityRefused."""
        return self.read(kind, self.ask("GET", path, seconds=seconds, **query))

    def read(self, kind: type[_T], raw: bytes) -> _T:
        try:
            return msgspec.json.decode(raw, type=kind)
        except (msgspec.DecodeError, RecursionError) as error:
            raise FacilityRefused(f"cannot read what {self} answered: {str(error)[:_SAID_MAX]}") from error

    def blocks(self, path: str, *, seconds: float, **query: str) -> Iterator[bytes]:
        """The answer to a GET block by block, however long it is."""
        with _Exchange(self, "GET", path, query, seconds) as exchange:
            exchange.send(None, {})
            while block := exchange.block():
                yield block

    def told(
        self, path: str, content: Iterable[bytes] | None, *, seconds: float, **query: str
    ) -> Iterator[dict[str, Any]]:
        """POST what `content` gives; each thing the engine tells meanwhile. Its "error" is a FacilityRefused.

        Leaving the iterator early closes the connection, which makes the engine give up.
        """
        more = {"Content-Type": "application/x-tar"} if content is not None else {}
        with _Exchange(self, "POST", path, query, seconds) as exchange:
            exchange.send(content, more)
            for line in exchange.lines():
                one = self.read(dict[str, Any], line)
                if one.get("error"):
                    raise _refusal(f"{self} says: {str(one['error'])[:_SAID_MAX]}", 500)
                yield one

    def __str__(self) -> str:
        return f"the container engine at {self.path}"


class _Exchange:
    """One request and its answer, within one budget of time."""

    def __init__(
        self, api: SocketApi, method: str, path: str, query: Mapping[str, str], seconds: float
    ) -> None:
        self._api, self._method, self._clock = api, method, api._clock
        self._path = path + ("?" + urlencode(query) if query else "")
        self._until = self._clock.now().mono + seconds
        self._line = _Line(api.path, seconds)
        self._sent = False

    def __enter__(self) -> _Exchange:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._line.close()
        if isinstance(error, TimeoutError):
            raise self._open(f"no answer in time to {self._method} {self._path.partition('?')[0]}") from error
        if isinstance(error, (OSError, http.client.HTTPException)):
            raise self._open(str(error) or type(error).__name__) from error

    def _open(self, reason: str) -> Fault:
        """Asking changes nothing, so only a change that was sent may have happened."""
        kind = NoAnswerInTime if self._sent and self._method != "GET" else FacilityRefused
        return kind(f"cannot use {self._api}: {reason[:_SAID_MAX]}")

    def send(self, content: bytes | Iterable[bytes] | None, headers: dict[str, str]) -> None:
        self._line.connect()
        self._socket: socket.socket = self._line.sock
        self._sent = True
        chunked = content is not None and not isinstance(content, bytes)
        if chunked:
            headers = {**headers, "Transfer-Encoding": "chunked"}
        try:
            self._line.request(self._method, self._path, content, headers, encode_chunked=chunked)
        except (BrokenPipeError, ConnectionResetError):
            if not chunked:
                raise  # with a long body it may have said why before it hung up
        self._answer = self._line.getresponse()
        if not 200 <= self._answer.status < 300 and self._answer.status != 304:
            raise _refusal(self._said(), self._answer.status)

    def _said(self) -> str:
        raw = self.whole()
        try:
            said = str(msgspec.json.decode(raw)["message"])
        except (msgspec.DecodeError, KeyError, TypeError, RecursionError):
            said = f"HTTP status {self._answer.status}"
        return f"{self._api} refuses {self._method} {self._path.partition('?')[0]}: {said[:_SAID_MAX]}"

    def whole(self) -> bytes:
        """The whole answer; over ANSWER_MAX_BYTES it is a FacilityRefused."""
        found = bytearray()
        while block := self.block():
            found += block
            if len(found) > ANSWER_MAX_BYTES:
                raise FacilityRefused(f"cannot use what {self._api} answered: over {ANSWER_MAX_BYTES} bytes")
        return bytes(found)

    def lines(self) -> Iterator[bytes]:
        """The answer line by line, as it comes; empty ones are left out."""
        rest = b""
        while block := self.block():
            *whole, rest = (rest + block).split(b"\n")
            if len(rest) > _LINE_MAX_BYTES:
                raise FacilityRefused(f"cannot read what {self._api} answered: a line without end")
            yield from (line for line in whole if line.strip())
        if rest.strip():
            yield rest

    def block(self) -> bytes:
        """What has come, b"" at the end; TimeoutError when the budget is used up."""
        left = self._until - self._clock.now().mono
        if left <= 0:
            raise TimeoutError
        self._socket.settimeout(left)
        return self._answer.read1(65536)


def _refusal(text: str, status: int) -> Fault:
    if any(word in text.lower() for word in _FULL):
        return NoSpace(f"cannot go on: {text}")
    return {404: NotFound, 409: Conflict}.get(status, FacilityRefused)(text)


def is_socket(path: Path) -> bool:
    """Whether there is a socket here, as far as we may see."""
    try:
        return stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return False
