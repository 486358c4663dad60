"""One file fetched over a bad line: resumed, bounded in tries, time and size, cancelled within two seconds.

Every hop of a redirect is judged by the egress policy, and no credentials are ever sent.
What is written about a download names the host, never the address, whose query may be a signature.
"""

from __future__ import annotations

import re
import secrets
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urljoin

from acsmpd.clock import Clock
from acsmpd.faults import FacilityRefused, NoAnswerInTime, NotAllowed, TooLarge
from acsmpd.wire.caller import USER_AGENT
from acsmpd.wire.exchange import Cancelled, Exchange, LineBroken, Policy, Resolver
from acsmpd.wire.line import Line
from acsmpd.wire.target import Target, target

if TYPE_CHECKING:
    import requests

__all__ = ["Cancelled", "Downloaded", "Downloader", "Resume"]

_BLOCK_BYTES = 262_144
_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
_LATER = (408, 425, 429)
_WORTH_BYTES = 65_536  # a try that brought this much was no failure
_LONGEST_PAUSE_SECONDS = 60.0
_PAUSE_SLICE_SECONDS = 0.5
_CHANCE = secrets.SystemRandom()
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_UNSATISFIED = re.compile(r"bytes \*/(\d+)")


class Sink(Protocol):
    """Where the bytes go; its own failures (a full disk) pass through untouched."""

    def write(self, data: bytes, /) -> object: ...


class Resume(NamedTuple):
    """What an earlier download left in the sink, and the ETag it came under."""

    size: int
    etag: str


class Downloaded(NamedTuple):
    """What lies in the sink now. `etag` is "" when the source gave none that a resume could rely on."""

    size: int
    etag: str


class Orders(NamedTuple):
    """What one download was asked to keep to."""

    max_bytes: int
    deadline_seconds: float
    progress: Callable[[int, int | None], object]
    cancelled: Callable[[], bool]
    pause: Callable[[float], object]
    restart: Callable[[], object]
    judge_host: Callable[[str, int], object]
    pin: str | None
    tries: int
    trouble: Callable[[str, int], object]


class Downloader:
    """Fetches files. Safe from any thread; each download has sessions of its own.

    `chance` gives numbers from 0 to 1 for the length of a pause.
    """

    def __init__(
        self,
        policy: Policy,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        resolver: Resolver = socket.getaddrinfo,
        *,
        clock: Clock | None = None,
        chance: Callable[[], float] = _CHANCE.random,
    ) -> None:
        self.chance = chance
        self._line = Line(
            policy, connect_timeout_seconds=connect_timeout_seconds, resolver=resolver, clock=clock
        )
        self._stall_seconds = read_timeout_seconds

    def download(
        self,
        url: str,
        sink: Sink,
        *,
        max_bytes: int,
        deadline_seconds: float,
        progress: Callable[[int, int | None], object],
        cancelled: Callable[[], bool],
        pause: Callable[[float], object],
        restart: Callable[[], object],
        resume_from: Resume | None = None,
        judge_host: Callable[[str, int], object] = lambda _host, _port: None,
        pin: str | None = None,
        tries: int = 5,
        trouble: Callable[[str, int], object] = lambda _reason, _size: None,
    ) -> Downloaded:
        """Fetch the file into the sink.

        `restart` empties the sink (the source changed under us, or cannot resume). `pause` waits that many
        seconds and may return early (Event.wait). `judge_host` may refuse a hop's host with NotAllowed.
        `tries`: how many in a row may fail to bring another 64 KiB. `trouble` hears of each that failed, in
        words, and what is in the sink. Raises FacilityRefused, NoAnswerInTime,
        NotAllowed, InvalidField, TooLarge, Cancelled, and whatever the sink raises.
        """
        orders = Orders(
            max_bytes, deadline_seconds, progress, cancelled, pause, restart, judge_host, pin, tries, trouble
        )
        download = _Download(self._line, self._stall_seconds, target(url), sink, orders, resume_from)
        return download.run(self.chance)


