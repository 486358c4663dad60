"""Licence files of providers, and the highest time ever seen, by which they end."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from acsmpd.model import Grant, brings_own, needs_authorisation
from acsmpd.store import facts
from acsmpd.store.database import Tx
from acsmpd.store.tables import Copy, License, Load, Package, Service

Row = dict[str, Any]
THERE = License.ended_ms.is_null(True)
"""It was not deleted."""
FOLDER = "licenses"
"""Files below the data directory, named by their content."""
LATEST = "licences.latest_ms"
"""The fact that holds the highest time ever seen."""


def rows(tx: Tx, *conditions: Any) -> list[Row]:
    """In the order they were imported in."""
    return tx.rows(License.select().where(THERE, *conditions).order_by(License.id))


def get(tx: Tx, license_id: int) -> Row | None:
    return tx.row(License.select().where(License.id == license_id, THERE))


def same(tx: Tx, sm3: str, provider: str, device: str) -> Row | None:
    """The licence that is this very file for this computility."""
    return tx.row(License.select().where(*_is_file(sm3, provider, device), THERE))


def _is_file(sm3: str, provider: str, device: str) -> tuple[Any, ...]:
    return (License.sm3 == sm3, License.provider == provider, License.device == device)


def add(tx: Tx, **values: Any) -> int:
    """One that was deleted and comes again had no end."""
    which = _is_file(values["sm3"], values["provider"], values["device"])
    tx.run(License.delete().where(*which, ~THERE))
    return int(tx.run(License.insert(**values)))


def change(tx: Tx, license_id: int, **values: Any) -> None:
    """One that has lapsed has not any more if it ends at another time now."""
    if "expire_ms" in values:
        values["lapsed"] = License.lapsed & (License.expire_ms == values["expire_ms"])
    if values:
        tx.run(License.update(**values).where(License.id == license_id))


def end(tx: Tx, license_id: int, at_ms: int) -> None:
    """It is deleted; remembered until its grace has passed. `at_ms`: the highest time ever seen."""
    tx.run(License.update(ended_ms=at_ms).where(License.id == license_id))


class Over(Struct, frozen=True):
    """A licence that gives nothing any more, since `since_ms` of the highest time; what runs by it may go on yet."""

    id: int
    provider: str
    grant: Grant
    since_ms: int
    ended: bool


def overs(tx: Tx, latest: int) -> list[Over]:
    """Those that have expired or were deleted and have not lapsed."""
    is_over = License.expire_ms.is_null(False) & (License.expire_ms <= latest)
    query = License.select().where((is_over | ~THERE), License.lapsed == False).order_by(License.id)
    return [
        Over(
            row["id"], row["provider"], Grant(device=row["device"], abilities=row["abilities"]),
            min(at for at in (row["expire_ms"], row["ended_ms"]) if at is not None),
            row["ended_ms"] is not None,
        )
        for row in tx.rows(query)
    ]  # fmt: skip


def lapse(tx: Tx, over: Over) -> None:
    """Its grace has passed and what had to end ends; of one that was deleted nothing is left."""
    if over.ended:
        tx.run(License.delete().where(License.id == over.id))
    else:
        tx.run(License.update(lapsed=True).where(License.id == over.id))


def any_ends(tx: Tx) -> bool:
    """Whether any of them may end, or was deleted and is remembered."""
    found = "SELECT 1 FROM license WHERE ended_ms IS NOT NULL OR expire_ms IS NOT NULL LIMIT 1"
    return bool(tx.sql(found))


def next_end(tx: Tx, latest: int) -> int | None:
    """When the next licence expires."""
    later = tx.sql("SELECT min(expire_ms) FROM license WHERE ended_ms IS NULL AND expire_ms > ?", latest)
    return None if later[0][0] is None else int(later[0][0])


def paths(tx: Tx) -> set[str]:
    """Files that some licence is."""
    return {row["path"] for row in tx.rows(License.select(License.path).where(THERE))}


def see(tx: Tx, now_ms: int) -> None:
    """Remember the time, if it is the highest so far."""
    if now_ms > int(facts.get(tx, LATEST) or 0):
        facts.put(tx, LATEST, now_ms)


def latest_ms(tx: Tx, now_ms: int) -> int:
    """The highest time ever seen."""
    return max(now_ms, int(facts.get(tx, LATEST) or 0))


def given(tx: Tx, provider: str, device: str, now_ms: int) -> Row | None:
    """The licence a computility is given with a package of the provider: of its own the newest, else of those for all
    the newest. Those that are over count for nobody; who has only such of its own gets none for all."""
    here = License.provider == provider
    own = rows(tx, here, License.device == device) if device else []
    latest = latest_ms(tx, now_ms)
    good = [row for row in own or rows(tx, here, License.device == "") if not is_over(row, latest)]
    return good[-1] if good else None


def wanted_on(tx: Tx, license_id: int, code: str) -> Row | None:
    """The licence, while a package of its provider, or a service of one, is wanted on the computility."""
    row = get(tx, license_id)
    if row is None or row["device"] not in ("", code):
        return None
    of_provider = Package.select(Package.id).where(Package.provider == row["provider"])
    copy = Copy.select(Copy.id).where(
        Copy.device == code, Copy.wanted == True, Copy.package_id.in_(of_provider)
    )
    load = Load.select(Load.id).where(
        Load.device == code, Load.wanted == True, Load.package_id.in_(of_provider)
    )
    return row if tx.row(copy) or tx.row(load) else None


def services_with(tx: Tx, row: Row, now_ms: int) -> list[str]:
    """Services that were loaded with this licence, as far as can be told: those that would be given it now."""
    query = (
        Load.select(Load.service_id, Load.device, Package.manifest, Service.env, Service.license_url)
        .join(Package, on=(Package.id == Load.package_id))
        .join(Service, on=(Service.id == Load.service_id))
        .where(Load.wanted == True, Load.ours == True, Package.provider == row["provider"])
        .order_by(Load.created_ms, Load.id)
    )
    loads = [
        one
        for one in tx.rows(query)
        if needs_authorisation(one["manifest"]) and not brings_own(one["env"], one["license_url"])
    ]
    holders = {one["device"] for one in loads}
    here = {
        code for code in holders if (given(tx, row["provider"], code, now_ms) or {}).get("id") == row["id"]
    }
    return list(dict.fromkeys(one["service_id"] for one in loads if one["device"] in here))


def is_over(row: Row, latest: int) -> bool:
    return row["expire_ms"] is not None and latest >= row["expire_ms"]
