"""A plain question to one who is no facility: any answer is handed on, within its time and its size."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from acsmpd.faults import Permanent, Temporary
from acsmpd.wire.answer import Answer
from acsmpd.wire.caller import Wire
from tests.wire.conftest import SITE
from tests.wire.servers import Handler, replying, serving, unused_port


def test_it_goes_out_without_any_secret(wire: Wire) -> None:
    with serving(replying(200, b"[]")) as server:
        assert wire.get(f"{server.url}/q/a%2Fb?x=1", timeout_seconds=5, max_bytes=9) == Answer(200, b"[]")
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("GET", "/q/a%2Fb?x=1", b"")
    assert seen.headers["Via"] == f"1.1 {SITE}"
    assert not {"Token", "Authorization", "Cookie"} & set(seen.headers)


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_every_http_answer_is_handed_on(wire: Wire, status: int) -> None:
    with serving(replying(status, b"", Location="http://127.0.0.1:1/")) as server:
        assert wire.get(server.url, timeout_seconds=5, max_bytes=9).status == status
        assert len(server.seen) == 1


def test_more_than_the_cap_is_no_body(wire: Wire) -> None:
    with serving(replying(200, b"x" * 10)) as server:
        assert wire.get(server.url, timeout_seconds=5, max_bytes=10).body == b"x" * 10
        answer = wire.get(server.url, timeout_seconds=5, max_bytes=9)
    assert (answer.body, answer.trouble) == (None, "its answer is longer than 9 bytes")


def test_silence_and_drops_end_at_the_deadline(wire: Wire) -> None:
    def drip(handler: Handler) -> None:
        handler.raw(b"HTTP/1.1 200 OK\r\n\r\n")
        handler.drip(b"x" * 1000, 0.05)

    begun = time.monotonic()
    with serving(Handler.stall) as silent, pytest.raises(Temporary) as caught:
        wire.get(silent.url, timeout_seconds=0.3, max_bytes=9)
    assert caught.value.message == (
        f"cannot ask 127.0.0.1:{silent.port} within 0.3 s: no whole answer in time"
    )
    with serving(drip) as dripping:
        answer = wire.get(dripping.url, timeout_seconds=0.3, max_bytes=1000)
    assert (answer.body, answer.trouble) == (None, "it answered HTTP 200, then no whole answer in time")
    assert time.monotonic() - begun < 5


def test_nobody_there_is_temporary(wire: Wire) -> None:
    port = unused_port()
    with pytest.raises(Temporary, match=f"^cannot ask 127.0.0.1:{port} within 2 s: connection refused$"):
        wire.get(f"http://127.0.0.1:{port}/q?secret=1", timeout_seconds=2, max_bytes=9)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "http://u:p@127.0.0.1/", "http://127.0.0.1:99999/"])
def test_what_is_no_address_is_permanent(wire: Wire, url: str) -> None:
    with pytest.raises(Permanent, match="cannot use the address"):
        wire.get(url, timeout_seconds=2, max_bytes=9)


def test_the_policy_is_asked(wires: Callable[..., Wire]) -> None:
    with serving(replying(200, b"")) as server, pytest.raises(Permanent, match="loopback"):
        wires(allow=()).get(server.url, timeout_seconds=2, max_bytes=9)
    assert server.seen == []
