"""The folders of one engine on the host: the program as it was unpacked, its scratch, its licence copy."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from acsmpd.faults import InvalidField, NotFound
from acsmpd.runtime.sandbox import Places
from acsmpd.runtime.values import EngineSpec

LICENSE_MAX_BYTES = 2 * 1024 * 1024
_ENTRIES_MAX = 50_000


def prepare(spec: EngineSpec, home: Path, account: tuple[int, int] | None) -> Places:
    """Make what the engine needs below `home`, readable (and scratch writable) for the account it runs as."""
    work = spec.work
    if not work.is_absolute() or not work.is_dir():
        raise NotFound(f"cannot start engine {spec.load_id}: its program folder {work} is not there")
    scratch = home / "scratch"
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    license_copy = copy_license(spec, home)
    if account is not None:
        os.chown(scratch, *account)
        _open_to_read(work)
    return Places(work=work, scratch=scratch, license=license_copy, devices=spec.devices)


def size_bytes(folder: Path) -> int | None:
    """What the folder's files take on the disk; None when they are too many or too well hidden to count."""
    total, entries, folders = 0, 0, [folder]
    while folders:
        try:
            with os.scandir(folders.pop()) as found:
                for entry in found:
                    entries += 1
                    if entries > _ENTRIES_MAX:
                        return None
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
        except FileNotFoundError:
            continue  # the engine removed it meanwhile
        except PermissionError:
            return None
    return total


def copy_license(spec: EngineSpec, home: Path) -> Path | None:
    """The engine's own copy of its licence file, readable to every account; None when it has none."""
    source = spec.license_path
    if source is None:
        return None
    if not source.is_file():
        raise NotFound(f"cannot start engine {spec.load_id}: its licence file {source} is not there")
    if source.stat().st_size > LICENSE_MAX_BYTES:
        raise InvalidField(
            f"cannot start engine {spec.load_id}: its licence file is over {LICENSE_MAX_BYTES} bytes"
        )
    copy = home / "license"
    copy.unlink(missing_ok=True)
    shutil.copyfile(source, copy)
    copy.chmod(0o444)
    return copy


def _open_to_read(work: Path) -> None:
    """Let the engine's account, which is not the owner, read it; the folders above stay closed."""
    for folder, _, files in os.walk(work):
        _widen(Path(folder))
        for name in files:
            _widen(Path(folder) / name)


def _widen(path: Path) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return
    wanted = mode | 0o444 | (0o111 if mode & stat.S_IXUSR else 0)
    if wanted != mode:
        path.chmod(stat.S_IMODE(wanted) & 0o0777)
