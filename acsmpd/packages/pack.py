"""Making and checking package files for `acsmpd package pack` and `acsmpd package check`."""

from __future__ import annotations

import os
import re
import secrets
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from acsmpd import faults
from acsmpd.durable import disk_told
from acsmpd.packages import archive
from acsmpd.packages import manifest as description
from acsmpd.packages.archive import Judged
from acsmpd.packages.manifest import Manifest

_LEFT_OUT = ("__pycache__", ".git", ".DS_Store")


def check(path: Path) -> Judged:
    """The judgement an import would give; a fault names the file and the reason."""
    return archive.judge(path)


def pack(folder: Path, out: Path | None = None) -> Path:
    """Pack a folder with algo.yaml into a tar that passes `check`; the same content gives the same bytes.

    `out` is a file or an existing folder, by default the current folder; the default name is
    `<id or name>_V<version>.tar`. Caches and version control (__pycache__, .git) are left out.
    """
    manifest = _manifest(folder)
    path = Path.cwd() if out is None else out
    if path.is_dir():
        path = path / _file_name(manifest)
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    with disk_told(f"write {path}"):
        try:
            _write(folder, fresh, leave_out={path, fresh})
            archive.judge(fresh, shown=path.name)
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)
    return path


def _manifest(folder: Path) -> Manifest:
    path = folder / description.MEMBER
    try:
        with path.open("rb") as file:
            return description.read_manifest(file.read(description.MAX_BYTES + 1))
    except OSError as error:
        raise faults.InvalidPackage(f"cannot read {path}: {error.strerror}") from error


def _file_name(manifest: Manifest) -> str:
    name = f"{manifest.id or manifest.name}_V{manifest.version}"
    return re.sub(r"[^\w.-]", "-", name)[:120].lstrip(".") + ".tar"


def _write(folder: Path, out: Path, *, leave_out: set[Path]) -> None:
    skipped = {path.absolute() for path in leave_out}
    with tarfile.open(out, "x", format=tarfile.PAX_FORMAT) as tar:
        for path, name in _walk(folder, ""):
            if path.absolute() not in skipped:
                _add(tar, path, name)


def _walk(folder: Path, prefix: str) -> Iterator[tuple[Path, str]]:
    for found in sorted(os.scandir(folder), key=lambda item: item.name):
        if found.name in _LEFT_OUT:
            continue
        name = prefix + found.name
        yield Path(found.path), name
        if found.is_dir(follow_symlinks=False):
            yield from _walk(Path(found.path), name + "/")


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    """One member without owner, time or odd mode bits."""
    status = path.lstat()
    member = tarfile.TarInfo(name)
    member.mode = 0o755 if status.st_mode & 0o111 else 0o644
    if stat.S_ISREG(status.st_mode):
        with path.open("rb") as file:
            member.size = os.fstat(file.fileno()).st_size
            tar.addfile(member, file)
        return
    if stat.S_ISDIR(status.st_mode):
        member.type, member.mode = tarfile.DIRTYPE, 0o755
    elif stat.S_ISLNK(status.st_mode):
        member.type, member.mode, member.linkname = tarfile.SYMTYPE, 0o777, os.readlink(path)
    else:
        raise faults.InvalidPackage(f"cannot pack {path}: neither a file, a folder nor a link")
    tar.addfile(member)
