"""The duty of setting work going for results, as pipelines say; which results count decides decide/pipelines."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from acsmpd.clock import Moment
from acsmpd.decide import pipelines as decide
from acsmpd.decide.pipelines import FAILED, PENDING, PICTURE, RUNNING, TASK, Pipeline, Run, Seen, Turn
from acsmpd.decide.placement import events_of
from acsmpd.decide.results import receive_urls
from acsmpd.engine.core import Core
from acsmpd.store import packages, pipelines, plans, results
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance

BATCH = 200
"""Results that are looked at in one pass: everybody who writes waits for it."""
BACK = 1000
"""Results before the newest that a process looks at when it starts."""
DEEP = 16
"""Pictures handed on in a row of which the stream they came from is looked for."""
LOOK_SECONDS = 1.0


class _Found(NamedTuple):
    """Results that count, each with the pipeline it counts for; and up to which result was looked."""

    matches: list[tuple[Pipeline, Seen]]
    last: int
    is_more: bool


class _Due(NamedTuple):
    """Runs about which something is to be done, and those whose duration is to be written down."""

    turns: list[tuple[dict[str, Any], Turn]]
    kept: list[dict[str, Any]]


class Pipelines:
    """Writes instances for results that count, and takes them back when their time is over."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._looked: int | None = None
        """results up to this one have been looked at; None: look at what the store says"""

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            rows, runs = pipelines.enabled(tx), pipelines.active(tx)
            found, due = self._found(tx, rows, now), self._due(runs, now)
        if found.matches or due.turns or due.kept:
            with (
                self._core.store.write() as tx
            ):  # looked at again: somebody may have changed what is asked for
                self._end(tx, self._due(pipelines.active(tx), now), now)
                again = self._found(tx, pipelines.enabled(tx), now)
                for pipeline, result in again.matches:
                    self._take(tx, pipeline, result, now)
                if again.matches:
                    pipelines.have_seen(tx, again.last)
        self._looked = found.last if rows else None
        if found.is_more:
            self._core.wake()
        return now.mono + LOOK_SECONDS if runs or found.matches else None

    # --- results that count ----------------------------------------------------------------------------------

    def _found(self, tx: Tx, rows: list[dict[str, Any]], now: Moment) -> _Found:
        if not rows:
            return _Found([], 0, is_more=False)
        last = pipelines.newest_result(tx)
        after = min(row["seen"] for row in rows)
        after = max(after, last - BACK) if self._looked is None else max(after, self._looked)
        if after >= last:
            return _Found([], last, is_more=False)
        there = [msgspec.convert(row, Pipeline) for row in rows]
        capabilities = sorted({pipeline.capability for pipeline in there})
        seen = pipelines.results(tx, after, last, capabilities, BATCH)
        is_more = len(seen) == BATCH
        lately = self._core.clock.steps.shown(now, decide.STALE_SECONDS)
        fresh = [msgspec.convert(row, Seen) for row in seen if lately.holds(row["received_ms"])]
        served = _served(tx, capabilities) if any(not result.capability for result in fresh) else {}
        matches = [
            (pipeline, result)
            for result in fresh
            for pipeline in there
            if result.id > pipeline.seen
            and decide.matches(pipeline, result, served.get(pipeline.capability, ()))
        ]
        return _Found(matches, seen[-1]["id"] if is_more else last, is_more)

    def _take(self, tx: Tx, pipeline: Pipeline, result: Seen, now: Moment) -> None:
        """Let a run go on, begin one, or do nothing where the last one was a moment ago."""
        result = _at_its_stream(tx, result)
        last = pipelines.last_run(tx, pipeline.id, decide.stream_of(result))
        last_ms = last["matched_ms"] if last else None
        if not decide.is_due(last_ms, result.received_ms, pipeline.interval_seconds):
            return
        if last is not None and last["ended_ms"] is None and pipeline.action == TASK:
            begin = {"elapsed_seconds": 0.0, "mono": now.mono, "boot_id": now.boot_id}
            values = begin if last["status"] == RUNNING else {}
            pipelines.change_run(
                tx, last["id"], matches=last["matches"] + 1, matched_ms=result.received_ms, **values
            )
        elif pipelines.number_active(tx) >= self._core.settings.pipelines.max_runs:
            pipelines.skip(tx, pipeline.id)
        else:
            self._begin(tx, pipeline, result, now)

    def _begin(self, tx: Tx, pipeline: Pipeline, result: Seen, now: Moment) -> None:
        place, address = None, ""
        if pipeline.action == PICTURE:
            place = decide.picture_of(result.body, results.pictures_of(tx, [result.id])[result.id])
            address = f"/ACSMP/Results/{result.id}/Images/{place}"
        has_none = pipeline.action == PICTURE and place is None
        instance_id = "" if has_none else str(uuid.uuid4())
        ending = {"status": FAILED, "reason": "the result has no picture", "ended_ms": now.wall_ms}
        pipelines.add_run(
            tx, pipeline_id=pipeline.id, result_id=result.id, picture=place, source_id=result.instance_id,
            stream=decide.stream_of(result), instance_id=instance_id, matched_ms=result.received_ms,
            begun_ms=now.wall_ms, mono=now.mono, boot_id=now.boot_id, **(ending if has_none else {"status": PENDING}),
        )  # fmt: skip
        if not has_none:
            info = decide.info_of(pipeline, result, address)
            self._set_going(tx, pipeline, result, instance_id, info, now)

    def _set_going(
        self, tx: Tx, pipeline: Pipeline, result: Seen, instance_id: str, info: dict[str, Any], now: Moment
    ) -> None:
        """An instance of no plan, which lives as long as its run."""
        plans.add_instance(
            tx, [(event, "") for event in events_of(info)], id=instance_id, type=decide.type_of(pipeline, result),
            info=info, receive_urls=receive_urls(info), stream_device_id=result.stream_device_id,
            restart_policy="NEVER", priority_class=pipeline.priority_class, capability=pipeline.target,
            on=True, started=True, status="PENDING", created_ms=now.wall_ms, changed_ms=now.wall_ms,
        )  # fmt: skip

    # --- runs -------------------------------------------------------------------------------------------------

    def _due(self, runs: list[dict[str, Any]], now: Moment) -> _Due:
        seconds = self._core.settings.plans.start_timeout_seconds
        turns, kept = [], []
        for row in runs:
            turn = decide.next_for(_run(row, now), start_seconds=seconds)
            if turn is not None:
                turns.append((row, turn))
            elif self._is_old(row, now):
                kept.append(row)
        return _Due(turns, kept)

    def _is_old(self, row: dict[str, Any], now: Moment) -> bool:
        flush = self._core.settings.plans.duration_flush_seconds
        return bool(row["boot_id"] != now.boot_id or now.mono - row["mono"] >= flush)

    def _end(self, tx: Tx, due: _Due, now: Moment) -> None:
        for row, turn in due.turns:
            ended = now.wall_ms if turn.status != RUNNING else None
            pipelines.change_run(
                tx, row["id"], status=turn.status, reason=turn.reason, ended_ms=ended, elapsed_seconds=0.0,
                mono=now.mono, boot_id=now.boot_id,
            )  # fmt: skip
            if ended is not None:
                here = (Instance.id == row["instance_id"], Instance.deleted == False)
                plans.delete_instances(tx, now.wall_ms, *here)
        for row in due.kept:
            pipelines.change_run(
                tx, row["id"], elapsed_seconds=_seconds(row, now), mono=now.mono, boot_id=now.boot_id
            )


