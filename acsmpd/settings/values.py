"""What a setting may hold: types with their range, and the words that tell an operator what is allowed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from msgspec import Meta

MIB = 1 << 20
GIB = 1 << 30

_LOCALTIME = Path("/etc/localtime")
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_TARGET = re.compile(r"(\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:]+)):(?P<port>\*|[0-9]{1,5})")


def is_host(text: str) -> bool:
    """True for an IP address (no brackets) or a host name."""
    if not re.fullmatch(r"[A-Za-z0-9_.:%-]+", text):
        return False
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        labels = text.removesuffix(".").split(".")
        named = len(text) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
        return named and not labels[-1].isdigit()


def is_target(text: str) -> bool:
    """True for host:port or host:*, an IPv6 address in brackets."""
    found = _TARGET.fullmatch(text)
    if not found:
        return False
    if found["port"] != "*" and not 1 <= int(found["port"]) <= 65535:
        return False
    return is_host(found["host"]) if found["host"] else ":" in found["six"] and is_host(found["six"])


def is_web_address(text: str) -> bool:
    """True for http(s)://host[:port][/path] without user, query or fragment."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    if not re.fullmatch(r"[\x21-\x7e]+", text) or set("?#@") & set(text) or port == 0:
        return False
    return parts.scheme in ("http", "https") and is_host(parts.hostname or "")


def is_network(text: str) -> bool:
    """True for a network written as address/prefix, host bits zero."""
    try:
        return "/" in text and bool(ipaddress.ip_network(text))
    except ValueError:
        return False


def is_zone(text: str) -> bool:
    """True for a time zone this system knows, and for the empty text (the system's own)."""
    try:
        return not text or bool(ZoneInfo(text))
    except (KeyError, ValueError, OSError):
        return False


def is_quota_path(text: str) -> bool:
    """True for a path, with or without a query, that holds {AlgoDefCode} once."""
    filled = text.replace("{AlgoDefCode}", "code", 1)
    return filled != text and bool(re.fullmatch(r"/[\x21-\x7e]*", filled)) and not set("{}#\\") & set(filled)


@lru_cache(maxsize=1)
def system_zone() -> ZoneInfo:
    """The zone of /etc/localtime; UTC on a system that has none."""
    try:
        with _LOCALTIME.open("rb") as file:
            return ZoneInfo.from_file(file, key=str(_LOCALTIME.resolve()).rpartition("zoneinfo/")[2])
    except (OSError, ValueError):
        return ZoneInfo("UTC")


def says(text: str, example: str = "") -> Meta:
    """The comment a setting carries in the generated configuration, and a value to show there."""
    return Meta(description=text, examples=[example] if example else None)


def _like(allowed: str, pattern: str) -> Meta:
    return Meta(title=allowed, pattern=pattern + r"\Z")


def _judged(allowed: str, check: Callable[[str], bool]) -> Meta:
    return Meta(title=allowed, extra={"check": check}, max_length=4000)


Port = Annotated[int, Meta(ge=1, le=65535)]
Count = Annotated[int, Meta(ge=1, le=1_000_000_000)]
Few = Annotated[int, Meta(ge=1, le=1024)]
Bytes = Annotated[int, Meta(title="bytes, from 1 to 1 PiB", ge=1, le=1 << 50)]
Rate = Annotated[int, Meta(title="bytes a second, from 1 to 1 PiB, or 0 for no limit", ge=0, le=1 << 50)]
Room = Annotated[int, Meta(title="bytes, from 16 MiB to 1 PiB", ge=16 * MIB, le=1 << 50)]
Seconds = Annotated[float, Meta(ge=0.05, le=86_400)]
WholeSeconds = Annotated[int, Meta(ge=1, le=86_400)]
Tick = Annotated[float, Meta(ge=0.05, le=15)]
Quiet = Annotated[float, Meta(ge=0.05, le=90)]
Threads = Annotated[int, Meta(ge=2, le=256)]
Waiters = Annotated[int, Meta(ge=0, le=255)]
Minutes = Annotated[int, Meta(ge=1, le=10_080)]
HoursOrNot = Annotated[int, Meta(ge=-1, le=87_600)]
Hours = Annotated[int, Meta(ge=1, le=87_600)]
Days = Annotated[int, Meta(ge=1, le=3650)]

Code = Annotated[str, _like("20 digits, or empty", r"^([0-9]{20})?")]
Words = Annotated[str, _like("at most 128 characters on one line", r"^[^\x00-\x1f\x7f\ud800-\udfff]{0,128}")]
Folder = Annotated[str, _like("a path", r"^[^\x00-\x1f\x7f\ud800-\udfff]{1,4000}")]
Absolute = Annotated[str, _like("an absolute path", r"^/[^\x00-\x1f\x7f\ud800-\udfff]{0,4000}")]
MaybeFolder = Annotated[str, _like("a path, or empty", r"^[^\x00-\x1f\x7f\ud800-\udfff]{0,4000}")]
Prefix = Annotated[str, _like("a path such as /CAD without a slash at its end", r"^(/[A-Za-z0-9_.~-]+){1,8}")]
MaybePrefix = Annotated[
    str, _like("empty, or a path such as /v1 without a slash at its end", r"^(/[A-Za-z0-9_.~-]+){0,8}")
]
MaybeUser = Annotated[str, _like("a user name of this system, or empty", r"^([a-z_][a-z0-9_.-]{0,31})?")]
Login = Annotated[str, _like("1 to 128 characters on one line", r"^[^\x00-\x1f\x7f\ud800-\udfff]{1,128}")]

Host = Annotated[str, _judged("an IP address or a host name", is_host)]
Zone = Annotated[str, _judged("empty, or a time zone this system knows, such as Asia/Shanghai", is_zone)]
Network = Annotated[str, _judged("a network such as 10.1.0.0/16, its host bits zero", is_network)]
WebAddress = Annotated[
    str, _judged("http(s)://host[:port][/path] without user, password or query", is_web_address)
]
Target = Annotated[str, _judged("host:port or host:*", is_target)]
MaybeTarget = Annotated[str, _judged("host:port, host:*, or empty", lambda text: not text or is_target(text))]
QuotaPath = Annotated[str, _judged("a path that begins with / and holds {AlgoDefCode} once", is_quota_path)]
