"""Tables 2-7 of Part 4, served: packages a platform above brings to this box, loads and unloads here."""

from __future__ import annotations

import re
import shlex
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from acsmpd import faults
from acsmpd.api import facade_scope as scope
from acsmpd.api.call import Call, Reply
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.services import kept_env, unload_in
from acsmpd.api.waiting import hold
from acsmpd.decide.environment import check_local
from acsmpd.model import AUTH_SERVER
from acsmpd.spec import times
from acsmpd.spec.messages.cad import (
    AlgoFilePackageRequest,
    AlgoPackageInstallRequest,
    AlgoPackageListRequest,
    MachineAlgoPackage,
)
from acsmpd.spec.reading import read_form
from acsmpd.store import asks, packages, services
from acsmpd.store.database import Tx
from acsmpd.store.installs import serving_device
from acsmpd.store.tables import Load, Package, Service

PACKAGE_ID = re.compile(r"[0-9]{40}")
MOST_FETCHES = 64
"""Packages one origin may have on their way at once."""

HOLD_SECONDS = 8.0
"""How long an answer waits for what is about to end: a fetch, an engine that stops. Callers wait 15 s or more."""

SERVICE_NAMESPACE = uuid.UUID("6f0f6b0a-6d0c-5c5e-9a53-0d6b4b1b9f0e")


# --- tables 2 and 3: package files ------------------------------------------------------------------------


@handles("cad.push_algo_file_package")
def push(platform: Platform, call: Call) -> Reply:
    """Code 0 = accepted: the engine fetches and imports. A file that is here already is accepted as it is."""
    asked, origin, now = call.message, scope.origin_of(call.caller), call.now.wall_ms
    package_id = asked.algo_file_package_id
    if not PACKAGE_ID.fullmatch(package_id):
        raise faults.InvalidField("$.AlgoFilePackageID: must be 40 digits")
    scope.check_source(platform, call.caller, asked.url)
    hold(platform, HOLD_SECONDS, lambda tx: not _is_stopping(tx, package_id))
    with platform.store.write() as tx:
        serving_device(tx, platform.local_code)
        if _is_here(tx, asked, origin):
            services.want_copy(tx, package_id, platform.local_code, now, asked=True, origin=origin)
        else:
            _fetch(tx, asked, origin, now)
        scope.remember_push(tx, origin, package_id, _given(asked))
    platform.wake()
    return Reply(object=package_id)


def _given(asked: AlgoFilePackageRequest) -> dict[str, str]:
    """What a later load needs of the push; a bare path is meant on the host of Url (contract, table 2)."""
    licence = asked.license_file or ""
    return {
        "MD5": (asked.md5 or "").lower(),
        "AuthAddress": asked.auth_address or "",
        "LicenseFile": urljoin(asked.url, licence) if licence else "",
    }


def _is_stopping(tx: Tx, package_id: str) -> bool:
    """Whether all that is left of the package's services is on its way out."""
    left = packages.loads_of(tx, package_id)
    return bool(left) and not any(load["wanted"] for load in left)


def _is_here(tx: Tx, asked: AlgoFilePackageRequest, origin: str) -> bool:
    """Whether this very file is here. Conflict when another one is, and may not be replaced."""
    row = packages.get(tx, asked.algo_file_package_id)
    if row is None:
        return False
    if asked.md5 and asked.md5.lower() == row["md5"]:
        return True
    if row["origin"] != origin:
        owner = f"platform {row['origin']}" if row["origin"] else "this site"
        raise faults.Conflict(
            f"cannot push package {row['id']}: {owner} holds one of this ID with another content"
        )
    if not asked.md5 and _came_from(tx, asked, origin):
        return True
    if packages.loads_of(tx, row["id"]):
        raise faults.Conflict(f"cannot replace package {row['id']} while it is loaded: unload it first")
    return False


def _came_from(tx: Tx, asked: AlgoFilePackageRequest, origin: str) -> bool:
    """Whether what is here was fetched from the same address: without an MD5 the best sign of the same file."""
    done = [row for row in scope.fetches(tx, origin, asked.algo_file_package_id) if row["state"] == "done"]
    return bool(done) and done[0]["arguments"].get("Url") == asked.url


def _fetch(tx: Tx, asked: AlgoFilePackageRequest, origin: str, now_ms: int) -> None:
    """Ask the engine for the file, unless the same is on its way."""
    arguments = {
        "Url": asked.url, "MD5": asked.md5, "AlgoFilePackageID": asked.algo_file_package_id, "Origin": origin,
    }  # fmt: skip
    coming = [row for row in scope.fetches(tx, origin) if row["state"] in ("open", "running")]
    if any(row["arguments"] == arguments for row in coming):
        return
    if len(coming) >= MOST_FETCHES:
        raise faults.SlowDown(
            f"cannot fetch more than {MOST_FETCHES} packages at once for {origin}", retry_after_seconds=60
        )
    asks.put(tx, str(uuid.uuid4()), asks.PACKAGE, asked.algo_file_package_id, arguments, now_ms)


