"""A box that registers at platforms above, with a clock a test can move, and a platform told how to answer."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from acsmpd.clock import Clock, Moment
from acsmpd.drivers.upstream import Upstream as Driver
from acsmpd.engine.core import Core
from acsmpd.engine.lanes import Lanes
from acsmpd.engine.upstream import Upstreams
from acsmpd.security import sm2
from acsmpd.security.egress import EgressPolicy
from acsmpd.security.links import LinkSigner
from acsmpd.security.seal import Sealer
from acsmpd.security.tokens import token_hash
from acsmpd.settings import load
from acsmpd.store import accounts, upstreams
from acsmpd.store.database import Store
from acsmpd.store.presence import Presence
from acsmpd.store.tables import Alarm
from acsmpd.wire.caller import Wire
from tests.support.wait import wait_until
from tests.wire.servers import Handler, Server, serving

BOX_CODE = "11010000005020000099"
PASSWORD = "box secret 1"
OWN_PORT = 18750
KEY = sm2.generate()


class Hands(Clock):
    """The real clock, and what a test has moved it on by."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0

    def now(self) -> Moment:
        return super().now().later(self.ahead)


class Box:
    """The duty with everything real around it: store, lanes, wire."""

    def __init__(self, folder: Path, entries: list[dict[str, Any]], **overrides: str) -> None:
        password = folder / "password"
        password.write_text(PASSWORD + "\n", encoding="utf-8")
        given = [
            {"type": "AI_BOX", "username": "box", "password_file": str(password), **one} for one in entries
        ]
        environ = {
            "ACSMPD_SITE_CODE": BOX_CODE, "ACSMPD_EGRESS_ALLOW": "127.0.0.1:*",
            "ACSMPD_UPSTREAM": msgspec.json.encode(given).decode(),
            **{f"ACSMPD_{name.upper()}": value for name, value in overrides.items()},
        }  # fmt: skip
        self.settings = load(None, environ)
        self.clock, self.chance, self.renewed = Hands(), 1.0, list[str]()
        self.store = Store(folder / "acsmpd.db").open()
        self.wire = Wire(EgressPolicy(self.settings.egress.allow), BOX_CODE, 2.0, 5.0, 1 << 20)
        self.core = Core(
            settings=self.settings, store=self.store, clock=self.clock, presence=Presence(0.0),
            sealer=Sealer(b"k" * 32), signer=LinkSigner(b"k" * 32), drivers={}, data=folder, local_code=BOX_CODE,
            port=lambda: OWN_PORT,
        )  # fmt: skip
        self.lanes = Lanes("test", 4, 1, lambda: None)
        self.start()

    def start(self) -> None:
        """As after a start of the process: nothing is remembered but what is stored."""
        self.duty = Upstreams(
            self.core, self.lanes, Driver(self.wire), chance=lambda: self.chance, renewed=self.renewed.append
        )

    def wish(self, *, join: bool) -> None:
        """What `acsmpd upstream leave` and `join` write."""
        with self.store.write() as tx:
            upstreams.wish(tx, BOX_CODE, self.clock.now().wall_ms, join=join)

    def close(self) -> None:
        self.lanes.close()
        self.wire.close()
        self.store.close()

    def meet(self, ahead: float = 0.0) -> None:
        """Let time pass, make one pass, and wait for what it began."""
        self.clock.ahead += ahead
        self.duty.ensure(self.clock.now())
        wait_until(lambda: self.lanes.free == 4, what="the lanes to be free")

    def state(self, name: str = BOX_CODE) -> tuple[str, str]:
        with self.store.read() as tx:
            row = upstreams.get(tx, name)
        return (row["state"], row["reason"]) if row else ("", "")

    def pinned(self, name: str = BOX_CODE) -> str:
        with self.store.read() as tx:
            row = upstreams.get(tx, name)
        return str(row["public_key"]) if row else ""

    def tokens(self, name: str = BOX_CODE) -> dict[str, int | None]:
        """hash -> when it dies (None: it counts)."""
        with self.store.read() as tx:
            return {row["hash"]: row["dies_ms"] for row in accounts.upstream_tokens(tx, name)}

    def alarms(self) -> dict[str, bool]:
        """kind -> whether it is still on."""
        with self.store.read() as tx:
            return {
                row["kind"]: row["until_ms"] is None for row in tx.rows(Alarm.select().where(Alarm.id > 0))
            }


@contextlib.contextmanager
def box(folder: Path, *entries: dict[str, Any], **overrides: str) -> Iterator[Box]:
    folder.mkdir(exist_ok=True)
    one = Box(folder, list(entries), **overrides)
    try:
        yield one
    finally:
        one.close()


class Centre:
    """A platform above: answers by the name of the row, and notes what was asked of it."""

    def __init__(self, mark: str = "") -> None:
        self.mark = mark
        self.key: str | None = KEY.public
        self.tokens = 0
        self.said: dict[str, tuple[int, dict[str, Any]]] = {}
        self.asked: list[str] = []
        self.bodies: dict[str, dict[str, Any]] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.server: Server

    def says(
        self, name: str, status: int, code: int | str = 0, data: Any = None, message: str = "said"
    ) -> None:
        body: dict[str, Any] = {"Code": code, "Message": message}
        self.said[name] = (status, body if data is None else {**body, "Data": data})

    def behaves(self, name: str) -> None:
        self.said.pop(name, None)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def last_token(self) -> str:
        return f"token-{self.mark}{self.tokens}"

    def script(self, handler: Handler) -> None:
        name = handler.path.rsplit("/", 1)[-1]
        self.asked.append(name)
        self.headers[name] = dict(handler.headers)
        self.bodies[name] = json.loads(handler.body) if handler.body else {}
        status, body = self.said.get(name) or self._usual(name)
        handler.reply(status, body)

    def _usual(self, name: str) -> tuple[int, dict[str, Any]]:
        fine: dict[str, Any] = {"Code": 0, "Message": "success"}
        if name == "PublicKey":
            return (200, {**fine, "Data": {"PublicKey": self.key}}) if self.key else (404, {})
        if name == "Register":
            self.tokens += 1
            return 200, {**fine, "Data": {"Token": self.last_token}}
        return 200, fine

    def times(self, name: str) -> int:
        return self.asked.count(name)


@contextlib.contextmanager
def centre(mark: str = "") -> Iterator[Centre]:
    """`mark`: what makes its tokens differ from those of another."""
    one = Centre(mark)
    with serving(one.script) as server:
        one.server = server
        yield one


def hashed(token: str) -> str:
    return token_hash(token)
