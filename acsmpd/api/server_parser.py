"""Waitress' request parser with the guard between header and body."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from waitress.parser import HTTPRequestParser, ParsingError
from waitress.utilities import BadRequest, Error, RequestHeaderFieldsTooLarge, ServerNotImplemented

from acsmpd import faults
from acsmpd.api.guard import Head, Keep, Verdict
from acsmpd.api.server_body import BodyStream, HeldBody
from acsmpd.durable import disk_fault
from acsmpd.spec.operation import Operation

if TYPE_CHECKING:
    from acsmpd.api.server_channel import Channel

_FRAMING_BYTES = 64 * 1024
_CONTROL_LINE_BYTES, _TRAILER_BYTES = 1024, 16 * 1024
_BUSY_SECONDS = 5


class Refused(Error):  # type: ignore[misc]
    """An answer already known: this request never reaches the application."""

    def __init__(self, fault: faults.Fault, row: Operation | None) -> None:
        super().__init__(fault.message)
        self.fault, self.row = fault, row


def fault_of(error: Any) -> faults.Fault:
    """What Waitress found wrong with a request, as one of our faults."""
    if isinstance(error, Refused):
        return error.fault
    if isinstance(error, RequestHeaderFieldsTooLarge):
        return faults.TooLarge(f"the request's header is too large: {error.body}")
    if isinstance(error, ServerNotImplemented):
        return faults.NotSupported(f"cannot read the request: {error.body}")
    if isinstance(error, BadRequest):
        return faults.MalformedJson(f"cannot read the request: {error.body}"[:300])
    return faults.Internal("something unforeseen went wrong; the log has it")


def shown(path: str) -> str:
    """What of a path may stand in a log line: a longer one may hold a signed link."""
    return "/".join(path.split("/")[:3])


class GuardedParser(HTTPRequestParser):  # type: ignore[misc]
    """One request. Its body is taken only as the guard's verdict says, and counted as it arrives."""

    path = ""  # the base sets it only when the first line can be read
    error: Any
    body_rcv: Any
    completed: Any

    def __init__(self, adj: Any, channel: Channel) -> None:
        super().__init__(adj)
        self._channel = channel
        self._verdict = Verdict()
        self._holds_slot = False
        self.started = channel.server.clock.now().mono
        self.stream: BodyStream | None = None
        self.taken = 0  # bytes of a refused body

    def received(self, data: bytes) -> int:
        """See the base; a refused request swallows what came with it."""
        used = 0
        try:
            used = super().received(data)
            if self.completed and self._held is not None and self.error is None:
                self._held.complete()
        except OSError as error:
            self._refuse(disk_fault("take the body into the data directory", error))
        if self.error is None and self.stream is not None:
            used += self.feed(data[used:])
            self._channel.begin_streaming(self)
            self.completed = True  # for the channel: the application starts now
        elif self.error is None and self.body_rcv is not None:
            self._check(self._excess())
        if self.error is None:
            return used
        self.expect_continue, self.completed = False, True
        self.path = shown(self.path)
        self.taken = self.body_bytes_received + len(data) - used
        return len(data)

    def parse_header(self, header_plus: bytes) -> None:
        """See the base; then what it lets pass though it can be read in two ways; then the guard."""
        try:
            super().parse_header(header_plus)
        except ValueError as error:
            raise ParsingError("the header holds a value that is none") from error
        if self.version != "1.1" and "TRANSFER_ENCODING" in self.headers:
            raise ParsingError("Transfer-Encoding needs HTTP/1.1")
        if self.chunked and "CONTENT_LENGTH" in self.headers:
            raise ParsingError("both Content-Length and Transfer-Encoding are given")
        if self.body_rcv is None:
            self.expect_continue = False
        else:
            self._judge()

    def feed(self, data: bytes) -> int:
        """Hand bytes on to the reading application; tells how many belonged to this body."""
        stream, receiver = self.stream, self.body_rcv
        assert stream is not None  # noqa: S101
        if not data:
            return 0
        used: int = receiver.received(data)
        self.body_bytes_received += used
        fault = fault_of(receiver.error) if receiver.error is not None else self._excess()
        if fault is not None:
            stream.abort(fault)
            return len(data)
        if receiver.completed:
            stream.end()
        return used

    def free_slot(self) -> None:
        """The answer begins: another upload may take this one's place."""
        if self._holds_slot:
            self._holds_slot = False
            self._channel.server.stream_slots.release()

    def close(self) -> None:
        """The request has been answered, or never will be."""
        self.free_slot()
        super().close()

    @property
    def cap(self) -> int:
        """How much of a body is taken."""
        return self._verdict.cap

    @property
    def _held(self) -> HeldBody | None:
        buffer = self.body_rcv.getbuf() if self.body_rcv is not None else None
        return buffer if isinstance(buffer, HeldBody) else None

    def _judge(self) -> None:
        verdict = self._channel.server.guard.judge(self._head())
        self._verdict = verdict
        fault = verdict.fault
        if fault is None and verdict.keep is Keep.STREAM:
            fault = self._open_stream()
        if fault is not None:
            self._refuse(fault)
        elif self.stream is None:
            spool: Path | None = self._channel.server.spool if verdict.keep is Keep.SPOOL else None
            self.body_rcv.buf = HeldBody(spool)

    def _open_stream(self) -> faults.Fault | None:
        server = self._channel.server
        if not server.stream_slots.acquire(blocking=False):
            return faults.SlowDown(
                "as many uploads as there may be are under way", retry_after_seconds=_BUSY_SECONDS
            )
        self._holds_slot = True
        self.stream = BodyStream(
            server.silence_seconds, server.pull_trigger, self._channel.inviter(self.expect_continue)
        )
        self.expect_continue = False  # the application's first read invites, a refusal by it does not
        self.body_rcv.buf = self.stream
        return None

    def _refuse(self, fault: faults.Fault) -> None:
        if self._held is not None:
            self._held.close()
        self.error, self.body_rcv = Refused(fault, self._verdict.row), None

    def _check(self, fault: faults.Fault | None) -> None:
        if fault is not None:
            self._refuse(fault)

    def _excess(self) -> faults.Fault | None:
        """What is too much of the body so far, chunk lines and trailer included."""
        receiver, cap = self.body_rcv, self._verdict.cap
        if receiver.getbuf().received > cap:
            return faults.TooLarge(f"the body has more than the {cap} bytes this row takes")
        if not self.chunked:
            return None
        if self.body_bytes_received > 2 * cap + _FRAMING_BYTES:
            return faults.TooLarge(f"the body's chunks take more than twice the {cap} bytes this row takes")
        if len(receiver.control_line) > _CONTROL_LINE_BYTES or len(receiver.trailer) > _TRAILER_BYTES:
            return faults.MalformedJson("cannot read the request: a chunk's header or the trailer has no end")
        return None

    def _head(self) -> Head:
        path = self.path.encode("latin-1").decode("utf-8", "replace")
        headers = {name.replace("_", "-").lower(): value for name, value in self.headers.items()}
        length = None if self.chunked else self.content_length
        slashed = "/" + path.lstrip("/")  # as the application will see it
        return Head(self.command, self.request_uri, slashed, headers, length, self._channel.addr[0])
