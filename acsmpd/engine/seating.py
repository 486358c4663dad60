"""What placement chooses among: every service there is, with what is taken of it, and who holds which place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from msgspec.structs import replace

from acsmpd.decide import fitting, placement
from acsmpd.decide.clusters import tasks_refused
from acsmpd.decide.hall import Hall
from acsmpd.decide.quotas import binding
from acsmpd.decide.settling import Held
from acsmpd.engine.core import Core
from acsmpd.model import OWN_REPLICAS, Ability, Device, ForeignStream, LoadRow, Seat
from acsmpd.store import devices, foreign, plans, quotas, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance, Load, Package, Task


def hall_of(
    core: Core,
    tx: Tx,
    abilities: list[Ability],
    known: dict[str, Device],
    stuck: Collection[int],
    now_ms: int,
) -> Hall:
    """`stuck`: tasks that were to go and that their devices do not let go."""
    theirs, known_quotas = foreign.streams(tx), quotas.authorised(tx, now_ms)
    stays = (
        claim._replace(stays=True) if claim.task in stuck else claim for claim in known_quotas.claims
    )  # what a device does not let go is not waited for
    bound = binding(known_quotas._replace(claims=stays))
    streams = Counter(plans.streams_on_direct(tx)) + Counter(one.device for one in theirs)
    seats = seats_of(core, tx, abilities, known, theirs, stuck)
    if bound.pools:
        seats = [replace(seat, pool=bound.pools.get(seat.load_id, "")) for seat in seats]
    return Hall(abilities, seats, known, streams, bound.quotas)


def _adrift(tx: Tx) -> list[ForeignStream]:
    """Tasks of ours that may run on a device nobody knows on which of its services."""
    rows = plans.adrift(tx)
    return [
        ForeignStream(row["device"], placement.events_of(row["info"]), "", row["info"].get("Labels"))
        for row in rows
    ]


def seats_of(
    core: Core, tx: Tx, abilities: list[Ability], known: dict[str, Device], theirs: list[ForeignStream],
    stuck: Collection[int] = (),
) -> list[Seat]:  # fmt: skip
    """Every service there is, with what is taken of it; where an operator says there are none, there are none."""
    used, leaving = services.used_streams(tx), services.leaving_streams(tx, but=stuck)
    held = services.stuck_streams(tx, stuck)
    manifests = {row["id"]: row["manifest"] for row in tx.rows(Package.select(Package.id, Package.manifest))}
    wishes = {package: (manifest or {}).get("xpu") or () for package, manifest in manifests.items()}
    seen = devices.infos(tx) if any(wishes.values()) else {}
    cards = {code: fitting.cards_in(infos) for code, infos in seen.items()}
    origins, many = services.origins(tx), services.replicas(tx)
    own_limit, interface = core.settings.runtime.stream_limit, core.settings.ccp.engine_interface

    def capacity(load: LoadRow) -> int | None:
        """What the package says, else our own limit here, else unknown."""
        told = fitting.streams(wishes.get(load.package_id, ()), load.xpu_type, cards.get(load.device))
        if told is not None and known[load.device].family in OWN_REPLICAS:
            told *= many.get(load.service_id, 1) if load.ready is None else load.ready
        return own_limit if told is None and load.device == core.local_code else told

    seats = [
        Seat(
            load.id, load.service_id, load.package_id, load.device, load.status == "RUNNING",
            used.get(load.id, 0), capacity(load),
            origins.get(load.service_id, ""), load.facility_id, load.ours,
            tasks_refused(known[load.device].family, interface)
            or fitting.misfit(wishes.get(load.package_id, ()), cards.get(load.device)),
            leaving.get(load.id, 0), held.get(load.id, 0),
        )
        for load in services.loads(tx, Load.wanted == True)
        if load.device in known and known[load.device].support_services
    ]  # fmt: skip
    taken = placement.taken_by_others([*theirs, *_adrift(tx)], seats, abilities)
    return [replace(seat, used=seat.used + taken[seat.load_id]) for seat in seats]


def held_places(tx: Tx) -> list[Held]:
    """Places that may be taken from an instance: its only one, on a service, of work that is not done."""
    tasks = plans.tasks(
        tx, Task.wanted == "running", Task.load_id.is_null(False), Task.status != "FINISHED",
        Task.replaces.is_null(True), Task.id.not_in(plans.replaced()),
    )  # fmt: skip
    wanted = {one.id: one for one in plans.instances(tx, Instance.on == True, Instance.deleted == False)}
    return [
        Held(
            task.id,
            wanted[task.instance_id],
            task.device,
            task.load_id,
            task.weight,
            task.sent,
            tuple(task.capabilities or ()),
        )
        for task in tasks
        if task.load_id is not None and task.instance_id in wanted
    ]
