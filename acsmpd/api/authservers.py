"""Tables 29-33: the servers at which packages of a provider ask for their authorisation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.filters import created_between
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.security.hosts import is_plain_host
from acsmpd.spec import times
from acsmpd.spec.messages import authservers as messages
from acsmpd.store import authquotas, authservers
from acsmpd.store.authquotas import Known
from acsmpd.store.database import Tx
from acsmpd.store.tables import AuthServer as Row

MOST_ADDRESSES = 8
"""Addresses of one server that are tried one after the other."""


@handles("acsmp.register_auth_server")
def register(platform: Platform, call: Call) -> Reply:
    asked = call.message
    _check(asked.server, asked.provider)
    with platform.store.write() as tx:
        number = authservers.add(tx, asked.server, asked.provider, call.now.wall_ms, is_default=asked.default)
    platform.wake()
    return Reply(number, object=str(number))


@handles("acsmp.update_auth_server")
def update(platform: Platform, call: Call) -> Reply:
    """Services that are loaded keep the address they got until they are loaded again."""
    asked, number = call.message, call.path["ID"]
    if asked.id is not None and asked.id != number:
        raise faults.InvalidField(f"$.ID: {asked.id} is not the server of the path, {number}")
    _check(asked.server, asked.provider)
    with platform.store.write() as tx:
        before = _row(tx, number)
        provider = before["provider"] if asked.provider is None else asked.provider
        stays = before["is_default"] and provider == before["provider"]
        if asked.default is False and stays:
            raise faults.Conflict(
                f"server {number} is the default of provider {provider}: make another one the default instead"
            )
        server = before["server"] if asked.server is None else asked.server
        authservers.change(tx, number, server=server, provider=provider, is_default=False)
        if (server, provider) != (before["server"], before["provider"]):
            authquotas.forget(tx, number)
        if asked.default or stays:
            authservers.make_default(tx, number, provider)
        for one in sorted({provider, before["provider"]}):
            authservers.settle(tx, one)
    platform.wake()
    return Reply(object=str(number))


@handles("acsmp.delete_auth_server")
def delete(platform: Platform, call: Call) -> Reply:
    """Of the provider's other servers the oldest becomes the default, if this was it."""
    number = call.path["ID"]
    with platform.store.write() as tx:
        row = _row(tx, number)
        authservers.drop(tx, number)
        authquotas.forget(tx, number)
        authservers.settle(tx, row["provider"])
    platform.wake()
    return Reply(object=str(number))


@handles("acsmp.search_auth_servers")
def search(platform: Platform, call: Call) -> list[messages.AuthServerItem]:
    asked = call.message
    conditions = created_between(platform, asked, Row.created_ms)
    if asked.provider:
        conditions.append(Row.provider == asked.provider)
    with platform.store.read() as tx:
        known = authquotas.known(tx)
        return [_item(platform, row, known) for row in authservers.rows(tx, *conditions)]


@handles("acsmp.get_auth_server")
def get(platform: Platform, call: Call) -> messages.AuthServerItem:
    with platform.store.read() as tx:
        return _item(platform, _row(tx, call.path["ID"]), authquotas.known(tx))


def _row(tx: Tx, number: int) -> dict[str, Any]:
    row = authservers.get(tx, number)
    if row is None:
        raise faults.NotFound(f"no authorisation server {number}")
    return row


def _check(server: str | None, provider: str | None) -> None:
    if provider is not None and not provider.strip():
        raise faults.InvalidField("$.Provider: must not be empty")
    if server is None:
        return
    addresses = authservers.addresses(server)
    if len(addresses) > MOST_ADDRESSES:
        raise faults.InvalidField(f"$.Server: {len(addresses)} addresses, at most {MOST_ADDRESSES} are taken")
    for address in addresses:
        if not _is_address(address):
            raise faults.InvalidField(
                f"$.Server: {address[:100]!r} is not host:port; several are written with commas"
            )


def _is_address(text: str) -> bool:
    """host:port, of an IPv6 address [host]:port."""
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_bare = bare is host and ":" in bare
    return bool(
        colon
        and port.isascii()
        and port.isdigit()
        and port[0] != "0"
        and int(port[:6]) <= 65535
        and not is_bare
    ) and is_plain_host(bare)


def _item(
    platform: Platform, row: dict[str, Any], known: Mapping[tuple[int, str], Known]
) -> messages.AuthServerItem:
    health = authquotas.health(row["id"], known)
    return messages.AuthServerItem(
        id=row["id"],
        server=row["server"],
        provider=row["provider"],
        created_date=times.written(row["created_ms"], platform.zone),
        default=row["is_default"],
        health=health.state,
        last_error=health.error or None,
        last_answer_date=times.written(health.answered_ms, platform.zone),
    )
