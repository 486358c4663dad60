"""A line between two processes that a test can cut: a small TCP proxy on a port of its own.

`refuse` closes the port and resets what is open, as a machine does that is there while its daemon is not; `hole` takes
connections and bytes and lets nothing through, as a dead link does; `delay` makes every block late; `cut_answers` cuts
the next answers in the middle; `heal` makes it whole again.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator

HOST = "127.0.0.1"
BLOCK = 65536


class ThinLine:
    """From `port` to whatever address `target` names at that moment."""

    def __init__(self, target: Callable[[], tuple[str, int]]) -> None:
        self._target, self._lock = target, threading.Lock()
        self._flows = threading.Event()
        self._open: set[socket.socket] = set()
        self._closed = False
        self._late, self._over = 0.0, threading.Event()
        self._cuts: list[int] = []
        self._listener = self._listen(0)
        self.port = int(self._listener.getsockname()[1])
        self._flows.set()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen(64)
        threading.Thread(target=self._serve, args=(listener,), daemon=True).start()
        return listener

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return  # closed: nobody is taken any more
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with self._lock:
            self._open.add(near)
        self._flows.wait()
        with self._lock:
            is_cut = near not in self._open
        try:
            if is_cut:
                raise ConnectionError("it was cut before it led anywhere")
            far = socket.create_connection(self._target(), timeout=10)
        except OSError:
            _reset(near)
            return
        far.settimeout(None)
        with self._lock:
            self._open.add(far)
        back = threading.Thread(target=self._pump, args=(far, near), kwargs={"answers": True}, daemon=True)
        back.start()
        self._pump(near, far)
        back.join()
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _pump(self, source: socket.socket, sink: socket.socket, *, answers: bool = False) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(BLOCK):
                self._over.wait(self._late)
                self._flows.wait()
                cut = self._next_cut() if answers else None
                if cut is not None:
                    sink.sendall(block[:cut])
                    sink.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    sink.shutdown(socket.SHUT_RDWR)
                    return
                sink.sendall(block)
            sink.shutdown(socket.SHUT_WR)

    def _next_cut(self) -> int | None:
        with self._lock:
            return self._cuts.pop(0) if self._cuts else None

    # --- what a test does to it ------------------------------------------------------------------------

    def hole(self) -> None:
        """Bytes go in and nothing comes out."""
        self._flows.clear()

    def refuse(self) -> None:
        """Nobody listens any more, and what was open is reset."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()
        self._closed = True
        self._flows.set()

    def delay(self, seconds: float) -> None:
        """Every block, each way, comes so much later."""
        self._late = seconds

    def cut_answers(self, number: int, after_bytes: int) -> None:
        """The next so many answers are reset after so many bytes."""
        with self._lock:
            self._cuts = [after_bytes] * number

    @property
    def cuts_left(self) -> int:
        with self._lock:
            return len(self._cuts)

    def heal(self) -> None:
        self._late = 0.0
        self.cut_answers(0, 0)
        if self._closed:
            self._listener = self._listen(self.port)
            self._closed = False
        self._flows.set()

    def close(self) -> None:
        self._over.set()
        if not self._closed:
            self.refuse()


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


@contextlib.contextmanager
def thin_line(target: Callable[[], tuple[str, int]]) -> Iterator[ThinLine]:
    line = ThinLine(target)
    try:
        yield line
    finally:
        line.close()
