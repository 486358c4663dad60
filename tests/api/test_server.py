"""The server around the guard: start and stop, framing, keep-alive, many connections, error pages."""

from __future__ import annotations

import io
import json
import logging
import resource
import socket
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from acsmpd import faults
from acsmpd.api import server as server_module
from acsmpd.api import server_channel
from acsmpd.api.server import MAX_HEADER_BYTES, HttpServer
from acsmpd.api.server_body import IN_MEMORY_BYTES, HeldBody
from acsmpd.settings.sections import Server
from tests.support.wait import wait_until

from .server_setup import (
    GOOD,
    JSON_ROW,
    MIB,
    Echo,
    Environ,
    Line,
    Start,
    answer,
    files_of,
    make_guard,
    result_path,
    served,
)

AUTHORISED = "Authorization: Bearer good"


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_channel, "LINGER_SECONDS", 0.1)


class Held:
    """An application whose answers wait for a word."""

    def __init__(self) -> None:
        self.began, self.go = threading.Event(), threading.Event()

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        self.began.set()
        assert self.go.wait(10)
        return answer(start, {"done": True})


def http_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("http")}


def make(app: object, folder: Path, port: int = 0, host: str = "127.0.0.1") -> HttpServer:
    settings = Server(host=host, port=port, threads=2)
    return HttpServer(app, settings, make_guard(folder), folder / "tmp")  # type: ignore[arg-type]


def test_it_listens_when_start_returns_and_is_gone_when_stop_returns(tmp_path: Path) -> None:
    before = http_threads()
    server = make(Echo(), tmp_path)
    server.start()
    assert server.is_alive
    assert requests.get(f"http://127.0.0.1:{server.port}/healthz", timeout=5).status_code == 200
    assert (tmp_path / "tmp").stat().st_mode & 0o777 == 0o700
    server.stop()
    assert not server.is_alive
    assert http_threads() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port))
    server.stop()  # a second time nothing happens


def test_a_server_that_was_never_started_stops(tmp_path: Path) -> None:
    make(Echo(), tmp_path).stop()


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with served(Echo(), tmp_path) as first:
        second = make(Echo(), tmp_path, first.port)
        words = f"cannot listen on 127.0.0.1:{first.port}: Address already in use"
        with pytest.raises(faults.Conflict, match=words):
            second.start()
        second.stop()


@pytest.mark.parametrize(("host", "reason"), [("203.0.113.1", "Cannot assign"), ("no.such.invalid", "")])
def test_an_address_that_is_not_ours_is_named(tmp_path: Path, host: str, reason: str) -> None:
    with pytest.raises(faults.Internal, match=f"cannot listen on {host}:0: {reason}"):
        make(Echo(), tmp_path, host=host).start()


def test_a_running_request_ends_before_the_server_does(tmp_path: Path) -> None:
    app = Held()
    with served(app, tmp_path) as server, Line(server) as line, Line(server) as idle:
        line.ask("GET", "/healthz")
        assert app.began.wait(5)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert idle.is_closed()
        app.go.set()
        status, body, response = line.answer()
        stopping.join()
        assert (status, body, response.getheader("Connection")) == (200, {"done": True}, "close")
        assert line.is_closed()


def test_a_request_that_does_not_end_does_not_hold_up_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app, before = Held(), http_threads()
    with served(app, tmp_path) as server, Line(server) as line, Line(server) as waiting:
        for each in (line, *[waiting] * 3):
            each.ask("GET", "/healthz")
        assert app.began.wait(5)
        server.stop(0.1)
        assert line.is_closed()
    assert "still running" in caplog.text
    app.go.set()  # the late thread finds its connection closed, and ends
    wait_until(lambda: http_threads() <= before, seconds=5, what="the late threads ended")


def test_no_banner_and_no_word_of_a_proxy_nobody_trusts(tmp_path: Path) -> None:
    app = Echo()
    with served(app, tmp_path) as server, Line(server) as line:
        line.ask("GET", "/healthz", "X-Forwarded-For: 8.8.8.8", "Author_ization: x", "Content_Length: 7")
        response = line.answer()[2]
    assert response.getheader("Server") is None
    assert app.seen[0]["REMOTE_ADDR"] == "127.0.0.1"
    assert app.seen[0]["SERVER_SOFTWARE"] == "acsmpd"
    assert not {"HTTP_X_FORWARDED_FOR", "HTTP_AUTHOR_IZATION", "CONTENT_LENGTH"} & app.seen[0].keys()


