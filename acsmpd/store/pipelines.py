"""Pipelines and their runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from peewee import JOIN, fn

from acsmpd.clock import Moment, Shown
from acsmpd.store import plans
from acsmpd.store.database import Tx
from acsmpd.store.rows import is_past
from acsmpd.store.tables import Instance, Pipeline, PipelineRun, Result, Task

Rows = list[dict[str, Any]]
KEPT = 10_000
"""Runs that are over and still shown."""


# --- pipelines ---------------------------------------------------------------------------------------------


def rows(tx: Tx) -> Rows:
    """All of them, the oldest first."""
    return tx.rows(Pipeline.select().order_by(Pipeline.created_ms, Pipeline.id))


def enabled(tx: Tx) -> Rows:
    """Those that are on, the oldest first."""
    query = Pipeline.select().where(Pipeline.enabled == True)
    return tx.rows(query.order_by(Pipeline.created_ms, Pipeline.id))


def get(tx: Tx, pipeline_id: str) -> dict[str, Any] | None:
    return tx.row(Pipeline.select().where(Pipeline.id == pipeline_id))


def add(tx: Tx, **values: Any) -> None:
    tx.run(Pipeline.insert(**values))


def change(tx: Tx, pipeline_id: str, **values: Any) -> None:
    tx.run(Pipeline.update(**values).where(Pipeline.id == pipeline_id))


def drop(tx: Tx, pipeline_id: str) -> None:
    tx.run(Pipeline.delete().where(Pipeline.id == pipeline_id))


def have_seen(tx: Tx, ids: Sequence[str], result_id: int, newest: int) -> None:
    """These look at no result up to this one again. One that is ahead of the newest there is has to go back: the
    last result has gone, and the numbers of those to come have been used before."""
    is_off = (Pipeline.seen < result_id) | (Pipeline.seen > newest)
    tx.run(Pipeline.update(seen=result_id).where(Pipeline.id.in_(ids), is_off))


def skip(tx: Tx, pipeline_id: str, number: int) -> None:
    """Count results that set nothing going because too many runs were under way."""
    tx.run(Pipeline.update(skipped=Pipeline.skipped + number).where(Pipeline.id == pipeline_id))


# --- results -------------------------------------------------------------------------------------------------


def newest_result(tx: Tx) -> int:
    return tx.number(Result.select(fn.MAX(Result.id)))


def results(tx: Tx, after: int, last: int, capabilities: list[str], limit: int) -> Rows:
    """Results with an id in (after, last], the oldest first: those of these capabilities, and those of which it is
    not written what served them."""
    query = (
        Result.select(
            Result.id, Result.instance_id, Result.plan_id, Result.capability, Result.event_id, Result.received_ms,
            Result.late, Result.body,
        )
        .where(
            Result.id > after, Result.id <= last, Result.error == "",
            Result.capability.in_([*capabilities, ""]),
        )
        .order_by(Result.id)
        .limit(limit)
    )  # fmt: skip
    return tx.rows(query)


def sources(tx: Tx, instance_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Those of these instances that are this site's own and wanted, or were set going by a pipeline: what is left
    over of a run that is over still counts.

    Which they are is not asked of SQLite: it would rather go through all instances of this site.
    """
    query = Instance.select(
        Instance.id, Instance.origin, Instance.deleted, Instance.capability, Instance.status, Instance.type,
        Instance.info, Instance.stream_device_id, Instance.changed_ms,
    )  # fmt: skip
    found = tx.rows(query.where(Instance.id.in_(sorted(set(instance_ids)))))
    ours = (row for row in found if row["origin"] == "" and (row["capability"] or not row["deleted"]))
    return {row["id"]: row for row in ours}


# --- runs ----------------------------------------------------------------------------------------------------


def active(tx: Tx) -> Rows:
    """Runs under way, with their pipeline's row (`wanted` NULL or false: it is off or gone) and their instance's."""
    query = (
        PipelineRun.select(
            PipelineRun,
            Pipeline.enabled.alias("wanted"), Pipeline.duration_seconds, Pipeline.action,
            Instance.status.alias("instance_status"), Instance.on.alias("instance_on"),
            Instance.reason.alias("instance_reason"), Instance.deleted.alias("instance_deleted"),
        )
        .join(Pipeline, JOIN.LEFT_OUTER, on=(Pipeline.id == PipelineRun.pipeline_id))
        .join(Instance, JOIN.LEFT_OUTER, on=(Instance.id == PipelineRun.instance_id))
        .where(PipelineRun.ended_ms.is_null(True))
        .order_by(PipelineRun.id)
    )  # fmt: skip
    return tx.rows(query)


