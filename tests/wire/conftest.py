"""Wires of the tests: the real policy with loopback allowed, short time limits, all closed at the end."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.model import Family, Peer
from acsmpd.security.egress import EgressPolicy
from acsmpd.wire.caller import Wire

SITE = "11000000005020000001"
DEVICE = "11000000005050000009"
TOKEN = "s3cret-token-value"


def peer(url: str, **more: Any) -> Peer:
    return Peer(**{"code": DEVICE, "family": Family.CAD, "url": url, "token": TOKEN, **more})


@pytest.fixture
def wires() -> Iterator[Callable[..., Wire]]:
    """Makes a Wire; `allow` is egress.allow."""
    made: list[Wire] = []

    def make(allow: tuple[str, ...] = ("127.0.0.1:*",), **more: Any) -> Wire:
        settings: dict[str, Any] = {
            "connect_timeout_seconds": 5.0,
            "read_timeout_seconds": 5.0,
            "answer_max_bytes": 1024 * 1024,
            "resolver": socket.getaddrinfo,
            **more,
        }
        made.append(Wire(EgressPolicy(allow), SITE, **settings))
        return made[-1]

    yield make
    for wire in made:
        wire.close()


@pytest.fixture
def wire(wires: Callable[..., Wire]) -> Wire:
    return wires()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for device.test with its key, in one PEM file."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=device.test",
         "-addext", "subjectAltName=DNS:device.test"],
        cwd=folder, check=True, capture_output=True, timeout=20,
    )  # fmt: skip
    whole = folder / "both.pem"
    whole.write_bytes((folder / "cert.pem").read_bytes() + (folder / "key.pem").read_bytes())
    return whole
