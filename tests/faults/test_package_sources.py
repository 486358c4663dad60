"""A source of packages that misbehaves on the socket: tries are bounded, the state is honest, a transfer goes on
where it broke and never as a mixture, nothing is left over (R13, R14)."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from acsmpd.store.tables import Ask
from tests.faults.sources import (
    CUT,
    IMPORT,
    TAG,
    Script,
    a_package,
    begin,
    ended,
    endless,
    foreign_part,
    hurried,
    in_turn,
    nothing_left,
    reset,
    serve,
    silent_from,
)
from tests.support.packaging import PACKAGE_ID, md5_of
from tests.support.site import Site, running
from tests.support.state import refused
from tests.wire.servers import Handler, replying, serving

LARGEST = 4 * 2**20


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A package of 1 MiB, and another content of the same ID and size."""
    return a_package(tmp_path_factory.mktemp("first"), 1), a_package(tmp_path_factory.mktemp("second"), 2)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Half a second of silence is a failed try."""
    short = {"wire_read_timeout_seconds": "0.5", "packages_max_bytes": str(LARGEST)}
    with running(tmp_path_factory.mktemp("site") / "data", **short) as one:
        yield hurried(one)


@pytest.fixture(autouse=True)
def _nothing_lasts(site: Site) -> Iterator[None]:
    yield
    nothing_left(site)


def stored(site: Site) -> bytes:
    [path] = (site.data / "packages").glob("*/*.tar")
    return path.read_bytes()


# --- sources that come right in the end --------------------------------------------------------------------------

RESUMED, WHOLE = f"bytes={CUT}-", ""


class Recovers(NamedTuple):
    what: str
    turns: Callable[[bytes, bytes], tuple[Script, ...]]
    asked: tuple[str, ...]  # the Range of each request
    second: bool = False  # it is the second file that has to arrive


def cut_then(*then: Callable[[Handler, bytes, bytes], None]) -> Callable[[bytes, bytes], tuple[Script, ...]]:
    """The first file as far as CUT, then these."""

    def turns(first: bytes, second: bytes) -> tuple[Script, ...]:
        more = [lambda handler, one=one: one(handler, first, second) for one in then]
        return (lambda handler: serve(handler, first, cut=CUT), *more)

    return turns


RECOVERS = [
    Recovers("comes short twice", cut_then(
        lambda h, first, _: serve(h, first, cut=CUT), lambda h, first, _: serve(h, first),
    ), (WHOLE, RESUMED, f"bytes={2 * CUT}-")),
    Recovers("is away for a moment amid the file", cut_then(
        lambda h, *_: h.reply(503, b"", Retry_After="1"), lambda h, first, _: serve(h, first),
    ), (WHOLE, RESUMED, RESUMED)),
    Recovers("has another file at the resume", cut_then(
        lambda h, _, second: serve(h, second, tag='"v2"'),
    ), (WHOLE, RESUMED), second=True),
    Recovers("sends a part of another file in spite of If-Range", cut_then(
        lambda h, _, second: foreign_part(h, second, "bytes 300000-{}/{}", '"v2"'),
        lambda h, _, second: serve(h, second, tag='"v2"'),
    ), (WHOLE, RESUMED, WHOLE), second=True),
    Recovers("has another file whose end is before the resume", cut_then(
        lambda h, *_: h.reply(416, b"", Content_Range="bytes */1000"),
        lambda h, _, second: serve(h, second, tag='"v2"'),
    ), (WHOLE, RESUMED, WHOLE), second=True),
    Recovers("answers a Range with the whole file", cut_then(
        lambda h, first, _: serve(h, first, ranges=False),
    ), (WHOLE, RESUMED)),
    Recovers("sends another part than was asked for", cut_then(
        lambda h, first, _: foreign_part(h, first, "bytes 5-{}/{}"), lambda h, first, _: serve(h, first),
    ), (WHOLE, RESUMED, WHOLE)),
    Recovers("gives no ETag", lambda first, _: (
        lambda h: serve(h, first, tag="", cut=CUT), lambda h: serve(h, first, tag=""),
    ), (WHOLE, WHOLE)),
    Recovers("has moved", lambda first, _: (
        lambda h: h.reply(302, b"", Location="/there"), lambda h: serve(h, first),
    ), (WHOLE, WHOLE)),
]  # fmt: skip


@pytest.mark.parametrize("case", RECOVERS, ids=[case.what for case in RECOVERS])
def test_a_source_that_comes_right(site: Site, files: tuple[bytes, bytes], case: Recovers) -> None:
    with serving(in_turn(*case.turns(*files))) as server:
        shown = ended(site, begin(site, server))
        asked = [seen.headers.get("Range", "") for seen in server.seen]
    assert (shown["Status"], shown["AlgoFilePackageID"]) == ("DONE", PACKAGE_ID), shown
    assert (shown["Received"], shown.get("Message")) == (len(files[0]), None)
    assert tuple(asked) == case.asked
    assert all(seen.headers["If-Range"] == TAG for seen in server.seen if "Range" in seen.headers)
    assert stored(site) == files[1 if case.second else 0]


def test_a_line_that_is_reset_is_taken_up_again(site: Site, files: tuple[bytes, bytes]) -> None:
    """What was on its way at the reset may be lost: only that it goes on is certain."""
    turns = in_turn(lambda handler: reset(handler, files[0]), lambda handler: serve(handler, files[0]))
    with serving(turns) as server:
        assert ended(site, begin(site, server))["Status"] == "DONE"
        assert len(server.seen) == 2
    assert stored(site) == files[0]


def test_503_is_asked_again_no_sooner_than_it_says(site: Site, files: tuple[bytes, bytes]) -> None:
    at: list[float] = []

    def script(handler: Handler) -> None:
        at.append(time.monotonic())
        if len(at) < 3:
            handler.reply(503, b"", Retry_After="1")
        else:
            serve(handler, files[0])

    with serving(script) as server:
        assert ended(site, begin(site, server))["Status"] == "DONE"
    assert len(at) == 3
    assert min(later - earlier for earlier, later in itertools.pairwise(at)) >= 1


# --- sources that never do ---------------------------------------------------------------------------------------

TRIES = 5


class GivenUp(NamedTuple):
    what: str
    script: Callable[[bytes], Script]
    requests: int
    code: int
    words: str


def changing(body: bytes) -> Script:
    """Another ETag with every request, and never the whole file."""
    tags = (f'"v{number}"' for number in range(100))
    return lambda handler: serve(handler, body, tag=next(tags), cut=CUT)


GIVEN_UP = [
    GivenUp("is not there", lambda _: replying(404, b"no"), 1, 50201, "it answered HTTP 404"),
    GivenUp("is away", lambda _: replying(503, b""), TRIES, 50401, "it answered HTTP 503"),
    GivenUp("slows us down", lambda _: replying(429, b""), TRIES, 50401, "it answered HTTP 429"),
    GivenUp("says nothing", lambda _: silent_from(0), TRIES, 50401, "no whole answer in time"),
    GivenUp("falls silent", lambda _: silent_from(100), TRIES, 50401, "no whole answer in time"),
    GivenUp("speaks no HTTP", lambda _: lambda handler: handler.raw(b"hello\r\n\r\n"), TRIES, 50401,
            "what came back is no HTTP answer"),
    # The first try brought something, so that it counts as none.
    GivenUp("always comes short", lambda body: lambda handler: serve(handler, body, tag="", cut=CUT), 1 + TRIES,
            50401, "the line was cut"),
    GivenUp("changes with every try", changing, 1 + TRIES, 50401, "the line was cut"),
    GivenUp("has no end", lambda _: endless, 1, 41301, f"larger than {LARGEST} bytes"),
    GivenUp("announces too much", lambda _: lambda handler: handler.raw(
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"), 1, 41301, f"larger than {LARGEST} bytes"),
    GivenUp("leads in a circle", lambda _: replying(302, b"", Location="/round"), 4, 50201, "more than 3 redirects"),
    GivenUp("leads where nobody may go", lambda _: replying(302, b"", Location="http://169.254.169.254/"), 1, 40301,
            "169.254.169.254"),
    GivenUp("has something else", lambda body: replying(200, body[:-1024]), 1, 42201, "the file has MD5"),
]  # fmt: skip


@pytest.mark.parametrize("case", GIVEN_UP, ids=[case.what for case in GIVEN_UP])
def test_a_source_that_is_given_up(
    site: Site, files: tuple[bytes, bytes], tmp_path: Path, case: GivenUp
) -> None:
    whole = tmp_path / "whole"
    whole.write_bytes(files[0])
    with serving(case.script(files[0])) as server:
        where = begin(site, server, MD5=md5_of(whole))
        shown = ended(site, where)
        assert len(server.seen) == case.requests
    assert (shown["Status"], shown.get("AlgoFilePackageID")) == ("FAILED", None)
    assert case.words in shown["Message"]
    assert (f"(given up after {TRIES} tries)" in shown["Message"]) == (case.code == 50401)
    assert "hidden" not in shown["Message"]
    assert told(site, where)["answer"]["Code"] == case.code
    refused(site.client.delete(where), 409, 40901, f"{where.rpartition('/')[2]}: it is over")


def told(site: Site, where: str) -> dict[str, Any]:
    assert site.app is not None
    with site.app.store.read() as tx:
        row = tx.row(Ask.select().where(Ask.id == where.rpartition("/")[2]))
    assert row is not None
    return row


# --- what is shown while it goes ---------------------------------------------------------------------------------


def test_the_state_is_honest_at_every_turn(site: Site, files: tuple[bytes, bytes]) -> None:
    body, turn = files[0], [threading.Event() for _ in range(3)]

    def first(handler: Handler) -> None:
        serve(handler, body, cut=CUT)
        assert turn[0].wait(20)

    def second(handler: Handler) -> None:
        assert turn[1].wait(20)
        handler.reply(503, b"")

    def third(handler: Handler) -> None:
        assert turn[2].wait(20)
        serve(handler, body)

    with serving(in_turn(first, second, third)) as server:
        where = begin(site, server)
        shown = site.until(where, lambda data: data["Received"] > 0)
        assert (shown["Status"], shown["Size"], shown.get("Message")) == ("RUNNING", len(body), None)
        assert shown["Received"] <= CUT
        assert site.client.get(f"{IMPORT}/{PACKAGE_ID}").code == 40401
        turn[0].set()
        cut = site.until(where, lambda data: data.get("Message"))
        name = f"cannot download from 127.0.0.1:{server.port}"
        assert (cut["Status"], cut["Received"]) == ("RUNNING", CUT)
        assert cut["Message"] == f"{name}: the line was cut (0 of 5 tries failed)"
        turn[1].set()
        away = site.until(where, lambda data: "503" in (data.get("Message") or ""))
        assert (away["Status"], away["Received"]) == ("RUNNING", CUT)
        assert away["Message"] == f"{name}: it answered HTTP 503 (1 of 5 tries failed)"
        turn[2].set()
        done = ended(site, where)
    assert (done["Status"], done["Received"], done["Size"]) == ("DONE", len(body), len(body))
    assert done.get("Message") is None
