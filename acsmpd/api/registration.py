"""Tables 40-42: how a computility registers, leaves, and keeps itself alive (conventions section 2)."""

from __future__ import annotations

import hmac
from typing import Any

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.platform import Platform
from acsmpd.api.proofs import plain_text
from acsmpd.api.registry import handles
from acsmpd.clock import DAY_SECONDS, Shown
from acsmpd.model import FAMILY_OF_TYPE, Family
from acsmpd.security.hosts import is_plain_host
from acsmpd.security.tokens import new_token, token_hash
from acsmpd.spec.messages.computility import RegisterRequest, TokenData
from acsmpd.store import alarms, devices
from acsmpd.store.database import Tx
from acsmpd.store.rows import is_past
from acsmpd.store.tables import Claim

ALIVE_SECONDS = 100.0
"""An exchange this recent makes a registration from elsewhere a second device, not a move (R22)."""


@handles("acsmp.register_compute")
def register(platform: Platform, call: Call) -> Reply:
    """Answer a token, or say why not; a refused registration leaves the record as it was."""
    asked: RegisterRequest = call.message
    platform.traffic.registered(call.now.mono)
    address = call.caller.address
    subject = f"register:{asked.code}@{address}"
    if not is_plain_host(asked.ip):
        raise faults.InvalidField("$.IP: an IP address or a host name is wanted")
    platform.throttle.check(subject, address, call.now)
    _expect_heard(platform, call, asked)
    try:
        password = plain_text(platform, call, asked.password)
        with platform.store.write() as tx:
            token = _register(platform, tx, call, asked, password)
    except faults.BadCredentials:
        platform.throttle.failed(subject, address, call.now)
        raise
    except _Refused as refused:
        _note_refusal(platform, call, asked, password, refused)
        raise refused.fault from None
    platform.throttle.succeeded(subject)
    platform.credentials.close(name=asked.code, kind="computility")
    platform.presence.forget(asked.code)
    platform.presence.heard(asked.code, call.now.mono)
    platform.poke(asked.code)
    return Reply(TokenData(token=token), object=asked.code)


class _Refused(Exception):
    """A refusal that leaves a note of its own (a claim, an alarm) although nothing else is written."""

    def __init__(self, fault: faults.Fault, *, claim: str = "", alarm: str = "") -> None:
        super().__init__(fault.message)
        self.fault, self.claim, self.alarm = fault, claim, alarm


def _expect_heard(platform: Platform, call: Call, asked: RegisterRequest) -> None:
    """A claim that would be dropped is refused before its password, which costs, is looked at."""
    if platform.settings.enrolment.mode != "approval":
        return
    with platform.store.read() as tx:
        row = devices.get(tx, asked.code)
        is_unknown = row is None or not (row["approved"] or row["family"] == Family.LOCAL.value)
        is_dropped = is_unknown and _claims_are_full(platform, tx, call, asked)
    if is_dropped:
        raise _awaiting(asked.code)


def _awaiting(code: str) -> faults.Fault:
    return faults.AwaitingApproval(f"computility {code} waits for an operator's approval")


def _register(platform: Platform, tx: Tx, call: Call, asked: RegisterRequest, password: str) -> str:
    row = devices.get(tx, asked.code)
    if row is not None and row["family"] == Family.LOCAL.value:
        raise faults.BadCredentials()
    if row is None or not row["approved"]:
        _enrol(platform, row, asked)
    elif not row["enabled"]:
        raise faults.NotAllowed(f"computility {asked.code} is disabled here")
    else:
        _check_known(platform, call, row, asked, password)
    return _accept(platform, tx, call, row, asked, password)


def _enrol(platform: Platform, row: dict[str, Any] | None, asked: RegisterRequest) -> None:
    """A code nobody has approved: refused, pending or welcome, by enrolment.mode."""
    mode = platform.settings.enrolment.mode
    if mode == "preset":
        raise faults.BadCredentials()
    if mode == "approval":
        raise _Refused(_awaiting(asked.code), claim="pending")


def _check_known(
    platform: Platform, call: Call, row: dict[str, Any], asked: RegisterRequest, password: str
) -> None:
    """Same user and password as before; from another address only if the old one is silent."""
    known = platform.sealer.open(row["password_sealed"]) if row["password_sealed"] else ""
    same = hmac.compare_digest(known.encode(), password.encode()) and row["username"] == asked.username
    if not same or not row["password_sealed"]:
        raise _Refused(faults.BadCredentials(), claim="refused")
    _check_approved_address(row, asked.code, call.caller.address)
    moved = row["registered"] and row["registered_from"] not in ("", call.caller.address)
    if moved and _is_alive(platform, asked.code, call.now.mono):
        text = (
            f"computility {asked.code} registers from {call.caller.address} "
            f"while the one at {row['registered_from']} is alive"
        )
        raise _Refused(faults.Conflict(f"cannot register: {text}"), alarm=text)