class _Again(Exception):
    """This try is over, the next may do better."""

    def __init__(self, reason: str, after_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after_seconds = after_seconds


class _Download:
    """One download under way: what is in the sink, under which ETag, out of how much."""

    def __init__(
        self,
        line: Line,
        stall_seconds: float,
        first: Target,
        sink: Sink,
        orders: Orders,
        left: Resume | None,
    ) -> None:
        self._line = line
        self._stall_seconds = stall_seconds
        self._first = first
        self._sink = sink
        self._orders = orders
        self._size, self._etag = left or Resume(0, "")
        self._total: int | None = None
        self._furthest = self._size
        self._what = f"cannot download from {first.name}"
        self._until = line.clock.now().mono + orders.deadline_seconds

    def run(self, chance: Callable[[], float]) -> Downloaded:
        failed = 0
        while True:
            before = self._furthest
            try:
                self._once()
            except _Again as trouble:
                reason, after_seconds = trouble.reason, trouble.after_seconds
            else:
                return Downloaded(self._size, self._etag)
            failed = 0 if self._furthest - before >= _WORTH_BYTES else failed + 1
            if failed >= self._orders.tries:
                raise NoAnswerInTime(f"{self._what}: {reason} (given up after {failed} tries)")
            self._orders.trouble(
                f"{self._what}: {reason} ({failed} of {self._orders.tries} tries failed)", self._size
            )
            self._pause(max(after_seconds, chance() * _longest_pause(failed)))

    def _once(self) -> None:
        from acsmpd.wire.session import read_block

        exchange = self._line.exchange(self._stall_seconds, self._left(), cancelled=self._orders.cancelled)
        with ExitStack() as stack:
            try:
                response = self._open(exchange, stack)
                more = self._begin(response)
                while more and (block := read_block(response, exchange, _BLOCK_BYTES)):
                    self._write(block)
            except LineBroken as broken:
                raise _Again(broken.reason) from None
        if self._total is not None and self._size < self._total:
            raise _Again("the file came short")

    def _left(self) -> float:
        """Seconds until the deadline; NoAnswerInTime when there are none."""
        if self._orders.cancelled():
            raise Cancelled
        left = self._until - self._line.clock.now().mono
        if left <= 0:
            raise NoAnswerInTime(
                f"{self._what}: not whole within {self._orders.deadline_seconds:g} s, {self._size} bytes came"
            )
        return left

    def _pause(self, seconds: float) -> None:
        rest = min(seconds, _LONGEST_PAUSE_SECONDS)
        while rest > 0:
            self._orders.pause(min(rest, self._left(), _PAUSE_SLICE_SECONDS))
            rest -= _PAUSE_SLICE_SECONDS

    # --- asking ---

    def _open(self, exchange: Exchange, stack: ExitStack) -> requests.Response:
        """The answer of the last hop."""
        from acsmpd.wire.session import open_session, send

        where, hops = self._first, 0
        while True:
            self._line.judge(where)
            self._orders.judge_host(where.host, where.port)
            session = stack.enter_context(open_session(where, self._orders.pin if not hops else None))
            response = send(session, exchange, "GET", where.url, self._headers())
            stack.callback(response.close)
            if response.status_code not in _REDIRECTS:
                return response
            hops += 1
            if hops > _MOST_REDIRECTS:
                raise FacilityRefused(f"{self._what}: more than {_MOST_REDIRECTS} redirects")
            where = self._next(where, response)

    def _next(self, where: Target, response: requests.Response) -> Target:
        """Where a redirect leads. The header is UTF-8 that the library read as Latin-1."""
        location = response.headers.get("Location", "").encode("latin-1").decode("utf-8", "replace")
        if not location:
            raise FacilityRefused(f"{self._what}: a redirect that leads nowhere")
        try:
            onward = target(urljoin(where.url, location))
        except ValueError:
            raise FacilityRefused(f"{self._what}: a redirect to no usable address") from None
        if where.scheme == "https" and onward.scheme == "http":
            raise NotAllowed(f"{self._what}: the redirect from https to http://{onward.name} is not followed")
        return onward

    def _headers(self) -> dict[str, str]:
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": USER_AGENT}
        if self._size and self._etag:
            headers["Range"] = f"bytes={self._size}-"
            headers["If-Range"] = self._etag
        return headers

    # --- what came ---

    def _begin(self, response: requests.Response) -> bool:
        """Make the sink ready for this body, from where it starts. False: everything is here already."""
        status = response.status_code
        length = _length(response)
        if status == 200:
            self._start_over()
            self._etag, self._total = _strong_etag(response), length
        elif status == 206 and (self._size and self._etag):
            self._continue(response)
        elif status == 416 and self._size:
            self._judge_end(response)
        elif status >= 500 or status in _LATER:
            raise _Again(f"it answered HTTP {status}", _retry_after(response))
        else:
            raise FacilityRefused(f"{self._what}: it answered HTTP {status}")
        if self._total is not None and self._total > self._orders.max_bytes:
            raise self._too_large()
        return status != 416

    def _continue(self, response: requests.Response) -> None:
        part = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        total = int(part[2]) if part and part[2] != "*" else None
        same = _strong_etag(response) in ("", self._etag) and self._total in (None, total)
        if part is None or int(part[1]) != self._size or not same:
            self._start_over()
            raise _Again("it sent another part than it was asked for")
        self._total = total

    def _judge_end(self, response: requests.Response) -> None:
        """416: either everything is here already, or the file has become another one."""
        whole = _UNSATISFIED.fullmatch(response.headers.get("Content-Range", ""))
        if whole is None or int(whole[1]) != self._size:
            self._start_over()
            raise _Again("the file has changed while it was read")
        self._total = self._size

    def _start_over(self) -> None:
        if self._size:
            self._orders.restart()
        self._size, self._etag, self._total = 0, "", None

    def _write(self, block: bytes) -> None:
        if self._size + len(block) > self._orders.max_bytes:
            raise self._too_large()
        self._sink.write(block)
        self._size += len(block)
        self._furthest = max(self._furthest, self._size)
        self._orders.progress(self._size, self._total)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"{self._what}: the file is larger than {self._orders.max_bytes} bytes")


def _length(response: requests.Response) -> int | None:
    """What Content-Length announces; nothing when the body is framed otherwise."""
    text = response.headers.get("Content-Length", "")
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return int(text) if text.isascii() and text.isdigit() and not chunked else None


def _strong_etag(response: requests.Response) -> str:
    """The ETag, if a range request may rely on it: a weak one does not promise the same bytes."""
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') and tag.isascii() and tag.isprintable() and len(tag) <= 256 else ""


def _retry_after(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "").strip()
    return min(float(text), _LONGEST_PAUSE_SECONDS) if text.isascii() and text.isdigit() else 0.0


def _longest_pause(failed: int) -> float:
    """A time that doubles with each failure; the pause lies somewhere between nothing and that."""
    return min(2.0**failed, 30.0)
