"""What instances name must be there: computilities, services, priority classes, events of a package."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from acsmpd import faults
from acsmpd.api.platform import Platform
from acsmpd.decide import placement
from acsmpd.decide.clusters import tasks_refused
from acsmpd.model import Ability
from acsmpd.store import devices, packages, policies, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Load


def check_control(platform: Platform, tx: Tx, device: str, service_id: str, path: str) -> None:
    """Nothing can be pinned where no tasks are controlled, or to a service there."""
    named = {f"{path}.ComputilityCode": [device] if device else []}
    if service_id:
        loads = services.loads(tx, Load.service_id == service_id)
        named[f"{path}.AlgoServiceID"] = [load.device for load in loads]
    for member, codes in named.items():
        for one in devices.some(tx, codes) if codes else ():
            refused = tasks_refused(one.family, platform.settings.ccp.engine_interface)
            if refused:
                raise faults.NotSupported(f"{member}: computility {one.code}: {refused}")


class Mentions:
    """Judges them; what is there is read once for all the instances of a request, be they thousands."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self._pins: set[tuple[str, str]] = {("", "")}
        self._labels: dict[tuple[str, str], tuple[set[str], bool]] = {}

    def check_pins(self, device: str, service_id: str, path: str) -> None:
        if (device, service_id) in self._pins:
            return
        if device and devices.device(self._tx, device) is None:
            raise faults.NotFound(f"{path}.ComputilityCode: no computility {device}")
        if service_id and services.service(self._tx, service_id) is None:
            raise faults.NotFound(f"{path}.AlgoServiceID: no service {service_id}")
        self._pins.add((device, service_id))

    def check_class(self, name: str, path: str) -> None:
        """A class is one of some schedule policy; which of them counts for the instance is seen at placement."""
        if name and name not in self._classes:
            raise faults.InvalidField(
                f"{path}.PriorityClass: no schedule policy has a class {name}; "
                f"there are: {', '.join(sorted(self._classes)) or 'none'}"
            )

    def check_labels(self, body: Mapping[str, Any], path: str) -> None:
        """Labels naming an imported package that lacks the event are 40001; an unknown package may still come."""
        labels = body.get("Labels") or {}
        name = labels.get("AlgoCaBinName")
        if not name:
            return
        served, is_known = self._served(placement.fold(name), placement.fold(labels.get("Version")))
        for place, rule in enumerate(body.get("RulesParams") or []):
            event = rule.get("EventID")
            if is_known and event and event not in served:
                raise faults.InvalidField(
                    f"{path}.RulesParams[{place}].EventID: package {name} does not serve {event}; "
                    f"it serves {', '.join(sorted(served)) or 'nothing'}"
                )

    def _served(self, name: str, version: str) -> tuple[set[str], bool]:
        """The events packages of that name (and version, if given) serve, and whether there is such a package."""
        if (name, version) not in self._labels:
            named = [
                ability
                for ability in self._abilities
                if placement.fold(ability.package_name) == name
                and version in ("", placement.fold(ability.version))
            ]
            self._labels[name, version] = {event for one in named for event in one.event_ids}, bool(named)
        return self._labels[name, version]

    @cached_property
    def _abilities(self) -> list[Ability]:
        return packages.abilities(self._tx)

    @cached_property
    def _classes(self) -> set[str]:
        return {one.name for policy in policies.policies(self._tx) for one in policy.classes}
