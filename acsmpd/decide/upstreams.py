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
