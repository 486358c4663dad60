"""Who is calling, and whether that row is theirs to call (conventions section 2).

Hashes of tokens, keys and sessions are in memory from the start; an unknown one costs one indexed read,
rate-limited by source address.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from acsmpd import faults
from acsmpd.api.call import Caller
from acsmpd.clock import Moment
from acsmpd.decide.upstreams import by_name
from acsmpd.security.throttle import RateLimit
from acsmpd.security.tokens import Header, read_authorization, token_hash
from acsmpd.security.tokens import Presence as Shown
from acsmpd.settings import Settings
from acsmpd.spec.operation import Access
from acsmpd.store import accounts, devices, facts
from acsmpd.store.database import Store, Tx

RIGHTS: Mapping[str, frozenset[str]] = {
    "system_admin": frozenset({"read", "operate", "admin", "packages", "federation"}),
    "security_admin": frozenset({"security"}),
    "audit_admin": frozenset({"audit"}),
    "operator": frozenset({"read", "operate"}),
    "viewer": frozenset({"read"}),
    "packages": frozenset({"packages"}),
    "federation": frozenset({"federation"}),
}
"""What a role may do; a right named by itself may be added to any role."""

NEEDED: Mapping[Access, str] = {
    Access.READ: "read",
    Access.OPERATE: "operate",
    Access.ADMIN: "admin",
    Access.SECURITY: "security",
    Access.AUDIT: "audit",
    Access.PACKAGES: "packages",
    Access.FACE: "federation",
    Access.SITE_FACE: "federation",
}
FACES: Mapping[Access, str] = {Access.FACE: "/CAD", Access.SITE_FACE: "/CAP"}
"""The rows for platforms above, and under which path they stand."""
MOST_SESSIONS = 20
"""Of one person."""
NO_FACES: Mapping[str, Access] = {}
FOLLOW_SECONDS = 1.0
"""How often at most the store is asked whether another process changed credentials."""
UNGUARDED = (Access.OPEN, Access.CREDENTIALS, Access.LINK, Access.RESULT)


def faces_of(settings: Settings) -> dict[str, Access]:
    """upstream's name -> the rows it may call, by what we register as there."""
    entries = by_name(settings.upstream, settings.site_code)
    return {name: Access.SITE_FACE if one.type == "CAP" else Access.FACE for name, one in entries.items()}


def rights_of(roles: list[str]) -> frozenset[str]:
    """The union of what several roles may do."""
    return frozenset(right for role in roles for right in RIGHTS.get(role, ()))


class Known(Struct, frozen=True):
    """What a token hash stands for."""

    kind: str  # computility | key | person | upstream
    name: str
    rights: frozenset[str] = frozenset()
    organisation: str = ""
    role: str = ""  # of a computility token: current | next | old
    created_ms: int = 0
    dies_ms: int | None = None
    must_change: bool = False
    face: Access | None = None  # of an upstream: the rows it may call


