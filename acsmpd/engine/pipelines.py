"""The duty of setting work going for results, as pipelines say; which results count decides decide/pipelines."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from acsmpd.clock import Moment, Shown
from acsmpd.decide import pipelines as decide
from acsmpd.decide.pipelines import (
    DONE,
    FAILED,
    PENDING,
    PICTURE,
    RUNNING,
    Counted,
    Key,
    Last,
    Pipeline,
    Run,
    Seen,
    Tally,
    Turn,
)
from acsmpd.decide.placement import events_of
from acsmpd.decide.results import receive_urls
from acsmpd.engine.core import Core
from acsmpd.store import packages, pipelines, plans, results
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance

BATCH = 200
"""Results that are looked at in one pass."""
BEGUN = 50
"""Runs that begin in one pass, and those of the result with which there are so many: everybody who writes waits."""
BACK = 1000
"""Results before the newest that a process looks at when it starts."""
DEEP = 16
"""Pictures handed on in a row of which the stream they came from is looked for."""
LOOK_SECONDS = 1.0

Row = dict[str, Any]


class _Looked(NamedTuple):
    """What the results of one pass set going, up to which result was looked, and the newest there is."""

    tally: Tally
    last: int
    newest: int

    @property
    def is_more(self) -> bool:
        return self.last < self.newest


class _Due(NamedTuple):
    """Runs about which something is to be done, and those whose duration is to be written down."""

    turns: list[tuple[Row, Turn]]
    kept: list[Row]


class Pipelines:
    """Writes instances for results that count, and takes them back when their time is over."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._looked: int | None = None
        """results up to this one have been looked at; None: look at what the store says"""

    def ensure(self, now: Moment) -> float | None:
        """All is read and decided before anybody who writes has to wait. Runs are written by nobody else."""
        with self._core.store.read() as tx:
            rows, runs = pipelines.enabled(tx), pipelines.active(tx)
            due = self._due(runs, now)
            looked = self._look(tx, rows, runs, due, now) if rows else None
        is_whole = self._write(rows, looked, due, now)
        if looked is None:
            self._looked = None
        elif is_whole:
            self._looked = looked.last
        if not is_whole or (looked is not None and looked.is_more):
            self._core.wake()
        return now.mono + LOOK_SECONDS if runs or (looked and looked.tally.counted) else None

    def _write(self, rows: list[Row], looked: _Looked | None, due: _Due, now: Moment) -> bool:
        """Whether every pipeline was still what it was when it was read; those that were not are looked at again."""
        tally = looked.tally if looked else Tally({}, (), 0)
        moved = [row["id"] for row in rows if looked and (tally.did_anything or row["seen"] > looked.newest)]
        if not (moved or due.turns or due.kept):
            return True
        is_whole = True
        with self._core.store.write(durable=bool(tally.counted or due.turns or due.kept)) as tx:
            self._end(tx, _without(due, tally), now)
            if moved and looked is not None:
                there = {row["id"]: row for row in pipelines.enabled(tx)}
                same = {row["id"] for row in rows if there.get(row["id"]) == row}
                self._take(tx, tally, same, now)
                pipelines.have_seen(tx, sorted(same), looked.last, looked.newest)
                is_whole = len(same) == len(rows)
        return is_whole

    # --- results that count ----------------------------------------------------------------------------------

    def _look(self, tx: Tx, rows: list[Row], runs: list[Row], due: _Due, now: Moment) -> _Looked:
        newest = pipelines.newest_result(tx)
        after = min(row["seen"] for row in rows)
        after = max(after, newest - BACK) if self._looked is None else max(after, self._looked)
        if after >= newest:
            return _Looked(Tally({}, (), 0), newest, newest)
        there = [msgspec.convert(row, Pipeline) for row in rows]
        capabilities = sorted({pipeline.capability for pipeline in there})
        found = pipelines.results(tx, after, newest, capabilities, BATCH)
        matches = list(self._matches(tx, there, found, capabilities, now))
        tally = self._tally(tx, matches, runs, due)
        places, before = self._pictures(tx, matches), after
        for pipeline, result in matches:
            if tally.begun >= BEGUN and result.id != before:
                return _Looked(tally, before, newest)
            tally.count(pipeline, result, places.get(result.id, ()))
            before = result.id
        return _Looked(tally, found[-1]["id"] if len(found) == BATCH else newest, newest)

    def _matches(
        self, tx: Tx, there: list[Pipeline], found: list[Row], capabilities: list[str], now: Moment
    ) -> Iterator[tuple[Pipeline, Seen]]:
        """Every fresh result with every pipeline it fulfils the conditions of."""
        lately = self._core.clock.steps.shown(now, decide.STALE_SECONDS)
        fresh = [row for row in found if lately.holds(row["received_ms"])]
        sources = pipelines.sources(tx, (row["instance_id"] for row in fresh)) if fresh else {}
        seen = [
            _seen(row, source)
            for row in fresh
            if (source := sources.get(row["instance_id"])) and _counts(row, source, lately)
        ]
        served = _served(tx, capabilities) if any(not result.capability for result in seen) else {}
        streams: dict[str, Row] = {}
        for result in seen:
            for pipeline in there:
                if result.id > pipeline.seen and decide.matches(
                    pipeline, result, served.get(pipeline.capability, ())
                ):
                    yield pipeline, _at_its_stream(tx, result, sources, streams)

    def _tally(self, tx: Tx, matches: list[tuple[Pipeline, Seen]], runs: list[Row], due: _Due) -> Tally:
        ended = {
            row["id"] for row, turn in due.turns if turn.status != RUNNING and not _is_out_of_time(row, turn)
        }
        active = [(row["pipeline_id"], row["stream"]) for row in runs if row["id"] not in ended]
        by_id = {pipeline.id: pipeline for pipeline, _ in matches}
        streams = {decide.stream_of(result) for result in {one.id: one for _, one in matches}.values()}
        newest = pipelines.newest_runs(tx, by_id, streams) if matches else []
        made = pipelines.sources(tx, (one.instance_id for one in newest if one.instance_id))
        last: dict[Key, Last] = {}
        for one in newest:
            row = made.get(one.instance_id) if one.id not in ended else None
            goes_on = row is not None and decide.is_as_said(
                by_id[one.pipeline_id], row["capability"], row["info"]
            )
            last[one.pipeline_id, one.stream] = Last(one.id, one.matched_ms, goes_on)
        return Tally(last, active, self._core.settings.pipelines.max_runs)

    def _pictures(self, tx: Tx, matches: list[tuple[Pipeline, Seen]]) -> dict[int, dict[int, str]]:
        ids = {result.id for pipeline, result in matches if pipeline.action == PICTURE}
        return results.pictures_of(tx, sorted(ids)) if ids else {}

    # --- what they set going ----------------------------------------------------------------------------------

    def _take(self, tx: Tx, tally: Tally, pipeline_ids: set[str], now: Moment) -> None:
        """Let runs go on and begin others, of these pipelines."""
        for one in tally.counted:
            if one.pipeline.id not in pipeline_ids:
                continue
            if one.run is None:
                self._begin(tx, one, now)
            else:
                pipelines.go_on(tx, one.run, one.matches, one.matched_ms, now)
        for pipeline_id, number in tally.skipped.items():
            if pipeline_id in pipeline_ids:
                pipelines.skip(tx, pipeline_id, number)

    def _begin(self, tx: Tx, one: Counted, now: Moment) -> None:
        instance_id = "" if one.is_blank else str(uuid.uuid4())
        ending = {"status": FAILED, "reason": "the result has no picture", "ended_ms": now.wall_ms}
        pipelines.add_run(
            tx, pipeline_id=one.pipeline.id, result_id=one.result.id, picture=one.picture,
            source_id=one.result.instance_id, stream=decide.stream_of(one.result), instance_id=instance_id,
            matches=one.matches, matched_ms=one.matched_ms, begun_ms=now.wall_ms, mono=now.mono, boot_id=now.boot_id,
            **(ending if one.is_blank else {"status": PENDING}),
        )  # fmt: skip
        if instance_id:
            address = f"/ACSMP/Results/{one.result.id}/Images/{one.picture}"
            info = decide.info_of(one.pipeline, one.result, "" if one.picture is None else address)
            self._set_going(tx, one.pipeline, one.result, instance_id, info, now)

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

    def _due(self, runs: list[Row], now: Moment) -> _Due:
        seconds = self._core.settings.plans.start_timeout_seconds
        turns, kept = [], []
        for row in runs:
            turn = decide.next_for(_run(row, now), start_seconds=seconds)
            if turn is not None:
                turns.append((row, turn))
            elif self._is_old(row, now):
                kept.append(row)
        return _Due(turns, kept)

    def _is_old(self, row: Row, now: Moment) -> bool:
        flush = self._core.settings.plans.duration_flush_seconds
        return now.have_passed(flush, row["mono"], row["boot_id"])

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


