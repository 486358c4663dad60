"""Results, their pictures, and the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from peewee import fn

from acsmpd.store.database import Tx
from acsmpd.store.rows import is_number
from acsmpd.store.tables import (
    Alarm,
    Delivery,
    Fact,
    Instance,
    InstanceEvent,
    Load,
    Picture,
    Result,
    Tally,
    Task,
)

RAW = -1
"""The place of a raw body among the pictures of its result: it lives in the same ring."""
TO = "to "
"""Before a destination: the name under which its deliveries are tallied."""


# --- receiving ----------------------------------------------------------------------------------------


def capability_of(tx: Tx, instance_number: int, event_id: str) -> str:
    """The capability that serves an event of an instance, "" before one was chosen."""
    row = tx.row(
        InstanceEvent.select(InstanceEvent.capability).where(
            InstanceEvent.instance_number == instance_number, InstanceEvent.event_id == event_id
        )
    )
    return str(row["capability"]) if row else ""


def add(
    tx: Tx, values: dict[str, Any], files: Sequence[tuple[int, str, int]], urls: Sequence[tuple[str, str]]
) -> int | None:
    """Write a result with its (place, path, size) files and (url, destination) deliveries; None if it is known."""
    known = Result.select(Result.id).where(Result.fingerprint == values["fingerprint"])
    if tx.row(known) is not None:
        return None
    result_id, now_ms = int(tx.run(Result.insert(**values))), values["received_ms"]
    for place, path, size in files:
        tx.run(Picture.insert(result_id=result_id, place=place, path=path, size=size, created_ms=now_ms))
    for url, destination in urls:
        tx.run(
            Delivery.insert(
                result_id=result_id, instance_id=values["instance_id"], url=url, destination=destination,
                created_ms=now_ms,
            )
        )  # fmt: skip
    return result_id


# --- showing ------------------------------------------------------------------------------------------


def search(*conditions: Any) -> Any:
    """A query for id and size; `some` reads the rest of those that are to be shown."""
    return Result.select(Result.id, Result.size).where(Result.id > 0, *conditions)


def some(tx: Tx, ids: Sequence[int]) -> list[dict[str, Any]]:
    """These results, in this order, as far as they are there."""
    found = {row["id"]: row for row in tx.rows(Result.select().where(Result.id.in_(ids)))}
    return [found[result_id] for result_id in ids if result_id in found]


def of_instance(key: str) -> Any:
    """The condition that a result belongs to an instance, by its ID or its number."""
    if is_number(key):
        numbered = Instance.select(Instance.id).where(Instance.number == int(key))
        return (Result.instance_id == key) | Result.instance_id.in_(numbered)
    return Result.instance_id == key


def get(tx: Tx, result_id: str) -> dict[str, Any] | None:
    if not is_number(result_id):
        return None
    return tx.row(Result.select().where(Result.id == int(result_id)))


def pictures_of(tx: Tx, result_ids: list[int]) -> dict[int, dict[int, str]]:
    """result id -> {place: path} of the pictures that are still there."""
    found: dict[int, dict[int, str]] = {result_id: {} for result_id in result_ids}
    query = Picture.select(Picture.result_id, Picture.place, Picture.path)
    for row in tx.rows(query.where(Picture.result_id.in_(result_ids), Picture.place >= 0)):
        found[row["result_id"]][row["place"]] = row["path"]
    return found


# --- the outbox ---------------------------------------------------------------------------------------


def destinations(tx: Tx, most: int, after: str = "") -> list[str]:
    """Where something waits to go, at most `most` of them, those behind `after`."""
    named = (Tally.name.startswith(TO), Tally.name > TO + after)
    query = Tally.select(Tally.name).where(*named).order_by(Tally.name).limit(most)
    return [row["name"].removeprefix(TO) for row in tx.rows(query)]


def next_deliveries(
    tx: Tx, destination: str, most: int, *, newest: bool, but: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """What waits for a destination, `but` for these addresses, in the order it goes, with what is posted of it."""
    of_result = (Result.body, Result.fingerprint, Result.raw_path, Result.size)
    query = Delivery.select(Delivery, *of_result).join(Result, on=(Result.id == Delivery.result_id))
    order = Delivery.id.desc() if newest else Delivery.id
    wanted = (Delivery.destination == destination, *((Delivery.url.not_in(list(but)),) if but else ()))
    return tx.rows(query.where(*wanted).order_by(order).limit(most))


def waiting(tx: Tx, destination: str) -> int:
    """How many wait for a destination."""
    return tx.number(Tally.select(Tally.number).where(Tally.name == TO + destination))


def of_raw(path: str, url: str) -> Any:
    """The condition that a delivery is one to this address of a result that came in this raw body."""
    together = Picture.select(Picture.result_id).where(Picture.path == path, Picture.place == RAW)
    return (Delivery.url == url) & Delivery.result_id.in_(together)


def change_delivery(tx: Tx, delivery_id: int, **values: Any) -> None:
    tx.run(Delivery.update(**values).where(Delivery.id == delivery_id))


def forget_deliveries(tx: Tx, *conditions: Any) -> None:
    """Drop deliveries that are done with."""
    tx.run(Delivery.delete().where(*conditions))


def drop_deliveries(tx: Tx, *conditions: Any) -> dict[str, int]:
    """Give deliveries up; destination -> how many."""
    if tx.row(Delivery.select(Delivery.id).where(*conditions)) is None:
        return {}
    counted = Delivery.select(Delivery.destination, fn.COUNT(1).alias("number")).where(*conditions)
    lost = {row["destination"]: row["number"] for row in tx.rows(counted.group_by(Delivery.destination))}
    tx.run(Delivery.delete().where(*conditions))
    return lost


def first_deliveries(limit: int, *conditions: Any) -> Any:
    """The condition that a delivery is one of the oldest that fulfil the conditions."""
    old = Delivery.select(Delivery.id).where(*conditions)
    return Delivery.id.in_(old.order_by(Delivery.created_ms, Delivery.id).limit(limit))


def service_of(tx: Tx, instance_id: str, given: str) -> str | None:
    """Our AlgoServiceID for the one a device knows its service by; None if it cannot be told."""
    named = (
        Load.select(Load.service_id).where((Load.id == given) | (Load.facility_id == given))
        if given
        else None
    )
    row = tx.row(named) if named is not None else None
    if row is None:
        placed = Task.select(Load.service_id).join(Load, on=(Load.id == Task.load_id))
        row = tx.row(placed.where(Task.instance_id == instance_id).order_by(Task.id.desc()))
    return str(row["service_id"]) if row else None


def alarmed(tx: Tx, kind: str) -> list[str]:
    """The subjects of the open alarms of a kind."""
    query = Alarm.select(Alarm.subject).where(Alarm.kind == kind, Alarm.until_ms.is_null(True))
    return [row["subject"] for row in tx.rows(query)]


def forget(tx: Tx, fact: str) -> None:
    """Drop a count that is told."""
    tx.run(Fact.delete().where(Fact.name == fact))


def deliver_again(tx: Tx, rows: Sequence[tuple[int, str, str, str]], now_ms: int) -> int:
    """Put (result id, instance id, url, destination) into the outbox; how many were not there."""
    before = tx.number(Tally.select(fn.SUM(Tally.number)).where(Tally.name.startswith(TO)))
    for result_id, instance_id, url, destination in rows:
        tx.run(
            Delivery.insert(
                result_id=result_id, instance_id=instance_id, url=url, destination=destination, created_ms=now_ms
            ).on_conflict_ignore()
        )  # fmt: skip
    return tx.number(Tally.select(fn.SUM(Tally.number)).where(Tally.name.startswith(TO))) - before


# --- keeping within bounds ----------------------------------------------------------------------------

UNDELIVERED = fn.EXISTS(Delivery.select(Delivery.id).where(Delivery.result_id == Picture.result_id))
OUTSTANDING = fn.EXISTS(Delivery.select(Delivery.id).where(Delivery.result_id == Result.id))


def number(tx: Tx) -> int:
    """All results."""
    return tx.number(Tally.select(Tally.number).where(Tally.name == "results"))


def pictures_size(tx: Tx) -> int:
    """Bytes of all pictures and raw bodies."""
    return tx.number(Tally.select(Tally.size).where(Tally.name == "pictures"))


def bodies_size(tx: Tx) -> int:
    """Bytes of all results without their pictures."""
    return tx.number(Tally.select(Tally.size).where(Tally.name == "results"))


def oldest(tx: Tx, limit: int, *conditions: Any) -> list[dict[str, Any]]:
    """The oldest results that fulfil the conditions: id and size."""
    query = Result.select(Result.id, Result.size).where(Result.id > 0, *conditions)
    return tx.rows(query.order_by(Result.id).limit(limit))


def oldest_pictures(tx: Tx, limit: int, *conditions: Any) -> list[dict[str, Any]]:
    query = Picture.select(Picture.path, Picture.size).where(Picture.id > 0, *conditions)
    return tx.rows(query.order_by(Picture.id).limit(limit))


def undelivered_among(tx: Tx, paths: Sequence[str]) -> int:
    """How many pictures (not raw bodies) of results still to be delivered these are."""
    query = Picture.select(fn.COUNT(fn.DISTINCT(Picture.path)))
    return tx.number(query.where(Picture.path.in_(paths), Picture.place >= 0, UNDELIVERED))


def drop_pictures(tx: Tx, paths: Sequence[str]) -> None:
    tx.run(Picture.delete().where(Picture.path.in_(paths)))


def drop_results(tx: Tx, ids: Sequence[int]) -> list[str]:
    """Drop results with their picture rows; the paths of the files nobody points to any more."""
    of_them = Picture.result_id.in_(ids)
    paths = {row["path"] for row in tx.rows(Picture.select(Picture.path).where(of_them))}
    tx.run(Picture.delete().where(of_them))
    tx.run(Result.delete().where(Result.id.in_(ids)))
    return sorted(paths - known_paths(tx, sorted(paths)))


def known_paths(tx: Tx, paths: Sequence[str]) -> set[str]:
    """Those of the paths that a row points to."""
    return {row["path"] for row in tx.rows(Picture.select(Picture.path).where(Picture.path.in_(paths)))}
