"""Packages that come in two parts: kept without their executable, imported whole when it has followed.

Until then nothing but the served face knows of them: what is imported can be loaded.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.engine.imports import Importer, refuse_foreign, refuse_running
from acsmpd.packages import archive
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.intake import Intake, Received
from acsmpd.packages.manifest import Manifest
from acsmpd.store import packages, unfinished
from acsmpd.store.database import Store
from acsmpd.store.unfinished import Parts, Unfinished


class PartImporter:
    """Takes in either part, in whatever way it was fetched. Safe from any thread."""

    def __init__(
        self, store: Store, intake: Intake, limits: Limits, clock: Clock, importer: Importer
    ) -> None:
        self._store, self._intake, self._limits, self._clock = store, intake, limits, clock
        self._importer = importer

    def take_package(self, received: Received, file_name: str, origin: str, package_id: str) -> str:
        """Import it, or keep it if its executable is not inside. On any fault the file is gone, nothing changed."""
        try:
            judged = archive.judge(received.path, self._limits, shown=file_name, need_executable=False)
            self._refuse_awaited(origin, package_id)
        except BaseException:
            self._intake.discard(received)
            raise
        if judged.executable == archive.MISSING:
            self._keep(received, judged.manifest, file_name, origin, package_id)
            return package_id
        found = self._importer.import_file(received, file_name, origin, package_id)
        self._drop(package_id)
        return found

    def take_program(self, received: Received, origin: str, package_id: str, kind: str) -> str:
        """Put the executable into its package and import that. The package stays as it was on any fault."""
        try:
            one = self._awaited(origin, package_id, kind)
            whole = self._put_together(one, received)
        finally:
            self._intake.discard(received)
        self._importer.import_file(whole, one.file_name, origin, package_id)
        parts = Parts(package=one.md5, program=received.md5, whole=whole.md5)
        with self._store.write() as tx:
            unfinished.remember(tx, package_id, parts)
        self._drop(package_id)
        return package_id

    def _awaited(self, origin: str, package_id: str, kind: str) -> Unfinished:
        with self._store.read() as tx:
            one = unfinished.get(tx, package_id)
        if one is None or one.origin != origin:
            raise faults.NotFound(f"no package {package_id} waits for its executable")
        wanted = one.manifest["kind"]
        if kind != wanted:
            raise faults.InvalidPackage(f"package {package_id} is of type {wanted}, its executable is {kind}")
        return one

    def _put_together(self, one: Unfinished, program: Received) -> Received:
        from acsmpd.packages.putin import put_in  # it writes packages: a box that never does goes without

        with self._intake.incoming() as file:
            put_in(Path(one.path), program.path, file, self._limits)
            return file.whole()

    def _keep(
        self, received: Received, manifest: Manifest, file_name: str, origin: str, package_id: str
    ) -> None:
        """Under its name, durably; what it takes the place of goes."""
        try:
            self._expect_welcome(manifest, file_name, origin, package_id)
        except BaseException:
            self._intake.discard(received)
            raise
        path, now_ms = self._intake.publish(received, package_id, received.sm3), self._clock.now().wall_ms
        one = Unfinished(
            id=package_id, origin=origin, path=str(path), size=received.size, md5=received.md5,
            file_name=file_name[:256], manifest=msgspec.to_builtins(manifest), created_ms=now_ms,
        )  # fmt: skip
        with self._store.write() as tx:
            row, old = packages.get(tx, package_id), unfinished.get(tx, package_id)
            if row is not None:
                packages.delete(tx, package_id, now_ms)
            unfinished.put(tx, one)
        left = {str(row["path"]) if row is not None else "", old.path if old is not None else ""}
        for former in left - {"", one.path}:
            self._intake.remove(Path(former))

    def _expect_welcome(self, manifest: Manifest, file_name: str, origin: str, package_id: str) -> None:
        """What an import asks of a package, asked of its first part already."""
        if manifest.id and manifest.id != package_id:
            raise faults.InvalidPackage(
                f"{file_name}: algo.yaml names the package {manifest.id}, not {package_id}"
            )
        with self._store.read() as tx:
            refuse_running(tx, package_id, manifest)
            refuse_foreign(tx, package_id, manifest, origin)

    def _refuse_awaited(self, origin: str, package_id: str) -> None:
        """What waits for another platform's executable is neither replaced nor dropped."""
        with self._store.read() as tx:
            old = unfinished.get(tx, package_id)
        if old is not None and old.origin != origin:
            raise faults.Conflict(f"cannot take package {package_id}: platform {old.origin} sends one")

    def _drop(self, package_id: str) -> None:
        """The part is not needed any more."""
        with self._store.write() as tx:
            one, row = unfinished.get(tx, package_id), packages.get(tx, package_id)
            unfinished.drop(tx, package_id)
        if one is not None and (row is None or row["path"] != one.path):
            self._intake.remove(Path(one.path))
