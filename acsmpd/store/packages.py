"""Packages and their capabilities."""

from __future__ import annotations

from typing import Any

from peewee import fn

from acsmpd.model import Ability
from acsmpd.store import unfinished
from acsmpd.store.database import Tx
from acsmpd.store.tables import Capability, Copy, Load, Package, Task


def get(tx: Tx, package_id: str) -> dict[str, Any] | None:
    return tx.row(Package.select().where(Package.id == package_id))


def search(tx: Tx, *conditions: Any) -> list[dict[str, Any]]:
    return tx.rows(
        Package.select().where(Package.id != "", *conditions).order_by(Package.created_ms, Package.id)
    )


def abilities(tx: Tx) -> list[Ability]:
    """Every capability of every package, as placement sees it."""
    query = Capability.select(
        Capability, Package.name.alias("package_name"), Package.version.alias("version")
    ).join(Package, on=(Package.id == Capability.package_id))
    return [
        Ability(
            row["code"], row["package_id"], row["package_name"], row["version"],
            tuple(row["event_ids"]), tuple(row["task_types"]),
        )
        for row in tx.rows(query)
    ]  # fmt: skip


def put(
    tx: Tx, package: dict[str, Any], capabilities: list[dict[str, Any]], now_ms: int
) -> list[tuple[str, str]]:
    """Write a package and its capabilities over what was there.

    Returns the capabilities that moved here: (code, package it was taken from).
    """
    old = get(tx, package["id"])
    created = old["created_ms"] if old else now_ms
    tx.run(Package.insert(**package, created_ms=created, modified_ms=now_ms).on_conflict_replace())
    codes = [capability["code"] for capability in capabilities]
    held = {row["code"]: row for row in tx.rows(Capability.select().where(Capability.code.in_(codes)))}
    moved = [(code, row["package_id"]) for code, row in held.items() if row["package_id"] != package["id"]]
    tx.run(Capability.delete().where(Capability.package_id == package["id"]))
    for capability in capabilities:
        created = held.get(capability["code"], {}).get("created_ms", now_ms)
        tx.run(
            Capability.insert(
                **capability, package_id=package["id"], created_ms=created, modified_ms=now_ms
            ).on_conflict_replace()
        )
    return moved


def holders(tx: Tx, codes: list[str]) -> dict[str, dict[str, Any]]:
    """capability code -> the package that holds it (id, origin), of those that are held."""
    query = Capability.select(Capability.code, Package.id, Package.origin).join(
        Package, on=(Package.id == Capability.package_id)
    )
    return {row["code"]: row for row in tx.rows(query.where(Capability.code.in_(codes)))}


def loads_of(tx: Tx, *package_ids: str) -> list[dict[str, Any]]:
    """Loads of the packages that are wanted or may still run; foreign ones only while they carry tasks of ours."""
    carrying = Task.select(Task.load_id).where(Task.load_id.is_null(False), Task.wanted == "running")
    return tx.rows(
        Load.select()
        .where(
            Load.package_id.in_(package_ids),
            (Load.wanted == True) | (Load.sent == True),
            (Load.ours == True) | Load.id.in_(carrying),
        )
        .order_by(Load.created_ms, Load.id)
    )


def delete(tx: Tx, package_id: str, now_ms: int) -> None:
    """Drop the package and its capabilities; the copies of ours are to leave the devices."""
    tx.run(Capability.delete().where(Capability.package_id == package_id))
    tx.run(Package.delete().where(Package.id == package_id))
    unfinished.forget_parts(tx, package_id)
    tx.run(
        Copy.update(
            wanted=False, asked=False, parked=False, generation=Copy.generation + 1, changed_ms=now_ms
        ).where(Copy.package_id == package_id, Copy.ours == True)
    )


def counts_by_package(tx: Tx) -> dict[str, dict[str, int]]:
    """package id -> {status: number of wanted loads}, for the status of its capabilities."""
    query = (
        Load.select(Load.package_id, Load.status, fn.COUNT(1).alias("number"))
        .where(Load.wanted == True)
        .group_by(Load.package_id, Load.status)
    )
    found: dict[str, dict[str, int]] = {}
    for row in tx.rows(query):
        found.setdefault(row["package_id"], {})[row["status"]] = row["number"]
    return found
