"""Who gets which place, in one go: by priority, with pre-emption (Part 5 6.3 h). Equal input, equal output.

A place is taken only from somebody of strictly lower priority, and priorities are served from the top: nobody who
was placed in a pass can lose that place in it, and what is displaced can only displace still lower ones. So every
chain ends, and passes come to rest.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from acsmpd.decide.hall import NAMED, Hall
from acsmpd.decide.options import Option
from acsmpd.decide.policies import Policies, Priority
from acsmpd.decide.quotas import Stream
from acsmpd.model import InstanceRow, Place, TaskRow


class Wish(Struct, frozen=True):
    """An instance that is to have a place. `before`: why it has to leave its last one, "" when it has none.

    `rests`: its task that stands still and takes no stream meanwhile: it goes on there if one is free.
    """

    instance: InstanceRow
    before: str = ""
    rests: TaskRow | None = None


class Held(Struct, frozen=True):
    """A place on a service that is an instance's only one. `sent`: the device may have its task."""

    task: int
    instance: InstanceRow
    device: str
    load_id: str
    weight: int
    sent: bool
    capabilities: tuple[str, ...] = ()


class Decision(Struct, frozen=True):
    """The place with its reason, or None and why it waits. `evicts`: whose places go for it.

    `goes_on`: the row of the task that stood still and goes on; `leaves`: of one for which there is no stream.
    """

    instance: InstanceRow
    place: Place | None
    reason: str
    evicts: tuple[Held, ...] = ()
    preempted_by: str = ""
    goes_on: int | None = None
    leaves: int | None = None


Key = tuple[int, bool, int, str]


