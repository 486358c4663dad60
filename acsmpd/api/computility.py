"""Tables 43-44: resources of computilities; and the extension Computility/<Code>: an operator's record of one."""

from __future__ import annotations

from typing import Any

import msgspec

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.paging import echoed, page_of
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.decide.device_info import normalised
from acsmpd.model import FAMILY_OF_TYPE, HAS_CLUSTER, HAS_HOSTS, Family
from acsmpd.spec import times
from acsmpd.spec.messages.computility import (
    ComputilityInfo,
    ComputilityListRequest,
    ComputilityPageResponse,
)
from acsmpd.spec.messages.extensions import Claim as ClaimItem
from acsmpd.spec.messages.extensions import Computility as Record
from acsmpd.spec.messages.monitoring import DeviceInfo
from acsmpd.spec.reading import read_form
from acsmpd.store import alarms, devices
from acsmpd.store.database import Tx
from acsmpd.store.rows import page_of as rows_of
from acsmpd.store.tables import Claim, Computility

ORDERS = {
    "ID": Computility.created_ms, "ComputilityCode": Computility.code, "Type": Computility.type,
    "Name": Computility.name, "State": Computility.state, "CreatedDate": Computility.created_ms,
}  # fmt: skip


@handles("acsmp.search_computility")
def search(platform: Platform, call: Call) -> ComputilityPageResponse:
    return _page(platform, call.message)


@handles("acsmp.get_computility")
def search_by_query(platform: Platform, call: Call) -> ComputilityPageResponse:
    """Table 43: the same answer, filters as query parameters."""
    names = ("ComputilityCode", "Type", "PageNumber", "PageSize")
    asked, _ignored = read_form(
        ComputilityListRequest, {name: call.query[name] for name in names if call.query.get(name)}
    )
    return _page(platform, asked)