@handles("cad.delete_algo_file_package")
def delete(platform: Platform, call: Call) -> Reply:
    """Refused while it is loaded; a fetch of it is stopped. A file that others use too stays here for them."""
    package_id, origin, now = call.path["AlgoFilePackageID"], scope.origin_of(call.caller), call.now.wall_ms
    with platform.store.write() as tx:
        scope.withdraw(tx, origin, package_id, now)
    platform.wake()
    hold(platform, HOLD_SECONDS, lambda tx: not scope.is_coming(tx, origin, package_id))
    with platform.store.write() as tx:
        if scope.is_coming(tx, origin, package_id):
            raise faults.Conflict(f"cannot delete package {package_id} while it is being fetched")
        row = scope.own_package(platform, tx, origin, package_id)
        if _loads(tx, origin, package_id, Load.wanted == True):
            raise faults.Conflict(f"cannot delete package {package_id} while it is loaded: unload it first")
        gone = _let_go(tx, row, origin, now)
    if gone:
        platform.intake.remove(Path(row["path"]))
    platform.wake()
    return Reply(object=package_id)


def _let_go(tx: Tx, row: dict[str, Any], origin: str, now_ms: int) -> bool:
    """Take the package off this origin; True when nobody else uses it and it is gone altogether."""
    scope.forget_push(tx, origin, row["id"])
    if row["origin"] != origin:
        return False
    heir = scope.other_holder(tx, origin, row)
    if heir is not None:
        tx.run(Package.update(origin=heir).where(Package.id == row["id"]))
        return False
    packages.delete(tx, row["id"], now_ms)
    return True


# --- tables 4 and 5: loading --------------------------------------------------------------------------------


@handles("cad.install_algo_package")
def load(platform: Platform, call: Call) -> Reply:
    """Start the package's service; for one that is loaded already, success without effect."""
    asked, origin, now = call.message, scope.origin_of(call.caller), call.now.wall_ms
    package_id = asked.algo_file_package_id
    _check_args(asked.args)
    hold(platform, HOLD_SECONDS, lambda tx: not scope.is_coming(tx, origin, package_id))
    with platform.store.write() as tx:
        package = _package_to_load(platform, tx, origin, package_id)
        start_service(platform, tx, origin, package, now, asked)
    platform.wake()
    return Reply(object=package_id)


def _check_args(args: str | None) -> None:
    try:
        shlex.split(args or "")
    except ValueError as error:
        raise faults.InvalidField(f"$.Args: cannot be split into arguments: {error}") from error


def _package_to_load(platform: Platform, tx: Tx, origin: str, package_id: str) -> dict[str, Any]:
    """The package; else why it is not here: still being fetched, or what stopped the fetch."""
    try:
        return scope.own_package(platform, tx, origin, package_id)
    except faults.NotFound:
        found = scope.fetches(tx, origin, package_id)
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
    wanted = _loads(tx, origin, package["id"], Load.wanted == True)
    if wanted:
        for row in tx.rows(
            Load.select(Load.id).where(Load.id.in_([one["load_id"] for one in wanted]), Load.parked)
        ):
            services.change_load(tx, row["id"], parked=False, attempts=0, changed_ms=now_ms)
        return str(wanted[0]["id"])
    values = _service_values(tx, origin, package["id"], asked)
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


def _service_values(
    tx: Tx, origin: str, package_id: str, asked: AlgoPackageInstallRequest | None
) -> dict[str, Any]:
    """Environment, arguments, licence: of the load where it brings them, else of the push (X-LICENCE)."""
    given = scope.pushed(tx, origin).get(package_id) or {}
    env = kept_env(asked.env if asked else None)
    if given.get("AuthAddress") and not any(item["Name"] == AUTH_SERVER for item in env):
        env.append({"Name": AUTH_SERVER, "Value": given["AuthAddress"]})
    licence = (asked.license_file if asked else None) or given.get("LicenseFile") or None
    return {"env": env, "args": asked.args if asked else None, "license_url": licence}


def _loads(tx: Tx, origin: str, package_id: str, *conditions: Any) -> list[dict[str, Any]]:
    return tx.rows(services.search(Service.origin == origin, Load.package_id == package_id, *conditions))


@handles("cad.uninstall_algo_package")
def unload(platform: Platform, call: Call) -> Reply:
    """Refused while tasks run on it; paused ones give up their place and find one at their next start."""
    package_id, origin, now = call.path["AlgoFilePackageID"], scope.origin_of(call.caller), call.now.wall_ms
    with platform.store.write() as tx:
        loads = _loads(tx, origin, package_id)
        if not loads:
            scope.own_package(platform, tx, origin, package_id)
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
    found = _items(platform, scope.origin_of(call.caller))
    return [item for item in found if asked.status in (None, item.status)]


@handles("cad.get_algo_package")
def get_package(platform: Platform, call: Call) -> MachineAlgoPackage:
    wanted = call.path["AlgoFilePackageID"]
    for item in _items(platform, scope.origin_of(call.caller)):
        if item.algo_file_package_id == wanted:
            return item
    raise faults.NotFound(f"no package {wanted}")


def _items(platform: Platform, origin: str) -> list[MachineAlgoPackage]:
    show_local = platform.settings.facade.show_local
    with platform.store.read() as tx:
        rows = scope.packages_in_sight(platform, tx, origin)
        running = tx.rows(
            services.search(
                Load.device == platform.local_code, Load.wanted == True,
                Load.status.in_(("RUNNING", "OVERLOAD")),
            )
        )  # fmt: skip
    loaded = {row["package_id"] for row in running if show_local or row["origin"] == origin}
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
