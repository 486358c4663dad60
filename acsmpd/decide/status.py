"""What an instance is said to be: derived from the wish and its task, never remembered on its own."""

from __future__ import annotations

from msgspec import Struct

from acsmpd.model import FOR_PLACE, Device, InstanceRow, TaskRow


class Status(Struct, frozen=True):
    status: str  # PENDING RUNNING PAUSED FINISHED ERROR
    reason: str = ""


def instance_status(
    instance: InstanceRow,
    task: TaskRow | None,
    device: Device | None,
    *,
    waiting: str = "",
    moving: bool = False,
    failed: str = "",
    going: bool = False,
) -> Status:
    """`task`: its present place or None; `waiting`: why placement found none (conventions section 11).

    `moving`: it moves by itself when its computility stays away. `failed`: why its last turn in an inspection was
    none. `going`: a place it has no more is still seen running, and about to be deleted.
    """
    if not instance.on:
        if task is not None and task.status == "RUNNING" and task.sent:
            return Status("RUNNING", "being stopped")
        if failed:
            return Status("ERROR", failed)
        if going:
            return Status("RUNNING", "being taken off its device")
        return Status("FINISHED" if instance.status == "FINISHED" else "PAUSED")
    if task is None:
        return Status("PENDING", waiting or FOR_PLACE)
    finished = task.sent and task.status == "FINISHED"  # wherever it was, that is an end
    if device is not None and device.state in ("lost", "gone") and not finished:
        word = "PENDING" if moving else "ERROR"
        return Status(word, f"computility {device.code} is {device.state}; {waiting or 'no other place'}")
    if task.parked:
        return Status("ERROR", task.reason)
    seen = task.status if task.sent else "PENDING"
    reason = task.reason
    if device is not None and device.state != "online":
        reason = f"last known: computility {device.code} is {device.state}"
    if seen == "PAUSED":
        return Status("PENDING", reason or "being started")
    return Status(seen, reason)