@pytest.mark.parametrize(
    ("head", "status", "code", "words"),
    [
        (
            "POST /x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
            400,
            40000,
            "both Content-Length",
        ),
        ("POST /x HTTP/1.0\r\nTransfer-Encoding: chunked", 400, 40000, "needs HTTP/1.1"),
        (
            "POST /x HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6",
            400,
            40000,
            "Content-Length is invalid",
        ),
        ("POST /x HTTP/1.1\r\nContent-Length: -5", 400, 40000, "Content-Length is invalid"),
        (f"POST /x HTTP/1.1\r\nContent-Length: {'9' * 5000}", 400, 40000, "a value that is none"),
        ("POST /x HTTP/1.1\r\nContent-Length: 5\r\nBad Name: x", 400, 40000, "Invalid header"),
        ("POST /x HTTP/1.1\r\nTransfer-Encoding: gzip", 501, 50101, "not supported"),
        ("what is this", 400, 40000, "Start line is invalid"),
        (f"GET /x HTTP/1.1\r\nA: {'a' * MAX_HEADER_BYTES}", 413, 41301, "header is too large"),
    ],
    ids=["both", "old", "twice", "negative", "digits", "name", "gzip", "nonsense", "large"],
)
def test_a_head_that_cannot_be_read_in_one_way_is_refused_in_our_envelope(
    tmp_path: Path, head: str, status: int, code: int, words: str
) -> None:
    app = Echo()
    with served(app, tmp_path) as server, Line(server) as line:
        line.send(head + "\r\nX-Request-ID: r-1\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")
        found, body, response = line.answer()
        assert line.is_closed()  # what follows is never read as a request
    assert (found, body["Code"]) == (status, code)
    assert words in body["Message"]
    assert body["RequestID"]
    assert response.getheader("Connection") == "close"
    assert response.getheader("Content-Type") == "application/json; charset=utf-8"
    assert app.seen == []


def test_a_refused_body_is_never_read_as_the_next_request(tmp_path: Path) -> None:
    app = Echo()
    with served(app, tmp_path) as server, Line(server) as line:
        line.ask("POST", JSON_ROW, body=b"GET /healthz HTTP/1.1\r\n\r\n")
        assert line.answer()[0] == 401
        assert line.is_closed()
    assert app.seen == []


def test_an_application_that_breaks_is_a_500_and_its_path_stays_out_of_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        raise RuntimeError("broken")

    with served(app, tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}{result_path()}"
        told = requests.post(url, data=b"{}", timeout=5)
    assert (told.status_code, told.json()["Code"]) == (500, 50000)
    assert "broken" not in told.text
    assert "RuntimeError: broken" in caplog.text
    assert result_path().rpartition("/")[2] not in caplog.text


def test_keep_alive_goes_on_after_a_good_request_and_pipelined_ones_are_answered_in_order(
    tmp_path: Path,
) -> None:
    with served(Echo(), tmp_path) as server, Line(server) as line:
        line.ask("POST", JSON_ROW, AUTHORISED, body=b"{}")
        assert line.answer()[1]["bytes"] == 2
        post = f"POST {JSON_ROW} HTTP/1.1\r\n{AUTHORISED}\r\nContent-Length: 2\r\n\r\n{{}}"
        line.send("GET /healthz HTTP/1.1\r\n\r\n" + post + "GET /readyz HTTP/1.1\r\n\r\n")
        assert [line.answer()[1]["path"] for _ in range(3)] == [
            "GET /healthz",
            f"POST {JSON_ROW}",
            "GET /readyz",
        ]


def test_a_body_of_1_mib_stays_in_memory_and_a_large_result_lies_in_the_given_folder(tmp_path: Path) -> None:
    held: list[list[str]] = []

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        held.append(files_of(tmp_path))
        return Echo()(environ, start)

    with served(app, tmp_path) as server:
        base = f"http://127.0.0.1:{server.port}"
        for path, size in ((JSON_ROW, MIB), (result_path(), IN_MEMORY_BYTES), (result_path(), MIB)):
            told = requests.post(base + path, data=b"x" * size, headers=GOOD, timeout=10)
            assert told.json()["bytes"] == size
        assert [len(names) for names in held] == [0, 0, 1]
        assert held[2][0].startswith(str(tmp_path / "tmp"))
        wait_until(lambda: files_of(tmp_path) == [], seconds=5, what="the spooled body gone")


def test_a_spooled_body_whose_sender_goes_is_removed(tmp_path: Path) -> None:
    with served(Echo(), tmp_path) as server:
        with Line(server) as line:
            line.ask("POST", result_path(), body=b"x" * MIB, length=2 * MIB)
            wait_until(lambda: len(files_of(tmp_path)) == 1, seconds=5, what="the body spooled")
        wait_until(lambda: files_of(tmp_path) == [], seconds=5, what="the body removed")


