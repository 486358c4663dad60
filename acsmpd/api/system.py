"""The platform itself: its key, its state, its description, its alarms."""

from __future__ import annotations

from typing import Any

import msgspec

from acsmpd.api import openapi
from acsmpd.api.call import Call, DocumentReply
from acsmpd.api.paging import echoed, page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.spec import times
from acsmpd.spec.messages.extensions import Alarm, AlarmPage, Health, PublicKey, SystemInfo
from acsmpd.store.rows import page_of as rows_of
from acsmpd.store.tables import Alarm as Row
from acsmpd.version import VERSION


@handles("plain.healthz")
def healthz(platform: Platform, call: Call) -> DocumentReply:
    return DocumentReply(msgspec.json.encode(Health(status="ok")))


@handles("plain.readyz")
def readyz(platform: Platform, call: Call) -> DocumentReply:
    """200 when store, engine and disk are well, 503 naming what is not."""
    faults = platform.ready()
    health = Health(status="failing" if faults else "ok", faults=faults or None)
    return DocumentReply(msgspec.json.encode(health), 503 if faults else 200)


@handles("plain.openapi_json")
def description(platform: Platform, call: Call) -> DocumentReply:
    return DocumentReply(openapi.document())


@handles("acsmp.public_key")
def public_key(platform: Platform, call: Call) -> PublicKey:
    return PublicKey(public_key=platform.sm2.public)


@handles("acsmp.system_info")
def info(platform: Platform, call: Call) -> SystemInfo:
    return SystemInfo(
        version=VERSION,
        site_code=platform.settings.site_code,
        site_code_is_default=platform.settings.site_code_is_default,
        started=times.written(platform.started_ms, platform.zone) or "",
        uptime_seconds=max(0, int(call.now.mono - platform.presence.started)),
        timezone=str(platform.zone),
        standard="T/BAX 0006.5-202X",
        details={"ComputilityCode": platform.local_code, "IgnoredMembers": platform.ignored.all()},
    )


ORDERS = {"ID": Row.id, "Since": Row.since_ms, "Kind": Row.kind, "Subject": Row.subject}


@handles("acsmp.search_alarms")
def search_alarms(platform: Platform, call: Call) -> AlarmPage:
    asked, page = call.message, page_of(call.message)
    conditions: list[Any] = [Row.id > 0]
    if asked.kind:
        conditions.append(Row.kind == asked.kind)
    if asked.subject:
        conditions.append(Row.subject == asked.subject)
    if asked.active is not None:
        conditions.append(Row.until_ms.is_null(asked.active))
    first = times.read(asked.time_from, platform.zone, "$.TimeFrom")
    last = times.read(asked.time_to, platform.zone, "$.TimeTo")
    if first is not None:
        conditions.append(Row.since_ms >= first)
    if last is not None:
        conditions.append(Row.since_ms <= last + 999)
    with platform.store.read() as tx:
        rows, total = rows_of(tx, Row, conditions, page, ORDERS, Row.id)
    return AlarmPage(
        page_content=[_alarm(platform, row) for row in rows], total=total, page_request=echoed(page)
    )


def _alarm(platform: Platform, row: dict[str, Any]) -> Alarm:
    return Alarm(
        id=row["id"],
        kind=row["kind"],
        subject=row["subject"],
        since=times.written(row["since_ms"], platform.zone) or "",
        until=times.written(row["until_ms"], platform.zone),
        text=row["text"],
    )
