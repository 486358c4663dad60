"""The computilities of the site as a platform above may use them (Part 4 chapter 7): all but those above us."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from acsmpd.api.call import Caller
from acsmpd.api.platform import Platform
from acsmpd.decide.clusters import tasks_refused
from acsmpd.decide.fitting import cards_in, misfit
from acsmpd.decide.own_nodes import Box, OwnNode, nodes_of
from acsmpd.decide.scaling import Ground
from acsmpd.decide.upstreams import lies_above
from acsmpd.model import ONE_SERVICE, OWN_REPLICAS, PULLS_IMAGES, Device, Family, image_trouble
from acsmpd.spec.accelerators import canonical_card, folded
from acsmpd.store import devices, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Copy, Load

AWAY = ("unreachable", "suspect", "offline")
"""States in which a computility may come back any moment: what is meant for it waits."""


def boxes_of(platform: Platform, tx: Tx, caller: Caller) -> list[Box]:
    """Every computility that is one of ours for certain, whatever its state."""
    entries = platform.settings.upstream
    address = caller.address if caller.kind == "upstream" else ""
    return [
        Box(
            code=row["code"], family=Family(row["family"]), state=row["state"], name=row["name"],
            address=row["ip"], port=row["port"], infos=tuple(row["info"] or ()),
        )
        for row in devices.all_rows(tx)
        if row["approved"] and row["enabled"] and row["state"] != "gone" and row["family"] != Family.NONE.value
        and not lies_above(row["ip"], row["port"], entries, address)
    ]  # fmt: skip


def site_nodes(platform: Platform, tx: Tx, caller: Caller) -> list[OwnNode]:
    """What table 27 shows and HostName of table 33 names."""
    return nodes_of(boxes_of(platform, tx, caller))


class _There(NamedTuple):
    """By computility: services of any package, and where this package's file is, or a service of it."""

    loads: Counter[str]
    files: set[str]
    taken: set[str]


def _there(tx: Tx, package_id: str) -> _There:
    held = services.copies(tx, Copy.package_id == package_id)
    taken = {load.device for load in services.loads(tx, Load.package_id == package_id)}
    return _There(
        Counter(load.device for load in services.loads(tx, Load.wanted == True)),
        {copy.device for copy in held if copy.status == 3},
        taken | {copy.device for copy in held if not copy.ours},
    )


def grounds_of(
    platform: Platform, tx: Tx, package: dict[str, Any], card: str, caller: Caller, number: int
) -> tuple[list[Ground], list[str]]:
    """Where replicas of a package could go, and of each other computility why not.

    Those that are away, or do not tell their cards, come in when the others have too little room. `card`: the one asked
    for, "" for any; a package that asks for none runs anywhere.
    """
    wishes, there = package["manifest"].get("xpu") or (), _there(tx, package["id"])
    known, why = devices.all_devices(tx), []
    sure: list[Ground] = []
    unsure: list[Ground] = []
    for box in boxes_of(platform, tx, caller):
        device = known[box.code]
        reason = _unfit(device, box, wishes, card, box.code in there.taken) or _useless(
            platform, device, package
        )
        if reason:
            why.append(f"{box.code}: {reason}")
            continue
        ground = Ground(
            device=box.code, has_file=box.code in there.files, loads=there.loads[box.code],
            room=_room(platform, tx, device, number),
        )  # fmt: skip
        is_sure = device.takes_new_work and (not wishes or cards_in(box.infos) is not None)
        (sure if is_sure else unsure).append(ground)
    room = sum(ground.room for ground in sure)
    return (sure if room >= number else [*sure, *unsure]), why


def _useless(platform: Platform, device: Device, package: dict[str, Any]) -> str:
    """Why a service there would never run, or carry no task."""
    trouble = image_trouble(package["manifest"]) if device.family in PULLS_IMAGES else ""
    return trouble or tasks_refused(device.family, platform.settings.ccp.engine_interface)


def _unfit(device: Device, box: Box, wishes: Any, card: str, taken: bool) -> str:
    if not device.support_services:
        return "takes no services"
    if not device.takes_new_work and (device.maintenance or device.state not in AWAY):
        return device.standing
    if device.family in ONE_SERVICE and taken:
        return "a service of the package is there already"
    cards = cards_in(box.infos)
    if not wishes or cards is None:
        return "has no cards" if wishes and device.family is Family.LOCAL else ""
    if card and _folded(card) not in {folded(one) for one in cards}:
        return f"has no card {card}, but {', '.join(cards)}"
    return misfit(wishes, cards)


def _folded(card: str) -> str:
    return folded(canonical_card(card) or card)


def _room(platform: Platform, tx: Tx, device: Device, number: int) -> int:
    if device.family in OWN_REPLICAS:
        return number
    if device.family is not Family.LOCAL:
        return 1
    ports = platform.settings.runtime
    return max(0, ports.port_to - ports.port_from + 1 - services.number_on(tx, device.code))
