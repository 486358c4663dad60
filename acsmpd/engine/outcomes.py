"""What the ledger says after a step: done, back off, refused for good, or unknown and to be looked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from acsmpd.clock import Moment, Steps
from acsmpd.engine.stepwork import Item, change
from acsmpd.faults import Permanent, StepFault, Temporary
from acsmpd.model import Outcome
from acsmpd.store import alarms, foreign, plans, services
from acsmpd.store.alarms import STEP_REFUSED
from acsmpd.store.database import Tx
from acsmpd.store.tables import Copy
from acsmpd.store.tables import Load as LoadTable
from acsmpd.wire.answer import Missing

LOADS_BEFORE_A_NEW_PUSH = 6
"""Refused loads of a file that never showed up on the device, before the file is delivered again."""

SETTLING_SECONDS, LOADS_WHILE_SETTLING = 60.0, 4
"""A file that arrived so short a time ago may still be judged by the device: so many loads are not final."""

WORDS = {"copy": "error", "load": "error", "task": "reason"}
"""The column that says why it stands as it does."""


class Recorder:
    """Writes outcomes. `poke` asks for an early observation of a device."""

    def __init__(self, poke: Callable[[str], None], clock_steps: Steps) -> None:
        self._poke, self._steps = poke, clock_steps

    def record(
        self, tx: Tx, item: Item, result: Outcome | StepFault, now: Moment, then: dict[str, Any]
    ) -> bool:
        """Write one outcome, with `then` of the row if it was done.

        True: it was refused for good, so that only a new wish brings the step again, at once. False: the step
        comes again after a pause, if ever.
        """
        if isinstance(result, Outcome):
            if item.kind == "task":
                held = plans.task(tx, int(item.subject)) if item.rung.step == "resume_task" else None
                if held is not None and held.parked:
                    plans.change_task(tx, held.id, status="PENDING", changed_ms=now.wall_ms)
                    self._poke(item.device)
                    return False  # what was refused stands refused
                self._task_done(tx, item, result, now, then)
            else:
                {"copy": self._copy_done, "load": self._load_done}[item.kind](tx, item, result, now)
            alarms.end_alarm(tx, STEP_REFUSED, item.key, now.wall_ms)
            if not _is_told(result):
                self._poke(item.device)
            return False
        self._poke(item.device)
        if isinstance(result, Permanent):
            return self._refused(tx, item, result, now, then)
        if isinstance(result, Temporary):
            self._not_happened(tx, item, result.message, then)
        else:
            self._unknown(tx, item, result.message)
        return False

    # --- done --------------------------------------------------------------------------------------

    def _copy_done(self, tx: Tx, item: Item, outcome: Outcome, now: Moment) -> None:
        row_id = int(item.subject)
        if item.rung.step == "delete_copy":
            copy = services.copies(tx, Copy.id == row_id)
            if copy and copy[0].wanted:
                services.change_copy(tx, row_id, sent=False, status=1, attempts=0)
            else:
                services.drop_copy(tx, row_id)
            return
        values: dict[str, Any] = {"error": "", "changed_ms": now.wall_ms}
        if outcome.progress == 1.0:
            values |= {"status": 3, "progress": 1.0, "attempts": 0}
        services.change_copy(tx, row_id, **values)

    def _load_done(self, tx: Tx, item: Item, outcome: Outcome, now: Moment) -> None:
        load = services.load(tx, item.subject)
        if load is None:
            return
        if item.rung.step == "unload":
            if load.wanted:
                services.change_load(tx, load.id, sent=False, status="INIT", attempts=0)
            else:
                services.drop_load(tx, load.id)
            return
        if item.rung.step == "scale":
            services.change_load(
                tx, load.id, replicas=outcome.replicas, error="", attempts=0, changed_ms=now.wall_ms
            )
            return
        told = outcome.facility_id
        if told and any(
            one.id != load.id
            for one in services.loads(tx, LoadTable.facility_id == told, LoadTable.device == load.device)
        ):
            told = ""  # an id that is another's cannot be ours: the listing will tell which one is
        services.change_load(
            tx, load.id, facility_id=told, error="", replicas=outcome.replicas, changed_ms=now.wall_ms
        )
        copy = services.copy(tx, load.package_id, load.device)
        if copy is not None and copy["status"] != 3:
            services.change_copy(tx, copy["id"], status=3, progress=1.0, error="", changed_ms=now.wall_ms)

    def _task_done(self, tx: Tx, item: Item, outcome: Outcome, now: Moment, then: dict[str, Any]) -> None:
        row_id, step = int(item.subject), item.rung.step
        if step == "delete_task":
            task = plans.task(tx, row_id)
            if task is not None and not task.instance_id:
                foreign.drop_named(tx, task.device, task.task_id)
            plans.drop_task(tx, row_id)
            return
        values: dict[str, Any] = {"attempts": 0, "reason": "", "changed_ms": now.wall_ms}
        if outcome.gone:
            values |= {
                "sent": False,
                "task_id": "",
                "status": "PENDING",
                "reason": "it was gone from the device",
            }
        elif step == "create_task":
            status = outcome.task.status if outcome.task else "PENDING"
            told = outcome.facility_id
            taken = plans.holds(tx, item.device, told, but=row_id) or foreign.task(tx, item.device, told)
            # An id that is another's cannot be ours: the listing will tell which one is.
            reason = outcome.task.error if outcome.task else ""
            values |= {"task_id": "" if taken else told, "status": status, "reason": reason}
        elif step == "update_task":
            values |= then
        else:
            values["status"] = "PAUSED" if step == "pause_task" else "PENDING"
        plans.change_task(tx, row_id, **values)

    # --- not done ------------------------------------------------------------------------------------

    def _not_happened(self, tx: Tx, item: Item, text: str, then: dict[str, Any]) -> None:
        """The device has what it had before: a first push or load is not there, a repeated one may be."""
        held: dict[str, Any] = {"sent": bool(then.get("sent")), **_named(then)}
        values: dict[str, dict[str, Any]] = {
            "push": then if held["sent"] else held,
            "load": {**held, "status": "ERROR"} if held["sent"] else held,
            "create_task": {"sent": False},
        }
        change(tx, item, **{WORDS[item.kind]: text}, **values.get(item.rung.step, {}))

    def _unknown(self, tx: Tx, item: Item, text: str) -> None:
        """It may have happened: the row stays `sent`, and only a look decides."""
        change(tx, item, missing=0, **{WORDS[item.kind]: text})

    def _refused(self, tx: Tx, item: Item, fault: Permanent, now: Moment, then: dict[str, Any]) -> bool:
        """Park the subject; False when the refusal may pass by itself."""
        if item.kind == "load" and item.rung.step == "load" and self._still_arriving(tx, item, fault, now):
            self._not_happened(tx, item, fault.message, then)
            return False
        text, step = fault.message, item.rung.step
        values: dict[str, dict[str, Any]] = {
            "push": {"sent": False, "status": 2},
            "load": {"sent": bool(then.get("sent")), "status": "ERROR", **_named(then)},
            "create_task": {"sent": False, "status": "ERROR"},
            "update_task": {"attempts": 0},  # it goes on as it was: decide/steps
        }
        change(tx, item, parked=True, **{WORDS[item.kind]: text}, **values.get(step, {}))
        alarms.raise_alarm(
            tx, STEP_REFUSED, item.key, f"{step} on computility {item.device}: {text}", now.wall_ms
        )
        return True

    def _still_arriving(self, tx: Tx, item: Item, fault: Permanent, now: Moment) -> bool:
        """Whether a refused load may only mean that the device has not fetched or judged the file yet."""
        load = services.load(tx, item.subject)
        copy = services.copy(tx, load.package_id, load.device) if load else None
        if copy is None:
            return False
        arrived_lately = self._steps.shown(now, SETTLING_SECONDS).holds(copy["changed_ms"])
        fresh = arrived_lately and item.attempts < LOADS_WHILE_SETTLING
        if copy["status"] == 3 and not fresh and not isinstance(fault, Missing):
            return False
        if item.attempts and item.attempts % LOADS_BEFORE_A_NEW_PUSH == 0:
            services.change_copy(tx, copy["id"], sent=False)
        return item.attempts < 3 * LOADS_BEFORE_A_NEW_PUSH


def _named(then: dict[str, Any]) -> dict[str, Any]:
    """The id a service had there before its load was tried again, which it keeps when nothing happened."""
    return {"facility_id": then["facility_id"]} if "facility_id" in then else {}


def _is_told(outcome: Outcome) -> bool:
    """Whether the answer itself says that it runs: nothing more is seen by looking at once, and looking at a device
    after each of a thousand starts costs more than they do."""
    return bool(outcome.facility_id) and outcome.task is not None and outcome.task.status == "RUNNING"
