"""What handlers are given: the store and the keys, never a driver. Built once, in app.py."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING

from acsmpd.clock import Clock
from acsmpd.packages.bytestream import Limits
from acsmpd.packages.intake import Intake
from acsmpd.security.egress import EgressPolicy
from acsmpd.security.links import LinkSigner
from acsmpd.security.seal import Sealer
from acsmpd.security.sm2 import DecryptGate, Sm2Key
from acsmpd.security.throttle import RateLimit, Throttle
from acsmpd.settings import Settings
from acsmpd.store.database import Store
from acsmpd.store.presence import Presence

if TYPE_CHECKING:
    from acsmpd.api.access import Credentials


@dataclass(frozen=True)
class Platform:
    """The handlers' surroundings."""

    settings: Settings
    store: Store
    clock: Clock
    zone: tzinfo
    presence: Presence
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
