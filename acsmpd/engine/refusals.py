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
        again = []
        for group in groups:
            refusing = self._refusing(tx, group)
            package = packages.get(tx, group.key[0])
            known = {device for name, device in self._terms if name == group.key[0]}
            for device in sorted(known | set(refusing)):
                row = devices.get(tx, device)
                terms = Terms(package["md5"] if package else "", row["registered_ms"] if row else None)
                if self._has_changed(group, device, terms, refusing):
                    again.append((group.key[0], device))
            self._note_success(group)
        return again

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
        here = {one.device: one.error if one.parked else files.get(one.device, "") for one in group.loads}
        held = {one.device for one in group.loads if one.parked or one.device in files}
        return {code: here[code] for code in held if code != self._core.local_code}

    def _has_changed(self, group: Group, device: str, terms: Terms, refusing: Mapping[str, str]) -> bool:
        """Whether one that refuses still did so under other terms than now."""
        key, in_row = (group.key[0], device), self._in_row[group.key]
        before = self._terms.get(key)
        if before is not None and (before != terms or self._runs(group, device)):
            del self._terms[key]
            in_row.pop(device, None)
            return device in refusing and before != terms
        if before is None and device in refusing:
            self._terms[key] = terms
            in_row[device] = refusing[device]
        return False

    def _runs(self, group: Group, device: str) -> bool:
        return any(load.device == device and load.status == "RUNNING" for load in group.loads)

    def _note_success(self, group: Group) -> None:
        """One more that runs shows that the package is fine: those before it are a matter of their own."""
        running = frozenset(load.id for load in group.loads if load.status == "RUNNING")
        if running - self._running.get(group.key, running):
            self._in_row[group.key].clear()
        self._running[group.key] = running


def ask_again(tx: Tx, package: str, device: str, now_ms: int) -> None:
    """What was refused there is tried afresh, be it the file or the service."""
    services.want_copy(tx, package, device, now_ms, asked=False)
    services.try_again(tx, package, device, now_ms)
