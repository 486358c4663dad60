"""Our extension Upstream: how it goes with the platforms above (conventions section 12)."""

from __future__ import annotations

from typing import Literal

from acsmpd.spec.message import Envelope, Message
from acsmpd.spec.scalars import DateTime, Int64


class Upstream(Message, kw_only=True):
    """One platform of the settings. `Name`: what we tell it apart by; `Code`: what it knows us by.

    State: `new` (not asked yet), `awaiting` (an operator there has to approve us), `registered`, `failing` (no answer, or
    none that helps; it is tried again), `refused`, `key_changed` (it shows another SM2 key than the pinned one: no password
    is sent), `leaving`, `left`. Since: when that began. WaitingResults: deliveries for its address that are not done.
    """

    name: str
    code: str
    url: str
    type: Literal["CAP", "CAD", "AI_BOX"]
    state: Literal["new", "awaiting", "registered", "failing", "refused", "key_changed", "leaving", "left"]
    reason: str | None = None
    since: DateTime | None = None
    waiting_results: Int64


class UpstreamListResponse(Envelope, kw_only=True):
    """In the order of the settings."""

    data: list[Upstream]
