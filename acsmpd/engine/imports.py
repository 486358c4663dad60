"""From a received file to an imported package: judged, published, then visible in one write.

Used by the upload handler (handed in by app.py) and by the Url import below it: one way in for both.
"""

from __future__ import annotations

import threading
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import msgspec

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.packages.archive import judge
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.ids import mint_package_id, package_id_from
from acsmpd.packages.intake import Intake, Received
from acsmpd.packages.manifest import Ability, Manifest
from acsmpd.store import alarms, facts, packages
from acsmpd.store.database import Store, Tx
from acsmpd.store.tables import Capability


class Importer:
    """Imports package files one at a time; the expensive part (judging) is outside any transaction."""

    def __init__(
        self, store: Store, intake: Intake, limits: Limits, clock: Clock, zone: tzinfo, site_code: str
    ) -> None:
        self._store, self._intake, self._limits, self._clock = store, intake, limits, clock
        self._zone, self._site_code = zone, site_code
        self._lock = threading.Lock()

    def import_file(self, received: Received, file_name: str, origin: str = "", wanted_id: str = "") -> str:
        """The ID of the package, visible when this returns. On any fault the file is gone, nothing changed."""
        try:
            judged = judge(received.path, self._limits, shown=file_name)
            with self._lock:
                return self._publish(received, judged.manifest, file_name, origin, wanted_id)
        except BaseException:
            self._intake.discard(received)
            raise

    def _publish(
        self, received: Received, manifest: Manifest, file_name: str, origin: str, wanted_id: str
    ) -> str:
        package_id = package_id_from(manifest.id, file_name, self._mint)
        if wanted_id and package_id != wanted_id:
            if manifest.id:
                raise faults.InvalidPackage(
                    f"{file_name}: algo.yaml names the package {manifest.id}, not {wanted_id}"
                )
            package_id = wanted_id
        with self._store.read() as tx:
            refuse_running(tx, package_id, manifest)
            refuse_foreign(tx, package_id, manifest, origin)
            old = packages.get(tx, package_id)
        path = self._intake.publish(received, package_id, received.sm3)
        now_ms = self._clock.now().wall_ms
        try:
            with self._store.write() as tx:
                refuse_running(tx, package_id, manifest)
                refuse_foreign(tx, package_id, manifest, origin)
                moved = packages.put(
                    tx, _package_row(package_id, manifest, received, path, file_name, origin),
                    [_capability_row(ability) for ability in manifest.abilities], now_ms,
                )  # fmt: skip
                self._tell_moves(tx, manifest, package_id, moved, now_ms)
        except BaseException:
            if old is None or old["path"] != str(path):
                self._intake.remove(path)
            raise
        if old is not None and old["path"] != str(path):
            self._intake.remove(Path(old["path"]))
        return package_id

    def _mint(self) -> str:
        with self._store.write() as tx:
            number = facts.count_up(tx, "package_ids")
        local = datetime.fromtimestamp(self._clock.now().wall_ms / 1000, self._zone)
        return mint_package_id(self._site_code, local, number)

    def _tell_moves(
        self, tx: Tx, manifest: Manifest, package_id: str, moved: list[tuple[str, str]], now_ms: int
    ) -> None:
        for code, former in moved:
            before = packages.get(tx, former)
            if before is not None and before["provider"] != manifest.provider:
                text = (
                    f"capability {code} of provider {before['provider']} (package {former}) "
                    f"was taken over by provider {manifest.provider} (package {package_id})"
                )
                alarms.raise_alarm(tx, "capability_moved", code, text, now_ms)


def refuse_running(tx: Tx, package_id: str, manifest: Manifest) -> None:
    """A running service of the package, or of one whose capability would be taken over, stops the import."""
    codes = [ability.code for ability in manifest.abilities]
    held = tx.rows(Capability.select(Capability.package_id).where(Capability.code.in_(codes)))
    touched = {package_id, *(row["package_id"] for row in held)}
    loads = packages.loads_of(tx, *sorted(touched))
    if loads:
        named = ", ".join(f"{row['service_id']} on {row['device']}" for row in loads[:20])
        raise faults.Conflict(f"cannot import package {package_id}: algorithm services run of it: {named}")


def refuse_foreign(tx: Tx, package_id: str, manifest: Manifest, origin: str) -> None:
    """A platform above takes nothing from the site or from another platform: no package and no capability."""
    if not origin:
        return
    old = packages.get(tx, package_id)
    if old is not None and old["origin"] != origin:
        raise faults.Conflict(f"cannot import package {package_id}: {_owner(old)} holds one of this ID")
    for code, holder in packages.holders(tx, [ability.code for ability in manifest.abilities]).items():
        if holder["origin"] != origin:
            raise faults.Conflict(
                f"cannot import package {package_id}: its capability {code} is held by package {holder['id']} "
                f"of {_owner(holder)}"
            )


def _owner(package: dict[str, Any]) -> str:
    return f"platform {package['origin']}" if package["origin"] else "this site"


def _package_row(
    package_id: str, manifest: Manifest, received: Received, path: Path, file_name: str, origin: str
) -> dict[str, Any]:
    return {
        "id": package_id, "name": manifest.name, "version": manifest.version, "kind": manifest.kind,
        "provider": manifest.provider, "description": manifest.description, "file_name": file_name[:256],
        "path": str(path), "size": received.size, "md5": received.md5, "sm3": received.sm3,
        "manifest": msgspec.to_builtins(manifest), "origin": origin,
    }  # fmt: skip


def _capability_row(ability: Ability) -> dict[str, Any]:
    return {
        "code": ability.code, "name": ability.name, "description": "", "data_type": ability.data_type,
        "event_ids": list(ability.event_ids), "task_types": list(ability.task_types),
        "task_fields": list(ability.task_fields),
    }  # fmt: skip
