"""The lines of one caller: a budget for each exchange, and the idle sessions, one an origin."""

from __future__ import annotations

import socket
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from acsmpd.clock import Clock
from acsmpd.wire.exchange import Exchange, Limits, Policy, Resolver, never
from acsmpd.wire.target import Target

if TYPE_CHECKING:
    from acsmpd.wire.session import Session

_IDLE_SESSIONS = 128


class Line:
    """Opens sessions and sends through them. Any thread may use it; a session is one thread's at a time."""

    def __init__(
        self,
        policy: Policy,
        *,
        connect_timeout_seconds: float,
        resolver: Resolver = socket.getaddrinfo,
        clock: Clock | None = None,
        idle_sessions: int = _IDLE_SESSIONS,
    ) -> None:
        self._policy = policy
        self._connect_seconds = connect_timeout_seconds
        self._resolver = resolver
        self.clock = clock or Clock()
        self._most_idle = idle_sessions
        self._idle: OrderedDict[tuple[str, str, bool], Session] = OrderedDict()
        self._lock = threading.Lock()

    def exchange(
        self,
        stall_seconds: float,
        total_seconds: float,
        *,
        trusted: bool = False,
        cancelled: Callable[[], bool] = never,
    ) -> Exchange:
        """A fresh budget; its clock runs from now."""
        limits = Limits(min(self._connect_seconds, total_seconds), stall_seconds, total_seconds)
        policy = None if trusted else self._policy
        return Exchange(self.clock, limits, policy=policy, resolver=self._resolver, cancelled=cancelled)

    def judge(self, where: Target) -> None:
        """The policy's word on what the address itself shows. Raises faults.NotAllowed."""
        self._policy.judge_url(f"{where.origin}/")

    def take(self, where: Target, pin: str | None, trusted: bool) -> Session | None:
        """An idle session to this origin, if there is one; give it back with `keep` or close it."""
        with self._lock:
            return self._idle.pop((where.origin, pin or "", trusted), None)

    def keep(self, session: Session, where: Target, pin: str | None, trusted: bool) -> None:
        """Let the session rest for the next call to the same origin."""
        with self._lock:
            spare = [self._idle.pop((where.origin, pin or "", trusted), None)]
            self._idle[(where.origin, pin or "", trusted)] = session
            if len(self._idle) > self._most_idle:
                spare.append(self._idle.popitem(last=False)[1])
        for unused in spare:
            if unused is not None:
                unused.close()

    def close(self) -> None:
        """Close every idle session."""
        with self._lock:
            resting = list(self._idle.values())
            self._idle.clear()
        for session in resting:
            session.close()
