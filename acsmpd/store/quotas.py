"""What binds the services there are, and how much of it is used: worked out anew from what is stored, every time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from acsmpd.model import AUTH_SERVER, Authorised, Claim, Grant, Source, Told, brings_own, needs_authorisation
from acsmpd.store import authquotas, authservers, licences
from acsmpd.store.database import Tx
from acsmpd.store.tables import AuthServer, Load, Package, Service

CLAIMS = """
    SELECT coalesce(nullif(t.instance_id, ''), 'task ' || t.id), t.load_id, each.value, t.wanted = 'running',
        t.status = 'RUNNING', t.id, t.device
    FROM task t, json_each(t.capabilities) each LEFT JOIN computility c ON c.code = t.device
    WHERE (t.wanted = 'running' AND CASE WHEN t.sent THEN t.status != 'FINISHED' ELSE NOT t.parked END)
        OR (t.wanted != 'running' AND t.sent AND t.status IN ('PENDING', 'RUNNING')
            AND coalesce(c.state NOT IN ('lost', 'gone'), 0))
"""
"""Streams that run or whose start is decided, and those that are to end and may still run. What is to end on a lost
computility counts no more: whoever waited for it would wait for ever. Nor does what its computility has refused."""


def authorised(tx: Tx, now_ms: int) -> Authorised:
    """As it is now; claims are read when they are gone through, within the transaction."""
    providers = {
        row["id"]: row["provider"]
        for row in tx.rows(
            Package.select(Package.id, Package.provider, Package.manifest).where(
                Package.manifest.contains(AUTH_SERVER)
            )
        )
        if needs_authorisation(row["manifest"])
    }
    sources = _sources(tx, set(providers.values()), now_ms) if providers else {}
    return Authorised(sources, _loads(tx, providers), _claims(tx))


def _sources(tx: Tx, providers: set[str], now_ms: int) -> dict[str, Source]:
    """By provider."""
    latest = licences.latest_ms(tx, now_ms)
    grants: dict[str, list[Grant]] = defaultdict(list)
    for row in licences.rows(tx):
        is_over = licences.is_over(row, latest)
        grants[row["provider"]].append(
            Grant(device=row["device"], abilities=row["abilities"], is_over=is_over)
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
        for one in providers
    }


def _loads(tx: Tx, providers: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(load id, computility, provider) of our loads that get their authorisation from us. `providers`: of packages that
    need one."""
    query = (
        Load.select(Load.id, Load.device, Load.package_id, Service.env, Service.license_url)
        .join(Service, on=(Service.id == Load.service_id))
        .where(Load.package_id.in_(list(providers)), Load.ours == True)
    )
    for row in tx.rows(query) if providers else ():
        if not brings_own(row["env"], row["license_url"]):
            yield row["id"], row["device"], providers[row["package_id"]]


def _claims(tx: Tx) -> Iterator[Claim]:
    """Every stream that counts."""
    for row in tx.each(CLAIMS):
        yield Claim(row[0], row[1], row[2], bool(row[3]), bool(row[4]), row[5], row[6])
