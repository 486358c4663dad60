"""One connection, and the socket that accepts them: Waitress' own, with streaming, lingering and limits."""

from __future__ import annotations

import functools
import heapq
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.server import TcpWSGIServer

from acsmpd import faults
from acsmpd.api.guard import UNPROVEN_CAP, Guard
from acsmpd.api.server_parser import GuardedParser
from acsmpd.api.server_tasks import RefusalTask, RequestTask
from acsmpd.clock import Clock, Moment

LINGER_SECONDS = 1.0
DRAINED_BYTES = 64 * 1024
"""How much of an unwanted body is read away so that the sender sees the answer."""
HEADER_READ_BYTES = 16 * 1024
BODY_READ_BYTES = 64 * 1024
STREAM_READ_BYTES = 256 * 1024
SEND_BYTES = 128 * 1024
"""Read of a file for one send. The base reads as much as the socket's whole buffer, 4 MB on a fast line, and a
slow client takes a few KB of that: twenty of them held everybody up."""
TURN_BYTES = 2 * SEND_BYTES
"""Sent on one line before the others have their turn."""
HEADER_PATIENCE_SECONDS = 10.0
"""From its first byte on a header gets so long: it costs its sender nothing and holds a connection."""
_BODY_PATIENCE = 10
_ACCEPTED_AT_ONCE = 64
_EVICTED_AT_ONCE = 16
_EVICTABLE_AFTER_SECONDS = 1.0


class Channel(HTTPChannel):  # type: ignore[misc]
    """One connection."""

    task_class = RequestTask
    error_task_class = RefusalTask
    will_close: Any
    sendbuf_len: int

    def __init__(self, server: Listener, sock: socket.socket, addr: Any, adj: Any, map: Any = None) -> None:
        self.parser_class = functools.partial(GuardedParser, channel=self)
        self._feeding: GuardedParser | None = None
        self._unread: int | None = None
        self._drained = 0
        self.lingers_until: float | None = None
        self._clock, self._active = server.clock, 0.0
        super().__init__(server, sock, addr, adj, map=map)
        self.sendbuf_len = min(self.sendbuf_len, SEND_BYTES)
        self._turn_left = 0

    @property
    def last_activity(self) -> float:
        """Monotonic: the base notes the wall clock, by which setting it would cut every line or none."""
        return self._active

    @last_activity.setter
    def last_activity(self, _wall: float) -> None:
        self._active = self._clock.now().mono

    def readable(self) -> bool:
        if self.lingers_until is not None:
            return self._drained < DRAINED_BYTES and not self.will_close
        if self._feeding is not None and self._feeding.stream is not None:
            return self._feeding.stream.wants_more and not (self.will_close or self.close_when_flushed)
        return bool(super().readable())

    def recv(self, buffer_size: int) -> bytes:
        """A little of what may be refused, much of what is awaited."""
        if self._feeding is not None:
            buffer_size = STREAM_READ_BYTES
        elif self.lingers_until is not None:
            buffer_size = max(1, min(buffer_size, DRAINED_BYTES - self._drained))
        elif self.request is not None and self.request.cap > UNPROVEN_CAP:
            buffer_size = BODY_READ_BYTES
        data: bytes = super().recv(buffer_size)
        return data

    def received(self, data: bytes) -> bool:
        """See the base; what is being streamed goes past the parser of the next request."""
        if self.lingers_until is not None:
            self._drained += len(data)
            return True
        if self._feeding is not None:
            data = data[self._feeding.feed(data) :]
            self._forget_whole_stream()
            if not data:
                return True
        return bool(super().received(data))

    def begin_streaming(self, request: GuardedParser) -> None:
        """The body of this request is read on while the application works on it."""
        self._feeding = request
        self._forget_whole_stream()

    def _forget_whole_stream(self) -> None:
        if self._feeding is not None and self._feeding.stream is not None and self._feeding.stream.is_whole:
            self._feeding = None

    def inviter(self, is_wanted: bool) -> Callable[[], None]:
        """What tells a waiting sender once, from the application's thread, to go on (100-continue)."""
        due = [b"HTTP/1.1 100 Continue\r\n\r\n"] if is_wanted else []

        def invite() -> None:
            if due:
                try:
                    self.write_soon(due.pop())
                except ClientDisconnected as error:
                    raise gone() from error

        return invite

    def expect_unread(self, taken: int) -> None:
        """The answer under way leaves a body unread, of which so much was taken: close gently."""
        self._unread = taken

    def _flush_some(self, do_close: bool = True) -> bool:
        """See the base, for one turn: who reads as fast as we send would keep the server's thread to the end."""
        self._turn_left = TURN_BYTES
        return bool(super()._flush_some(do_close=do_close))

    def send(self, data: bytes, do_close: bool = True) -> int:
        """See the base; 0, as if the line were full, when this turn is used up."""
        if self._turn_left <= 0:
            return 0
        sent: int = super().send(data, do_close=do_close)
        self._turn_left -= sent
        return sent

    def handle_write(self) -> None:
        """See the base. After an answer to an unread body the sender gets time to see it."""
        if self._unread is None or not self.close_when_flushed or self.will_close:
            super().handle_write()
            return
        self._flush_exception(self._flush_some)
        if self.will_close:
            self.handle_close()
        elif self.connected and not self.total_outbufs_len:
            self._linger(self._unread)

    def _linger(self, taken: int) -> None:
        """Say that no more comes from us; closing now would reset the line before the answer is read."""
        self._drained = taken
        self.lingers_until = self.server.clock.now().mono + LINGER_SECONDS
        self.close_when_flushed = False
        self.server.lingering.add(self)
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.will_close = True

    def handle_close(self) -> None:
        self.abort(gone())
        if self.request is not None:
            self.request.close()
        super().handle_close()

    def abort(self, fault: faults.Fault) -> None:
        """No more of the streamed body will come."""
        if self._feeding is not None and self._feeding.stream is not None:
            self._feeding.stream.abort(fault)

    def cancel(self) -> None:
        for request in self.requests:
            request.close()
        super().cancel()

    def del_channel(self, map: Any = None) -> None:
        self.server.lingering.discard(self)
        super().del_channel(map)

    @property
    def is_idle(self) -> bool:
        """Nothing asked, nothing being answered."""
        return not (
            self.requests or self.total_outbufs_len or self.close_when_flushed or self._unread is not None
        )

    def is_late(self, now: Moment) -> bool:
        """Whether the header or body under way takes longer than its sender is trusted with."""
        if self.request is None or self.requests:
            return False
        patience: float = self.server.silence_seconds
        if not self.request.headers_finished:
            patience = min(patience, HEADER_PATIENCE_SECONDS)
        elif self.request.cap > UNPROVEN_CAP:
            patience *= _BODY_PATIENCE
        return bool(now.mono - self.request.started > patience)

    def gives_way(self, now: Moment) -> tuple[int, float] | None:
        """Its place among those that make room for others, the smallest first; None: not this one.

        Unfinished headers, then bodies of senders who have shown no token, then who asks nothing.
        """
        request = self.request
        if self.will_close or not self.is_idle:
            return None
        if request is None:
            quiet = now.mono - self.last_activity
            return (2, -quiet) if quiet > _EVICTABLE_AFTER_SECONDS else None
        age = now.mono - request.started
        if not request.headers_finished:
            return 0, -age
        is_unproven = request.cap <= UNPROVEN_CAP and age > _EVICTABLE_AFTER_SECONDS
        return (1, -age) if is_unproven else None


