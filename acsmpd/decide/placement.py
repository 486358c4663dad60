"""Where an instance runs: a pure choice among the services that are there (conventions sections 3, 6, 11)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from acsmpd.model import Ability, Device, ForeignStream, InstanceRow, Place, Seat


def events_of(info: Mapping[str, Any]) -> tuple[str, ...]:
    """The EventIDs of an AlgoTaskInfo's rules, in order, without repeats."""
    found = [str(rule.get("EventID") or "") for rule in info.get("RulesParams") or []]
    return tuple(dict.fromkeys(event for event in found if event))


def fold(text: object) -> str:
    """Names and versions are compared without case, space, hyphen, underscore."""
    return str(text or "").casefold().replace("-", "").replace("_", "").replace(" ", "")


def candidates(instance: InstanceRow, abilities: Sequence[Ability]) -> dict[str, list[Ability]]:
    """For each event of the instance the abilities that could serve it, by Labels if given, best version first."""
    labels = instance.info.get("Labels") or {}
    name, version = labels.get("AlgoCaBinName"), labels.get("Version")
    fitting = [
        ability
        for ability in abilities
        if (not name or fold(ability.package_name) == fold(name))
        and (not version or fold(ability.version) == fold(version))
        and instance.type in ability.task_types
    ]
    fitting.sort(key=lambda ability: ability.code)
    fitting.sort(key=lambda ability: version_key(ability.version), reverse=True)
    return {event: [a for a in fitting if event in a.event_ids] for event in events_of(instance.info)}


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """A sortable form of a version: words before the end before numbers (1.10 > 1.9.1 > 1.9 > 1.9-rc)."""
    parts = version.replace("-", ".").replace("_", ".").split(".")
    return (*((2, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts), (1, 0, ""))


def place(
    instance: InstanceRow,
    abilities: Sequence[Ability],
    seats: Sequence[Seat],
    devices: Mapping[str, Device],
    streams: Mapping[str, int] = MappingProxyType({}),
) -> Place | str:
    """A place for the instance, or the reason in words why it waits. `streams`: taken on direct devices."""
    pinned = devices.get(instance.device) if instance.device else None
    if instance.device and pinned is None:
        return f"computility {instance.device} is not known"
    if pinned is not None and not pinned.support_services:
        return _direct(pinned, streams.get(pinned.code, 0))
    chosen = _best_seat(instance, abilities, seats, devices)
    return chosen if isinstance(chosen, Place) else _or_direct(instance, chosen, devices, streams)


def capabilities_at(instance: InstanceRow, abilities: Sequence[Ability], package_id: str) -> dict[str, str]:
    """event -> the capability of that package that serves it, chosen as `place` chooses."""
    by_event = candidates(instance, abilities)
    here = {
        event: [one.code for one in found if one.package_id == package_id]
        for event, found in by_event.items()
    }
    return {event: codes[0] for event, codes in here.items() if codes}


def carriers(stream: ForeignStream, seats: Sequence[Seat], abilities: Sequence[Ability]) -> list[Seat]:
    """The seats that may be carrying a stream of somebody else's: by its service, else its labels, else its events."""
    there = [seat for seat in seats if seat.device == stream.device]
    named = [seat for seat in there if stream.service_id and seat.facility_id == stream.service_id]
    if named:
        return named
    labels = stream.labels or {}
    name, version = fold(labels.get("AlgoCaBinName")), fold(labels.get("Version"))
    packages = {
        ability.package_id
        for ability in abilities
        if (fold(ability.package_name) == name and version in ("", fold(ability.version)))
        or (not name and set(ability.event_ids) & set(stream.event_ids))
    }
    return [seat for seat in there if seat.package_id in packages]


def taken_by_others(
    streams: Sequence[ForeignStream], seats: Sequence[Seat], abilities: Sequence[Ability]
) -> Counter[str]:
    """load id -> streams of others; one that may be on any of several counts at each: full beats overloaded."""
    taken: Counter[str] = Counter()
    for stream in streams:
        taken.update(seat.load_id for seat in carriers(stream, seats, abilities))
    return taken


def _best_seat(
    instance: InstanceRow, abilities: Sequence[Ability], seats: Sequence[Seat], devices: Mapping[str, Device]
) -> Place | str:
    by_event = candidates(instance, abilities)
    lacking = [event for event, found in by_event.items() if not found]
    if lacking:
        return f"no imported capability serves {', '.join(lacking)} for {instance.type}"
    options = []
    for seat in seats:
        if instance.service_id and seat.service_id != instance.service_id:
            continue
        if seat.origin != instance.origin:
            continue  # the site's work and a platform's work stay strangers
        if instance.device and seat.device != instance.device:
            continue
        picked = _abilities_at(seat, by_event)
        if picked is not None:
            options.append((seat, picked))
    if not options:
        return "no service of a fitting package is loaded" + (
            f" on {instance.device}" if instance.device else ""
        )
    return _choose(options, devices)


def _abilities_at(seat: Seat, by_event: Mapping[str, list[Ability]]) -> tuple[Ability, ...] | None:
    """One ability of the seat's package for every event, or None; without events any ability will do."""
    picked = []
    for found in by_event.values():
        here = [ability for ability in found if ability.package_id == seat.package_id]
        if not here:
            return None
        picked.append(here[0])
    return tuple(picked)


def _choose(options: list[tuple[Seat, tuple[Ability, ...]]], devices: Mapping[str, Device]) -> Place | str:
    ready = [(seat, picked) for seat, picked in options if _ready(seat, devices)]
    if not ready:
        return "no fitting service is running on a computility that takes work"
    free = [(s, p) for s, p in ready if s.capacity is None or s.capacity - s.used >= max(1, _weight(p))]
    if not free:
        return f"all streams of the {len(ready)} fitting services are taken"
    free.sort(
        key=lambda option: (not option[0].ours, _load_of(option[0]), option[0].device, option[0].load_id)
    )
    free.sort(key=lambda option: max((version_key(a.version) for a in option[1]), default=()), reverse=True)
    seat, picked = free[0]
    labels = {"AlgoCaBinName": picked[0].package_name, "Version": picked[0].version} if picked else None
    return Place(seat.device, seat.load_id, labels, tuple(dict.fromkeys(a.code for a in picked)))


def _ready(seat: Seat, devices: Mapping[str, Device]) -> bool:
    device = devices.get(seat.device)
    return seat.running and device is not None and device.takes_new_work


def _weight(picked: tuple[Ability, ...]) -> int:
    return len({ability.code for ability in picked})


def _load_of(seat: Seat) -> float:
    """How full a seat is, 0 to 1; one of unknown capacity counts by its streams."""
    return seat.used / seat.capacity if seat.capacity else seat.used / 1000


def _direct(device: Device, used: int) -> Place | str:
    if not device.takes_new_work:
        return f"computility {device.code} is {device.state}"
    if used >= device.stream_limit:
        return f"all {device.stream_limit} streams of computility {device.code} are taken"
    return Place(device.code, None, None, ())


def _or_direct(
    instance: InstanceRow, reason: str, devices: Mapping[str, Device], streams: Mapping[str, int]
) -> Place | str:
    """A direct device takes by itself only what an operator has said it can (conventions section 6)."""
    if instance.device or instance.service_id:
        return reason
    wanted = set(events_of(instance.info))
    for device in sorted(devices.values(), key=lambda found: found.code):
        offered = set(device.capabilities or [])
        free = device.takes_new_work and streams.get(device.code, 0) < device.stream_limit
        if not device.support_services and wanted and wanted <= offered and free:
            return Place(device.code, None, None, ())
    return reason
