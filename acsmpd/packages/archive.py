"""Judging an algorithm package file before anything of it is used. Nothing is written here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from acsmpd import faults
from acsmpd.packages import manifest as description
from acsmpd.packages import names
from acsmpd.packages.bytestream import DEFAULTS, Growth, Limits, Stream, compression, inflated, whole_file
from acsmpd.packages.manifest import Manifest
from acsmpd.packages.tarstream import FILE, FOLDER, LINK, RECORD, Entry, is_tar, walk

# How the executable is there.
IN_FOLDER, IN_ARCHIVE, REMOTE, MISSING = "folder", "archive", "remote", "missing"


class Judged(Struct, frozen=True, kw_only=True):
    """A package file that passed. `root` is its single top folder, "" when algo.yaml lies at the top."""

    manifest: Manifest
    members: tuple[Entry, ...]
    unpacked_bytes: int
    root: str
    compression: str | None  # gzip | zstd
    executable: str  # folder | archive | remote | missing


class Survey:
    """All members of one archive, refused together as soon as a rule is broken."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.entries: dict[str, Entry] = {}
        self.archives: set[str] = set()
        self.unpacked_bytes = 0
        self._names_bytes = 0
        self._folders: set[str] = set()

    def add(self, entry: Entry) -> None:
        known = self.entries.get(entry.name)
        if known is not None and not (known.kind == entry.kind == FOLDER):
            raise faults.InvalidPackage(f"{names.shown(entry.name)}: stands twice in the archive")
        self.unpacked_bytes += entry.size
        if self.unpacked_bytes > self._limits.max_unpacked_bytes:
            raise faults.TooLarge(f"unpacks to more than {self._limits.max_unpacked_bytes} bytes")
        self._names_bytes += len(entry.name.encode()) + len(entry.target.encode())
        if self._names_bytes > self._limits.max_names_bytes:
            raise faults.InvalidPackage(f"more than {self._limits.max_names_bytes} bytes of names")
        self.entries[entry.name] = entry

    def finish(self) -> None:
        """What can be told only of the whole: nothing lies below a file, no link leaves the package."""
        for name in self.entries:
            folder = name.rpartition("/")[0]
            while folder and folder not in self._folders:
                self._add_folder(name, folder)
                folder = folder.rpartition("/")[0]
        self.check_links("")

    def _add_folder(self, name: str, folder: str) -> None:
        above = self.entries.get(folder)
        if above is not None and above.kind != FOLDER:
            raise faults.InvalidPackage(
                f"{names.shown(name)}: lies below {names.shown(folder)}, a {above.kind}"
            )
        self._folders.add(folder)
        if len(self._folders) > self._limits.max_members:
            raise faults.InvalidPackage(f"more than {self._limits.max_members} folders")

    def check_links(self, folder: str) -> None:
        names.Links({name: entry.target for name, entry in self.entries.items() if entry.kind == LINK}).check(
            folder
        )

    def is_folder(self, name: str) -> bool:
        """Whether a folder of this name is there, be it only by what lies in it."""
        entry = self.entries.get(name)
        return name == "" or name in self._folders or (entry is not None and entry.kind == FOLDER)


@contextmanager
def naming(shown: str) -> Iterator[None]:
    """Faults met inside start with the file's name."""
    try:
        yield
    except (faults.InvalidPackage, faults.TooLarge) as fault:
        raise type(fault)(f"{names.shown(shown)}: {fault.message}") from fault


@contextmanager
def opened(path: Path) -> Iterator[tuple[Stream, int]]:
    """The bytes of a package file, and how many there are."""
    number = _descriptor(path)
    try:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise faults.InvalidPackage("not a regular file")
        with open(number, "rb", closefd=False) as file:
            yield whole_file(file, status.st_size), status.st_size
    finally:
        os.close(number)


def _descriptor(path: Path) -> int:
    """Opened without waiting for a writer, should somebody have put a named pipe there."""
    try:
        return os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise faults.InvalidPackage(f"cannot be opened: {error.strerror}") from error


def members(stream: Stream, limits: Limits, growth: Growth) -> Iterator[tuple[Entry, Stream]]:
    """The members of a tar, tar.gz or tar.zst; what it is is told by its first bytes, not by its name."""
    kind = compression(stream.peek(RECORD))
    if kind is not None:
        stream = inflated(stream, kind, growth)
    head = stream.peek(RECORD)
    if not head:
        raise faults.InvalidPackage("empty")
    if not is_tar(head) and head != bytes(RECORD):
        raise faults.InvalidPackage("not a tar archive (or cut off in its first header)")
    return walk(stream, limits)


