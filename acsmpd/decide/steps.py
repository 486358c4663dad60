"""The next rung for one subject of the ledger: wanted against observed, nothing else.

Each function names the kind of the next step, or None with the reason for waiting. The engine asks again
on every pass; nothing is queued ahead, so a crash at any point loses nothing.
"""

from __future__ import annotations

from msgspec import Struct

from acsmpd.model import KEEPS_RUNNING, ONE_SERVICE, CopyRow, Device, LoadRow, TaskRow

LOOKS_BEFORE_REPEAT = 2
"""Complete listings that must lack a thing before it counts as not there (conventions section 6)."""

DEVICE_SECONDS = 60.0
"""How long the restart of a failed ALWAYS task is the device's own business."""

RESTART_MOST_SECONDS = 3600.0
"""Between two restarts of a task that fails again and again."""


RESUMES = 4
"""Tries to let a task go on whose change was refused."""


class Rung(Struct, frozen=True):
    """`step` is the tag of a model step, "" = nothing to do now, "forget" = drop the row; `why` says it."""

    step: str
    why: str = ""


NOTHING = Rung("")


def next_for_copy(copy: CopyRow, device: Device | None, *, in_use: bool, stale: bool) -> Rung:
    """Rung for a package file on a device. `in_use`: a load there wants it; `stale`: the device holds another MD5.

    A foreign one is never changed; an operator's word makes it ours first.
    """
    if not copy.ours:
        return NOTHING
    if not copy.wanted and not copy.sent:
        return Rung("forget")
    held = _held(copy.parked, device)
    if held:
        return Rung("", held)
    if not copy.wanted:
        if in_use:
            return Rung("", "a service of it is still loaded there")
        if copy.missing >= LOOKS_BEFORE_REPEAT:
            return Rung("forget")
        return Rung("delete_copy")
    if not copy.sent or copy.status == 2 or stale or copy.missing >= LOOKS_BEFORE_REPEAT:
        return Rung("push")
    return Rung("push_program") if copy.lacks_program and copy.status == 1 else NOTHING


def next_for_load(
    load: LoadRow,
    copy: CopyRow | None,
    device: Device | None,
    *,
    tasks: int,
    leaving: bool = False,
    arriving: float | None = None,
    replicas: int | None = None,
) -> Rung:
    """Rung for a service on a device. `tasks`: tasks of ours still on it; `replicas`: how many it is to have.

    `leaving`: another load of the package is still there and not wanted any more; where a package has one
    service, a new one would meet the old.
    `arriving`: the share of its file that the device has read, while it is reading: over a thin line that takes
    hours, and asking it to load meanwhile only brings refusals.
    A foreign load is never changed; when it is gone it stays known until no task of ours is left on it.
    """
    if not load.ours and (load.wanted or tasks):
        return NOTHING
    if not load.wanted and not load.sent:
        return Rung("forget")
    held = _held(load.parked, device)
    if held:
        return Rung("", held)
    if not load.wanted:
        return _next_for_unload(load, tasks)
    if leaving and device is not None and device.family in ONE_SERVICE:
        return Rung("", "the old one is being unloaded first")
    if copy is None or not copy.sent or copy.missing >= LOOKS_BEFORE_REPEAT:
        return Rung("", "the package file is not on the device yet")
    if copy.status == 2:
        return Rung("", f"the package file did not arrive: {copy.error}")
    if arriving is not None:
        return Rung("", f"the package file is on its way: {arriving:.0%}")
    if copy.lacks_program:
        return Rung("", "the package is on the device, its executable is not yet")
    heals = device is not None and device.family in KEEPS_RUNNING
    if not load.sent or (load.status == "ERROR" and not heals) or load.missing >= LOOKS_BEFORE_REPEAT:
        return Rung("load")
    return Rung("scale") if heals and load.replicas not in (None, replicas) else NOTHING


def _next_for_unload(load: LoadRow, tasks: int) -> Rung:
    if tasks:
        return Rung("", f"{tasks} tasks still run on it")
    if load.missing >= LOOKS_BEFORE_REPEAT:
        return Rung("forget")
    return Rung("unload")


def next_for_task(
    task: TaskRow,
    load: LoadRow | None,
    device: Device | None,
    *,
    revision: int,
    failed_seconds: float = 0.0,
    failures: int = 1,
    leaving: bool = False,
) -> Rung:
    """Rung for an instance's task on a device.

    `revision`: of the instance's information that is wanted. `failed_seconds`: how long it has shown ERROR;
    `failures`: how often it has come to that since its last good hour.
    `leaving`: another task of the instance is still on that device and has to go first.
    """
    if task.wanted == "gone" and not task.sent:
        return Rung("forget")
    held = _held(task.parked, device)
    if held:
        again = task.sent and device is not None and device.takes_steps and _was_interrupted(task, revision)
        return (
            Rung("resume_task", "its change was refused; it goes on as it was") if again else Rung("", held)
        )
    if task.sent and not task.task_id:
        return _after_unknown(task, load, leaving)
    if task.wanted == "gone":
        return Rung("delete_task")
    if not task.sent:
        return _create(task, load, leaving)
    if task.wanted == "paused" and task.status == "ERROR":
        return Rung("delete_task", "it failed and is not wanted now")
    if task.revision != revision:
        return _update(task)
    if task.wanted == "paused":
        return Rung("pause_task") if task.status in ("RUNNING", "PENDING") else NOTHING
    if task.status == "PAUSED":
        return Rung("resume_task")
    if task.status == "ERROR" and task.policy == "ALWAYS" and failed_seconds >= restart_seconds(failures):
        return Rung("resume_task", "the device has not restarted it by itself")
    return NOTHING


def restart_seconds(failures: int) -> float:
    """How long a failed ALWAYS task is left alone: doubled with every failure, up to an hour."""
    return float(min(RESTART_MOST_SECONDS, DEVICE_SECONDS * 2.0 ** min(max(0, failures - 1), 10)))


def _was_interrupted(task: TaskRow, revision: int) -> bool:
    """Whether it was paused to be changed, and the change refused: nobody wanted it to stand still."""
    interrupted = task.parked and task.wanted == "running" and task.status == "PAUSED"
    return bool(task.task_id) and interrupted and task.revision != revision and task.attempts < RESUMES


def _held(parked: bool, device: Device | None) -> str:
    if device is None:
        return "the computility is not known"
    if not device.takes_steps:
        return f"computility {device.code} is {device.state}"
    return "refused; waits for a new wish" if parked else ""


def _after_unknown(task: TaskRow, load: LoadRow | None, leaving: bool) -> Rung:
    """A create whose outcome is unknown: look first; two complete listings without it allow a repeat."""
    if task.missing < LOOKS_BEFORE_REPEAT:
        return Rung("", "looking whether the device has created it")
    return _create(task, load, leaving) if task.wanted == "running" else Rung("forget")


def _create(task: TaskRow, load: LoadRow | None, leaving: bool) -> Rung:
    if task.wanted == "paused":
        return NOTHING
    if task.load_id is not None and (load is None or load.status != "RUNNING"):
        return Rung("", "its service is not running yet" + (f": {load.error}" if load and load.error else ""))
    if leaving:
        return Rung("", "the old one is being deleted first")
    return Rung("create_task")


def _update(task: TaskRow) -> Rung:
    """A task the device holds as NEVER may be changed only while paused (Part 4 table 10)."""
    if task.policy == "ALWAYS" or task.status == "PAUSED":
        return Rung("update_task")
    if task.status == "FINISHED":
        return Rung("delete_task", "a finished task is replaced by a new one")
    return Rung("pause_task", "it must be paused to be changed")
