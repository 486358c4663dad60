"""Login, passwords of people, and API keys (conventions section 2)."""

from __future__ import annotations

import hmac
import logging

from acsmpd import faults
from acsmpd.api.access import Known, rights_of
from acsmpd.api.call import Call, Reply
from acsmpd.api.platform import Platform
from acsmpd.api.proofs import plain_text
from acsmpd.api.registry import handles
from acsmpd.security import passwords
from acsmpd.security.sm2 import is_encrypted
from acsmpd.security.tokens import new_token, token_hash
from acsmpd.spec import times
from acsmpd.spec.messages.extensions import ApiKey, Session
from acsmpd.store import accounts

log = logging.getLogger(__name__)


@handles("acsmp.login")
def login(platform: Platform, call: Call) -> Reply:
    """Open a session. Unknown account and wrong password look and take the same."""
    name, address = call.message.username, call.caller.address
    platform.throttle.check_account(name, address, call.now)
    if not is_encrypted(call.message.password, platform.settings.passwords.mode):
        platform.proofs.take(address, call.now)  # plain text costs as much: it is compared by scrypt
    try:
        text = plain_text(platform, call, call.message.password)
        with platform.store.read() as tx:
            person = accounts.person(tx, name)
        if person is None or not person["enabled"]:
            passwords.verify_nothing(platform.scrypt)
            raise faults.BadCredentials()
        if not passwords.verify_password(text, person["password"], platform.scrypt):
            raise faults.BadCredentials()
    except faults.BadCredentials:
        platform.throttle.account_failed(name, address, call.now)
        raise
    platform.throttle.account_succeeded(name, address)
    token = new_token()
    known = Known(
        "person", name, rights_of(person["roles"]), person["organisation"], must_change=person["must_change"]
    )
    platform.credentials.open_session(token_hash(token), known, call.now)
    session = Session(
        token=token,
        username=name,
        roles=person["roles"],
        must_change_password=person["must_change"],
        idle_seconds=platform.settings.sessions.idle_minutes * 60,
    )
    return Reply(session, object=name)


@handles("acsmp.logout")
def logout(platform: Platform, call: Call) -> Reply:
    platform.credentials.close(hashed=call.caller.token_hash)
    return Reply(object=call.caller.name)


@handles("acsmp.change_password")
def change_password(platform: Platform, call: Call) -> Reply:
    """The old one once more, a new one that is good enough; every session of the account ends."""
    name, address = call.caller.name, call.caller.address
    platform.throttle.check_account(name, address, call.now)
    old = plain_text(platform, call, call.message.old_password)
    new = plain_text(platform, call, call.message.new_password)
    with platform.store.read() as tx:
        person = accounts.person(tx, name)
    if person is None or not passwords.verify_password(old, person["password"], platform.scrypt):
        platform.throttle.account_failed(name, address, call.now)
        raise faults.BadCredentials()
    passwords.check_new_password(new, name)
    if new == old:
        raise faults.InvalidField("$.NewPassword: it is the old one")
    hashed = passwords.hash_password(new, platform.scrypt)
    with platform.store.write() as tx:
        accounts.change_person(tx, name, password=hashed, must_change=False)
    platform.credentials.close(name=name, kind="person")
    _forget_first(platform, old)
    return Reply(object=name)


def _forget_first(platform: Platform, old: str) -> None:
    """The file that told the first password goes with that password; nothing opens with it any more."""
    path = platform.data / "keys" / passwords.FIRST_FILE
    try:
        if path.exists() and hmac.compare_digest(
            path.read_bytes().strip(), old.encode("utf-8", "surrogatepass")
        ):
            path.unlink()
    except OSError as error:
        log.warning("cannot remove %s: %s", path, error.strerror)


@handles("acsmp.create_api_key")
def create_key(platform: Platform, call: Call) -> Reply:
    """A named, long-lived key; its value is in this answer and nowhere else."""
    asked = call.message
    if not asked.roles:
        raise faults.InvalidField("$.Roles: at least one role is wanted")
    value = new_token()
    roles = list(dict.fromkeys([*asked.roles, *(asked.rights or [])]))
    with platform.store.write() as tx:
        if accounts.key(tx, asked.name) is not None:
            raise faults.Duplicate(f"an API key named {asked.name} exists")
        accounts.add_key(
            tx, name=asked.name, hash=token_hash(value), roles=roles, organisation=asked.organisation or "",
            created_ms=call.now.wall_ms,
        )  # fmt: skip
    key = ApiKey(
        name=asked.name,
        roles=asked.roles,
        rights=asked.rights,
        organisation=asked.organisation,
        created_date=times.written(call.now.wall_ms, platform.zone),
        key=value,
    )
    return Reply(key, object=asked.name)


@handles("acsmp.list_api_keys")
def list_keys(platform: Platform, call: Call) -> list[ApiKey]:
    with platform.store.read() as tx:
        rows = accounts.keys(tx)
    extra = ("packages", "federation")
    return [
        ApiKey(
            name=row["name"],
            roles=[role for role in row["roles"] if role not in extra],
            rights=[role for role in row["roles"] if role in extra] or None,
            organisation=row["organisation"] or None,
            created_date=times.written(row["created_ms"], platform.zone),
        )
        for row in rows
    ]


@handles("acsmp.delete_api_key")
def delete_key(platform: Platform, call: Call) -> Reply:
    name = call.path["Name"]
    with platform.store.write() as tx:
        if not accounts.drop_key(tx, name):
            raise faults.NotFound(f"no API key {name}")
    platform.credentials.close(name=name, kind="key")
    return Reply(object=name)
