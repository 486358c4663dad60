"""Tables 35-39: licence files, for authorisation without a line to the provider."""

from __future__ import annotations

from typing import Any

from acsmpd import faults
from acsmpd.api.authquotas import holder_of
from acsmpd.api.call import Call, Reply
from acsmpd.api.filters import created_between
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.decide import quotas
from acsmpd.licensing import files, intake
from acsmpd.model import needs_authorisation
from acsmpd.packages.multipart import multipart_parts
from acsmpd.spec import times
from acsmpd.spec.json_text import decode
from acsmpd.spec.messages import licenses as messages
from acsmpd.spec.messages.authservers import AuthQuota
from acsmpd.store import licences
from acsmpd.store.database import Tx
from acsmpd.store.quotas import authorised
from acsmpd.store.tables import License as Row

_FIELDS = {name.casefold(): name for name in ("Provider", "DeviceID", "ExpireTime", "ID", "CreatedDate")}


@handles("acsmp.import_license")
def import_license(platform: Platform, call: Call) -> Reply:
    """The same file for the same computility once more is the same licence, with what is given of it now."""
    content, fields = _form(call)
    licence = intake.judged(content, fields, platform.zone)
    free = platform.settings.data.min_free_bytes
    taken = intake.take_in(platform.store, platform.data, licence, call.now.wall_ms, min_free_bytes=free)
    platform.wake()
    return Reply(taken.number, object=str(taken.number), warning="; ".join(taken.said))


def _form(call: Call) -> tuple[bytes | None, dict[str, Any]]:
    """The file, and the fields; in any order. AbilityAuths is a JSON array, or comes as one JSON object a part."""
    content: bytes | None = None
    fields: dict[str, Any] = {}
    abilities: list[Any] | None = None
    assert call.stream is not None  # noqa: S101  (this row has a form)
    for part in multipart_parts(call.stream, call.content_type, call.content_length):
        name = part.name.casefold()
        if name == "file":
            if content is not None:
                raise faults.InvalidField("File: given twice")
            content = part.stream.read(intake.MAX_BYTES + 1)
        elif name == "abilityauths":
            given = _json(part.text())
            abilities = [*(abilities or []), *(given if isinstance(given, list) else [given])]
        else:
            fields[_FIELDS.get(name, part.name[:64])] = part.text()
    return content, {**fields, "AbilityAuths": abilities}


def _json(text: str) -> Any:
    try:
        return decode(text.encode())
    except faults.MalformedJson as fault:
        raise faults.InvalidField(f"AbilityAuths: is no JSON: {fault.message}") from fault


@handles("acsmp.delete_license")
def delete(platform: Platform, call: Call) -> Reply:
    """Refused while services were given it, unless ?Force=true; those run on."""
    number = call.path["ID"]
    with files.held(platform.data):
        with platform.store.write() as tx:
            row = _row(tx, number)
            losing = licences.services_with(tx, row, call.now.wall_ms)
            if losing and not call.flag("Force"):
                named = ", ".join(losing[:20])
                raise faults.Conflict(
                    f"cannot delete licence {number}: services would lose it: {named}; use ?Force=true"
                )
            licences.end(tx, number, licences.latest_ms(tx, call.now.wall_ms))
            is_loose = row["path"] not in licences.paths(tx)
        if is_loose:
            files.drop(platform.data, row["path"])
    platform.wake()
    return Reply(object=str(number))


@handles("acsmp.search_licenses")
def search(platform: Platform, call: Call) -> list[messages.License]:
    asked = call.message
    conditions = created_between(platform, asked, Row.created_ms)
    if asked.provider:
        conditions.append(Row.provider == asked.provider)
    with platform.store.read() as tx:
        latest = licences.latest_ms(tx, call.now.wall_ms)
        return [_item(platform, row, latest) for row in licences.rows(tx, *conditions)]


@handles("acsmp.get_license")
def get(platform: Platform, call: Call) -> messages.License:
    with platform.store.read() as tx:
        return _item(platform, _row(tx, call.path["ID"]), licences.latest_ms(tx, call.now.wall_ms))


def _row(tx: Tx, number: int) -> dict[str, Any]:
    row = licences.get(tx, number)
    if row is None:
        raise faults.NotFound(f"no licence {number}")
    return row


def _item(platform: Platform, row: dict[str, Any], latest: int) -> messages.License:
    abilities = row["abilities"]
    return messages.License(
        id=row["id"],
        provider=row["provider"],
        created_date=times.written(row["created_ms"], platform.zone),
        device_id=row["device"] or None,
        ability_auths=None
        if abilities is None
        else [messages.AbilityAuth(algo_def_code=code, quota=quota) for code, quota in abilities.items()],
        expire_time=times.written(row["expire_ms"], platform.zone),
        sm3=row["sm3"],
        expired=True if licences.is_over(row, latest) else None,
    )


@handles("acsmp.get_license_quota")
def quota(platform: Platform, call: Call) -> AuthQuota:
    """Table 39, over all licences of the capability's provider, whatever the computility."""
    code = call.path["AlgoDefCode"]
    with platform.store.read() as tx:
        package = holder_of(tx, code)
        known = authorised(tx, call.now.wall_ms)
        used = quotas.licensed_streams(known, package["provider"], code)
    source, needs = known.sources.get(package["provider"]), needs_authorisation(package["manifest"])
    total = quotas.total(source.grants, code) if source and needs else quotas.UNDECLARED
    return AuthQuota(algo_def_code=code, quota_used=used, quota_total=total)
