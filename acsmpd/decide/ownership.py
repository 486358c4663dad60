"""Which of the tasks a device shows are ours (conventions section 6): pure matching, ledger against listing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from acsmpd.model import SeenTask, TaskRow


class Wanted(Struct, frozen=True):
    """What identifies an instance to a device besides the device's own id."""

    stream_url: str
    event_ids: frozenset[str]


class Matched(Struct, frozen=True):
    """found: ledger row id -> what the device shows; missing: row ids not shown; foreign: nobody's."""

    found: dict[int, SeenTask]
    missing: tuple[int, ...]
    foreign: tuple[SeenTask, ...]


def match(ledger: Sequence[TaskRow], instances: Mapping[str, Wanted], seen: Sequence[SeenTask]) -> Matched:
    """Pair ledger rows of one device with one complete listing of it; no task is given to two rows."""
    sent = [row for row in ledger if row.sent]
    left = {task.task_id: task for task in seen}
    found: dict[int, SeenTask] = {}
    for row in sent:
        if row.task_id and row.task_id in left:
            found[row.id] = left.pop(row.task_id)
    for row in sent:
        if row.id not in found and not row.task_id:
            task = _by_our_id(row, left.values()) or _by_likeness(row, instances, left.values(), sent, found)
            if task is not None:
                found[row.id] = left.pop(task.task_id)
    missing = tuple(row.id for row in sent if row.id not in found)
    return Matched(found, missing, tuple(left.values()))


def _by_our_id(row: TaskRow, tasks: Iterable[SeenTask]) -> SeenTask | None:
    candidates: list[SeenTask] = list(tasks)
    for task in candidates:
        if task.task_id == row.instance_id:
            return task
    for task in candidates:
        if any(row.instance_id in url for url in task.receive_urls):
            return task
    return None


def _by_likeness(
    row: TaskRow,
    instances: Mapping[str, Wanted],
    tasks: Iterable[SeenTask],
    sent: Sequence[TaskRow],
    found: Mapping[int, SeenTask],
) -> SeenTask | None:
    """The only unledgered task with the same stream and events, if no other row of ours could claim it."""
    wanted = instances.get(row.instance_id)
    if wanted is None or not wanted.stream_url:
        return None
    rivals = [
        other
        for other in sent
        if other.id not in found and not other.task_id and instances.get(other.instance_id) == wanted
    ]
    candidates: list[SeenTask] = [
        task
        for task in tasks
        if task.stream_url == wanted.stream_url and frozenset(task.event_ids) == wanted.event_ids
    ]
    return candidates[0] if len(candidates) == 1 and len(rivals) == 1 else None
