"""Package files a platform above brings and takes back: tables 2 and 3 of Part 4 for this box, 28, 29 and 32 for the
site, where one may come without its executable.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from acsmpd import faults
from acsmpd.api import facade_scope as scope
from acsmpd.api.call import Call, Reply
from acsmpd.api.facade_scope import Sight
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.waiting import hold
from acsmpd.spec.messages.cap import AlgoFilePackagePushResult
from acsmpd.store import asks, packages, services, unfinished
from acsmpd.store.database import Tx
from acsmpd.store.installs import serving_device
from acsmpd.store.tables import Load, Package, Service

PACKAGE_ID = re.compile(r"[0-9]{40}")
MOST_FETCHES = 64
"""Packages one origin may have on their way, or waiting for their executables, at once."""

HOLD_SECONDS = 8.0
"""How long an answer waits for what is about to end: a fetch, an engine that stops. Callers wait 15 s or more."""


# --- tables 2 and 28: a package ----------------------------------------------------------------------------


@handles("cad.push_algo_file_package", "cap.push_algo_file_package")
def push(platform: Platform, call: Call) -> Reply:
    """Code 0 = accepted: the engine fetches and imports. A file that is here already is accepted as it is."""
    asked, sight, now = call.message, scope.sight_of(platform, call), call.now.wall_ms
    package_id = _package_id(asked)
    scope.check_source(platform, call.caller, asked.url)
    hold(platform, HOLD_SECONDS, lambda tx: not _is_stopping(tx, package_id))
    with platform.store.write() as tx:
        if sight.device:
            serving_device(tx, sight.device)
        if not _is_here(tx, asked, sight.origin):
            place = {"Device": sight.device} if sight.device else {"MayLackProgram": True}
            _fetch(tx, asked, {**place, "Origin": sight.origin}, now)
        elif sight.device:
            services.want_copy(tx, package_id, sight.device, now, asked=True, origin=sight.origin)
        scope.remember_push(tx, sight.origin, package_id, _given(asked))
    platform.wake()
    answer = None if sight.device else AlgoFilePackagePushResult(algo_file_package_id=package_id)
    return Reply(answer, object=package_id)


def _package_id(asked: Any) -> str:
    package_id: str = asked.algo_file_package_id
    if not PACKAGE_ID.fullmatch(package_id):
        raise faults.InvalidField("$.AlgoFilePackageID: must be 40 digits")
    return package_id


def _given(asked: Any) -> dict[str, str]:
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


def _is_here(tx: Tx, asked: Any, origin: str) -> bool:
    """Whether this very file is here. Conflict when another one is, and may not be replaced."""
    row, md5 = packages.get(tx, asked.algo_file_package_id), (asked.md5 or "").lower()
    if row is None:
        waits = unfinished.get(tx, asked.algo_file_package_id)
        return waits is not None and waits.origin == origin and md5 == waits.md5
    if md5 and md5 == row["md5"]:
        return True
    if row["origin"] != origin:
        owner = f"platform {row['origin']}" if row["origin"] else "this site"
        raise faults.Conflict(
            f"cannot push package {row['id']}: {owner} holds one of this ID with another content"
        )
    made = unfinished.parts(tx, row["id"], row["md5"])
    is_part = made is not None and md5 == made.package
    if is_part or (not md5 and _came_from(tx, asked, origin)):
        return True
    if packages.loads_of(tx, row["id"]):
        raise faults.Conflict(f"cannot replace package {row['id']} while it is loaded: unload it first")
    return False


def _came_from(tx: Tx, asked: Any, origin: str) -> bool:
    """Whether what is here was fetched from the same address: without an MD5 the best sign of the same file."""
    done = [row for row in scope.fetches(tx, origin, asked.algo_file_package_id) if row["state"] == "done"]
    return bool(done) and done[0]["arguments"].get("Url") == asked.url


def _fetch(tx: Tx, asked: Any, more: dict[str, Any], now_ms: int) -> None:
    """Ask the engine for the file, unless the same is on its way."""
    origin, package_id = more["Origin"], asked.algo_file_package_id
    arguments = {"Url": asked.url, "MD5": asked.md5, "AlgoFilePackageID": package_id, **more}
    coming = [row for row in scope.fetches(tx, origin) if row["state"] in ("open", "running")]
    if any(row["arguments"] == arguments for row in coming):
        return
    waiting = [one for one in unfinished.all_of(tx, origin) if one.id != package_id]
    if len(coming) + len(waiting) >= MOST_FETCHES:
        raise faults.SlowDown(
            f"cannot fetch more than {MOST_FETCHES} packages at once for {origin}", retry_after_seconds=60
        )
    asks.put(tx, str(uuid.uuid4()), asks.PACKAGE, package_id, arguments, now_ms)


# --- table 32: its executable ------------------------------------------------------------------------------


@handles("cap.push_exec_file")
def push_program(platform: Platform, call: Call) -> Reply:
    """Code 0 = accepted: it is fetched, put into its package, and that imported whole. One sent before is here."""
    asked, sight, now = call.message, scope.sight_of(platform, call), call.now.wall_ms
    package_id = _package_id(asked)
    scope.check_source(platform, call.caller, asked.url)
    hold(platform, HOLD_SECONDS, lambda tx: not _package_comes(tx, sight.origin, package_id))
    with platform.store.write() as tx:
        if not _is_whole_by(platform, tx, sight, asked):
            _fetch(tx, asked, {"Program": asked.type, "Origin": sight.origin}, now)
    platform.wake()
    return Reply({}, object=package_id)


def _package_comes(tx: Tx, origin: str, package_id: str) -> bool:
    coming = scope.fetches(tx, origin, package_id)
    return any(row["state"] in asks.WAITING and not row["arguments"].get("Program") for row in coming)


def _is_whole_by(platform: Platform, tx: Tx, sight: Sight, asked: Any) -> bool:
    """Whether the package has this executable; False where it waits for one. NotFound without a package."""
    package_id, md5 = asked.algo_file_package_id, asked.md5.lower()
    waits = unfinished.get(tx, package_id)
    if waits is not None and waits.origin == sight.origin:
        wanted = waits.manifest["kind"]
        if asked.type != wanted:
            raise faults.InvalidField(f"$.Type: package {package_id} is of type {wanted}, not {asked.type}")
        return False
    if _package_comes(tx, sight.origin, package_id):
        raise faults.NotFound(
            f"package {package_id} is not here yet: it is being fetched; send it again later"
        )
    row = scope.own_package(platform, tx, sight, package_id)
    made = unfinished.parts(tx, package_id, row["md5"])
    if made is None or made.program != md5:
        raise faults.Conflict(f"package {package_id} has its executable already; push the package anew")
    return True


# --- tables 3 and 29 -----------------------------------------------------------------------------------------


@handles("cad.delete_algo_file_package", "cap.delete_algo_file_package")
def delete(platform: Platform, call: Call) -> Reply:
    """Refused while it is loaded; a fetch of it is stopped. A file that others use too stays here for them."""
    package_id, sight, now = call.path["AlgoFilePackageID"], scope.sight_of(platform, call), call.now.wall_ms
    origin = sight.origin
    with platform.store.write() as tx:
        scope.withdraw(tx, origin, package_id, now)
    platform.wake()
    hold(platform, HOLD_SECONDS, lambda tx: not scope.is_coming(tx, origin, package_id))
    with platform.store.write() as tx:
        if scope.is_coming(tx, origin, package_id):
            raise faults.Conflict(f"cannot delete package {package_id} while it is being fetched")
        gone = _unfinished_gone(tx, origin, package_id) or _gone(platform, tx, sight, package_id, now)
    if gone:
        platform.intake.remove(Path(gone))
    platform.wake()
    return Reply(object=package_id)


def _unfinished_gone(tx: Tx, origin: str, package_id: str) -> str:
    """The file of one that waited for its executable, "" if there is none."""
    waits = unfinished.get(tx, package_id)
    if waits is None or waits.origin != origin:
        return ""
    unfinished.drop(tx, package_id)
    scope.forget_push(tx, origin, package_id)
    return waits.path


def _gone(platform: Platform, tx: Tx, sight: Sight, package_id: str, now_ms: int) -> str:
    """The file of a package that nobody uses any more, "" if it stays, or if none ever came."""
    if (
        not sight.device
        and packages.get(tx, package_id) is None
        and package_id in scope.pushed(tx, sight.origin)
    ):
        scope.forget_push(tx, sight.origin, package_id)
        return ""
    row = scope.own_package(platform, tx, sight, package_id)
    if loads_of(tx, sight.origin, package_id, Load.wanted == True):
        raise faults.Conflict(f"cannot delete package {package_id} while it is loaded: unload it first")
    return str(row["path"]) if _let_go(tx, row, sight.origin, now_ms) else ""


def loads_of(tx: Tx, origin: str, package_id: str, *conditions: Any) -> list[dict[str, Any]]:
    """The origin's services of a package, one row for each load."""
    return tx.rows(services.search(Service.origin == origin, Load.package_id == package_id, *conditions))


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
