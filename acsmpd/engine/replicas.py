"""What scaling is decided by: replicas counted together, who waits for one, where more could be, which could go."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct
from msgspec.structs import replace

from acsmpd.decide import fitting, nearness
from acsmpd.decide.clusters import tasks_refused
from acsmpd.decide.placement import candidates
from acsmpd.decide.scaling import Ground, Member, Use
from acsmpd.engine.core import Core
from acsmpd.engine.seating import seats_of
from acsmpd.model import (
    KEEPS_RUNNING,
    ONE_SERVICE,
    OWN_REPLICAS,
    Ability,
    Device,
    Family,
    InstanceRow,
    LoadRow,
    Policy,
    Scaling,
    Seat,
)
from acsmpd.store import devices, foreign, packages, plans, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Copy, Instance, Load, Task

Key = tuple[str, str]
"""Package, region ("" where the site counts as a whole)."""


class Group(Struct, frozen=True):
    """Replicas of a package that are counted together, with their loads, the oldest first.

    Those on lost computilities are not among them: their streams wait. `like`: the service others are made after.
    """

    key: Key
    scaling: Scaling
    like: str
    seats: tuple[Seat, ...]
    loads: tuple[LoadRow, ...]
    waiting: int = 0
    everybody: frozenset[str] = frozenset()  # their loads, those on lost computilities too
    many: Mapping[str, int] = MappingProxyType({})  # load id -> its replicas, where a load has several

    def of_load(self, load_id: str) -> int:
        return self.many.get(load_id, 1)

    @property
    def number(self) -> int:
        return sum(self.of_load(seat.load_id) for seat in self.seats)

    @property
    def name(self) -> str:
        package, region = self.key
        return f"{package} in {region}" if region else package

    @property
    def use(self) -> Use:
        ready = {load.id: load.ready for load in self.loads if load.ready is not None}
        sizes = [
            seat.capacity // max(1, ready.get(seat.load_id, 1))
            for seat in self.seats
            if seat.capacity is not None
        ]
        return Use(
            replicas=self.number, broken=sum(is_broken(load) for load in self.loads),
            used=sum(seat.used - seat.leaving for seat in self.seats), waiting=self.waiting,
            streams=min(sizes) if sizes and len(sizes) == len(self.seats) else None,
        )  # fmt: skip


def is_broken(load: LoadRow) -> bool:
    """Whether it has failed, for now or for good."""
    return load.parked or load.status == "ERROR"


def groups(
    core: Core, tx: Tx, rules: Sequence[Policy], known: dict[str, Device], waiting: Collection[str] | None
) -> list[Group]:
    """Every package that is deployed here and whose replicas a policy counts: those this site loaded itself.

    `waiting`: the instances one more replica might help; None: all that have no place.
    """
    abilities = packages.abilities(tx)
    scalings = _by_package(rules, abilities)
    seats: dict[Key, list[Seat]] = defaultdict(list)
    for seat in seats_of(core, tx, abilities, known, foreign.streams(tx)):
        scaling = scalings.get(seat.package_id)
        carries = not tasks_refused(known[seat.device].family, core.settings.ccp.engine_interface)
        if scaling is not None and seat.ours and not seat.origin and carries:
            region = nearness.region_of(known[seat.device]).casefold() if scaling.per_region else ""
            seats[seat.package_id, region].append(seat)
    if not seats:
        return []
    loads = {load.id: load for load in services.loads(tx, Load.wanted == True)}
    unplaced = [one for one in plans.unplaced_instances(tx) if waiting is None or one.id in waiting]
    lacking = _waiting(unplaced, abilities, sorted(seats))
    many = {
        load.id: load.replicas
        for load in loads.values()
        if load.replicas is not None and load.device in known and known[load.device].family in KEEPS_RUNNING
    }
    return [
        replace(_group(key, scalings[key[0]], found, loads, lacking[key], known), many=many)
        for key, found in sorted(seats.items())
    ]


def _group(
    key: Key,
    scaling: Scaling,
    seats: list[Seat],
    loads: dict[str, LoadRow],
    waiting: int,
    known: dict[str, Device],
) -> Group:
    lost = [seat for seat in seats if known[seat.device].state in ("lost", "gone")]
    there = {seat.load_id: seat for seat in seats if seat not in lost}
    return Group(
        key, scaling, (list(there.values()) or lost)[0].service_id, tuple(there.values()),
        tuple(load for load in loads.values() if load.id in there),
        waiting + sum(seat.used - seat.leaving for seat in lost), frozenset(seat.load_id for seat in seats),
    )  # fmt: skip


def _by_package(rules: Sequence[Policy], abilities: Sequence[Ability]) -> dict[str, Scaling]:
    """A package is scaled by the policy of its first capability that has one, else by the global one."""
    of = {rule.capability: rule for rule in rules}
    found: dict[str, Policy] = {}
    for ability in sorted(abilities, key=lambda one: one.code):
        rule = of.get(ability.code)
        if rule is not None:
            found.setdefault(ability.package_id, rule)
    if "" in of:
        found = dict.fromkeys((one.package_id for one in abilities), of[""]) | found
    return {package: rule.scaling for package, rule in found.items() if rule.scaling is not None}


def _waiting(
    instances: Sequence[InstanceRow], abilities: Sequence[Ability], keys: Sequence[Key]
) -> Counter[Key]:
    """Streams that are asked for and have no place, by the group that would carry them."""
    found: Counter[Key] = Counter()
    for instance in instances:
        if instance.pinned or instance.origin:
            continue
        by_event = candidates(instance, abilities)
        for ability in next(iter(by_event.values()), []):
            serving = [
                [one.code for one in some if one.package_id == ability.package_id]
                for some in by_event.values()
            ]
            mine = [key for key in keys if key[0] == ability.package_id]
            if mine and all(serving):
                found[_near(instance, mine)] += len({codes[0] for codes in serving})
                break
    return found


def _near(instance: InstanceRow, keys: Sequence[Key]) -> Key:
    """The group of the stream's region; where none is, the first."""
    stream = nearness.place_of_stream(instance.info)
    region = stream.region if stream else ""
    inside = [key for key in keys if region and key[1] and nearness.within(region, key[1])]
    return max(inside, key=lambda key: len(key[1]), default=keys[0])


