"""What an instance may choose among: the services that could serve it, and with which of their capabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from acsmpd.decide.placement import version_key
from acsmpd.model import Ability, InstanceRow, Seat


class Option(Struct, frozen=True):
    """A seat that could serve an instance, and with what. A lower rank is better whatever is taken.

    `rivals`: how many there are of this rank.
    """

    seat: Seat
    picked: tuple[Ability, ...]
    capabilities: tuple[str, ...]
    rank: int
    rivals: int

    @property
    def weight(self) -> int:
        """Streams it takes: one for each capability."""
        return max(1, len(self.capabilities))


def is_meant(seat: Seat, instance: InstanceRow) -> bool:
    """Whether its pins allow the seat; the site's work and a platform's work stay strangers."""
    if instance.service_id and seat.service_id != instance.service_id:
        return False
    if instance.device and seat.device != instance.device:
        return False
    return seat.origin == instance.origin


def nothing_loaded(instance: InstanceRow) -> str:
    if instance.service_id:
        return f"service {instance.service_id} is not loaded, or not of a fitting package"
    where = f" on {instance.device}" if instance.device else ""
    return f"no service of a fitting package is loaded{where}"


def abilities_at(seat: Seat, by_event: Mapping[str, list[Ability]]) -> tuple[Ability, ...] | None:
    """One ability of the seat's package for every event, or None; without events any ability will do."""
    picked = []
    for found in by_event.values():
        here = [ability for ability in found if ability.package_id == seat.package_id]
        if not here:
            return None
        picked.append(here[0])
    return tuple(picked)


def ranked(ready: Sequence[tuple[Seat, tuple[Ability, ...]]]) -> list[Option]:
    """The highest version first, of one version our own before one of somebody else's."""
    by_version: dict[Any, list[tuple[Seat, tuple[Ability, ...]]]] = {}
    for seat, picked in ready:
        version = max((version_key(ability.version) for ability in picked), default=())
        by_version.setdefault((version, seat.ours), []).append((seat, picked))
    order = sorted(by_version, reverse=True)
    return [
        Option(seat, picked, _codes(picked), rank, len(by_version[key]))
        for rank, key in enumerate(order)
        for seat, picked in by_version[key]
    ]


def _codes(picked: Sequence[Ability]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(ability.code for ability in picked))


def labels(picked: Sequence[Ability]) -> dict[str, Any] | None:
    return {"AlgoCaBinName": picked[0].package_name, "Version": picked[0].version} if picked else None
