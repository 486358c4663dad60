"""The programs of packages on this box, whole or not there: unpacked artifacts, and images in the container engine."""

from __future__ import annotations

import contextlib
import functools
import logging
import shlex
import shutil
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from acsmpd import faults
from acsmpd.durable import replace_file
from acsmpd.model import Load
from acsmpd.packages.archive import judge
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.manifest import IMAGE, Manifest
from acsmpd.packages.unpack import sweep_unpacked, unpack
from acsmpd.runtime.environment import engine_environment
from acsmpd.runtime.sandbox import card_devices
from acsmpd.runtime.values import EngineSpec
from acsmpd.settings.sections import Runtime

log = logging.getLogger(__name__)

_PINNED = "image"
_PATIENCE_SECONDS = 0.5


class Program(Struct, frozen=True):
    """`folder` holds the program; `image` is the id of an image, "" for an artifact."""

    folder: Path
    manifest: Manifest
    image: str = ""


class Images(Protocol):
    """Where images go (runtime/images)."""

    def bring(self, package_id: str, md5: str, file: Path, manifest: Manifest) -> str: ...
    def keep(self, wanted: Collection[tuple[str, str]]) -> bool: ...


class Programs:
    """<folder>/<package id>/<md5>/: the program; beside it <md5>.json: what algo.yaml said, written last.

    Of an image the folder holds one file, the id it is pinned by.
    """

    def __init__(self, folder: Path, limits: Limits, make_images: Callable[[], Images]) -> None:
        """`make_images` is called when the first image comes."""
        self._folder, self._limits, self._images = folder, limits, functools.cache(make_images)
        self._lock, self._bringing = threading.Lock(), threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._mark = folder.with_name(
            f".{folder.name}-images"
        )  # there while the engine may hold some of ours
        self._left = self._mark.exists()  # one may be there that nobody wants
        for home in folder.iterdir():
            sweep_unpacked(home)

    def add(self, package_id: str, file: Path, md5: str) -> None:
        """Unpack a package file, or bring its image; the one of another MD5 goes before this one counts."""
        home = self._folder / package_id
        if (home / f"{md5}.json").exists():
            return
        manifest = judge(file, self._limits).manifest
        if manifest.kind != IMAGE:
            self._left |= any(home.glob(f"*/{_PINNED}"))
            self._enter(
                package_id, md5, manifest, lambda into: unpack(file, manifest.local_uri, into, self._limits)
            )
            self.tidy()
            return
        with self._bringing_one(package_id):
            self._mark.touch(mode=0o600)
            image = self._images().bring(package_id, md5, file, manifest)
            self._enter(package_id, md5, manifest, lambda into: _pin(into, image))
        self._left = True
        self.tidy()

    def _enter(self, package_id: str, md5: str, manifest: Manifest, fill: Callable[[Path], None]) -> None:
        home = self._folder / package_id
        note = home / f"{md5}.json"
        with self._lock:
            if note.exists():
                return
            try:
                home.mkdir(exist_ok=True, mode=0o700)
                shutil.rmtree(home / md5, ignore_errors=True)
                fill(home / md5)
                self._drop_others(home, md5)
                replace_file(note, home / f"{md5}.part", manifest.to_json())
            except OSError as error:
                raise faults.Internal(f"cannot unpack package {package_id}: {error.strerror}") from error
            finally:
                if not note.exists():
                    shutil.rmtree(home / md5, ignore_errors=True)
                    with contextlib.suppress(OSError):  # what else is in it stays
                        (home / f"{md5}.part").unlink(missing_ok=True)
                        home.rmdir()

    def _drop_others(self, home: Path, md5: str) -> None:
        for old in sorted(home.iterdir(), key=Path.is_dir):  # the notes first
            if old.name.split(".")[0] != md5:
                if old.is_dir():
                    shutil.rmtree(old, ignore_errors=True)
                else:
                    old.unlink(missing_ok=True)

    def get(self, package_id: str) -> Program | None:
        """The program of a package, None if it is not here."""
        for note in (self._folder / package_id).glob("*.json"):
            try:
                manifest, folder = Manifest.from_json(note.read_bytes()), note.with_suffix("")
                image = (folder / _PINNED).read_text(encoding="ascii") if manifest.kind == IMAGE else ""
            except FileNotFoundError:
                continue  # removed in this very moment
            return Program(folder, manifest, image)
        return None

    def all(self) -> list[tuple[str, Manifest]]:
        """Every package that is here."""
        found = []
        for home in sorted(self._folder.iterdir()):
            known = self.get(home.name)
            if known is not None:
                found.append((home.name, known.manifest))
        return found

    def remove(self, package_id: str) -> None:
        """Nothing of it is left; from the first moment on it does not count any more.

        A fault when its image cannot be taken out of the container engine now: to be asked again.
        """
        home = self._folder / package_id
        with self._lock:
            for note in list(home.glob("*.json")):
                note.unlink(missing_ok=True)
        if any(home.glob(f"*/{_PINNED}")):
            with self._bringing_one(package_id):
                self._clear_images()
        with self._lock:
            shutil.rmtree(home, ignore_errors=True)

    def gone(self, package_id: str) -> None:
        """The container engine has the image no more: the package is not here, and may be brought again."""
        with self._lock:
            for note in list((self._folder / package_id).glob("*.json")):
                note.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _bringing_one(self, package_id: str) -> Iterator[None]:
        """Images are brought and cleared away one at a time; nobody waits for it: one may take half an hour."""
        if not self._bringing.acquire(timeout=_PATIENCE_SECONDS):
            raise faults.Conflict(f"the image of package {package_id} waits: another image is being taken")
        try:
            yield
        finally:
            self._bringing.release()

    def tidy(self) -> None:
        """Try again to take away what was still in use; nothing comes of it where it still is."""
        if not self._left or not self._bringing.acquire(blocking=False):
            return
        try:
            self._clear_images()
        except faults.Fault as fault:
            log.warning("images of packages that are gone stay for now: %s", fault.message)
        finally:
            self._bringing.release()

    def _clear_images(self) -> None:
        """Take away the images of packages that are not here; the caller keeps others from being brought."""
        self._left = True
        notes = [note for note in self._folder.glob("*/*.json") if (note.with_suffix("") / _PINNED).exists()]
        wanted = {(note.parent.name, note.name.removesuffix(".json")) for note in notes}
        self._left = not self._images().keep(wanted)
        if not self._left and not wanted:
            self._mark.unlink(missing_ok=True)


def engine_spec(step: Load, program: Program, port: int, settings: Runtime, logs: Path) -> EngineSpec:
    """What is to run for a load, on this port of loopback."""
    command = program.manifest.cmd
    env = engine_environment(
        service_id=step.service_id,
        port=port,
        declared=dict(program.manifest.env),
        requested=dict(step.env),
        auth_server=step.auth_address or "",
        xpu_type=step.xpu_type,
        card_indexes=step.xpu_index,
        card_uuids=step.card_uuids,
    )
    return EngineSpec(
        load_id=step.load_id,
        argv=(*command, *shlex.split(step.args or "")),
        append=bool(program.image) and not command,
        image=program.image,
        work=program.folder,
        env=env,
        log=logs / f"{step.load_id}.log",
        license_path=Path(step.license_path) if step.license_path else None,
        memory_max_bytes=settings.memory_max_bytes,
        pids_max=settings.pids_max,
        devices=card_devices(step.xpu_type.partition("-")[0]),
        card_uuids=tuple(uuid for uuid in step.card_uuids if uuid),
    )


def _pin(into: Path, image: str) -> None:
    into.mkdir(mode=0o700)
    replace_file(into / _PINNED, into / f"{_PINNED}.part", image.encode("ascii"))
