"""Receiving package files: streamed once to disk, hashed on the way, visible only when whole."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import secrets
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec import Struct

from acsmpd import faults
from acsmpd.durable import disk_told, free_bytes, sync_folder, write_whole

_log = logging.getLogger(__name__)

BLOCK = 1024 * 1024
_ROOM_CHECK_BYTES = 64 * BLOCK
_PACKAGE_ID = re.compile(r"[0-9]{40}")
_SM3 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")
_DOING = "receive the package file"


class Received(Struct, frozen=True, kw_only=True):
    """A whole file beside its final place, not yet visible. Hashes in lower-case hex."""

    path: Path
    size: int
    md5: str
    sm3: str


class Swept(Struct, frozen=True, kw_only=True):
    """What a sweep removed."""

    files: int
    freed_bytes: int


class Intake:
    """The packages folder: <folder>/incoming/*.part while they come, <folder>/<ID>/<sm3>.tar when whole.

    A name follows from the content: a new file of a known ID stands beside the old one until the row
    is switched and the old one is removed. Safe to use from several threads.
    """

    def __init__(self, folder: Path, max_bytes: int, min_free_bytes: int) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._max_bytes = max_bytes
        self._min_free_bytes = min_free_bytes
        self._lock = threading.Lock()
        self._promised: dict[Path, int] = {}  # bytes that uploads under way will still write
        self._left: set[Path] = set()  # parts the disk did not let go of
        self._incoming.mkdir(mode=0o700, parents=True, exist_ok=True)

    def receive(
        self,
        stream: BinaryIO,
        expected_size: int | None = None,
        expected_md5: str | None = None,
        *,
        room_bytes: int | None = None,
    ) -> Received:
        """Take the stream to its end. A fault, a cut line and a full disk leave nothing behind.

        `expected_size` must be met exactly. `room_bytes` is for a size known only roughly (the body of
        a multipart upload): free space for so much is made sure of first.
        """
        md5 = None if expected_md5 is None else _wanted_md5(expected_md5)
        if expected_size is not None and expected_size > self._max_bytes:
            raise self._too_large()
        path = self._incoming / f"{secrets.token_hex(16)}.part"
        with disk_told(_DOING), self._promise(path, expected_size or room_bytes or 0):
            try:
                received = self._write(path, stream, expected_size)
                _expect_md5(received, md5)
            except BaseException:
                self._drop(path)
                raise
        return received

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A file that comes piece by piece and may start over (a download); gone unless it became whole."""
        path = self._incoming / f"{secrets.token_hex(16)}.part"
        with disk_told(_DOING), self._promise(path, 0):
            try:
                with Incoming(self, path, None) as file:
                    yield file
            except BaseException:
                self._drop(path)
                raise

    def check_md5(self, received: Received, expected_md5: str) -> None:
        """For an MD5 that came after the file: a mismatch is a fault and the file is gone."""
        try:
            _expect_md5(received, _wanted_md5(expected_md5))
        except faults.Fault:
            self.discard(received)
            raise

    def discard(self, received: Received) -> None:
        """Remove a received file that will not be published."""
        self._drop(received.path)

    def _drop(self, part: Path) -> None:
        """Remove a file that will not be published; if the disk does not let go of it, at the next upload."""
        if not _is_removed(part):
            self._left.add(part)

    def _drop_left(self) -> None:
        for part in list(self._left):
            if _is_removed(part):
                self._left.discard(part)

    def publish(self, received: Received, package_id: str, sm3: str) -> Path:
        """Move the file to its place, durably; from here on the row may name it."""
        if not _PACKAGE_ID.fullmatch(package_id) or not _SM3.fullmatch(sm3):
            raise ValueError(
                f"cannot publish a package file as {package_id!r}, {sm3!r}: not an ID and an SM3"
            )
        place = self._folder / package_id
        path = place / f"{sm3}.tar"
        was_there = path.exists()  # the same file once more: a row may name it
        with disk_told("publish the package file"):
            try:
                place.mkdir(mode=0o700, exist_ok=True)
                received.path.replace(path)
                sync_folder(place)
                sync_folder(self._folder)
            except OSError:
                if not was_there:
                    self.remove(path)
                raise
        return path

    def remove(self, path: Path) -> None:
        """Remove a published file whose row is gone or names another; its empty folder goes with it."""
        if path.parent.parent != self._folder or not _ours(path):
            raise ValueError(f"cannot remove {path}: not a published package file")
        if _is_removed(path):
            _remove_if_empty(path.parent)

    def sweep(self, known: Collection[Path]) -> Swept:
        """At start: remove half uploads and published files no row names. Files of other names stay."""
        kept = {os.path.abspath(path) for path in known}
        left = list(self._incoming.glob("*.part"))
        left += [
            path for path in self._folder.glob("*/*.tar") if _ours(path) and os.path.abspath(path) not in kept
        ]
        freed = 0
        for path in left:
            freed += path.lstat().st_size
            path.unlink()
            if path.parent != self._incoming:
                _remove_if_empty(path.parent)
        return Swept(files=len(left), freed_bytes=freed)

    def _write(self, path: Path, stream: BinaryIO, expected_size: int | None) -> Received:
        with Incoming(self, path, expected_size) as incoming:
            for block in _blocks(stream):
                incoming.write(block)
            return incoming.whole()

    def expect_fit(self, size: int, expected_size: int | None) -> None:
        if size > self._max_bytes:
            raise self._too_large()
        if expected_size is not None and size > expected_size:
            raise faults.InvalidPackage(f"more than the announced {expected_size} bytes arrived")

    def _too_large(self) -> faults.TooLarge:
        return faults.TooLarge(
            f"a package file may have at most {self._max_bytes} bytes (packages.max_bytes)"
        )

    @contextmanager
    def _promise(self, path: Path, size: int) -> Iterator[None]:
        """Two uploads must not both count on the same free space."""
        self._drop_left()
        with self._lock:
            self.expect_room(size, besides=path)
            self._promised[path] = size
        try:
            yield
        finally:
            with self._lock:
                del self._promised[path]

    def keep_promise(self, path: Path, count: int) -> None:
        with self._lock:
            self._promised[path] = max(0, self._promised[path] - count)

    def expect_room(self, size: int, *, besides: Path) -> None:
        others = sum(left for other, left in list(self._promised.items()) if other != besides)
        free = free_bytes(self._incoming) - others
        if free < size + self._min_free_bytes:
            raise faults.NoSpace(
                f"cannot {_DOING}: no space left: {size} bytes needed, {max(0, free)} free, "
                f"{self._min_free_bytes} of them stay reserved"
            )


