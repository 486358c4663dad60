"""One small file per running engine, on disk before the engine runs: how a later daemon finds leftovers.

A process is named by pid, start time (clock ticks since boot) and boot id together: a pid alone may belong
to a stranger by the time it is read.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from acsmpd.durable import replace_file

_SUFFIX = ".json"


class Record(Struct, frozen=True, kw_only=True):
    load_id: str
    pid: int
    start_ticks: int
    boot_id: str
    cgroup_folders: tuple[str, ...] = ()
    socket: str = ""  # of a container: where its engine listens; pid 0 until it is started


def start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when there is none, or only its zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def is_same(record: Record, boot_id: str) -> bool:
    """Whether the very process of the record is alive now."""
    return record.boot_id == boot_id and start_ticks(record.pid) == record.start_ticks


class RecordBook:
    """The folder of records. A record is whole or not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def write(self, record: Record) -> None:
        """On disk when this returns: temporary file, fsync, rename, fsync of the folder."""
        final = self._path(record.load_id)
        replace_file(final, final.with_suffix(".new"), msgspec.json.encode(record))

    def erase(self, load_id: str) -> None:
        self._path(load_id).unlink(missing_ok=True)

    def has(self, load_id: str) -> bool:
        return self._path(load_id).exists()

    def load_ids(self) -> list[str]:
        """Every id with a record, sorted; half-written ones are cleared away, so nothing may be written meanwhile."""
        for half in self._folder.glob("*.new"):
            half.unlink(missing_ok=True)
        return sorted(path.name.removesuffix(_SUFFIX) for path in self._folder.glob("*" + _SUFFIX))

    def read(self, load_id: str) -> Record | None:
        """The record, or None when it is not one (a damaged disk)."""
        try:
            return msgspec.json.decode(self._path(load_id).read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError):
            return None

    def _path(self, load_id: str) -> Path:
        return self._folder / (load_id + _SUFFIX)