def _check_approved_address(row: dict[str, Any], code: str, address: str) -> None:
    """An approval binds the address too: of two with one password the first to come back must not win."""
    approved = row["registered_from"]
    if row["registered_ms"] is None and not row["preset"] and approved not in ("", address):
        raise _Refused(
            faults.AwaitingApproval(
                f"computility {code} was approved at {approved}; at {address} it waits for an operator's approval"
            ),
            claim="pending",
        )


def _is_alive(platform: Platform, code: str, now: float) -> bool:
    sign = platform.presence.of(code)
    return any(at is not None and now - at <= ALIVE_SECONDS for at in (sign.heard, sign.answered))


def _accept(
    platform: Platform, tx: Tx, call: Call, row: dict[str, Any] | None, asked: RegisterRequest, password: str
) -> str:
    now = call.now.wall_ms
    token = new_token()
    chosen = row is not None and (row["preset"] or row["type"] == asked.type)  # maybe by an operator
    family = row["family"] if row is not None and chosen else FAMILY_OF_TYPE[asked.type].value
    values: dict[str, Any] = {
        "type": asked.type, "family": family, "ip": asked.ip, "port": asked.port, "username": asked.username,
        "password_sealed": platform.sealer.seal(password), "approved": True, "registered": True,
        "registered_from": call.caller.address, "registered_ms": now, "ever_heard": True, "heard_ms": now,
        "support_services": asked.support_algo_service is not False and family != Family.DIRECT.value,
    }  # fmt: skip
    if family == Family.EDGE.value and not (row and row["prefix"]):
        values["prefix"] = platform.settings.facade.edge_prefix
    devices.put(tx, asked.code, now, **values)
    devices.set_current(tx, asked.code, token_hash(token), platform.sealer.seal(token), now)
    devices.drop_claims(tx, Claim.code == asked.code, Claim.address == call.caller.address)
    alarms.end_alarm(tx, "two_devices_one_code", asked.code, now)
    alarms.end_alarm(tx, "enrolment", asked.code, now)
    return token


def _note_refusal(
    platform: Platform, call: Call, asked: RegisterRequest, password: str, refused: _Refused
) -> None:
    """Keep what an operator has to see: who claimed which code; or that two devices use one."""
    with platform.store.write() as tx:
        if refused.alarm:
            alarms.raise_alarm(tx, "two_devices_one_code", asked.code, refused.alarm, call.now.wall_ms)
        if refused.claim:
            _claim(platform, tx, call, asked, password, refused=refused.claim == "refused")
    if isinstance(refused.fault, faults.BadCredentials):
        address = call.caller.address
        platform.throttle.failed(f"register:{asked.code}@{address}", address, call.now)


def _claim(
    platform: Platform, tx: Tx, call: Call, asked: RegisterRequest, password: str, *, refused: bool
) -> None:
    """One claim per code, address and user, up to the limits; an old one is brought up to date."""
    now = call.now.wall_ms
    _drop_old_claims(platform, tx, call)
    devices.drop_claims(
        tx, Claim.code == asked.code, Claim.address == call.caller.address, Claim.username == asked.username
    )
    if _claims_are_full(platform, tx, call, asked):
        return
    tx.run(
        Claim.insert(
            code=asked.code, address=call.caller.address, type=asked.type, ip=asked.ip, port=asked.port,
            username=asked.username, password_sealed=platform.sealer.seal(password),
            support_services=asked.support_algo_service is not False, refused=refused, created_ms=now, seen_ms=now,
        )
    )  # fmt: skip
    text = "registers with a wrong password" if refused else "waits for an operator's approval"
    who = f"computility {asked.code} at {call.caller.address}"
    alarms.raise_alarm(tx, "enrolment", asked.code, f"{who} {text}", now)


def _pending(platform: Platform, call: Call) -> Shown:
    """How long a claim waits for an operator; what is older is nobody's."""
    return platform.clock.steps.shown(call.now, platform.settings.enrolment.pending_days * DAY_SECONDS)


def _drop_old_claims(platform: Platform, tx: Tx, call: Call) -> None:
    """With the last claim of a code goes its alarm: else strangers' codes would leave open ones for ever."""
    old = is_past(Claim.seen_ms, _pending(platform, call))
    codes = {row["code"] for row in tx.rows(Claim.select().where(old))}
    devices.drop_claims(tx, old)
    for code in sorted(codes - {row["code"] for row in devices.claims(tx)}):
        alarms.end_alarm(tx, "enrolment", code, call.now.wall_ms)


