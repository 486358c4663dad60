"""How many streams licences and authorisation servers allow (conventions section 9).

Quotas add up within a pool: what the licences of one provider give to a computility that has its own, or to all others
together, or what the provider's server gives. Where nothing binds a service its pool is "".
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Struct

from acsmpd.model import Authorised, Claim, Grant, Source, Told

UNDECLARED = -1
"""Nobody says how many: no limit by us."""

MOST = 2**63 - 1
"""A number that a reader takes; who allows as many sets no limit."""

NOTHING = Grant(is_over=True)

Stream = tuple[str, str]
"""A pool and a capability."""


class Pool(Struct, frozen=True, kw_only=True):
    """What binds services together: licences (`grants`), else a server (`told`: capability -> what it said)."""

    words: str
    provider: str = ""
    device: str = ""  # whose own licences they are
    grants: tuple[Grant, ...] = ()
    server: int | None = None
    is_trusted: bool = True  # False: where the server never answered nothing starts
    told: Mapping[str, Told] = MappingProxyType({})

    @property
    def binds(self) -> bool:
        """Whether there is anything it could be short of."""
        return self.server is not None or total(self.grants, "") != UNDECLARED


def total(grants: Sequence[Grant], capability: str) -> int:
    """The streams of a capability that these grants of its provider allow together (table E.7)."""
    if not grants or any(one.abilities is None and not one.is_over for one in grants):
        return UNDECLARED
    found = sum((one.abilities or {}).get(capability, 0) for one in grants if not one.is_over)
    return min(found, MOST)


def pool_of(grants: Iterable[Grant], device: str) -> list[Grant]:
    """Those that bind a computility: its own if there is any, else those for all."""
    there = list(grants)
    return [one for one in there if one.device == device] or [one for one in there if not one.device]


class Quotas:
    """What is left of every pool as one stream after the other is started. An instance counts once in a pool, however
    many places it has there: it may be on its way from one to another."""

    def __init__(
        self,
        pools: Mapping[str, Pool] = MappingProxyType({}),
        used: Mapping[Stream, Collection[str]] = MappingProxyType({}),
        going: Mapping[Stream, Collection[str]] = MappingProxyType({}),
    ) -> None:
        """`used`: the instances that run, or whose start is decided; `going`: those of them that are to end."""
        self._pools = pools
        self._used = {stream: set(instances) for stream, instances in used.items()}
        self._going = {stream: set(instances) for stream, instances in going.items()}
        self._holders = {one for instances in used.values() for one in instances}
        self.asked: set[tuple[int, str]] = set()
        """(server, capability) of which somebody wanted more than it last allowed, or that it never was asked of"""

    def holds(self, instance: str) -> bool:
        """Whether it counts in any pool: others may be short where it is not."""
        return instance in self._holders

    def short(
        self, instance: str, pool: str, capabilities: Iterable[str], *, soon: bool = False
    ) -> Counter[str]:
        """capability -> streams that have to be given up before it may start there; empty when it may.

        `soon`: as it will be when those that are to go have gone.
        """
        found: Counter[str] = Counter()
        binding = self._pools.get(pool)
        if binding is None:
            return found
        for code in capabilities:
            stream = (pool, code)
            used = self._used.get(stream, set())
            if instance in used and instance not in self._going.get(stream, ()):
                continue
            left = self._left(binding, code, len(used))
            if left is not None:
                left += len(self._going.get(stream, ())) if soon else instance in used
                if left < 1:
                    found[code] = 1 - left
        return found

    def _left(self, pool: Pool, capability: str, used: int) -> int | None:
        """None: nobody says."""
        if pool.server is None:
            allowed = total(pool.grants, capability)
            return None if allowed == UNDECLARED else allowed - used
        told = pool.told.get(capability)
        if told is None:
            self.asked.add((pool.server, capability))
            return 0
        if told.total is None and not pool.is_trusted:
            self.asked.add((pool.server, capability))
            return 0
        if told.total is None or told.total == UNDECLARED:
            return None
        left = told.total - told.others - used
        if left < 1:
            self.asked.add((pool.server, capability))
        return left

    def words(self, pool: str, capability: str) -> str:
        """Why there is no room: used/total, of what, whose."""
        binding, used = self._pools[pool], len(self._used.get((pool, capability), ()))
        if binding.server is None:
            told = Told(total=total(binding.grants, capability))
        elif capability not in binding.told:
            return f"{binding.words} is being asked how many streams of {capability} it allows"
        else:
            told = binding.told[capability]
        if told.total is None:
            return f"licences are over, and {binding.words} has not said how many streams of {capability} it allows"
        return f"{used + told.others}/{told.total} streams of {capability} are used ({binding.words})"

    def take(self, instance: str, pool: str, capabilities: Iterable[str]) -> None:
        for code in capabilities if pool in self._pools else ():
            self._used.setdefault((pool, code), set()).add(instance)
            self._going.get((pool, code), set()).discard(instance)
            self._holders.add(instance)

    def give_up(self, instance: str, pool: str, capabilities: Iterable[str], *, at_once: bool) -> None:
        """It is to end there; what its device may still run counts until that is over."""
        for code in capabilities if pool in self._pools else ():
            place = self._used if at_once else self._going
            if at_once:
                place.get((pool, code), set()).discard(instance)
            else:
                place.setdefault((pool, code), set()).add(instance)


class Binding(NamedTuple):
    """`pools`: load id -> the pool whose quota binds it, of those that one binds."""

    quotas: Quotas
    pools: Mapping[str, str]


def binding(known: Authorised) -> Binding:
    """Every pool that binds a service, with the instances that count in it."""
    pools, by_load = dict[str, Pool](), dict[str, str]()
    for load_id, name, pool in _bound(known):
        if pool.binds:
            by_load[load_id], pools[name] = name, pool
    if not pools:
        return Binding(Quotas(), {})
    used, going = _used(known.claims, by_load)
    return Binding(Quotas(pools, used, going), by_load)


def streams_of(known: Authorised, capability: str) -> int:
    """Streams of a capability that count, whatever binds them."""
    return len({claim.instance for claim in known.claims if claim.capability == capability})


def running_by(known: Authorised, server: int, capability: str) -> int:
    """Streams of a capability that run by leave of a server, and that it may have counted."""
    loads = {load_id for load_id, _, pool in _bound(known) if pool.server == server}
    there = (claim for claim in known.claims if claim.capability == capability and claim.load_id in loads)
    return len({claim.instance for claim in there if claim.runs})


def licensed_streams(known: Authorised, provider: str, capability: str) -> int:
    """Streams of a capability on services that licences of its provider bind, counted in each pool; all there are where
    it has no licence (table 39)."""
    source = known.sources.get(provider)
    if source is None or not source.grants:
        return streams_of(known, capability)
    pools = {load_id: name for load_id, name, pool in _bound(known) if pool.server is None}
    used = _used(known.claims, pools)[0]
    return sum(len(instances) for (_, code), instances in used.items() if code == capability)


class Surplus(NamedTuple):
    """Instances that count in a pool, of which so many have to end. `first`: those that no licence but a lapsed one was
    ever for, of them."""

    words: str
    capability: str
    instances: frozenset[str]
    number: int
    first: frozenset[str]


def surplus(
    known: Authorised, lapsed: Mapping[str, Sequence[Grant]], graced: Mapping[str, Sequence[Grant]]
) -> list[Surplus]:
    """What runs beyond what is left, where a licence has lapsed; where none has, nobody has to end, whatever they say.

    By provider: licences whose grace has passed, and those that are over and have it still.
    """
    pools: dict[str, Pool] = {}
    devices: dict[str, set[str]] = defaultdict(set)
    by_load: dict[str, str] = {}
    for load_id, device, provider in known.loads:
        pool = _pool(known.sources[provider], device)
        if pool.server is None:
            by_load[load_id], pools[pool.words] = pool.words, pool
            devices[pool.words].add(device)
    claims = list(known.claims)
    used, going = _used(claims, by_load)
    found = []
    for (name, code), instances in used.items():
        pool, here = pools[name], devices[name]
        gone = [one for one in lapsed.get(pool.provider, ()) if _concerns(one, pool, here)]
        if not gone:
            continue
        kept = [one for one in graced.get(pool.provider, ()) if _concerns(one, pool, here)]
        allowed, staying = total([*pool.grants, *kept], code), instances - going[name, code]
        if allowed != UNDECLARED and len(staying) > allowed:
            own = {one.device for one in gone if one.device and one.device != pool.device}
            first = {claim.instance for claim in claims if claim.device in own} & staying
            found.append(Surplus(name, code, frozenset(staying), len(staying) - allowed, frozenset(first)))
    return found


def _concerns(grant: Grant, pool: Pool, devices: Collection[str]) -> bool:
    """Whether the licence was, or would be, of that pool."""
    return grant.device in devices if grant.device else not pool.device


def _bound(known: Authorised) -> Iterator[tuple[str, str, Pool]]:
    """(load id, name of its pool, the pool)."""
    for load_id, device, provider in known.loads:
        pool = _pool(known.sources[provider], device)
        yield load_id, pool.words, pool


def _pool(source: Source, device: str) -> Pool:
    """What binds a computility: licences, one of which is good; else the server; else licences that are over, or that
    there are none: what needs authorisation does not start without."""
    here, provider = pool_of(source.grants, device), source.provider
    if source.server is not None and all(one.is_over for one in here):
        # Who never answered binds nobody; but licences that are over are not opened again by naming one.
        return Pool(
            words=f"the authorisation server of {provider}", provider=provider, server=source.server,
            told=source.told, is_trusted=not any(one.is_over for one in source.grants),
        )  # fmt: skip
    if not here:
        return Pool(words=f"no licence or server of {provider}", provider=provider, grants=(NOTHING,))
    own = here[0].device
    words = f"licences of {provider}{f' for {own}' if own else ''}"
    return Pool(words=words, provider=provider, device=own, grants=tuple(here))


Instances = dict[Stream, set[str]]


def _used(claims: Iterable[Claim], pools: Mapping[str, str]) -> tuple[Instances, Instances]:
    """The instances that count, and those of them that are to end."""
    used: Instances = defaultdict(set)
    staying: Instances = defaultdict(set)
    for claim in claims:
        pool = pools.get(claim.load_id or "")
        if pool is not None:
            used[pool, claim.capability].add(claim.instance)
            if claim.stays:
                staying[pool, claim.capability].add(claim.instance)
    return used, {stream: found - staying[stream] for stream, found in used.items()}