def _seconds(row: Row, now: Moment) -> float:
    """How long the status lasts: over a restart by the monotonic clock, over a reboot without the time between."""
    return float(row["elapsed_seconds"] + now.since(row["mono"], row["boot_id"]))


def _run(row: Row, now: Moment) -> Run:
    is_there = row["instance_status"] is not None and not row["instance_deleted"]
    return Run(
        status=row["status"], seconds=_seconds(row, now), is_wanted=bool(row["wanted"]),
        instance_status=row["instance_status"] if is_there else None, instance_on=bool(row["instance_on"]),
        instance_reason=row["instance_reason"] or "", duration_seconds=row["duration_seconds"] or 0,
    )  # fmt: skip


def _counts(row: Row, source: Row, lately: Shown) -> bool:
    """Not what comes too late; but a device may say of a picture that it has finished, and then what it found."""
    has_finished = source["capability"] and source["status"] == "FINISHED"
    return not row["late"] or bool(has_finished and lately.holds(source["changed_ms"]))


def _seen(row: Row, source: Row) -> Seen:
    """A result of an instance, as what its instance alone may be served by where nobody wrote what served it."""
    return Seen(
        id=row["id"], instance_id=row["instance_id"], plan_id=row["plan_id"],
        capability=row["capability"] or source["capability"], event_id=row["event_id"],
        received_ms=row["received_ms"], body=row["body"], type=source["type"], info=source["info"],
        stream_device_id=source["stream_device_id"],
    )  # fmt: skip


