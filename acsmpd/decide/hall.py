"""Where an instance runs: a pure choice among the services that are there (conventions sections 3, 6, 11).

The same seats, devices and takings give the same choice, in whatever order they come.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from acsmpd.decide import nearness
from acsmpd.decide.options import Option, abilities_at, is_meant, labels, nothing_loaded, ranked
from acsmpd.decide.placement import asked_by, candidates, capabilities_at, events_of
from acsmpd.decide.quotas import Quotas
from acsmpd.model import FOR_QUOTA, Ability, Device, InstanceRow, Place, Seat, TaskRow

SPREAD, PACK, NEAREST = "spread", "pack", "nearest"
BEST = {SPREAD: "the least taken", PACK: "the fullest with room", NEAREST: "the nearest with room"}
Asked = tuple[Any, ...]
REMEMBERED = 500
"""Kinds of work whose options are kept, the first that come: each may have one for every service there is."""
NAMED = 3
"""Computilities that a reason names one by one."""


class Hall:
    """All seats there are, and what is taken of each as one place after the other is given."""

    def __init__(
        self,
        abilities: Sequence[Ability],
        seats: Sequence[Seat],
        devices: Mapping[str, Device],
        streams: Mapping[str, int] = MappingProxyType({}),
        quotas: Quotas | None = None,
    ) -> None:
        self.quotas = quotas or Quotas()
        self._abilities = abilities
        self._devices = dict(sorted(devices.items()))
        self._seats = {seat.load_id: seat for seat in sorted(seats, key=lambda seat: seat.load_id)}
        self._used = {load_id: seat.used for load_id, seat in self._seats.items()}
        self._leaving = {load_id: seat.leaving for load_id, seat in self._seats.items()}
        self._on = Counter(streams)
        for seat in self._seats.values():
            self._on[seat.device] += seat.used
        self._streams = Counter(streams)
        self._options: dict[Asked, list[Option] | str] = {}
        self._heaps: dict[tuple[Asked, str], list[tuple[Any, Option]]] = {}
        self._full: dict[Asked, str] = {}
        self._served: dict[tuple[Asked, str], dict[str, str]] = {}
        self._where = {code: nearness.place_of_device(device) for code, device in self._devices.items()}

    def place(self, instance: InstanceRow, strategy: str = SPREAD) -> Place | str:
        """A place for the instance, with the reason for it; or the reason in words why it waits."""
        pinned = self._devices.get(instance.device) if instance.device else None
        if instance.device and pinned is None:
            return f"computility {instance.device} is not known"
        if pinned is not None and not pinned.support_services:
            return self._pinned_direct(pinned)
        options = self.ready(instance)
        if isinstance(options, str):
            return self._direct(instance, options)
        stream = nearness.place_of_stream(instance.info)
        best = self._best(instance, options, strategy, stream)
        if best is None:
            return self._direct(instance, self._why_full(instance, options))
        how = self._how(instance, best, strategy, stream, alone=len(options) == 1)
        return self.place_at(best, how)

    def take(self, place: Place, instance_id: str = "") -> None:
        """Count what is placed there."""
        if place.load_id is None:
            self._streams[place.device] += 1
        else:
            self._used[place.load_id] += place.weight
            if self.quotas.holds(instance_id):
                self._full.clear()  # who was short of quota may be short of streams from now on
            self.quotas.take(instance_id, self._seats[place.load_id].pool, place.capabilities)
        self._on[place.device] += place.weight

    def take_again(self, task: TaskRow) -> bool:
        """Count a task that stood still and goes on, if its stream is free and its quota allows it; False, and nothing
        counted, if not.

        One whose device has not stopped it yet has its stream still, but not its quota if that device is lost; one that
        has finished needs none. One whose service is not here any more goes elsewhere.
        """
        if task.status == "FINISHED":
            return True
        if task.load_id is None:
            device = self._devices.get(task.device)
            return device is None or self._streams[task.device] <= device.stream_limit  # it is among them
        seat = self._seats.get(task.load_id)
        if seat is None:
            return False
        claim = (task.instance_id, seat.pool, task.capabilities or ())
        if self.quotas.short(*claim) or not (task.stopping or self.free(seat) >= task.weight):
            return False
        if task.stopping:
            self._leaving[seat.load_id] -= task.weight
        else:
            self._used[seat.load_id] += task.weight
            self._on[seat.device] += task.weight
        self.quotas.take(*claim)
        return True

    def free(self, seat: Seat) -> float:
        """Streams that are not taken; without end where the facility alone knows."""
        return float("inf") if seat.capacity is None else seat.capacity - self._used[seat.load_id]

    def soon(self, seat: Seat) -> float:
        """Streams that are not taken, or given up by those who are to go."""
        return self.free(seat) + self._leaving[seat.load_id]

    def has_room(self, option: Option, instance_id: str) -> bool:
        """Whether streams are free there, and their quota allows the instance to start."""
        if self.free(option.seat) < option.weight:
            return False
        return not option.seat.pool or not self.quotas.short(
            instance_id, option.seat.pool, option.capabilities
        )

    def short_soon(self, option: Option, instance_id: str) -> Counter[str]:
        """capability -> streams its quota lacks there even when those who are to go have gone."""
        return self.quotas.short(instance_id, option.seat.pool, option.capabilities, soon=True)

    def pool(self, load_id: str) -> str:
        """Whose quota binds it."""
        seat = self._seats.get(load_id)
        return seat.pool if seat else ""

    def give_up(
        self, load_id: str, weight: int, *, at_once: bool, of: tuple[str, Sequence[str]] = ("", ())
    ) -> None:
        """Somebody placed there is to go; a task that was sent keeps its streams until it is gone.

        `of`: the instance, with its capabilities there.
        """
        self.quotas.give_up(of[0], self.pool(load_id), of[1], at_once=at_once)
        if at_once:
            self._heaps.clear()
            self._full.clear()
            self._used[load_id] -= weight
            self._on[self._seats[load_id].device] -= weight
        else:
            self._leaving[load_id] += weight

    def reserve(self, option: Option, instance_id: str = "") -> None:
        """Keep streams there for one that waits until others have gone: nobody else may have them meanwhile."""
        self._used[option.seat.load_id] += option.weight
        self.quotas.take(instance_id, option.seat.pool, option.capabilities)

    def place_at(self, option: Option, how: str) -> Place:
        """The place on this very seat."""
        seat, taken = option.seat, self._taken(option.seat)
        return Place(
            seat.device, seat.load_id, labels(option.picked), option.capabilities,
            f"placed on {seat.device}: {taken} streams taken, {how}",
        )  # fmt: skip

    def served_at(self, instance: InstanceRow, load_id: str) -> dict[str, str]:
        """event -> the capability that serves it there."""
        key = (_asked(instance), self._seats[load_id].package_id)
        if key not in self._served:
            self._served[key] = capabilities_at(instance, self._abilities, key[1])
        return self._served[key]

    # --- which seats ---------------------------------------------------------------------------------------

    def ready(self, instance: InstanceRow) -> list[Option] | str:
        """Services that could carry it, were a stream free there; or why there are none."""
        key = _asked(instance)
        found = self._options.get(key)
        if found is None:
            found = self._find(instance)
            if (
                len(self._options) < REMEMBERED
            ):  # to forget others for it would serve nobody: they come in turn
                self._options[key] = found
        return found

    def _find(self, instance: InstanceRow) -> list[Option] | str:
        by_event = candidates(instance, self._abilities)
        lacking = [event for event, found in by_event.items() if not found]
        if lacking:
            return f"no imported capability serves {', '.join(lacking)} for {instance.type}"
        fitting = [
            (seat, picked)
            for seat in self._seats.values()
            if is_meant(seat, instance) and (picked := abilities_at(seat, by_event)) is not None
        ]
        if not fitting:
            return nothing_loaded(instance)
        ready = [(seat, picked) for seat, picked in fitting if not self._unable(seat)]
        if not ready:
            return self._why_none([seat for seat, _ in fitting])
        return ranked(ready)

    def _unable(self, seat: Seat) -> str:
        """Why the seat takes nothing new, "" if it does."""
        device = self._devices.get(seat.device)
        if device is None:
            return "not known"
        if not device.takes_new_work:
            return device.standing
        return seat.misfit or ("" if seat.running else "its service is not running")

    def _why_none(self, seats: Sequence[Seat]) -> str:
        said = {seat.device: self._unable(seat) for seat in seats}
        named = "; ".join(f"{code}: {why}" for code, why in sorted(said.items())[:NAMED])
        more = f"; and {len(said) - NAMED} more" if len(said) > NAMED else ""
        return f"no fitting service is running on a computility that takes work ({named}{more})"

    # --- which of them ---------------------------------------------------------------------------------------

    def _best(
        self, instance: InstanceRow, options: Sequence[Option], strategy: str, stream: nearness.Where | None
    ) -> Option | None:
        if stream is None and strategy != PACK:
            return self._first(instance, options, strategy)
        free = [one for one in options if self.has_room(one, instance.id)]
        close = self._foremost(free, strategy, stream)
        near = {
            code: nearness.apart(stream, self._where[code]) for code in {one.seat.device for one in close}
        }
        least = min(near.values(), default=None)
        nearest = [one for one in close if near[one.seat.device] == least]
        return min(nearest, key=self._key(near, strategy), default=None)

    def _foremost(self, free: Sequence[Option], strategy: str, stream: nearness.Where | None) -> list[Option]:
        """Those that are the best by what comes first in the order: only for them a distance is worth its price."""
        rank = min((one.rank for one in free), default=0)
        first = [one for one in free if one.rank == rank]
        if strategy == NEAREST and stream is not None:
            codes = {one.seat.device for one in first}
            steps = {code: nearness.steps_apart(stream, self._where[code]) for code in codes}
            weighed: list[tuple[Any, Option]] = [(steps[one.seat.device], one) for one in first]
        else:
            sign = -1 if strategy == PACK else 1
            weighed = [(sign * self._share(one.seat), one) for one in first]
        least = min((weight for weight, _ in weighed), default=None)
        return [one for weight, one in weighed if weight == least]

    def _first(self, instance: InstanceRow, options: Sequence[Option], strategy: str) -> Option | None:
        """The same without looking at every option for every instance.

        As places are taken a seat only becomes a worse choice, so the one that stands first is the best if it stands
        where it belongs; one that is full, or short of quota, has nothing to look for there until somebody gives up a
        place. Whoever holds a quota already is short where others are not.
        """
        key = self._key(None, strategy)
        asked = (_asked(instance), strategy)
        if asked[0] not in self._options or self.quotas.holds(instance.id):
            return min((one for one in options if self.has_room(one, instance.id)), key=key, default=None)
        if asked not in self._heaps:
            self._heaps[asked] = sorted((key(one), one) for one in options)
        heap = self._heaps[asked]
        while heap:
            stood, option = heap[0]
            stands = key(option)
            if not self.has_room(option, instance.id):
                heapq.heappop(heap)
            elif stands == stood:
                return option
            else:
                heapq.heapreplace(heap, (stands, option))
        return None

    def _why_full(self, instance: InstanceRow, options: Sequence[Option]) -> str:
        """For want of streams, or of quota: the same for all that want the same, until somebody gives up a place."""
        key, said = _asked(instance), f"all streams of the {len(options)} fitting services are taken"
        if key in self._full:
            return self._full[key]
        for one in options:
            if self.free(one.seat) >= one.weight:
                code = next(iter(self.quotas.short(instance.id, one.seat.pool, one.capabilities)))
                said = f"{FOR_QUOTA}: {self.quotas.words(one.seat.pool, code)}"
                break
        if not self.quotas.holds(instance.id):
            self._full[key] = said
        return said

    def _key(
        self, apart: Mapping[str, nearness.Apart] | None, strategy: str
    ) -> Callable[[Option], tuple[Any, ...]]:
        """`apart`: how far the computilities are from the stream; None when it does not say where it is."""
        sign = -1 if strategy == PACK else 1

        def key(option: Option) -> tuple[Any, ...]:
            seat = option.seat
            near = apart[seat.device] if apart is not None else nearness.NOWHERE
            fill = (sign * self._share(seat), sign * self._on[seat.device])
            order = (near, *fill) if strategy == NEAREST else (fill[0], near, fill[1])
            return (option.rank, *order, seat.device, seat.load_id)

        return key

    def _share(self, seat: Seat) -> float:
        """How full a seat is, 0 to 1; one of unknown capacity counts by its streams."""
        used = self._used[seat.load_id]
        return used / seat.capacity if seat.capacity else used / 1000

    def _taken(self, seat: Seat) -> str:
        used = self._used[seat.load_id]
        return f"{used} of {seat.capacity}" if seat.capacity is not None else f"{used}"

    def _how(
        self,
        instance: InstanceRow,
        best: Option,
        strategy: str,
        stream: nearness.Where | None,
        *,
        alone: bool,
    ) -> str:
        if instance.device or instance.service_id:
            pin = "ComputilityCode" if instance.device else "AlgoServiceID"
            how = f"where its {pin} wants it"
        elif best.rivals == 1:
            how = "the only fitting service" if alone else "the best service with room"
        else:
            how = f"{BEST[strategy]} of {best.rivals} services"
        if stream is not None:
            how += f" ({nearness.words(stream, self._where[best.seat.device])})"
        return how

    # --- direct devices --------------------------------------------------------------------------------------

    def _pinned_direct(self, device: Device) -> Place | str:
        if not device.takes_new_work:
            return f"computility {device.code} is {device.standing}"
        if self._streams[device.code] >= device.stream_limit:
            return f"all {device.stream_limit} streams of computility {device.code} are taken"
        return self._direct_place(device, "where its ComputilityCode wants it")

    def _direct(self, instance: InstanceRow, reason: str) -> Place | str:
        """A direct device takes by itself only what an operator has said it can, and only work of the site (conventions
        section 6)."""
        wanted = set(events_of(instance.info))
        if instance.device or instance.service_id or instance.origin or not wanted:
            return reason
        for device in self._devices.values():
            offered = set(device.capabilities or [])
            free = device.takes_new_work and self._streams[device.code] < device.stream_limit
            if not device.support_services and wanted <= offered and free:
                return self._direct_place(device, "a direct device that offers what it asks for")
        return reason

    def _direct_place(self, device: Device, how: str) -> Place:
        taken = f"{self._streams[device.code]} of {device.stream_limit} streams taken"
        return Place(device.code, None, None, (), f"placed on {device.code}: {taken}, {how}")


def _asked(instance: InstanceRow) -> Asked:
    """Equal for instances that have the same choice."""
    return (*asked_by(instance), instance.origin, instance.device, instance.service_id)
