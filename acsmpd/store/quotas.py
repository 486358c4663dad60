"""What binds the services there are, and how much of it is used: worked out anew from what is stored, every time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from acsmpd.model import Authorised, Claim, Grant, Source, Told, brings_own, needs_authorisation
from acsmpd.store import authquotas, authservers, licences
from acsmpd.store.database import Tx
from acsmpd.store.tables import AuthServer, Load, Package, Service

CLAIMS = """
    SELECT coalesce(nullif(t.instance_id, ''), 'task ' || t.id), t.load_id, each.value, t.wanted = 'running'
    FROM task t, json_each(t.capabilities) each LEFT JOIN computility c ON c.code = t.device
    WHERE (t.wanted = 'running' AND (NOT t.sent OR t.status != 'FINISHED'))
        OR (t.wanted != 'running' AND t.sent AND t.status IN ('PENDING', 'RUNNING')
            AND coalesce(c.state NOT IN ('lost', 'gone'), 0))
"""
"""Streams that run or whose start is decided, and those that are to end and may still run. What is to end on a lost
computility counts no more: whoever waited for it would wait for ever."""


def authorised(tx: Tx, now_ms: int) -> Authorised:
    """As it is now; claims are read when they are gone through, within the transaction."""
    sources = _sources(tx, now_ms)
    return Authorised(sources, _loads(tx, sources), _claims(tx))


def _sources(tx: Tx, now_ms: int) -> dict[str, Source]:
    """provider -> its source, of those that have a licence or a server."""
    latest = licences.latest_ms(tx, now_ms)
    grants: dict[str, list[Grant]] = defaultdict(list)
    for row in licences.rows(tx):
        grants[row["provider"]].append(
            Grant(device=row["device"], abilities=row["abilities"], is_over=licences.is_over(row, latest))
        )
    servers = {row["provider"]: row["id"] for row in authservers.rows(tx, AuthServer.is_default == True)}
    told: dict[int | None, dict[str, Told]] = defaultdict(dict)
    for known in authquotas.known(tx).values() if servers else ():
        if known.tried_ms is not None:
            total = None if known.answered_ms is None else known.total
            one = Told(used=known.used, total=total, counted=known.counted)
            told[known.server_id][known.capability] = one
    return {
        one: Source(provider=one, grants=grants[one], server=servers.get(one), told=told[servers.get(one)])
        for one in {*grants, *servers}
    }


def _loads(tx: Tx, sources: Mapping[str, Source]) -> Iterator[tuple[str, str, str]]:
    """(load id, computility, provider) of our loads that get their authorisation from us."""
    if not sources:
        return
    named = Package.select(Package.id, Package.provider, Package.manifest)
    of = {
        row["id"]: row["provider"]
        for row in tx.rows(named.where(Package.provider.in_(list(sources))))
        if needs_authorisation(row["manifest"])
    }
    query = (
        Load.select(Load.id, Load.device, Load.package_id, Service.env, Service.license_url)
        .join(Service, on=(Service.id == Load.service_id))
        .where(Load.package_id.in_(list(of)), Load.ours == True)
    )
    for row in tx.rows(query) if of else ():
        if not brings_own(row["env"], row["license_url"]):
            yield row["id"], row["device"], of[row["package_id"]]


def _claims(tx: Tx) -> Iterator[Claim]:
    """Every stream that counts."""
    for row in tx.each(CLAIMS):
        yield Claim(row[0], row[1], row[2], bool(row[3]))
