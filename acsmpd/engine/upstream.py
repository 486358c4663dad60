"""The duty of being known above: every platform of the settings has us registered and hears from us.

One step an upstream at a time, in a lane: register, or keepalive. Our code is in the settings and is never
given up, however long a platform is away; what it created here goes on.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from acsmpd.clock import Moment
from acsmpd.decide.upstreams import by_name, code_of
from acsmpd.drivers.upstream import Upstream as Driver
from acsmpd.engine import upstream_login as login
from acsmpd.engine.core import Core
from acsmpd.engine.lanes import Lanes
from acsmpd.faults import Permanent, StepFault
from acsmpd.security.tokens import token_hash
from acsmpd.settings import Upstream
from acsmpd.store import accounts, alarms, upstreams
from acsmpd.wire.answer import Awaiting, TokenRefused

log = logging.getLogger(__name__)

APPROVAL_SECONDS = 30.0
"""How often we ask again while an operator above has not approved us."""

UNWRITTEN_SECONDS = 10.0
"""When we ask again if what a platform above said cannot be written down (a bad disk)."""

LONGEST_PAUSE_SECONDS = 300.0
SHORTEST_PAUSE_SECONDS = 0.2
KEY_CHANGED, REFUSED = "upstream_key_changed", "upstream_refused"
_CHANCE = secrets.SystemRandom()


@dataclass
class _Course:
    """How it goes with one platform, since this process started."""

    due: float = float("-inf")
    registered: bool = False
    failures: int = 0


class KeyChanged(Permanent):
    """The platform shows another public key than the one we pinned."""


class Upstreams:
    """Keeps us registered. `chance` gives numbers from 0 to 1 for the jitter; `renewed` is called with a
    platform's name when its tokens changed, so that what is remembered of them elsewhere is read afresh."""

    def __init__(
        self,
        core: Core,
        lanes: Lanes,
        driver: Driver,
        *,
        chance: Callable[[], float] = _CHANCE.random,
        renewed: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._core, self._lanes, self._driver, self._chance = core, lanes, driver, chance
        self.renewed = renewed
        self._entries = by_name(core.settings.upstream, core.settings.site_code)
        self._courses = {name: _Course() for name in self._entries}
        self._tidied = False

    def ensure(self, now: Moment) -> float | None:
        if not self._tidied:
            with self._core.store.write() as tx:
                upstreams.keep_only(tx, list(self._entries))
            self._tidied = True
        if not self._entries:
            return None
        with self._core.store.read() as tx:
            states = {row["code"]: row["state"] for row in upstreams.all_rows(tx)}
        for name, course in self._courses.items():
            if states.get(name) == upstreams.LEAVING and course.registered:
                # At once; from then on it backs off like any call.
                course.registered, course.due = False, float("-inf")
            if states.get(name) == upstreams.LEFT:
                course.registered, course.due = False, float("-inf")
            elif course.due <= now.mono:
                self._lanes.take(f"upstream:{name}", f"upstream:{name}", lambda name=name: self._meet(name))  # type: ignore[misc]
        return now.mono + 1.0

    # --- one meeting -------------------------------------------------------------------------------------

    def _meet(self, name: str) -> None:
        """Keepalive if we are registered, registration if not or if the platform has forgotten us."""
        entry, course = self._entries[name], self._courses[name]
        self._again(course, UNWRITTEN_SECONDS)
        try:
            if self._is_leaving(name):
                self._leave(name, entry)
                return
            if not (course.registered and self._is_kept_alive(name, entry)):
                course.registered = False
                self._register(name, entry)
                course.registered = True
        except Awaiting as waiting:
            self._note(name, "awaiting", waiting.message)
            self._again(course, min(APPROVAL_SECONDS, self._core.settings.engine.backoff_max_seconds))
        except StepFault as fault:
            self._failed(name, entry, fault)
        else:
            course.failures = 0
            self._note(name, "registered", "")
            self._again(course, entry.keepalive_seconds * (0.8 + 0.2 * self._chance()))

    def _is_kept_alive(self, name: str, entry: Upstream) -> bool:
        """False when the platform says that it does not know us, or not by this token."""
        peer = login.peer_of(self._core, entry, self._token(name))
        try:
            token = self._driver.keepalive(peer, code_of(name))
        except (Permanent, TokenRefused) as fault:
            log.info("registering again: %s", fault.message, extra={"upstream": name})
            return False
        if token:
            self._keep(name, token)
        return True

    def _register(self, name: str, entry: Upstream) -> None:
        peer = login.peer_of(self._core, entry)
        request = login.register_request(self._core, name, entry, self._key(name, entry))
        self._keep(name, self._driver.register(peer, request))

    def _failed(self, name: str, entry: Upstream, fault: StepFault) -> None:
        course = self._courses[name]
        course.failures += 1
        state = "refused" if isinstance(fault, Permanent) else "failing"
        if isinstance(fault, KeyChanged):
            state = "key_changed"
        self._note(name, state, fault.message)
        limit = min(LONGEST_PAUSE_SECONDS, self._core.settings.engine.backoff_max_seconds)
        if course.registered:
            limit = min(limit, entry.keepalive_seconds)
        full = min(
            limit, self._core.settings.engine.backoff_first_seconds * 2.0 ** min(course.failures - 1, 30)
        )
        self._again(course, max(SHORTEST_PAUSE_SECONDS, full * self._chance()))

    def _again(self, course: _Course, seconds: float) -> None:
        course.due = self._core.clock.now().mono + seconds

    # --- keys and tokens ---------------------------------------------------------------------------------

    def _key(self, name: str, entry: Upstream) -> str | None:
        """The key to encrypt for: from the file, else what the platform shows, pinned at first use."""
        if entry.password_mode == "plain":  # noqa: S105
            return None
        if entry.public_key_file:
            return login.key_from_file(entry)
        pinned = self._pinned(name)
        try:
            shown = self._driver.public_key(login.peer_of(self._core, entry))
        except StepFault:
            if not pinned:
                raise
            return pinned
        if pinned and shown and shown != pinned:
            host = login.peer_of(self._core, entry).code
            raise KeyChanged(
                f"{host} shows another SM2 key than the one pinned at first use; no password is sent to it"
            )
        if shown and not pinned:
            with self._core.store.write() as tx:
                upstreams.put(tx, name, self._core.clock.now().wall_ms, public_key=shown)
        return pinned or shown

    def _pinned(self, name: str) -> str:
        with self._core.store.read() as tx:
            row = upstreams.get(tx, name)
        return str(row["public_key"]) if row else ""

    def _token(self, name: str) -> str | None:
        with self._core.store.read() as tx:
            row = upstreams.newest_token(tx, name)
        return self._core.sealer.open(row["sealed"]) if row else None

    def _keep(self, name: str, token: str) -> None:
        """The newest token counts; it also opens our own face to the platform, earlier ones for a day."""
        now = self._core.clock.now().wall_ms
        with self._core.store.write() as tx:
            accounts.add_upstream_token(
                tx,
                name,
                token_hash(token),
                self._core.sealer.seal(token),
                now,
                now + accounts.OLD_UPSTREAM_TOKEN_MS,
            )
            upstreams.trim_tokens(tx, name)
        self.renewed(name)

    # --- what people see -----------------------------------------------------------------------------------

    def _note(self, name: str, state: str, reason: str) -> None:
        """State and reason where they changed; an alarm while the platform refuses us."""
        now = self._core.clock.now().wall_ms
        with self._core.store.read() as tx:
            row = upstreams.get(tx, name)
        if row is not None and (row["state"], row["reason"]) == (state, reason):
            return
        if row is not None and row["state"] == upstreams.LEFT:
            return
        if row is not None and row["state"] == upstreams.LEAVING:
            state, reason = upstreams.LEAVING, f"cannot leave yet: {reason}" if reason else row["reason"]
        with self._core.store.write() as tx:
            upstreams.put(tx, name, now, state=state, reason=reason)
            for kind, on in ((KEY_CHANGED, state == "key_changed"), (REFUSED, state == "refused")):
                if on:
                    alarms.raise_alarm(tx, kind, name, reason, now)
                elif state != "failing":
                    alarms.end_alarm(tx, kind, name, now)
        log.info("upstream is %s%s", state, f": {reason}" if reason else "", extra={"upstream": name})

    # --- leaving: an operator's wish in the store (the command line writes it) -------------------------------

    def _is_leaving(self, name: str) -> bool:
        with self._core.store.read() as tx:
            row = upstreams.get(tx, name)
        return row is not None and row["state"] == upstreams.LEAVING

    def _leave(self, name: str, entry: Upstream) -> None:
        """UnRegister, and stay away until the operator says otherwise."""
        peer, key = login.peer_of(self._core, entry, self._token(name)), self._key(name, entry)
        self._driver.unregister(peer, login.unregister_request(name, entry, key))
        with self._core.store.write() as tx:
            accounts.drop_upstream_tokens(tx, name)
            upstreams.put(
                tx, name, self._core.clock.now().wall_ms, state=upstreams.LEFT, reason="an operator left it"
            )
        self.renewed(name)
