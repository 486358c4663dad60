"""Rollouts and their members: the wish, whose turn it is, how each turn ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec
from peewee import fn

from acsmpd.model import CopyRow, Device, LoadRow
from acsmpd.store import alarms, devices, services
from acsmpd.store.alarms import ROLLOUT_FAILED
from acsmpd.store.database import Tx
from acsmpd.store.tables import Copy, Load, Package, Rollout, RolloutMember, Service

Rows = list[dict[str, Any]]
OPEN = ("WAITING", "IN_PROGRESS")
CHUNK = 500
"""Values in one statement."""


# --- rollouts ----------------------------------------------------------------------------------------------


def add(tx: Tx, codes: Sequence[str], **values: Any) -> int:
    """A rollout to these devices, in this order; gives its number."""
    rollout_id = int(tx.run(Rollout.insert(**values)))
    tx.sql(
        "INSERT INTO rollout_member (rollout_id, device, status, reason, wave, step, service_id, made_copy, made_load)"
        " SELECT ?, value, 'WAITING', '', 0, '', '', 0, 0 FROM json_each(?) ORDER BY key",
        rollout_id, msgspec.json.encode(list(codes)).decode(),
    )  # fmt: skip
    return rollout_id


def get(tx: Tx, rollout_id: int) -> dict[str, Any] | None:
    return tx.row(Rollout.select().where(Rollout.id == rollout_id))


def all_rows(tx: Tx) -> Rows:
    """Every rollout, the newest first."""
    return tx.rows(Rollout.select().order_by(Rollout.id.desc()))


def active(tx: Tx) -> Rows:
    """Those of which something may move now, the oldest first: not those that are paused with nobody in progress."""
    begun = RolloutMember.select(RolloutMember.rollout_id).where(
        RolloutMember.rollout_id == Rollout.id, RolloutMember.status == "IN_PROGRESS"
    )
    moving = (Rollout.paused == False) | fn.EXISTS(begun)
    return tx.rows(Rollout.select().where(Rollout.ended_ms.is_null(True), moving).order_by(Rollout.id))


def change(tx: Tx, rollout_id: int, **values: Any) -> None:
    tx.run(Rollout.update(**values).where(Rollout.id == rollout_id))


def drop(tx: Tx, rollout_id: int, now_ms: int) -> None:
    """Forget a rollout, its members and its alarm."""
    alarms.end_alarm(tx, ROLLOUT_FAILED, str(rollout_id), now_ms)
    tx.run(RolloutMember.delete().where(RolloutMember.rollout_id == rollout_id))
    tx.run(Rollout.delete().where(Rollout.id == rollout_id))


def number(tx: Tx) -> int:
    return tx.number(Rollout.select(fn.COUNT(1)))


def oldest_ended(tx: Tx) -> int | None:
    """The rollout that came to its end before all others that have ended."""
    row = tx.row(
        Rollout.select(Rollout.id)
        .where(Rollout.ended_ms.is_null(False))
        .order_by(Rollout.ended_ms, Rollout.id)
    )
    return int(row["id"]) if row else None


def of_other_versions(tx: Tx, package: dict[str, Any]) -> Rows:
    """Active rollouts of the same package (name and provider) in another version, with that `version`."""
    return tx.rows(
        Rollout.select(Rollout, Package.version)
        .join(Package, on=(Package.id == Rollout.package_id))
        .where(
            Rollout.ended_ms.is_null(True), Rollout.package_id != package["id"],
            Package.name == package["name"], Package.provider == package["provider"],
        )
        .order_by(Rollout.id)
    )  # fmt: skip


# --- members -----------------------------------------------------------------------------------------------


def counts(tx: Tx, *rollout_ids: int) -> dict[int, Counter[str]]:
    """rollout -> {status: number of its members}."""
    query = RolloutMember.select(
        RolloutMember.rollout_id, RolloutMember.status, fn.COUNT(1).alias("number")
    ).where(RolloutMember.rollout_id.in_(rollout_ids))
    found: dict[int, Counter[str]] = {rollout_id: Counter() for rollout_id in rollout_ids}
    for row in tx.rows(query.group_by(RolloutMember.rollout_id, RolloutMember.status)):
        found[row["rollout_id"]][row["status"]] = row["number"]
    return found


def members(tx: Tx, rollout_id: int, *statuses: str, limit: int = -1, offset: int = 0) -> Rows:
    """Members in the order they were named in, of these statuses or all."""
    query = RolloutMember.select().where(RolloutMember.rollout_id == rollout_id)
    if statuses:
        query = query.where(RolloutMember.status.in_(statuses))
    return tx.rows(query.order_by(RolloutMember.id).limit(limit).offset(offset))


def failures(tx: Tx, rollout_id: int, limit: int) -> list[tuple[str, str]]:
    """(device, reason) of the first members that failed."""
    query = (
        RolloutMember.select(RolloutMember.device, RolloutMember.reason)
        .where(RolloutMember.rollout_id == rollout_id, RolloutMember.status == "FAILED")
        .order_by(RolloutMember.ended_ms, RolloutMember.id)
    )
    return [(row["device"], row["reason"]) for row in tx.rows(query.limit(limit))]


def change_member(tx: Tx, member_id: int, **values: Any) -> None:
    tx.run(RolloutMember.update(**values).where(RolloutMember.id == member_id))


def begin(tx: Tx, rollout_id: int, number: int, now_ms: int) -> None:
    """Make the next members that wait the present wave."""
    here = RolloutMember.rollout_id == rollout_id
    wave = tx.number(RolloutMember.select(fn.MAX(RolloutMember.wave)).where(here)) + 1
    first = RolloutMember.select(RolloutMember.id).where(here, RolloutMember.status == "WAITING")
    tx.run(
        RolloutMember.update(status="IN_PROGRESS", wave=wave, begun_ms=now_ms).where(
            RolloutMember.id.in_(first.order_by(RolloutMember.id).limit(number))
        )
    )


_PRESENT = (
    "UPDATE rollout_member SET status = 'DONE', ended_ms = ? WHERE rollout_id = ? AND status = 'WAITING'"
)
_SERVED = f"""{_PRESENT} AND device IN (
    SELECT l.device FROM load l JOIN service s ON s.id = l.service_id
    WHERE l.package_id = ? AND l.wanted AND l.status IN ('RUNNING', 'OVERLOAD')
    AND (? = '[]' OR (l.ours AND s.env = ?)))"""  # noqa: S608
_HELD = f"""{_PRESENT} AND device IN (
    SELECT device FROM copy WHERE package_id = ? AND wanted AND status = 3 AND md5 = ?)"""  # noqa: S608


def settle_present(tx: Tx, row: dict[str, Any], md5: str | None, now_ms: int) -> None:
    """Members that wait for what is on their device already are done: no turn is spent on them."""
    if row["load"]:
        env = msgspec.json.encode(row["env"]).decode()
        tx.sql(_SERVED, now_ms, row["id"], row["package_id"], env, env)
    else:
        tx.sql(_HELD, now_ms, row["id"], row["package_id"], md5)


# --- what there is of the package on their devices --------------------------------------------------------------


def held(tx: Tx, package_id: str, codes: Sequence[str]) -> dict[str, Any]:
    """What is known of the package on these devices. By code: `devices` themselves, `copies` (its file), `loads`
    (those of it, be they to go); `envs`: service of the package -> its Env."""
    known: dict[str, Device] = {}
    copies: dict[str, CopyRow] = {}
    loads: dict[str, list[LoadRow]] = {}
    for at in range(0, len(codes), CHUNK):
        some = codes[at : at + CHUNK]
        known |= {one.code: one for one in devices.some(tx, some)}
        files = services.copies(tx, Copy.package_id == package_id, Copy.device.in_(some))
        copies |= {row.device: row for row in files}
        for row in services.loads(tx, Load.package_id == package_id, Load.device.in_(some)):
            loads.setdefault(row.device, []).append(row)
    query = Service.select(Service.id, Service.env).where(Service.package_id == package_id)
    envs = {row["id"]: row["env"] for row in tx.rows(query)} if loads else {}
    return {"devices": known, "copies": copies, "loads": loads, "envs": envs}


def withdraw(tx: Tx, package_id: str, member: dict[str, Any], now_ms: int) -> None:
    """Take back what was wished for a member alone and has not left for its device; the rest stays."""
    device, values = member["device"], {"step": "", "made_load": False, "service_id": ""}
    if member["made_load"]:
        for load in services.loads(tx, Load.service_id == member["service_id"], Load.wanted == True):
            if not load.sent:
                services.unwant_load(tx, load.id, now_ms)
    copy = services.copy(tx, package_id, device)
    others = services.loads(tx, Load.package_id == package_id, Load.device == device, Load.wanted == True)
    if member["made_copy"] and copy and not (copy["sent"] or copy["asked"] or others):
        services.unwant_copy(tx, package_id, device, now_ms)
        values["made_copy"] = False
    change_member(tx, member["id"], **values)
