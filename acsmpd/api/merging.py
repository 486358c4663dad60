"""Table 16: a plan's instances brought to a new list by difference."""

from __future__ import annotations

from typing import Any

from acsmpd import faults
from acsmpd.api import instances
from acsmpd.api.platform import Platform
from acsmpd.decide import placement
from acsmpd.spec.messages.instances import AlgoTaskInfo
from acsmpd.spec.reading import check_task_info
from acsmpd.store import plans
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance


def merge(
    platform: Platform, tx: Tx, plan: dict[str, Any], infos: list[tuple[str, AlgoTaskInfo]], *, at_once: bool,
    now_ms: int,
) -> None:  # fmt: skip
    """What is listed is there afterwards: the same untouched, the changed changed, the rest added or deleted.

    `at_once`: what runs changes now, else at its next start. Raises NotFound and InvalidField naming the entry.
    """
    left = {
        row["id"]: row
        for row in tx.rows(
            Instance.select()
            .where(Instance.plan_id == plan["id"], Instance.deleted == False)
            .order_by(Instance.number)
        )
    }
    added = []
    for path, info in infos:
        check_task_info(info, path)
        row = _meant(left, info, path)
        if row is None:
            added.append((path, info))
        else:
            del left[row["id"]]
            _change(tx, row, info, path, at_once=at_once or not row["on"], now_ms=now_ms)
    for path, info in added:
        instances.add(
            platform, tx, info, path=path, plan_id=plan["id"], kind=plan["type"],
            restart="ALWAYS" if plan["auto_restart"] else "NEVER", on=plan["status"] == "ON", now_ms=now_ms,
        )  # fmt: skip
    plans.change_instances(
        tx, Instance.id.in_(list(left)), deleted=True, on=False, started=False, changed_ms=now_ms
    )


def _meant(left: dict[str, dict[str, Any]], info: AlgoTaskInfo, path: str) -> dict[str, Any] | None:
    """The instance an entry means: by its ID or Number; without one the same stream with the same events."""
    if info.id is not None:
        key = str(info.id)
        named = (row for row in left.values() if key in (row["id"], str(row["number"])))
        row = next(named, None)
        if row is None:
            raise faults.NotFound(f"{path}.ID: no instance {key} of this plan, or it is listed twice")
        return row
    body = instances.verbatim(info)
    same = [row for row in left.values() if _kind(row["info"]) == _kind(body)]
    return next((row for row in same if row["info"] == body), same[0] if same else None)


def _kind(body: dict[str, Any]) -> tuple[Any, ...]:
    video = (body.get("StreamOptions") or {}).get("VideoStreamOptions") or {}
    return (video.get("Url"), tuple(placement.events_of(body)))


def _change(
    tx: Tx, row: dict[str, Any], info: AlgoTaskInfo, path: str, *, at_once: bool, now_ms: int
) -> None:
    """At once, or kept for its next start; what is the same is not touched."""
    pins, is_elsewhere = instances.wanted_pins(tx, row, info, path)
    columns = instances.columns_of(info) | (pins if is_elsewhere else {})
    is_same = all(row[name] == value for name, value in columns.items() if name != "events")
    plans.change_instance(tx, row["id"], next=None if is_same or at_once else columns)
    if at_once and not is_same:
        instances.change_info(tx, row, info, now_ms, whole=True)
