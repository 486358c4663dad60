"""What becomes of an instance's places when a computility is lost or comes back (conventions section 11).

gap: the old place is given up when the new one is chosen; there are never two wanted places.
double: the old one stays until the new one is seen running; when the lost computility returns first, the new one
goes. There are never more than two.
"""

from __future__ import annotations

from msgspec import Struct

from acsmpd.model import Policy, TaskRow

DOUBLE = "double"


class Spot(Struct, frozen=True):
    """A wanted place. `lost_seconds`: how long its computility has been lost, None if it is not lost.

    `ends`: its service is not wanted any more; `refused`: its computility will not run it again.
    """

    task: TaskRow
    lost_seconds: float | None = None
    ends: bool = False
    refused: bool = False

    @property
    def stands(self) -> bool:
        return self.lost_seconds is None and not self.ends and not self.refused


class Failover(Struct, frozen=True):
    """`gone`: places to give up now. `moves`: the place to be replaced; `keeps`: it or `stays` is wanted on beside
    the new one (its row), None if none is. `wait_seconds`: how long until it moves."""

    gone: tuple[int, ...] = ()
    moves: Spot | None = None
    keeps: int | None = None
    wait_seconds: float = 0.0


def fail_over(new: Spot, old: Spot | None, policy: Policy, *, movable: bool) -> Failover:
    """`new`: the present place; `old`: the one it stands in for, if that is wanted still."""
    if old is not None:
        over = _which_goes(new, old, policy)
        if over is not None:
            rest = new if over is old else old
            left = fail_over(rest, None, policy, movable=movable)
            return Failover((over.task.id, *left.gone), left.moves, left.keeps, left.wait_seconds)
    if new.ends:
        return Failover(moves=new, keeps=old.task.id if old else None)
    if not movable or new.stands:
        return Failover()
    if new.lost_seconds is None:
        return Failover(moves=new, keeps=old.task.id if old else None)
    if new.lost_seconds < policy.delay_seconds:
        return Failover(wait_seconds=policy.delay_seconds - new.lost_seconds)
    keeps = old.task.id if old else new.task.id if policy.failover == DOUBLE else None
    return Failover(moves=new, keeps=keeps)


def _which_goes(new: Spot, old: Spot, policy: Policy) -> Spot | None:
    """Which of two places is given up, None while both stay."""
    runs = new.stands and new.task.sent and new.task.status in ("RUNNING", "FINISHED")
    if runs or old.ends or policy.failover != DOUBLE or new.task.wanted != "running":
        return old
    return new if old.stands else None
