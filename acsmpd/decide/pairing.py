"""Which of the services a facility shows are our loads (conventions section 6): pure matching."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

from acsmpd.decide.clusters import is_called_after
from acsmpd.model import LoadRow, SeenService

Env = frozenset[tuple[str, str]]


def pair(
    ledger: Sequence[LoadRow],
    seen: Sequence[SeenService],
    env_of: Callable[[LoadRow], Env],
    is_going: Callable[[SeenService], bool],
) -> tuple[dict[str, SeenService], list[SeenService]]:
    """Load id -> what is shown of it, and what is left over. No service is given to two loads; ours come first.

    `env_of` is asked of loads that nothing else tells. `is_going`: whether we sent that service away a short time ago.
    """
    sent = sorted((load for load in ledger if load.sent), key=lambda load: not load.ours)
    left, found = list(seen), {}
    for load in sent:
        service = _by_id(load, left) or _by_package(load, left)
        if service is not None:
            found[load.id] = service
            left.remove(service)
    alike: dict[tuple[str, Env], list[LoadRow]] = defaultdict(list)
    for load in sent:
        if load.ours and load.id not in found and not load.facility_id:
            alike[load.package_id, env_of(load)].append(load)
    for (package_id, env), rivals in alike.items():
        fits = [one for one in left if _is_like(one, package_id, env) and not is_going(one)]
        if len(fits) <= len(rivals):  # more: some are another's, and nobody can tell which
            for load, service in zip(rivals, fits, strict=False):
                found[load.id] = service
                left.remove(service)
    return found, left


def _by_id(load: LoadRow, seen: Iterable[SeenService]) -> SeenService | None:
    named = (load.facility_id, load.id)
    found = [one for one in seen if one.facility_id and one.facility_id in named]
    return next(iter(found), None) or next((one for one in seen if _says_so(load, one)), None)


def _says_so(load: LoadRow, service: SeenService) -> bool:
    """Whether it says that it is this load. Once ours was seen there, a label alone makes no other one ours."""
    if service.load_id != load.id:
        return False
    was_seen = bool(load.facility_id) and load.ready is not None
    return not was_seen or is_called_after(service.facility_id.rpartition("@")[0], load.id)


def _by_package(load: LoadRow, seen: Iterable[SeenService]) -> SeenService | None:
    """On a CAD, which has no ids of services."""
    return next((one for one in seen if not one.facility_id and one.package_id == load.package_id), None)


def _is_like(service: SeenService, package_id: str, env: Env) -> bool:
    """Whether it is of the package, with what was given to it (and what its facility added)."""
    given = env if service.env is None else frozenset(service.env)
    return bool(service.facility_id) and service.package_id == package_id and env <= given