def test_a_closed_body_takes_nothing_more(tmp_path: Path) -> None:
    body = HeldBody(tmp_path)
    body.append(b"abc")
    body.close()
    body.append(b"d")
    assert (len(body), body.received) == (3, 3)


@pytest.mark.parametrize("beginning", ["GET /healthz HT", f"POST {JSON_ROW} HTTP/1.1\r\nA: b\r\n", ""])
def test_a_header_that_does_not_end_is_cut_off(tmp_path: Path, beginning: str) -> None:
    with served(Echo(), tmp_path, channel_timeout_seconds=1) as server, Line(server) as line:
        line.send(beginning)
        assert line.is_closed()


def is_cut(line: Line) -> bool:
    """Whether a further byte of a request finds the connection closed."""
    try:
        line.send(b"x")
    except OSError:
        return True
    return False


@pytest.mark.parametrize("head_is_done", [False, True], ids=["header", "body"])
def test_a_request_that_dribbles_is_cut_off_although_it_is_never_silent(
    tmp_path: Path, head_is_done: bool
) -> None:
    with served(Echo(), tmp_path, channel_timeout_seconds=1) as server, Line(server) as line:
        if head_is_done:
            line.ask("POST", "/ACSMP/Register", length=60_000)
        wait_until(lambda: is_cut(line), seconds=6, what="the connection cut")


def test_who_has_shown_a_token_may_take_longer_over_a_body(tmp_path: Path) -> None:
    with (
        served(Echo(), tmp_path, channel_timeout_seconds=1) as server,
        Line(server) as stranger,
        Line(server) as known,
    ):
        stranger.ask("POST", "/ACSMP/Register", length=60_000)
        known.ask("POST", JSON_ROW, AUTHORISED, length=60_000)
        sent = 0

        def both() -> bool:
            nonlocal sent
            sent += not is_cut(known)
            return is_cut(stranger)

        wait_until(both, seconds=6, what="the stranger cut")
        known.send(b"x" * (60_000 - sent))
        assert known.answer()[1]["bytes"] == 60_000


def test_a_header_has_to_be_whole_soon_after_its_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_channel, "HEADER_PATIENCE_SECONDS", 0.5)
    with served(Echo(), tmp_path) as server, Line(server) as slow, Line(server) as idle:
        slow.send("GET /healthz HTTP/1.1\r\nX: ")
        wait_until(lambda: is_cut(slow), seconds=8, what="the slow header cut")
        idle.ask("GET", "/healthz")
        assert idle.answer()[0] == 200


def test_200_connections_at_once_are_all_answered(tmp_path: Path) -> None:
    with served(Echo(), tmp_path, threads=8) as server:

        def post(number: int) -> int:
            with Line(server) as line:
                line.ask("POST", JSON_ROW, AUTHORISED, body=b"x" * number)
                return int(line.answer()[1]["bytes"])

        with ThreadPoolExecutor(50) as pool:
            assert list(pool.map(post, range(1, 201))) == list(range(1, 201))


def test_1100_idle_connections_keep_nobody_out(tmp_path: Path) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 4096:
        pytest.skip("this machine allows too few descriptors")
    with served(Echo(), tmp_path) as server, ExitStack() as stack:
        lines = [stack.enter_context(Line(server)) for _ in range(1100)]
        for line in lines[::100]:
            line.ask("GET", "/healthz")
            assert line.answer()[0] == 200
        assert lines[-1].socket.fileno() > 1024
        with Line(server) as late:
            late.ask("POST", JSON_ROW, AUTHORISED, body=b"{}")
            assert late.answer()[0] == 200
        lines[-1].ask("GET", "/healthz")
        assert lines[-1].answer()[0] == 200


class CountedFile(io.BytesIO):
    """A file that knows what was read of it."""

    def __init__(self, size: int) -> None:
        super().__init__(bytes(size))
        self.reads: list[int] = []

    def read(self, size: int | None = -1) -> bytes:
        block = super().read(size)
        self.reads.append(len(block))
        return block