class Settling:
    """One pass over all wishes; see `settle`."""

    def __init__(self, hall: Hall, policies: Policies, held: Sequence[Held]) -> None:
        self._hall, self._policies = hall, policies
        self._value = {one.task: policies.priority(one.instance).value for one in held}
        self._on: dict[str, list[Held]] = defaultdict(list)
        self._in: dict[Stream, dict[int, Held]] = defaultdict(dict)  # the same by pool and capability
        for one in sorted(
            held, key=lambda one: (self._value[one.task], -one.instance.number, one.instance.id)
        ):
            if not one.instance.pinned:
                self._on[one.load_id].append(one)  # the lowest first, of equals the newest
                for stream in self._streams(one):
                    self._in[stream][one.task] = one
        self._queue: list[tuple[Key, Wish]] = []

    def run(self, wishes: Sequence[Wish]) -> list[Decision]:
        for wish in wishes:
            self._put(wish)
        decided = []
        while self._queue:
            decided.append(self._decide(heapq.heappop(self._queue)[1]))
        return decided

    def _put(self, wish: Wish) -> None:
        """The highest priority first, what was watched before what is new, then the oldest."""
        instance = wish.instance
        key = (-self._policies.priority(instance).value, not wish.before, instance.number, instance.id)
        heapq.heappush(self._queue, (key, wish))

    def _decide(self, wish: Wish) -> Decision:
        rests = wish.rests
        if rests is None:
            return self._choose(wish)
        if self._hall.take_again(rests):
            return Decision(wish.instance, None, "", goes_on=rests.id)
        return replace(self._choose(wish), leaves=rests.id)

    def _choose(self, wish: Wish) -> Decision:
        instance = wish.instance
        choice = self._hall.place(instance, self._policies.of(instance).strategy)
        if isinstance(choice, Place):
            return self._placed(wish, choice)
        priority = self._policies.priority(instance)
        options = self._hall.ready(instance) if priority.preempts else ""
        if isinstance(options, str):
            return self._waits(instance, choice)
        return self._preempt(wish, priority, options) or self._waits(instance, choice + _held_up(options))

    def _placed(self, wish: Wish, place: Place, evicts: tuple[Held, ...] = ()) -> Decision:
        self._hall.take(place, wish.instance.id)
        reason = f"{wish.before}: {place.reason}" if wish.before else place.reason
        return Decision(wish.instance, replace(place, reason=reason), reason, evicts)

    def _waits(self, instance: InstanceRow, reason: str, evicts: tuple[Held, ...] = ()) -> Decision:
        by = instance.preempted_by
        said = f"its place was taken by {by}; {reason}" if by else reason
        return Decision(instance, None, said, evicts, by)

    # --- taking the place of another ---------------------------------------------------------------------

    def _preempt(self, wish: Wish, priority: Priority, options: Sequence[Option]) -> Decision | None:
        """Wait for streams that are being given up, else have the lowest give theirs up; None: nobody is lower."""
        me = wish.instance.id
        leaving = [
            one
            for one in options
            if self._hall.soon(one.seat) >= one.weight and not self._hall.short_soon(one, me)
        ]
        if leaving:
            option = min(leaving, key=lambda one: (one.rank, one.seat.device, one.seat.load_id))
            self._hall.reserve(option, me)
            return self._waits(wish.instance, f"a stream on {option.seat.device} is being given up for it")
        able = [one for one in options if not one.seat.stuck]  # where one is held the next would be as well
        found = [(option, gone) for option in able if (gone := self._below(option, priority.value, me))]
        if not found:
            return None
        option, gone = min(found, key=self._cost)
        self._evict(wish.instance, priority, gone)
        if self._hall.has_room(option, me):
            names = ", ".join(one.instance.id for one in gone)
            return self._placed(wish, self._hall.place_at(option, f"the place of {names}"), gone)
        self._hall.reserve(option, me)
        names = ", ".join(one.instance.id for one in gone)
        return self._waits(
            wish.instance, f"instance {names} gives up its place on {option.seat.device} for it", gone
        )

    def _below(self, option: Option, value: int, instance_id: str) -> tuple[Held, ...]:
        """Whose places make room on the seat, and in its quota: the lowest, the newest of equals, and no more than it
        takes; none where that does not do."""
        lacking = option.weight - self._hall.soon(option.seat)
        gone: list[Held] = []
        for one in self._on[option.seat.load_id]:
            if lacking <= 0 or self._value[one.task] >= value:
                break
            gone.append(one)
            lacking -= one.weight
        if lacking > 0:
            return ()
        for one in reversed(gone.copy()):  # the highest of them is spared first, where that still makes room
            if one.weight <= -lacking:
                gone.remove(one)
                lacking += one.weight
        return self._with_quota(option, value, instance_id, gone)

    def _with_quota(self, option: Option, value: int, instance_id: str, gone: list[Held]) -> tuple[Held, ...]:
        """Them, and those whose going makes room in the quota; none where too few are lower."""
        short = self._hall.short_soon(option, instance_id)
        for one in gone:
            short.subtract(set(one.capabilities) & short.keys())
        for code in list(short):
            for one in self._in[option.seat.pool, code].values() if short[code] > 0 else ():
                if short[code] <= 0 or self._value[one.task] >= value:
                    break
                if one not in gone:
                    gone.append(one)
                    short.subtract(set(one.capabilities) & short.keys())
        return () if max(short.values(), default=0) > 0 else tuple(gone)

    def _streams(self, one: Held) -> list[Stream]:
        """What it holds of quotas."""
        pool = self._hall.pool(one.load_id)
        return [(pool, code) for code in one.capabilities] if pool else []

    def _cost(self, found: tuple[Option, tuple[Held, ...]]) -> tuple[int, int, int, str, str]:
        option, gone = found
        seat = option.seat
        return (max(self._value[one.task] for one in gone), len(gone), option.rank, seat.device, seat.load_id)

    def _evict(self, instance: InstanceRow, priority: Priority, gone: Sequence[Held]) -> None:
        for one in gone:
            self._on[one.load_id].remove(one)
            for stream in self._streams(one):
                self._in[stream].pop(one.task, None)
            mine = (one.instance.id, one.capabilities)
            self._hall.give_up(one.load_id, one.weight, at_once=not one.sent, of=mine)
            by = f"instance {instance.id} (priority {priority.value} over {self._value[one.task]})"
            displaced = replace(one.instance, preempted_by=by)
            self._put(Wish(displaced, f"moved from {one.device}, where its place was taken by {by}"))


def _held_up(options: Sequence[Option]) -> str:
    """Where somebody was to make room and does not."""
    stuck = sorted({one.seat.device for one in options if one.seat.stuck})
    return f"; a task that is to go has not left {', '.join(stuck[:NAMED])}" if stuck else ""


def settle(
    wishes: Sequence[Wish], hall: Hall, policies: Policies, held: Sequence[Held] = ()
) -> list[Decision]:
    """A decision for every wish and for everybody displaced, in the order in which they have to be written.

    `held`: the places that may be taken away; those of others and those that are pinned never are.
    """
    return Settling(hall, policies, held).run(wishes)
