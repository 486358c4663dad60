"""Bytes in one direction, plain or compressed, with every growth counted.

Nothing here ever moves backwards, so nothing read from an archive can make a reader run in a circle.
"""

from __future__ import annotations

import importlib
import re
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

from msgspec import Struct

from acsmpd import faults

BLOCK = 64 * 1024
MIB = 1024 * 1024
GZIP, ZSTD = "gzip", "zstd"
_STARTS = {
    GZIP: re.compile(rb"\x1f\x8b\x08"),
    # A frame, or a skippable frame as parallel compressors write it.
    ZSTD: re.compile(rb"\x28\xb5\x2f\xfd|[\x50-\x5f]\x2a\x4d\x18", re.DOTALL),
}


class Limits(Struct, frozen=True, kw_only=True):
    """How large an archive may be (conventions section 4). Bytes, unless the name says otherwise."""

    max_members: int = 20_000
    max_unpacked_bytes: int = 16 * 1024 * MIB
    max_ratio: int = 200
    ratio_free_bytes: int = MIB  # below this much output no ratio is judged: tiny archives squeeze well
    max_name_bytes: int = 4096
    max_names_bytes: int = 8 * MIB  # all names and link targets together: what a survey holds in memory
    max_depth: int = 64
    max_manifest_bytes: int = MIB


DEFAULTS = Limits()


class Stream:
    """A forward reader over `fill`, which gives up to N bytes and b"" only at the end.

    `jump` passes over N bytes without reading and tells how many there were.
    """

    def __init__(self, fill: Callable[[int], bytes], jump: Callable[[int], int] | None = None) -> None:
        self._fill = fill
        self._jump = jump
        self._buffer = b""
        self._at = 0
        self.position = 0

    def peek(self, count: int) -> bytes:
        """The next `count` bytes, or all there are, without passing them."""
        while len(self._buffer) - self._at < count:
            more = self._fill(max(BLOCK, count))
            if not more:
                break
            self._buffer = self._buffer[self._at :] + more
            self._at = 0
        return self._buffer[self._at : self._at + count]

    def read(self, count: int) -> bytes:
        """The next `count` bytes, fewer only at the end."""
        found = self.peek(count)
        self._at += len(found)
        self.position += len(found)
        return found

    def skip(self, count: int) -> int:
        """Pass over `count` bytes; tells how many there were."""
        held = min(len(self._buffer) - self._at, count)
        self._at += held
        passed = held
        if self._jump is not None and passed < count:
            passed += self._jump(count - passed)
        self.position += passed
        while self._jump is None and passed < count:
            block = self.read(min(BLOCK, count - passed))
            if not block:
                break
            passed += len(block)
        return passed


def whole_file(file: BinaryIO, size: int) -> Stream:
    """A stream over an open regular file of `size` bytes; skipping seeks and reads nothing."""

    def jump(count: int) -> int:
        here = file.tell()
        passed = min(count, max(0, size - here))
        file.seek(here + passed)
        return passed

    return Stream(file.read, jump)


def part_of(stream: Stream, length: int) -> Stream:
    """The next `length` bytes of a stream as a stream of their own; fewer are a fault."""
    end = stream.position + length

    def fill(count: int) -> bytes:
        wanted = min(count, end - stream.position)
        found = stream.read(wanted) if wanted > 0 else b""
        if len(found) < wanted:
            raise faults.InvalidPackage("truncated: it ends in the middle of a member")
        return found

    def jump(count: int) -> int:
        return stream.skip(min(count, end - stream.position))

    return Stream(fill, jump)


def compression(head: bytes) -> str | None:
    """GZIP or ZSTD by the first bytes, None for anything else."""
    for kind, start in _STARTS.items():
        if start.match(head):
            return kind
    return None


class Growth:
    """Counts what decompression gives and refuses a bomb while it is still small."""

    def __init__(self, limits: Limits, packed_bytes: int) -> None:
        self._limits = limits
        self._packed = max(1, packed_bytes)
        self._most = limits.max_unpacked_bytes + limits.max_members * 4096 + MIB  # headers and padding
        self._given = 0

    def add(self, count: int) -> None:
        self._given += count
        if self._given > self._most:
            raise faults.TooLarge(f"unpacks to more than {self._limits.max_unpacked_bytes} bytes")
        free = self._given <= self._limits.ratio_free_bytes
        if not free and self._given > self._limits.max_ratio * self._packed:
            raise faults.InvalidPackage(f"unpacks to more than {self._limits.max_ratio} times its size")


class _Decompressor(Protocol):
    """What bz2, lzma and zstd of the standard library have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Gunzip:
    """zlib's decompressor in the shape of the others; the checksum at the end is verified."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)
        self._tail = b""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        found = self._zlib.decompress(self._tail + data, max_length)
        self._tail = self._zlib.unconsumed_tail
        return found

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._tail and not self.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


def _zstd_module() -> Any:
    """The standard library's reader (Python 3.14), or the same one installed for older ones."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise faults.InvalidPackage(
        "compressed with zstd, which this Python cannot read (3.14 can): pack it as .tar or .tar.gz"
    )


def inflated(stream: Stream, kind: str, growth: Growth) -> Stream:
    """The decompressed content of a stream, several frames in a row read as one."""
    return Stream(_Inflating(stream, kind, growth).fill)


class _Inflating:
    def __init__(self, stream: Stream, kind: str, growth: Growth) -> None:
        self._stream = stream
        self._kind = kind
        self._growth = growth
        self._pending = b""
        self._errors: tuple[type[Exception], ...] = (zlib.error,)
        self._make: Callable[[], _Decompressor] = _Gunzip
        if kind == ZSTD:
            module = _zstd_module()
            self._make, self._errors = module.ZstdDecompressor, (module.ZstdError,)
        self._frame = self._make()

    def fill(self, count: int) -> bytes:
        while not self._frame.eof or self._next_frame():
            found = self._step(count)
            if found:
                self._growth.add(len(found))
                return found
        return b""

    def _step(self, count: int) -> bytes:
        block = b""
        if self._frame.needs_input:
            block, self._pending = self._pending or self._stream.read(BLOCK), b""
        asked_in_vain = self._frame.needs_input and not block
        try:
            found = self._frame.decompress(block, count)
        except self._errors as error:
            raise faults.InvalidPackage(f"damaged: cannot decompress ({self._kind}): {error}") from error
        if asked_in_vain and not found and not self._frame.eof:
            raise faults.InvalidPackage("truncated: the compressed data ends too early")
        return found

    def _next_frame(self) -> bool:
        """True when another frame follows; zero padding is passed, anything else is a fault."""
        rest = (self._pending or self._frame.unused_data).lstrip(b"\0")
        while not rest:
            block = self._stream.read(BLOCK)
            if not block:
                return False
            rest = block.lstrip(b"\0")
        rest += self._stream.read(4) if len(rest) < 4 else b""
        if not _STARTS[self._kind].match(rest):
            raise faults.InvalidPackage("there is data after the end of the compressed stream")
        self._pending = rest
        self._frame = self._make()
        return True
