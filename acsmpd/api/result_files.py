"""The files of one received result: there whole, or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import uuid
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from msgspec import Struct

from acsmpd import faults
from acsmpd.decide.results import picture_kind
from acsmpd.durable import disk_told, sync_folder

_BLOCK = 256 * 1024
_DOING = "keep the result"


class Saved(Struct, frozen=True):
    """A file on disk: `path` is relative to the data directory."""

    path: str
    size: int
    digest: str


class ResultFiles:
    """Saves files under results/; what nobody kept is gone when the block ends."""

    def __init__(self, data: Path, day: str) -> None:
        self._data, self._day = data, day
        self._loose: set[str] = set()
        self._folders: set[Path] = set()

    def __enter__(self) -> ResultFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for path in self._loose:
            with contextlib.suppress(OSError):
                (self._data / path).unlink()

    def save_picture(self, stream: BinaryIO, max_bytes: int) -> Saved:
        """A picture. Raises TooLarge, NoSpace."""
        return self._save("pictures", stream, max_bytes, "the picture")

    def save_raw(self, stream: BinaryIO, max_bytes: int) -> Saved:
        """A body as it came. Raises TooLarge, NoSpace."""
        return self._save("raw", stream, max_bytes, "the body")

    def save_bytes(self, data: bytes) -> Saved:
        return self.save_picture(io.BytesIO(data), len(data))

    def settle(self) -> None:
        """Make the names of what was saved durable; call it before the rows that point to them."""
        with disk_told(_DOING):
            for folder in self._folders:
                sync_folder(folder)

    def keep(self, saved: Saved) -> None:
        """A row points to this one now."""
        self._loose.discard(saved.path)

    def _save(self, kind: str, stream: BinaryIO, max_bytes: int, what: str) -> Saved:
        folder = self._data / "results" / kind / self._day
        part = folder / f".{uuid.uuid4().hex}.part"
        with disk_told(_DOING):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                head, size, digest = _write(part, stream, max_bytes, what)
                suffix = picture_kind(head)[1] if kind == "pictures" else ".form"
                whole = folder / f"{part.name[1:-5]}{suffix}"
                part.rename(whole)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
        saved = Saved(whole.relative_to(self._data).as_posix(), size, digest)
        self._loose.add(saved.path)
        self._folders.add(folder)
        return saved


def _write(part: Path, stream: BinaryIO, max_bytes: int, what: str) -> tuple[bytes, int, str]:
    """Copy to a new file and sync it; its first bytes, its size, its digest."""
    digest, size, head = hashlib.sha256(), 0, b""
    with part.open("xb") as file:
        while block := stream.read(_BLOCK):
            head = head or block[:16]
            size += len(block)
            if size > max_bytes:
                raise faults.TooLarge(f"{what} has more than {max_bytes} bytes")
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return head, size, digest.hexdigest()
