"""What the command line does to a data directory by itself, with the daemon running or not.

SQLite lets both write; the daemon finds a new key or device by an indexed read.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from datetime import tzinfo
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, structs

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.decide.upstreams import by_name
from acsmpd.durable import disk_told, replace_file
from acsmpd.licensing import fingerprint, manifest
from acsmpd.licensing.intake import judged, take_in
from acsmpd.licensing.manifest import Folder
from acsmpd.licensing.stick import read_below, read_file
from acsmpd.model import ENTERED, FAMILY_OF_TYPE, HAS_CLUSTER, Family
from acsmpd.runtime import sandbox
from acsmpd.runtime.values import RuntimeSettings
from acsmpd.security import keyfiles, links, passwords, seal, sm2, sm3
from acsmpd.security.hosts import is_plain_host
from acsmpd.security.tokens import new_token, token_hash
from acsmpd.settings import Settings
from acsmpd.spec import times
from acsmpd.spec.scalars import Code20, ComputilityType, Namespace, PathName
from acsmpd.store import accounts, devices, facts, licences, upstreams
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
        with as_owner(folder.path):
            folder.prepare()
            store = Store(folder.path / "acsmpd.db").open()
        try:
            yield store
        finally:
            store.close()
    finally:
        os.umask(before)


@contextlib.contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """What root makes inside belongs to the owner of this folder, so that the daemon, which is that user, may read it;
    others are who they are."""
    owner = folder.stat() if os.geteuid() == 0 and folder.exists() else None
    if owner is None or owner.st_uid == 0:
        yield
        return
    before = os.getegid()
    try:
        os.setegid(owner.st_gid)
        os.seteuid(owner.st_uid)
    except OSError as error:
        os.setegid(before)
        raise faults.Internal(
            f"cannot act as the owner of {folder}, the user {owner.st_uid}: {error.strerror}; run this as that user"
        ) from error
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(before)


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
    namespace: str = "default",
) -> None:  # fmt: skip
    """Preset a computility: its code, who it will be, and where it is called."""
    _check(code, Code20, "CODE: 20 digits are wanted")
    kind = kind or next((one for one, of in FAMILY_OF_TYPE.items() if of.value == family), "CAD")
    _check(kind, ComputilityType, f"--type: {kind} is no type of table B.1")
    chosen = Family(family) if family else FAMILY_OF_TYPE[kind]
    if chosen not in ENTERED and not (username and password):
        raise faults.MissingField("--username and --password-file are wanted for every family but ccp")
    if chosen in ENTERED and not url:
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
        if chosen in HAS_CLUSTER:
            _check(
                [one for one in (cluster, *nodes) if one],
                list[PathName],
                "--cluster, --node: 1 to 256 characters",
            )
            _check(namespace, Namespace, "--namespace: 1 to 64 of A-Z a-z 0-9 . _ - are wanted")
            values |= {"cluster": cluster, "nodes": list(nodes), "namespace": namespace}
        elif cluster or nodes:
            raise faults.InvalidField(f"--cluster and --node are for --family ccp, not {chosen.value}")
        if url:
            values |= _address(url)
        with store.write() as tx:
            devices.put(tx, code, clock.now().wall_ms, **values)
            devices.drop_claims(tx, Claim.code == code)


def _check(value: object, kind: object, text: str) -> None:
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


# --- licences -------------------------------------------------------------------------------------------


class Outcome(Struct, frozen=True):
    """What came of one licence file, in the words of scripts/import-license.sh."""

    state: str
    words: str
    file: str = ""
    number: int = 0
    """Its line in the manifest"""


IMPORTED, KNOWN, FAILED, WOULD = "imported", "there already", "failed", "would be imported"


def import_licence(
    settings: Settings, clock: Clock, file: Path, fields: dict[str, Any], *, dry_run: bool
) -> Outcome:
    """One file, with what is said of it as in table E.1. A dry run judges it and opens nothing else."""
    with _licence_store(settings, dry_run) as store:
        return _brought(settings, clock, store, lambda: read_file(file), fields)


def import_licences(settings: Settings, clock: Clock, folder: Folder, *, dry_run: bool) -> Iterator[Outcome]:
    """All of a folder, line by line of its manifest.csv."""
    with _licence_store(settings, dry_run) as store:
        for line in manifest.lines(folder.raw):
            outcome = Outcome(FAILED, line.fault)
            if not line.fault:
                read = partial(read_below, folder.root, line.file)
                outcome = _brought(settings, clock, store, read, line.fields)
            yield structs.replace(outcome, file=line.file, number=line.number)


@contextlib.contextmanager
def _licence_store(settings: Settings, dry_run: bool) -> Iterator[Store | None]:
    """None in a dry run. Nobody would look into a data directory that is made here by a wrong setting."""
    path = settings.data.path.absolute()
    with disk_told(f"use {path} as data directory"):
        is_there = (path / "acsmpd.db").exists()
    if not is_there:
        raise faults.NotFound(
            f"{path} is no data directory of an acsmpd: name its settings by --config, or make it by acsmpd init"
        )
    if dry_run:
        yield None
        return
    with opened(settings) as store:
        yield store


def _brought(
    settings: Settings, clock: Clock, store: Store | None, read: Callable[[], bytes], fields: dict[str, Any]
) -> Outcome:
    try:
        licence = judged(read(), fields, settings.site.zone)
        if store is None:
            return Outcome(WOULD, "")
        data, now_ms = settings.data.path.absolute(), clock.now().wall_ms
        with as_owner(data):
            taken = take_in(store, data, licence, now_ms, min_free_bytes=settings.data.min_free_bytes)
    except faults.Fault as fault:
        return Outcome(FAILED, fault.message)
    words = "; ".join((f"licence {taken.number}", *taken.said))
    return Outcome(KNOWN if taken.was_there else IMPORTED, words)


def sign_fingerprint(settings: Settings, file: Path) -> None:
    """The device fingerprint in the file is signed with the key of this box, which has to be there."""
    key = sm2.load(settings.data.path.absolute() / "keys")
    code = "" if settings.site_code_is_default else settings.site_code
    try:
        content = fingerprint.signed(read_file(file, fingerprint.MAX_BYTES), code, key)
    except faults.InvalidField as fault:
        raise faults.InvalidField(f"cannot sign {file}: {fault.message}") from fault
    with disk_told(f"write {file}"):
        replace_file(file, file.with_name(f".{file.name}.new"), content)


def list_licences(settings: Settings, clock: Clock) -> list[tuple[str, ...]]:
    """Number, provider, device, abilities, when it ends, SM3; "-" where nothing is said."""
    with _licence_store(settings, dry_run=False) as store:
        assert store is not None  # noqa: S101  (this is no dry run)
        with store.read() as tx:
            latest = licences.latest_ms(tx, clock.now().wall_ms)
            return [_shown(row, settings.site.zone, latest) for row in licences.rows(tx)]


def _shown(row: dict[str, Any], zone: tzinfo, latest: int) -> tuple[str, ...]:
    abilities = ",".join(f"{code}={quota}" for code, quota in (row["abilities"] or {}).items())
    ends = times.written(row["expire_ms"], zone) or ""
    if licences.is_over(row, latest):
        ends += " (expired)"
    values = (str(row["id"]), row["provider"], row["device"], abilities, ends, row["sm3"])
    return tuple(value or "-" for value in values)


def examine(settings: Settings, clock: Clock) -> Iterator[tuple[str, bool, str]]:
    """(what, fine, words) for disk, database, keys, sandbox, container engine and libraries."""
    from acsmpd.runtime import sockets

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
    yield "images", *sockets.told(settings.runtime.container_socket, clock)
    yield "SM3", sm3.NATIVE, "OpenSSL" if sm3.NATIVE else "OpenSSL lacks it; package files cannot be hashed"
