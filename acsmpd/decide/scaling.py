"""How many replicas a package should have, which device gets the next one, and which one goes (Part 5 6.3 i).

Use decides, but never outside min..max, and a change for use's sake comes no sooner than the cool-down after the
last one. Replicas are added as many as it takes; they go one by one, since their work has to move.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from acsmpd.model import Scaling

REFUSALS = 3
"""When so many computilities in a row have refused a package, no further one is asked."""

PAUSE_MOST_SECONDS = 3600.0


class Use(Struct, frozen=True, kw_only=True):
    """What stands. `streams`: those one replica carries, None if nobody knows; `waiting`: asked for and without place.

    `broken`: replicas that have failed and carry nothing. `refused`: computilities that have refused the package since
    the last one took it.
    """

    replicas: int
    broken: int = 0
    refused: int = 0
    used: int = 0
    waiting: int = 0
    streams: int | None = None


class Member(Struct, frozen=True, kw_only=True):
    """A replica that could go, with the streams it carries. `order`: of its making, the newest has the highest."""

    load_id: str
    service_id: str
    device: str
    used: int
    order: int = 0
    of_many: bool = False  # one of several replicas of its service, the last
    broken: bool = False


class Ground(Struct, frozen=True, kw_only=True):
    """Where one more replica could be. `service_id`: one there that may have more replicas, "" for a new service.

    `has_file`: the package is there already; `loads`: services there; `room`: how many more it takes.
    """

    device: str
    service_id: str = ""
    has_file: bool = False
    loads: int = 0
    room: int = 1


def replicas_wanted(use: Use, scaling: Scaling, since_seconds: float | None) -> int:
    """`since_seconds`: since the last change, None if there was none."""
    low, high = scaling.min_replicas, max(scaling.min_replicas, scaling.max_replicas)
    now = min(max(use.replicas, low), high)
    cooling = since_seconds is not None and since_seconds < scaling.cooldown_seconds
    if not use.streams or cooling or now != use.replicas:
        return now
    per_replica = use.streams * scaling.target_use  # hundredths of streams, so that no fraction is lost
    needed = -(-(use.used + use.waiting) * 100 // per_replica) + use.broken
    if needed > now and since_seconds is not None and since_seconds < pause_seconds(use.refused, scaling):
        return now
    return min(max(needed, low, now - 1), high, now + _tries(use) if use.refused else high)


def _tries(use: Use) -> int:
    return max(0, REFUSALS - use.refused)


def pause_seconds(refused: int, scaling: Scaling) -> float:
    """How long after the last change more are added: doubled with every refusal, up to an hour."""
    once = float(scaling.cooldown_seconds)
    return max(once, min(PAUSE_MOST_SECONDS, once * 2.0 ** min(refused, REFUSALS)))


def grounds_for(grounds: Sequence[Ground], number: int) -> list[Ground]:
    """Where so many more go: one by one to the device with the fewest services, one that has the file first.

    Fewer, when there is no more room.
    """
    left = {ground.device: ground for ground in grounds}
    given: dict[str, int] = dict.fromkeys(left, 0)
    chosen: list[Ground] = []
    while len(chosen) < number:
        open_ = [ground for ground in left.values() if given[ground.device] < ground.room]
        if not open_:
            break
        best = min(open_, key=lambda one: (one.loads + given[one.device], not one.has_file, one.device))
        given[best.device] += 1
        chosen.append(best)
    return chosen


def member_to_go(members: Sequence[Member]) -> Member | None:
    """The one that carries least; of equals one that has failed first, one of several of a service, the newest."""

    def key(one: Member) -> tuple[int, bool, bool, int, str]:
        return (one.used, not one.broken, not one.of_many, -one.order, one.load_id)

    return min(members, key=key, default=None)
