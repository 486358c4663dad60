"""What authorisation servers said of their quotas: a cache that outlives restarts, and the questions to them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from acsmpd.model import brings_own, needs_authorisation
from acsmpd.store import asks
from acsmpd.store.database import Tx
from acsmpd.store.rows import struct, structs
from acsmpd.store.tables import Ask, AuthQuota, Capability, Package


class Known(Struct, frozen=True):
    """What is known of one capability at one server.

    `used` and `total` are the server's own count, in streams; `total` -1: it declares none. They hold what it said
    last, also while it fails; `answered_ms` None: it never said anything. `counted`: streams of ours by its leave
    that were RUNNING when that question was sent. `error` is of the last try, "" when that was answered; `address`
    (host:port) answered last.
    """

    server_id: int
    capability: str
    used: int
    total: int
    counted: int
    answered_ms: int | None
    tried_ms: int | None
    error: str
    address: str


def known(tx: Tx) -> dict[tuple[int, str], Known]:
    """(server, capability) -> what is known of it; those never asked about are not there."""
    return {(one.server_id, one.capability): one for one in structs(tx, AuthQuota.select(), Known)}


def get(tx: Tx, server_id: int, capability: str) -> Known | None:
    here = (AuthQuota.server_id == server_id, AuthQuota.capability == capability)
    return struct(tx, AuthQuota.select().where(*here), Known)


def ask(tx: Tx, server_id: int, capability: str, now_ms: int) -> str:
    """Have the engine ask the server, unless it is about to; gives the id of the stored question."""
    subject = f"{server_id}/{capability}"
    same = (Ask.kind == asks.QUOTA, Ask.subject == subject, Ask.state.in_(asks.WAITING))
    row = tx.row(Ask.select(Ask.id).where(*same))
    if row is not None:
        return str(row["id"])
    ask_id = str(uuid.uuid4())
    asks.put(tx, ask_id, asks.QUOTA, subject, {"Server": server_id, "Capability": capability}, now_ms)
    return ask_id


def note_answer(
    tx: Tx, server_id: int, capability: str, now_ms: int, *, used: int, total: int, counted: int, address: str
) -> None:
    """The server answered this."""
    _note(
        tx, server_id, capability, used=used, total=total, counted=counted, answered_ms=now_ms, tried_ms=now_ms,
        error="", address=address,
    )  # fmt: skip


def note_failure(tx: Tx, server_id: int, capability: str, now_ms: int, error: str) -> None:
    """The server did not answer, and why; what it said before stays."""
    _note(tx, server_id, capability, tried_ms=now_ms, error=error)


def _note(tx: Tx, server_id: int, capability: str, **values: Any) -> None:
    row = AuthQuota.insert(server_id=server_id, capability=capability, **values)
    keys = [AuthQuota.server_id, AuthQuota.capability]
    tx.run(row.on_conflict(conflict_target=keys, update=values))


def drop(tx: Tx, server_id: int, capability: str) -> None:
    tx.run(AuthQuota.delete().where(AuthQuota.server_id == server_id, AuthQuota.capability == capability))


def forget(tx: Tx, server_id: int) -> None:
    """The server is another one now, or gone."""
    tx.run(AuthQuota.delete().where(AuthQuota.server_id == server_id))


class Health(Struct, frozen=True):
    """How asking one server goes. `error`: why it last failed, "" while it does not; `answered_ms`: when it last
    answered."""

    state: Literal["unknown", "healthy", "failing"] = "unknown"
    error: str = ""
    answered_ms: int | None = None


def health(server_id: int, found: Mapping[tuple[int, str], Known]) -> Health:
    """It is failing while the last try of any of its capabilities failed."""
    tried = [one for one in found.values() if one.server_id == server_id and one.tried_ms is not None]
    if not tried:
        return Health()
    answered = max((one.answered_ms for one in tried if one.answered_ms is not None), default=None)
    failed = [one for one in tried if one.error]
    if not failed:
        return Health("healthy", answered_ms=answered)
    return Health("failing", max(failed, key=lambda one: one.tried_ms or 0).error, answered)


LOADED = "SELECT DISTINCT package_id FROM load WHERE wanted AND ours"
WISHES = """
    SELECT service.env, service.license_url FROM load JOIN service ON service.id = load.service_id
    WHERE load.package_id = ? AND load.wanted AND load.ours
"""


def wanted(tx: Tx) -> dict[str, set[str]]:
    """provider -> its capabilities that ask a server: of packages that need authorisation and are loaded somewhere, or
    are to be, by a wish that does not bring its own."""
    asking = [package for (package,) in tx.sql(LOADED) if _asks(tx, package)]
    if not asking:
        return {}
    there = tx.rows(
        Package.select(Package.id, Package.provider, Package.manifest).where(Package.id.in_(asking))
    )
    needy = {row["id"]: row["provider"] for row in there if needs_authorisation(row["manifest"])}
    here = Capability.select(Capability.code, Capability.package_id)
    found: dict[str, set[str]] = {}
    for row in tx.rows(here.where(Capability.package_id.in_(list(needy)))):
        found.setdefault(needy[row["package_id"]], set()).add(row["code"])
    return found


def _asks(tx: Tx, package_id: str) -> bool:
    """Whether one of its services does. The first one tells nearly always, and there may be thousands."""
    wishes = tx.each(WISHES, package_id)
    return any(not brings_own(msgspec.json.decode(env), license_url) for env, license_url in wishes)


def held(tx: Tx, provider: str) -> set[str]:
    """All capabilities of the provider's packages."""
    query = Capability.select(Capability.code).join(Package, on=(Package.id == Capability.package_id))
    return {row["code"] for row in tx.rows(query.where(Package.provider == provider))}
