"""What stands around a fake CAD in its tests: real driver and wire, a server of packages, a platform."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from acsmpd.drivers.cad import Cad
from acsmpd.model import CreateTask, Family, Load, Outcome, Peer, Push
from acsmpd.security.egress import EgressPolicy
from acsmpd.spec.tables import BY_ID
from acsmpd.wire.caller import Wire
from tests.support.fake_cad import FakeCad
from tests.support.wait import wait_until
from tests.wire.servers import Handler, Server

SITE = "11000000005020000001"
PACKAGE = "1101150192508600000120231012203630000102"
LABELS = {"AlgoCaBinName": "megcity-a2", "Version": "2.0.1"}
STREAM = "rtsp://127.0.0.1:554/one"


class Site:
    """The platform's side: wire, driver, and how the device is reached."""

    def __init__(self, wire: Wire, fake: FakeCad) -> None:
        self.wire, self.fake, self.driver = wire, fake, Cad(wire)
        self.token: str | None = None

    @property
    def peer(self) -> Peer:
        return Peer(code=self.fake.code, family=Family.CAD, url=self.fake.url, token=self.token)

    def call(self, name: str, message: Any = None, seconds: float | None = None, **path: str) -> Any:
        return self.wire.call(BY_ID[f"cad.{name}"], self.peer, message, path=path, timeout_seconds=seconds)

    def perform(self, step: Any) -> Outcome:
        return self.driver.perform(self.peer, step)

    def deliver(self, files: PackageFiles) -> None:
        """Push and load the package, and wait for both."""
        self.perform(push(files))
        wait_until(lambda: self.fake.packages[PACKAGE] == "STOPPED", what="the package on the device")
        self.perform(Load(load_id="l", service_id="s", package_id=PACKAGE))

    def create(self, stream: str = STREAM, policy: str = "ALWAYS", **more: Any) -> Outcome:
        return self.perform(CreateTask(info=info(stream, **more), restart_policy=policy))


def info(stream: str = STREAM, **more: Any) -> dict[str, Any]:
    rule = {"EventID": "INTRUSION", "ResultReceiveUrl": ["http://127.0.0.1:9/results/instance-1"]}
    options = {"VideoStreamOptions": {"Url": stream}}
    return {
        "ID": "instance-1",
        "Labels": LABELS,
        "RulesParams": [rule],
        "StreamOptions": options,
        **more,
    }


def package(name: str = "megcity-a2", version: str = "2.0.1", kind: str = "artifact") -> bytes:
    """A small package file that says what it is."""
    said = f"name: {name}\nversion: {version}\nbin: {{type: {kind}}}\n".encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        entry = tarfile.TarInfo("algo.yaml")
        entry.size = len(said)
        archive.addfile(entry, io.BytesIO(said))
    return out.getvalue()


class PackageFiles:
    """A server of one file that knows Range, and can cut the line after `cut_after` bytes once."""

    def __init__(self) -> None:
        self.content = package()
        self.cut_after: int | None = None
        self.ranges: list[str | None] = []
        self.server: Server | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return self.server.url

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()

    def script(self, handler: Handler) -> None:
        asked = handler.headers.get("Range")
        self.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        rest, cut = self.content[start:], self.cut_after
        if cut is None:
            handler.reply(206 if asked else 200, rest, Content_Type="application/x-tar")
            return
        self.cut_after = None
        handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(rest) + rest[:cut])


def push(files: PackageFiles, **more: Any) -> Push:
    return Push(**{"package_id": PACKAGE, "url": f"{files.url}/p.tar", "path": "", "md5": files.md5, **more})


class Platform:
    """What stands where the platform would: keeps what came, answers what it is told."""

    def __init__(self) -> None:
        self.answers: list[dict[str, Any]] = []
        self.seen: list[tuple[str, dict[str, str], bytes]] = []

    def script(self, handler: Handler) -> None:
        self.seen.append((handler.path, dict(handler.headers), handler.body))
        handler.reply(200, self.answers.pop(0) if self.answers else {"Code": 0, "Message": "success"})


@contextmanager
def site_before(fake: FakeCad) -> Iterator[Site]:
    wire = Wire(EgressPolicy(("127.0.0.1:*",)), SITE, 2.0, 2.0, 1024 * 1024)
    try:
        yield Site(wire, fake)
    finally:
        wire.close()
