"""Copies of packages on devices, services, and their loads."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from typing import Any

import msgspec
from peewee import JOIN, fn

from acsmpd.model import CARRIED, CardShare, CopyRow, LoadRow, TaskRow
from acsmpd.store import plain
from acsmpd.store.database import Tx
from acsmpd.store.rows import structs
from acsmpd.store.tables import Copy, Load, Package, Service, Task

YES, NO = True, False


# --- copies ------------------------------------------------------------------------------------------


def copy(tx: Tx, package_id: str, device: str) -> dict[str, Any] | None:
    return plain.row(tx, Copy, package_id=package_id, device=device)


def copies(tx: Tx, *conditions: Any) -> list[CopyRow]:
    query = Copy.select()
    return structs(tx, query.where(*conditions) if conditions else query, CopyRow)


def want_copy(tx: Tx, package_id: str, device: str, now_ms: int, *, asked: bool, origin: str = "") -> None:
    """Wish for a package file on a device; a refused or failed one is tried afresh, a foreign one becomes ours."""
    row = copy(tx, package_id, device)
    if row is None:
        tx.run(
            Copy.insert(
                package_id=package_id, device=device, asked=asked, origin=origin,
                created_ms=now_ms, changed_ms=now_ms,
            )
        )  # fmt: skip
        return
    values: dict[str, Any] = {
        "wanted": True,
        "parked": False,
        "asked": asked or row["asked"],
        "ours": True,
        "changed_ms": now_ms,
    }
    if not row["wanted"]:
        values |= {"attempts": 0, "missing": 0}
    tx.run(Copy.update(**values).where(Copy.id == row["id"]))


def unwant_copy(tx: Tx, package_id: str, device: str, now_ms: int) -> None:
    """Wish the file away; its link is void from now on. A foreign one becomes ours to delete."""
    tx.run(
        Copy.update(
            wanted=False,
            ours=True,
            asked=False,
            parked=False,
            attempts=0,
            generation=Copy.generation + 1,
            changed_ms=now_ms,
        ).where(Copy.package_id == package_id, Copy.device == device)
    )


def change_copy(tx: Tx, copy_id: int, **values: Any) -> None:
    plain.update(tx, Copy, values, id=copy_id)


def drop_copy(tx: Tx, copy_id: int) -> None:
    tx.run(Copy.delete().where(Copy.id == copy_id))


def unsettled_copies(tx: Tx, copy_id: int | None = None) -> list[dict[str, Any]]:
    """Copies (or one of them) something may have to be done about, with the MD5 the platform holds now.

    That is None for a package deleted there.
    """
    query = (
        Copy.select(Copy, Package.md5.alias("platform_md5"))
        .join(Package, on=(Package.id == Copy.package_id), join_type=JOIN.LEFT_OUTER)
        .where(
            (Copy.wanted == NO)
            | (Copy.sent == NO)
            | (Copy.status != 3)
            | (Copy.missing >= 2)
            | (Package.md5.is_null(NO) & (Copy.md5 != Package.md5))
        )
    )
    return tx.rows(query if copy_id is None else query.where(Copy.id == copy_id))


def pushed_to(tx: Tx, device: str) -> dict[tuple[str, str], str]:
    """(name, version) -> id of our packages that may be on a device."""
    query = Package.select(Package.id, Package.name, Package.version).join(
        Copy, on=(Copy.package_id == Package.id)
    )
    rows = tx.rows(query.where(Copy.device == device, Copy.sent == YES, Copy.ours == YES))
    return {(row["name"], row["version"]): row["id"] for row in rows}


# --- services and loads --------------------------------------------------------------------------------


def service(tx: Tx, service_id: str) -> dict[str, Any] | None:
    return plain.row(tx, Service, id=service_id)


def namespaces(tx: Tx, device: str) -> set[str]:
    """Where a computing platform has put services of ours: what follows @ in what they are called there."""
    here = (Load.device == device, Load.ours == YES, Load.facility_id.contains("@"))
    rows = tx.rows(Load.select(Load.facility_id).where(*here))
    return {row["facility_id"].rpartition("@")[2] for row in rows}


def add_service(tx: Tx, **values: Any) -> None:
    tx.run(Service.insert(**values))


def change_service(tx: Tx, service_id: str, **values: Any) -> None:
    plain.update(tx, Service, values, id=service_id)


def add_load(tx: Tx, **values: Any) -> None:
    tx.run(Load.insert(**values))


def change_load(tx: Tx, load_id: str, **values: Any) -> None:
    plain.update(tx, Load, values, id=load_id)


def unwant_load(tx: Tx, load_id: str, now_ms: int) -> None:
    """Wish a load away. A foreign one becomes ours to unload."""
    change_load(tx, load_id, wanted=False, ours=True, parked=False, attempts=0, changed_ms=now_ms)


def load(tx: Tx, load_id: str) -> LoadRow | None:
    row = plain.row(tx, Load, id=load_id)
    return None if row is None else msgspec.convert(row, LoadRow)


def loads(tx: Tx, *conditions: Any) -> list[LoadRow]:
    query = Load.select().order_by(Load.created_ms, Load.id)
    return structs(tx, query.where(*conditions) if conditions else query, LoadRow)


def add_replica(tx: Tx, service_id: str, package_id: str, device: str, replica: int, now_ms: int) -> None:
    add_load(
        tx, id=str(uuid.uuid4()), service_id=service_id, package_id=package_id, device=device, replica=replica,
        created_ms=now_ms, changed_ms=now_ms,
    )  # fmt: skip


def rescale(tx: Tx, service_id: str, package_id: str, device: str, replicas: int, now_ms: int) -> None:
    """Loads numbered from 0 up; the first one is what a search shows of the service, so the last ones go."""
    here = (Load.service_id == service_id, Load.wanted == YES)
    there = {row["replica"]: row["id"] for row in tx.rows(Load.select(Load.id, Load.replica).where(*here))}
    for number in sorted(set(range(replicas)) - set(there)):
        add_replica(tx, service_id, package_id, device, number, now_ms)
    for number, load_id in there.items():
        if number >= replicas:
            retire(tx, load_id, now_ms)
    change_service(tx, service_id, replicas=replicas)


def retire(tx: Tx, load_id: str, now_ms: int) -> None:
    """Wish a load away. Paused tasks give up their place and find one when they are started again; one that has
    finished stays what it is.
    """
    unwant_load(tx, load_id, now_ms)
    tx.run(
        Task.update(wanted="gone", parked=False, changed_ms=now_ms).where(
            Task.load_id == load_id, Task.wanted == "paused", Task.status != "FINISHED"
        )
    )


def other_number(tx: Tx, service_id: str, replicas: int, now_ms: int) -> None:
    """Wish for another number of replicas where a service keeps running for it; a refused one is asked for afresh."""
    change_service(tx, service_id, replicas=replicas)
    here = (Load.service_id == service_id, Load.wanted == YES)
    tx.run(Load.update(parked=False, attempts=0, changed_ms=now_ms).where(*here))


def try_again(tx: Tx, package_id: str, device: str, now_ms: int) -> None:
    """Services of a package that a device has refused for good are loaded afresh."""
    refused = (Load.package_id == package_id, Load.device == device, Load.wanted == YES, Load.parked == YES)
    tx.run(Load.update(parked=False, attempts=0, changed_ms=now_ms).where(*refused))


def copy_to(tx: Tx, service_id: str, device: str, now_ms: int) -> str:
    """Wish for the same service, by its environment and licence, on a further device; its AlgoServiceID."""
    like = service(tx, service_id)
    assert like is not None  # noqa: S101
    new_id = str(uuid.uuid4())
    want_copy(tx, like["package_id"], device, now_ms, asked=False, origin=like["origin"])
    add_service(tx, **{**like, "id": new_id, "replicas": 1, "created_ms": now_ms})
    add_replica(tx, new_id, like["package_id"], device, 0, now_ms)
    return new_id


def unsettled_loads(tx: Tx, load_id: str | None = None) -> list[LoadRow]:
    """Loads (or one of them) something may have to be done about."""
    of_service = Service.select(Service.replicas).where(Service.id == Load.service_id)
    unscaled = Load.replicas.is_null(NO) & (Load.replicas != of_service)
    open_ = (
        (Load.wanted == NO) | (Load.sent == NO) | (Load.status == "ERROR") | (Load.missing >= 2) | unscaled
    )
    return loads(tx, open_, *(() if load_id is None else (Load.id == load_id,)))


def starting_on(tx: Tx) -> set[str]:
    """Computilities a service of ours was sent to that is not up yet."""
    query = Load.select(Load.device).where(Load.wanted == YES, Load.sent == YES, Load.status == "INIT")
    return {row["device"] for row in tx.rows(query.distinct())}


def number_on(tx: Tx, device: str) -> int:
    """Loads of ours that are on a computility or are to be."""
    here = (Load.device == device, (Load.wanted == YES) | (Load.sent == YES))
    return tx.number(Load.select(fn.COUNT(1)).where(*here))


def is_leaving(tx: Tx, load: LoadRow) -> bool:
    """Whether another load of the same package is on the same device still, and not wanted there any more."""
    others = Load.select(Load.id).where(
        Load.package_id == load.package_id, Load.device == load.device, Load.id != load.id,
        Load.wanted == NO, Load.sent == YES,
    )  # fmt: skip
    return tx.row(others) is not None


def drop_load(tx: Tx, load_id: str) -> None:
    """Forget a load that is gone from its device, and its service with the last one."""
    row = tx.row(Load.select(Load.service_id).where(Load.id == load_id))
    tx.run(Load.delete().where(Load.id == load_id))
    if row and not tx.number(Load.select(fn.COUNT(1)).where(Load.service_id == row["service_id"])):
        tx.run(Service.delete().where(Service.id == row["service_id"]))


def _still_wanted() -> Any:
    """Services with a load that is to stay: their outgoing loads are not shown."""
    other = Load.alias()
    return other.select(other.service_id).where(other.wanted == YES)


def search(*conditions: Any) -> Any:
    """A select of services joined with their loads, for paging."""
    return (
        Load.select(
            Load.id.alias("load_id"), Load.status, Load.wanted, Load.error, Load.xpu_type, Load.device, Load.ours,
            Service.id, Service.package_id, Service.env, Service.replicas, Service.license_url, Service.origin,
            Service.created_ms, Service.host, Service.xpu_type.alias("asked_xpu_type"),
            Copy.error.alias("copy_error"),
        )
        .join(Service, on=(Service.id == Load.service_id))
        .join(Copy, JOIN.LEFT_OUTER, on=(
            (Copy.package_id == Load.package_id) & (Copy.device == Load.device) & (Copy.status != 3)
        ))
        .where((Load.wanted == YES) | Service.id.not_in(_still_wanted()), *conditions)
    )  # fmt: skip


def run_anew(tx: Tx, task: TaskRow, now_ms: int) -> None:
    """A task that is over, or failed, begins again: where it is, or elsewhere if its service is not to stay. The
    stream of one that had finished may be another's by now: placement looks."""
    wanted = Load.select(Load.id).where(Load.id == task.load_id, Load.wanted == YES)
    values: dict[str, Any] = {"status": "PAUSED"}
    if task.load_id is not None and tx.row(wanted) is None:
        values = {"wanted": "gone", "parked": False}
    elif task.status == "FINISHED":
        values["wanted"] = "paused"
    tx.run(Task.update(**values, changed_ms=now_ms).where(Task.id == task.id))


