"""The members of a tar, in the order they lie, with no trust in any number it holds.

Headers are decoded by tarfile one block at a time; where to go next is decided here, always forwards.
Refused on purpose: what two readers could read differently (sparse files, hard links, data after the end).
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator

from msgspec import Struct

from acsmpd import faults
from acsmpd.packages import names
from acsmpd.packages.bytestream import BLOCK, MIB, Limits, Stream, part_of

RECORD = 512
FILE, FOLDER, LINK = "file", "folder", "link"
_ZEROS = bytes(RECORD)
_KINDS = {
    tarfile.REGTYPE: FILE,
    tarfile.AREGTYPE: FILE,
    tarfile.CONTTYPE: FILE,
    tarfile.DIRTYPE: FOLDER,
    tarfile.SYMTYPE: LINK,
}
_REFUSED = {
    tarfile.LNKTYPE: "a hard link (pack with --hard-dereference)",
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a named pipe",
    tarfile.GNUTYPE_SPARSE: "a sparse file (pack without --sparse)",
}
_PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENSIONS = (*_PAX, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_MAX_EXTENSIONS = 8  # before one member
_MAX_EXTENSION_BYTES = MIB
_MAX_ANY_MEMBERS = 1_000_000
_BARE = (
    tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE,
)  # fmt: skip
_PAX_RECORD = re.compile(rb"(\d{1,7}) ([^=\n]{1,255})=")


class Entry(Struct, frozen=True):
    """One member: its clean name ("" = the top folder), what it is, and where a link leads."""

    name: str
    kind: str  # file | folder | link
    size: int = 0
    executable: bool = False
    target: str = ""


class _Said(Struct):
    """What extension headers said about the member that follows them."""

    path: str | None = None
    linkpath: str | None = None
    size: int | None = None


def is_tar(head: bytes) -> bool:
    """Whether these 512 bytes are a tar header with a right checksum."""
    if len(head) < RECORD:
        return False
    try:
        tarfile.TarInfo.frombuf(head[:RECORD], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def walk(stream: Stream, limits: Limits) -> Iterator[tuple[Entry, Stream]]:
    """Every member with its content; what the caller leaves unread is passed over."""
    headers = _Headers(stream, limits)
    while True:
        entry = headers.following()
        if entry is None:
            return
        end = stream.position + _padded(entry.size)
        yield entry, part_of(stream, entry.size)
        _pass(stream, end - stream.position)


def content_bytes(stream: Stream) -> int:
    """What all files of a tar hold together, whatever else it has in it: a layer of an image may hold anything.

    InvalidPackage for one that holds more than it is long (sparse files), and for one that cannot be read.
    """
    total, said = 0, _Said()
    for _ in range(_MAX_ANY_MEMBERS):
        block = stream.read(RECORD)
        if block in (b"", _ZEROS):
            return total
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise faults.InvalidPackage(f"damaged tar header: {error}") from error
        kind = block[156:157]  # frombuf takes some old files for folders
        if kind == tarfile.GNUTYPE_SPARSE:
            raise faults.InvalidPackage(
                f"{names.shown(info.name)}: {_REFUSED[kind]} has no place in a package"
            )
        if kind == tarfile.XHDTYPE:
            _extended(stream, info.size, said)
            continue
        size = 0 if kind in _BARE else info.size if said.size is None else said.size
        if size < 0:
            raise faults.InvalidPackage(f"{names.shown(info.name)}: a negative size in the tar header")
        _pass(stream, _padded(size))
        if kind not in _EXTENSIONS:
            total, said = total + size, _Said()
    raise faults.InvalidPackage(f"more than {_MAX_ANY_MEMBERS} members")


def _extended(stream: Stream, size: int, said: _Said) -> None:
    if not 0 <= size <= _MAX_EXTENSION_BYTES:
        raise faults.InvalidPackage(f"an extension header of {size} bytes, over {_MAX_EXTENSION_BYTES}")
    raw = stream.read(size)
    _pass(stream, _padded(size) - len(raw))
    _read_pax(raw, said, common=False)


class _Headers:
    def __init__(self, stream: Stream, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits
        self._members = 0
        self._extensions = 0

    def following(self) -> Entry | None:
        """The next member's header, or None at a proper end of the archive."""
        said = _Said()
        for _ in range(_MAX_EXTENSIONS + 1):
            info = self._header()
            if info is None:
                return None
            if info.type not in _EXTENSIONS:
                return self._entry(info, said)
            self._extend(info, said)
        raise faults.InvalidPackage(
            f"member {self._members + 1}: more than {_MAX_EXTENSIONS} extension headers"
        )

    def _header(self) -> tarfile.TarInfo | None:
        block = self._stream.read(RECORD)
        if not block:
            raise faults.InvalidPackage("truncated: it ends without the end mark of a tar")
        if len(block) < RECORD:
            raise faults.InvalidPackage("truncated: it ends in the middle of a header")
        if block == _ZEROS:
            self._expect_nothing_more()
            return None
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise faults.InvalidPackage(f"member {self._members + 1}: damaged tar header: {error}") from error
        if info.size < 0:
            raise faults.InvalidPackage(f"{names.shown(info.name)}: a negative size in the tar header")
        return info

    def _expect_nothing_more(self) -> None:
        while True:
            block = self._stream.read(BLOCK)
            if not block:
                return
            if block.count(0) != len(block):
                raise faults.InvalidPackage("there is data after the end mark of the tar")

    def _extend(self, info: tarfile.TarInfo, said: _Said) -> None:
        self._extensions += 1
        if self._extensions > 2 * self._limits.max_members + _MAX_EXTENSIONS:
            raise faults.InvalidPackage("too many extension headers")
        if info.size > _MAX_EXTENSION_BYTES:
            raise faults.InvalidPackage(
                f"member {self._members + 1}: an extension header of {info.size} bytes, "
                f"over {_MAX_EXTENSION_BYTES}"
            )
        raw = self._stream.read(info.size)
        _pass(self._stream, _padded(info.size) - len(raw))
        if info.type == tarfile.GNUTYPE_LONGNAME:
            said.path = _text(raw.partition(b"\0")[0])
        elif info.type == tarfile.GNUTYPE_LONGLINK:
            said.linkpath = _text(raw.partition(b"\0")[0])
        else:
            _read_pax(raw, said, common=info.type == tarfile.XGLTYPE)

    def _entry(self, info: tarfile.TarInfo, said: _Said) -> Entry:
        self._members += 1
        if self._members > self._limits.max_members:
            raise faults.InvalidPackage(f"more than {self._limits.max_members} members")
        raw_name = info.name if said.path is None else said.path
        name = names.clean(raw_name, max_bytes=self._limits.max_name_bytes, max_depth=self._limits.max_depth)
        kind = _KINDS.get(info.type)
        if kind is None:
            what = _REFUSED.get(info.type, f"of an unknown kind ({info.type!r})")
            raise faults.InvalidPackage(f"{names.shown(name)}: {what} has no place in a package")
        size = info.size if said.size is None else said.size
        if kind == FILE and (name == "" or raw_name.endswith("/")):
            raise faults.InvalidPackage(
                f"member {self._members}: a file named like a folder: {names.shown(raw_name)}"
            )
        if kind != FILE and size:
            raise faults.InvalidPackage(f"{names.shown(name)}: a {kind} with {size} bytes of content")
        target = (
            _target(name, info.linkname if said.linkpath is None else said.linkpath) if kind == LINK else ""
        )
        return Entry(name, kind, size, bool(info.mode & 0o111), target)


