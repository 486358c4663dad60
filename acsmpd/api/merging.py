"""Table 16: a plan's instances brought to a new list by difference."""

from __future__ import annotations

from typing import Any

import msgspec

from acsmpd import faults
from acsmpd.api import instances
from acsmpd.api.mentions import Mentions, check_control
from acsmpd.api.platform import Platform
from acsmpd.decide import placement
from acsmpd.spec.messages.instances import AlgoTaskInfo
from acsmpd.spec.reading import check_task_info
from acsmpd.store import plans
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance

Row = dict[str, Any]
Listed = list[tuple[str, AlgoTaskInfo]]
"""Entries, each with its place in the request."""


def merge(platform: Platform, tx: Tx, plan: Row, infos: Listed, *, at_once: bool, now_ms: int) -> None:
    """What is listed is there afterwards: the same untouched, the changed changed, the rest added or deleted.

    `at_once`: what runs changes now, else at its next start. Raises NotFound and InvalidField naming the entry.
    """
    rows = tx.rows(
        Instance.select()
        .where(Instance.plan_id == plan["id"], Instance.deleted == False)
        .order_by(Instance.number)
    )
    for path, info in infos:
        check_task_info(info, path)
    meant = _meant(rows, infos)
    held, mentions = instances.is_held(platform, plan, now_ms), Mentions(tx)
    for place, (path, info) in enumerate(infos):
        if place in meant:
            row = meant[place]
            check_control(platform, tx, info.computility_code or "", info.algo_service_id or "", path)
            _change(tx, row, info, path, at_once=at_once or not row["on"], now_ms=now_ms)
        else:
            instances.add(
                platform, tx, info, path=path, plan_id=plan["id"], kind=plan["type"],
                restart=instances.restart_policy(plan["auto_restart"]), on=plan["status"] == "ON", held=held,
                now_ms=now_ms, mentions=mentions,
            )  # fmt: skip
    kept = {row["id"] for row in meant.values()}
    gone = [row["id"] for row in rows if row["id"] not in kept]
    for first in range(0, len(gone), 500):
        plans.delete_instances(tx, now_ms, Instance.id.in_(gone[first : first + 500]))


def _meant(rows: list[Row], infos: Listed) -> dict[int, Row]:
    """Entry -> the instance it means: that of its ID or Number, else of the same content, else of the same stream
    and events; the sure ones first, each instance once."""
    found = _named(rows, infos)
    taken = {row["id"] for row in found.values()}
    bodies = [instances.verbatim(info) for _, info in infos]
    for key in (_content, _kind):
        there: dict[bytes, list[Row]] = {}
        for row in reversed(rows):
            if row["id"] not in taken:
                there.setdefault(key(row["info"]), []).append(row)
        for place, (_, info) in enumerate(infos):
            same = there.get(key(bodies[place])) if place not in found and info.id is None else None
            if same:
                found[place] = same.pop()
                taken.add(found[place]["id"])
    return found


def _named(rows: list[Row], infos: Listed) -> dict[int, Row]:
    left = {str(row["number"]): row for row in rows} | {row["id"]: row for row in rows}
    found = {}
    for place, (path, info) in enumerate(infos):
        if info.id is None:
            continue
        row = left.get(str(info.id))
        if row is None:
            raise faults.NotFound(f"{path}.ID: no instance {info.id} of this plan, or it is listed twice")
        found[place] = row
        del left[row["id"]], left[str(row["number"])]
    return found


def _content(body: Row) -> bytes:
    return msgspec.json.encode(body, order="sorted")


def _kind(body: Row) -> bytes:
    video = (body.get("StreamOptions") or {}).get("VideoStreamOptions") or {}
    return msgspec.json.encode((video.get("Url"), placement.events_of(body)))


def _change(tx: Tx, row: Row, info: AlgoTaskInfo, path: str, *, at_once: bool, now_ms: int) -> None:
    """At once, or kept for its next start; what is the same is not touched."""
    pins: dict[str, Any] = {}
    is_elsewhere = False
    if info.computility_code is not None or info.algo_service_id is not None:
        pins, is_elsewhere = instances.wanted_pins(tx, row, info, path)
    columns = instances.columns_of(info) | (pins if is_elsewhere else {})
    is_same = all(row[name] == value for name, value in columns.items() if name != "events")
    if at_once and not is_same:
        instances.change_info(tx, row, info, now_ms, whole=True)
    elif row["next"] != (wanted := None if is_same or at_once else columns):
        plans.change_instance(tx, row["id"], next=wanted)
