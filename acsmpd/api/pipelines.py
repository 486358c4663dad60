"""Extension Pipelines: results of one capability set work of another going; the engine looks at what comes."""

from __future__ import annotations

import uuid
from typing import Any

import msgspec

from acsmpd import faults
from acsmpd.api import plans
from acsmpd.api.call import Call, Reply
from acsmpd.api.filters import time_between
from acsmpd.api.mentions import Mentions
from acsmpd.api.paging import echoed, page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.decide import pipelines as decide
from acsmpd.decide import placement
from acsmpd.spec import times
from acsmpd.spec.messages import pipelines as messages
from acsmpd.spec.messages.instances import AlgoTaskInfo
from acsmpd.spec.taskinfo import check_task_info
from acsmpd.store import packages, pipelines
from acsmpd.store.database import Tx
from acsmpd.store.rows import Page, joined_page_of
from acsmpd.store.tables import PipelineRun as Row

MOST = 200
"""Pipelines that are kept: each is compared with every result."""
TARGET_MAX_BYTES = 16 * 1024
"""Labels and RulesParams of a Target: all are read in every pass of the engine."""
ORDERS = {"BeginTime": Row.begun_ms, "EndTime": Row.ended_ms, "ID": Row.id, "Status": Row.status}
NEWEST_FIRST = (("ID", True),)
_COLUMNS = {
    "name": "name", "enabled": "enabled", "algo_def_code": "capability", "event_ids": "event_ids",
    "min_score": "min_score", "area_ids": "area_ids", "task_ids": "plan_ids",
    "min_interval_seconds": "interval_seconds", "action": "action", "duration_seconds": "duration_seconds",
}  # fmt: skip
"""Members of a request by the column that holds them; Target has several."""


@handles("acsmp.list_pipelines")
def list_pipelines(platform: Platform, call: Call) -> list[messages.Pipeline]:
    with platform.store.read() as tx:
        active = pipelines.counts(tx)
        return [_item(platform, row, active[row["id"]]) for row in pipelines.rows(tx)]


@handles("acsmp.get_pipeline")
def get(platform: Platform, call: Call) -> messages.Pipeline:
    with platform.store.read() as tx:
        row = _row(tx, call.path["ID"])
        return _item(platform, row, pipelines.counts(tx)[row["id"]])


@handles("acsmp.create_pipeline")
def create(platform: Platform, call: Call) -> Reply:
    pipeline_id, now = str(uuid.uuid4()), call.now.wall_ms
    values = {"event_ids": [], "area_ids": [], "plan_ids": [], **_values(call.message)}
    with platform.store.write() as tx:
        others = pipelines.rows(tx)
        if len(others) >= MOST:
            raise faults.Conflict(f"there are {MOST} pipelines, and no more are kept: delete one")
        _check(tx, values, values, others)
        seen = pipelines.newest_result(tx)
        pipelines.add(tx, id=pipeline_id, **values, seen=seen, created_ms=now, modified_ms=now)
        item = _item(platform, _row(tx, pipeline_id), 0)
    platform.wake()
    return Reply(item, object=pipeline_id)


@handles("acsmp.update_pipeline")
def update(platform: Platform, call: Call) -> Reply:
    """What is under way goes on; it ends when the pipeline is switched off."""
    pipeline_id, values = call.path["ID"], _values(call.message)
    with platform.store.write() as tx:
        before = _row(tx, pipeline_id)
        others = [row for row in pipelines.rows(tx) if row["id"] != pipeline_id]
        _check(tx, values, {**before, **values}, others)
        if values.get("enabled") and not before["enabled"]:
            values["seen"] = pipelines.newest_result(tx)
        pipelines.change(tx, pipeline_id, **values, modified_ms=call.now.wall_ms)
        item = _item(platform, _row(tx, pipeline_id), pipelines.counts(tx)[pipeline_id])
    platform.wake()
    return Reply(item, object=pipeline_id)


@handles("acsmp.delete_pipeline")
def delete(platform: Platform, call: Call) -> Reply:
    pipeline_id = call.path["ID"]
    with platform.store.write() as tx:
        _row(tx, pipeline_id)
        pipelines.drop(tx, pipeline_id)
    platform.wake()
    return Reply(object=pipeline_id)


def _row(tx: Tx, pipeline_id: str) -> dict[str, Any]:
    row = pipelines.get(tx, pipeline_id)
    if row is None:
        raise faults.NotFound(f"no pipeline {pipeline_id}")
    return row


# --- what is asked for --------------------------------------------------------------------------------------


def _values(asked: messages.PipelineUpdateRequest) -> dict[str, Any]:
    """Columns of what was given."""
    given = {name: getattr(asked, name) for name in _COLUMNS}
    values = {_COLUMNS[name]: value for name, value in given.items() if value is not None}
    for name in ("event_ids", "area_ids", "plan_ids"):
        if name in values:
            values[name] = list(dict.fromkeys(values[name]))
    if asked.target is not None:
        values |= {
            "target": asked.target.algo_def_code, "rules": asked.target.rules_params,
            "labels": asked.target.labels, "priority_class": asked.target.priority_class or "",
        }  # fmt: skip
    return values


