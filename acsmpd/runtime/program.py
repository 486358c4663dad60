"""The folders of one engine on the host: the program as it was unpacked, its scratch, its licence copy."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from pathlib import Path
from uuid import uuid4

from acsmpd.faults import InvalidField, NotFound
from acsmpd.runtime.sandbox import Places
from acsmpd.runtime.values import EngineSpec

LICENSE_MAX_BYTES = 2 * 1024 * 1024
_ENTRIES_MAX = 50_000
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW


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
                    total += _on_disk(entry)
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
        except FileNotFoundError:
            continue  # the engine removed it meanwhile
        except OSError:
            return None  # closed to us, or deeper than a path can tell
    return total


def _on_disk(entry: os.DirEntry[str]) -> int:
    """Nothing of one that went meanwhile: it must not hide what lies beside it."""
    try:
        return entry.stat(follow_symlinks=False).st_blocks * 512
    except FileNotFoundError:
        return 0


def remove(folder: Path) -> None:
    """Remove what an engine may have filled, however deep; what cannot be removed stays.

    Every folder found is moved to the top and emptied there: no step goes down, so no depth is too much.
    """
    try:
        top = os.open(folder, _FOLDER)
    except OSError:
        return
    try:
        while _remove_layer(top):
            pass
    finally:
        os.close(top)
    with contextlib.suppress(OSError):
        folder.rmdir()


def _remove_layer(top: int) -> bool:
    """Empty every folder in `top` into it; whether anything could be removed."""
    removed = False
    for name in os.listdir(top):
        with contextlib.suppress(OSError):
            if stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
                _empty(top, name)
                os.rmdir(name, dir_fd=top)
            else:
                os.unlink(name, dir_fd=top)
            removed = True
    return removed


def _empty(top: int, name: str) -> None:
    inside = os.open(name, _FOLDER, dir_fd=top)
    try:
        for one in os.listdir(inside):
            if stat.S_ISDIR(os.stat(one, dir_fd=inside, follow_symlinks=False).st_mode):
                os.rename(one, uuid4().hex, src_dir_fd=inside, dst_dir_fd=top)
            else:
                os.unlink(one, dir_fd=inside)
    finally:
        os.close(inside)


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
