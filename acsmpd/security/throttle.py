"""Slowing down those who guess: in memory only, bounded, never a locked account (conventions section 2)."""

from __future__ import annotations

import hashlib
import math
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import Generic, TypeVar

from acsmpd import faults
from acsmpd.clock import Moment

_FREE_TRIES = 3
_FIRST_WAIT_SECONDS = 2.0
_LONGEST_WAIT_SECONDS = 60.0
_ADDRESS_TRIES = 20
_ADDRESS_WINDOW_SECONDS = 900.0
_REMEMBERED = 10_000
_ACCOUNTS, _SOURCES_OF_AN_ACCOUNT = 1000, 16

Entry = TypeVar("Entry")


class _Recent(Generic[Entry]):
    """A dictionary of the most recently used entries: the oldest is dropped when it is full."""

    def __init__(self, most: int) -> None:
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._most = most

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def put(self, key: str, entry: Entry) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._most:
            self._entries.popitem(last=False)

    def drop(self, key: str) -> None:
        self._entries.pop(key, None)


@dataclass
class _Subject:
    wrong: int = 0
    last: float = 0.0
    until: float = 0.0


@dataclass
class _Address:
    tries: deque[float] = field(default_factory=lambda: deque(maxlen=_ADDRESS_TRIES))
    until: float = 0.0


class Throttle:
    """Counts wrong tries of a subject (an account; for Register a code at an address) and of an address.

    Tries already under way when a wait begins are judged and counted: a burst is bounded by the gate
    before the costly comparison. Thread safe.
    """

    def __init__(self, remembered: int = _REMEMBERED) -> None:
        self._lock = threading.Lock()
        self._subjects: _Recent[_Subject] = _Recent(remembered)
        self._addresses: _Recent[_Address] = _Recent(remembered)
        self._turns: _Recent[float] = _Recent(remembered)
        self._known: _Recent[_Recent[bool]] = _Recent(_ACCOUNTS)

    def check(self, subject: str, address: str, now: Moment) -> None:
        """Pass, or raise SlowDown with the seconds to wait; to be asked before the password is looked at."""
        with self._lock:
            source = self._addresses.get(_source(address))
            known = self._subjects.get(_digest(subject))
            source_wait = source.until - now.mono if source else 0.0
            known_wait = known.until - now.mono if known else 0.0
        if source_wait > 0:
            raise _slow_down("too many wrong tries from this address", source_wait)
        if known_wait > 0:
            raise _slow_down("too many wrong tries", known_wait)

    def failed(self, subject: str, address: str, now: Moment) -> None:
        """Count a wrong try: from the fourth on the subject waits, from 20 in 15 minutes the address."""
        with self._lock:
            self._count_subject(_digest(subject), now.mono)
            self._count_address(_source(address), now.mono)

    def succeeded(self, subject: str) -> None:
        """Forget the subject's wrong tries; its address keeps them, lest one account hide guessing."""
        with self._lock:
            self._subjects.drop(_digest(subject))

    # --- accounts of people: tried from anywhere, so their owners have to be kept apart from who guesses ---

    def check_account(self, name: str, address: str, now: Moment) -> None:
        """As check, for the account at this address; then for the account as a whole.

        The whole concerns only addresses it has never been entered from, and each of them once: who has
        waited as long as it was told is let try, or one stranger could keep all others out for good.
        """
        here = _at(name, address)
        self.check(here, address, now)
        with self._lock:
            entry = self._subjects.get(_digest(f"login:{name}"))
            if entry is None or entry.until <= now.mono or self._is_known(name, address):
                return
            turn = self._turns.get(_digest(here))
            if turn is None:
                turn = entry.until
                self._turns.put(_digest(here), turn)
        if turn > now.mono:
            raise _slow_down("too many wrong tries", turn - now.mono)

    def account_failed(self, name: str, address: str, now: Moment) -> None:
        """Count a wrong try for the account at this address, for the account and for the address."""
        here = _at(name, address)
        self.failed(here, address, now)
        with self._lock:
            self._turns.drop(_digest(here))
            self._count_subject(_digest(f"login:{name}"), now.mono)

    def account_succeeded(self, name: str, address: str) -> None:
        """Forget this address' wrong tries; from now on those made elsewhere do not slow it down."""
        here = _digest(_at(name, address))
        with self._lock:
            mine, whole = self._subjects.get(here), self._subjects.get(_digest(f"login:{name}"))
            if mine is not None and whole is not None:
                whole.wrong -= min(mine.wrong, whole.wrong)
            self._subjects.drop(here)
            self._turns.drop(here)
            known = self._known.get(_digest(name)) or _Recent[bool](_SOURCES_OF_AN_ACCOUNT)
            known.put(_source(address), True)
            self._known.put(_digest(name), known)

    def _is_known(self, name: str, address: str) -> bool:
        known = self._known.get(_digest(name))
        return known is not None and known.get(_source(address)) is not None

    def _count_subject(self, key: str, mono: float) -> None:
        entry = self._subjects.get(key)
        if entry is None or mono - entry.last > _ADDRESS_WINDOW_SECONDS:
            entry = _Subject()
        entry.wrong += 1
        entry.last = mono
        if entry.wrong > _FREE_TRIES:
            doublings = min(entry.wrong - _FREE_TRIES - 1, 10)
            entry.until = mono + min(_FIRST_WAIT_SECONDS * 2**doublings, _LONGEST_WAIT_SECONDS)
        self._subjects.put(key, entry)

    def _count_address(self, key: str, mono: float) -> None:
        entry = self._addresses.get(key) or _Address()
        entry.tries.append(mono)
        if len(entry.tries) == _ADDRESS_TRIES and mono - entry.tries[0] <= _ADDRESS_WINDOW_SECONDS:
            entry.until = mono + _ADDRESS_WINDOW_SECONDS
            entry.tries.clear()
        self._addresses.put(key, entry)