class Incoming:
    """A file under way: written, hashed and bounded block by block."""

    def __init__(self, intake: Intake, path: Path, expected_size: int | None) -> None:
        self._intake, self.path, self._expected = intake, path, expected_size
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._file = open(number, "wb", buffering=0)  # noqa: SIM115  (closed by __exit__)
        self._begin()

    def _begin(self) -> None:
        self._md5, self._sm3, self._size = hashlib.md5(usedforsecurity=False), hashlib.new("sm3"), 0

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def write(self, block: bytes) -> int:
        """Take the next bytes; faults when they are too many or the disk is full."""
        before, self._size = self._size, self._size + len(block)
        self._intake.expect_fit(self._size, self._expected)
        if self._size // _ROOM_CHECK_BYTES != before // _ROOM_CHECK_BYTES:
            self._intake.expect_room(0, besides=self.path)
        write_whole(self._file, block)
        self._md5.update(block)
        self._sm3.update(block)
        self._intake.keep_promise(self.path, len(block))
        return len(block)

    def restart(self) -> None:
        """Forget what came: the source starts over."""
        self._file.seek(0)
        self._file.truncate(0)
        self._begin()

    def whole(self, expected_md5: str | None = None) -> Received:
        """The file, on disk for good, after its size and MD5 were found right."""
        if self._expected is not None and self._size < self._expected:
            raise faults.InvalidPackage(f"truncated upload: {self._size} of {self._expected} bytes arrived")
        os.fsync(self._file.fileno())
        received = Received(
            path=self.path, size=self._size, md5=self._md5.hexdigest(), sm3=self._sm3.hexdigest()
        )
        _expect_md5(received, None if expected_md5 is None else _wanted_md5(expected_md5))
        return received


def _blocks(stream: BinaryIO) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _wanted_md5(given: str) -> str:
    wanted = given.strip().lower()
    if not _MD5.fullmatch(wanted):
        raise faults.InvalidField("MD5: 32 hexadecimal digits are expected")
    return wanted


def _expect_md5(received: Received, wanted: str | None) -> None:
    if wanted is not None and received.md5 != wanted:
        raise faults.ChecksumMismatch(f"the file has MD5 {received.md5}, {wanted} was given")


def _ours(path: Path) -> bool:
    named = _PACKAGE_ID.fullmatch(path.parent.name) and _SM3.fullmatch(path.stem)
    return bool(named) and path.suffix == ".tar"


def _is_removed(path: Path) -> bool:
    """Whether it is gone now. What a bad disk keeps is swept at the next start."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("cannot remove %s: %s", path, error.strerror)
        return False
    return True


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return  # another file stands there
