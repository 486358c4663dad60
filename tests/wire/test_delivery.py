"""Results posted to their receivers."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from acsmpd.faults import Permanent, Temporary
from acsmpd.wire.caller import Delivered, Wire
from tests.wire.conftest import SITE
from tests.wire.servers import OK, Handler, replying, serving, unused_port

BODY = '{"EventID":"人"}'.encode()


def test_a_result_is_posted_as_it_is(wire: Wire) -> None:
    with serving(replying(200, {"Code": "0", "Message": "ok"})) as server:
        url = f"{server.url}/hook/%E4%BA%BA?sig=abc%2F#part"
        assert wire.post_result(url, BODY, {"Idempotency-Key": "k-1"}) == Delivered(200, "0")
    (seen,) = server.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/hook/%E4%BA%BA?sig=abc%2F", BODY)
    assert seen.headers["Idempotency-Key"] == "k-1"
    assert seen.headers["Content-Type"] == "application/json; charset=utf-8"
    assert seen.headers["Via"] == f"1.1 {SITE}"
    assert not {"Token", "Authorization"} & set(seen.headers)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"", ""),
        (200, b"<html>", ""),
        (204, b"", ""),
        (200, {"code": 7}, "7"),
        (302, b"", ""),
        (404, {"Code": 40401, "Message": "no"}, "40401"),
        (500, b"", ""),
    ],
)
def test_every_http_answer_is_handed_on(wire: Wire, status: int, body: bytes, code: str) -> None:
    with serving(replying(status, body)) as server:
        assert wire.post_result(server.url, BODY) == Delivered(status, code)


def test_a_body_that_is_too_long_leaves_the_status(wire: Wire) -> None:
    with serving(replying(200, b" " * (1024 * 1024 + 1))) as server:
        assert wire.post_result(server.url, BODY) == Delivered(200, "")


def test_no_answer_is_temporary_and_never_quotes_the_query(wire: Wire) -> None:
    def stall(handler: Handler) -> None:
        handler.stall()

    with serving(stall) as server:
        for url in (server.url, f"http://127.0.0.1:{unused_port()}"):
            with pytest.raises(Temporary) as caught:
                wire.post_result(f"{url}/hook?sig=hidden", BODY, timeout_seconds=0.2)
            assert caught.value.message.startswith(f"cannot deliver to {url.removeprefix('http://')}: ")
            assert "hidden" not in str(caught.value)
            assert caught.value.__context__ is None


def test_a_receiver_that_never_reads_does_not_hold_us(wire: Wire) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as deaf,
        pytest.raises(Temporary, match=r"no whole answer in time$"),
    ):
        wire.post_result(f"http://127.0.0.1:{deaf.getsockname()[1]}", b"x" * 16_000_000, timeout_seconds=0.3)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/hook?sig=hidden", "gopher://x/?hidden", "hidden"])
def test_a_refused_receiver_is_permanent(wires: Callable[..., Wire], url: str) -> None:
    with pytest.raises(Permanent) as caught:
        wires(allow=()).post_result(url, BODY)
    assert caught.value.message.startswith("cannot deliver: cannot ")
    assert "hidden" not in str(caught.value)


def test_deliveries_and_their_lines_are_kept_alive(wire: Wire) -> None:
    with serving(replying(200, OK)) as server:
        for _ in range(3):
            wire.post_result(server.url, BODY)
        wire.close()
    assert len({seen.client for seen in server.seen}) == 1
