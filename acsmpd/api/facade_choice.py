"""Which of its own services a task of the served face runs on (Part 4 table 9, conventions section 3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from acsmpd import faults
from acsmpd.api import facade_scope as scope
from acsmpd.api.facade_scope import Sight
from acsmpd.api.platform import Platform
from acsmpd.decide import placement
from acsmpd.model import Ability
from acsmpd.spec.messages.instances import AlgoTaskInfo
from acsmpd.store import packages, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Load, Service

TASK_TYPES = ("VIDEO_REALTIME", "VIDEO_PLAYBACK", "VIDEO_FILE", "IMAGE_REALTIME")
"""In the order they are tried: the face has no word for the type, so the package's abilities decide."""


Starter = Callable[[dict[str, Any]], str]
"""Wishes for a service of a package; its AlgoServiceID."""


class Choice(Struct, frozen=True):
    """What a task of the face runs on. service_id "" = chosen when the task starts, or by placement.

    `fitting`: the packages it may run on.
    """

    service_id: str
    kind: str
    fitting: frozenset[str]


def choose(
    platform: Platform, tx: Tx, sight: Sight, info: AlgoTaskInfo, service_id: str, starter: Starter | None
) -> Choice:  # fmt: skip
    """The service named, or the best package that Labels name; that is loaded by `starter` if it is not (tables 9, 37).

    On the site no service is chosen here: placement does, among all that fit. Only what the caller brought here is
    looked at: the site's own services stay the site's.
    """
    events = placement.events_of({"RulesParams": info.rules_params})
    if service_id:
        return _by_service(tx, sight.origin, service_id, events)
    own = {row["id"]: row for row, mine in scope.packages_in_sight(platform, tx, sight) if mine}
    named = _named(tx, info.labels or {}, own)
    fitting = {package: kind for package, kind in _kinds(named, events) if kind}
    if not fitting:
        served = ", ".join(sorted({event for ability in named for event in ability.event_ids}))
        raise faults.InvalidField(
            "$.TaskInfo.RulesParams: no package of these Labels serves "
            f"{', '.join(events)}; served: {served or 'nothing'}"
        )
    loaded = _loaded(tx, sight)
    package_id = max(fitting, key=lambda one: _merit(own[one], loaded.get(one)))
    found = loaded[package_id][1] if package_id in loaded else ""
    if starter is not None and (sight.device or not found):
        found = starter(own[package_id])
    return Choice(found if sight.device else "", fitting[package_id], frozenset(fitting))


def _named(tx: Tx, labels: dict[str, Any], own: dict[str, Any]) -> list[Ability]:
    """The abilities of the packages that Labels name. InvalidField without a name, NotFound without a package."""
    if not labels.get("AlgoCaBinName"):
        raise faults.InvalidField(
            "$.TaskInfo.Labels: AlgoCaBinName is wanted where no AlgoServiceID is given"
        )
    found = [
        ability
        for ability in packages.abilities(tx)
        if ability.package_id in own and _is_named(ability, labels)
    ]
    if not found:
        shown = " ".join(str(labels[key])[:128] for key in ("AlgoCaBinName", "Version") if labels.get(key))
        raise faults.NotFound(f"$.TaskInfo.Labels: no package {shown} is here")
    return found


def _is_named(ability: Ability, labels: dict[str, Any]) -> bool:
    name, version = labels.get("AlgoCaBinName"), labels.get("Version")
    same = placement.fold(ability.package_name) == placement.fold(name)
    return same and (not version or placement.fold(ability.version) == placement.fold(version))


def _kinds(abilities: list[Ability], events: tuple[str, ...]) -> list[tuple[str, str]]:
    """(package, the first type in which it serves every event, or "")."""
    by_package: dict[str, list[Ability]] = {}
    for ability in abilities:
        by_package.setdefault(ability.package_id, []).append(ability)
    return [(package_id, _kind(found, events)) for package_id, found in by_package.items()]


def _kind(abilities: list[Ability], events: tuple[str, ...]) -> str:
    for kind in TASK_TYPES:
        served = {event for ability in abilities if kind in ability.task_types for event in ability.event_ids}
        if set(events) <= served:
            return kind
    return ""


def _loaded(tx: Tx, sight: Sight) -> dict[str, tuple[bool, str]]:
    """package id -> (whether it runs, the service) of the origin's wanted services."""
    here = (Load.device == sight.device,) if sight.device else ()
    rows = tx.rows(services.search(Service.origin == sight.origin, Load.wanted == True, *here))
    rows.sort(key=lambda row: row["status"] == "RUNNING")
    return {row["package_id"]: (row["status"] == "RUNNING", row["id"]) for row in rows}


def _merit(package: dict[str, Any], loaded: tuple[bool, str] | None) -> tuple[Any, ...]:
    """What runs comes first, then what is loaded, then the higher version."""
    running = loaded is not None and loaded[0]
    return (running, loaded is not None, placement.version_key(package["version"]), package["id"])


def _by_service(tx: Tx, origin: str, service_id: str, events: tuple[str, ...]) -> Choice:
    """The named service or a refusal, never another in its place."""
    row = tx.row(services.search(Service.id == service_id, Service.origin == origin, Load.wanted == True))
    if row is None:
        raise faults.NotFound(f"$.AlgoServiceID: no service {service_id} is loaded")
    abilities = [ability for ability in packages.abilities(tx) if ability.package_id == row["package_id"]]
    kind = _kind(abilities, events)
    if not kind:
        raise faults.InvalidField(
            f"$.TaskInfo.RulesParams: service {service_id} does not serve {', '.join(events)}"
        )
    return Choice(service_id, kind, frozenset((row["package_id"],)))
