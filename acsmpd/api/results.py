"""Results: taken in from algorithms and devices, found again, shown with their pictures (conventions section 7)."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import msgspec

from acsmpd import faults
from acsmpd.api.call import Call, FileReply, Reply
from acsmpd.api.filters import time_between
from acsmpd.api.paging import echoed, page_of
from acsmpd.api.platform import Platform
from acsmpd.api.receiving import Draft, drafts_of
from acsmpd.api.registry import handles
from acsmpd.api.result_files import ResultFiles
from acsmpd.clock import HOUR_SECONDS
from acsmpd.decide import results as decided
from acsmpd.spec import times
from acsmpd.store import facts, plans, results
from acsmpd.store.database import Tx
from acsmpd.store.rows import Page, joined_page_of
from acsmpd.store.tables import Result

log = logging.getLogger(__name__)

ORDERS = {"EventTime": Result.event_ms, "ReceivedTime": Result.received_ms, "ResultID": Result.id}
NEWEST_FIRST = (("EventTime", True), ("ResultID", True))
PAGE_MAX_BYTES = 8 * 1024 * 1024
"""The bodies of one page of a search; a page of more is refused."""
AT_ONCE = 50
"""Results of a page that are in memory as more than text at the same moment."""
LEFT_OUT = "results.pictures_left_out"
"""The fact that counts pictures which came but could not be kept."""


# --- receiving ----------------------------------------------------------------------------------------


@handles("acsmp.receive_result")
def receive(platform: Platform, call: Call) -> Reply:
    """Stored first, answered then; a repeat is a success without a second row."""
    instance = _instance_of(platform, call)
    platform.result_posts.take(instance["id"], call.now)
    day = datetime.fromtimestamp(call.now.wall_ms / 1000, platform.zone).strftime("%Y%m%d")
    with ResultFiles(platform.data, day) as files:
        drafts = drafts_of(platform, call, instance["id"], files)
        files.settle()
        added = []
        with platform.store.write() as tx:
            for draft in drafts:
                if results.add(tx, *_rows(platform, call, tx, instance, draft)) is not None:
                    added.append(draft)
            left_out = sum(draft.left_out for draft in added)
            if left_out:
                facts.put(tx, LEFT_OUT, int(facts.get(tx, LEFT_OUT) or 0) + left_out)
        for draft in added:
            for _place, saved in draft.files:
                files.keep(saved)
    for draft in added:
        if draft.error or draft.left_out:
            log.warning(
                "a result is not whole: %s", draft.error or f"{draft.left_out} pictures could not be kept",
                extra={"subject": instance["id"]},
            )  # fmt: skip
    platform.wake()
    return Reply(object=instance["id"])


def _instance_of(platform: Platform, call: Call) -> dict[str, Any]:
    """The instance the path names, while its link is valid: keep_hours beyond its end."""
    instance_id = call.path["InstanceID"]
    signed = platform.signer.verify(call.path["Signature"], "result", instance_id)
    row = None
    if signed:
        with platform.store.read() as tx:
            row = plans.any_instance(tx, instance_id)
    if row is not None and row["deleted"]:
        seconds = platform.settings.results.keep_hours * HOUR_SECONDS
        row = row if platform.clock.steps.shown(call.now, seconds).holds(row["changed_ms"]) else None
    if row is None:
        raise faults.NotFound("this link is not valid, or not any more")
    return row


def _rows(
    platform: Platform, call: Call, tx: Tx, instance: dict[str, Any], draft: Draft
) -> tuple[dict[str, Any], list[tuple[int, str, int]], list[tuple[str, str]]]:
    body, now_ms = draft.body, call.now.wall_ms
    event = str(body.get("EventID") or "")
    values = {
        "instance_id": instance["id"],
        "plan_id": instance["plan_id"],
        "event_id": event,
        "capability": results.capability_of(tx, instance["number"], event) if event else "",
        "device_id": str(body.get("DeviceID") or instance["stream_device_id"]),
        "fingerprint": draft.fingerprint,
        "event_ms": decided.event_ms(body.get("EventTime"), body.get("Pts"), now_ms, platform.zone),
        "body": body,
        "size": len(msgspec.json.encode(body)),
        "raw_path": draft.raw_path,
        "late": bool(instance["deleted"]) or not instance["on"],
        "error": draft.error,
        "received_ms": now_ms,
    }
    wanted = platform.settings.results.mode == "relay" and not draft.error
    urls = decided.addresses(instance["receive_urls"] or {}, event) if wanted else []
    files = [(place, saved.path, saved.size) for place, saved in draft.files]
    return values, files, [(url, decided.destination(url)) for url in urls]


# --- showing ------------------------------------------------------------------------------------------


@handles("acsmp.search_results")
def search(platform: Platform, call: Call) -> dict[str, Any]:
    asked, page = call.message, page_of(call.message)
    if not page.order:
        page = Page(page.number, page.size, NEWEST_FIRST)
    conditions = conditions_of(platform, asked)
    with platform.store.read() as tx:
        known = None if conditions else results.number(tx)
        rows, total = joined_page_of(tx, results.search(*conditions), page, ORDERS, Result.id, known)
        fitting = _fitting(rows)
        if len(fitting) < len(rows):
            raise faults.InvalidField(
                f"$.PageRequest.PageSize: these {len(rows)} results are more than {PAGE_MAX_BYTES} bytes; "
                f"ask for at most {len(fitting)} at once"
            )
        content = _content(platform, tx, fitting)
    return {"PageContent": content, "Total": total, "PageRequest": echoed(page)}


def _fitting(rows: list[dict[str, Any]]) -> list[int]:
    """The ids of the first results whose bodies are no more than a page takes."""
    ids, size = [], 0
    for row in rows:
        size += row["size"]
        if size > PAGE_MAX_BYTES:
            break
        ids.append(row["id"])
    return ids


def _content(platform: Platform, tx: Tx, ids: list[int]) -> list[msgspec.Raw]:
    """The results as they are shown, each already text: parsed they take many times the memory."""
    content = []
    for first in range(0, len(ids), AT_ONCE):
        some = ids[first : first + AT_ONCE]
        pictures = results.pictures_of(tx, some)
        for row in results.some(tx, some):
            content.append(msgspec.Raw(msgspec.json.encode(_item(platform, row, pictures[row["id"]]))))
    return content


def conditions_of(platform: Platform, asked: Any) -> list[Any]:
    """The filters of a search for results."""
    exact = (
        (Result.plan_id, asked.task_id), (Result.event_id, asked.event_id),
        (Result.capability, asked.algo_def_code), (Result.device_id, asked.device_id),
    )  # fmt: skip
    conditions = [column == value for column, value in exact if value is not None and value != ""]
    if asked.instance_id is not None and asked.instance_id != "":
        conditions.append(results.of_instance(str(asked.instance_id)))
    return conditions + time_between(platform, asked, Result.event_ms)


@handles("acsmp.get_result")
def get(platform: Platform, call: Call) -> dict[str, Any]:
    with platform.store.read() as tx:
        row = _result(tx, call)
        pictures = results.pictures_of(tx, [row["id"]])
    return _item(platform, row, pictures[row["id"]])


@handles("acsmp.get_result_image")
def image(platform: Platform, call: Call) -> FileReply:
    """A picture with the type its bytes show; 404 once the ring has taken it."""
    place = call.path["Index"]
    with platform.store.read() as tx:
        row = _result(tx, call)
        path = results.pictures_of(tx, [row["id"]])[row["id"]].get(place)
    if path is None:
        raise faults.NotFound(f"result {row['id']} has no picture {place}, or not any more")
    return picture_reply(platform, path, f"picture {place} of result {row['id']}")


def picture_reply(platform: Platform, path: str, name: str) -> FileReply:
    """A picture of the data directory as the type its bytes show; NotFound when it has gone."""
    file = platform.data / path
    try:
        with file.open("rb") as opened:
            head = opened.read(16)
    except OSError as error:
        raise faults.NotFound(f"{name} is not there any more") from error
    return FileReply(file, decided.picture_kind(head)[0])


def _result(tx: Tx, call: Call) -> dict[str, Any]:
    row = results.get(tx, call.path["ResultID"])
    if row is None:
        raise faults.NotFound(f"no result {call.path['ResultID']}")
    return row


def _item(platform: Platform, row: dict[str, Any], pictures: dict[int, str]) -> dict[str, Any]:
    """The stored body, where it belongs, and an address for each picture that is there."""
    urls = {place: f"/ACSMP/Results/{row['id']}/Images/{place}" for place in pictures}
    shown = {
        **decided.with_urls(row["body"], urls),
        "EventID": row["event_id"],
        "ResultID": str(row["id"]),
        "InstanceID": row["instance_id"],
        "ReceivedTime": times.written(row["received_ms"], platform.zone),
        "Late": bool(row["late"]),
    }
    if row["plan_id"] is not None:
        shown["PlanID"] = row["plan_id"]
    if row["error"]:
        shown["Error"] = row["error"]
    return shown