def test_a_file_leaves_in_small_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither who reads slowly costs a look at megabytes each time, nor has who reads fast the server for himself."""
    file, per_turn, seen = CountedFile(32 * MIB), [0], 0
    readable = server_channel.Listener.readable

    def turn(listener: server_channel.Listener) -> bool:
        nonlocal seen
        total = sum(file.reads)
        per_turn.append(total - seen)
        seen = total
        return readable(listener)

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        start("200 OK", [("Content-Length", str(32 * MIB))])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
        return wrapped

    monkeypatch.setattr(server_channel.Listener, "readable", turn)
    with served(app, tmp_path) as server:
        whole = requests.get(f"http://127.0.0.1:{server.port}/healthz", timeout=20).content
    assert len(whole) == 32 * MIB
    assert max(file.reads) <= server_channel.SEND_BYTES
    # Of one turn: what the application's thread began with, what the server's went on with, and of each the block
    # that did not go any more.
    assert 0 < max(per_turn) <= 2 * (server_channel.TURN_BYTES + server_channel.SEND_BYTES)


def test_at_the_limit_the_longest_idle_make_room(tmp_path: Path) -> None:
    with served(Echo(), tmp_path, connection_limit=22) as server, ExitStack() as stack:
        idle = [stack.enter_context(Line(server)) for _ in range(30)]
        late = stack.enter_context(Line(server))
        late.ask("GET", "/healthz")
        assert late.answer()[0] == 200
        assert idle[0].is_closed()


HALF = {
    "header": "GET /healthz HTTP/1.1\r\nX: ",
    "body": "POST /ACSMP/Register HTTP/1.1\r\nContent-Length: 60000\r\n\r\n",
}


@pytest.mark.parametrize("what", HALF)
def test_half_sent_requests_keep_nobody_out(tmp_path: Path, what: str) -> None:
    with served(Echo(), tmp_path, connection_limit=122) as server, ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(Line(server)).send(HALF[what])
        late = stack.enter_context(Line(server))
        late.ask("GET", "/healthz")
        assert late.answer()[0] == 200


def test_half_sent_headers_go_first_and_then_bodies_of_strangers(tmp_path: Path) -> None:
    with served(Echo(), tmp_path, connection_limit=42) as server, ExitStack() as stack:
        idle, body, known = (stack.enter_context(Line(server)) for _ in range(3))
        idle.ask("GET", "/healthz")
        assert idle.answer()[0] == 200
        body.ask("POST", "/ACSMP/Register", length=3)
        known.ask("POST", JSON_ROW, AUTHORISED, length=3)
        for _ in range(60):
            stack.enter_context(Line(server)).send(HALF["header"])
        late = stack.enter_context(Line(server))
        late.ask("GET", "/healthz")
        assert late.answer()[0] == 200
        for one in (body, known):
            one.send(b"xxx")
            assert one.answer()[1]["bytes"] == 3
        for _ in range(60):
            stack.enter_context(Line(server)).send(HALF["body"])
        late = stack.enter_context(Line(server))
        late.ask("GET", "/healthz")
        assert late.answer()[0] == 200
        idle.ask("GET", "/healthz")
        assert idle.answer()[0] == 200


def test_the_address_listened_on_is_the_one_a_name_stands_for(tmp_path: Path) -> None:
    server = make(Echo(), tmp_path, host="localhost")
    server.start()
    try:
        assert server.host == "127.0.0.1"
    finally:
        server.stop()


def test_the_queue_of_requests_does_not_flood_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = Held()
    with served(app, tmp_path, threads=1) as server, ExitStack() as stack:
        lines = [stack.enter_context(Line(server)) for _ in range(20)]
        for line in lines:
            line.ask("GET", "/healthz")
        assert app.began.wait(5)
        app.go.set()
        assert all(line.answer()[0] == 200 for line in lines)
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("limits", "wanted", "possible", "raised"),
    [
        ((1024, 20000), 2000, 2000, (2512, 20000)),
        ((1024, 1024), 2000, 512, (1024, 1024)),
        ((256, 256), 2000, 128, (256, 256)),
        ((1024, resource.RLIM_INFINITY), 2000, 2000, (2512, resource.RLIM_INFINITY)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 2000, 2000, None),
        ((4096, 4096), 2000, 2000, None),
    ],
)
def test_as_many_connections_as_the_file_limit_allows(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limits: tuple[int, int],
    wanted: int,
    possible: int,
    raised: tuple[int, int] | None,
) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _kind: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda _kind, new: asked.append(new))
    assert server_module._connections(wanted) == possible
    assert asked == ([raised] if raised else [])
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * (possible < wanted)


def test_an_ipv6_socket_serves_ipv4_and_shows_the_ipv4_address(tmp_path: Path) -> None:
    app = Echo()
    server = make(app, tmp_path, host="::")
    try:
        server.start()
    except faults.Internal:
        pytest.skip("this machine has no IPv6")
    try:
        with Line(server) as line:
            line.ask("GET", "/healthz")
            assert json.loads(json.dumps(line.answer()[1]))["path"] == "GET /healthz"
    finally:
        server.stop()
    assert app.seen[0]["REMOTE_ADDR"] == "127.0.0.1"
