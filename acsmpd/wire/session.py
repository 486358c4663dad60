"""HTTP sessions that go only where an exchange lets them: no redirects, no proxies, no netrc, no cookies.

Whatever the HTTP libraries raise becomes LineBroken, whose words hold no query and no header. Who uses this
module imports it with the first call that leaves: a box that calls nobody does without the 6 MB of requests.
"""

from __future__ import annotations

import http.client
import logging
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.ssl_ import create_urllib3_context

from acsmpd.faults import InvalidField
from acsmpd.wire.exchange import Exchange, LineBroken, PatientTlsSocket, current
from acsmpd.wire.target import Target

# The library's own lines, debug and warning alike, print whole addresses: signed links among them.
logging.getLogger("urllib3").setLevel(logging.CRITICAL)

_PIN = re.compile(r"[0-9a-f]{64}")
_LIBRARY_FAULTS = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,
)


class Session(requests.Session):
    """A session that never follows a redirect, and never reads a redirect's body to find out where to."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002
        return None


def open_session(where: Target, pin: str | None) -> Session:
    """A session to one origin. `pin`: the only certificate accepted there, by its SHA-256."""
    bare = pin.replace(":", "").strip().lower() if pin else None
    if bare is not None and not _PIN.fullmatch(bare):
        raise InvalidField(f"cannot call {where.name}: the certificate pin held for it is no SHA-256 in hex")
    session = Session()
    session.trust_env = False
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.verify = bare is None
    session.adapters.clear()
    session.mount(
        f"{where.scheme}://", _Adapter(_tls_context(bare) if where.scheme == "https" else None, bare)
    )
    return session


def send(
    session: Session,
    exchange: Exchange,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes | None = None,
) -> requests.Response:
    """Status and headers of the answer, its body unread. LineBroken, NotAllowed or Cancelled if none."""
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            raise InvalidField(
                f"cannot send the header {name}: its value holds characters no header may hold"
            )
    try:
        prepared = session.prepare_request(requests.Request(method, url, headers=dict(headers), data=body))
    except (requests.RequestException, ValueError):
        raise InvalidField("cannot use the address: it is no http or https address") from None
    limits = exchange.limits
    try:
        with exchange.current():
            return session.send(prepared, stream=True, timeout=(limits.connect_seconds, limits.stall_seconds))
    except _LIBRARY_FAULTS as broken:
        reason = _reason(broken, exchange)
    raise LineBroken(reason, sent=exchange.sent)


def read_block(response: requests.Response, exchange: Exchange, size: int) -> bytes:
    """What has arrived of the body, at most `size` bytes; b"" at its end. LineBroken if that is missing."""
    try:
        with exchange.current():
            return bytes(response.raw.read1(size, decode_content=False) or b"")
    except _LIBRARY_FAULTS as broken:
        reason = _reason(broken, exchange)
    raise LineBroken(reason, sent=True)


def _reason(broken: BaseException, exchange: Exchange) -> str:
    """Our words for what the libraries raised; theirs hold whole addresses."""
    if exchange.timed_out:
        return "no whole answer in time"
    if any(
        isinstance(part, (ConnectionError, urllib3.exceptions.IncompleteRead)) for part in _parts(broken, 6)
    ):
        return "the line was cut"
    return "what came back is no HTTP answer"


def _parts(broken: object, depth: int) -> Iterator[object]:
    yield broken
    if depth and isinstance(broken, BaseException):
        for part in (*broken.args, broken.__cause__):
            yield from _parts(part, depth - 1)


# --- the libraries' connections, made to connect through the exchange ---------------------------------


class _PlainConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return current().connect(self._dns_host, self.port)


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return current().connect(self._dns_host, self.port)

    def connect(self) -> None:
        try:
            super().connect()
        except (OSError, urllib3.exceptions.SSLError, ValueError) as failure:
            raise LineBroken(_tls_words(failure, current()), sent=False) from None


def _tls_words(failure: Exception, exchange: Exchange) -> str:
    if exchange.timed_out:
        return "no TLS handshake in time"
    if isinstance(failure, urllib3.exceptions.SSLError):
        return "its certificate is not the pinned one"
    if isinstance(failure, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {failure.verify_message}"
    return "no TLS handshake"


class _PlainPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _PlainConnection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def __init__(self, tls: ssl.SSLContext | None, pin: str | None) -> None:
        self._tls: dict[str, Any] = {"ssl_context": tls, "assert_fingerprint": pin} if tls else {}
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **extra: Any) -> None:
        self.poolmanager = urllib3.PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, **self._tls, **extra
        )
        self.poolmanager.pool_classes_by_scheme = {"http": _PlainPool, "https": _TlsPool}


def _tls_context(pin: str | None) -> ssl.SSLContext:
    """The system's certificates stand beside the library's bundle: a site may have its own authority."""
    context = create_urllib3_context(cert_reqs=ssl.CERT_NONE if pin else ssl.CERT_REQUIRED)
    context.sslsocket_class = PatientTlsSocket
    if not pin:
        context.load_default_certs()
    return context
