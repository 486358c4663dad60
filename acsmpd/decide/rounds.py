"""Rounds of an INSPECTIVE plan: who has a turn now (tables C.1 and C.2, conventions section 11).

Batches of `concurrency` instances, in order; the next batch starts when every place of the last is free. A place is
held from the start until the device shows PAUSED, and the task is then taken off the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct

from acsmpd.model import ACTIVE, LEAVING, RUNNING, SERVED, STARTING, STOPPING, WAITING

PAUSE_SECONDS = 30.0
"""Not PAUSED after so long: the task is deleted as it is."""

LEAVE_SECONDS = 270.0
"""Not deleted after so long: its device takes no steps, and the others go on without it."""

NO_PLACE = "found no place"
"""How the reason of a turn begins that could not be started because there was nowhere to run."""

BATCH_MOST = 1000
"""Instances in one batch, whatever the plan allows."""


class Rules(Struct, frozen=True):
    """What a plan asks for; times in seconds."""

    concurrency: int
    duration_seconds: float
    start_timeout_seconds: float


class Member(Struct, frozen=True, kw_only=True):
    """An instance in its round, as it was observed."""

    instance_id: str
    phase: str = WAITING
    seconds: float = 0.0  # in this phase
    status: str = "PAUSED"  # of its task
    placed: bool = False  # a task of it is on a device, or on its way there
    away: str = ""  # why nothing can be done about that task: its device is lost, gone, disabled
    refused: bool = False  # the device refused the last step on the task for good
    reason: str = ""  # what the task says for itself
    stopped: bool = False  # nobody wants it to run any more


class Move(NamedTuple):
    """An instance enters a phase; `failed` says why its turn was none."""

    instance_id: str
    phase: str
    failed: str = ""


def advance(members: Sequence[Member], rules: Rules, *, held: int = 0) -> list[Move]:
    """What changes now. Without any move and nobody active the round is over.

    `held`: places that tasks of an earlier run hold and will not give back.
    """
    moves = [move for member in members if (move := _next(member, rules)) is not None]
    moved = {move.instance_id: move.phase for move in moves}
    if not any(moved.get(member.instance_id, member.phase) in ACTIVE for member in members):
        waiting = [member for member in members if member.phase == WAITING]
        number = max(1, min(rules.concurrency, BATCH_MOST) - held)
        moves += [Move(member.instance_id, STARTING) for member in waiting[:number]]
    return moves


def progress(members: int, served: int) -> float:
    """Percent of the round, 0 to 100."""
    return round(100 * served / members, 1) if members else 0.0


def _next(member: Member, rules: Rules) -> Move | None:
    if member.phase not in ACTIVE:
        return None
    if member.away:
        return Move(member.instance_id, SERVED, member.away)
    if member.stopped and member.phase in (STARTING, RUNNING):
        return Move(member.instance_id, STOPPING)
    if member.phase == STARTING:
        return _started(member, rules)
    if member.phase == RUNNING:
        return _ran(member, rules)
    return _stopped(member)


def _started(member: Member, rules: Rules) -> Move | None:
    if member.status == "RUNNING":
        return Move(member.instance_id, RUNNING)
    if member.status == "FINISHED":
        return Move(member.instance_id, SERVED)
    if member.status == "ERROR":
        return Move(member.instance_id, SERVED, member.reason or "it could not be started")
    if member.seconds < rules.start_timeout_seconds:
        return None
    what = "not running" if member.placed else NO_PLACE
    return Move(member.instance_id, SERVED, f"{what} within {rules.start_timeout_seconds:g} s")


def _ran(member: Member, rules: Rules) -> Move | None:
    if member.status == "ERROR":
        return Move(member.instance_id, SERVED, member.reason or "it failed")
    if member.status == "FINISHED" or not member.placed:
        return Move(member.instance_id, SERVED)
    return Move(member.instance_id, STOPPING) if member.seconds >= rules.duration_seconds else None


def _stopped(member: Member) -> Move | None:
    if not member.placed or (member.phase == STOPPING and member.status in ("PAUSED", "FINISHED", "ERROR")):
        return Move(member.instance_id, SERVED)
    if member.phase == STOPPING:
        return Move(member.instance_id, LEAVING) if member.seconds >= PAUSE_SECONDS else None
    if member.refused:
        return Move(member.instance_id, SERVED, f"cannot be taken off its device: {member.reason}")
    is_late = member.seconds >= LEAVE_SECONDS
    return Move(member.instance_id, SERVED, "could not be taken off its device in time") if is_late else None
