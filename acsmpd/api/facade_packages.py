"""Tables 4-7 of Part 4, served: packages a platform above has brought to this box, loads and unloads here."""

from __future__ import annotations

import shlex
import uuid
from typing import Any

from acsmpd import faults
from acsmpd.api import facade_files as files
from acsmpd.api import facade_scope as scope
from acsmpd.api.call import Call, Reply
from acsmpd.api.facade_files import loads_of
from acsmpd.api.facade_scope import Sight
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.services import kept_env, unload_in
from acsmpd.api.waiting import hold
from acsmpd.decide.environment import check_local
from acsmpd.model import AUTH_SERVER
from acsmpd.spec import times
from acsmpd.spec.messages.cad import (
    AlgoPackageInstallRequest,
    AlgoPackageListRequest,
    MachineAlgoPackage,
)
from acsmpd.spec.reading import read_form
from acsmpd.store import services
from acsmpd.store.database import Tx
from acsmpd.store.installs import serving_device
from acsmpd.store.tables import Load

SERVICE_NAMESPACE = uuid.UUID("6f0f6b0a-6d0c-5c5e-9a53-0d6b4b1b9f0e")


# --- tables 4 and 5: loading --------------------------------------------------------------------------------


@handles("cad.install_algo_package")
def load(platform: Platform, call: Call) -> Reply:
    """Start the package's service; for one that is loaded already, success without effect."""
    asked, sight, now = call.message, scope.sight_of(platform, call), call.now.wall_ms
    package_id = asked.algo_file_package_id
    _check_args(asked.args)
    hold(platform, files.HOLD_SECONDS, lambda tx: not scope.is_coming(tx, sight.origin, package_id))
    with platform.store.write() as tx:
        package = package_to_load(platform, tx, sight, package_id)
        start_service(platform, tx, sight.origin, package, now, asked)
    platform.wake()
    return Reply(object=package_id)


def _check_args(args: str | None) -> None:
    try:
        shlex.split(args or "")
    except ValueError as error:
        raise faults.InvalidField(f"$.Args: cannot be split into arguments: {error}") from error


def package_to_load(platform: Platform, tx: Tx, sight: Sight, package_id: str) -> dict[str, Any]:
    """The package; else why it is not here: still being fetched, or what stopped the fetch."""
    try:
        return scope.own_package(platform, tx, sight, package_id)
    except faults.NotFound:
        found = scope.fetches(tx, sight.origin, package_id)
        if any(row["state"] in ("open", "running") for row in found):
            text = f"package {package_id} is not here yet: it is being fetched; load it again later"
            raise faults.NotFound(text) from None
        if found and found[0]["state"] == "failed":
            answer = found[0]["answer"] or {}
            text = (
                f"package {package_id} could not be fetched: {answer.get('Message') or 'no reason is known'}"
            )
            raise faults.of_code(int(answer.get("Code") or 50000), text) from None
        raise


def start_service(
    platform: Platform, tx: Tx, origin: str, package: dict[str, Any], now_ms: int,
    asked: AlgoPackageInstallRequest | None = None,
) -> str:  # fmt: skip
    """The origin's service of the package on this box, wished for if it is not there; its AlgoServiceID."""
    code = serving_device(tx, platform.local_code).code
    services.want_copy(tx, package["id"], code, now_ms, asked=False, origin=origin)
    wanted = loads_of(tx, origin, package["id"], Load.device == code, Load.wanted == True)
    if wanted:
        for row in tx.rows(
            Load.select(Load.id).where(Load.id.in_([one["load_id"] for one in wanted]), Load.parked)
        ):
            services.change_load(tx, row["id"], parked=False, attempts=0, changed_ms=now_ms)
        return str(wanted[0]["id"])
    values = service_values(tx, origin, package["id"], asked)
    values["args"] = asked.args if asked else None
    check_local(package, values["env"])
    service_id = _service_id(tx, origin, package["id"])
    if services.service(tx, service_id) is None:
        services.add_service(
            tx,
            id=service_id,
            package_id=package["id"],
            replicas=1,
            origin=origin,
            created_ms=now_ms,
            **values,
        )
    else:
        services.change_service(tx, service_id, **values)
    services.add_replica(tx, service_id, package["id"], code, 0, now_ms)
    return service_id


