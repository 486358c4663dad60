"""What a device holds that our ledger did not create (conventions section 6): a reflection of its listing.

Packages and services stand among the others, marked as not ours; tasks have a table of their own.
"""

from __future__ import annotations

import uuid
from typing import Any

from acsmpd.model import ForeignStream, LoadRow
from acsmpd.store import plain
from acsmpd.store.database import Tx
from acsmpd.store.plans import vacate
from acsmpd.store.rows import structs
from acsmpd.store.services import add_load, add_service, change_load, load, service
from acsmpd.store.tables import Copy, ForeignTask

IDLE = ("PAUSED", "FINISHED")
"""Statuses in which a task takes no stream."""

SERVICES = uuid.UUID("5f0c8a52-7e5b-5c1e-9d55-6ac0b4d7b0a1")
"""The namespace of AlgoServiceIDs we mint for services of others."""


def add_copy(tx: Tx, package_id: str, device: str, now_ms: int, **shown: Any) -> None:
    tx.run(
        Copy.insert(
            package_id=package_id, device=device, sent=True, ours=False, created_ms=now_ms, changed_ms=now_ms,
            **shown,
        )
    )  # fmt: skip


def drop_copies(tx: Tx, device: str, keep: set[str]) -> None:
    """Forget foreign package files that the device does not list any more."""
    rows = tx.rows(Copy.select(Copy.id, Copy.package_id).where(Copy.device == device, Copy.ours == False))
    gone = [row["id"] for row in rows if row["package_id"] not in keep]
    if gone:
        tx.run(Copy.delete().where(Copy.id.in_(gone)))


def add_service_there(tx: Tx, package_id: str, device: str, now_ms: int, **shown: Any) -> LoadRow:
    """Enter a service somebody else loaded. Its AlgoServiceID is the same whenever it comes back."""
    key = f"{device}/{shown.get('facility_id') or package_id}"
    service_id = str(uuid.uuid5(SERVICES, key))
    if service(tx, service_id) is None:
        add_service(tx, id=service_id, package_id=package_id, env=[], created_ms=now_ms)
    load_id = str(uuid.uuid4())
    add_load(
        tx, id=load_id, service_id=service_id, package_id=package_id, device=device, sent=True,
        ours=False, created_ms=now_ms, changed_ms=now_ms, **shown,
    )  # fmt: skip
    row = load(tx, load_id)
    assert row is not None  # noqa: S101
    return row


def revive(tx: Tx, load_id: str, status: str, now_ms: int) -> None:
    """One that was gone is there again, before it was forgotten."""
    change_load(tx, load_id, wanted=True, sent=True, missing=0, status=status, error="", changed_ms=now_ms)


def retire(tx: Tx, load_id: str, now_ms: int) -> None:
    """A foreign service is gone from its device: what we run on it has to find another place."""
    change_load(
        tx, load_id, wanted=False, sent=False, status="ERROR", error="it is gone from the device", changed_ms=now_ms
    )  # fmt: skip
    vacate(tx, load_id, now_ms)


# --- tasks -----------------------------------------------------------------------------------------------


def tasks(tx: Tx, device: str) -> list[dict[str, Any]]:
    """Every foreign task of a device, without its information."""
    short = [field for field in ForeignTask._meta.sorted_fields if field is not ForeignTask.info]
    return tx.rows(ForeignTask.select(*short).where(ForeignTask.device == device).order_by(ForeignTask.id))


def task(tx: Tx, device: str, task_id: str) -> dict[str, Any] | None:
    return plain.row(tx, ForeignTask, device=device, task_id=task_id)


def add_task(tx: Tx, device: str, now_ms: int, **shown: Any) -> None:
    tx.run(ForeignTask.insert(device=device, seen_ms=now_ms, **shown))


def change_task(tx: Tx, row_id: int, **shown: Any) -> None:
    tx.run(ForeignTask.update(**shown).where(ForeignTask.id == row_id))


def drop_task(tx: Tx, row_id: int) -> None:
    tx.run(ForeignTask.delete().where(ForeignTask.id == row_id))


def drop_named(tx: Tx, device: str, task_id: str) -> None:
    tx.run(ForeignTask.delete().where(ForeignTask.device == device, ForeignTask.task_id == task_id))


def streams(tx: Tx) -> list[ForeignStream]:
    """Foreign tasks that take a stream, on every device."""
    shown = (ForeignTask.device, ForeignTask.service_id, ForeignTask.labels, ForeignTask.event_ids)
    ended = (ForeignTask.status == "ERROR") & (ForeignTask.policy == "NEVER")
    query = ForeignTask.select(*shown).where(ForeignTask.status.not_in(IDLE), ~ended)
    return structs(tx, query, ForeignStream)
