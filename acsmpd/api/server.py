"""The HTTP server: Waitress, with a guard before every body (field lessons R42 and R43)."""

from __future__ import annotations

import errno
import logging
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from waitress import wasyncore
from waitress.adjustments import Adjustments

from acsmpd import faults
from acsmpd.api.guard import Guard
from acsmpd.api.server_channel import HEADER_PATIENCE_SECONDS, HEADER_READ_BYTES, Listener
from acsmpd.api.server_tasks import Threads
from acsmpd.clock import Clock
from acsmpd.settings.sections import Server

log = logging.getLogger(__name__)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

MAX_HEADER_BYTES = 32 * 1024
RESERVED_DESCRIPTORS = 512
"""Descriptors left for everything that is not a connection."""
_NO_LIMIT = 2**62  # the guard knows each row's own
_TURN_SECONDS, _LINGERING_TURN_SECONDS, _STOPPING_TURN_SECONDS = 1.0, 0.1, 0.02
_ANSWER_HELD_BYTES = 16 * 1024 * 1024
_LAST_SECONDS = 1.0


class HttpServer:
    """Serves one WSGI application from its own threads, between start and stop."""

    def __init__(
        self,
        app: Application,
        settings: Server,
        guard: Guard,
        temporary: Path,
        clock: Clock | None = None,
    ) -> None:
        self._app, self._settings, self._guard = app, settings, guard
        self._temporary, self._clock = temporary, clock or Clock()
        self._threads = Threads()
        self._over, self._emptied = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="http")
        self._listener: Listener | None = None
        self._host, self._port = settings.host, 0

    @property
    def host(self) -> str:
        """The address listened on: after start the one a name was resolved to."""
        return self._host

    @property
    def port(self) -> int:
        """The port listened on; after start only."""
        return self._port

    @property
    def is_alive(self) -> bool:
        """Whether the server's thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Listen, then return. Raises Conflict naming a taken address, Internal for an unusable one."""
        sock = _listening(self._settings.host, self._settings.port)
        self._host, self._port = sock.getsockname()[:2]
        # Its warning of queued requests comes with every request under load and tells nobody what to do.
        logging.getLogger("waitress.queue").setLevel(logging.ERROR)
        self._temporary.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._threads.set_thread_count(self._settings.threads)
        self._listener = Listener(
            self._app,
            sock,
            adj=_adjustments(self._settings, sock),
            dispatcher=self._threads,
            guard=self._guard,
            spool=self._temporary,
            clock=self._clock,
            streams=max(1, self._settings.threads // 4),
        )
        self._thread.start()

    def stop(self, deadline_seconds: float = 10.0) -> None:
        """Accept nothing more, let running requests end, close everything."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.trigger.pull_trigger(listener.stop_accepting)
        if self._thread.is_alive() and not self._emptied.wait(deadline_seconds):
            listener.trigger.pull_trigger(listener.abort_streams)
        if not self._threads.end(_LAST_SECONDS):
            log.warning("requests were still running %.0f s after the server was to stop", deadline_seconds)
        self._over.set()
        listener.pull_trigger()
        self._thread.join()
        listener.close_all()

    def _run(self) -> None:
        listener = self._listener
        assert listener is not None  # noqa: S101
        while not self._over.is_set():
            pause = _LINGERING_TURN_SECONDS if listener.lingering else _TURN_SECONDS
            wasyncore.poll2(_STOPPING_TURN_SECONDS if listener.is_stopping else pause, listener._map)
            listener.end_lingering()
            if listener.is_stopping and listener.close_idle():
                self._emptied.set()


def _adjustments(settings: Server, sock: socket.socket) -> Adjustments:
    return Adjustments(
        sockets=[sock],
        threads=settings.threads,
        connection_limit=_connections(settings.connection_limit),
        channel_timeout=settings.channel_timeout_seconds,
        cleanup_interval=max(1, int(min(settings.channel_timeout_seconds, HEADER_PATIENCE_SECONDS)) // 4),
        backlog=settings.backlog,
        asyncore_use_poll=True,
        clear_untrusted_proxy_headers=True,
        ident="",
        expose_tracebacks=False,
        log_socket_errors=False,
        recv_bytes=HEADER_READ_BYTES,
        max_request_header_size=MAX_HEADER_BYTES,
        max_request_body_size=_NO_LIMIT,
        outbuf_overflow=_ANSWER_HELD_BYTES,
        outbuf_high_watermark=_ANSWER_HELD_BYTES,
    )


def _listening(host: str, port: int) -> socket.socket:
    """A bound socket. IPv4 first where a name has both."""
    where = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise faults.Internal(f"cannot listen on {where}: {error.strerror}") from error
    family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        reason = os.strerror(error.errno or 0)
        if error.errno == errno.EADDRINUSE:
            raise faults.Conflict(f"cannot listen on {where}: {reason}") from error
        raise faults.Internal(f"cannot listen on {where}: {reason}") from error
    return sock


def _connections(wanted: int) -> int:
    """As many connections as wanted, if the file limit, raised as far as it goes, allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + RESERVED_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    possible = max(soft - RESERVED_DESCRIPTORS, soft // 2)
    log.warning("the file limit of %d allows %d connections, not %d", soft, possible, wanted)
    return possible
