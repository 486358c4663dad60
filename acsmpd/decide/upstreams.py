"""How the platforms above are told apart: one lasting name for each entry of the settings."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from acsmpd.settings import Upstream


def by_name(entries: Sequence[Upstream], site_code: str) -> dict[str, Upstream]:
    """name -> entry. The name is the code we registered with; where several platforms know us by the same
    code, the later ones have their address behind it (`code@host:port`).

    What a platform creates here is kept under its name, so a name must outlive a restart.
    """
    found: dict[str, Upstream] = {}
    for entry in entries:
        code = entry.code or site_code
        found[code if code not in found else f"{code}@{urlsplit(entry.url).netloc}"] = entry
    return found


def code_of(name: str) -> str:
    """The 20-digit code the platform of this name knows us by."""
    return name.partition("@")[0]


def host_of(entry: Upstream) -> str:
    """The host of the platform's address."""
    return urlsplit(entry.url).hostname or ""


def lies_above(address: str, port: int, entries: Sequence[Upstream], caller: str = "") -> bool:
    """Whether a computility at this address is one of the platforms above: nothing that came from above goes there.

    `caller`: the address a platform calls from, where the settings know it by a name alone.
    """
    for entry in entries:
        where = urlsplit(entry.url)
        known = where.port or (443 if where.scheme == "https" else 80)
        if port == known and address and address in (where.hostname or "", caller):
            return True
    return False
