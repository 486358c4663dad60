"""Tables 11-14: algorithm services on devices, and the extension AlgoServices/<ID>.

Handlers write wishes; the engine delivers, loads and unloads. No device is called here.
"""

from __future__ import annotations

from typing import Any

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.paging import page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.seats import on_loads
from acsmpd.decide.environment import check_local
from acsmpd.decide.nodes import node_for
from acsmpd.model import HAS_HOSTS, KEEPS_RUNNING, ONE_SERVICE, OWN_REPLICAS, Device, Family
from acsmpd.spec import times
from acsmpd.spec.messages.services import (
    AlgoService,
    AlgoServiceInstallRequest,
    AlgoServiceSearchData,
    EnvItem,
)
from acsmpd.store import devices, plans, services
from acsmpd.store.database import Tx
from acsmpd.store.installs import Wanted, check_takes, package_of, serving_device
from acsmpd.store.installs import install as install_on
from acsmpd.store.rows import joined_page_of
from acsmpd.store.tables import Load, Package, Service, Task


@handles("acsmp.install_algo_service")
def install(platform: Platform, call: Call) -> Reply:
    """Record the wish: one load on one device; a package that is not there yet is delivered first."""
    with platform.store.write() as tx:
        service_id = install_in(platform, tx, call.message, call.now.wall_ms)
    platform.wake()
    return Reply(service_id, settled=lambda tx: _service_settled(tx, service_id), object=service_id)


def install_in(
    platform: Platform, tx: Tx, asked: AlgoServiceInstallRequest, now_ms: int, origin: str = ""
) -> str:
    """The AlgoServiceID of a new or, on a CAD, of the existing service (conventions section 5).

    One that somebody else loaded there becomes ours: to ask for it by package and device is to adopt it.
    """
    device = serving_device(tx, asked.computility_code)
    package = package_of(tx, asked.algo_file_package_id)
    env = kept_env(asked.env)
    replicas = asked.replicas or 1
    if device.family is Family.LOCAL:
        check_local(package, env)
        check_replicas(platform, replicas)
    _check_host(tx, device, asked.host_name or "")
    wanted = Wanted(
        env=env, license_url=asked.license_file, replicas=replicas, origin=origin,
        host=asked.host_name or "", xpu_type=asked.xpu_type or "",
    )  # fmt: skip
    return install_on(tx, device, package["id"], wanted, now_ms).service_id


def _check_host(tx: Tx, device: Device, host: str) -> None:
    """A node that a platform does not show is refused, as far as it was ever seen."""
    if not host:
        return
    if device.family not in HAS_HOSTS:
        raise faults.InvalidField(
            f"$.HostName: computility {device.code} is taken as a whole, without nodes to choose among"
        )
    infos = devices.infos(tx).get(device.code)
    trouble = node_for(infos, (), host, "").trouble if infos else ""
    if trouble:
        raise faults.NotFound(f"$.HostName: computility {device.code}: {trouble}")


def kept_env(given: list[EnvItem] | None) -> list[dict[str, str]]:
    """Env as the store holds it."""
    return [{"Name": item.name, "Value": item.value} for item in given or ()]


def check_replicas(platform: Platform, replicas: int) -> None:
    """Every replica is an engine with a port of its own: a wish for more could never be reached."""
    ports = platform.settings.runtime
    most = ports.port_to - ports.port_from + 1
    if replicas > most:
        raise faults.ReplicasNotPossible(
            f"$.Replicas: this box runs at most {most} engines, one for each port from {ports.port_from} to "
            f"{ports.port_to}, not {replicas}"
        )


def _service_settled(tx: Tx, service_id: str) -> bool:
    loads = services.loads(tx, Load.service_id == service_id)
    return all(
        load.parked or (load.status == "RUNNING" and load.replicas == services.replicas_of(tx, load))
        for load in loads
    )


@handles("acsmp.uninstall_algo_service")
def uninstall(platform: Platform, call: Call) -> Reply:
    """Refused while instances run on it, unless ?Force=true moves or stops them first."""
    asked = call.message
    named = asked.algo_service_id
    ids = [named] if isinstance(named, str) else named
    with platform.store.write() as tx:
        serving_device(tx, asked.computility_code)
        here = [Load.package_id == asked.algo_file_package_id, Load.device == asked.computility_code]
        loads = services.loads(tx, *here, *([Load.service_id.in_(ids)] if ids else []))
        missing = sorted(set(ids or []) - {load.service_id for load in loads})
        if missing or not loads:
            what = (
                f"service {', '.join(missing)}"
                if missing
                else f"service of package {asked.algo_file_package_id}"
            )
            raise faults.NotFound(f"no {what} on computility {asked.computility_code}")
        unload_in(tx, [load.id for load in loads], call.now.wall_ms, force=call.flag("Force"), origin="")
    platform.wake()
    wanted = [load.id for load in loads]
    return Reply(settled=lambda tx: not services.loads(tx, Load.id.in_(wanted)))


