"""Refused bodies: both `requests` and curl see the answer, little leaves the socket, nothing reaches a disk."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from acsmpd.api import server_channel
from acsmpd.api.guard import UNPROVEN_CAP
from acsmpd.api.server_channel import HEADER_READ_BYTES, Channel
from tests.support.wait import wait_until

from .server_setup import (
    FORM,
    GOOD,
    IMPORT,
    JSON_ROW,
    MIB,
    Echo,
    Line,
    files_of,
    make_guard,
    result_path,
    served,
)

BIG = 50_000_000
LEAVES_THE_SOCKET = 64 * 1024 + 1024
"""Of a refused body no more than 64 KiB, and the header."""
FORMED = {**GOOD, "Content-Type": FORM}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each read took out of a socket."""
    sizes: list[int] = []
    recv = Channel.recv

    def counted(channel: Channel, size: int) -> bytes:
        data = recv(channel, size)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(Channel, "recv", counted)
    return sizes


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that is blocked waits for the end of the lingering; here not so long."""
    monkeypatch.setattr(server_channel, "LINGER_SECONDS", 0.1)


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("big") / "body"
    with path.open("wb") as file:
        file.truncate(BIG)
    return path


def pieces(size: int) -> Iterator[bytes]:
    block = b"x" * 65536
    for _ in range(size // len(block)):
        yield block


def curl(*arguments: str) -> tuple[int, str]:
    """curl's status code and what it printed; it must have gone well."""
    ran = subprocess.run(
        ["curl", "-sS", "-m", "20", "-w", "\n%{http_code}", *arguments], capture_output=True, timeout=30
    )
    assert ran.returncode == 0, ran.stderr.decode()
    body, _, status = ran.stdout.decode().rpartition("\n")
    return int(status), body


@pytest.mark.parametrize("path", [IMPORT, JSON_ROW])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_requests_sees_the_401_while_it_still_sends(
    tmp_path: Path, taken: list[int], path: str, chunked: bool
) -> None:
    app = Echo()
    with served(app, tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}{path}"
        answer = requests.post(url, data=pieces(BIG) if chunked else b"x" * BIG, timeout=20)
        assert files_of(tmp_path) == []
    assert answer.status_code == 401
    assert answer.headers["Connection"] == "close"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.json()["Code"] == 40101
    assert answer.json()["Message"].startswith("this needs a token")
    assert app.seen == []
    assert sum(taken) <= LEAVES_THE_SOCKET


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("expect", ["Expect: 100-continue", "Expect:"], ids=["asks", "sends"])
def test_curl_sees_the_401_whether_it_asks_first_or_sends_at_once(
    tmp_path: Path, big: Path, taken: list[int], chunked: bool, expect: str
) -> None:
    more = ["-H", "Transfer-Encoding: chunked"] if chunked else []
    with served(Echo(), tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}{IMPORT}"
        status, body = curl("--data-binary", f"@{big}", "-H", expect, "-H", "X-Request-ID: c-1", *more, url)
        assert files_of(tmp_path) == []
    assert status == 401
    assert json.loads(body)["RequestID"] == "c-1"
    assert sum(taken) <= LEAVES_THE_SOCKET


def test_a_client_that_never_reads_can_fill_the_kernels_buffers_and_no_more(
    tmp_path: Path, taken: list[int]
) -> None:
    with served(Echo(), tmp_path) as server, Line(server, SO_SNDBUF=65536) as line:
        line.ask("POST", IMPORT, length=BIG)
        with pytest.raises(ConnectionError):  # the server has hung up
            line.send(b"x" * BIG)
    assert sum(taken) <= LEAVES_THE_SOCKET


def test_a_client_that_sends_nothing_more_is_hung_up_on(tmp_path: Path) -> None:
    with served(Echo(), tmp_path) as server, Line(server) as line:
        line.ask("POST", IMPORT, length=BIG)
        status, body, _ = line.answer()
        assert (status, body["Code"]) == (401, 40101)
        assert line.is_closed()
        listener = server._listener
        assert listener is not None
        wait_until(lambda: not listener.active_channels, seconds=5, what="the lingering connection closed")


def test_the_line_is_not_reset_as_soon_as_the_answer_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_channel, "LINGER_SECONDS", 1.0)
    with served(Echo(), tmp_path) as server, Line(server) as line:
        line.ask("POST", IMPORT, length=BIG)
        assert line.answer()[0] == 401
        for _ in range(10):
            line.send(b"x" * 1000)
            assert line.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("POST", "/ACSMP/Nothing", GOOD, 404, 40401),
        ("PATCH", JSON_ROW, GOOD, 405, 40501),
        ("POST", IMPORT, {"Authorization": "Bearer viewer"}, 403, 40301),
        ("POST", IMPORT, {"Authorization": "Basic eA=="}, 401, 40101),
        ("POST", JSON_ROW, GOOD, 413, 41301),
        ("POST", "/ACSMP/Register", {}, 413, 41301),
        ("POST", "/ACSMP/Keepalive", GOOD, 413, 41301),
        ("POST", result_path("forged"), GOOD, 404, 40401),
        ("POST", result_path(), {}, 413, 41301),
    ],
)
def test_every_refusal_reaches_requests_and_takes_next_to_nothing(
    tmp_path: Path, taken: list[int], method: str, path: str, headers: dict[str, str], status: int, code: int
) -> None:
    with served(Echo(), tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}{path}"
        answer = requests.request(method, url, data=b"x" * BIG, headers=headers, timeout=20)
        assert files_of(tmp_path) == []
    assert (answer.status_code, answer.json()["Code"]) == (status, code)
    assert sum(taken) <= LEAVES_THE_SOCKET


