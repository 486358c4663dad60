"""Tables 33-36 of Part 4, served: algorithm services a platform above runs on the site.

One AlgoServiceID stands for all replicas: with HostName they are on that node, else spread. Handlers write wishes.
"""

from __future__ import annotations

from typing import Any

from acsmpd import faults
from acsmpd.api import facade_files as files
from acsmpd.api import facade_scope as scope
from acsmpd.api.call import Call, Caller, Reply
from acsmpd.api.cap_site import grounds_of, site_nodes
from acsmpd.api.cap_status import xpu_quota
from acsmpd.api.facade_packages import package_to_load, service_values
from acsmpd.api.facade_scope import Sight
from acsmpd.api.paging import page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.services import check_replicas, unload_in
from acsmpd.api.waiting import hold
from acsmpd.decide.environment import check_local
from acsmpd.decide.own_nodes import OwnNode, named
from acsmpd.decide.scaling import grounds_for
from acsmpd.model import HAS_CLUSTER, ONE_SERVICE, OWN_REPLICAS, Device, Family
from acsmpd.spec.accelerators import folded
from acsmpd.spec.messages import cap
from acsmpd.store import devices, packages, services, unfinished
from acsmpd.store.database import Tx
from acsmpd.store.installs import Wanted, serving_device, spread
from acsmpd.store.tables import Load, Service

MOST_REPLICAS = 1000
"""Of one service."""


@handles("cap.create_algo_service")
def load(platform: Platform, call: Call) -> Reply:
    """Record the wish: loads on one node, or spread; a computility that has no package file yet gets it first."""
    asked, sight = call.message, scope.sight_of(platform, call)
    package_id = asked.algo_file_package_id
    hold(platform, files.HOLD_SECONDS, lambda tx: not _is_moving(tx, sight.origin, package_id))
    with platform.store.write() as tx:
        service_id = _loaded(platform, tx, call, sight)
    platform.wake()
    return Reply(cap.AlgoServiceCreateResult(algo_service_id=service_id), object=service_id)


def _is_moving(tx: Tx, origin: str, package_id: str) -> bool:
    """Whether the package is still being fetched, or a service of it unloaded from where that can be."""
    return scope.is_coming(tx, origin, package_id) or bool(_leaving(tx, package_id))


def _leaving(tx: Tx, package_id: str) -> list[str]:
    """Computilities that are letting go of a service of the package."""
    going = services.loads(tx, Load.package_id == package_id, Load.wanted == False)
    return [one.code for one in devices.some(tx, [load.device for load in going]) if one.takes_steps]


def _loaded(platform: Platform, tx: Tx, call: Call, sight: Sight) -> str:
    asked = call.message
    if asked.replicas > MOST_REPLICAS:
        raise faults.ReplicasNotPossible(f"$.Replicas: at most {MOST_REPLICAS}, not {asked.replicas}")
    package = _package(platform, tx, sight, asked.algo_file_package_id)
    values = service_values(tx, sight.origin, package["id"], asked)
    wanted = Wanted(**values, replicas=asked.replicas, origin=sight.origin, xpu_type=asked.xpu_type.strip())
    if asked.host_name and asked.host_name.strip():
        return _on_node(platform, tx, package, wanted, asked.host_name, call)
    return start_spread(platform, tx, package, wanted, call.caller, call.now.wall_ms)


def _package(platform: Platform, tx: Tx, sight: Sight, package_id: str) -> dict[str, Any]:
    waits = unfinished.get(tx, package_id)
    if waits is not None and waits.origin == sight.origin:
        raise faults.Conflict(f"package {package_id} has no executable yet: send it by pushExecFile first")
    return package_to_load(platform, tx, sight, package_id)