def _served(tx: Tx, capabilities: list[str]) -> dict[str, frozenset[str]]:
    """capability -> the events it serves, of these."""
    return {
        one.code: frozenset(one.event_ids) for one in packages.abilities(tx) if one.code in set(capabilities)
    }


def _at_its_stream(tx: Tx, result: Seen, sources: dict[str, Row], known: dict[str, Row]) -> Seen:
    """The result of a picture that was handed on is one of the stream the picture came from."""
    if not sources[result.instance_id]["capability"]:
        return result  # no pipeline set it going
    if result.instance_id not in known:
        known[result.instance_id] = _origin(tx, result.instance_id) or sources[result.instance_id]
    row = known[result.instance_id]
    return replace(result, type=row["type"], info=row["info"], stream_device_id=row["stream_device_id"])


def _origin(tx: Tx, instance_id: str) -> Row | None:
    """The instance at the head of the runs that led to this one."""
    source = instance_id
    for _ in range(DEEP):
        run = pipelines.run_of(tx, source)
        if run is None:
            break
        source = run["source_id"]
    return plans.any_instance(tx, source)


def _is_out_of_time(row: Row, turn: Turn) -> bool:
    return turn == Turn(DONE) and row["instance_status"] != "FINISHED"


def _without(due: _Due, tally: Tally) -> _Due:
    """Without those that were to end now and go on."""
    on = {one.run for one in tally.counted}
    return _Due(
        [(row, turn) for row, turn in due.turns if not (row["id"] in on and _is_out_of_time(row, turn))],
        due.kept,
    )