def test_a_405_names_what_is_served_in_its_header_too(tmp_path: Path) -> None:
    with served(Echo(), tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}"
        for path, allowed in ((JSON_ROW, "POST"), ("/ACSMP/Tasks/1", "DELETE, GET, HEAD, PUT")):
            answer = requests.patch(url + path, data=b"{}", headers=GOOD, timeout=20)
            assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


def test_a_429_says_when_to_come_back(tmp_path: Path) -> None:
    with served(Echo(), tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}{IMPORT}"
        answer = requests.post(url, data=b"x", headers={"Authorization": "Bearer flooding"}, timeout=20)
    assert (answer.status_code, answer.json()["Code"], answer.headers["Retry-After"]) == (429, 42901, "1")


@pytest.mark.parametrize(
    ("path", "headers", "cap"),
    [("/ACSMP/Register", {}, UNPROVEN_CAP), (JSON_ROW, GOOD, MIB), (result_path(), {}, 16 * MIB)],
)
def test_chunks_are_counted_as_they_come(
    tmp_path: Path, taken: list[int], path: str, headers: dict[str, str], cap: int
) -> None:
    app = Echo()
    with served(app, tmp_path) as server:
        url = f"http://127.0.0.1:{server.port}{path}"
        fits = requests.post(url, data=pieces(cap), headers=headers, timeout=20)
        taken.clear()
        over = requests.post(url, data=pieces(max(cap, 10 * MIB) * 2), headers=headers, timeout=20)
        assert files_of(tmp_path) == []
    assert (fits.status_code, fits.json()["bytes"]) == (200, cap)
    assert (over.status_code, over.json()["Code"]) == (413, 41301)
    assert over.json()["Message"] == f"the body has more than the {cap} bytes this row takes"
    assert len(app.seen) == 1
    assert sum(taken) <= cap * 1.01 + 65536 + HEADER_READ_BYTES


@pytest.mark.parametrize(
    ("chunks", "status", "code"),
    [
        (b"5\r\nhello\r\n0\r\n\r\n", 200, None),
        (b"1\r\nx\r\n" * 60_000, 413, 41301),
        (b"5;" + b"a" * 70_000, 400, 40000),
        (b"0\r\n" + b"a: b\r\n" * 5_000, 400, 40000),
        (b"zz\r\n", 400, 40000),
        (b"2\r\nxyz\r\n", 400, 40000),
    ],
    ids=["good", "crumbs", "endless-size", "endless-trailer", "not-hexadecimal", "longer-than-said"],
)
def test_a_chunked_body_that_is_mostly_framing_or_malformed_is_cut_off(
    tmp_path: Path, chunks: bytes, status: int, code: int | None
) -> None:
    with served(Echo(), tmp_path) as server, Line(server) as line:
        line.ask("POST", "/ACSMP/Register", "Transfer-Encoding: chunked")
        line.send(chunks)
        found, body, _ = line.answer()
    assert (found, body.get("Code")) == (status, code)


def test_the_final_answer_comes_in_place_of_100_continue(tmp_path: Path) -> None:
    with served(Echo(), tmp_path) as server, Line(server) as line:
        line.ask("POST", IMPORT, "Expect: 100-continue", length=BIG)
        assert line.socket.recv(12) == b"HTTP/1.1 401"


@pytest.mark.parametrize(("path", "headers"), [("/ACSMP/Register", ()), (IMPORT, (f"Content-Type: {FORM}",))])
def test_a_body_that_is_wanted_is_asked_for(tmp_path: Path, path: str, headers: tuple[str, ...]) -> None:
    with served(Echo(), tmp_path) as server, Line(server) as line:
        line.ask("POST", path, "Expect: 100-continue", "Authorization: Bearer good", *headers, length=5)
        assert line.socket.recv(1024) == b"HTTP/1.1 100 Continue\r\n\r\n"
        line.send(b"hello")
        assert line.answer()[:2][1]["bytes"] == 5


def test_an_expectation_without_a_body_is_passed_over(tmp_path: Path) -> None:
    with served(Echo(), tmp_path) as server, Line(server) as line:
        line.ask("GET", "/healthz", "Expect: 100-continue")
        assert line.answer()[0] == 200
        line.ask("POST", JSON_ROW, "Expect: 100-continue", "Content-Length: +1")
        assert line.answer()[0] == 400


def test_no_room_is_told_before_the_body_comes(small_disk: Path, taken: list[int]) -> None:
    guard = make_guard(small_disk, min_free_bytes=MIB)
    with served(Echo(), small_disk, guard) as server:
        url = f"http://127.0.0.1:{server.port}"
        package = requests.post(url + IMPORT, data=b"x" * BIG, headers=FORMED, timeout=20)
        result = requests.post(url + result_path(), data=b"x" * (3 * MIB), timeout=20)
        assert requests.post(url + result_path(), data=b"x" * 9000, timeout=20).status_code == 200
    for answer in (package, result):
        assert (answer.status_code, answer.json()["Code"]) == (507, 50701)
        assert "are free in the data directory" in answer.json()["Message"]
    assert sum(taken) <= 2 * LEAVES_THE_SOCKET + 18_000


def test_a_disk_that_fills_while_the_body_comes_is_50701_and_is_empty_again(small_disk: Path) -> None:
    with served(Echo(), small_disk) as server:
        url = f"http://127.0.0.1:{server.port}{result_path()}"
        answer = requests.post(url, data=pieces(8 * MIB), timeout=20)
        assert (answer.status_code, answer.json()["Code"]) == (507, 50701)
        assert answer.json()["Message"] == "cannot take the body into the data directory: no space left"
        assert files_of(small_disk) == []
        assert requests.post(url, data=b"x" * MIB, timeout=20).json()["bytes"] == MIB
