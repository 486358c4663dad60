"""Unpacked programs of artifact packages on this box: one folder for each, whole or not there."""

from __future__ import annotations

import contextlib
import shutil
import threading
from pathlib import Path

from acsmpd import faults
from acsmpd.durable import replace_file
from acsmpd.packages.archive import judge
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.manifest import Manifest
from acsmpd.packages.unpack import sweep_unpacked, unpack


class Programs:
    """<folder>/<package id>/<md5>/: the program; beside it <md5>.json: what algo.yaml said, written last."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        self._folder, self._limits = folder, limits
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for home in folder.iterdir():
            sweep_unpacked(home)

    def add(self, package_id: str, file: Path, md5: str) -> None:
        """Unpack a package file; the one of another MD5 goes before this one counts."""
        home = self._folder / package_id
        note = home / f"{md5}.json"
        with self._lock:
            if note.exists():
                return
            try:
                home.mkdir(exist_ok=True, mode=0o700)
                self._unpack(package_id, file, home, md5)
            except OSError as error:
                raise faults.Internal(f"cannot unpack package {package_id}: {error.strerror}") from error
            finally:
                if not note.exists():
                    shutil.rmtree(home / md5, ignore_errors=True)
                    with contextlib.suppress(OSError):  # what else is in it stays
                        (home / f"{md5}.part").unlink(missing_ok=True)
                        home.rmdir()

    def _unpack(self, package_id: str, file: Path, home: Path, md5: str) -> None:
        shutil.rmtree(home / md5, ignore_errors=True)
        manifest = judge(file, self._limits).manifest
        if manifest.kind != "artifact":
            raise faults.NotSupported(f"package {package_id} is an image; this box runs artifacts only")
        unpack(file, manifest.local_uri, home / md5, self._limits)
        self._drop_others(home, md5)
        replace_file(home / f"{md5}.json", home / f"{md5}.part", manifest.to_json())

    def _drop_others(self, home: Path, md5: str) -> None:
        for old in sorted(home.iterdir(), key=Path.is_dir):  # the notes first
            if old.name.split(".")[0] != md5:
                if old.is_dir():
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    old.unlink(missing_ok=True)

    def get(self, package_id: str) -> tuple[Path, Manifest] | None:
        """The program folder and its manifest, None if it is not unpacked here."""
        for note in (self._folder / package_id).glob("*.json"):
            try:
                return note.with_suffix(""), Manifest.from_json(note.read_bytes())
            except FileNotFoundError:
                continue  # removed in this very moment
        return None

    def all(self) -> list[tuple[str, Manifest]]:
        """Every unpacked package."""
        found = []
        for home in sorted(self._folder.iterdir()):
            known = self.get(home.name)
            if known is not None:
                found.append((home.name, known[1]))
        return found

    def remove(self, package_id: str) -> None:
        """Nothing of it is left; from the first moment on it does not count any more."""
        home = self._folder / package_id
        with self._lock:
            for note in list(home.glob("*.json")):
                note.unlink(missing_ok=True)
            shutil.rmtree(home, ignore_errors=True)