def gone() -> faults.Fault:
    return faults.InvalidField("cannot read the body: the sender has gone before its end")


class Listener(TcpWSGIServer):  # type: ignore[misc]
    """The listening socket and its connections; everything here runs in the server's own thread."""

    channel_class = Channel
    socket: Any

    def __init__(
        self, application: Any, sock: socket.socket, *, adj: Any, dispatcher: Any, guard: Guard, spool: Path,
        clock: Clock, streams: int,
    ) -> None:  # fmt: skip
        self.guard, self.spool, self.clock = guard, spool, clock
        self.silence_seconds = float(adj.channel_timeout)
        self.stream_slots = threading.BoundedSemaphore(streams)
        self.lingering: set[Channel] = set()
        self.is_stopping = False
        self._is_closed = False
        self.next_channel_cleanup = float("inf")  # the base's own period goes by the wall clock
        self._next_maintenance = 0.0
        sockinfo = (sock.family, sock.type, sock.proto, sock.getsockname())
        super().__init__(
            application, {}, True, sock, dispatcher=dispatcher, adj=adj, sockinfo=sockinfo, bind_socket=False
        )

    def fix_addr(self, addr: Any) -> Any:
        """An IPv4 peer of an IPv6 socket is shown by its IPv4 address."""
        host: str = addr[0]
        return (host.removeprefix("::ffff:"), *addr[1:]) if "." in host else addr

    def readable(self) -> bool:
        now = self.clock.now()
        if now.mono >= self._next_maintenance:
            self._next_maintenance = now.mono + self.adj.cleanup_interval
            self.maintenance(now.mono)
        if self.accepting and len(self._map) >= self.adj.connection_limit:
            self._make_room()
        return bool(super().readable())

    def handle_accept(self) -> None:
        """See the base, for many at once: a turn with thousands of connections takes its time."""
        for _ in range(_ACCEPTED_AT_ONCE):
            before = len(self._map)
            super().handle_accept()
            if not before < len(self._map) < self.adj.connection_limit:
                return

    def _make_room(self) -> None:
        """Close those that are worth least: who holds connections open must not lock others out."""
        now = self.clock.now()
        places = [(channel.gives_way(now), fd) for fd, channel in self.active_channels.items()]
        for _, fd in heapq.nsmallest(_EVICTED_AT_ONCE, ((place, fd) for place, fd in places if place)):
            self.active_channels[fd].will_close = True

    def maintenance(self, now: float) -> None:
        """See the base, by monotonic seconds; a header or body that dribbles in without end is cut off too."""
        super().maintenance(now)
        moment = self.clock.now()
        for channel in self.active_channels.values():
            channel.will_close = channel.will_close or channel.is_late(moment)

    def end_lingering(self) -> None:
        """Close what has lingered long enough."""
        if not self.lingering:
            return
        now = self.clock.now().mono
        for channel in list(self.lingering):
            if channel.lingers_until is not None and channel.lingers_until <= now:
                channel.handle_close()

    def stop_accepting(self) -> None:
        """From now on no new connection, and no second request on one."""
        self.is_stopping = True
        self.accepting = False
        self.del_channel()
        self.socket.close()
        self.socket = None

    def close_idle(self) -> bool:
        """While stopping: close what waits for nothing; True when nothing is left."""
        for channel in list(self.active_channels.values()):
            if channel.is_idle:
                channel.handle_close()
        return not self.active_channels

    def abort_streams(self) -> None:
        for channel in list(self.active_channels.values()):
            channel.abort(faults.NoAnswerInTime("cannot read the body to its end: the server is stopping"))

    def close_all(self) -> None:
        """Every socket."""
        self._is_closed = True
        for channel in list(self.active_channels.values()):
            channel.handle_close()
        self.close()

    def pull_trigger(self) -> None:
        """Wake the server's thread; a late thread of a closed server wakes nobody."""
        if not self._is_closed:
            super().pull_trigger()
