"""What a device holds that our ledger did not create (conventions section 6): a reflection of its listing.

Packages and services stand among the others, marked as not ours; tasks have a table of their own.
"""

from __future__ import annotations

import uuid
from typing import Any

from acsmpd.model import ForeignStream
from acsmpd.store.database import Tx
from acsmpd.store.plans import vacate
from acsmpd.store.rows import structs
from acsmpd.store.services import add_load, add_service
from acsmpd.store.tables import Copy, ForeignTask, Load

IDLE = ("PAUSED", "FINISHED")
"""Statuses in which a task takes no stream."""


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


def add_service_there(tx: Tx, package_id: str, device: str, now_ms: int, **shown: Any) -> None:
    """Enter a service somebody else loaded, under an AlgoServiceID of our minting."""
    service_id = str(uuid.uuid4())
    add_service(tx, id=service_id, package_id=package_id, env=[], created_ms=now_ms)
    add_load(
        tx, id=str(uuid.uuid4()), service_id=service_id, package_id=package_id, device=device, sent=True,
        ours=False, created_ms=now_ms, changed_ms=now_ms, **shown,
    )  # fmt: skip


def retire(tx: Tx, load_id: str, now_ms: int) -> None:
    """A foreign service is gone from its device: what we run on it has to find another place."""
    tx.run(
        Load.update(
            wanted=False, sent=False, status="ERROR", error="it is gone from the device", changed_ms=now_ms
        ).where(Load.id == load_id)
    )
    vacate(tx, load_id, now_ms)


# --- tasks -----------------------------------------------------------------------------------------------


def tasks(tx: Tx, device: str) -> list[dict[str, Any]]:
    return tx.rows(ForeignTask.select().where(ForeignTask.device == device).order_by(ForeignTask.id))


def task(tx: Tx, device: str, task_id: str) -> dict[str, Any] | None:
    return tx.row(ForeignTask.select().where(ForeignTask.device == device, ForeignTask.task_id == task_id))


def add_task(tx: Tx, device: str, now_ms: int, **shown: Any) -> None:
    tx.run(ForeignTask.insert(device=device, seen_ms=now_ms, **shown))


def change_task(tx: Tx, row_id: int, **shown: Any) -> None:
    tx.run(ForeignTask.update(**shown).where(ForeignTask.id == row_id))


def drop_task(tx: Tx, row_id: int) -> None:
    tx.run(ForeignTask.delete().where(ForeignTask.id == row_id))


def streams(tx: Tx) -> list[ForeignStream]:
    """Foreign tasks that take a stream, on every device."""
    shown = (ForeignTask.device, ForeignTask.service_id, ForeignTask.labels, ForeignTask.event_ids)
    return structs(tx, ForeignTask.select(*shown).where(ForeignTask.status.not_in(IDLE)), ForeignStream)
