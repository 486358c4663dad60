"""What leaves the outbox next: deliveries read together, each made ready as its receiver is to get it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from acsmpd.decide import results as decided
from acsmpd.settings import Relay
from acsmpd.store import plans, results
from acsmpd.store.database import Tx

log = logging.getLogger(__name__)

AT_ONCE = 64
"""Deliveries read together. What was posted of them is noted together too: a crash posts so many again, at most."""
MOST_BYTES = 4 * 1024 * 1024
"""Bodies without pictures in memory together."""
LEFT_HERE = "left out on the way; the picture stays at its site"
JSON = "application/json; charset=utf-8"


class Parcel(Struct, frozen=True):
    """One delivery made ready: the row, and what is posted. `raw`: the file that goes in place of the body."""

    delivery_id: int
    url: str
    attempts: int
    refusals: int
    key: str
    body: dict[str, Any]
    pictures: dict[int, str]
    raw: str = ""


def next_parcels(tx: Tx, destination: str, line: Relay, but: Sequence[str] = ()) -> list[Parcel]:
    """The next for a destination, `but` for these addresses, in the order of its line."""
    rows = _fitting(results.next_deliveries(tx, destination, AT_ONCE, newest=line.order == "newest", but=but))
    pictures = results.pictures_of(tx, [row["result_id"] for row in rows])
    known: dict[tuple[str, str], tuple[str, str | None]] = {}
    return [_parcel(tx, row, pictures[row["result_id"]], line, known) for row in rows]


def _fitting(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first rows that are not too large together; at least one."""
    fitting: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        size += row["size"]
        if fitting and size > MOST_BYTES:
            break
        fitting.append(row)
    return fitting


def _parcel(
    tx: Tx, row: dict[str, Any], pictures: dict[int, str], line: Relay,
    known: dict[tuple[str, str], tuple[str, str | None]],
) -> Parcel:  # fmt: skip
    """A delivery with the body as its receiver knows it: its own ids, our pictures by path."""
    body = row["body"]
    asked = (row["instance_id"], str(body.get("AlgoServiceID") or ""))
    if asked not in known:
        known[asked] = (_task_id(tx, asked[0]), results.service_of(tx, *asked))
    task_id, service_id = known[asked]
    if not line.pictures:
        body, pictures = decided.with_notes(body, dict.fromkeys(pictures, LEFT_HERE)), {}
    return Parcel(
        delivery_id=row["id"],
        url=row["url"],
        attempts=row["attempts"],
        refusals=row["refusals"],
        key=row["fingerprint"],
        body=decided.addressed(body, task_id, service_id),
        pictures=pictures,
        raw=row["raw_path"] if line.raw else "",
    )


def _task_id(tx: Tx, instance_id: str) -> str:
    """The task as its receiver knows it: a platform above by the id it gave, all others by ours."""
    instance = plans.any_instance(tx, instance_id)
    named = instance is not None and instance["origin"] and instance["caller_id"]
    return str(instance["caller_id"]) if instance is not None and named else instance_id


def packed(data: Path, parcel: Parcel) -> tuple[bytes, str]:
    """What is posted, and its content type. A picture, or a raw body, that is gone holds up nothing."""
    raw = _read(data, parcel.raw) if parcel.raw else None
    form_type = decided.form_type(raw) if raw is not None else ""
    if raw is not None and form_type:
        return raw, form_type
    found = {place: _read(data, path) for place, path in parcel.pictures.items()}
    there = {place: picture for place, picture in found.items() if picture is not None}
    return msgspec.json.encode(decided.inlined(parcel.body, there)), JSON


def _read(data: Path, path: str) -> bytes | None:
    try:
        return (data / path).read_bytes()
    except OSError as error:
        log.warning("a result goes without its file %s: %s", path, error.strerror)
        return None
