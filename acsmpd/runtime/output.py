"""What engines print, kept in size-bounded files by one thread for all of them.

An engine that floods is slowed down by its own full pipe (a round every ROUND_SECONDS takes at most
CHUNK_BYTES from each), never stopped for good; a disk that is full drops lines, not the reading.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import threading
from pathlib import Path

_log = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 16
ROUND_SECONDS = 0.04
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class LogFile:
    """An append-only file of at most max_bytes, with one older file (`.1`) of the same size beside it."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path, self._max_bytes = path, max_bytes
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(path, _FLAGS, 0o600)
        self._size = os.fstat(self._fd).st_size

    def append(self, data: bytes) -> None:
        """Write what fits; OSError when the disk refuses."""
        for begin in range(0, len(data), self._max_bytes):
            piece = data[begin : begin + self._max_bytes]
            if self._size and self._size + len(piece) > self._max_bytes:
                self._turn()
            self._size += os.write(self._fd, piece)

    def _turn(self) -> None:
        with contextlib.suppress(FileNotFoundError):  # an earlier turn came only half way
            os.replace(self.path, older(self.path))
        fresh = os.open(self.path, _FLAGS, 0o600)
        os.close(self._fd)
        self._fd, self._size = fresh, 0

    def close(self) -> None:
        os.close(self._fd)


def older(path: Path) -> Path:
    """Where the lines before those of `path` are."""
    return path.with_name(path.name + ".1")


def read_tail(path: Path, count: int) -> bytes:
    """The last `count` bytes written to a LogFile, over both its files; b"" when there is none yet."""
    newest = _last_bytes(path, count)
    return _last_bytes(older(path), count - len(newest)) + newest


def _last_bytes(path: Path, count: int) -> bytes:
    if count <= 0:
        return b""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - count))
            return file.read(count)
    except FileNotFoundError:
        return b""


class _Stream:
    """One engine's pipe and file."""

    def __init__(self, load_id: str, fd: int, file: LogFile) -> None:
        self.load_id, self.fd, self.file = load_id, fd, file
        self.done = threading.Event()
        self.failed = False

    def take(self) -> bool:
        """Move one chunk; False at the end of the stream."""
        try:
            data = os.read(self.fd, CHUNK_BYTES)
        except BlockingIOError:
            return True
        try:
            self.file.append(data)
        except OSError as error:
            if not self.failed:
                _log.warning("cannot keep the output of engine %s: %s", self.load_id, error)
            self.failed = True
        else:
            self.failed = False
        return bool(data)

    def close(self) -> None:
        if not self.done.is_set():
            os.close(self.fd)
            self.file.close()
            self.done.set()


class Pump:
    """One thread that moves the output of every engine from its pipe to its file, until close()."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="engine-output", daemon=True)
        self._thread.start()

    def add(self, load_id: str, fd: int, file: LogFile) -> threading.Event:
        """Take over fd and file; the event is set when the stream has ended and both are closed."""
        os.set_blocking(fd, False)
        stream = _Stream(load_id, fd, file)
        with self._lock:
            self._selector.register(fd, selectors.EVENT_READ, stream)
        self._wake()
        return stream.done

    def close(self) -> None:
        """End the thread and close what is still open."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.data, _Stream):
                key.data.close()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b".")
        except BlockingIOError:
            pass  # a full wake pipe wakes as well

    def _run(self) -> None:
        while not self._closing.is_set():
            for key, _ in self._selector.select():
                if key.data is None:
                    os.read(self._wake_read, CHUNK_BYTES)
                elif not key.data.take():
                    self._drop(key.data)
            self._closing.wait(ROUND_SECONDS)

    def _drop(self, stream: _Stream) -> None:
        with self._lock:
            self._selector.unregister(stream.fd)
        stream.close()
