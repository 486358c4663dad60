"""What the duties about results are tested on: a real store, files and wire, and a clock moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from acsmpd.clock import Clock, Moment
from acsmpd.decide.results import destination
from acsmpd.engine.core import Core
from acsmpd.engine.lanes import Lanes
from acsmpd.engine.relay import Relay as Duty
from acsmpd.security.egress import EgressPolicy
from acsmpd.security.links import LinkSigner
from acsmpd.security.seal import Sealer
from acsmpd.settings import Engine, Relay, Results, Settings
from acsmpd.store import plans, results
from acsmpd.store.database import Store
from acsmpd.store.presence import Presence
from acsmpd.store.tables import Alarm, Delivery, Picture, Result
from acsmpd.wire.caller import Wire
from tests.support.wait import wait_until
from tests.wire.servers import Server

SITE = "11000000005020000001"
NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


class Hands(Clock):
    """A clock whose hands the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = Moment(NOW_MS, 1000.0, "boot")

    def now(self) -> Moment:
        return self.moment

    def forward(self, seconds: float) -> None:
        self.moment = self.moment.later(seconds)

    def set(self, seconds: float) -> None:
        """The wall clock is set; no time passes."""
        self.moment = self.moment._replace(wall_ms=self.moment.wall_ms + int(seconds * 1000))


class Bench:
    """A core with results in its store."""

    def __init__(self, data: Path) -> None:
        self.clock = Hands()
        self.data, self.store = data, Store(data / "acsmpd.db").open()
        self.limits()
        self._number = 0

    def limits(self, given: Results | None = None, *lines: Relay, lanes: int = 8) -> None:
        settings = Settings(
            results=given or Results(),
            relay=lines,
            engine=Engine(backoff_first_seconds=2, backoff_max_seconds=300, lanes=lanes),
        )
        self.core = Core(
            settings=settings, store=self.store, clock=self.clock, presence=Presence(0.0),
            sealer=Sealer(bytes(32)), signer=LinkSigner(bytes(32)), drivers={}, data=self.data, local_code=SITE,
        )  # fmt: skip

    def instance(self, **values: Any) -> str:
        plain = {
            "id": "inst", "type": "VIDEO_REALTIME", "info": {}, "receive_urls": {}, "on": True, "created_ms": 1,
            "changed_ms": 1,
        }  # fmt: skip
        with self.store.write() as tx:
            plans.add_instance(tx, [], **{**plain, **values})
        return str({**plain, **values}["id"])

    def result(self, *urls: str, body: dict[str, Any] | None = None, size: int = 0, **pictures: bytes) -> int:
        """A result with deliveries; `p0=b"..."` is the picture at place 0."""
        self._number += 1
        now_ms = self.clock.now().wall_ms
        files = []
        for name, content in pictures.items():
            path = f"results/pictures/20270115/{self._number}-{name}.jpg"
            self.write(path, content)
            files.append((int(name[1:]), path, len(content)))
        values = {
            "instance_id": "inst", "plan_id": None, "event_id": "FIRE", "device_id": "", "event_ms": now_ms,
            "fingerprint": f"mark{self._number}", "received_ms": now_ms, "size": size,
            "body": {"EventID": "FIRE", "TaskID": "the device's", "Pts": self._number, **(body or {})},
        }  # fmt: skip
        with self.store.write() as tx:
            added = results.add(tx, values, files, [(url, destination(url)) for url in urls])
        assert added is not None
        return added

    def write(self, path: str, content: bytes) -> Path:
        file = self.data / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    def rows(self, table: Any) -> list[dict[str, Any]]:
        with self.store.read() as tx:
            return tx.rows(table.select().order_by(table.id))

    @property
    def kept(self) -> list[int]:
        return [row["id"] for row in self.rows(Result)]

    @property
    def outbox(self) -> list[dict[str, Any]]:
        return self.rows(Delivery)

    @property
    def pictures(self) -> list[str]:
        return [row["path"].rsplit("/", 1)[-1] for row in self.rows(Picture)]

    def alarms(self, kind: str) -> list[tuple[str, str, bool]]:
        """(subject, text, open) of every alarm of a kind."""
        rows = [row for row in self.rows(Alarm) if row["kind"] == kind]
        return [(row["subject"], row["text"], row["until_ms"] is None) for row in rows]

    def files(self) -> list[str]:
        root = self.data / "results"
        return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


class Post:
    """A relay with its lanes and its wire."""

    def __init__(self, bench: Bench, allow: tuple[str, ...] = ("127.0.0.1:*",), lanes: int = 4) -> None:
        self.bench = bench
        self.wire = Wire(EgressPolicy(allow), SITE, 5.0, 5.0, 1024 * 1024)
        self.lanes = Lanes("post", lanes, 1, bench.core.wake)
        self._number = lanes
        self.restart()

    def restart(self) -> None:
        self.relay = Duty(self.bench.core, self.lanes, self.wire)

    def step(self, seconds: float = 0.0) -> None:
        """Move the clock, make one pass, and let its jobs end."""
        self.bench.clock.forward(seconds)
        self.relay.ensure(self.bench.clock.now())
        wait_until(lambda: self.lanes.free == self._number, what="the lanes are free")

    def close(self) -> None:
        self.lanes.close()
        self.wire.close()


@contextmanager
def posting(bench: Bench, **more: Any) -> Iterator[Post]:
    post = Post(bench, **more)
    try:
        yield post
    finally:
        post.close()


def decoded(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(body)
    return found


def pts(server: Server) -> list[int]:
    """What arrived, by the number of each."""
    return [decoded(one.body)["Pts"] for one in server.seen]


def queued(data: Path, url: str, number: int) -> None:
    """Fill the outbox of a daemon that does not run."""
    store = Store(data / "acsmpd.db").open()
    for first in range(1, number + 1, 500):
        with store.write() as tx:
            for pts_ in range(first, min(first + 500, number + 1)):
                row = {
                    "instance_id": "i", "plan_id": None, "event_id": "FIRE", "device_id": "", "event_ms": pts_,
                    "fingerprint": f"mark{pts_}", "body": {"EventID": "FIRE", "Pts": pts_}, "size": 30,
                    "received_ms": 4_000_000_000_000,
                }  # fmt: skip
                assert results.add(tx, row, (), [(url, destination(url))]) is not None
    store.close()
