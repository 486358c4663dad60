"""Addresses that others gave us, taken apart without ever quoting one."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit, urlunsplit

from acsmpd.faults import InvalidField


class Target(NamedTuple):
    """A usable address: `url` with its port and without its fragment; `name` (host:port) for people."""

    url: str
    origin: str
    name: str
    scheme: str
    host: str
    port: int


def target(url: str) -> Target:
    """The parts of an http(s) address. InvalidField if it is none, or holds a user or a password."""
    unusable = InvalidField("cannot use the address: it is no http or https address")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise unusable from None
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        raise unusable
    if "@" in parts.netloc:
        raise InvalidField("cannot use the address: it holds a user or a password")
    port = port if port is not None else {"http": 80, "https": 443}[parts.scheme]
    name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    plain = urlunsplit(SplitResult(parts.scheme, name, parts.path or "/", parts.query, ""))
    return Target(plain, f"{parts.scheme}://{name}", name, parts.scheme, host, port)
