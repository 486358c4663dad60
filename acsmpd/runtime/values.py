"""What the runtime is told and what it tells: frozen values, no behaviour beyond their own checks."""

from __future__ import annotations

import re
from pathlib import Path

from msgspec import Struct

from acsmpd.faults import InvalidField, NotFound

_LOAD_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")

MEBIBYTE = 1 << 20


class ImageGone(NotFound):
    """The container engine has the image no more: somebody removed it."""


class RuntimeSettings(Struct, frozen=True, kw_only=True):
    """How engines of this box are run. Sizes in bytes, times in seconds."""

    data_dir: Path  # never visible to an engine
    user: str = ""  # the account of engines when we are root
    allow_unsandboxed: bool = False
    read_only_paths: tuple[Path, ...] = ()  # further host folders an engine may read
    way: str = "auto"  # auto | bwrap | user | bare: force one (never picks a weaker one by itself)
    port_range: tuple[int, int] = (20000, 20999)
    start_timeout_seconds: float = 15.0
    stop_timeout_seconds: float = 10.0
    kill_timeout_seconds: float = 10.0
    guard_interval_seconds: float = 5.0  # how often the ends and the scratch folders are looked at
    log_max_bytes: int = 8 * MEBIBYTE  # one file; there is one older beside it
    scratch_max_bytes: int = 1024 * MEBIBYTE
    tmp_max_bytes: int = 64 * MEBIBYTE
    open_files_max: int = 4096


class EngineSpec(Struct, frozen=True, kw_only=True):
    """One engine to start. argv and env are complete; argv[0] is looked up from `work`, then env's PATH.

    Of an image, `image` is the id it is pinned by, `work` means nothing, and with `append` argv follows the
    image's own command instead of taking its place.
    """

    load_id: str
    argv: tuple[str, ...]
    work: Path  # the unpacked program, read-only to the engine
    env: dict[str, str]
    log: Path
    license_path: Path | None = None
    memory_max_bytes: int = 2048 * MEBIBYTE
    pids_max: int = 512  # processes and threads, our two wrappers included
    devices: tuple[Path, ...] = ()  # device nodes of the assigned cards
    card_uuids: tuple[str, ...] = ()  # NVIDIA's, where a container engine hands out cards one by one
    image: str = ""
    append: bool = False

    def __post_init__(self) -> None:
        check_load_id(self.load_id)
        if not self.append and (not self.argv or not self.argv[0] or "=" in self.argv[0]):
            raise InvalidField(
                f"cannot start engine {self.load_id}: it needs a command without '=' in its name"
            )
        if any("\0" in text for pair in self.env.items() for text in pair) or any(
            "\0" in a for a in self.argv
        ):
            raise InvalidField(f"cannot start engine {self.load_id}: its command or environment holds a NUL")


class Exit(Struct, frozen=True, kw_only=True):
    """How an engine ended. `signal` is set when a signal ended it; `reason` is a sentence for people."""

    code: int | None
    signal: int | None
    reason: str
    ended_ms: int


class Running(Struct, frozen=True, kw_only=True):
    """A live engine: the pid of its outermost process (a container's first), when it started, its last end."""

    load_id: str
    pid: int
    started_ms: int
    way: str
    last_exit: Exit | None = None


class Usage(Struct, frozen=True, kw_only=True):
    """What the whole tree of one engine uses. cpu 1.0 = one core, since the previous question."""

    cpu: float
    rss_bytes: int
    pids: tuple[int, ...]  # as the host counts them


class Swept(Struct, frozen=True, kw_only=True):
    """One leftover record of an earlier daemon: what was found under it and whether something was ended."""

    load_id: str
    pid: int | None
    ended: bool
    reason: str


def check_load_id(load_id: str) -> str:
    """The id itself, or InvalidField: it becomes a folder's name."""
    if not _LOAD_ID.fullmatch(load_id):
        raise InvalidField(
            f"cannot use {load_id[:140]!r} as a load id: 1-128 of A-Z a-z 0-9 . _ -, no dot first"
        )
    return load_id
