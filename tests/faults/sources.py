"""Sources of packages that misbehave on the socket, and what a test asks of a site that fetches from one."""

from __future__ import annotations

import random
import select
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.packaging import PACKAGE_ID, make_package
from tests.support.site import Site
from tests.support.state import refused
from tests.wire.servers import Handler, Server

IMPORT = "/ACSMP/AlgoFilePackages"
TAG, CUT = '"v1"', 300_000
Script = Callable[[Handler], None]


def a_package(folder: Path, seed: int) -> bytes:
    weights = random.Random(seed).randbytes(2**19).hex()
    return make_package(folder, program={"run.sh": "#!/bin/sh\n", "weights": weights}).read_bytes()


def hurried(site: Site) -> Site:
    """Its pauses between two tries have no length of their own, only the one a source asks for."""
    assert site.app is not None
    site.app._downloader.chance = lambda: 0.0
    return site


def begin(site: Site, server: Server, **more: str) -> str:
    """Ask for the file; the path under which the import can be looked at."""
    answer = site.client.post(f"{IMPORT}?Wait=0", {"Url": f"{server.url}/p.tar?sig=hidden", **more})
    refused(answer, 504, 50401, "still being fetched")
    return answer.message.rpartition("see ")[2]


def ended(site: Site, where: str) -> dict[str, Any]:
    shown: dict[str, Any] = site.until(where, lambda data: data["Status"] != "RUNNING")
    return shown


def nothing_left(site: Site) -> None:
    """No part of a file, and no package but one that is shown; that one is deleted."""
    assert list((site.data / "packages" / "incoming").iterdir()) == []
    shown = site.client.get(f"{IMPORT}/{PACKAGE_ID}").code == 0
    assert len(list((site.data / "packages").glob("*/*.tar"))) == int(shown)
    if shown:
        site.client.fine("DELETE", f"{IMPORT}/{PACKAGE_ID}")


# --- how sources behave ------------------------------------------------------------------------------------------


def serve(
    handler: Handler, body: bytes, *, tag: str = TAG, cut: int | None = None, ranges: bool = True
) -> None:
    """The file as a good source gives it, but only `cut` bytes of what is announced."""
    wanted = handler.headers.get("Range", "") if ranges else ""
    start = int(wanted[6:-1]) if wanted and handler.headers.get("If-Range") == tag else 0
    head = f"HTTP/1.1 {206 if start else 200} OK\r\nContent-Length: {len(body) - start}\r\n"
    head += f"ETag: {tag}\r\n" if tag else ""
    head += f"Content-Range: bytes {start}-{len(body) - 1}/{len(body)}\r\n" if start else ""
    handler.raw(head.encode() + b"\r\n" + body[start : None if cut is None else start + cut])


def reset(handler: Handler, body: bytes) -> None:
    serve(handler, body, cut=CUT)
    handler.reset()


def foreign_part(handler: Handler, body: bytes, place: str, tag: str = TAG) -> None:
    """206, but of another place or file than was asked for."""
    handler.reply(206, body[CUT:], Content_Range=place.format(len(body) - 1, len(body)), ETag=tag)


def endless(handler: Handler) -> None:
    handler.raw(b"HTTP/1.1 200 OK\r\n\r\n")
    try:
        while not handler.server.over.is_set():
            handler.connection.sendall(b"x" * 65536)
    except OSError:
        return


def silent_from(start: int) -> Script:
    """So many bytes of the file, then not a word."""

    def script(handler: Handler) -> None:
        handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"x" * start if start else b"")
        handler.stall()

    return script


def slow(handler: Handler) -> None:
    handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    handler.drip(b"x" * 1_000_000, 0.05)


def in_turn(*scripts: Script) -> Script:
    """Each for one request, the last for all that follow."""
    left = list(scripts)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


class Watched:
    """A source that notes when the other side ends the line it misbehaves on."""

    def __init__(self, script: Script) -> None:
        self._script, self.closed = script, threading.Event()

    def __call__(self, handler: Handler) -> None:
        watch = threading.Thread(target=self._watch, args=(handler,))
        watch.start()
        self._script(handler)
        watch.join()

    def _watch(self, handler: Handler) -> None:
        line = select.poll()
        line.register(handler.connection, select.POLLRDHUP)
        while not line.poll(50):
            if handler.server.over.is_set():
                return
        self.closed.set()