def tasks_on(tx: Tx, load_id: str) -> int:
    """Tasks of ours that may still run on the load; one that has finished needs it no more."""
    here = (Task.sent == YES) | (Task.wanted != "gone")
    over = (Task.status == "FINISHED") & (Task.wanted != "gone")
    return tx.number(Task.select(fn.COUNT(1)).where(Task.load_id == load_id, here, ~over))


def used_streams(tx: Tx) -> dict[str, int]:
    """load id -> streams taken by tasks that are to run there or may still do so, one for each capability.

    One that has finished takes none.
    """
    return _streams(tx, (Task.wanted == "running") | _leaving())


def leaving_streams(tx: Tx, but: Collection[int] = ()) -> dict[str, int]:
    """load id -> those of them that are to go, or to stand still; without these tasks."""
    return _streams(tx, _leaving() & Task.id.not_in(sorted(but)))


def _leaving() -> Any:
    """What the device may still carry: full it would refuse who comes before it has let go."""
    going = (Task.wanted == "gone") | ((Task.wanted == "paused") & Task.status.in_(CARRIED))
    return (Task.sent == YES) & going


def stuck_streams(tx: Tx, tasks: Collection[int]) -> dict[str, int]:
    """load id -> streams of these tasks."""
    return _streams(tx, Task.id.in_(sorted(tasks))) if tasks else {}


