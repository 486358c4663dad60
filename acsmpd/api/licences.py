"""Tables 35-39: licence files, for authorisation without a line to the provider."""

from __future__ import annotations

import contextlib
import threading
import uuid
from typing import Any

import msgspec
from msgspec import Struct

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.filters import created_between
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.decide import quotas
from acsmpd.durable import disk_told, free_bytes, replace_file
from acsmpd.model import needs_authorisation
from acsmpd.packages.multipart import multipart_parts
from acsmpd.security.sm3 import sm3_hex
from acsmpd.spec import times
from acsmpd.spec.json_text import decode
from acsmpd.spec.messages import licenses as messages
from acsmpd.spec.messages.authservers import AuthQuota
from acsmpd.spec.operation import MIB
from acsmpd.spec.reading import read_strict
from acsmpd.store import devices, licences, packages
from acsmpd.store.database import Tx
from acsmpd.store.quotas import authorised
from acsmpd.store.tables import License as Row

MAX_BYTES = 2 * MIB
"""A licence file (table E.1: 2 MB)."""
_FILES = threading.Lock()
"""A file is taken in, or away, together with its row: the same content may be deleted and imported at once."""
_FIELDS = {name.casefold(): name for name in ("Provider", "DeviceID", "ExpireTime", "ID", "CreatedDate")}


class _Form(Struct, frozen=True):
    """What the form holds: the licence without its file, and the file."""

    licence: messages.License
    content: bytes


@handles("acsmp.import_license")
def import_license(platform: Platform, call: Call) -> Reply:
    """The same file for the same computility once more is the same licence, with what is given of it now."""
    form = _form(call)
    asked, now = form.licence, call.now.wall_ms
    abilities = None
    if asked.ability_auths is not None:
        abilities = _abilities(asked.ability_auths)
    sm3, device = sm3_hex(form.content), asked.device_id or ""
    path = f"{licences.FOLDER}/{sm3}"
    values = {
        "abilities": abilities, "expire_ms": times.read(asked.expire_time, platform.zone, "ExpireTime"),
        "path": path, "size": len(form.content),
    }  # fmt: skip
    with _FILES:
        _keep(platform, path, form.content)
        number, warning = _put(platform, sm3, asked.provider, device, values, now)
    platform.wake()
    return Reply(number, object=str(number), warning=warning)


def _put(
    platform: Platform, sm3: str, provider: str, device: str, values: dict[str, Any], now_ms: int
) -> tuple[int, str]:
    """The number of the licence, and what is to be said of it."""
    with platform.store.write() as tx:
        known = licences.same(tx, sm3, provider, device)
        if known is not None:
            number = int(known["id"])
            licences.change(tx, number, **values)
        else:
            number = licences.add(tx, provider=provider, device=device, sm3=sm3, created_ms=now_ms, **values)
        licences.see(tx, now_ms)
        said = ["it was there already"] if known is not None else []
        return number, "; ".join([*said, *_unknown(tx, values["abilities"] or {}, device)])


def _form(call: Call) -> _Form:
    """The parts of the form, in any order. AbilityAuths is a JSON array, or comes as one JSON object a part."""
    content: bytes | None = None
    fields: dict[str, Any] = {}
    abilities: list[Any] | None = None
    assert call.stream is not None  # noqa: S101  (this row has a form)
    for part in multipart_parts(call.stream, call.content_type, call.content_length):
        name = part.name.casefold()
        if name == "file":
            if content is not None:
                raise faults.InvalidField("File: given twice")
            content = part.stream.read(MAX_BYTES + 1)
        elif name == "abilityauths":
            given = _json(part.text())
            abilities = [*(abilities or []), *(given if isinstance(given, list) else [given])]
        else:
            fields[_FIELDS.get(name, part.name[:64])] = part.text()
    if content is None:
        raise faults.MissingField("File: the licence file is required")
    if not content:
        raise faults.InvalidField("File: is empty")
    if len(content) > MAX_BYTES:
        raise faults.TooLarge(f"File: has more than {MAX_BYTES} bytes")
    known = {name: fields[name] for name in ("Provider", "DeviceID", "ExpireTime") if fields.get(name)}
    if abilities is not None:
        known["AbilityAuths"] = abilities
    licence, _ignored = read_strict(messages.License, msgspec.json.encode(known))
    if not licence.provider.strip():
        raise faults.InvalidField("Provider: must not be empty")
    return _Form(licence, content)


def _json(text: str) -> Any:
    try:
        return decode(text.encode())
    except faults.MalformedJson as fault:
        raise faults.InvalidField(f"AbilityAuths: is no JSON: {fault.message}") from fault


def _abilities(given: list[messages.AbilityAuth]) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, one in enumerate(given):
        if one.algo_def_code in found:
            raise faults.InvalidField(
                f"$.AbilityAuths[{place}].AlgoDefCode: {one.algo_def_code} stands twice"
            )
        found[one.algo_def_code] = one.quota
    return found


def _keep(platform: Platform, path: str, content: bytes) -> None:
    """The file is there whole before its row; two that bring the same content write the same."""
    final = platform.data / path
    with disk_told("keep the licence file"):
        final.parent.mkdir(mode=0o700, exist_ok=True)
        if free_bytes(final.parent) < platform.settings.data.min_free_bytes + len(content):
            raise faults.NoSpace("cannot keep the licence file: no space left")
        if not final.exists():
            replace_file(final, final.with_name(f".{uuid.uuid4().hex}.part"), content)


def _unknown(tx: Tx, abilities: dict[str, int], device: str) -> list[str]:
    """What is not known yet; packages and devices may come later."""
    unknown = sorted(abilities.keys() - packages.holders(tx, sorted(abilities)).keys())
    said = [f"no imported package has {', '.join(unknown)}"] if unknown else []
    if device and devices.get(tx, device) is None:
        said.append(f"no computility {device} is known")
    return said


@handles("acsmp.delete_license")
def delete(platform: Platform, call: Call) -> Reply:
    """Refused while services were given it, unless ?Force=true; those run on."""
    number = call.path["ID"]
    with _FILES:
        with platform.store.write() as tx:
            row = _row(tx, number)
            losing = licences.services_with(tx, row, call.now.wall_ms)
            if losing and not call.flag("Force"):
                named = ", ".join(losing[:20])
                raise faults.Conflict(
                    f"cannot delete licence {number}: services would lose it: {named}; use ?Force=true"
                )
            licences.drop(tx, number)
            is_loose = row["path"] not in licences.paths(tx)
        if is_loose:
            with contextlib.suppress(OSError):  # the next start sweeps it away
                (platform.data / row["path"]).unlink()
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
        holder = packages.holders(tx, [code]).get(code)
        package = packages.get(tx, holder["id"]) if holder else None
        if package is None:
            raise faults.NotFound(f"no capability {code}")
        known = authorised(tx, call.now.wall_ms)
        used = quotas.licensed_streams(known, package["provider"], code)
    source, needs = known.sources.get(package["provider"]), needs_authorisation(package["manifest"])
    total = quotas.total(source.grants, code) if source and needs else quotas.UNDECLARED
    return AuthQuota(algo_def_code=code, quota_used=used, quota_total=total)
