"""Task control as the CAD prints it (Part 4 tables 9-15); CAP and engine interface differ only in rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from acsmpd.clock import Clock
from acsmpd.drivers.listing import LISTING_SECONDS, PAGE_SIZE, Budget, Page, page_of, whole
from acsmpd.faults import Permanent, Temporary
from acsmpd.model import CreateTask, DeleteTask, Outcome, PauseTask, Peer, ResumeTask, SeenTask, UpdateTask
from acsmpd.spec.messages import cad
from acsmpd.spec.messages.instances import AlgoTaskInfo
from acsmpd.spec.tables import BY_ID
from acsmpd.wire.answer import Missing, clean
from acsmpd.wire.caller import Wire

STATUSES = ("PENDING", "RUNNING", "PAUSED", "FINISHED", "ERROR")
_ALIASES = {"STOPPED": "PAUSED"}
_ACTS = {ResumeTask: "resume_algo_task", PauseTask: "pause_algo_task", DeleteTask: "delete_algo_task"}


class TaskRows:
    """The seven task interfaces of one face ("cad"), spoken over wire. `listing_seconds`: for a whole listing."""

    def __init__(
        self, wire: Wire, face: str, clock: Clock | None = None, listing_seconds: float = LISTING_SECONDS
    ) -> None:
        self._wire, self._face = wire, face
        self._clock, self._seconds = clock or Clock(), listing_seconds

    def _row(self, name: str) -> Any:
        return BY_ID[f"{self._face}.{name}"]

    def listing(self, peer: Peer, known: frozenset[str]) -> tuple[SeenTask, ...]:
        """Every task of the device, all pages. A listing that does not add up is Temporary, never "empty".

        Abridged records are completed from the detail interface, unless the ledger knows their id already.
        """
        budget = Budget(f"the task list of {peer.code}", self._clock, self._seconds)
        found = whole(
            budget,
            lambda number, seconds: self._page(peer, number, seconds),
            lambda records: ((task.task_id, task) for task in self._seen(peer, records, known, budget)),
        )
        return tuple(found.values())

    def _seen(
        self, peer: Peer, records: list[Any], known: frozenset[str], budget: Budget
    ) -> Iterator[SeenTask]:
        for record in records:
            task = seen_task(record)
            if task is None:
                raise Temporary(f"the task list of {peer.code} holds a task without an ID")
            yield task if task.task_id in known else self._whole(peer, with_info(task, record), budget)

    def _page(self, peer: Peer, number: int, seconds: float | None) -> Page:
        message = cad.AlgoTaskSearchRequest(page_size=PAGE_SIZE, page_number=number)
        data = self._wire.call(self._row("search_algo_tasks"), peer, message, timeout_seconds=seconds)
        return page_of(f"the task list of {peer.code}", data)

    def _whole(self, peer: Peer, task: SeenTask, budget: Budget) -> SeenTask:
        if task.stream_url and task.event_ids:
            return task
        budget.spend_detail()
        detail = self.look(peer, task.task_id, budget.timeout())
        return detail.task or task

    def look(self, peer: Peer, task_id: str, seconds: float | None = None) -> Outcome:
        """One task in full; gone=True when the device says clearly that it has none."""
        try:
            row = self._row("get_algo_task")
            data = self._wire.call(row, peer, path={"ID": task_id}, timeout_seconds=seconds)
        except Missing:
            return Outcome(gone=True)
        task = seen_task(data)
        return Outcome(facility_id=task_id, task=task and with_info(task, data))

    def create(self, peer: Peer, step: CreateTask, *, service_id: str | None) -> Outcome:
        """Create and start. The device mints the ID: it is read from the answer, "" if that told none."""
        message = cad.AlgoTaskCreateRequest(
            restart_policy=step.restart_policy,  # type: ignore[arg-type]
            task_info=_info(step.info),
            create_and_start_task=True,
            algo_service_id=service_id,
        )
        task = seen_task(self._wire.call(self._row("create_algo_task"), peer, message))
        return Outcome(facility_id=task.task_id if task else "", task=task)

    def update(self, peer: Peer, step: UpdateTask, *, service_id: str | None = None) -> Outcome:
        """Replace a task. A replacement that names no service may be placed anew: it names the one it has."""
        message = cad.AlgoTaskUpdateRequest(
            restart_policy=step.restart_policy,  # type: ignore[arg-type]
            task_info=_info(step.info),
            algo_service_id=service_id,
        )
        try:
            self._wire.call(self._row("update_algo_task"), peer, message, path={"ID": step.task_id})
        except Missing:
            return Outcome(gone=True)
        return Outcome(facility_id=step.task_id)

    def act(self, peer: Peer, step: ResumeTask | PauseTask | DeleteTask) -> Outcome:
        """Resume, pause or delete; a task the device does not know is gone, which is an answer."""
        try:
            self._wire.call(self._row(_ACTS[type(step)]), peer, path={"ID": step.task_id})
        except Missing:
            return Outcome(gone=True)
        return Outcome(facility_id=step.task_id)


def _info(info: dict[str, Any]) -> AlgoTaskInfo:
    try:
        return msgspec.convert(info, AlgoTaskInfo, strict=False)
    except msgspec.ValidationError as error:
        raise Permanent(f"cannot write the task: {error}") from error


def seen_task(data: Any) -> SeenTask | None:
    """A task answer (table D.4) as a SeenTask; None without an id. Reads leniently what devices leave out."""
    info = getattr(data, "task_info", None)
    task_id = getattr(info, "id", None)
    if info is None or task_id in (None, ""):
        return None
    rules = [rule for rule in (info.rules_params or []) if isinstance(rule, dict)]
    policy = str(getattr(data, "restart_policy", None) or "").upper()
    status = str(data.status or info.status or "PENDING").upper()
    status = _ALIASES.get(status, status)
    said = clean(str(data.message)) if status == "ERROR" and data.message else ""
    return SeenTask(
        task_id=str(task_id),
        status=status if status in STATUSES else "ERROR",
        stream_url=_stream_url(info.stream_options or {}),
        event_ids=tuple(str(rule["EventID"]) for rule in rules if rule.get("EventID")),
        receive_urls=tuple(url for rule in rules for url in _urls(rule.get("ResultReceiveUrl"))),
        service_id=str(getattr(data, "algo_service_id", None) or ""),
        error=said if status in STATUSES else f"the device shows the status {data.status!r}",
        policy=policy if policy in ("ALWAYS", "NEVER") else "",
    )


def with_info(task: SeenTask, data: Any) -> SeenTask:
    """The task with all the device told of it: what is not ours is shown, and can be adopted, by that."""
    return replace(task, info=msgspec.to_builtins(data.task_info))


def _stream_url(options: dict[str, Any]) -> str:
    """The Url inside VideoStreamOptions, or beside it as the print's examples misplace it."""
    video = options.get("VideoStreamOptions")
    inner = video.get("Url") if isinstance(video, dict) else None
    return str(inner or options.get("Url") or "")


def _urls(value: Any) -> list[str]:
    return [str(url) for url in value] if isinstance(value, list) else [str(value)] if value else []
