"""Pipelines and their runs."""

from __future__ import annotations

from collections import Counter
from typing import Any

from peewee import JOIN, fn

from acsmpd.clock import Shown
from acsmpd.store.database import Tx
from acsmpd.store.rows import is_past
from acsmpd.store.tables import Instance, Pipeline, PipelineRun, Result

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


def have_seen(tx: Tx, result_id: int) -> None:
    """No pipeline that is on looks at results up to this one again."""
    tx.run(Pipeline.update(seen=result_id).where(Pipeline.enabled == True, Pipeline.seen < result_id))


def skip(tx: Tx, pipeline_id: str) -> None:
    """Count a result that set nothing going because too many runs were under way."""
    tx.run(Pipeline.update(skipped=Pipeline.skipped + 1).where(Pipeline.id == pipeline_id))


# --- results -------------------------------------------------------------------------------------------------


def newest_result(tx: Tx) -> int:
    return tx.number(Result.select(fn.MAX(Result.id)))


def results(tx: Tx, after: int, last: int, capabilities: list[str], limit: int) -> Rows:
    """Results of this site's own work with an id in (after, last], the oldest first: those of these capabilities,
    and those of which nobody knows what served them. With the instance they are of, as far as it is wanted."""
    served = fn.COALESCE(fn.NULLIF(Result.capability, ""), Instance.capability)
    query = (
        Result.select(
            Result.id, Result.instance_id, Result.plan_id, served.alias("capability"), Result.event_id,
            Result.received_ms, Result.body, Instance.type, Instance.info, Instance.stream_device_id,
        )
        .join(Instance, on=(Instance.id == Result.instance_id))
        .where(
            Result.id > after, Result.id <= last, Result.late == False, Result.error == "",
            Instance.origin == "", Instance.deleted == False, served.in_([*capabilities, ""]),
        )
        .order_by(Result.id)
        .limit(limit)
    )  # fmt: skip
    return tx.rows(query)


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


def number_active(tx: Tx) -> int:
    return tx.number(PipelineRun.select(fn.COUNT(1)).where(PipelineRun.ended_ms.is_null(True)))


def counts(tx: Tx) -> Counter[str]:
    """pipeline id -> runs under way."""
    query = PipelineRun.select(PipelineRun.pipeline_id, fn.COUNT(1).alias("number"))
    under_way = tx.rows(query.where(PipelineRun.ended_ms.is_null(True)).group_by(PipelineRun.pipeline_id))
    return Counter({row["pipeline_id"]: row["number"] for row in under_way})


def last_run(tx: Tx, pipeline_id: str, stream: str) -> dict[str, Any] | None:
    """The newest run of a pipeline for a stream."""
    here = (PipelineRun.pipeline_id == pipeline_id, PipelineRun.stream == stream)
    return tx.row(PipelineRun.select().where(*here).order_by(PipelineRun.id.desc()))


def add_run(tx: Tx, **values: Any) -> int:
    return int(tx.run(PipelineRun.insert(**values)))


def change_run(tx: Tx, run_id: int, **values: Any) -> None:
    tx.run(PipelineRun.update(**values).where(PipelineRun.id == run_id))


def runs(*conditions: Any) -> Any:
    """A query for runs."""
    return PipelineRun.select().where(PipelineRun.id > 0, *conditions)


def run_of(tx: Tx, instance_id: str) -> dict[str, Any] | None:
    """The run that set an instance going."""
    return tx.row(PipelineRun.select().where(PipelineRun.instance_id == instance_id))


def trim(tx: Tx, lately: Shown, limit: int) -> int:
    """Drop what has been over since before that, and of the rest of what is over all but the last KEPT; at most
    `limit` of them. Returns how many went."""
    is_over = PipelineRun.ended_ms.is_null(False)
    kept = PipelineRun.select(PipelineRun.id).where(is_over).order_by(PipelineRun.id.desc()).limit(KEPT)
    surplus = is_past(PipelineRun.ended_ms, lately) | PipelineRun.id.not_in(kept)
    gone = PipelineRun.select(PipelineRun.id).where(is_over, surplus).order_by(PipelineRun.id).limit(limit)
    return int(tx.run(PipelineRun.delete().where(PipelineRun.id.in_(gone))))
