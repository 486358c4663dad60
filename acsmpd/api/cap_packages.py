"""Tables 30 and 31 of Part 4, served: the packages a platform above has brought to the site."""

from __future__ import annotations

import shlex
from typing import Any

from msgspec import Struct

from acsmpd import faults
from acsmpd.api import facade_scope as scope
from acsmpd.api.call import Call
from acsmpd.api.facade_scope import Sight
from acsmpd.api.paging import page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.spec.messages import cap
from acsmpd.store import asks, services, unfinished
from acsmpd.store.database import Tx
from acsmpd.store.tables import Load

WAITING, NO_PROGRAM, WHOLE, RUNNING, FAULTY = range(5)
"""Table I.5: still to come, here without its executable, here, running, not to be used."""


class _Shown(Struct, frozen=True):
    """A package as the face shows it; `manifest` empty while nobody knows what is in it."""

    id: str
    status: int
    manifest: dict[str, Any]


@handles("cap.search_algo_file_packages")
def search(platform: Platform, call: Call) -> cap.AlgoFilePackageSearchPage:
    """In the object form of the example (X-LISTSHAPE)."""
    asked, page = call.message, page_of(call.message)
    name = (asked.name or "").casefold()
    found = [one for one in _all(platform, call) if name in _name(one).casefold()]
    records = [
        cap.AlgoFilePackageSearchRecord(**_common(one))
        for one in found[(page.number - 1) * page.size : page.number * page.size]
    ]
    return cap.AlgoFilePackageSearchPage(
        page_number=page.number, page_size=page.size, total_size=len(found), records=records
    )


@handles("cap.get_algo_file_package")
def get(platform: Platform, call: Call) -> cap.AlgoFilePackage:
    wanted = call.path["AlgoFilePackageID"]
    one = next((one for one in _all(platform, call) if one.id == wanted), None)
    if one is None:
        raise faults.NotFound(f"no package {wanted}")
    told = one.manifest
    return cap.AlgoFilePackage(
        **_common(one),
        tags=list(told.get("tags") or ()) or None,
        bin=cap.AlgoPackageBin(
            type=told.get("kind"),
            remote_uri=told.get("remote_uri") or None,
            local_uri=told.get("local_uri") or None,
        ),
        algo_runtime=cap.AlgoPackageRuntime(
            cmd=shlex.join(told.get("cmd") or ()),
            env=[cap.EnvItem(name=name, value=value) for name, value in told.get("env") or ()],
            xpu=[_xpu(one) for one in told.get("xpu") or ()],
        ),
    )


def _xpu(wish: dict[str, Any]) -> cap.XpuRequirement:
    return cap.XpuRequirement(
        quota=wish.get("quota"), limit=wish.get("limit"), vendor=wish.get("vendor"),
        accelerator=wish.get("accelerator"), resolution=wish.get("resolution"),
        capacities=cap.XpuCapacities(
            stream_video_quota=wish.get("stream_video_quota"),
            stream_capture_quota=wish.get("stream_capture_quota"), analyze_quota=wish.get("analyze_quota"),
        ),
    )  # fmt: skip


def _common(one: _Shown) -> dict[str, Any]:
    told = one.manifest
    return {
        "algo_file_package_id": one.id, "name": _name(one)[:128], "version": told.get("version", ""),
        "author": told.get("provider", ""), "description": (told.get("description") or "")[:1024] or None,
        "status": one.status,
    }  # fmt: skip


def _name(one: _Shown) -> str:
    return str(one.manifest.get("name") or one.id)


def _all(platform: Platform, call: Call) -> list[_Shown]:
    """Those that are here by the time they came, then those that wait for something, by ID."""
    sight = scope.sight_of(platform, call)
    with platform.store.read() as tx:
        rows = [row for row, _own in scope.packages_in_sight(platform, tx, sight)]
        running = _running(platform, tx, sight)
        here = [
            _Shown(row["id"], RUNNING if row["id"] in running else WHOLE, row["manifest"]) for row in rows
        ]
        return [*here, *_not_whole(tx, sight.origin, {one.id for one in here})]


def _running(platform: Platform, tx: Tx, sight: Sight) -> set[str]:
    """Packages of which a service runs that may be told of."""
    found = services.search(Load.wanted == True, Load.status.in_(("RUNNING", "OVERLOAD")))
    mine = (platform.settings.facade.show_local, sight.origin)
    return {row["package_id"] for row in tx.rows(found) if mine[0] or row["origin"] == mine[1]}


def _not_whole(tx: Tx, origin: str, here: set[str]) -> list[_Shown]:
    """Without its executable, still on its way, or with the file that came last found faulty."""
    last: dict[str, dict[str, Any]] = {}
    for row in scope.fetches(tx, origin):  # newest first
        last.setdefault(row["subject"], row)
    parts = {one.id: one.manifest for one in unfinished.all_of(tx, origin)}
    pushed = scope.pushed(tx, origin)
    found = []
    for package_id in sorted({*parts, *last} - here):
        ask = last.get(package_id)
        if ask is not None and ask["state"] == "failed" and package_id in pushed:
            status = FAULTY
        elif package_id in parts:
            status = NO_PROGRAM
        elif ask is not None and ask["state"] in asks.WAITING:
            status = WAITING
        else:
            continue
        found.append(_Shown(package_id, status, parts.get(package_id, {})))
    return found
