"""The analysis tasks of a fake device, and what must hold of them at any moment."""

from __future__ import annotations

import collections
import copy
import threading
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec

from acsmpd.spec.messages.cad import (
    AlgoTaskCreateRequest,
    AlgoTaskSearchRequest,
    AlgoTaskUpdateRequest,
)
from acsmpd.spec.messages.instances import AlgoTaskInfo
from tests.support.fake_server import Refusal

PENDING, RUNNING, PAUSED, FINISHED, ERROR = "PENDING", "RUNNING", "PAUSED", "FINISHED", "ERROR"


@dataclass
class FakeTask:
    """One task. `info` is the AlgoTaskInfo as sent, without its ID, which is kept as `sent_id`."""

    task_id: str
    info: dict[str, Any]
    restart_policy: str = "ALWAYS"
    create_and_start: bool = True
    status: str = RUNNING
    service_id: str = ""
    package_id: str = ""
    sent_id: str = ""
    foreign: bool = False

    @property
    def stream_url(self) -> str:
        options = self.info.get("StreamOptions", {}).get("VideoStreamOptions") or {}
        return str(options.get("Url") or "")

    @property
    def event_ids(self) -> tuple[str, ...]:
        return tuple(rule["EventID"] for rule in self.info.get("RulesParams", []) if "EventID" in rule)

    @property
    def receive_urls(self) -> tuple[str, ...]:
        """The result receivers of its rules, each once."""
        urls = [
            url for rule in self.info.get("RulesParams", []) for url in rule.get("ResultReceiveUrl") or []
        ]
        return tuple(dict.fromkeys(urls))

    @property
    def busy(self) -> bool:
        return self.status in (PENDING, RUNNING)

    def shown(self) -> dict[str, Any]:
        """Table D.4."""
        result = {
            "TaskInfo": {**copy.deepcopy(self.info), "ID": self.task_id},
            "AlgoServiceID": self.service_id,
            "Status": self.status,
            "RestartPolicy": self.restart_policy,
            "CreateAndStartTask": self.create_and_start,
        }
        return {name: value for name, value in result.items() if value != ""}


class TaskBoard:
    """All tasks, by their id. `peaks` counts for each stream how many ran at once at most."""

    def __init__(self, lock: threading.RLock) -> None:
        self.held: dict[str, FakeTask] = {}
        self.peaks: collections.Counter[str] = collections.Counter()
        self.starts_as = RUNNING
        self._lock = lock

    def create(
        self, message: AlgoTaskCreateRequest, *, honour_id: bool, package_id: str = "", service_id: str = ""
    ) -> FakeTask:
        """A new task with an id of its own; one created unstarted is PAUSED."""
        sent_id = "" if message.task_info.id is None else str(message.task_info.id)
        start = message.create_and_start_task is not False
        task = FakeTask(
            task_id=sent_id if honour_id and sent_id else str(uuid.uuid4()),
            info=_plain(message.task_info),
            restart_policy=message.restart_policy,
            create_and_start=start,
            status=self.starts_as if start else PAUSED,
            service_id=service_id,
            package_id=package_id,
            sent_id=sent_id,
        )
        with self._lock:
            if task.task_id in self.held:
                raise Refusal(40902, f"there is a task {task.task_id} already")
            self.add(task)
        return task

    def add(self, task: FakeTask) -> None:
        with self._lock:
            self.held[task.task_id] = task
            self._count()

    def get(self, task_id: str) -> FakeTask:
        with self._lock:
            task = self.held.get(task_id)
        if task is None:
            raise Refusal(40401, f"there is no task {task_id}")
        return task

    def update(self, task_id: str, message: AlgoTaskUpdateRequest) -> FakeTask:
        """A full replacement that keeps the ID; what is NEVER restarted has to be PAUSED for it."""
        with self._lock:
            task = self.get(task_id)
            if message.task_info.id not in (None, task_id):
                raise Refusal(40001, f"TaskInfo.ID: is not the {task_id} of the path")
            if task.restart_policy == "NEVER" and task.status != PAUSED:
                raise Refusal(40901, f"task {task_id} is {task.status}: NEVER is changed only while PAUSED")
            task.info, task.restart_policy = _plain(message.task_info), message.restart_policy
            self._count()
            return task

    def resume(self, task_id: str) -> None:
        with self._lock:
            task = self.get(task_id)
            if not task.busy:
                task.status = self.starts_as
                self._count()

    def pause(self, task_id: str) -> None:
        with self._lock:
            task = self.get(task_id)
            if task.status == FINISHED:
                raise Refusal(40901, f"task {task_id} is FINISHED")
            task.status = PAUSED

    def delete(self, task_id: str) -> None:
        with self._lock:
            self.get(task_id)
            del self.held[task_id]

    def set_status(self, task_id: str, status: str) -> None:
        with self._lock:
            self.get(task_id).status = status
            self._count()

    def matching(self, asked: AlgoTaskSearchRequest) -> list[FakeTask]:
        """In the order of their creation. An absent filter filters nothing."""
        with self._lock:
            return [
                task
                for task in self.held.values()
                if (asked.event_id is None or asked.event_id in task.event_ids)
                and asked.restart_policy in (None, task.restart_policy)
                and asked.create_and_start_task in (None, task.create_and_start)
                and asked.status in (None, task.status)
            ]

    def running(self) -> list[FakeTask]:
        with self._lock:
            return [task for task in self.held.values() if task.status == RUNNING]

    def busy_on(self, package_id: str) -> int:
        with self._lock:
            return sum(task.busy and task.package_id == package_id for task in self.held.values())

    def _count(self) -> None:
        self.peaks |= collections.Counter(task.stream_url for task in self.running())


def _plain(info: AlgoTaskInfo) -> dict[str, Any]:
    plain = dict(msgspec.to_builtins(info))
    plain.pop("ID", None)
    return plain
