"""The tasks of this engine: created, started, paused, changed, found, within a limit of streams."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass, field

from deliver import Outbox
from playing import Counts, Run
from results import Author
from rules import POLICIES, STATUSES, Json, Refused, TaskSpec, choice, member, read_task

MAX_TASKS = 64
MAX_PAGE_SIZE = 1000
BUSY = ("PENDING", "RUNNING")


@dataclass
class Task:
    id: str
    spec: TaskSpec
    start_at_once: bool
    status: str = "PAUSED"
    message: str = ""
    run: Run | None = None
    counts: Counts = field(default_factory=Counts)
    outbox: Outbox = field(init=False)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.id)

    def holds_stream(self) -> bool:
        """Whether it plays, or will play again by itself."""
        return self.status in BUSY or (self.status == "ERROR" and self.run is not None and self.run.retrying)


class Tasks:
    def __init__(self, author: Author, stream_limit: int) -> None:
        self._author = author
        self.stream_limit = stream_limit
        self._tasks: dict[str, Task] = {}
        self._runs: list[Run] = []
        self._lock = threading.RLock()

    def status(self) -> Json:
        with self._lock:
            busy = sum(task.holds_stream() for task in self._tasks.values())
            return {
                "Status": "RUNNING",
                "Tasks": len(self._tasks),
                "Streams": busy,
                "StreamLimit": self.stream_limit,
            }

    def create(self, body: Json) -> Json:
        """Make the task; the same ID with the same content again gives the one that is there."""
        spec = self._read(body)
        start = member(body, "CreateAndStartTask", bool)
        start = True if start is None else start
        with self._lock:
            task_id = spec.info.get("ID") or str(uuid.uuid4())
            known = self._tasks.get(task_id)
            if known is not None:
                if (known.spec, known.start_at_once) != (spec, start):
                    raise Refused(40902, f"task {task_id} exists with other content")
                return self._shown(known)
            if len(self._tasks) >= MAX_TASKS:
                raise Refused(40901, f"this engine holds {MAX_TASKS} tasks already; delete one first")
            task = Task(task_id, spec, start)
            if start:
                self._check_room(task)
                self._start(task)
            self._tasks[task_id] = task
            return self._shown(task)

    def update(self, task_id: str, body: Json) -> Json:
        """Replace the task's content; it plays on, from the start, if it was playing."""
        spec = self._read(body)
        with self._lock:
            task = self._find(task_id)
            if spec.info.get("ID") not in (None, "", task_id):
                raise Refused(40001, f"TaskInfo.ID: the path names {task_id}")
            if not task.spec.always and task.status != "PAUSED":
                raise Refused(40901, f"task {task_id} is NEVER restarted and {task.status}: pause it first")
            playing = task.holds_stream()
            if playing:
                self._check_room(task)
            self._stop(task, "PAUSED" if playing else task.status)
            task.spec = spec
            if playing:
                self._start(task)
            return self._shown(task)

    def detail(self, task_id: str) -> Json:
        with self._lock:
            return self._shown(self._find(task_id))

    def delete(self, task_id: str) -> None:
        with self._lock:
            task = self._find(task_id)
            self._stop(task, "PAUSED")
            task.outbox.close()
            del self._tasks[task_id]

    def resume(self, task_id: str) -> None:
        """Play it: from the start if it finished or failed, without effect if it plays."""
        with self._lock:
            task = self._find(task_id)
            if task.status not in BUSY:
                self._check_room(task)
                self._stop(task, task.status)
                self._start(task)

    def pause(self, task_id: str) -> None:
        with self._lock:
            self._stop(self._find(task_id), "PAUSED")

    def search(self, body: Json) -> Json:
        """One page of the tasks that match, oldest first."""
        page = member(body, "PageRequest", dict) or body
        number, size = member(page, "PageNumber", int), member(page, "PageSize", int)
        number, size = 1 if number is None else number, 10 if size is None else size
        if number < 1 or size < 1:
            raise Refused(40001, "PageNumber and PageSize: 1 or more")
        size = min(size, MAX_PAGE_SIZE)
        event, started = member(body, "EventID", str), member(body, "CreateAndStartTask", bool)
        policy, status = choice(body, "RestartPolicy", POLICIES), body.get("Status")
        status = choice({"Status": "PAUSED" if status == "STOPPED" else status}, "Status", STATUSES)
        with self._lock:
            found = [
                task
                for task in self._tasks.values()
                if (event is None or any(rule.event_id == event for rule in task.spec.rules))
                and started in (None, task.start_at_once)
                and policy in (None, _policy(task))
                and status in (None, task.status)
            ]
            records = [self._shown(task) for task in found[(number - 1) * size : number * size]]
        return {"PageNumber": number, "PageSize": size, "TotalSize": len(found), "Records": records}

    def close(self, seconds: float) -> None:
        """Stop every task and give results on their way until then."""
        until = time.monotonic() + seconds
        with self._lock:
            tasks = list(self._tasks.values())
            for task in tasks:
                self._stop(task, "PAUSED")
                task.outbox.close()
        for waiting in [*self._runs, *(task.outbox for task in tasks)]:
            waiting.join(max(0.0, until - time.monotonic()))

    def _read(self, body: Json) -> TaskSpec:
        return read_task(body, name=self._author.name, service_id=self._author.service_id)

    def _find(self, task_id: str) -> Task:
        task = self._tasks.get(task_id)
        if task is None:
            raise Refused(40401, f"no task {task_id}")
        return task

    def _check_room(self, task: Task) -> None:
        """Refuse a start past the limit, or while too many stopped runs still hang in a read."""
        self._runs = [run for run in self._runs if run.alive()]
        others = sum(other.holds_stream() for other in self._tasks.values() if other is not task)
        if others >= self.stream_limit or len(self._runs) >= 2 * self.stream_limit:
            raise Refused(40901, f"no free stream: {others} of {self.stream_limit} in use")

    def _start(self, task: Task) -> None:
        run = Run(task.id, task.spec, self._author, task.outbox, task.counts, self._report)
        task.run, task.status, task.message = run, "PENDING", ""
        self._runs.append(run)
        run.start()

    def _stop(self, task: Task, status: str) -> None:
        if task.run is not None:
            task.run.stop()
        task.run, task.status, task.message = None, status, ""

    def _report(self, run: Run, status: str, message: str) -> None:
        with self._lock:
            for task in self._tasks.values():
                if task.run is run:  # a run that was stopped has nothing to say any more
                    task.status, task.message = status, message

    def _shown(self, task: Task) -> Json:
        """The task as Part 4 table D.4, with what we know beyond it."""
        counts, outbox = task.counts, task.outbox
        return {
            "TaskInfo": {**task.spec.info, "ID": task.id},
            "AlgoServiceID": self._author.service_id,
            "Status": task.status,
            "RestartPolicy": _policy(task),
            "CreateAndStartTask": task.start_at_once,
            "Message": task.message,
            "Statistics": {
                "FramesRead": counts.read,
                "FramesAnalysed": counts.analysed,
                "Events": counts.events,
                "Delivered": outbox.delivered,
                "Failed": outbox.failed,
                "Dropped": outbox.dropped,
            },
        }


def _policy(task: Task) -> str:
    return "ALWAYS" if task.spec.always else "NEVER"
