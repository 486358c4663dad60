"""Package uploads: the application reads while they arrive; who is slow, gone or too much is told apart."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from acsmpd import faults
from acsmpd.api import server_channel
from acsmpd.api.guard import caps_of
from acsmpd.api.server_body import HELD_BYTES, BodyStream
from acsmpd.api.server_channel import STREAM_READ_BYTES
from tests.support.wait import wait_until

from .server_setup import (
    FORM,
    GOOD,
    IMPORT,
    JSON_ROW,
    MIB,
    SETTINGS,
    Echo,
    Environ,
    Line,
    Start,
    answer,
    files_of,
    make_guard,
    served,
)

FORMED = {**GOOD, "Content-Type": FORM}
LINES = ("Authorization: Bearer good", f"Content-Type: {FORM}")


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_channel, "LINGER_SECONDS", 0.1)


class Reader:
    """Tells what it reads, step by step, and answers a fault with its Code."""

    def __init__(self, block: int = 5) -> None:
        self.block = block
        self.go, self.began = threading.Event(), threading.Event()
        self.blocks: list[bytes] = []
        self.code = 0
        self.stream: Any = None

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        stream = environ["wsgi.input"]
        self.stream = self.stream or stream
        try:
            self.began.set()
            assert self.go.wait(10)
            while block := stream.read(self.block):
                self.blocks.append(block)
        except faults.Fault as fault:
            self.code, message = fault.code, fault.message
            return answer(start, {"Code": fault.code, "Message": message}, f"{fault.status} FAULT")
        return answer(start, {"bytes": sum(map(len, self.blocks))})


class Hasty:
    """Answers without reading a byte."""

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        return answer(start, {"Code": 42202}, "422 UNPROCESSABLE ENTITY")


def reading(block: int = 5) -> Reader:
    app = Reader(block)
    app.go.set()
    return app


def test_the_application_reads_before_the_rest_is_sent(tmp_path: Path) -> None:
    app = reading()
    with served(app, tmp_path) as server, Line(server) as line:
        line.ask("POST", IMPORT, *LINES, body=b"hello", length=10)
        wait_until(lambda: app.blocks == [b"hello"], seconds=5, what="the first half read")
        line.send(b"world")
        assert line.answer()[:2] == (200, {"bytes": 10})
    assert app.blocks == [b"hello", b"world"]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_large_upload_arrives_whole_and_never_touches_the_disk(tmp_path: Path, chunked: bool) -> None:
    block = bytes(range(256)) * 4096
    held: list[list[str]] = []

    def app(environ: Environ, start: Start) -> Iterable[bytes]:
        answered = Echo()(environ, start)
        held.append(files_of(tmp_path))
        assert ("CONTENT_LENGTH" in environ) is not chunked
        return answered

    def blocks() -> Iterator[bytes]:
        yield from [block] * 64

    with served(app, tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}{IMPORT}"
        data = blocks() if chunked else block * 64
        told = requests.post(url, data=data, headers=FORMED, timeout=30).json()
    assert told["bytes"] == 64 * len(block)
    assert held == [[]]


def test_while_the_application_does_not_read_the_server_does_not_either(tmp_path: Path) -> None:
    app = Reader(MIB)
    size = 40 * MIB
    with served(app, tmp_path) as server, Line(server) as line:
        line.ask("POST", IMPORT, *LINES, length=size)
        sender = threading.Thread(target=line.send, args=(b"x" * size,))
        sender.start()
        try:
            assert app.began.wait(5)
            wait_until(lambda: app.stream.received >= HELD_BYTES, seconds=5, what="the buffer full")
            app.go.set()
            assert line.answer()[1] == {"bytes": size}
        finally:
            app.go.set()
            sender.join()


def test_the_buffer_is_bounded(tmp_path: Path) -> None:
    app = Reader()
    with served(app, tmp_path) as server, Line(server, SO_SNDBUF=65536) as line:
        line.ask("POST", IMPORT, *LINES, length=40 * MIB)
        line.socket.settimeout(0.5)
        with pytest.raises(TimeoutError):
            line.send(b"x" * 40 * MIB)
        assert HELD_BYTES <= app.stream.received <= HELD_BYTES + STREAM_READ_BYTES
        line.close()
        app.go.set()


def test_keep_alive_and_pipelining_go_on_after_an_upload(tmp_path: Path) -> None:
    with served(Echo(), tmp_path, threads=8) as server, Line(server) as line:
        head = "\r\n".join([f"POST {IMPORT} HTTP/1.1", "Content-Length: 5", *LINES, "", ""])
        line.send(head + "helloGET /healthz HTTP/1.1\r\n\r\n" + head + "he")
        line.send("lloGET /readyz HTTP/1.1\r\n\r\n")
        told = [line.answer()[1] for _ in range(4)]
    assert [(entry["path"], entry["bytes"]) for entry in told] == [
        (f"POST {IMPORT}", 5),
        ("GET /healthz", 0),
        (f"POST {IMPORT}", 5),
        ("GET /readyz", 0),
    ]


def test_a_sender_may_begin_its_next_upload_as_soon_as_it_has_the_answer(tmp_path: Path) -> None:
    with served(Echo(), tmp_path) as server, Line(server) as line:
        for _ in range(30):
            line.ask("POST", IMPORT, *LINES, body=b"hello")
            assert line.answer()[0] == 200


def test_silence_is_a_fault_in_the_reader(tmp_path: Path) -> None:
    app = reading()
    with served(app, tmp_path, channel_timeout_seconds=1) as server, Line(server) as line:
        line.ask("POST", IMPORT, *LINES, body=b"hello", length=10)
        status, body, response = line.answer()
        assert line.is_closed()
    assert (status, body["Code"]) == (400, 40001)
    assert body["Message"] == "cannot read the body: nothing came for 1 s after 5 bytes"
    assert response.getheader("Connection") == "close"


def test_a_sender_that_goes_is_a_fault_in_the_reader_at_once(tmp_path: Path) -> None:
    app = reading()
    with served(app, tmp_path) as server:
        with Line(server) as line:
            line.ask("POST", IMPORT, *LINES, body=b"hello", length=10)
            wait_until(lambda: app.blocks, seconds=5)
        wait_until(lambda: app.code == 40001, seconds=5, what="the reader told")


def test_what_came_before_the_sender_went_can_still_be_read(tmp_path: Path) -> None:
    app = Reader()
    with served(app, tmp_path) as server:
        with Line(server) as line:
            line.ask("POST", IMPORT, *LINES, body=b"hello", length=10)
            assert app.began.wait(5)
            wait_until(lambda: app.stream.received == 5, seconds=5)
        app.go.set()
        wait_until(lambda: app.code == 40001, seconds=5)
    assert app.blocks == [b"hello"]


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_an_early_answer_reaches_requests_while_it_still_sends(tmp_path: Path, chunked: bool) -> None:
    with served(Hasty(), tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}{IMPORT}"
        data = (b"x" * MIB for _ in range(50)) if chunked else b"x" * 50 * MIB
        told = requests.post(url, data=data, headers=FORMED, timeout=20)
    assert (told.status_code, told.json()) == (422, {"Code": 42202})
    assert told.headers["Connection"] == "close"


def test_an_application_that_answers_at_once_never_asks_for_the_body(tmp_path: Path) -> None:
    with served(Hasty(), tmp_path) as server, Line(server) as line:
        line.ask("POST", IMPORT, *LINES, "Expect: 100-continue", length=10)
        assert line.socket.recv(12) == b"HTTP/1.1 422"


def test_an_unread_body_that_has_come_whole_costs_nobody_the_connection(tmp_path: Path) -> None:
    with served(Hasty(), tmp_path) as server, Line(server) as line:
        for _ in range(2):
            line.ask("POST", IMPORT, *LINES, body=b"hello")
            assert line.answer()[0] == 422


def test_chunks_over_the_cap_are_a_fault_in_the_reader(tmp_path: Path) -> None:
    guard = make_guard(tmp_path, caps={**caps_of(SETTINGS), "acsmp.import_algo_file_package": 2 * MIB})
    app = reading(MIB)
    with served(app, tmp_path, guard) as server:
        url = f"http://127.0.0.1:{server.port}{IMPORT}"
        told = requests.post(url, data=(b"x" * MIB for _ in range(50)), headers=FORMED, timeout=20)
    assert (told.status_code, told.json()["Code"]) == (413, 41301)
    assert sum(map(len, app.blocks)) <= 2 * MIB + STREAM_READ_BYTES


def test_a_malformed_chunk_is_a_fault_in_the_reader(tmp_path: Path) -> None:
    app = reading()
    with served(app, tmp_path) as server, Line(server) as line:
        line.ask("POST", IMPORT, *LINES, "Transfer-Encoding: chunked", body=b"")
        line.send("5\r\nhello\r\nzz\r\n")
        assert line.answer()[:2] == (
            400,
            {"Code": 40000, "Message": "cannot read the request: Invalid chunk size"},
        )
    assert app.blocks == [b"hello"]


def test_uploads_leave_threads_to_everybody_else(tmp_path: Path) -> None:
    app = Reader()
    with served(app, tmp_path, threads=8) as server, Line(server) as one, Line(server) as two:
        for line in (one, two):
            line.ask("POST", IMPORT, *LINES, length=5)
            wait_until(app.began.is_set, seconds=5)
            app.began.clear()
        with Line(server) as third:
            third.ask("POST", IMPORT, *LINES, length=5)
            status, body, response = third.answer()
            assert (status, body["Code"], response.getheader("Retry-After")) == (429, 42901, "5")
        app.go.set()
        for line in (one, two):
            line.send(b"hello")
            assert line.answer()[0] == 200
        with Line(server) as again:
            again.ask("POST", IMPORT, *LINES, body=b"hello")
            assert again.answer()[0] == 200


def test_a_stopping_server_ends_an_upload_that_does_not_end(tmp_path: Path) -> None:
    app = reading()
    with served(app, tmp_path) as server, Line(server) as line:
        line.ask("POST", IMPORT, *LINES, body=b"hello", length=10)
        wait_until(lambda: app.blocks, seconds=5)
        server.stop(0.1)
    assert app.code == 50401


def test_a_small_json_body_of_the_same_row_comes_whole(tmp_path: Path) -> None:
    with served(Echo(), tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}{IMPORT}"
        assert requests.post(url, json={"Url": "http://x"}, headers=GOOD, timeout=10).json()["bytes"] == 19
        assert requests.post(url[: -len(IMPORT)] + JSON_ROW, json={}, headers=GOOD, timeout=10).ok


def stream(silence: float = 5.0) -> tuple[BodyStream, list[str]]:
    calls: list[str] = []
    return BodyStream(silence, lambda: calls.append("resume"), lambda: calls.append("invite")), calls


def test_a_stream_reads_like_a_file() -> None:
    body, calls = stream()
    for piece in (b"ab\ncd", b"", b"ef\n", b"gh"):
        body.append(piece)
    body.end()
    assert body.read(3) == b"ab\n"
    assert body.readline() == b"cdef\n"
    buffer = bytearray(1)
    assert (body.readinto(memoryview(buffer)), bytes(buffer)) == (1, b"g")
    assert body.read() == b"h"
    assert (body.read(5), body.read()) == (b"", b"")
    assert body.received == 10
    assert calls == []


def test_a_stream_asks_for_more_when_it_has_room_again() -> None:
    body, calls = stream()
    body.append(b"x" * HELD_BYTES)
    assert not body.wants_more
    assert len(body.read(10)) == 10
    assert calls == ["resume"]
    assert body.wants_more
    body.close()
    body.append(b"late")
    assert not body.wants_more
    with pytest.raises(ValueError, match="answered"):
        body.read(1)


def test_a_fault_after_the_end_changes_nothing_and_the_first_fault_counts() -> None:
    body, _ = stream()
    body.append(b"x")
    body.end()
    body.abort(faults.TooLarge("late"))
    assert body.read() == b"x"
    other, calls = stream()
    other.abort(faults.TooLarge("first"))
    other.abort(faults.InvalidField("second"))
    with pytest.raises(faults.TooLarge, match="first"):
        other.read(1)
    assert calls == ["invite"]
