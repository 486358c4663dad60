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
    lost: bool = False  # the device of that task is lost or gone
    reason: str = ""  # what the task says for itself
    stopped: bool = False  # nobody wants it to run any more


class Move(NamedTuple):
    """An instance enters a phase; `failed` says why its turn was none."""

    instance_id: str
    phase: str
    failed: str = ""


def advance(members: Sequence[Member], rules: Rules) -> list[Move]:
    """What changes now. Without any move and nobody active the round is over."""
    moves = [move for member in members if (move := _next(member, rules, members)) is not None]
    moved = {move.instance_id: move.phase for move in moves}
    if not any(moved.get(member.instance_id, member.phase) in ACTIVE for member in members):
        waiting = [member for member in members if member.phase == WAITING]
        moves += [Move(member.instance_id, STARTING) for member in waiting[: rules.concurrency]]
    return moves


def is_over(members: Sequence[Member]) -> bool:
    """Whether everybody has had a turn."""
    return all(member.phase == SERVED for member in members)


def progress(members: int, served: int) -> float:
    """Percent of the round, 0 to 100."""
    return round(100 * served / members, 1) if members else 0.0


def _next(member: Member, rules: Rules, members: Sequence[Member]) -> Move | None:
    if member.phase not in ACTIVE:
        return None
    if member.stopped:
        return Move(member.instance_id, SERVED)
    if member.lost:
        return Move(member.instance_id, SERVED, "its computility is lost")
    if member.phase == STARTING:
        return _started(member, rules, members)
    if member.phase == RUNNING:
        return _ran(member, rules)
    if not member.placed or (member.phase == STOPPING and member.status in ("PAUSED", "FINISHED", "ERROR")):
        return Move(member.instance_id, SERVED)
    late = member.phase == STOPPING and member.seconds >= PAUSE_SECONDS
    return Move(member.instance_id, LEAVING) if late else None


def _started(member: Member, rules: Rules, members: Sequence[Member]) -> Move | None:
    if member.status == "RUNNING":
        return Move(member.instance_id, RUNNING)
    if member.status == "FINISHED":
        return Move(member.instance_id, SERVED)
    if member.status == "ERROR":
        return Move(member.instance_id, SERVED, member.reason or "it could not be started")
    # Where nobody of a batch finds a place there is nothing to inspect with: it waits, the round does not run empty.
    nobody = not any(one.placed for one in members if one.phase == STARTING)
    if nobody or member.seconds < rules.start_timeout_seconds:
        return None
    return Move(member.instance_id, SERVED, f"not running after {rules.start_timeout_seconds:g} s")


def _ran(member: Member, rules: Rules) -> Move | None:
    if member.status == "ERROR":
        return Move(member.instance_id, SERVED, member.reason or "it failed")
    if member.status == "FINISHED" or not member.placed:
        return Move(member.instance_id, SERVED)
    return Move(member.instance_id, STOPPING) if member.seconds >= rules.duration_seconds else None
