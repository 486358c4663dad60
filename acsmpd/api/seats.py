"""Which of the services on a device carry the tasks of somebody else there, as far as they tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acsmpd.decide.placement import carriers
from acsmpd.model import Ability, ForeignStream, Seat
from acsmpd.store import foreign, packages, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Load


def on_loads(tx: Tx, device: str, load_ids: Sequence[str]) -> list[str]:
    """Ids of foreign tasks that run on none but these loads."""
    streams = [row for row in foreign.tasks(tx, device) if row["status"] not in foreign.IDLE]
    if not streams:
        return []
    abilities, wanted = packages.abilities(tx), set(load_ids)
    found = {row["task_id"]: {seat.load_id for seat in carriers_of(tx, row, abilities)} for row in streams}
    return [task_id for task_id, on in found.items() if on and on <= wanted]


def carriers_of(tx: Tx, row: dict[str, Any], abilities: Sequence[Ability]) -> list[Seat]:
    """The loaded services of its device that may be carrying a foreign task."""
    seats = [
        Seat(load.id, load.service_id, load.package_id, load.device, True, 0, None, "", load.facility_id)
        for load in services.loads(tx, Load.device == row["device"], Load.wanted == True)
    ]
    stream = ForeignStream(row["device"], tuple(row["event_ids"]), row["service_id"], row["labels"])
    return carriers(stream, seats, abilities)
