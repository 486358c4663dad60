"""What the command line does to a data directory by itself, with the daemon running or not.

SQLite lets both write; the daemon finds a new key or device by an indexed read.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.decide.upstreams import by_name
from acsmpd.model import FAMILY_OF_TYPE, Family
from acsmpd.runtime import sandbox
from acsmpd.runtime.values import RuntimeSettings
from acsmpd.security import keyfiles, links, passwords, seal, sm2, sm3
from acsmpd.security.hosts import is_plain_host
from acsmpd.security.tokens import new_token, token_hash
from acsmpd.settings import Settings
from acsmpd.spec.scalars import Code20, ComputilityType
from acsmpd.store import accounts, devices, facts, upstreams
from acsmpd.store.database import Store
from acsmpd.store.folder import DataFolder
from acsmpd.store.tables import Claim

FIRST_ROLES = ["system_admin", "security_admin", "audit_admin", "operator"]


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[Store]:
    """The store of the data directory, made if it is not there, closed at the end."""
    before = os.umask(0o077)  # SQLite makes its files with what the umask leaves
    try:
        folder = DataFolder(settings.data.path)
        folder.prepare()
        store = Store(folder.path / "acsmpd.db").open()
        try:
            yield store
        finally:
            store.close()
    finally:
        os.umask(before)


def init(settings: Settings, clock: Clock, admin: str, password: str | None) -> str | None:
    """Make folders, keys and the first administrator; the path of a password made up here, else None."""
    with opened(settings) as store:
        keys = settings.data.path.absolute() / "keys"
        sm2.load_or_create(keys)
        seal.load_or_create(keys)
        links.load_or_create(keys)
        with store.read() as tx:
            if accounts.any_person(tx):
                return None
        if password is not None:
            passwords.check_new_password(password, admin)
        first = password or secrets.token_urlsafe(15)
        path = keys / passwords.FIRST_FILE
        if password is None:
            keyfiles.write_secret(path, f"{first}\n".encode())
        hashed = passwords.hash_password(first)
        with store.write() as tx:
            if not accounts.any_person(tx):
                accounts.add_person(
                    tx, name=admin, password=hashed, roles=FIRST_ROLES, must_change=password is None,
                    created_ms=clock.now().wall_ms,
                )  # fmt: skip
        return None if password is not None else str(path)


def create_key(settings: Settings, clock: Clock, name: str, roles: list[str]) -> str:
    """The value of a new API key; only its hash is kept."""
    value = new_token()
    with opened(settings) as store, store.write() as tx:
        if accounts.key(tx, name) is not None:
            raise faults.Duplicate(f"cannot create the API key: one named {name} exists")
        accounts.add_key(tx, name=name, hash=token_hash(value), roles=roles, created_ms=clock.now().wall_ms)
        facts.count_up(tx, accounts.CHANGES)
    return value


def list_keys(settings: Settings) -> list[tuple[str, list[str]]]:
    with opened(settings) as store, store.read() as tx:
        return [(row["name"], row["roles"]) for row in accounts.keys(tx)]


def add_device(
    settings: Settings, clock: Clock, code: str, *, username: str, password: str, url: str, kind: str,
    family: str | None, prefix: str, pin: str | None, cluster: str, nodes: tuple[str, ...],
) -> None:  # fmt: skip
    """Preset a computility: its code, who it will be, and where it is called."""
    _check(code, Code20, "CODE: 20 digits are wanted")
    _check(kind, ComputilityType, f"--type: {kind} is no type of table B.1")
    chosen = Family(family) if family else FAMILY_OF_TYPE[kind]
    if chosen is not Family.CCP and not (username and password):
        raise faults.MissingField("--username and --password-file are wanted for every family but ccp")
    if chosen is Family.CCP and not url:
        raise faults.MissingField("--url is wanted for --family ccp")
    keys = settings.data.path.absolute() / "keys"
    with opened(settings) as store:
        sealer = seal.load_or_create(keys)
        values: dict[str, object] = {
            "type": kind, "family": chosen.value, "username": username, "preset": True, "approved": True,
            "enabled": True, "password_sealed": sealer.seal(password) if password else None, "pin": pin,
            "prefix": prefix or (settings.facade.edge_prefix if chosen is Family.EDGE else ""),
            "support_services": chosen is not Family.DIRECT,
        }  # fmt: skip
        if cluster or nodes:
            values["location"] = {"Cluster": cluster, "Nodes": list(nodes)}
        if url:
            values |= _address(url)
        with store.write() as tx:
            devices.put(tx, code, clock.now().wall_ms, **values)
            devices.drop_claims(tx, Claim.code == code)


def _check(value: str, kind: object, text: str) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise faults.InvalidField(text) from error


def _address(url: str) -> dict[str, object]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not is_plain_host(host) or parts.scheme not in ("http", "https"):
        raise faults.InvalidField(f"--url: {url} is not of the form http://HOST:PORT")
    return {"scheme": parts.scheme, "ip": host, "port": port or (443 if parts.scheme == "https" else 80)}


def reset_device(settings: Settings, clock: Clock, code: str) -> None:
    """Void what a computility proved itself with; the next registration is judged as a first one."""
    del clock
    with opened(settings) as store, store.write() as tx:
        if devices.get(tx, code) is None and not devices.claims(tx, code):
            raise faults.NotFound(f"no computility {code}")
        devices.revoke_tokens(tx, code)
        devices.drop_claims(tx, Claim.code == code)
        devices.change(tx, code, approved=False, registered=False, password_sealed=None, username="")
        facts.count_up(tx, accounts.CHANGES)


def wish_upstream(settings: Settings, clock: Clock, name: str, *, join: bool) -> None:
    """Leave a platform above, or join it again; the daemon does it as soon as it runs and the line is up."""
    known = by_name(settings.upstream, settings.site_code)
    if name not in known:
        raise faults.NotFound(f"no upstream {name} in the settings; there are: {', '.join(known) or 'none'}")
    with opened(settings) as store, store.write() as tx:
        upstreams.wish(tx, name, clock.now().wall_ms, join=join)


def examine(settings: Settings, clock: Clock) -> Iterator[tuple[str, bool, str]]:
    """(what, fine, words) for disk, database, keys, sandbox and libraries."""
    del clock
    path = settings.data.path.absolute()
    try:
        with opened(settings) as store, store.read() as tx:
            verdict = tx.sql("PRAGMA quick_check")[0][0]
        yield "database", verdict == "ok", f"{path / 'acsmpd.db'}: {verdict}"
    except faults.Fault as fault:
        yield "database", False, fault.message
        return
    free = shutil.disk_usage(path).free
    yield "disk", free >= settings.data.min_free_bytes, f"{free // 2**20} MiB free on {path}"
    lonely = settings.site_code_is_default and not settings.server.is_loopback
    yield (
        "site code",
        not lonely,
        settings.site_code + (" (the default)" if settings.site_code_is_default else ""),
    )
    way = sandbox.choose(
        RuntimeSettings(
            data_dir=path, user=settings.runtime.user, allow_unsandboxed=settings.runtime.allow_unsandboxed
        )
    )
    yield "sandbox", way.kind in (sandbox.BWRAP, sandbox.USER), f"{way.kind}: {way.reason}"
    yield "SM3", sm3.NATIVE, "OpenSSL" if sm3.NATIVE else "OpenSSL lacks it; package files cannot be hashed"
