"""The duty of fetching packages from addresses, which are stored questions (tables 1 and 2 of Part 4).

Downloads go to the packages folder as they arrive; what was begun is bounded in time, size and tries, and
ends within two seconds when it is withdrawn.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import unquote, urlsplit

from acsmpd import faults
from acsmpd.clock import Moment
from acsmpd.decide.upstreams import by_name, host_of
from acsmpd.engine.core import Core
from acsmpd.engine.imports import Importer
from acsmpd.engine.lanes import Lanes
from acsmpd.engine.parts import PartImporter
from acsmpd.packages.intake import Incoming, Intake
from acsmpd.store import asks, services
from acsmpd.wire.download import Cancelled, Downloader
from acsmpd.wire.target import target

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 6 * 3600.0
PROGRESS_SECONDS = 1.0


class Fetches:
    """Takes open questions for packages one lane each and writes the answer or the fault.

    One at a time fetches a package; how many fetch for one origin is the lanes' bound of a device.
    """

    def __init__(
        self,
        core: Core,
        lanes: Lanes,
        downloader: Downloader,
        intake: Intake,
        importer: Importer,
        parts: PartImporter,
    ) -> None:
        self._core, self._lanes, self._downloader = core, lanes, downloader
        self._intake, self._importer, self._parts = intake, importer, parts
        self._under_way: dict[str, threading.Event] = {}  # ask -> set when it is not wanted any more

    def ensure(self, now: Moment) -> float | None:
        with self._core.store.read() as tx:
            open_asks = asks.waiting(tx, asks.PACKAGE)
        wanted = {row["id"] for row in open_asks if row["state"] != "withdrawn"}
        for ask_id, unwanted in list(self._under_way.items()):
            if ask_id not in wanted:
                unwanted.set()
        for row in open_asks:
            if row["id"] not in self._under_way:
                self._begin(row)
        return now.mono + 1.0 if open_asks else None

    def _begin(self, row: dict[str, Any]) -> None:
        """Take a lane for it, if one is free; one that was withdrawn and is not under way is over."""
        if row["state"] == "withdrawn":
            self._stopped(row)
            return
        origin, unwanted = row["arguments"].get("Origin") or "", threading.Event()
        self._under_way[row["id"]] = unwanted
        job = partial(self._answer, row, unwanted)
        # A key comes into the log when its job fails, an address with what is secret in it must not.
        what = row["id"] if row["subject"] == row["arguments"]["Url"] else row["subject"]
        if not self._lanes.take(f"ask:{what}", f"origin:{origin}", job):
            del self._under_way[row["id"]]

    def _stopped(self, row: dict[str, Any]) -> None:
        with self._core.store.write() as tx:
            asks.end_withdrawn(tx, row["id"], self._now_ms())

    def _answer(self, row: dict[str, Any], unwanted: threading.Event) -> None:
        try:
            with self._core.store.write() as tx:
                now = asks.get(tx, row["id"])
                if now is None or now["state"] not in ("open", "running"):
                    return  # answered or withdrawn since the pass that found it
                asks.change(tx, row["id"], self._now_ms(), state="running", answer=None)
            self._settle(row, unwanted)
        finally:
            self._under_way.pop(row["id"], None)

    def _settle(self, row: dict[str, Any], unwanted: threading.Event) -> None:
        try:
            answer: dict[str, Any] = {"AlgoFilePackageID": self._fetch(row, unwanted)}
            state = "done"
        except faults.Fault as fault:
            answer, state = {"Code": fault.code, "Message": fault.message}, "failed"
        except OSError as error:
            text = f"cannot import the package: {error.strerror or error}"
            answer, state = {"Code": faults.Internal.code, "Message": text}, "failed"
        except Cancelled:
            if unwanted.is_set():
                self._stopped(row)
            return  # else the platform stops: the ask stays and is taken up again at the next start
        with self._core.store.write() as tx:
            asks.change(tx, row["id"], self._now_ms(), state=state, answer=answer)
            if state == "done" and row["arguments"].get("Device"):
                origin, device = row["arguments"].get("Origin") or "", row["arguments"]["Device"]
                package_id = answer["AlgoFilePackageID"]
                services.want_copy(tx, package_id, device, self._now_ms(), asked=True, origin=origin)
        log.info("the import of a package by address is %s", state, extra={"subject": row["id"]})
        self._core.wake()

    def _fetch(self, row: dict[str, Any], unwanted: threading.Event) -> str:
        """Download into the intake while it comes, then import; the ID of the package."""
        arguments = row["arguments"]
        url = arguments["Url"]
        with self._intake.incoming() as file:
            self._download(row, url, file, unwanted)
            received = file.whole(arguments.get("MD5"))
            if unwanted.is_set():
                raise Cancelled
        name = unquote(urlsplit(url).path.rsplit("/", 1)[-1])[:256] or "package.tar"
        origin, package_id = arguments.get("Origin") or "", arguments.get("AlgoFilePackageID") or ""
        if arguments.get("Program"):
            return self._parts.take_program(received, origin, package_id, arguments["Program"])
        if arguments.get("MayLackProgram"):
            return self._parts.take_package(received, name, origin, package_id)
        return self._importer.import_file(received, name, origin, package_id)

    def _download(self, row: dict[str, Any], url: str, file: Incoming, unwanted: threading.Event) -> None:
        said = [float("-inf")]

        def note(**values: Any) -> None:
            with self._core.store.write(durable=False) as tx:
                asks.note(tx, row["id"], self._now_ms(), **values)

        def progress(received: int, size: int | None) -> None:
            now = self._core.clock.now().mono
            if now - said[0] >= PROGRESS_SECONDS or received == size:
                said[0] = now
                note(received=received, size=size, answer=None)

        def trouble(reason: str, received: int) -> None:
            said[0] = float("-inf")
            note(received=received, answer={"Message": reason})

        log.info("a package is fetched from %s", target(url).name, extra={"subject": row["id"]})
        self._downloader.download(
            url,
            file,
            max_bytes=self._core.settings.packages.max_bytes,
            deadline_seconds=DEADLINE_SECONDS,
            progress=progress,
            cancelled=lambda: unwanted.is_set() or self._core.stopping.is_set(),
            pause=unwanted.wait,
            trouble=trouble,
            restart=file.restart,
            judge_host=self._judge_host(row),
        )

    def _now_ms(self) -> int:
        return self._core.clock.now().wall_ms

    def _judge_host(self, row: dict[str, Any]) -> Callable[[str, int], None]:
        """An address a platform above gave is fetched only from that platform's own host, unless allowed."""
        origin = row["arguments"].get("Origin") or ""
        upstream = by_name(self._core.settings.upstream, self._core.settings.site_code).get(origin)
        own = host_of(upstream) if upstream else None

        def judge(host: str, port: int) -> None:
            named = {entry.rsplit(":", 1)[0] for entry in self._core.settings.egress.allow}
            if origin and host != own and host not in named:
                raise faults.NotAllowed(
                    f"the package address of platform {origin} points at {host}:{port}, which is another host"
                )

        return judge
