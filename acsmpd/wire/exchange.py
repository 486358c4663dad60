"""One outgoing request's budget: where it may go, how long it may take, and whether a byte of it left.

Time limits between bytes do not bound an answer that drips, and a look at the exception does not tell
whether a request went out. Both are settled where the bytes pass: in the socket.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

from acsmpd.clock import Clock
from acsmpd.faults import NotAllowed

T = TypeVar("T")

_SLICE_SECONDS = 0.5  # how long a cancel may go unnoticed
_SEND_BYTES = 65536
_MOST_ADDRESSES = 8


class Policy(Protocol):
    """What wire asks of the egress policy (acsmpd.security.egress). Both raise faults.NotAllowed."""

    def judge(self, address: str, port: int, host: str) -> None: ...
    def judge_url(self, url: str) -> object: ...


class Resolver(Protocol):
    """socket.getaddrinfo, or a stand-in for it."""

    def __call__(self, host: str, port: int, *, type: int) -> list[Any]: ...


class Cancelled(Exception):
    """The caller wants this exchange no more."""


class LineBroken(Exception):
    """No HTTP answer, or not all of it. `sent`: whether any byte of the request left this box."""

    def __init__(self, reason: str, *, sent: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sent = sent


class Limits(NamedTuple):
    """How long an exchange may take: to connect, between two bytes, and altogether."""

    connect_seconds: float
    stall_seconds: float
    total_seconds: float


def never() -> bool:
    """The `cancelled` of an exchange that nobody cancels."""
    return False


class Exchange:
    """The budget of one request and its answer. `policy` None: an engine of our own, nobody is asked."""

    def __init__(
        self,
        clock: Clock,
        limits: Limits,
        *,
        policy: Policy | None,
        resolver: Resolver,
        cancelled: Callable[[], bool] = never,
    ) -> None:
        self.limits = limits
        self.sent = False
        self.timed_out = False
        self._clock = clock
        self._policy = policy
        self._resolver = resolver
        self._cancelled = cancelled
        self._deadline = self._mono() + limits.total_seconds

    @contextmanager
    def current(self) -> Iterator[None]:
        """Within this block the sockets of this thread answer to this exchange."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def connect(self, host: str, port: int) -> socket.socket:
        """Resolve once, judge every address, connect to one that was judged good."""
        until = self._mono() + self.limits.connect_seconds
        trouble = f"the name {host} has no address"
        judged = self._judged(host, port)
        for place, (family, address) in enumerate(judged):
            sock = _PatientSocket(family, socket.SOCK_STREAM)
            try:
                self._connect(sock, address, (until - self._mono()) / (len(judged) - place))
            except OSError as refused:
                sock.close()
                trouble = _words(refused)
            except BaseException:
                sock.close()
                raise
            else:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return sock
        raise LineBroken(trouble, sent=False)

    def patiently(self, sock: socket.socket, seconds: float, action: Callable[[], T]) -> T:
        """The action's value; TimeoutError after `seconds` or at the deadline, Cancelled within a slice."""
        until = self._mono() + seconds
        while True:
            sock.settimeout(min(self._left(until), _SLICE_SECONDS))
            try:
                return action()
            except TimeoutError:
                continue

    def _mono(self) -> float:
        return self._clock.now().mono

    def _left(self, until: float) -> float:
        if self._cancelled():
            raise Cancelled
        left = min(until, self._deadline) - self._mono()
        if left <= 0:
            self.timed_out = True
            raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
        return left

    def _judged(self, host: str, port: int) -> list[tuple[int, Any]]:
        """(family, socket address) of every address of the host that the policy lets pass."""
        try:
            found = self._resolver(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise LineBroken(f"the name {host} cannot be resolved", sent=False) from None
        passed: list[tuple[int, Any]] = []
        refusal: NotAllowed | None = None
        for family, _, _, _, address in found[:_MOST_ADDRESSES]:
            try:
                if self._policy is not None:
                    self._policy.judge(str(address[0]), port, host)
            except NotAllowed as refused:
                refusal = refusal or refused
            else:
                passed.append((family, address))
        if refusal is not None and not passed:
            raise refusal
        return passed

    def _connect(self, sock: socket.socket, address: Any, seconds: float) -> None:
        until = self._mono() + seconds
        sock.setblocking(False)
        failure = sock.connect_ex(address)
        if failure == errno.EINPROGRESS:
            ready = select.poll()
            ready.register(sock, select.POLLOUT)
            while not ready.poll(1000 * min(self._left(until), _SLICE_SECONDS)):
                continue
            failure = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure:
            raise OSError(failure, os.strerror(failure))
        sock.settimeout(seconds)


_current: ContextVar[Exchange] = ContextVar("acsmpd_exchange")


def current() -> Exchange:
    """The exchange this thread is in."""
    return _current.get()


def _words(failure: OSError) -> str:
    if isinstance(failure, TimeoutError) or failure.errno == errno.ETIMEDOUT:
        return "no connection in time"
    return (failure.strerror or "no connection").lower()


class _PatientSocket(socket.socket):
    """A socket whose reads and writes answer to the current exchange."""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        exchange = current()
        read = super().recv_into
        return exchange.patiently(self, exchange.limits.stall_seconds, lambda: read(buffer, nbytes, flags))

    def sendall(self, data: Any, flags: int = 0) -> None:
        _send_all(self, data, flags)


class PatientTlsSocket(ssl.SSLSocket):
    """The same over TLS; the handshake has the time of a connection."""

    def do_handshake(self, block: bool = False) -> None:
        exchange = current()
        shake = super().do_handshake
        try:
            exchange.patiently(self, exchange.limits.connect_seconds, lambda: shake(block))
        except Cancelled:
            self.close()  # the ssl module closes it for faults of its own only
            raise

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        exchange = current()
        read = super().recv_into
        return exchange.patiently(self, exchange.limits.stall_seconds, lambda: read(buffer, nbytes, flags))

    def sendall(self, data: Any, flags: int = 0) -> None:
        _send_all(self, data, flags)


def _send_all(sock: socket.socket, data: Any, flags: int) -> None:
    exchange = current()
    rest = memoryview(data).cast("B")
    exchange.sent = True
    while rest:
        write = partial(sock.send, rest[:_SEND_BYTES], flags)
        rest = rest[exchange.patiently(sock, exchange.limits.stall_seconds, write) :]
