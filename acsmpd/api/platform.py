"""What handlers are given: the store and the keys, never a driver. Built once, in app.py."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from acsmpd.api.chains import Chains
from acsmpd.clock import Clock
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.intake import Intake
from acsmpd.security.egress import EgressPolicy
from acsmpd.security.links import LinkSigner
from acsmpd.security.passwords import ScryptGate
from acsmpd.security.seal import Sealer
from acsmpd.security.sm2 import DecryptGate, Sm2Key
from acsmpd.security.throttle import RateLimit, Throttle
from acsmpd.settings import Settings
from acsmpd.store.database import Store
from acsmpd.store.presence import Presence
from acsmpd.store.traffic import Traffic
from acsmpd.store.transfers import Transfers

if TYPE_CHECKING:
    from acsmpd.api.access import Credentials

PROOFS_PER_SECOND, PROOFS_AT_ONCE = 5, 20
"""Of one address. A decryption and a scrypt together cost about 60 ms of a core."""


class Counts:
    """How often something happened, by name; safe from any thread, bounded by the names there are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers: Counter[str] = Counter()

    def add(self, name: str, number: int) -> None:
        with self._lock:
            self._numbers[name] += number

    def all(self) -> dict[str, int]:
        with self._lock:
            return dict(self._numbers)


@dataclass(frozen=True)
class Platform:
    """The handlers' surroundings."""

    settings: Settings
    store: Store
    chains: Chains
    clock: Clock
    zone: tzinfo
    presence: Presence
    transfers: Transfers
    sealer: Sealer
    signer: LinkSigner
    sm2: Sm2Key
    gate: DecryptGate
    throttle: Throttle
    unknown_tokens: RateLimit
    credentials: Credentials
    egress: EgressPolicy
    intake: Intake
    import_file: Callable[..., str]
    limits: Limits
    data: Path
    local_code: str
    started_ms: int
    wake: Callable[[], None]
    poke: Callable[[str], None]
    ready: Callable[[], list[str]]
    stopping: threading.Event
    waiters: threading.BoundedSemaphore
    traffic: Traffic = field(default_factory=Traffic)
    result_posts: RateLimit = field(
        default_factory=lambda: RateLimit(what="results a second of this instance")
    )
    """of one instance: its link may be in many hands"""
    proofs: RateLimit = field(
        default_factory=lambda: RateLimit(
            PROOFS_PER_SECOND, burst=PROOFS_AT_ONCE, what="passwords a second from this address"
        )
    )
    """passwords that cost us: to be decrypted, or of people"""
    scrypt: ScryptGate = field(default_factory=ScryptGate)
    ignored: Counts = field(default_factory=Counts)
    """row -> members of requests that no table names: taken and not used"""
