"""Speaks to authorisation servers of providers: how many streams of a capability they allow, over wire.

Nobody prints that interface (T/BAX 0006.2 6.1.2 is not to be had). Ours: GET of a path of the settings, answered by
QuotaUsed and QuotaTotal of table D.7, in an envelope or bare.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.spec.json_text import decode, scan
from acsmpd.wire.answer import Answer, head_of, quoted
from acsmpd.wire.caller import Wire
from acsmpd.wire.exchange import never

ANSWER_BYTES = 64 * 1024
"""Two numbers need far less; more is no answer."""
PLACE = "{AlgoDefCode}"


class Quota(Struct, frozen=True):
    """What a server says, in streams; `total` -1: it declares none. `address` is which of its host:port said it."""

    used: int
    total: int
    address: str


class AuthServers:
    """The call. Asks one address after the other, in their order, until one answers as it should."""

    def __init__(self, wire: Wire, clock: Clock) -> None:
        self._wire, self._clock = wire, clock

    def quota(
        self, addresses: list[str], path: str, capability: str, *, timeout_seconds: float,
        cancelled: Callable[[], bool] = never,
    ) -> Quota:  # fmt: skip
        """All addresses share the time. FacilityRefused when one said what is no answer, or may not be called;
        NoAnswerInTime when none said anything. Both name each address with its cause. Cancelled soon after
        `cancelled` says so."""
        if capability in (".", ".."):  # folded away on the line, it would be another path
            raise faults.FacilityRefused(f"cannot ask for the capability {capability}: it is no path segment")
        filled = path.replace(PLACE, quote(capability, safe=""))
        deadline = self._clock.now().mono + timeout_seconds
        kind: type[faults.Fault] = faults.NoAnswerInTime
        causes = []
        for place, address in enumerate(addresses):
            left = deadline - self._clock.now().mono if place else timeout_seconds
            if left <= 0:
                causes.append(f"{address}: no time was left to ask it")
                continue
            try:
                return self._ask(address, filled, left / (len(addresses) - place), cancelled)
            except faults.Permanent as refused:
                kind = faults.FacilityRefused
                causes.append(refused.message)
            except faults.Temporary as unanswered:
                causes.append(unanswered.message)
        raise kind("; ".join(causes))

    def _ask(self, address: str, path: str, seconds: float, cancelled: Callable[[], bool]) -> Quota:
        url = f"http://{address}{path}"
        answer = self._wire.get(url, timeout_seconds=seconds, max_bytes=ANSWER_BYTES, cancelled=cancelled)
        try:
            used, total = numbers_of(answer)
        except faults.Fault as bad:
            raise faults.Permanent(f"{address}: {bad.message}") from bad
        return Quota(used, total, address)


def numbers_of(answer: Answer) -> tuple[int, int]:
    """QuotaUsed and QuotaTotal of an answer. FacilityRefused in words of ours, quoting an envelope's Message alone."""
    said = f"it answered HTTP {answer.status}"
    if 300 <= answer.status < 400:
        raise faults.FacilityRefused(f"{said}, redirects are not followed")
    if answer.body is None:
        raise faults.FacilityRefused(answer.trouble)
    head = head_of(answer.body)
    if head is not None and head.code != "0":
        raise faults.FacilityRefused(f"it answered {quoted(head)}")
    if not 200 <= answer.status < 300:
        raise faults.FacilityRefused(said)
    found = _members(_value(answer.body))
    if "data" in found:
        found = _members(found["data"])
    return _whole(found, "QuotaUsed", 0), _whole(found, "QuotaTotal", -1)


def _value(body: bytes) -> Any:
    try:
        value = decode(body.removeprefix(codecs.BOM_UTF8))
    except faults.Fault:
        raise faults.FacilityRefused("its answer is no JSON") from None
    try:
        scan(value)
    except faults.Fault as bad:
        raise faults.FacilityRefused(f"its answer cannot be read: {bad.message}") from None
    return value


def _members(value: Any) -> dict[str, Any]:
    """The members of an object by their names in lower case; of anything else none."""
    return {name.lower(): one for name, one in value.items()} if isinstance(value, dict) else {}


def _whole(found: dict[str, Any], name: str, least: int) -> int:
    """A whole number, which may be written as text; never one that was rounded."""
    value = found.get(name.lower())
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value.strip()):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise faults.FacilityRefused(f"its {name} is missing or no whole number from {least} on")
    return value