def _streams(tx: Tx, condition: Any) -> dict[str, int]:
    lasts = (Task.sent == NO) | (Task.status != "FINISHED")
    each = fn.MAX(1, fn.COALESCE(fn.JSON_ARRAY_LENGTH(Task.capabilities), 0))
    query = Task.select(Task.load_id, fn.SUM(each).coerce(False).alias("streams")).where(
        Task.load_id.is_null(NO), lasts, condition
    )
    return {row["load_id"]: row["streams"] for row in tx.rows(query.group_by(Task.load_id))}


def arrived(tx: Tx, copy_id: int, md5: str, now_ms: int) -> bool:
    """A device fetched the whole file of a copy that was sent to it with this MD5, be it after we gave it up."""
    awaited = (Copy.status == 1) | ((Copy.status == 2) & (Copy.parked == YES))
    return bool(
        tx.run(
            Copy.update(status=3, progress=1.0, error="", parked=False, changed_ms=now_ms).where(
                Copy.id == copy_id, Copy.md5 == md5, Copy.sent == YES, awaited
            )
        )
    )


def local_engines_ended(tx: Tx, code: str, now_ms: int) -> None:
    """At start: engines of this box died with the last daemon, and their tasks with them."""
    tx.run(Load.update(sent=NO, status="INIT", missing=0, changed_ms=now_ms).where(Load.device == code))
    tx.run(
        Task.update(sent=NO, task_id="", status="PENDING", missing=0, changed_ms=now_ms).where(
            Task.device == code, (Task.status != "FINISHED") | (Task.wanted == "gone")
        )
    )


