"""What an instance asks for, who could serve it, and who may be carrying the streams of others (conventions 3, 6)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from acsmpd.model import Ability, ForeignStream, InstanceRow, Seat


def events_of(info: Mapping[str, Any]) -> tuple[str, ...]:
    """The EventIDs of an AlgoTaskInfo's rules, in order, without repeats."""
    found = [str(rule.get("EventID") or "") for rule in info.get("RulesParams") or []]
    return tuple(dict.fromkeys(event for event in found if event))


def fold(text: object) -> str:
    """Names and versions are compared without case, space, hyphen, underscore."""
    return str(text or "").casefold().replace("-", "").replace("_", "").replace(" ", "")


def asked_by(instance: InstanceRow) -> tuple[Any, ...]:
    """What decides who could serve the instance: equal for equal work."""
    labels = instance.info.get("Labels") or {}
    name, version = fold(labels.get("AlgoCaBinName")), fold(labels.get("Version"))
    return (instance.type, events_of(instance.info), name, version, instance.capability)


def candidates(instance: InstanceRow, abilities: Sequence[Ability]) -> dict[str, list[Ability]]:
    """For each event of the instance the abilities that could serve it, best version first; by Labels, and only the
    capability it wants, if given."""
    labels = instance.info.get("Labels") or {}
    name, version = labels.get("AlgoCaBinName"), labels.get("Version")
    fitting = [
        ability
        for ability in abilities
        if (not name or fold(ability.package_name) == fold(name))
        and (not version or fold(ability.version) == fold(version))
        and instance.type in ability.task_types
        and instance.capability in ("", ability.code)
    ]
    fitting.sort(key=lambda ability: ability.code)
    fitting.sort(key=lambda ability: version_key(ability.version), reverse=True)
    return {event: [a for a in fitting if event in a.event_ids] for event in events_of(instance.info)}


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """A sortable form of a version: words before the end before numbers (1.10 > 1.9.1 > 1.9 > 1.9-rc)."""
    parts = version.replace("-", ".").replace("_", ".").split(".")
    return (*((2, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts), (1, 0, ""))


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
