"""sd_notify, heard on a real socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(5)
        yield heard


def told(manager: socket.socket) -> list[str]:
    return manager.recv(4096).decode().split("\n")


def test_what_the_manager_hears(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    assert notifier.ready("serving on 127.0.0.1:8750")
    assert told(manager) == ["READY=1", "STATUS=serving on 127.0.0.1:8750"]
    assert notifier.status("3 devices\nREADY=0\r\nx 中")
    assert told(manager) == ["STATUS=3 devices READY=0 x 中"]
    assert notifier.stopping()
    assert told(manager) == ["STOPPING=1", "STATUS=stopping"]


def test_an_abstract_socket() -> None:
    name = f"acsmpd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(f"\0{name}")
        heard.settimeout(5)
        assert Notifier({"NOTIFY_SOCKET": f"@{name}"}).status("here")
        assert told(heard) == ["STATUS=here"]


def test_a_status_is_short(manager: socket.socket) -> None:
    Notifier({"NOTIFY_SOCKET": manager.getsockname()}).status("x" * 10_000)
    assert told(manager) == ["STATUS=" + "x" * 200]


@pytest.mark.parametrize("address", ["", "@", "/", "relative", "vsock:2:1234"])
def test_without_a_socket_nothing_happens(address: str, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"})
    assert not notifier.ready()
    assert not notifier.beat(0.0)
    assert notifier.watchdog_interval_seconds is None
    assert not caplog.records


@pytest.mark.parametrize("name", ["gone", "x" * 200])
def test_a_dead_socket_is_a_warning_and_no_more(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / name)}).ready()
    assert "cannot notify the service manager" in caplog.text


def test_a_manager_that_reads_nothing_holds_nobody_up(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname()})
    sent = [notifier.status("x")]
    while sent[-1] and len(sent) < 5000:
        sent.append(notifier.status("x"))
    assert not sent[-1], "the queue of a socket nobody reads ends somewhere"


def test_signs_of_life_are_sent_at_a_third_of_the_managers_patience(manager: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": manager.getsockname(), "WATCHDOG_USEC": "60000000"})
    assert notifier.watchdog_interval_seconds == 20.0
    assert [notifier.beat(mono) for mono in (5.0, 6.0, 24.9, 25.0, 44.0, 45.1)] == [
        True,
        False,
        False,
        True,
        False,
        True,
    ]
    assert [told(manager) for _ in range(3)] == [["WATCHDOG=1"]] * 3


@pytest.mark.parametrize(
    ("usec", "pid", "expected"),
    [
        ("3000000", "", 1.0),
        ("3000000", "77", 1.0),
        ("3000000", "78", None),
        ("3000000", "x", None),
        ("0", "", None),
        ("", "", None),
        ("-1", "", None),
        ("1e6", "", None),
        ("３", "", None),
        ("9" * 30, "", None),
    ],
)
def test_the_watchdog_is_on_only_when_meant_for_this_process(
    usec: str, pid: str, expected: float | None
) -> None:
    environ = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
    assert Notifier(environ, pid=77).watchdog_interval_seconds == expected