@dataclass
class _Bucket:
    left: float
    at: float


class RateLimit:
    """At most `per_second` a second from one source, with bursts of `burst` (else of as many). Thread safe, bounded."""

    def __init__(
        self,
        per_second: int = 50,
        remembered: int = _REMEMBERED,
        *,
        burst: int = 0,
        what: str = "unknown tokens a second from this address",
    ) -> None:
        self._per_second, self._burst, self._what = per_second, float(burst or per_second), what
        self._lock = threading.Lock()
        self._buckets: _Recent[_Bucket] = _Recent(remembered)

    def take(self, address: str, now: Moment) -> None:
        """Count one, or raise SlowDown."""
        key = _source(address)
        with self._lock:
            bucket = self._buckets.get(key) or _Bucket(self._burst, now.mono)
            earned = max(now.mono - bucket.at, 0.0) * self._per_second
            left = min(bucket.left + earned, self._burst) - 1
            refused = left < 0
            self._buckets.put(key, _Bucket(left + 1 if refused else left, max(now.mono, bucket.at)))
        if refused:
            raise _slow_down(f"more than {self._per_second} {self._what}", 1.0)


def _slow_down(reason: str, wait: float) -> faults.SlowDown:
    seconds = max(1, math.ceil(wait - 1e-6))  # 60 s must not become 61 by what a float loses
    return faults.SlowDown(f"cannot try again yet: {reason}, wait {seconds} s", retry_after_seconds=seconds)


def _at(name: str, address: str) -> str:
    return f"login:{name}@{_source(address)}"


def _digest(subject: str) -> str:
    """A key of fixed size: what is typed as a user name may be long."""
    return hashlib.sha256(subject.encode("utf-8", "surrogatepass")).hexdigest()


def _source(address: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 of an IPv6 one (a single subscriber)."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return _digest(address)
    if not isinstance(ip, IPv6Address):
        return str(ip)
    return str(ip.ipv4_mapped) if ip.ipv4_mapped else ip.packed[:8].hex()
