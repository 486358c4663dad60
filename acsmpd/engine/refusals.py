"""Who has refused a package that was to be scaled: not asked again until something has changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct

from acsmpd.engine.core import Core
from acsmpd.engine.replicas import Group, Key
from acsmpd.store import devices, packages, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Copy


class Terms(Struct, frozen=True):
    """What stood when it refused: with another file, or once the device has registered again, it is asked again."""

    md5: str
    registered_ms: int | None


class Refusals:
    """Kept in memory; after a restart known again by the services that stand refused."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._terms: dict[tuple[str, str], Terms] = {}
        self._in_row: dict[Key, dict[str, str]] = defaultdict(dict)
        self._running: dict[Key, frozenset[str]] = {}

    def see(self, tx: Tx, groups: Sequence[Group]) -> list[tuple[str, str]]:
        """Take note of who refuses now; gives (package, computility) of those that are to be asked again."""
        of_package: dict[str, list[Group]] = defaultdict(list)
        for group in groups:
            of_package[group.key[0]].append(group)
        self._terms = {key: terms for key, terms in self._terms.items() if key[0] in of_package}
        again = [
            (name, device) for name, some in of_package.items() for device in self._see_one(tx, name, some)
        ]
        for group in groups:
            self._note_success(group)
        return again

    def _see_one(self, tx: Tx, name: str, groups: Sequence[Group]) -> list[str]:
        package = packages.get(tx, name)
        refusing = {
            code: (group.key, why) for group in groups for code, why in self._refusing(tx, group).items()
        }
        again = []
        for device in sorted({code for one, code in self._terms if one == name} | set(refusing)):
            row, before = devices.get(tx, device), self._terms.get((name, device))
            terms = Terms(package["md5"] if package else "", row["registered_ms"] if row else None)
            if before is None:
                self._terms[name, device] = terms
                key, why = refusing[device]
                self._in_row[key][device] = why
            elif before != terms or _runs(groups, device):
                self._forget(name, device, groups)
                again += [device] if device in refusing and before != terms else []
        return again

    def _forget(self, name: str, device: str, groups: Sequence[Group]) -> None:
        del self._terms[name, device]
        for group in groups:
            self._in_row[group.key].pop(device, None)

    def of(self, group: Group) -> Mapping[str, str]:
        """Computilities that refused the group's package since the last one took it, and why."""
        return self._in_row[group.key]

    def has_refused(self, package: str, device: str) -> bool:
        return (package, device) in self._terms

    def _refusing(self, tx: Tx, group: Group) -> dict[str, str]:
        """Computility -> why it takes the package's file, or its service, not at all; but for this box."""
        files = {
            one.device: one.error
            for one in services.copies(tx, Copy.package_id == group.key[0], Copy.parked == True)
        }
        return {
            one.device: one.error if one.parked else files[one.device]
            for one in group.loads
            if (one.parked or one.device in files)
            and one.status != "RUNNING"
            and one.device != self._core.local_code
        }

    def _note_success(self, group: Group) -> None:
        """One more that runs shows that the package is fine: those before it are a matter of their own."""
        running = frozenset(load.id for load in group.loads if load.status == "RUNNING")
        if running - self._running.get(group.key, running):
            self._in_row[group.key].clear()
        self._running[group.key] = running


def _runs(groups: Sequence[Group], device: str) -> bool:
    return any(load.device == device and load.status == "RUNNING" for group in groups for load in group.loads)


def ask_again(tx: Tx, package: str, device: str, now_ms: int) -> None:
    """What was refused there is tried afresh, be it the file or the service."""
    services.want_copy(tx, package, device, now_ms, asked=False)
    services.try_again(tx, package, device, now_ms)
