"""Whether quotas allow what somebody starts by name (conventions section 9). A plan starts what fits, and its others
wait; whoever names instances is told at once which cannot start."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from acsmpd import faults
from acsmpd.api.platform import Platform
from acsmpd.api.waiting import LONGEST_SECONDS, hold
from acsmpd.decide.hall import Hall
from acsmpd.decide.policies import Policies
from acsmpd.decide.quotas import Binding, binding
from acsmpd.decide.settling import Wish, settle
from acsmpd.model import FOR_QUOTA, Seat
from acsmpd.store import (
    asks,
    authquotas,
    authservers,
    devices,
    packages,
    plans,
    policies,
    quotas,
    services,
    turning,
)
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance, Load

T = TypeVar("T")

MORE_SECONDS = 1.0
"""Beyond the time of a server that is asked afresh a start is held no longer than this."""

AHEAD = 500
"""Instances that come first and are looked at: where so many wait there is nothing left anyway."""

NAMED = 20
"""Instances that a refusal names one by one."""


class PastQuota(faults.Conflict):
    """No quota allows the start. `servers`: (server, capability) that were last known to allow too little."""

    def __init__(self, message: str, servers: Collection[tuple[int, str]] = ()) -> None:
        super().__init__(message)
        self.servers = frozenset(servers)


class Refused(Struct, frozen=True):
    """Who may not start: instance id -> why; and the servers that would have to allow it."""

    why: Mapping[str, str] = MappingProxyType({})
    servers: frozenset[tuple[int, str]] = frozenset()

    def fault(self) -> PastQuota:
        """What the caller is told, with used/total of the first."""
        named = ", ".join(list(self.why)[:NAMED])
        return PastQuota(f"cannot start {named}: {next(iter(self.why.values()))}", self.servers)


def afresh(platform: Platform, now_ms: int, start: Callable[[], T]) -> T:
    """What `start` gives. When it is refused by what a server said last, that is asked, and `start` is tried once more.

    Raises PastQuota.
    """
    try:
        return start()
    except PastQuota as past:
        if not past.servers:
            raise
        _ask(platform, past.servers, now_ms)
    return start()


def ask_afresh(platform: Platform, instance_ids: Sequence[str], now_ms: int) -> None:
    """Before any of these would be refused by what a server said last, that is asked."""
    with platform.store.read() as tx:
        servers = refused(tx, instance_ids, now_ms).servers if authservers.rows(tx) else frozenset()
    if servers:
        _ask(platform, servers, now_ms)


def _ask(platform: Platform, servers: Collection[tuple[int, str]], now_ms: int) -> None:
    with platform.store.write() as tx:
        named = [authquotas.ask(tx, *one, now_ms) for one in sorted(servers)]
    platform.wake()
    seconds = min(LONGEST_SECONDS, platform.settings.licences.quota_timeout_seconds + MORE_SECONDS)
    over = platform.clock.now().mono + seconds
    done = hold(platform, seconds, lambda tx: not any(asks.is_open(tx, one) for one in named))
    if not done and platform.clock.now().mono < over:
        raise faults.SlowDown(
            "the authorisation server is being asked whether it allows more streams, and too many wait for it already",
            retry_after_seconds=1,
        )


def refused(tx: Tx, instance_ids: Sequence[str], now_ms: int) -> Refused:
    """Those of these instances that could not start now for want of quota: what runs counts, and what is to run and has
    no place yet comes first. One that is waiting for something else, or takes the place of a lower one, may be started.
    """
    found = binding(quotas.authorised(tx, now_ms))
    return _refused(tx, found, instance_ids) if found.pools and instance_ids else Refused()


def _refused(tx: Tx, bound: Binding, instance_ids: Sequence[str]) -> Refused:
    abilities = packages.abilities(tx)
    rules = Policies(policies.policies(tx), abilities)
    hall = Hall(abilities, list(_seats(tx, bound)), devices.all_devices(tx), quotas=bound.quotas)
    new = set(instance_ids)
    settle(list(_others(tx, new)), hall, rules)
    decided = settle(list(_starting(tx, instance_ids)), hall, rules)
    why = {
        one.instance.id: one.reason.split(f"{FOR_QUOTA}: ", 1)[1]
        for one in decided
        if one.place is None and FOR_QUOTA in one.reason and not rules.priority(one.instance).preempts
    }
    return Refused(why, frozenset(bound.quotas.asked) if why else frozenset())


def _seats(tx: Tx, bound: Binding) -> Iterator[Seat]:
    """Every service as if it ran and had room for all: what lacks beside quota is waited for."""
    origins = services.origins(tx)
    for load in services.loads(tx, Load.wanted == True):
        yield Seat(
            load.id, load.service_id, load.package_id, load.device, True, 0, None,
            origins.get(load.service_id, ""), load.facility_id, load.ours, pool=bound.pools.get(load.id, ""),
        )  # fmt: skip


def _others(tx: Tx, new: Collection[str]) -> Iterator[Wish]:
    """Whoever is to run by now and does not, but for those that wait for something else than quota."""
    for instance in plans.next_to_place(tx, AHEAD):
        if instance.id not in new:
            yield Wish(instance)
    for instance, task in turning.resting(tx, turning.astray(tx)["running"]):
        if instance.id not in new:
            yield Wish(instance, rests=task)


def _starting(tx: Tx, instance_ids: Sequence[str]) -> Iterator[Wish]:
    for first in range(0, len(instance_ids), plans.CHUNK):
        some = instance_ids[first : first + plans.CHUNK]
        resting = plans.present_tasks(tx, some)
        for instance in plans.instances(tx, Instance.id.in_(some)):
            task = resting.get(instance.id)
            if task is not None and task.status == "FINISHED":
                task = replace(task, status="PAUSED")  # it begins anew, and needs a stream for it
            if task is not None and task.parked and not task.sent:
                task = None  # refused before: it is placed anew
            if task is None or task.wanted == "paused" or task.status == "PAUSED":
                yield Wish(instance, rests=task)