def _page(platform: Platform, asked: ComputilityListRequest) -> ComputilityPageResponse:
    page = page_of(asked)
    conditions: list[Any] = [Computility.approved == True]
    if asked.computility_code:
        conditions.append(Computility.code == asked.computility_code)
    if asked.type:
        conditions.append(Computility.type == asked.type)
    with platform.store.read() as tx:
        rows, total = rows_of(tx, Computility, conditions, page, ORDERS, Computility.code)
    block = echoed(page)
    return ComputilityPageResponse(
        page_content=[_info(platform, row) for row in rows],
        page_reqest=block,
        page_request=block,
        total=total,
        total_pages=-(-total // page.size),
    )


def _info(platform: Platform, row: dict[str, Any]) -> ComputilityInfo:
    online = row["state"] == "online"
    infos = [device_info(one, row["code"], online=online) for one in row["info"] or []]
    return ComputilityInfo(
        computility_code=row["code"],
        device_infos=infos,
        type=row["type"] or None,
        name=row["name"] or None,
        state=row["state"],
        state_since=times.written(row["state_since_ms"], platform.zone),
        reason=row["state_reason"] or None,
    )


def device_info(raw: dict[str, Any], code: str, *, online: bool) -> DeviceInfo:
    """What was last seen of a device, as table A.2 wants it; `online` is what we judge now."""
    return msgspec.convert(normalised(raw, code, online), DeviceInfo)


# --- extension: the record of one ----------------------------------------------------------------------


@handles("acsmp.show_computility")
def show(platform: Platform, call: Call) -> Record:
    with platform.store.read() as tx:
        return _record(platform, tx, call.path["Code"])


def _record(platform: Platform, tx: Tx, code: str) -> Record:
    row, claims = devices.get(tx, code), devices.claims(tx, code)
    if row is None and not claims:
        raise faults.NotFound(f"no computility {code}")
    record: dict[str, Any] = {"ComputilityCode": code, "Approved": False}
    if row is not None:
        record |= _shown(platform, row)
    record["Claims"] = [msgspec.to_builtins(_claim_item(platform, claim)) for claim in claims] or None
    return msgspec.convert({name: value for name, value in record.items() if value is not None}, Record)


def _shown(platform: Platform, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "Type": row["type"], "IP": row["ip"] or None, "Port": row["port"] or None, "Name": row["name"] or None,
        "Organisation": row["organisation"] or None, "Network": row["network"] or None,
        "Location": row["location"], "Tags": row["tags"], "Family": row["family"], "Scheme": row["scheme"],
        "Prefix": row["prefix"] or None, "Pin": row["pin"], "Capabilities": row["capabilities"],
        "StreamLimit": row["stream_limit"],
        "UsageUnit": row["usage_unit"] if Family(row["family"]) in HAS_HOSTS else None,
        **_cluster(row), "Maintenance": row["maintenance"], "Approved": row["approved"],
        "Enabled": row["enabled"], "SupportAlgoService": row["support_services"], "State": row["state"],
        "StateSince": times.written(row["state_since_ms"], platform.zone), "Reason": row["state_reason"] or None,
        "LastHeard": times.written(row["heard_ms"], platform.zone),
        "Info": msgspec.to_builtins(_info(platform, row)) if row["info"] else None,
    }  # fmt: skip


def _cluster(row: dict[str, Any]) -> dict[str, Any]:
    """Where on a computing platform its services are, as far as an operator has entered it."""
    if Family(row["family"]) not in HAS_CLUSTER:
        return {}
    return {
        "Cluster": row["cluster"] or None,
        "Nodes": row["nodes"] or None,
        "Namespace": row["namespace"] or "default",
    }


def _claim_item(platform: Platform, claim: dict[str, Any]) -> ClaimItem:
    return ClaimItem(
        username=claim["username"],
        address=claim["address"],
        type=claim["type"],
        ip=claim["ip"],
        port=claim["port"],
        first_seen=times.written(claim["created_ms"], platform.zone) or "",
        last_seen=times.written(claim["seen_ms"], platform.zone) or "",
    )


@handles("acsmp.update_computility")
def update(platform: Platform, call: Call) -> Reply:
    code, asked, now = call.path["Code"], call.message, call.now.wall_ms
    with platform.store.write() as tx:
        row = devices.get(tx, code)
        if asked.approved and _is_approval(tx, code, row, asked):
            _approve(platform, tx, code, asked, now)
            row = devices.get(tx, code)
        if row is None:
            raise faults.NotFound(f"no computility {code}")
        values = _changes(asked, row)
        if values:
            devices.change(tx, code, **values)
        if asked.approved is False or asked.enabled is False:
            devices.revoke_tokens(tx, code)
            devices.change(tx, code, registered=False)
        record = _record(platform, tx, code)
    if asked.approved is False or asked.enabled is False:
        platform.credentials.close(name=code, kind="computility")
        platform.presence.forget(code)
    platform.poke(code)
    return Reply(record, object=code)


def _is_approval(tx: Tx, code: str, row: dict[str, Any] | None, asked: Any) -> bool:
    """Whether Approved means a claim: of a code not approved, or another one named before the first came back."""
    if row is None or not row["approved"]:
        return True
    named = asked.username is not None or asked.address is not None
    waiting = row["registered_ms"] is None and not row["preset"]
    return named and waiting and bool(_fitting(tx, code, asked))


def _fitting(tx: Tx, code: str, asked: Any) -> list[dict[str, Any]]:
    return [
        claim
        for claim in devices.claims(tx, code)
        if asked.username in (None, claim["username"]) and asked.address in (None, claim["address"])
    ]


def _approve(platform: Platform, tx: Tx, code: str, asked: Any, now_ms: int) -> None:
    """Bind code, user, password and address of one claim, as shown; the device registers again by itself."""
    claims = _fitting(tx, code, asked)
    if not claims:
        raise faults.NotFound(f"no pending registration of computility {code} fits; nothing to approve")
    if len(claims) > 1:
        named = ", ".join(f"{claim['username']}@{claim['address']}" for claim in claims)
        raise faults.Conflict(f"several claim {code}: {named}; name one by Username and Address")
    claim = claims[0]
    family = FAMILY_OF_TYPE.get(claim["type"], Family.NONE)
    devices.put(
        tx, code, now_ms, type=claim["type"], family=family.value, ip=claim["ip"], port=claim["port"],
        username=claim["username"], password_sealed=claim["password_sealed"], approved=True, enabled=True,
        registered_from=claim["address"], registered_ms=None, state="offline", state_since_ms=now_ms,
        state_reason="approved; it has not registered since",
        support_services=claim["support_services"] and family is not Family.DIRECT,
        prefix=platform.settings.facade.edge_prefix if family is Family.EDGE else "",
    )  # fmt: skip
    devices.drop_claims(tx, Claim.code == code)
    alarms.end_alarm(tx, "enrolment", code, now_ms)


def _changes(asked: Any, row: dict[str, Any]) -> dict[str, Any]:
    """Columns to change; absent members stay as they are."""
    if row["family"] == Family.LOCAL.value and (asked.family or asked.scheme or asked.prefix or asked.pin):
        raise faults.InvalidField("$.Family: this box's own compute is not reached over the network")
    plain = (
        "name", "organisation", "network", "tags", "family", "scheme", "prefix", "pin", "capabilities",
        "stream_limit", "usage_unit", "maintenance", "approved", "enabled", "cluster", "nodes", "namespace",
    )  # fmt: skip
    of_cluster = (asked.cluster, asked.nodes, asked.namespace) != (None, None, None)
    if of_cluster and Family(asked.family or row["family"]) not in HAS_CLUSTER:
        raise faults.InvalidField("$.Cluster: only a central computing platform has a cluster and nodes")
    if asked.usage_unit and Family(asked.family or row["family"]) not in HAS_HOSTS:
        raise faults.InvalidField("$.UsageUnit: only a central analysis platform tells its use by table H.3")
    values = {name: getattr(asked, name) for name in plain if getattr(asked, name) is not None}
    if asked.location is not None:
        values["location"] = msgspec.to_builtins(asked.location)
    if values.get("approved") and row["approved"]:
        del values["approved"]
    return values
