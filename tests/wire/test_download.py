"""Downloads over bad lines: they complete, resume or fail with an honest reason, and end when told to."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acsmpd.faults import FacilityRefused, InvalidField, NoAnswerInTime, NotAllowed, TooLarge
from acsmpd.security.egress import EgressPolicy
from acsmpd.wire.download import Cancelled, Downloaded, Downloader, Resume
from tests.support.wait import wait_until
from tests.wire.servers import Handler, Server, replying, serving, unused_port
from tests.wire.test_egress import Names, Shown, pin_of

FILE = bytes(range(256)) * 4096  # 1 MiB
TAG = '"v1"'


class Taken:
    """A download and everything its callbacks saw."""

    def __init__(self, allow: tuple[str, ...] = ("127.0.0.1:*",), **more: Any) -> None:
        settings: dict[str, Any] = {"connect_timeout_seconds": 5.0, "read_timeout_seconds": 5.0, **more}
        self.downloader = Downloader(EgressPolicy(allow), **settings)
        self.sink = io.BytesIO()
        self.shown: list[tuple[int, int | None]] = []
        self.pauses: list[float] = []
        self.restarts = 0
        self.cancel = threading.Event()

    def restart(self) -> None:
        self.restarts += 1
        self.sink.seek(0)
        self.sink.truncate()

    def run(self, url: str, **more: Any) -> Downloaded:
        orders: dict[str, Any] = {
            "max_bytes": 16 * len(FILE),
            "deadline_seconds": 20.0,
            "progress": lambda size, total: self.shown.append((size, total)),
            "cancelled": self.cancel.is_set,
            "pause": self.pause,
            "restart": self.restart,
            **more,
        }
        return self.downloader.download(
            url, more.pop("sink", self.sink), **{k: v for k, v in orders.items() if k != "sink"}
        )

    def pause(self, seconds: float) -> None:
        """Waits a hundredth: the test wants the order of things, not their length."""
        self.pauses.append(seconds)
        self.cancel.wait(seconds / 100)


class Source:
    """A file server with ranges that cuts each answer after `cuts.pop(0)` bytes, and can change its file."""

    def __init__(
        self, cuts: tuple[int, ...] = (), *, tags: tuple[str, ...] = (TAG,), ranges: bool = True
    ) -> None:
        self.cuts = list(cuts)
        self.tags = list(tags)
        self.ranges = ranges

    def __call__(self, handler: Handler) -> None:
        tag = self.tags.pop(0) if len(self.tags) > 1 else self.tags[0]
        wanted = handler.headers.get("Range", "")
        whole = not self.ranges or not wanted or handler.headers.get("If-Range") != tag
        start = 0 if whole else int(wanted.removeprefix("bytes=").rstrip("-"))
        handler.close_connection = True
        handler.send_response(200 if whole else 206)
        handler.send_header("Content-Length", str(len(FILE) - start))
        handler.send_header("ETag", tag)
        if not whole:
            handler.send_header("Content-Range", f"bytes {start}-{len(FILE) - 1}/{len(FILE)}")
        handler.end_headers()
        end = start + self.cuts.pop(0) if self.cuts else len(FILE)
        handler.wfile.write(FILE[start:end])


def starts(server: Server) -> list[str]:
    return [seen.headers.get("Range", "") for seen in server.seen]


def test_a_whole_file() -> None:
    taken = Taken()
    with serving(Source()) as server:
        assert taken.run(f"{server.url}/p.tar?sig=1") == Downloaded(len(FILE), TAG)
    assert taken.sink.getvalue() == FILE
    assert taken.shown[-1] == (len(FILE), len(FILE))
    assert [size for size, _ in taken.shown] == sorted(size for size, _ in taken.shown)
    assert taken.restarts == 0
    assert server.seen[0].path == "/p.tar?sig=1"
    assert server.seen[0].headers["Accept-Encoding"] == "identity"


def test_a_short_body_is_resumed_where_it_broke() -> None:
    taken = Taken()
    with serving(Source(cuts=(300_000, 200_000))) as server:
        assert taken.run(server.url).size == len(FILE)
    assert taken.sink.getvalue() == FILE
    assert starts(server) == ["", "bytes=300000-", "bytes=500000-"]
    assert server.seen[1].headers["If-Range"] == TAG
    assert taken.restarts == 0


def test_progress_keeps_a_download_alive_beyond_its_tries() -> None:
    taken = Taken()
    big = 3

    def script(handler: Handler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-").removeprefix("bytes=").rstrip("-"))
        end = min(start + len(FILE), big * len(FILE))
        handler.raw(
            f"HTTP/1.1 {206 if start else 200} OK\r\nETag: {TAG}\r\n"
            f"Content-Length: {big * len(FILE) - start}\r\n"
            f"Content-Range: bytes {start}-{big * len(FILE) - 1}/{big * len(FILE)}\r\n\r\n".encode()
            + (FILE * big)[start:end]
        )

    with serving(script) as server:
        assert taken.run(server.url, tries=1).size == big * len(FILE)
    assert taken.sink.getvalue() == FILE * big
    assert len(server.seen) == big


def test_another_etag_starts_over() -> None:
    taken = Taken()
    with serving(Source(cuts=(300_000,), tags=(TAG, '"v2"'))) as server:
        assert taken.run(server.url) == Downloaded(len(FILE), '"v2"')
    assert taken.sink.getvalue() == FILE
    assert taken.restarts == 1


def test_a_file_that_changes_with_every_try_is_given_up() -> None:
    taken = Taken()
    tags = tuple(f'"v{number}"' for number in range(20))
    with serving(Source(cuts=(300_000,) * 20, tags=tags)) as server, pytest.raises(NoAnswerInTime) as caught:
        taken.run(server.url)
    assert caught.value.message == (
        f"cannot download from 127.0.0.1:{server.port}: the line was cut (given up after 5 tries)"
    )
    assert len(server.seen) == 6


@pytest.mark.parametrize("tag", ['W/"weak"', "", "bare"])
def test_without_a_strong_etag_nothing_is_resumed(tag: str) -> None:
    taken = Taken()
    with serving(Source(cuts=(300_000,), tags=(tag,))) as server:
        assert taken.run(server.url) == Downloaded(len(FILE), "")
    assert taken.sink.getvalue() == FILE
    assert (starts(server), taken.restarts) == (["", ""], 1)


def test_a_source_without_ranges_starts_over() -> None:
    taken = Taken()
    with serving(Source(cuts=(300_000,), ranges=False)) as server:
        taken.run(server.url)
    assert (taken.sink.getvalue(), taken.restarts) == (FILE, 1)


def test_an_earlier_download_is_resumed() -> None:
    taken = Taken()
    taken.sink.write(FILE[:1000])
    with serving(Source()) as server:
        assert taken.run(server.url, resume_from=Resume(1000, TAG)).size == len(FILE)
    assert (taken.sink.getvalue(), starts(server), taken.restarts) == (FILE, ["bytes=1000-"], 0)


def test_an_earlier_download_of_another_file_is_thrown_away() -> None:
    taken = Taken()
    taken.sink.write(b"old" * 100)
    with serving(Source()) as server:
        taken.run(server.url, resume_from=Resume(300, '"v0"'))
    assert (taken.sink.getvalue(), taken.restarts) == (FILE, 1)


def test_an_earlier_download_that_was_whole_asks_for_nothing_more() -> None:
    taken = Taken()
    script = replying(416, b"no such range", Content_Range="bytes */300")
    with serving(script) as server:
        assert taken.run(server.url, resume_from=Resume(300, TAG)) == Downloaded(300, TAG)
    assert (taken.restarts, len(server.seen)) == (0, 1)


@pytest.mark.parametrize("header", ["bytes */200", "bytes */*", "junk"])
def test_a_range_beyond_the_file_starts_over(header: str) -> None:
    taken = Taken()

    def script(handler: Handler) -> None:
        if "Range" in handler.headers:
            handler.reply(416, b"", Content_Range=header)
        else:
            handler.reply(200, FILE)

    with serving(script) as server:
        assert taken.run(server.url, resume_from=Resume(300, TAG)).size == len(FILE)
    assert (taken.sink.getvalue(), taken.restarts) == (FILE, 1)


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Range": "bytes 5-9/1048576"},
        {"Content_Range": "junk"},
        {},
        {"Content_Range": "bytes 300-1048575/1048576", "ETag": '"other"'},
    ],
)
def test_another_part_than_asked_for_is_not_believed(headers: dict[str, str]) -> None:
    taken = Taken()
    taken.sink.write(FILE[:300])

    def script(handler: Handler) -> None:
        if "Range" in handler.headers:
            handler.reply(206, FILE[300:], **headers)
        else:
            handler.reply(200, FILE)

    with serving(script) as server:
        taken.run(server.url, resume_from=Resume(300, TAG))
    assert (taken.sink.getvalue(), taken.restarts, len(server.seen)) == (FILE, 1, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 206, 416])
def test_a_refusal_fails_at_once(status: int) -> None:
    taken = Taken()
    with serving(replying(status, b"")) as server, pytest.raises(FacilityRefused) as caught:
        taken.run(f"{server.url}/p?sig=hidden")
    assert caught.value.message == f"cannot download from 127.0.0.1:{server.port}: it answered HTTP {status}"
    assert (len(server.seen), taken.pauses) == (1, [])


def test_503_is_tried_again_after_the_time_it_asks_for() -> None:
    taken = Taken()
    answers = [("503", "3"), ("429", "999999"), ("500", "soon")]

    def script(handler: Handler) -> None:
        if not answers:
            handler.reply(200, FILE)
            return
        status, after = answers.pop(0)
        handler.reply(int(status), b"", Retry_After=after)

    clock_free_pause = taken.pauses
    with serving(script) as server:
        taken.downloader._line.clock = Leap(taken)
        taken.run(server.url, deadline_seconds=600.0)
    assert taken.sink.getvalue() == FILE
    assert 3 + 60 <= sum(clock_free_pause) <= 3 + 60 + 8
    assert max(clock_free_pause) <= 0.5


class Leap:
    """A clock that a pause moves on by its full length."""

    def __init__(self, taken: Taken) -> None:
        self.real = taken.downloader._line.clock
        self.taken = taken

    def now(self) -> Any:
        return self.real.now().later(sum(self.taken.pauses))


def test_tries_are_bounded() -> None:
    taken = Taken()
    with serving(replying(503, b"")) as server, pytest.raises(NoAnswerInTime) as caught:
        taken.run(server.url, tries=3)
    assert caught.value.message.endswith(": it answered HTTP 503 (given up after 3 tries)")
    assert len(server.seen) == 3


def test_a_host_nobody_answers_at() -> None:
    port = unused_port()
    with pytest.raises(NoAnswerInTime) as caught:
        Taken().run(f"http://127.0.0.1:{port}/p?sig=hidden", tries=2)
    assert caught.value.message == (
        f"cannot download from 127.0.0.1:{port}: connection refused (given up after 2 tries)"
    )
    assert caught.value.__cause__ is None


def stall_after_some(handler: Handler) -> None:
    handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + b"x" * 10)
    handler.stall()


def drip(handler: Handler) -> None:
    handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    handler.drip(b"x" * 100_000, 0.02)


def test_a_source_that_stalls_is_a_failed_try() -> None:
    taken = Taken(read_timeout_seconds=0.1)
    with serving(stall_after_some) as server, pytest.raises(NoAnswerInTime, match="no whole answer in time"):
        taken.run(server.url, tries=2)
    assert taken.shown[-1] == (10, 1000)


def test_a_slow_source_ends_at_the_deadline_with_what_came_counted() -> None:
    taken = Taken()
    with serving(drip) as server, pytest.raises(NoAnswerInTime) as caught:
        taken.run(server.url, deadline_seconds=0.4)
    size = len(taken.sink.getvalue())
    assert size > 3
    assert caught.value.message.endswith(f": not whole within 0.4 s, {size} bytes came")


def test_a_slow_source_that_goes_on_is_slow_and_no_failure() -> None:
    def script(handler: Handler) -> None:
        handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
        handler.drip(b"x" * 20, 0.03)

    taken = Taken(read_timeout_seconds=0.3)
    with serving(script) as server:
        assert taken.run(server.url, tries=1).size == 20
    assert len(taken.shown) > 5


@pytest.mark.parametrize("script", [stall_after_some, drip, replying(503, b"", Retry_After="60")])
def test_a_cancel_is_heard_within_two_seconds(script: Callable[[Handler], None]) -> None:
    taken = Taken(read_timeout_seconds=20.0)
    ended: list[type[BaseException]] = []

    def work() -> None:
        try:
            taken.run(server.url, pause=threading.Event().wait, deadline_seconds=60.0)
        except Cancelled as over:
            ended.append(type(over))

    with serving(script) as server:
        thread = threading.Thread(target=work)
        thread.start()
        wait_until(lambda: server.seen, what="the request")
        begun = time.monotonic()
        taken.cancel.set()
        thread.join(10)
        took = time.monotonic() - begun
    assert ended == [Cancelled]
    assert took < 2.0


def test_a_cancel_is_heard_while_connecting(certificate: Path) -> None:
    taken = Taken(connect_timeout_seconds=30.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        timer = threading.Timer(0.1, taken.cancel.set)
        timer.start()
        begun = time.monotonic()
        with pytest.raises(Cancelled):
            taken.run(f"https://127.0.0.1:{silent.getsockname()[1]}/")
        timer.join()
    assert time.monotonic() - begun < 2.0


# --- size ---


def test_an_announced_size_over_the_limit_is_refused_before_a_byte_is_written() -> None:
    taken = Taken()
    with serving(Source()) as server, pytest.raises(TooLarge) as caught:
        taken.run(server.url, max_bytes=len(FILE) - 1)
    assert caught.value.message == (
        f"cannot download from 127.0.0.1:{server.port}: the file is larger than {len(FILE) - 1} bytes"
    )
    assert taken.sink.getvalue() == b""


def test_an_unannounced_size_over_the_limit_is_noticed_on_the_way() -> None:
    def script(handler: Handler) -> None:
        handler.raw(b"HTTP/1.1 200 OK\r\n\r\n" + FILE)

    taken = Taken()
    with serving(script) as server, pytest.raises(TooLarge):
        taken.run(server.url, max_bytes=1000)
    assert len(taken.sink.getvalue()) <= 1000


def test_exactly_the_limit_is_fine() -> None:
    taken = Taken()
    with serving(Source()) as server:
        assert taken.run(server.url, max_bytes=len(FILE)).size == len(FILE)


def test_more_than_was_announced_is_not_read() -> None:
    def script(handler: Handler) -> None:
        handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more")

    taken = Taken()
    with serving(script) as server:
        assert taken.run(server.url).size == 5
    assert taken.sink.getvalue() == b"hello"


def test_a_chunked_file_and_an_empty_one() -> None:
    taken = Taken()

    def script(handler: Handler) -> None:
        if handler.path == "/empty":
            handler.reply(200, b"")
        else:
            handler.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")

    with serving(script) as server:
        assert taken.run(f"{server.url}/empty") == Downloaded(0, "")
        assert taken.run(server.url) == Downloaded(5, "")
    assert taken.shown == [(5, None)]


def test_a_compressed_answer_is_stored_as_it_came() -> None:
    taken = Taken()
    with serving(replying(200, b"\x1f\x8b raw", Content_Encoding="gzip")) as server:
        taken.run(server.url)
    assert taken.sink.getvalue() == b"\x1f\x8b raw"


def test_a_full_disk_is_the_sinks_own_failure() -> None:
    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

    with serving(Source()) as server, pytest.raises(OSError, match="No space left"):
        Taken().run(server.url, sink=Full())
    assert len(server.seen) == 1


# --- redirects ---


def to(*locations: str) -> Callable[[Handler], None]:
    """Redirects to each in turn, then answers with the file."""
    left = list(locations)

    def script(handler: Handler) -> None:
        if left:
            handler.reply(302, b"elsewhere", Location=left.pop(0))
        else:
            handler.reply(200, FILE)

    return script


def test_three_redirects_are_followed() -> None:
    taken = Taken()
    with serving(to("/a", "b?x=1", "/中.tar".encode().decode("latin-1"))) as server:
        assert taken.run(f"{server.url}/start").size == len(FILE)
    assert [seen.path for seen in server.seen] == ["/start", "/a", "/b?x=1", "/%E4%B8%AD.tar"]


def test_the_fourth_redirect_is_not() -> None:
    taken = Taken()
    with (
        serving(to("/a", "/b", "/c", "/d")) as server,
        pytest.raises(FacilityRefused, match="more than 3 redirects"),
    ):
        taken.run(server.url)
    assert len(server.seen) == 4


def test_a_redirect_to_what_the_policy_refuses_is_refused_and_named() -> None:
    with serving(replying(200, FILE)) as inner, serving(to(f"{inner.url}/secret?sig=hidden")) as server:
        with pytest.raises(NotAllowed) as caught:
            Taken(allow=(f"127.0.0.1:{server.port}",)).run(server.url)
    assert f"127.0.0.1:{inner.port}" in caught.value.message
    assert "hidden" not in caught.value.message
    assert inner.lines == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://[bad", "http://u:hidden@127.0.0.1/"])
def test_a_redirect_to_no_usable_address(location: str) -> None:
    with serving(to(location)) as server, pytest.raises((FacilityRefused, InvalidField)) as caught:
        Taken().run(server.url)
    assert "hidden" not in caught.value.message


def test_a_redirect_without_location() -> None:
    with serving(replying(302, b"")) as server, pytest.raises(FacilityRefused, match="leads nowhere"):
        Taken().run(server.url)


def test_a_redirect_from_https_to_http_is_refused(certificate: Path) -> None:
    taken = Taken(resolver=Names(["127.0.0.1"]))
    with serving(replying(200, FILE)) as plain, serving(to(plain.url), Shown(certificate).context) as server:
        with pytest.raises(NotAllowed, match="the redirect from https to http://127"):
            taken.run(f"https://device.test:{server.port}/p", pin=pin_of(certificate))
    assert plain.lines == []


def test_a_hop_may_be_refused_by_its_host() -> None:
    def judge(host: str, port: int) -> None:
        if port != server.port:
            raise NotAllowed(f"only from the upstream, not from {host}:{port}")

    with serving(replying(200, FILE)) as other, serving(to(other.url)) as server:
        with pytest.raises(NotAllowed, match="only from the upstream"):
            Taken().run(server.url, judge_host=judge)
    assert other.lines == []


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/p?sig=hidden", "http://localhost:9/hidden"])
def test_a_refused_address_is_refused_at_once(url: str) -> None:
    taken = Taken(allow=())
    with pytest.raises(NotAllowed) as caught:
        taken.run(url)
    assert ":9" in caught.value.message
    assert "hidden" not in caught.value.message
    assert taken.pauses == []


@pytest.mark.parametrize(
    "url", ["", "p.tar", "file:///p.tar", "http://u:hidden@192.0.2.1/p", "http://[x/hidden"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(InvalidField) as caught:
        Taken().run(url)
    assert "hidden" not in caught.value.message


def test_no_line_of_the_library_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with serving(Source(cuts=(10,))) as server:
        Taken().run(f"{server.url}/p?sig=hidden")
    assert "hidden" not in caplog.text
