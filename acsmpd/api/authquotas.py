"""Table 34: what a capability's authorisation server says of its quota. The engine asks it; the answer waits here."""

from __future__ import annotations

from typing import Any

from acsmpd import faults
from acsmpd.api.call import Call, Reply
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.waiting import LONGEST_SECONDS, hold
from acsmpd.decide.quotas import UNDECLARED, streams_of
from acsmpd.model import needs_authorisation
from acsmpd.spec.messages.authservers import AuthQuota
from acsmpd.store import asks, authquotas, authservers, packages
from acsmpd.store.database import Tx
from acsmpd.store.quotas import authorised

Row = dict[str, Any]


@handles("acsmp.get_auth_quota")
def quota(platform: Platform, call: Call) -> Reply:
    """Afresh; while the server does not answer what it said last, with its age and a word of why."""
    code = call.path["AlgoDefCode"]
    with platform.store.read() as tx:
        package = holder_of(tx, code)
        if not needs_authorisation(package["manifest"]):
            used = streams_of(authorised(tx, call.now.wall_ms), code)
            return Reply(AuthQuota(algo_def_code=code, quota_used=used, quota_total=UNDECLARED))
        server = authservers.default_row(tx, package["provider"])
    if server is None:
        raise faults.NotFound(
            f"provider {package['provider']!r} of capability {code} has no authorisation server"
        )
    try:
        row = _ask(platform, server["id"], code, call.now.wall_ms)
    except faults.Fault as unwritten:  # a bad disk keeps nobody from reading
        return _last(platform, server["id"], code, unwritten)
    answer = (row or {}).get("answer") or {}
    if row is not None and row["state"] == "done":
        return Reply(
            AuthQuota(algo_def_code=code, quota_used=answer["QuotaUsed"], quota_total=answer["QuotaTotal"])
        )
    return _last(platform, server["id"], code, _fault(server, answer, _patience_seconds(platform)))


def holder_of(tx: Tx, code: str) -> Row:
    """The package that has the capability. Raises NotFound."""
    holder = packages.holders(tx, [code]).get(code)
    package = packages.get(tx, holder["id"]) if holder else None
    if package is None:
        raise faults.NotFound(f"no capability {code}")
    return package


def _ask(platform: Platform, server_id: int, code: str, now_ms: int) -> Row | None:
    """The stored question when it is answered, or there was no more time."""
    with platform.store.write() as tx:
        ask_id = authquotas.ask(tx, server_id, code, now_ms)
    platform.wake()
    hold(platform, _patience_seconds(platform), lambda tx: not asks.is_open(tx, ask_id))
    with platform.store.read() as tx:
        return asks.get(tx, ask_id)


def _patience_seconds(platform: Platform) -> float:
    """The server may be asked something else just now, which has its time as well."""
    return min(LONGEST_SECONDS, 2 * platform.settings.licences.quota_timeout_seconds + 1)


def _fault(server: Row, answer: Row, seconds: float) -> faults.Fault:
    """What the engine met, or that it has not met it yet."""
    if answer.get("Code"):
        return faults.of_code(int(answer["Code"]), str(answer["Message"]))
    return faults.NoAnswerInTime(
        f"authorisation server {server['id']} of provider {server['provider']!r} ({server['server']}) has not answered"
        f" yet: a request waits at most {seconds:g} s for it; see /ACSMP/AuthServer/{server['id']}"
    )


def _last(platform: Platform, server_id: int, code: str, fault: faults.Fault) -> Reply:
    """What the server said last, and why it is not asked now; the fault if it never said anything."""
    with platform.store.read() as tx:
        known = authquotas.get(tx, server_id, code)
    if known is None or known.answered_ms is None:
        raise fault
    age = max(0, platform.clock.now().wall_ms - known.answered_ms) // 1000
    data = AuthQuota(algo_def_code=code, quota_used=known.used, quota_total=known.total, age=age)
    return Reply(data, warning=f"as it was {age} s ago: {fault.message}")
