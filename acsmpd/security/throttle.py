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
    """At most `per_second` a second from one source, with bursts of as many. Thread safe, bounded."""

    def __init__(self, per_second: int = 50, remembered: int = _REMEMBERED) -> None:
        self._per_second = per_second
        self._lock = threading.Lock()
        self._buckets: _Recent[_Bucket] = _Recent(remembered)

    def take(self, address: str, now: Moment) -> None:
        """Count one, or raise SlowDown."""
        key = _source(address)
        with self._lock:
            bucket = self._buckets.get(key) or _Bucket(float(self._per_second), now.mono)
            earned = max(now.mono - bucket.at, 0.0) * self._per_second
            left = min(bucket.left + earned, float(self._per_second)) - 1
            refused = left < 0
            self._buckets.put(key, _Bucket(left + 1 if refused else left, max(now.mono, bucket.at)))
        if refused:
            raise _slow_down(f"more than {self._per_second} unknown tokens a second from this address", 1.0)


def _slow_down(reason: str, wait: float) -> faults.SlowDown:
    seconds = max(1, math.ceil(wait))
    return faults.SlowDown(f"cannot try again yet: {reason}, wait {seconds} s", retry_after_seconds=seconds)


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