def unload_in(tx: Tx, load_ids: list[str], now_ms: int, *, force: bool, origin: str) -> None:
    """Wish loads away; refuses when they carry tasks or came from another platform, unless forced."""
    if not force:
        refuse_in_use(tx, load_ids)
    for load_id in load_ids:
        load = services.load(tx, load_id)
        service = services.service(tx, load.service_id) if load else None
        if service is not None and service["origin"] != origin and not force:
            owner = service["origin"] or "this site"
            raise faults.Conflict(f"service {service['id']} was loaded by {owner}; use ?Force=true")
        services.retire(tx, load_id, now_ms)


def refuse_in_use(tx: Tx, load_ids: list[str]) -> None:
    """Conflict naming the task instances, or the tasks of somebody else, that run on the loads."""
    active = (Task.wanted == "running") & (Task.status != "FINISHED")
    carried = plans.tasks(tx, Task.load_id.in_(load_ids), active)
    if carried:
        named = ", ".join(task.instance_id for task in carried[:20])
        raise faults.Conflict(f"cannot unload: task instances run on it: {named}")
    refuse_foreign_use(tx, load_ids)


def refuse_foreign_use(tx: Tx, load_ids: list[str]) -> None:
    loads = services.loads(tx, Load.id.in_(load_ids))
    named = [
        task_id
        for code in sorted({load.device for load in loads})
        for task_id in on_loads(tx, code, load_ids)
    ]
    if named:
        raise faults.Conflict(
            f"cannot unload: tasks of somebody else run on it: {', '.join(named[:20])}; use ?Force=true"
        )


ORDERS = {"CreatedDate": Service.created_ms, "AlgoServiceID": Service.id, "Status": Load.status}


@handles("acsmp.search_algo_services")
def search_services(platform: Platform, call: Call) -> AlgoServiceSearchData:
    asked, page = call.message, page_of(call.message)
    conditions = [Load.device == asked.computility_code, Load.replica == 0]
    if asked.status:
        conditions.append(Load.status == asked.status)
    if asked.algo_file_package_id:
        conditions.append(Service.package_id == asked.algo_file_package_id)
    with platform.store.read() as tx:
        device = serving_device(tx, asked.computility_code)
        rows, total = joined_page_of(tx, services.search(*conditions), page, ORDERS, Service.id)
    return AlgoServiceSearchData(
        records=[service_item(platform, row, device) for row in rows],
        page_number=page.number,
        page_size=page.size,
        total_size=total,
    )


@handles("acsmp.get_algo_service")
def get_service(platform: Platform, call: Call) -> AlgoService:
    """By service ID; else by package ID when exactly one service of it is there (contract, table 14)."""
    code, wanted = call.path["ComputilityCode"], call.path["AlgoServiceID"]
    with platform.store.read() as tx:
        device = serving_device(tx, code)
        rows = tx.rows(services.search(Load.device == code, Service.id == wanted))
        if not rows and wanted.isdigit() and len(wanted) == 40:
            of_package = tx.rows(services.search(Load.device == code, Service.package_id == wanted))
            rows = of_package if len({row["id"] for row in of_package}) == 1 else []
    if not rows:
        raise faults.NotFound(f"no service {wanted} on computility {code}")
    return service_item(platform, rows[0], device)


def service_item(platform: Platform, row: dict[str, Any], device: Device) -> AlgoService:
    """What is observed; LastError says why it is not running yet, be it only that the device is away."""
    waits = row["status"] != "RUNNING" and not device.takes_steps
    state = device.state if device.enabled else "disabled"
    away = f"computility {device.code} is {state}" if waits else ""
    missing = f"the package file is not there: {row['copy_error']}" if row["copy_error"] else ""
    return AlgoService(
        algo_service_id=row["id"],
        algo_file_package_id=row["package_id"],
        status=row["status"],
        env=[EnvItem(name=item["Name"], value=item["Value"]) for item in row["env"]],
        replicas=row["replicas"],
        created_date=times.written(row["created_ms"], platform.zone, with_ms=True),
        xpu_type=row["xpu_type"] or None,
        last_error=row["error"] or away or missing or None,
        computility_code=row["device"],
        foreign=None if row["ours"] else True,
        host_name=row["host"] or None,
    )


# --- extension: AlgoServices/<ID> ------------------------------------------------------------------------------