def start_spread(
    platform: Platform, tx: Tx, package: dict[str, Any], wanted: Wanted, caller: Caller, now_ms: int
) -> str:
    """A service whose replicas go where most room is; its AlgoServiceID. ReplicasNotPossible where too few fit."""
    grounds, why = grounds_of(platform, tx, package, wanted.xpu_type, caller, wanted.replicas)
    codes = [ground.device for ground in grounds_for(grounds, wanted.replicas)]
    if len(codes) < wanted.replicas and _leaving(tx, package["id"]):
        raise _still_going(package["id"])
    if len(codes) < wanted.replicas:
        reasons = "; ".join(why[:20]) or "no other computility takes services"
        raise faults.ReplicasNotPossible(
            f"this site has room for {len(codes)} of {wanted.replicas} replicas of package {package['id']}: {reasons}"
        )
    if platform.local_code in codes:
        check_local(package, wanted.env)
    if len(set(codes)) == 1 and devices.all_devices(tx)[codes[0]].family in OWN_REPLICAS:
        codes = codes[:1]  # it keeps the replicas of one service itself
    return spread(tx, package["id"], codes, wanted, now_ms)


# --- on one node ---------------------------------------------------------------------------------------------


def _on_node(
    platform: Platform, tx: Tx, package: dict[str, Any], wanted: Wanted, host: str, call: Call
) -> str:
    """As table 11 loads on one computility. On a CAD the caller's own service that stands there is taken."""
    nodes = site_nodes(platform, tx, call.caller)
    node = named(nodes, host)
    if isinstance(node, str):
        raise faults.NotFound(f"$.HostName: {node}")
    device, now_ms = serving_device(tx, node.code), call.now.wall_ms
    if device.maintenance or device.state == "lost":
        raise faults.Conflict(f"$.HostName: node {node.address} takes nothing new: it is {device.standing}")
    if device.family in HAS_CLUSTER and sum(one.code == device.code for one in nodes) > 1:
        raise faults.NotSupported(
            f"$.HostName: computility {device.code} places services on its nodes itself"
        )
    if device.family in ONE_SERVICE:
        existing = _standing(tx, package["id"], device, wanted)
        if existing:
            return existing
    if device.family is Family.LOCAL:
        check_local(package, wanted.env)
        check_replicas(platform, wanted.replicas)
    number = wanted.replicas if device.family is Family.LOCAL else 1
    on = Wanted(
        env=wanted.env, license_url=wanted.license_url, replicas=wanted.replicas, origin=wanted.origin,
        host=node.host, xpu_type=wanted.xpu_type,
    )  # fmt: skip
    return spread(tx, package["id"], [node.code] * number, on, now_ms)


def _standing(tx: Tx, package_id: str, device: Device, wanted: Wanted) -> str:
    """The caller's service of the package there, "" if there is none. Conflict with one that is another."""
    if wanted.replicas > 1:
        raise faults.ReplicasNotPossible(
            f"node {device.code} runs one replica of a package, not {wanted.replicas}"
        )
    for one in services.loads(tx, Load.package_id == package_id, Load.device == device.code):
        service = services.service(tx, one.service_id)
        if service is None or service["origin"] != wanted.origin or not one.ours:
            raise faults.Conflict(
                f"a service of package {package_id} runs on node {device.code} for somebody else"
            )
        if not one.wanted:
            raise _still_going(package_id)
        if wanted.env and service["env"] != wanted.env:
            raise faults.Conflict(f"service {one.service_id} of the package runs there with another Env")
        return one.service_id
    return ""


def _still_going(package_id: str) -> faults.SlowDown:
    return faults.SlowDown(
        f"a service of package {package_id} is still being unloaded; load it again then",
        retry_after_seconds=5,
    )


# --- table 34 ------------------------------------------------------------------------------------------------


@handles("cap.delete_algo_service")
def unload(platform: Platform, call: Call) -> Reply:
    """Refused while tasks run on it; paused ones give up their place."""
    service_id, sight = call.path["AlgoServiceID"], scope.sight_of(platform, call)
    with platform.store.write() as tx:
        rows = _in_sight(platform, tx, sight, Service.id == service_id)
        if not rows:
            raise faults.NotFound(f"no service {service_id}")
        if rows[0]["origin"] != sight.origin:
            raise faults.NotAllowed(f"service {service_id} belongs to this site and is read-only here")
        going = [row["load_id"] for row in rows if row["wanted"]]
        unload_in(tx, going, call.now.wall_ms, force=False, origin=sight.origin)
    platform.wake()
    return Reply(object=service_id)


# --- tables 35 and 36 ------------------------------------------------------------------------------------------