class Credentials:
    """Every valid token by its hash. Sessions live here alone; the rest mirrors the store.

    The server's own thread looks here before a body is taken: while it waits nobody is served, so that it does not
    wait for those who search.

    `faces`: which rows a platform above may call, by its name; those of a box where nothing is said.

    `epoch` grows whenever something is forgotten: what was read from the store before is not remembered then.
    """

    def __init__(self, store: Store, idle_seconds: float, faces: Mapping[str, Access] = NO_FACES) -> None:
        self._store, self._idle, self._faces = store, idle_seconds, faces
        self._lock = threading.Lock()
        self._known: dict[str, Known] = {}
        self._used: dict[str, float] = {}
        self._epoch = 0
        self._mark: Any = None
        self._followed = float("-inf")

    def load(self) -> None:
        """Read all tokens and keys from the store."""
        with self._store.read() as tx:
            mark = facts.get(tx, accounts.CHANGES)
            found = {row["hash"]: _of_device(row) for row in devices.tokens(tx)}
            found |= {row["hash"]: _of_key(row) for row in accounts.keys(tx)}
            found |= {row["hash"]: self._of_upstream(row) for row in accounts.upstream_tokens(tx)}
        with self._lock:
            sessions = {h: k for h, k in self._known.items() if k.kind == "person"}
            self._known, self._mark = {**found, **sessions}, mark

    def find(self, hashed: str, address: str, now: Moment, limit: RateLimit) -> Known | None:
        """What the token of this hash stands for, or None. Raises SlowDown when an address asks for too many
        unknown ones."""
        self._follow(now)
        with self._lock:
            known = self._known.get(hashed)
            if known is not None and known.kind == "person" and self._is_idle(hashed, now):
                del self._known[hashed]
                self._used.pop(hashed, None)
                raise faults.TokenExpired("the session has been idle too long; log in again")
        if known is None:
            limit.take(address, now)
            known = self._look_up(hashed)
        if known is not None and known.dies_ms is not None and known.dies_ms <= now.wall_ms:
            raise faults.TokenExpired("the token has been replaced by a newer one and is no longer taken")
        return known

    def known(self, hashed: str) -> Known | None:
        """What a hash in memory stands for."""
        with self._lock:
            return self._known.get(hashed)

    def _is_idle(self, hashed: str, now: Moment) -> bool:
        if now.mono - self._used.get(hashed, now.mono) > self._idle:
            return True
        self._used[hashed] = now.mono
        return False

    def _follow(self, now: Moment) -> None:
        """Forget all but sessions when another process (the command line) changed keys or devices."""
        with self._lock:
            if now.mono - self._followed < FOLLOW_SECONDS:
                return
            self._followed = now.mono
        with self._store.read(patient=False) as tx:
            mark = facts.get(tx, accounts.CHANGES)
        with self._lock:
            if mark != self._mark:
                self._mark, self._epoch = mark, self._epoch + 1
                self._known = {h: k for h, k in self._known.items() if k.kind == "person"}

    def _look_up(self, hashed: str) -> Known | None:
        with self._lock:
            epoch = self._epoch
        with self._store.read(patient=False) as tx:
            known = self._in_store(tx, hashed)
        with self._lock:
            if known is not None and epoch == self._epoch:
                self._known[hashed] = known
        return known

    def _in_store(self, tx: Tx, hashed: str) -> Known | None:
        token = devices.token(tx, hashed)
        if token is not None:
            return _of_device(token)
        key = accounts.key_by_hash(tx, hashed)
        if key is not None:
            return _of_key(key)
        upstream = accounts.upstream_token(tx, hashed)
        return self._of_upstream(upstream) if upstream else None

    def _of_upstream(self, row: dict[str, Any]) -> Known:
        name = row["code"]
        face = self._faces.get(name, Access.FACE)
        return Known("upstream", name, frozenset({"federation"}), dies_ms=row["dies_ms"], face=face)

    def open_session(self, hashed: str, person: Known, now: Moment) -> None:
        """A person is in; sessions nobody uses any more end, and of one with too many the least used."""
        with self._lock:
            own = [key for key in self._used if self._known[key].name == person.name]
            over = sorted(own, key=lambda key: self._used[key])[: max(0, len(own) + 1 - MOST_SESSIONS)]
            idle = [key for key, used in self._used.items() if now.mono - used > self._idle]
            for key in {*over, *idle}:
                del self._known[key], self._used[key]
            self._known[hashed] = person
            self._used[hashed] = now.mono

    def close(self, *, name: str | None = None, kind: str | None = None, hashed: str | None = None) -> None:
        """Forget one token, or every token of a name; they are looked up afresh if they are still valid."""
        with self._lock:
            self._epoch += 1
            gone = [
                key
                for key, known in self._known.items()
                if key == hashed or (name is not None and known.name == name and kind in (None, known.kind))
            ]
            for key in gone:
                self._known.pop(key, None)
                self._used.pop(key, None)


def _of_device(row: dict[str, Any]) -> Known:
    return Known(
        "computility", row["code"], role=row["role"], created_ms=row["created_ms"], dies_ms=row["dies_ms"]
    )  # fmt: skip


def _of_key(row: dict[str, Any]) -> Known:
    roles: list[str] = row["roles"]
    return Known("key", str(row["name"]), rights_of(roles), str(row["organisation"]))


def identify(
    header: Header, address: str, credentials: Credentials, limit: RateLimit, now: Moment
) -> Caller | None:
    """The caller a token stands for; None when none was shown. Raises NoToken or TokenExpired."""
    shown = read_authorization(header)
    if shown.presence is Shown.NONE or shown.by_cookie:
        return None
    if shown.presence is not Shown.TOKEN:
        raise faults.NoToken("the Authorization header holds no bearer token")
    hashed = token_hash(shown.token)
    known = credentials.find(hashed, address, now, limit)
    if known is None:
        raise faults.NoToken("the token is not known here")
    return Caller(
        known.kind,
        known.name,
        address,
        known.rights,
        known.organisation,
        known.must_change,
        hashed,
        known.face,
    )


def allow(access: Access, caller: Caller | None, address: str) -> Caller:
    """The caller, if the row is theirs to call; raises NoToken or NotAllowed."""
    nobody = caller or Caller("nobody", "", address)
    if access in UNGUARDED or access is Access.KEEPALIVE:
        return nobody
    if caller is None:
        raise faults.NoToken("this needs a token: send Authorization: Bearer <token>")
    if caller.must_change and access is not Access.SELF:
        raise faults.NotAllowed("change the first password before anything else: PUT /ACSMP/Password")
    if access is Access.SELF:
        if caller.kind != "person":
            raise faults.NotAllowed("this is for people who are logged in")
        return caller
    if caller.kind == "computility":
        raise faults.NotAllowed("a computility's token opens Keepalive and UnRegister of its own code only")
    if caller.kind == "upstream" and access is not caller.face:
        raise _wrong_face(access, caller)
    if NEEDED[access] not in caller.rights:
        raise faults.NotAllowed(f"{caller.shown} lacks the right '{NEEDED[access]}' that this needs")
    return caller


def _wrong_face(access: Access, caller: Caller) -> faults.NotAllowed:
    if access not in FACES:
        return faults.NotAllowed("a platform above has no rights under /ACSMP")
    own = FACES.get(caller.face or Access.FACE, "")
    return faults.NotAllowed(
        f"this site is registered with you for {own}: {FACES[access]} is not yours to call (upstream.type)"
    )
