"""Where a request's body is while it arrives: held for the application, or on its way to it."""

from __future__ import annotations

import contextlib
import io
import tempfile
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from acsmpd import faults

IN_MEMORY_BYTES = 512 * 1024
"""A body that may be spooled is held in memory up to here."""
HELD_BYTES = 1024 * 1024
"""How much of a streamed body waits for the application; then the sender has to wait."""


class HeldBody:
    """A body the application gets whole: in memory, or from IN_MEMORY_BYTES on in a nameless file."""

    def __init__(self, spool: Path | None) -> None:
        self._file: IO[bytes] = (
            io.BytesIO()
            if spool is None
            else tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, dir=str(spool))  # noqa: SIM115
        )
        self._size = 0

    def __len__(self) -> int:
        return self._size

    @property
    def received(self) -> int:
        """How many bytes have come so far."""
        return self._size

    def append(self, data: bytes) -> None:
        """Take bytes; OSError when the disk is full. After close they go nowhere."""
        if not self._file.closed:
            self._file.write(data)
            self._size += len(data)

    def complete(self) -> None:
        """All is there: let a full disk show itself now, and be read from the beginning."""
        self._file.flush()
        self._file.seek(0)

    def getfile(self) -> IO[bytes]:
        return self._file

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()


class BodyStream(io.RawIOBase):
    """A body the application reads while it arrives: `wsgi.input` of a streamed row.

    The server's thread appends, one application thread reads. While HELD_BYTES wait, the server reads
    no further from the socket. A body that ends early, or silence, is a fault in the reader.
    """

    def __init__(
        self, silence_seconds: float, resume: Callable[[], None], invite: Callable[[], None]
    ) -> None:
        super().__init__()
        self._silence, self._resume, self._invite = silence_seconds, resume, invite
        self._changed = threading.Condition()
        self._pieces: deque[memoryview] = deque()
        self._held = self._received = 0
        self._ended = self._dropped = False
        self._fault: faults.Fault | None = None

    @property
    def received(self) -> int:
        """How many bytes have come so far."""
        return self._received

    @property
    def is_whole(self) -> bool:
        """Whether the sender has sent all of it, read or not."""
        return self._ended

    @property
    def wants_more(self) -> bool:
        return not (self._ended or self._dropped or self._fault) and self._held < HELD_BYTES

    def append(self, data: bytes) -> None:
        with self._changed:
            self._received += len(data)
            if data and not self._dropped:
                self._pieces.append(memoryview(data))
                self._held += len(data)
                self._changed.notify()

    def end(self) -> None:
        """The last byte has been appended."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def abort(self, fault: faults.Fault) -> None:
        """No more will come; the reader is told why, at once."""
        with self._changed:
            if not self._ended and self._fault is None:
                self._fault = fault
                self._changed.notify()

    def getfile(self) -> BodyStream:
        return self

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Some bytes, waiting for the first; 0 only at the end."""
        done = 0
        for piece in self._next(len(buffer)):
            buffer[done : done + len(piece)] = piece
            done += len(piece)
        return done

    def read(self, size: int | None = -1) -> bytes:
        """`size` bytes, fewer only at the end; all that is left when it is negative."""
        if size is None or size < 0:
            return self.readall()
        pieces: list[memoryview] = []
        while size > 0 and (more := self._next(size)):
            pieces += more
            size -= sum(map(len, more))
        return b"".join(pieces)

    def close(self) -> None:
        """Nobody reads any more: what is there and what still comes is dropped."""
        with self._changed:
            self._dropped = True
            self._pieces.clear()
            self._held = 0
        super().close()

    def _next(self, most: int) -> list[memoryview]:
        """What is there, up to `most` bytes, waiting for the first; nothing only at the end."""
        with self._changed:
            self._await_bytes()
            was_full = self._held >= HELD_BYTES
            taken = self._take(most)
            is_hungry = was_full and self._held < HELD_BYTES
        if is_hungry:
            self._resume()
        return taken

    def _await_bytes(self) -> None:
        if not self._pieces and not self._ended:
            self._invite()
        while not self._pieces and not self._ended:
            if self._fault is not None:
                raise self._fault
            if self._dropped:
                raise ValueError("cannot read the body: its request has been answered")
            if not self._changed.wait(self._silence):
                self._fault = faults.InvalidField(
                    f"cannot read the body: nothing came for {self._silence:g} s after {self._received} bytes"
                )

    def _take(self, most: int) -> list[memoryview]:
        taken: list[memoryview] = []
        while self._pieces and most > 0:
            piece = self._pieces.popleft()
            if len(piece) > most:
                self._pieces.appendleft(piece[most:])
                piece = piece[:most]
            taken.append(piece)
            self._held -= len(piece)
            most -= len(piece)
        return taken