def judge(
    path: Path,
    limits: Limits = DEFAULTS,
    *,
    shown: str = "",
    need_executable: bool = True,
) -> Judged:
    """Read the package once through by all the rules of conventions section 4.

    `shown` names the file in faults (its name on disk may be a random one). Without `need_executable`
    a package may come without its program (the served CAP face).
    """
    with naming(shown or path.name):
        with opened(path) as (stream, size):
            kind = compression(stream.peek(RECORD))
            survey, found = _survey(stream, limits, Growth(limits, size))
        root, raw = _description(survey, found, limits)
        manifest = description.read_manifest(raw)
        executable = _executable(manifest, root, survey)
        if executable == MISSING and need_executable:
            raise faults.InvalidPackage(
                f"bin.local_uri: {names.shown(manifest.local_uri)} is not in the package"
            )
        judged = Judged(
            manifest=manifest,
            members=tuple(entry for entry in survey.entries.values() if entry.name),
            unpacked_bytes=survey.unpacked_bytes,
            root=root,
            compression=kind,
            executable=executable,
        )
        if executable == IN_ARCHIVE and manifest.kind == description.ARTIFACT:
            survey_inner(path, within(root, manifest.local_uri), limits)
        return judged


def within(root: str, local_uri: str) -> str:
    """The member name that bin.local_uri means; "" is the top of the package."""
    return "/".join(part for part in (root, local_uri) if part not in ("", "."))


def survey_inner(path: Path, name: str, limits: Limits) -> Survey:
    """Judge the archive that is the member `name` of the package, by the same rules."""
    with opened(path) as (stream, size):
        for entry, content in members(stream, limits, Growth(limits, size)):
            if entry.name == name:
                with naming(name):
                    return _survey(content, limits, Growth(limits, size))[0]
    raise faults.InvalidPackage(f"{names.shown(name)}: no longer in the package")


def survey_package(path: Path, limits: Limits) -> tuple[Survey, str]:
    """Judge the members alone; also the package's single top folder, "" when it has none."""
    with opened(path) as (stream, size):
        survey, found = _survey(stream, limits, Growth(limits, size))
    return survey, _description(survey, found, limits)[0]


def _survey(stream: Stream, limits: Limits, growth: Growth) -> tuple[Survey, dict[str, bytes]]:
    """All members, and the first bytes of the (at most two) that may be the description."""
    survey = Survey(limits)
    found: dict[str, bytes] = {}
    for entry, content in members(stream, limits, growth):
        survey.add(entry)
        if entry.kind != FILE:
            continue
        if _is_archive(content.peek(RECORD)):
            survey.archives.add(entry.name)
        folder, _, last = entry.name.rpartition("/")
        if last == description.MEMBER and "/" not in folder and (not folder or len(found) < 2):
            found[folder] = content.read(limits.max_manifest_bytes + 1)
    survey.finish()
    return survey, found


def _description(survey: Survey, found: dict[str, bytes], limits: Limits) -> tuple[str, bytes]:
    tops = {name.partition("/")[0] for name in survey.entries if name}
    folders = {name.partition("/")[0] for name in survey.entries if "/" in name or survey.is_folder(name)} - {
        ""
    }
    single = next(iter(folders)) if len(folders) == 1 else None
    if "" in found and single in found:
        raise faults.InvalidPackage(
            f"two descriptions: {description.MEMBER} and {single}/{description.MEMBER}"
        )
    root = "" if "" in found else single if single in found and len(tops) == 1 else None
    if root is None:
        raise faults.InvalidPackage(f"no {description.MEMBER} at its top or in its single top folder")
    if len(found[root]) > limits.max_manifest_bytes:
        raise faults.InvalidPackage(f"{description.MEMBER}: larger than {limits.max_manifest_bytes} bytes")
    return root, found[root]


def _executable(manifest: Manifest, root: str, survey: Survey) -> str:
    if not manifest.local_uri:
        return REMOTE
    name = within(root, manifest.local_uri)
    entry = survey.entries.get(name)
    if entry is not None and entry.kind == FILE:
        if name not in survey.archives:
            wanted = "an image archive" if manifest.kind == description.IMAGE else "a folder or an archive"
            raise faults.InvalidPackage(f"bin.local_uri: {names.shown(manifest.local_uri)} is not {wanted}")
        return IN_ARCHIVE
    if entry is not None and entry.kind == LINK:
        raise faults.InvalidPackage(f"bin.local_uri: {names.shown(manifest.local_uri)} is a link")
    if survey.is_folder(name):
        if manifest.kind == description.IMAGE:
            raise faults.InvalidPackage(
                f"bin.local_uri: {names.shown(manifest.local_uri)} is not an image archive"
            )
        survey.check_links(name)
        return IN_FOLDER
    return REMOTE if manifest.kind == description.IMAGE and manifest.remote_uri else MISSING


def _is_archive(head: bytes) -> bool:
    return compression(head) is not None or is_tar(head)
