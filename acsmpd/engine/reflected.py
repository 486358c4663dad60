"""What is on a device and not ours, brought in line with one complete listing of it (conventions section 6).

Nothing here asks anything of a device. A thing of ours that just left may still be in the listing, or take a
while to stop, and must not come back as somebody else's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from acsmpd.clock import Moment
from acsmpd.model import ONE_SERVICE, CopyRow, LoadRow, Peer, SeenPackage, SeenService, SeenTask
from acsmpd.store import foreign
from acsmpd.store import services as rows
from acsmpd.store.database import Tx

MOST = 2000
"""Things of one kind that are kept of one device."""

INFO_BYTES = 32 * 1024
"""The longest task information that is kept; a task with more is shown and counted, and cannot be adopted."""

EVENTS = 64
COMPARED = ("status", "stream_url", "event_ids", "service_id", "policy", "digest")


class Look(Struct, frozen=True):
    """One complete look: at whom, when, and what may not be entered as somebody else's because of it."""

    peer: Peer
    begun: Moment
    stirred: bool
    """a step on the device ended meanwhile"""
    left: Callable[[str, str], bool]
    """whether we sent this thing (kind, id) away so short a time ago that it may still be going"""

    def enters(self, kind: str, name: str) -> bool:
        return not self.stirred and not self.left(kind, name)


def packages(tx: Tx, look: Look, ledger: Sequence[CopyRow], seen: Sequence[SeenPackage]) -> None:
    shown = {one.package_id: one for one in seen if _is_nameable(one.package_id, 40)}
    foreign.drop_copies(tx, look.peer.code, keep=set(shown))
    held = {copy.package_id: copy for copy in ledger}
    room = MOST - sum(not copy.ours for copy in ledger)
    for package_id, package in sorted(shown.items()):
        copy = held.get(package_id)
        if copy is None and room > 0 and look.enters("package", package_id):
            foreign.add_copy(tx, package_id, look.peer.code, look.begun.wall_ms, **_told(package))
            room -= 1
        elif copy is not None and not copy.ours and copy.status != package.status:
            rows.change_copy(tx, copy.id, changed_ms=look.begun.wall_ms, **_told(package))


def _told(package: SeenPackage) -> dict[str, Any]:
    return {
        "name": package.name[:256], "version": package.version[:256], "kind": package.kind, "status": package.status,
        "error": package.error[:1024], "progress": 1.0 if package.status == 3 else package.progress or 0.0,
    }  # fmt: skip


def services(tx: Tx, look: Look, ledger: Sequence[LoadRow], left: Sequence[SeenService]) -> None:
    """Enter the services that no load of the ledger is, or bring back those that were gone."""
    code, now_ms = look.peer.code, look.begun.wall_ms
    awaited = {load.package_id for load in ledger} if look.peer.family in ONE_SERVICE else set()
    held = {load.facility_id or load.package_id: load for load in ledger if not load.ours}
    room = MOST - len(held)
    for service in sorted(left, key=lambda one: (one.facility_id, one.package_id)):
        key = service.facility_id or service.package_id
        before = held.get(key)
        if before is not None:
            if not before.wanted:
                foreign.revive(tx, before.id, service.status, now_ms)
            continue
        if not service.facility_id and service.package_id in awaited:
            continue  # one we are about to load there anyway
        named = _is_nameable(service.package_id, 40) and _is_nameable(key, 256)
        if named and room > 0 and look.enters("service", key):
            held[key] = foreign.add_service_there(
                tx, service.package_id, code, now_ms, facility_id=service.facility_id, status=service.status,
                error=service.error[:1024], xpu_type=service.xpu_type[:64],
            )  # fmt: skip
            room -= 1


def tasks(tx: Tx, look: Look, seen: Sequence[SeenTask]) -> None:
    held = {row["task_id"]: row for row in foreign.tasks(tx, look.peer.code)}
    room = MOST - len(held)
    for task in sorted(seen, key=lambda one: one.task_id):
        row = held.pop(task.task_id, None)
        shown = _shown(task)
        if row is None:
            if room > 0 and _is_nameable(task.task_id, 128) and look.enters("task", task.task_id):
                foreign.add_task(tx, look.peer.code, look.begun.wall_ms, task_id=task.task_id, **shown)
                room -= 1
        elif any(row[name] != shown[name] for name in COMPARED):
            foreign.change_task(tx, row["id"], **shown)
    for row in held.values():
        foreign.drop_task(tx, row["id"])


def _shown(task: SeenTask) -> dict[str, Any]:
    labels = (task.info or {}).get("Labels")
    named = labels if isinstance(labels, dict) else {}
    text = msgspec.json.encode(task.info)
    return {
        "status": task.status, "stream_url": task.stream_url[:2048],
        "event_ids": [event[:128] for event in task.event_ids[:EVENTS]], "service_id": task.service_id[:256],
        "labels": {key: str(named[key])[:256] for key in ("AlgoCaBinName", "Version") if named.get(key)},
        "policy": task.policy, "info": task.info if len(text) <= INFO_BYTES else None,
        "digest": hashlib.sha256(text).hexdigest(),
    }  # fmt: skip


def _is_nameable(name: str, most: int) -> bool:
    """Whether an operator could name it: what cannot be named is left where it is, and not shown."""
    return 0 < len(name) <= most and not any(one in "/:" or ord(one) < 0x20 for one in name)
