"""What is on a device and not ours, brought in line with one complete listing of it (conventions section 6).

Nothing here asks anything of a device. `new` is False when a step on the device ended while it was looked
at: a thing of ours that just left may still be in the listing, and must not come back as somebody else's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from acsmpd.clock import Moment
from acsmpd.model import ONE_SERVICE, CopyRow, Family, LoadRow, Peer, SeenPackage, SeenService, SeenTask
from acsmpd.store import foreign
from acsmpd.store import services as rows
from acsmpd.store.database import Tx

T = TypeVar("T")
log = logging.getLogger(__name__)

MOST = 2000
"""Things of one kind that are kept of one device."""

INFO_BYTES = 64 * 1024
"""The longest task information that is kept; a task with more is shown and counted, and cannot be adopted."""


def packages(
    tx: Tx,
    peer: Peer,
    ledger: Sequence[CopyRow],
    shown: Mapping[str, SeenPackage],
    begun: Moment,
    *,
    new: bool,
) -> None:
    if peer.family is Family.LOCAL:
        return  # nobody else puts anything on this box's own compute
    foreign.drop_copies(tx, peer.code, keep=set(shown))
    held = {copy.package_id: copy for copy in ledger}
    for package in _bounded(shown.values(), peer, "packages"):
        copy = held.get(package.package_id)
        told = {"name": package.name, "version": package.version, "kind": package.kind}
        values = {"status": package.status, "error": package.error, "progress": _progress(package), **told}
        if copy is None and new:
            foreign.add_copy(tx, package.package_id, peer.code, begun.wall_ms, **values)
        elif copy is not None and not copy.ours and copy.status != package.status:
            rows.change_copy(tx, copy.id, changed_ms=begun.wall_ms, **values)


def _progress(package: SeenPackage) -> float:
    return 1.0 if package.status == 3 else package.progress or 0.0


def services(
    tx: Tx, peer: Peer, ledger: Sequence[LoadRow], left: Sequence[SeenService], begun: Moment
) -> None:
    """Enter the services that no load of the ledger is."""
    if peer.family is Family.LOCAL:
        return
    awaited = {load.package_id for load in ledger} if peer.family in ONE_SERVICE else set()
    entered: set[str] = set()
    held = sum(not load.ours for load in ledger)
    for service in _bounded(left, peer, "services", held):
        key = service.facility_id or service.package_id
        if key in entered or (not service.facility_id and service.package_id in awaited):
            continue  # one we are about to load there anyway
        entered.add(key)
        foreign.add_service_there(
            tx, service.package_id, peer.code, begun.wall_ms, facility_id=service.facility_id,
            status=service.status, error=service.error, xpu_type=service.xpu_type,
        )  # fmt: skip


def tasks(tx: Tx, peer: Peer, seen: Sequence[SeenTask], begun: Moment, *, new: bool) -> None:
    held = {row["task_id"]: row for row in foreign.tasks(tx, peer.code)}
    for task in _bounded(seen, peer, "tasks"):
        shown, row = _shown(task), held.pop(task.task_id, None)
        if row is None:
            if new:
                foreign.add_task(tx, peer.code, begun.wall_ms, task_id=task.task_id, **shown)
        elif any(row[name] != value for name, value in shown.items()):
            foreign.change_task(tx, row["id"], **shown)
    for row in held.values():
        foreign.drop_task(tx, row["id"])


def _shown(task: SeenTask) -> dict[str, Any]:
    info = task.info
    if info is not None and len(msgspec.json.encode(info)) > INFO_BYTES:
        info = None
    labels = (task.info or {}).get("Labels")
    return {
        "status": task.status, "stream_url": task.stream_url, "event_ids": list(task.event_ids),
        "service_id": task.service_id, "policy": task.policy, "info": info,
        "labels": labels if info is not None and isinstance(labels, dict) else None,
    }  # fmt: skip


def _bounded(things: Iterable[T], peer: Peer, what: str, held: int = 0) -> list[T]:
    found, room = list(things), max(0, MOST - held)
    if len(found) > room:
        log.warning("more than %d %s of others are on the device", MOST, what, extra={"device": peer.code})
    return found[:room]