def counts(tx: Tx) -> Counter[str]:
    """pipeline id -> runs under way."""
    query = PipelineRun.select(PipelineRun.pipeline_id, fn.COUNT(1).alias("number"))
    under_way = tx.rows(query.where(PipelineRun.ended_ms.is_null(True)).group_by(PipelineRun.pipeline_id))
    return Counter({row["pipeline_id"]: row["number"] for row in under_way})


class Newest(NamedTuple):
    """The newest run of a pipeline for a stream."""

    pipeline_id: str
    stream: str
    id: int
    matched_ms: int
    instance_id: str  # "" once it has ended, or for one that hands on a picture


def newest_runs(tx: Tx, pipeline_ids: Collection[str], streams: Collection[str]) -> list[Newest]:
    """Of each of these pipelines for each of these streams, as far as there is one."""
    one, other = (", ".join("?" * len(some)) for some in (pipeline_ids, streams))
    newest = (
        f"SELECT max(id) FROM pipeline_run WHERE pipeline_id IN ({one}) AND stream IN ({other})"  # noqa: S608
        " GROUP BY pipeline_id, stream"
    )
    task = "CASE WHEN ended_ms IS NULL AND picture IS NULL THEN instance_id ELSE '' END"
    text = f"SELECT pipeline_id, stream, id, matched_ms, {task} FROM pipeline_run WHERE id IN ({newest})"  # noqa: S608
    return [Newest(*row) for row in tx.sql(text, *pipeline_ids, *streams)]


def add_run(tx: Tx, **values: Any) -> int:
    return int(tx.run(PipelineRun.insert(**values)))


def change_run(tx: Tx, run_id: int, **values: Any) -> None:
    tx.run(PipelineRun.update(**values).where(PipelineRun.id == run_id))


def go_on(tx: Tx, run_id: int, matches: int, matched_ms: int, now: Moment) -> None:
    """More results counted for a run; the time of one that is running begins anew."""
    tx.run(
        PipelineRun.update(matches=PipelineRun.matches + matches, matched_ms=matched_ms).where(
            PipelineRun.id == run_id
        )
    )
    change = PipelineRun.update(elapsed_seconds=0.0, mono=now.mono, boot_id=now.boot_id)
    tx.run(change.where(PipelineRun.id == run_id, PipelineRun.status == "RUNNING"))


def runs(*conditions: Any) -> Any:
    """A query for runs."""
    return PipelineRun.select().where(PipelineRun.id > 0, *conditions)


def run_of(tx: Tx, instance_id: str) -> dict[str, Any] | None:
    """The run that set an instance going."""
    return tx.row(PipelineRun.select().where(PipelineRun.instance_id == instance_id))


def trim(tx: Tx, lately: Shown, today: Shown, limit: int) -> int:
    """Drop what has been over since before `lately`, and of the rest of what is over all but the last KEPT; at most
    `limit` of them, with the instances they set going that have left their devices. Returns how many went.

    The newest of a stream stays while a rate may ask for it: a result that counted `today`.
    """
    is_over = PipelineRun.ended_ms.is_null(False)
    kept = PipelineRun.select(PipelineRun.id).where(is_over).order_by(PipelineRun.id.desc()).limit(KEPT)
    newest = PipelineRun.select(fn.MAX(PipelineRun.id)).group_by(PipelineRun.pipeline_id, PipelineRun.stream)
    is_free = PipelineRun.id.not_in(newest) | is_past(PipelineRun.matched_ms, today)
    surplus = is_past(PipelineRun.ended_ms, lately) | (PipelineRun.id.not_in(kept) & is_free)
    columns = PipelineRun.select(PipelineRun.id, PipelineRun.instance_id)
    gone = tx.rows(columns.where(is_over, surplus).order_by(PipelineRun.id).limit(limit))
    _drop_made(tx, [row["instance_id"] for row in gone if row["instance_id"]])
    return int(tx.run(PipelineRun.delete().where(PipelineRun.id.in_([row["id"] for row in gone]))))


def _drop_made(tx: Tx, instance_ids: list[str]) -> None:
    """Every pass reads all instances: those of a thousand pictures an hour must not wait for days."""
    left = Task.select(Task.instance_id).where(Task.instance_id.in_(instance_ids))
    over = Instance.select(Instance.id, Instance.deleted).where(
        Instance.id.in_(instance_ids), Instance.id.not_in(left)
    )
    for row in tx.rows(over):
        if row["deleted"]:
            plans.drop_instance(tx, row["id"])