@handles("acsmp.update_algo_service")
def update_service(platform: Platform, call: Call) -> Reply:
    """Change environment, licence, replicas or version; the loads are made anew where they have to be."""
    service_id, asked, now = call.path["ID"], call.message, call.now.wall_ms
    with platform.store.write() as tx:
        service = services.service(tx, service_id)
        if service is None:
            raise faults.NotFound(f"no service {service_id}")
        loads = services.loads(tx, Load.service_id == service_id, Load.wanted == True)
        if not loads:
            raise faults.Conflict(f"service {service_id} is being unloaded")
        if not loads[0].ours:
            raise faults.Conflict(
                f"service {service_id} was loaded by somebody else; adopt it first, by POST "
                f"/ACSMP/AlgoServices/Devices with its package and computility {loads[0].device}"
            )
        _refuse_from_above(service, loads, force=call.flag("Force"))
        device = serving_device(tx, loads[0].device)
        package_id = _reconfigure(tx, service, loads, device, asked, now, force=call.flag("Force"))
        _rescale(platform, tx, {**service, "package_id": package_id}, device, asked.replicas, now)
        row = tx.rows(services.search(Service.id == service_id))[0]
    platform.wake()
    return Reply(service_item(platform, row, device), settled=lambda tx: _service_settled(tx, service_id))


def _refuse_from_above(service: dict[str, Any], loads: list[Any], *, force: bool) -> None:
    """What a platform above loaded is its own to change; one spread over the site cannot be made anew by one of us."""
    above = f"service {service['id']} was loaded by platform {service['origin']}"
    if service["origin"] and len({load.device for load in loads}) > 1:
        raise faults.Conflict(f"{above} on several computilities; it is changed there")
    if service["origin"] and not force:
        raise faults.Conflict(f"{above}; use ?Force=true")


def _rescale(
    platform: Platform, tx: Tx, service: dict[str, Any], device: Device, replicas: int | None, now_ms: int
) -> None:
    """This box has a load for each replica of a service; a platform that keeps them itself was told by then."""
    if replicas is None or replicas == service["replicas"] or device.family in OWN_REPLICAS:
        return
    if device.family is not Family.LOCAL:
        raise faults.ReplicasNotPossible(
            f"computility {device.code} runs one replica of a package, not {replicas}"
        )
    check_replicas(platform, replicas)
    services.rescale(tx, service["id"], service["package_id"], device.code, replicas, now_ms)


def _reconfigure(
    tx: Tx, service: dict[str, Any], loads: list[Any], device: Device, asked: Any, now_ms: int, *, force: bool
) -> str:
    """New environment, licence or version: what runs is replaced load by load. The package it is of now.

    Task instances move along; the tasks of somebody else would not, so that they stand in the way unless forced.
    """
    values: dict[str, Any] = {}
    if asked.env is not None:
        values["env"] = kept_env(asked.env)
    if asked.license_file is not None:
        values["license_url"] = asked.license_file
    if asked.replicas is not None and device.family in OWN_REPLICAS:
        values["replicas"] = asked.replicas  # a CAP has no interface for it: a new load, the old one goes
    if asked.version is not None:
        values["package_id"] = _other_version(tx, service["package_id"], asked.version)
    changed = {name: value for name, value in values.items() if service[name] != value}
    if not changed:
        return str(service["package_id"])
    if changed.keys() == {"replicas"} and device.family in KEEPS_RUNNING:
        services.other_number(tx, service["id"], changed["replicas"], now_ms)
        return str(service["package_id"])
    if not force:
        refuse_foreign_use(tx, [load.id for load in loads])
    package = package_of(tx, changed.get("package_id", service["package_id"]))
    if device.family in ONE_SERVICE and "package_id" in changed:
        _refuse_second(tx, package["id"], device)
    if device.family is Family.LOCAL:
        check_local(package, changed.get("env", service["env"]))
    check_takes(tx, device, package["id"])
    services.want_copy(tx, package["id"], device.code, now_ms, asked=False)
    services.change_service(tx, service["id"], **changed)
    for number, load in enumerate(loads):
        services.retire(tx, load.id, now_ms)
        services.add_replica(tx, service["id"], package["id"], load.device, number, now_ms)
    return str(package["id"])


def _refuse_second(tx: Tx, package_id: str, device: Device) -> None:
    for load in services.loads(tx, Load.package_id == package_id, Load.device == device.code):
        whose = "" if load.ours else ", loaded by somebody else"
        raise faults.Conflict(
            f"service {load.service_id} of package {package_id} is on {device.code} already{whose}; "
            "a package has one service there"
        )


def _other_version(tx: Tx, package_id: str, version: str) -> str:
    """The package of the same name and provider with this version."""
    own = package_of(tx, package_id)
    found = tx.row(
        Package.select(Package.id).where(
            Package.name == own["name"], Package.provider == own["provider"], Package.version == version
        )
    )
    if found is None:
        raise faults.NotFound(f"no package {own['name']} of version {version} is imported")
    return str(found["id"])