def _check(tx: Tx, given: dict[str, Any], whole: dict[str, Any], others: list[dict[str, Any]]) -> None:
    """Refuse what could never run. `given`: of `whole` what this request says; the rest may have gone meanwhile."""
    served = {one.code: one for one in packages.abilities(tx)}
    for column, path in (("capability", "$.AlgoDefCode"), ("target", "$.Target.AlgoDefCode")):
        if column in given and given[column] not in served:
            raise faults.NotFound(f"{path}: no capability {given[column]}")
    for plan_id in given.get("plan_ids", ()):
        plans.plan_of(tx, plan_id)
    if given.get("priority_class"):
        Mentions(tx).check_class(given["priority_class"], "$.Target")
    _check_events(whole, served, {"capability", "event_ids"} & given.keys())
    _check_target(whole, served, {"target", "action"} & given.keys())
    edges = [(row["capability"], row["target"]) for row in others]
    closed = decide.circle(edges, whole["capability"], whole["target"])
    if closed:
        raise faults.InvalidField(
            f"$.Target.AlgoDefCode: the pipelines would feed themselves: {' -> '.join(closed)}"
        )


def _check_events(whole: dict[str, Any], served: dict[str, Any], named: set[str]) -> None:
    source = served.get(whole["capability"]) if named else None
    if source is None:
        return
    for place, event in enumerate(whole["event_ids"]):
        if event not in source.event_ids:
            raise faults.InvalidField(f"$.EventIDs[{place}]: {_serves(source, event)}")


def _check_target(whole: dict[str, Any], served: dict[str, Any], named: set[str]) -> None:
    target = served.get(whole["target"]) if named else None
    if target is None:
        return
    info = AlgoTaskInfo(labels=whole["labels"], rules_params=whole["rules"], stream_options={})
    check_task_info(info, "$.Target")
    size = len(msgspec.json.encode([whole["labels"], whole["rules"]]))
    if size > TARGET_MAX_BYTES:
        raise faults.InvalidField(f"$.Target: has {size} bytes; at most {TARGET_MAX_BYTES} are kept")
    _check_labels(whole["labels"] or {}, target)
    for place, rule in enumerate(whole["rules"]):
        if rule["EventID"] not in target.event_ids:
            raise faults.InvalidField(
                f"$.Target.RulesParams[{place}].EventID: {_serves(target, rule['EventID'])}"
            )
    is_picture = whole["action"] == decide.PICTURE
    fits = [one for one in target.task_types if (one == "IMAGE_REALTIME") is is_picture]
    if not fits:
        raise faults.InvalidField(
            f"$.Action: capability {target.code} does not do that; its tasks are {', '.join(target.task_types)}"
        )


def _check_labels(labels: dict[str, Any], target: Any) -> None:
    """They may say which package and version serves it; only that of the capability does."""
    known = {"AlgoCaBinName": target.package_name, "Version": target.version}
    for name, value in known.items():
        if labels.get(name) and placement.fold(labels[name]) != placement.fold(value):
            raise faults.InvalidField(
                f"$.Target.Labels.{name}: capability {target.code} is of package {target.package_name} "
                f"{target.version}"
            )


def _serves(ability: Any, event: str) -> str:
    return f"capability {ability.code} does not serve {event}; it serves {', '.join(ability.event_ids)}"


# --- showing --------------------------------------------------------------------------------------------------


def _item(platform: Platform, row: dict[str, Any], active: int) -> messages.Pipeline:
    target = {
        "AlgoDefCode": row["target"], "RulesParams": row["rules"], "Labels": row["labels"],
        "PriorityClass": row["priority_class"] or None,
    }  # fmt: skip
    return messages.Pipeline(
        id=row["id"],
        name=row["name"] or None,
        enabled=row["enabled"],
        algo_def_code=row["capability"],
        event_ids=row["event_ids"] or None,
        min_score=row["min_score"] or None,
        area_ids=row["area_ids"] or None,
        task_ids=row["plan_ids"] or None,
        min_interval_seconds=row["interval_seconds"],
        action=row["action"],
        target=msgspec.convert({k: v for k, v in target.items() if v is not None}, messages.PipelineTarget),
        duration_seconds=row["duration_seconds"],
        active_count=active,
        skipped_count=row["skipped"],
        created_date=times.written(row["created_ms"], platform.zone),
        last_modified_date=times.written(row["modified_ms"], platform.zone),
    )


@handles("acsmp.search_pipeline_runs")
def search_runs(platform: Platform, call: Call) -> messages.PipelineRunPage:
    asked, page = call.message, page_of(call.message)
    if not page.order:
        page = Page(page.number, page.size, NEWEST_FIRST)
    exact = (
        (Row.pipeline_id, asked.pipeline_id), (Row.status, asked.status),
        (Row.instance_id, asked.instance_id), (Row.source_id, asked.source_instance_id),
    )  # fmt: skip
    conditions = [column == value for column, value in exact if value]
    conditions += time_between(platform, asked, Row.begun_ms)
    with platform.store.read() as tx:
        found, total = joined_page_of(tx, pipelines.runs(*conditions), page, ORDERS, Row.id)
    content = [_run(platform, row) for row in found]
    return messages.PipelineRunPage(page_content=content, total=total, page_request=echoed(page))


def _run(platform: Platform, row: dict[str, Any]) -> messages.PipelineRun:
    return messages.PipelineRun(
        id=row["id"],
        pipeline_id=row["pipeline_id"],
        result_id=str(row["result_id"]),
        source_instance_id=row["source_id"],
        instance_id=row["instance_id"] or None,
        status=row["status"],
        reason=row["reason"] or None,
        match_count=row["matches"],
        begin_time=times.written(row["begun_ms"], platform.zone),
        end_time=times.written(row["ended_ms"], platform.zone),
    )