def _claims_are_full(platform: Platform, tx: Tx, call: Call, asked: RegisterRequest) -> bool:
    """Whether there is no place for one more claim; one that repeats an earlier one takes its place.

    Old ones count no more: they go only when there is a place, and must not keep it from everybody till then.
    """
    enrolment, address, lately = platform.settings.enrolment, call.caller.address, _pending(platform, call)
    [(pending, here, mine)] = tx.sql(
        "SELECT count(*), total(address = ?), total(address = ? AND code = ? AND username = ?)"
        " FROM claim WHERE seen_ms BETWEEN ? AND ?",
        address, address, asked.code, asked.username, lately.from_ms, lately.to_ms,
    )  # fmt: skip
    return not mine and (pending >= enrolment.pending_max or here >= enrolment.pending_per_address)


# --- leaving -----------------------------------------------------------------------------------------


@handles("acsmp.unregister_compute")
def unregister(platform: Platform, call: Call) -> Reply:
    """Gone at once: its token is revoked, its record kept. Its own token or its password opens this."""
    asked, address = call.message, call.caller.address
    subject = f"register:{asked.code}@{address}"
    platform.throttle.check(subject, address, call.now)
    try:
        password = plain_text(platform, call, asked.password)
        with platform.store.write() as tx:
            row = devices.get(tx, asked.code)
            known = platform.sealer.open(row["password_sealed"]) if row and row["password_sealed"] else ""
            same = hmac.compare_digest(known.encode(), password.encode())
            if row is None or not known or not same or row["username"] != asked.username:
                raise faults.BadCredentials()
            devices.revoke_tokens(tx, asked.code)
            devices.change(
                tx, asked.code, registered=False, state="gone", state_reason="it unregistered",
                state_since_ms=call.now.wall_ms,
            )  # fmt: skip
    except faults.BadCredentials:
        platform.throttle.failed(subject, address, call.now)
        raise
    platform.throttle.succeeded(subject)
    platform.credentials.close(name=asked.code, kind="computility")
    platform.presence.forget(asked.code)
    platform.wake()
    return Reply(object=asked.code)


# --- staying -----------------------------------------------------------------------------------------


@handles("acsmp.keepalive_compute")
def keepalive(platform: Platform, call: Call) -> Reply:
    """Count as heard; hand out the next token when the present one is half as old as it may be."""
    code = call.message.code
    if call.caller.kind == "nobody":
        _without_token(platform, call, code)
        return Reply(object=code)
    if call.caller.kind != "computility" or call.caller.name != code:
        raise faults.NotAllowed(f"this token is not that of computility {code}")
    platform.presence.heard(code, call.now.mono)
    return Reply(_renewed(platform, call, code), object=code)


def _without_token(platform: Platform, call: Call, code: str) -> None:
    """Accepted from the registered address only; never renews or reveals a token."""
    with platform.store.read() as tx:
        row = devices.get(tx, code)
    if row is None or not row["registered"]:
        raise faults.NotFound(f"computility {code} is not registered here")
    if platform.settings.keepalive.require_token or row["registered_from"] != call.caller.address:
        raise faults.NoToken("a keepalive without a token is taken from the registered address only")
    platform.presence.heard(code, call.now.mono)


def _renewed(platform: Platform, call: Call, code: str) -> TokenData | None:
    """The next token while the device has not used it; None when there is nothing to renew."""
    known = platform.credentials.known(call.caller.token_hash)
    half_ms = platform.settings.tokens.computility_hours * 3_600_000 // 2
    if known is not None and known.role == "current" and 0 <= call.now.wall_ms - known.created_ms < half_ms:
        return None  # one of the future was made before the clock was set back: it is renewed
    with platform.store.write() as tx:
        row = devices.token(tx, call.caller.token_hash)
        if row is None:
            raise faults.NoToken("the token is not known here")
        if row["role"] == "next":
            devices.next_was_used(tx, code, call.now.wall_ms, call.now.wall_ms + devices.OLD_TOKEN_MS)
        token = _next_token(platform, tx, code, call.now.wall_ms) if row["role"] == "current" else None
    if row["role"] == "next":  # roles changed: what is remembered of them is read afresh, after the commit
        platform.credentials.close(name=code, kind="computility")
    return None if token is None else TokenData(token=token)


def _next_token(platform: Platform, tx: Tx, code: str, now_ms: int) -> str:
    """The token that waits to be used, or a fresh one."""
    waiting = next((one for one in devices.tokens(tx, code) if one["role"] == "next"), None)
    if waiting is not None:
        return platform.sealer.open(waiting["sealed"])
    token = new_token()
    devices.add_next(tx, code, token_hash(token), platform.sealer.seal(token), now_ms)
    return token
