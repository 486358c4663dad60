"""Where an instance runs: a pure choice among the services that are there (conventions sections 3, 6, 11).

The same seats, devices and takings give the same choice, in whatever order they come.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from msgspec import Struct

from acsmpd.decide import nearness
from acsmpd.decide.placement import asked_by, candidates, events_of, version_key
from acsmpd.model import Ability, Device, InstanceRow, Place, Seat

SPREAD, PACK, NEAREST = "spread", "pack", "nearest"
BEST = {SPREAD: "the least taken", PACK: "the fullest with room", NEAREST: "the nearest with room"}
NAMED = 3
"""Computilities that a reason names one by one."""


class Option(Struct, frozen=True):
    """A seat that could serve an instance, and with what. A lower rank is better whatever is taken."""

    seat: Seat
    picked: tuple[Ability, ...]
    weight: int
    rank: int


class Hall:
    """All seats there are, and what is taken of each as one place after the other is given."""

    def __init__(
        self,
        abilities: Sequence[Ability],
        seats: Sequence[Seat],
        devices: Mapping[str, Device],
        streams: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._abilities = abilities
        self._devices = dict(sorted(devices.items()))
        self._seats = {seat.load_id: seat for seat in sorted(seats, key=lambda seat: seat.load_id)}
        self._used = {load_id: seat.used for load_id, seat in self._seats.items()}
        self._leaving = {load_id: seat.leaving for load_id, seat in self._seats.items()}
        self._on = Counter(streams)
        for seat in self._seats.values():
            self._on[seat.device] += seat.used
        self._streams = Counter(streams)
        self._options: dict[tuple[Any, ...], list[Option] | str] = {}
        self._apart: dict[tuple[nearness.Where | None, str], nearness.Apart] = {}

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
        free = [one for one in options if self.free(one.seat) >= one.weight]
        if not free:
            waits = f"all streams of the {len(options)} fitting services are taken"
            return self._direct(instance, waits)
        return self._best(instance, free, strategy)

    def take(self, place: Place) -> None:
        """Count what is placed there."""
        if place.load_id is None:
            self._streams[place.device] += 1
        else:
            self._used[place.load_id] += place.weight
        self._on[place.device] += place.weight

    def free(self, seat: Seat) -> float:
        """Streams that are not taken; without end where the facility alone knows."""
        return float("inf") if seat.capacity is None else seat.capacity - self._used[seat.load_id]

    def soon(self, seat: Seat) -> float:
        """Streams that are not taken, or given up by those who are to go."""
        return self.free(seat) + self._leaving[seat.load_id]

    def give_up(self, load_id: str, weight: int, *, at_once: bool) -> None:
        """Somebody placed there is to go; a task that was sent keeps its streams until it is gone."""
        if at_once:
            self._used[load_id] -= weight
            self._on[self._seats[load_id].device] -= weight
        else:
            self._leaving[load_id] += weight

    def reserve(self, option: Option) -> None:
        """Keep streams there for one that waits until others have gone: nobody else may have them meanwhile."""
        self._used[option.seat.load_id] += option.weight

    def place_at(self, option: Option, how: str) -> Place:
        """The place on this very seat."""
        seat, taken = option.seat, self._taken(option.seat)
        return Place(
            seat.device, seat.load_id, _labels(option.picked),
            tuple(dict.fromkeys(ability.code for ability in option.picked)),
            f"placed on {seat.device}: {taken} streams taken, {how}",
        )  # fmt: skip

    def package_at(self, load_id: str) -> str:
        return self._seats[load_id].package_id

    # --- which seats ---------------------------------------------------------------------------------------

    def ready(self, instance: InstanceRow) -> list[Option] | str:
        """Services that could carry it, were a stream free there; or why there are none."""
        key = (*asked_by(instance), instance.origin, instance.device, instance.service_id)
        if key not in self._options:
            self._options[key] = self._find(instance)
        return self._options[key]

    def _find(self, instance: InstanceRow) -> list[Option] | str:
        by_event = candidates(instance, self._abilities)
        lacking = [event for event, found in by_event.items() if not found]
        if lacking:
            return f"no imported capability serves {', '.join(lacking)} for {instance.type}"
        fitting = [
            (seat, picked)
            for seat in self._seats.values()
            if _is_meant(seat, instance) and (picked := _abilities_at(seat, by_event)) is not None
        ]
        if not fitting:
            return _nothing_loaded(instance)
        ready = [(seat, picked) for seat, picked in fitting if not self._unable(seat)]
        if not ready:
            return self._why_none([seat for seat, _ in fitting])
        return _ranked(ready)

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

    def _best(self, instance: InstanceRow, free: Sequence[Option], strategy: str) -> Place:
        stream = nearness.place_of_stream(instance.info)
        key = self._key(stream, strategy)
        best = min(free, key=key)
        rivals = sum(one.rank == best.rank for one in free)
        return self.place_at(best, self._how(instance, best, rivals, strategy, stream))

    def _key(self, stream: nearness.Where | None, strategy: str) -> Callable[[Option], tuple[Any, ...]]:
        sign = -1 if strategy == PACK else 1

        def key(option: Option) -> tuple[Any, ...]:
            seat = option.seat
            near = self._distance(stream, seat.device)
            fill = (sign * self._share(seat), sign * self._on[seat.device])
            order = (near, *fill) if strategy == NEAREST else (fill[0], near, fill[1])
            return (option.rank, *order, seat.device, seat.load_id)

        return key

    def _distance(self, stream: nearness.Where | None, code: str) -> nearness.Apart:
        if stream is None:
            return nearness.NOWHERE
        if (stream, code) not in self._apart:
            self._apart[stream, code] = nearness.apart(stream, self._devices[code])
        return self._apart[stream, code]

    def _share(self, seat: Seat) -> float:
        """How full a seat is, 0 to 1; one of unknown capacity counts by its streams."""
        used = self._used[seat.load_id]
        return used / seat.capacity if seat.capacity else used / 1000

    def _taken(self, seat: Seat) -> str:
        used = self._used[seat.load_id]
        return f"{used} of {seat.capacity}" if seat.capacity is not None else f"{used}"

    def _how(
        self, instance: InstanceRow, best: Option, rivals: int, strategy: str, stream: nearness.Where | None
    ) -> str:
        if instance.device or instance.service_id:
            pin = "ComputilityCode" if instance.device else "AlgoServiceID"
            how = f"where its {pin} wants it"
        elif rivals == 1:
            how = "the only fitting service with room" if best.rank == 0 else "the best service with room"
        else:
            how = f"{BEST[strategy]} of {rivals} services"
        if stream is not None:
            how += f" ({nearness.words(stream, self._devices[best.seat.device])})"
        return how

    # --- direct devices --------------------------------------------------------------------------------------

    def _pinned_direct(self, device: Device) -> Place | str:
        if not device.takes_new_work:
            return f"computility {device.code} is {device.standing}"
        if self._streams[device.code] >= device.stream_limit:
            return f"all {device.stream_limit} streams of computility {device.code} are taken"
        return self._direct_place(device, "where its ComputilityCode wants it")

    def _direct(self, instance: InstanceRow, reason: str) -> Place | str:
        """A direct device takes by itself only what an operator has said it can (conventions section 6)."""
        wanted = set(events_of(instance.info))
        if instance.device or instance.service_id or not wanted:
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


def place(
    instance: InstanceRow,
    abilities: Sequence[Ability],
    seats: Sequence[Seat],
    devices: Mapping[str, Device],
    streams: Mapping[str, int] = MappingProxyType({}),
    strategy: str = SPREAD,
) -> Place | str:
    """`Hall.place` for one instance alone. `streams`: taken on direct devices."""
    return Hall(abilities, seats, devices, streams).place(instance, strategy)


def _is_meant(seat: Seat, instance: InstanceRow) -> bool:
    """Whether its pins allow the seat; the site's work and a platform's work stay strangers."""
    if instance.service_id and seat.service_id != instance.service_id:
        return False
    if instance.device and seat.device != instance.device:
        return False
    return seat.origin == instance.origin


def _nothing_loaded(instance: InstanceRow) -> str:
    if instance.service_id:
        return f"service {instance.service_id} is not loaded, or not of a fitting package"
    where = f" on {instance.device}" if instance.device else ""
    return f"no service of a fitting package is loaded{where}"


def _abilities_at(seat: Seat, by_event: Mapping[str, list[Ability]]) -> tuple[Ability, ...] | None:
    """One ability of the seat's package for every event, or None; without events any ability will do."""
    picked = []
    for found in by_event.values():
        here = [ability for ability in found if ability.package_id == seat.package_id]
        if not here:
            return None
        picked.append(here[0])
    return tuple(picked)


def _ranked(ready: Sequence[tuple[Seat, tuple[Ability, ...]]]) -> list[Option]:
    """The highest version first, of one version our own before one of somebody else's."""
    by_version: dict[Any, list[tuple[Seat, tuple[Ability, ...]]]] = {}
    for seat, picked in ready:
        version = max((version_key(ability.version) for ability in picked), default=())
        by_version.setdefault((version, seat.ours), []).append((seat, picked))
    order = sorted(by_version, reverse=True)
    return [
        Option(seat, picked, max(1, len({ability.code for ability in picked})), rank)
        for rank, key in enumerate(order)
        for seat, picked in by_version[key]
    ]


def _labels(picked: Sequence[Ability]) -> dict[str, Any] | None:
    return {"AlgoCaBinName": picked[0].package_name, "Version": picked[0].version} if picked else None