def _service_id(tx: Tx, origin: str, package_id: str) -> str:
    """One ID for an origin's service of a package, unload after load: tasks keep it through both."""
    fixed = str(uuid.uuid5(SERVICE_NAMESPACE, f"{origin}/{package_id}"))
    row = services.service(tx, fixed)
    return fixed if row is None or row["package_id"] == package_id else str(uuid.uuid4())


def service_values(tx: Tx, origin: str, package_id: str, asked: Any) -> dict[str, Any]:
    """`env` and `license_url`: of the load where it brings them, else of the push (X-LICENCE)."""
    given = scope.pushed(tx, origin).get(package_id) or {}
    env = kept_env(asked.env if asked else None)
    if given.get("AuthAddress") and not any(item["Name"] == AUTH_SERVER for item in env):
        env.append({"Name": AUTH_SERVER, "Value": given["AuthAddress"]})
    licence = (asked.license_file if asked else None) or given.get("LicenseFile") or None
    return {"env": env, "license_url": licence}


@handles("cad.uninstall_algo_package")
def unload(platform: Platform, call: Call) -> Reply:
    """Refused while tasks run on it; paused ones give up their place and find one at their next start."""
    package_id, origin, now = call.path["AlgoFilePackageID"], scope.origin_of(call.caller), call.now.wall_ms
    with platform.store.write() as tx:
        loads = loads_of(tx, origin, package_id, Load.device == platform.local_code)
        if not loads:
            scope.own_package(platform, tx, scope.sight_of(platform, call), package_id)
            raise faults.NotFound(f"package {package_id} is not loaded")
        ids = [row["load_id"] for row in loads if row["wanted"]]
        unload_in(tx, ids, now, force=False, origin=origin)
    platform.wake()
    return Reply(object=package_id)


# --- tables 6 and 7: what is here ------------------------------------------------------------------------------


@handles("cad.list_algo_packages")
def list_packages(platform: Platform, call: Call) -> list[MachineAlgoPackage]:
    """Table 6; by GET the filter is a query parameter."""
    asked = call.message
    if asked.status is None and call.query.get("Status"):
        asked, _ignored = read_form(AlgoPackageListRequest, {"Status": call.query["Status"]})
    if asked.args is not None:
        raise faults.InvalidField(
            "$.Args: belongs to a load, which names its AlgoFilePackageID; a list has none"
        )
    found = _items(platform, scope.sight_of(platform, call))
    return [item for item in found if asked.status in (None, item.status)]


@handles("cad.get_algo_package")
def get_package(platform: Platform, call: Call) -> MachineAlgoPackage:
    wanted = call.path["AlgoFilePackageID"]
    for item in _items(platform, scope.sight_of(platform, call)):
        if item.algo_file_package_id == wanted:
            return item
    raise faults.NotFound(f"no package {wanted}")


def _items(platform: Platform, sight: Sight) -> list[MachineAlgoPackage]:
    show_local = platform.settings.facade.show_local
    with platform.store.read() as tx:
        rows = scope.packages_in_sight(platform, tx, sight)
        running = tx.rows(
            services.search(
                Load.device == platform.local_code, Load.wanted == True,
                Load.status.in_(("RUNNING", "OVERLOAD")),
            )
        )  # fmt: skip
    loaded = {row["package_id"] for row in running if show_local or row["origin"] == sight.origin}
    return [_item(platform, row, loaded=row["id"] in loaded) for row, _own in rows]


def _item(platform: Platform, row: dict[str, Any], *, loaded: bool) -> MachineAlgoPackage:
    return MachineAlgoPackage(
        algo_package_name=row["name"],
        algo_package_type="ENGINE" if row["kind"] == "image" else "BIN",
        algo_package_version=row["version"],
        algo_file_package_id=row["id"],
        status="RUNNING" if loaded else "STOPPED",
        created_date=times.written(row["created_ms"], platform.zone, with_ms=True),
    )