def _in_sight(platform: Platform, tx: Tx, sight: Sight, *conditions: Any) -> list[dict[str, Any]]:
    """Loads of the services the caller may see, the oldest service first."""
    mine = () if platform.settings.facade.show_local else (Service.origin == sight.origin,)
    rows = tx.rows(services.search(Load.ours == True, *mine, *conditions))
    return sorted(rows, key=lambda row: (row["created_ms"], row["id"], row["device"], row["load_id"]))


@handles("cap.search_algo_services")
def search(platform: Platform, call: Call) -> cap.AlgoServiceSearchPage:
    """In the object form of the example (X-LISTSHAPE), each with its status."""
    asked, page, sight = call.message, page_of(call.message), scope.sight_of(platform, call)
    wanted = () if not asked.algo_file_package_id else (Service.package_id == asked.algo_file_package_id,)
    with platform.store.read() as tx:
        by_id: dict[str, list[dict[str, Any]]] = {}
        for row in _in_sight(platform, tx, sight, *wanted):
            by_id.setdefault(row["id"], []).append(row)
        found = [
            rows
            for rows in by_id.values()
            if not asked.xpu_type or folded(_card(rows)) == folded(asked.xpu_type)
        ]
        known = devices.all_devices(tx)
    here = found[(page.number - 1) * page.size : page.number * page.size]
    records = [cap.AlgoServiceSearchRecord(**_common(rows), status=status_of(rows, known)) for rows in here]
    return cap.AlgoServiceSearchPage(
        page_number=page.number, page_size=page.size, total_size=len(found), records=records
    )


@handles("cap.get_algo_service")
def get(platform: Platform, call: Call) -> cap.AlgoService:
    wanted, sight = call.path["AlgoServiceID"], scope.sight_of(platform, call)
    with platform.store.read() as tx:
        rows = _in_sight(platform, tx, sight, Service.id == wanted)
        if not rows:
            raise faults.NotFound(f"no service {wanted}")
        nodes = site_nodes(platform, tx, call.caller)
        return cap.AlgoService(
            **_common(rows),
            status=status_of(rows, devices.all_devices(tx)),
            xpu_quota=xpu_quota(packages.get(tx, rows[0]["package_id"])),
            replicas_detail=_details(rows, nodes),
        )


def _common(rows: list[dict[str, Any]]) -> dict[str, Any]:
    first = rows[0]
    return {
        "env": [cap.EnvItem(name=item["Name"], value=item["Value"]) for item in first["env"]],
        "replicas": first["replicas"], "xpu_type": _card(rows), "algo_file_package_id": first["package_id"],
        "algo_service_id": first["id"], "last_error": _trouble(rows),
    }  # fmt: skip


def _trouble(rows: list[dict[str, Any]]) -> str | None:
    """What each load that does not run lacks, by computility."""
    said = [(row["device"], row["error"] or row["copy_error"]) for row in rows if row["status"] != "RUNNING"]
    return "; ".join(f"{code}: {text}" for code, text in said if text)[:1024] or None


def _card(rows: list[dict[str, Any]]) -> str:
    """The one it was asked for, else the first it has."""
    cards = (rows[0]["asked_xpu_type"], *(row["xpu_type"] for row in rows))
    return str(next((card for card in cards if card), ""))


def status_of(rows: list[dict[str, Any]], known: dict[str, Device]) -> Any:
    """Of all loads of a service: what the best of them is that is there. Nobody knows of those that are away."""
    there = {
        row["status"]
        for row in rows
        if row["device"] not in known or known[row["device"]].state in ("online", "suspect")
    }
    best = (one for one in ("RUNNING", "OVERLOAD", "INIT", "ERROR") if one in there)
    return next(best, "UNSPECIFIED")


def _details(rows: list[dict[str, Any]], nodes: list[OwnNode]) -> list[cap.AlgoServiceReplicaDetail]:
    """One for each load; a platform below that keeps replicas itself has them by one."""
    found = []
    for row in rows:
        there = [node for node in nodes if node.code == row["device"]]
        on = next((node for node in there if row["host"] and node.host == row["host"]), None)
        node = on or (there[0] if there else None)
        name, address = (node.name, node.address) if node else (row["device"], row["device"])
        found.append(cap.AlgoServiceReplicaDetail(node_host=name, node_ipv4=address))
    return found
