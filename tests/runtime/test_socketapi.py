"""A container engine's socket that is absent, refuses, hangs, answers rubbish or dies midway: a fault that names it."""

from __future__ import annotations

import contextlib
import os
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.clock import Clock
from acsmpd.faults import Conflict, FacilityRefused, Fault, NoAnswerInTime, NoSpace, NotFound, NotSupported
from acsmpd.runtime.containerlog import Frames, log_end
from acsmpd.runtime.socketapi import SocketApi
from acsmpd.runtime.sockets import Sockets, told

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"


@contextlib.contextmanager
def answering(raw: bytes, *, then_wait: bool = False) -> Iterator[SocketApi]:
    """Something that reads one request and sends these bytes back, whatever was asked."""
    over = threading.Event()
    with tempfile.TemporaryDirectory(prefix="acsmpd-s-") as folder:
        path = Path(folder) / "s"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()

            def serve() -> None:
                while True:
                    try:
                        line, _ = listener.accept()
                    except OSError:
                        return
                    with line, contextlib.suppress(OSError):
                        line.recv(65536)
                        line.sendall(raw)
                        if then_wait:
                            over.wait(20)

            thread = threading.Thread(target=serve)
            thread.start()
            try:
                yield SocketApi(path, Clock(), 0.5)
            finally:
                over.set()
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()


def reply(body: bytes, status: bytes = b"200 OK") -> bytes:
    return OK.replace(b"200 OK", status) % (len(body), body)


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (b"", FacilityRefused, "closed connection without response"),
        (b"rubbish\r\n\r\n", FacilityRefused, "cannot use the container engine at"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n", FacilityRefused, "headers"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000, FacilityRefused, "header line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", FacilityRefused, "cannot read what"),
        (reply(b"<html>"), FacilityRefused, "cannot read what"),
        (reply(b"[1]"), FacilityRefused, "cannot read what"),
        (reply(b"[" * 200_000), FacilityRefused, "cannot read what"),
        (reply(b"[" + b" " * 5_000_000 + b"]"), FacilityRefused, "over 4194304 bytes"),
        (reply(b'{"message": "no such image"}', b"404 Not Found"), NotFound, "no such image"),
        (reply(b'{"message": "in use"}', b"409 Conflict"), Conflict, "in use"),
        (reply(b'{"message": 7}', b"500 Oh"), FacilityRefused, "refuses GET /x: 7"),
        (reply(b"<html>", b"500 Oh"), FacilityRefused, "HTTP status 500"),
        (reply(b'{"message": "write /x: no space left on device"}', b"500 Oh"), NoSpace, "no space left"),
        (reply(b'{"message": "' + b"long " * 1000 + b'"}', b"500 Oh"), FacilityRefused, "long"),
        (reply(b"", b"301 Moved\r\nLocation: http://elsewhere/"), FacilityRefused, "HTTP status 301"),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_a_fault_with_the_socket_in_it(
    raw: bytes, kind: type[Fault], words: str
) -> None:
    with answering(raw) as api, pytest.raises(kind, match=words) as caught:
        api.get(dict[str, Any], "/x")
    assert str(api.path) in caught.value.message
    assert len(caught.value.message) < 700


def test_silence_leaves_a_change_open_and_a_question_not() -> None:
    with answering(b"", then_wait=True) as api:
        with pytest.raises(FacilityRefused, match="no answer in time to GET /x"):
            api.ask("GET", "/x")
        with pytest.raises(NoAnswerInTime, match="no answer in time to POST /x"):
            api.ask("POST", "/x", {"a": 1})


def test_an_answer_that_trickles_has_no_longer_than_its_time() -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", then_wait=True) as api:
        with pytest.raises(NoAnswerInTime, match="no answer in time"):
            api.ask("DELETE", "/x")


def test_an_engine_that_dies_while_it_is_told_a_lot_leaves_it_open() -> None:
    with answering(b"") as api, pytest.raises(NoAnswerInTime):
        list(api.told("/images/load", (bytes(1 << 20) for _ in range(64)), seconds=10))


def test_why_it_hung_up_is_told_when_it_said_so() -> None:
    raw = reply(b'{"message": "unrecognized image format"}', b"400 Bad Request")
    with answering(raw) as api, pytest.raises(FacilityRefused, match="unrecognized image format"):
        list(api.told("/images/load", iter([b"x"]), seconds=10))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"status": "Pulling"}\n{"error": "manifest unknown"}\n', "says: manifest unknown"),
        (b'{"error": "write: no space left on device"}', "no space left"),
        (b"<html>\n", "cannot read what"),
        (b"x" * 200_000, "a line without end"),
    ],
)
def test_what_goes_wrong_while_it_works_is_told(body: bytes, words: str) -> None:
    with answering(reply(body)) as api, pytest.raises(Fault, match=words):
        list(api.told("/images/create", None, seconds=10, fromImage="a"))


def test_no_socket_a_file_and_a_closed_one_are_told_apart(tmp_path: Path) -> None:
    file, gone = tmp_path / "file", tmp_path / "gone"
    file.write_text("")
    with pytest.raises(NotSupported, match=f"no container engine listens at {gone} or {file}"):
        Sockets("", Clock(), 1, (gone, file)).api()
    with pytest.raises(NotSupported, match=f"listens at {gone}"):
        Sockets(str(gone), Clock(), 1).api()
    with pytest.raises(NotSupported, match=r"runtime\.container_socket is none"):
        Sockets("none", Clock(), 1).api()
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as unused:
        unused.bind(f"{folder}/s")
        api = Sockets("", Clock(), 1, (gone, Path(folder) / "s")).api()
        with pytest.raises(FacilityRefused, match="Connection refused"):
            api.ask("POST", "/x")


def test_a_socket_that_is_not_for_us_is_told(tmp_path: Path) -> None:
    """As another account, which the socket's mode keeps out."""
    with answering(reply(b"OK")) as api:
        os.chmod(api.path, 0o600)
        os.chmod(api.path.parent, 0o755)
        os.seteuid(65534)
        try:
            with pytest.raises(FacilityRefused, match="Permission denied"):
                api.ask("POST", "/x")
        finally:
            os.seteuid(0)


def test_what_is_told_of_an_engine_is_its_name_or_why_there_is_none(tmp_path: Path) -> None:
    said = b'{"Components": [{"Name": "Podman Engine"}, 7], "Version": "4.3.1"}'
    with answering(reply(said)) as api:
        assert told(str(api.path), Clock()) == (True, f"Podman Engine 4.3.1 at {api.path}")
    with answering(reply(b'{"Components": "x"}')) as api:
        assert told(str(api.path), Clock()) == (True, f"an engine None at {api.path}")
    with answering(reply(b"<html>")) as api:
        assert told(str(api.path), Clock())[0] is False
    assert told("none", Clock()) == (True, "cannot run images on this box: runtime.container_socket is none")
    fine, words = told(str(tmp_path / "gone"), Clock())
    assert not fine
    assert "no container engine listens" in words


def frame(text: bytes, stream: int = 1) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text


@pytest.mark.parametrize("size", [1, 3, 8, 1000])
def test_a_log_is_read_in_whatever_pieces_it_comes(size: int) -> None:
    raw, reader = frame(b"one\n") + frame(b"", 2) + frame(b"two\n", 2), Frames()
    assert b"".join(reader.text(raw[at : at + size]) for at in range(0, len(raw), size)) == b"one\ntwo\n"


def test_of_a_log_the_end_is_kept() -> None:
    with answering(reply(frame(b"x" * 100_000) + frame(b"the end"))) as api:
        assert log_end(api, "c", 10) == b"xxxthe end"