def card_shares(tx: Tx, code: str) -> list[CardShare]:
    """What loads of this box hold of its cards."""
    rows = tx.rows(
        Load.select(Load.id, Load.xpu_index, Load.xpu_quota).where(
            Load.device == code, Load.xpu_index.is_null(NO), (Load.wanted == YES) | (Load.sent == YES)
        )
    )
    return [CardShare(row["id"], index, row["xpu_quota"]) for row in rows for index in row["xpu_index"]]


def replicas_of(tx: Tx, load: LoadRow) -> int | None:
    """How many a load is to have where that can be changed; None elsewhere."""
    of = None if load.replicas is None else service(tx, load.service_id)
    return None if of is None else replicas_by(tx, load, of)


def replicas(tx: Tx) -> dict[str, int]:
    """service id -> replicas that its load stands for, of services with one load and more than one replica."""
    rows = tx.rows(Service.select(Service.id, Service.replicas).where(Service.replicas > 1))
    several = on_several(tx) if rows else set()
    return {row["id"]: row["replicas"] for row in rows if row["id"] not in several}


def replicas_by(tx: Tx, load: LoadRow, service: dict[str, Any]) -> int:
    """Replicas that a load stands for where the facility keeps them: all, or one of a service with other loads."""
    several = service["replicas"] > 1 and service["id"] in on_several(tx, load.service_id)
    return 1 if several else int(service["replicas"])


def on_several(tx: Tx, service_id: str | None = None) -> set[str]:
    """Services with more than one load that is wanted."""
    query = Load.select(Load.service_id).where(Load.wanted == YES)
    query = query if service_id is None else query.where(Load.service_id == service_id)
    return {row["service_id"] for row in tx.rows(query.group_by(Load.service_id).having(fn.COUNT(1) > 1))}


def origins(tx: Tx) -> dict[str, str]:
    """service id -> who loaded it."""
    return {row["id"]: row["origin"] for row in tx.rows(Service.select(Service.id, Service.origin))}