def _padded(size: int) -> int:
    return -(-size // RECORD) * RECORD


def _pass(stream: Stream, count: int) -> None:
    if stream.skip(count) < count:
        raise faults.InvalidPackage("truncated: it ends in the middle of a member")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _target(name: str, target: str) -> str:
    if name == "" or not target:
        raise faults.InvalidPackage(f"{names.shown(name)}: a link that leads nowhere")
    try:
        target.encode()
    except UnicodeEncodeError:
        raise faults.InvalidPackage(f"{names.shown(name)}: its link target is not UTF-8") from None
    if "\0" in target or len(target) > 4096:
        raise faults.InvalidPackage(f"{names.shown(name)}: its link target is not a path")
    return target


def _read_pax(raw: bytes, said: _Said, *, common: bool) -> None:
    """Take path, linkpath and size from `length key=value` records; the other keys do not matter here."""
    at = 0
    while at < len(raw):
        found = _PAX_RECORD.match(raw, at)
        length = int(found.group(1)) if found else 0
        if found is None or at + length > len(raw) or raw[at + length - 1 : at + length] != b"\n":
            raise faults.InvalidPackage("a damaged extension header (PAX)")
        if found.end() > at + length - 1:
            raise faults.InvalidPackage("a damaged extension header (PAX)")
        _take_pax(found.group(2), raw[found.end() : at + length - 1], said, common=common)
        at += length


def _take_pax(key: bytes, value: bytes, said: _Said, *, common: bool) -> None:
    if key.startswith(b"GNU.sparse."):
        raise faults.InvalidPackage("a sparse file (pack without --sparse)")
    if key not in (b"path", b"linkpath", b"size"):
        return
    if common:
        raise faults.InvalidPackage(f"a global extension header sets {key.decode()} for every member")
    if key == b"path":
        said.path = _text(value)
    elif key == b"linkpath":
        said.linkpath = _text(value)
    elif re.fullmatch(rb"\d{1,18}", value):
        said.size = int(value)
    else:
        raise faults.InvalidPackage("an extension header gives a size that is no number")
