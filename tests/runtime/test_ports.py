"""Ports: the lowest free one of the range, never one somebody listens on."""

from __future__ import annotations

import socket

import pytest

from acsmpd import faults
from acsmpd.runtime.ports import free_port


def listener(host: str = "127.0.0.1") -> socket.socket:
    return socket.create_server((host, 0))


def test_a_free_port_can_be_listened_on_at_once() -> None:
    port = free_port((40000, 40999))
    with socket.create_server(("127.0.0.1", port)) as server:
        assert server.getsockname()[1] == port
        assert free_port((port, port + 50)) != port


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_listened_on_is_taken(host: str) -> None:
    with listener(host) as server:
        port = server.getsockname()[1]
        with pytest.raises(
            faults.Conflict, match=f"cannot find a free port in {port}-{port}: every one is taken"
        ):
            free_port((port, port))


def test_what_the_caller_holds_is_taken() -> None:
    first = free_port((41000, 41999))
    assert free_port((41000, 41999), {first}) > first


def test_a_port_just_left_can_be_had_again() -> None:
    with listener() as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            caller, _ = server.accept()
            caller.close()  # our side goes first: it stays in TIME_WAIT
    assert free_port((port, port)) == port
