"""Packages fetched by address over real HTTP: answered once, bounded, resumed after a stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from acsmpd.engine.fetches import Fetches
from acsmpd.engine.lanes import Lanes
from acsmpd.engine.parts import PartImporter
from acsmpd.security.egress import EgressPolicy
from acsmpd.store import asks
from acsmpd.wire.download import Downloader
from tests.engine.bench import SITE, Bench
from tests.engine.test_importing import LIMITS, Desk
from tests.store.rows import NOW
from tests.support.packaging import PACKAGE_ID, md5_of
from tests.support.wait import wait_until
from tests.wire.servers import Handler, Server, serving


class Fetcher:
    """The duty on an importer, with lanes of its own."""

    def __init__(self, works: Bench) -> None:
        self.works, self.desk = works, Desk(works)
        self.lanes = Lanes("fetch", 4, 2, works.core.wake)
        downloader = Downloader(EgressPolicy(["127.0.0.1:*"]), 5.0, 5.0)
        self.duty = Fetches(
            works.core, self.lanes, downloader, self.desk.intake, self.desk.importer,
            PartImporter(works.store, self.desk.intake, LIMITS, works.core.clock, self.desk.importer),
        )  # fmt: skip

    def ask(self, url: str, ask_id: str = "ask-1", **arguments: str) -> None:
        with self.works.store.write() as tx:
            asks.put(tx, ask_id, "package", url, {"Url": url, **arguments}, NOW)

    def row(self, ask_id: str = "ask-1") -> dict[str, Any]:
        with self.works.store.read() as tx:
            found = asks.get(tx, ask_id)
        assert found is not None
        return found

    def settle(self) -> tuple[str, Any]:
        """One pass, and what was answered."""
        self.duty.ensure(self.works.clock.moment)
        wait_until(lambda: self.lanes.free == 4, what="the fetches")
        row = self.row()
        return row["state"], row["answer"]


@pytest.fixture
def fetcher(works: Bench) -> Iterator[Fetcher]:
    made = Fetcher(works)
    yield made
    works.core.stopping.set()
    made.lanes.close()


@contextmanager
def holding(
    body: bytes, before: Callable[[Handler], None] = lambda _handler: None
) -> Iterator[tuple[Server, str]]:
    """A server of one file, and its address."""

    def script(handler: Handler) -> None:
        before(handler)
        handler.reply(200, body)

    with serving(script) as server:
        yield server, f"{server.url}/dir/file%20name.tar?signature=x"


def test_a_package_is_fetched_imported_and_answered(fetcher: Fetcher) -> None:
    file = fetcher.desk.make()
    with holding(file.read_bytes()) as (server, url):
        fetcher.ask(url, MD5=md5_of(file).upper())
        fetcher.works.core.wake_event.clear()
        assert fetcher.settle() == ("done", {"AlgoFilePackageID": PACKAGE_ID})
        assert fetcher.works.core.wake_event.is_set()
        assert fetcher.settle()[0] == "done"
        assert len(server.seen) == 1  # answered once
    assert fetcher.desk.row()["file_name"] == "file name.tar"
    row = fetcher.row()
    assert (row["received"], row["size"]) == (file.stat().st_size, file.stat().st_size)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ({"MD5": "0" * 32}, 42201, "the file has MD5 "),
        ({"MD5": "no"}, 40001, "MD5: 32 hexadecimal digits are expected"),
        (
            {"AlgoFilePackageID": "1" * 40},
            42202,
            f"file name.tar: algo.yaml names the package {PACKAGE_ID}, not 1",
        ),
    ],
)
def test_a_file_that_is_not_what_was_asked_for_is_refused_and_gone(
    fetcher: Fetcher, arguments: dict[str, str], code: int, words: str
) -> None:
    with holding(fetcher.desk.make().read_bytes()) as (_, url):
        fetcher.ask(url, **arguments)
        state, answer = fetcher.settle()
    assert (state, answer["Code"]) == ("failed", code)
    assert answer["Message"].startswith(words)
    assert fetcher.desk.files() == []
    assert fetcher.desk.held() == {}


def test_a_file_that_is_no_package_is_refused(fetcher: Fetcher) -> None:
    with holding(b"no tar" * 5000) as (_, url):
        fetcher.ask(url)
        state, answer = fetcher.settle()
    assert (state, answer["Code"]) == ("failed", 42202)
    assert fetcher.desk.files() == []


def test_a_refusal_of_the_source_names_its_host_and_never_the_signed_address(fetcher: Fetcher) -> None:
    with serving(lambda handler: handler.reply(403, b"no")) as server:
        fetcher.ask(f"{server.url}/p.tar?signature=secret")
        state, answer = fetcher.settle()
    assert (state, answer["Code"]) == ("failed", 50201)
    assert f"127.0.0.1:{server.port}" in answer["Message"]
    assert "secret" not in answer["Message"]


def test_an_address_that_may_not_be_called_is_refused_at_once(fetcher: Fetcher) -> None:
    fetcher.ask("http://169.254.169.254/latest/meta-data")
    state, answer = fetcher.settle()
    assert (state, answer["Code"]) == ("failed", 40301)
    assert "169.254.169.254" in answer["Message"]


def test_a_folder_that_cannot_be_written_is_told_and_not_tried_for_ever(fetcher: Fetcher) -> None:
    incoming = fetcher.works.folder / "packages" / "incoming"
    incoming.rmdir()
    with holding(b"x") as (server, url):
        fetcher.ask(url)
        state, answer = fetcher.settle()
        assert server.seen == []
    assert (state, answer["Code"]) == ("failed", 50000)
    assert answer["Message"] == "cannot receive the package file: No such file or directory"


def test_what_a_platform_above_named_is_wanted_on_this_box(fetcher: Fetcher) -> None:
    with holding(fetcher.desk.make().read_bytes()) as (_, url):
        fetcher.ask(url, AlgoFilePackageID=PACKAGE_ID, Device=SITE)
        assert fetcher.settle()[0] == "done"
    copy = fetcher.works.the_copy(PACKAGE_ID, SITE)
    assert (copy["wanted"], copy["asked"]) == (True, True)


def test_progress_is_written_while_it_comes(fetcher: Fetcher) -> None:
    file = fetcher.desk.make(program={"run.sh": "#!/bin/sh\n" + "# x\n" * 200_000})
    content, half, go = file.read_bytes(), threading.Event(), threading.Event()

    def script(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:400_000])
        handler.wfile.flush()
        half.set()
        assert go.wait(20)
        handler.wfile.write(content[400_000:])

    with serving(script) as server:
        fetcher.ask(f"{server.url}/p.tar")
        fetcher.duty.ensure(fetcher.works.clock.moment)
        assert half.wait(20)
        wait_until(lambda: fetcher.row()["received"] > 0, what="the first progress")
        assert (fetcher.row()["state"], fetcher.row()["size"]) == ("running", len(content))
        fetcher.works.pass_by(2)
        go.set()
        assert fetcher.settle()[0] == "done"


def test_a_stop_leaves_the_question_open_and_nothing_on_disk(fetcher: Fetcher) -> None:
    begun = threading.Event()

    def script(handler: Handler) -> None:
        begun.set()
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        handler.stall()

    with serving(script) as server:
        fetcher.ask(f"{server.url}/p.tar")
        fetcher.duty.ensure(fetcher.works.clock.moment)
        assert begun.wait(20)
        fetcher.works.core.stopping.set()
        fetcher.lanes.close()
    assert fetcher.row()["state"] == "running"
    assert fetcher.desk.files() == []


def test_a_question_left_over_from_before_is_taken_up_again(fetcher: Fetcher) -> None:
    with holding(fetcher.desk.make().read_bytes()) as (_, url):
        fetcher.ask(url)
        with fetcher.works.store.write() as tx:
            asks.change(tx, "ask-1", NOW, state="running")
        assert fetcher.settle()[0] == "done"


def test_an_answer_given_since_the_pass_that_found_it_is_not_overwritten(fetcher: Fetcher) -> None:
    with holding(fetcher.desk.make().read_bytes()) as (server, url):
        fetcher.ask(url)
        stale = fetcher.row()
        assert fetcher.settle()[0] == "done"
        fetcher.duty._answer(stale, threading.Event())
        assert len(server.seen) == 1
    assert fetcher.row()["state"] == "done"
