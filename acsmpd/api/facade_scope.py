"""In whose name a caller of the served faces acts, and what of this box it may see (conventions section 6)."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from acsmpd import faults
from acsmpd.api.call import Call, Caller
from acsmpd.api.platform import Platform
from acsmpd.decide.upstreams import by_name, host_of
from acsmpd.spec.operation import Face
from acsmpd.store import asks, facts, packages, services, unfinished, upstreams
from acsmpd.store.database import Tx
from acsmpd.store.tables import Ask, Copy, Fact, Load, Package, Service

REGISTERED = ("registered", "failing", upstreams.LEAVING)
"""States in which a platform above knows us: it is away for a while, or not told yet that we leave."""
NEED_REGISTRATION = range(33, 44)
"""Tables of the /CAP face that may be called only after we have registered (Part 4 7.2.3, 7.2.4)."""
PUSHED = "pushed:"
"""Fact `pushed:<origin>`: package ID -> what came with its push (MD5, AuthAddress, LicenseFile)."""


def origin_of(caller: Caller) -> str:
    """The owner of what this caller creates: a platform above by its name, a person or key as shown."""
    return caller.name if caller.kind == "upstream" else caller.shown


class Sight(Struct, frozen=True):
    """In whose name, and of what: `device` is this box where it is shown by itself, "" for the whole site."""

    origin: str
    device: str


def sight_of(platform: Platform, call: Call) -> Sight:
    """What the face of this row shows. NotRegistered where the platform that calls has to know us and does not."""
    row = call.operation
    if row.face is not Face.CAP:
        return Sight(origin_of(call.caller), platform.local_code)
    if row.table in NEED_REGISTRATION:
        _expect_registered(platform, call.caller)
    return Sight(origin_of(call.caller), "")


def _expect_registered(platform: Platform, caller: Caller) -> None:
    """People may look at the face of their own site whatever platforms above think of it."""
    if caller.kind != "upstream":
        return
    with platform.store.read() as tx:
        row = upstreams.get(tx, caller.name)
    if row is None or row["state"] not in REGISTERED:
        state = f"{row['state']}: {row['reason']}".rstrip(": ") if row else "it has not been asked yet"
        raise faults.NotRegistered(
            f"services and tasks wait until this site is registered with you ({state}); Part 4 7.2.3, 7.2.4"
        )


def pushed(tx: Tx, origin: str) -> dict[str, dict[str, str]]:
    """What this origin has pushed here."""
    return facts.get(tx, PUSHED + origin) or {}


def remember_push(tx: Tx, origin: str, package_id: str, given: dict[str, str]) -> None:
    """Keep what came with a push; entries of packages of which nobody knows anything any more are dropped."""
    entries = {**pushed(tx, origin), package_id: given}
    here = {row["id"] for row in tx.rows(Package.select(Package.id).where(Package.id.in_(list(entries))))}
    here |= {one.id for one in unfinished.all_of(tx, origin)}
    asked = {row["subject"] for row in fetches(tx, origin) if row["state"] != "done"}
    kept = {key: entry for key, entry in entries.items() if key in here | asked | {package_id}}
    facts.put(tx, PUSHED + origin, kept)


def forget_push(tx: Tx, origin: str, package_id: str) -> None:
    facts.put(tx, PUSHED + origin, {k: v for k, v in pushed(tx, origin).items() if k != package_id})


def other_holder(tx: Tx, origin: str, package: dict[str, Any]) -> str | None:
    """Who else uses a package: an origin with a service of it, or one that pushed the same file; else None.

    What runs of it on a device of somebody else's is nobody's use of ours.
    """
    foreign = Load.select(Load.service_id).where(Load.ours == False)
    used = tx.row(
        Service.select(Service.origin).where(
            Service.package_id == package["id"], Service.origin != origin, Service.id.not_in(foreign)
        )
    )
    if used is not None:
        return str(used["origin"])
    for row in tx.rows(Fact.select().where(Fact.name.startswith(PUSHED), Fact.name != PUSHED + origin)):
        entry = (row["value"] or {}).get(package["id"])
        if entry and entry["MD5"] == package["md5"]:
            return str(row["name"].removeprefix(PUSHED))
    return None


def fetches(tx: Tx, origin: str, package_id: str | None = None) -> list[dict[str, Any]]:
    """The fetches of packages this origin asked for, newest first."""
    query = Ask.select().where(Ask.kind == asks.PACKAGE).order_by(Ask.created_ms.desc())
    rows = tx.rows(query if package_id is None else query.where(Ask.subject == package_id))
    return [row for row in rows if (row["arguments"].get("Origin") or "") == origin]


def is_coming(tx: Tx, origin: str, package_id: str) -> bool:
    return any(row["state"] in asks.WAITING for row in fetches(tx, origin, package_id))


def withdraw(tx: Tx, origin: str, package_id: str, now_ms: int) -> None:
    """Its fetches are not wanted any more."""
    for row in fetches(tx, origin, package_id):
        if row["state"] in asks.WAITING:
            asks.withdraw(
                tx, row, now_ms, faults.NotFound.code, "withdrawn by the platform that asked for it"
            )


# --- packages in sight -----------------------------------------------------------------------------------


def owns(row: dict[str, Any], origin: str, entries: dict[str, dict[str, str]]) -> bool:
    """Whether the origin brought the package, or pushed the very file that was here already."""
    entry = entries.get(row["id"])
    return bool(row["origin"] == origin or (entry and entry["MD5"] == row["md5"]))


def packages_in_sight(platform: Platform, tx: Tx, sight: Sight) -> list[tuple[dict[str, Any], bool]]:
    """(package, whether it is the origin's own) of all it may see; the site's own only by facade.show_local."""
    entries = pushed(tx, sight.origin)
    found = [(row, owns(row, sight.origin, entries)) for row in packages.search(tx)]
    if not platform.settings.facade.show_local:
        return [(row, True) for row, own in found if own]
    if not sight.device:
        return found
    local = services.copies(tx, Copy.device == sight.device, Copy.wanted == True)
    here = {copy.package_id for copy in local}
    return [(row, own) for row, own in found if own or row["id"] in here]


def own_package(platform: Platform, tx: Tx, sight: Sight, package_id: str) -> dict[str, Any]:
    """A package the origin may change. NotFound, or NotAllowed for one it only sees."""
    for row, own in packages_in_sight(platform, tx, sight):
        if row["id"] == package_id:
            if own:
                return row
            raise faults.NotAllowed(f"package {package_id} belongs to this site and is read-only here")
    raise faults.NotFound(f"no package {package_id}")


# --- where a package may come from -----------------------------------------------------------------------


def check_source(platform: Platform, caller: Caller, url: str) -> None:
    """A package is fetched from the platform that pushed it, unless egress.allow names another place.

    Raises InvalidField for what is no address and NotAllowed for one we do not go to.
    """
    target = platform.egress.judge_url(url)
    if caller.kind != "upstream":
        return
    entry = by_name(platform.settings.upstream, platform.settings.site_code).get(caller.name)
    known = {caller.address, host_of(entry) if entry is not None else ""}
    shown = str(target.ip) if target.ip is not None else target.host
    loopback = (
        target.ip.is_loopback if target.ip is not None else target.host.rstrip(".").endswith("localhost")
    )
    allowed = {f"{target.host}:{target.port}", f"{target.host}:*"} & set(platform.settings.egress.allow)
    if not (known & {shown, target.host} or loopback or allowed):
        raise faults.NotAllowed(
            f"$.Url: {shown}:{target.port} is not the platform that pushed the package; egress.allow may name it"
        )