# --- where more could be, which could go -----------------------------------------------------------------------


def grounds(core: Core, tx: Tx, group: Group, known: dict[str, Device]) -> list[Ground]:
    """CADs and edge devices that have no service of the package, and this box where one of it runs already.

    Not where somebody else put the file: only an operator's word makes that ours.
    """
    package, region = group.key
    held = services.copies(tx, Copy.package_id == package)
    files = {copy.device for copy in held if copy.status == 3}
    taken = {load.device for load in services.loads(tx, Load.package_id == package)}
    taken |= {copy.device for copy in held if not copy.ours}
    numbers = Counter(load.device for load in services.loads(tx, Load.wanted == True))
    row, infos = packages.get(tx, package), devices.infos(tx)
    xpu = (row["manifest"].get("xpu") if row else None) or ()
    found = [] if row is None else [*_local_ground(core, tx, group, numbers), *_cluster_grounds(group, known)]
    for code, device in known.items():
        elsewhere = group.scaling.per_region and nearness.region_of(device).casefold() != region
        fits = not fitting.misfit(xpu, fitting.cards_in(infos.get(code, [])))
        free = device.takes_new_work and device.support_services and device.family in ONE_SERVICE
        if row is not None and free and fits and not elsewhere and code not in taken:
            found.append(Ground(device=code, has_file=code in files, loads=numbers[code]))
    return found


def _local_ground(core: Core, tx: Tx, group: Group, numbers: Counter[str]) -> list[Ground]:
    """As many more as this box has ports; none while one of them does not run, which more would not either."""
    code = core.local_code
    here = [load for load in group.loads if load.device == code]
    device = devices.device(tx, code)
    if (
        not here
        or device is None
        or not device.takes_new_work
        or any(one.status != "RUNNING" for one in here)
    ):
        return []
    ports = core.settings.runtime
    room = max(0, ports.port_to - ports.port_from + 1 - services.number_on(tx, code))
    return [Ground(device=code, service_id=here[0].service_id, has_file=True, loads=numbers[code], room=room)]


def _cluster_grounds(group: Group, known: dict[str, Device]) -> list[Ground]:
    """Services that may get more replicas where they are, once all they have serve: twice as many at most, since
    nobody knows how many a cluster holds."""
    return [
        Ground(
            device=load.device, service_id=load.service_id, has_file=True, loads=group.many[load.id],
            room=max(1, group.many[load.id]),
        )
        for load in group.loads
        if load.id in group.many and known[load.device].takes_new_work and not load.parked
        and load.status == "RUNNING" and load.ready == load.replicas
    ]  # fmt: skip


def members(tx: Tx, group: Group, known: dict[str, Device]) -> list[Member]:
    """Replicas that could go: not those an instance is pinned to, nor those that carry tasks of somebody else's.

    Nor those of a platform whose services stay as they are: what an operator loaded there is several of them at once.
    Where their number can be changed the last one stays.
    """
    ours, named = services.used_streams(tx), _pinned_loads(tx)
    replica = {
        row["id"]: row["replica"]
        for row in tx.rows(Load.select(Load.id, Load.replica).where(Load.wanted == True))
    }
    seats = {seat.load_id: seat for seat in group.seats}
    last: dict[str, int] = {}
    for load in group.loads:
        last[load.service_id] = max(last.get(load.service_id, 0), replica[load.id])
    found = []
    for order, load in enumerate(group.loads):
        seat = seats[load.id]
        many = group.many.get(load.id, 0)
        of_many = known[seat.device].family is Family.LOCAL or many > 1
        of_platform = known[seat.device].family in OWN_REPLICAS and not many > 1
        kept = of_platform or seat.load_id in named or seat.used > ours.get(seat.load_id, 0)
        first = (
            of_many
            and not many
            and (not replica[seat.load_id] or replica[seat.load_id] != last[seat.service_id])
        )
        if not kept and not first:
            found.append(
                Member(
                    load_id=seat.load_id, service_id=seat.service_id, device=seat.device,
                    used=(seat.used - seat.leaving) // max(1, many), order=order, of_many=of_many,
                    broken=is_broken(load),
                )
            )  # fmt: skip
    return found


def _pinned_loads(tx: Tx) -> set[str]:
    """Loads of services that instances are pinned to, and those that carry an instance pinned to its computility."""
    pins = plans.instances(
        tx, Instance.deleted == False, (Instance.service_id != "") | (Instance.device != "")
    )
    named = sorted({one.service_id for one in pins if one.service_id})
    carried = plans.tasks(tx, Task.instance_id.in_([one.id for one in pins]), Task.load_id.is_null(False))
    loads = services.loads(tx, Load.service_id.in_(named))
    return {load.id for load in loads} | {str(task.load_id) for task in carried}