def _seconds(row: dict[str, Any], now: Moment) -> float:
    """How long the status lasts: over a restart by the monotonic clock, over a reboot without the time between."""
    passed = max(0.0, now.mono - row["mono"]) if row["boot_id"] == now.boot_id else 0.0
    return float(row["elapsed_seconds"] + passed)


def _run(row: dict[str, Any], now: Moment) -> Run:
    is_there = row["instance_status"] is not None and not row["instance_deleted"]
    return Run(
        id=row["id"], pipeline_id=row["pipeline_id"], instance_id=row["instance_id"], status=row["status"],
        seconds=_seconds(row, now), is_wanted=bool(row["wanted"]),
        instance_status=row["instance_status"] if is_there else None, instance_on=bool(row["instance_on"]),
        instance_reason=row["instance_reason"] or "", duration_seconds=row["duration_seconds"] or 0,
    )  # fmt: skip


def _served(tx: Tx, capabilities: list[str]) -> dict[str, frozenset[str]]:
    """capability -> the events it serves, of these."""
    return {
        one.code: frozenset(one.event_ids) for one in packages.abilities(tx) if one.code in set(capabilities)
    }


def _at_its_stream(tx: Tx, result: Seen) -> Seen:
    """The result of a picture that was handed on is one of the stream the picture came from."""
    source = result.instance_id
    for _ in range(DEEP):
        run = pipelines.run_of(tx, source)
        if run is None:
            break
        source = run["source_id"]
    row = plans.any_instance(tx, source) if source != result.instance_id else None
    if row is None:
        return result
    return replace(result, type=row["type"], info=row["info"], stream_device_id=row["stream_device_id"])
