"""Packages whose program is an image, for facilities that pull it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

MOST = 256
"""Characters of an address (Part 4 table G.1)."""
_ADDRESS = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:/@-]*")


def image_trouble(manifest: Mapping[str, Any]) -> str:
    """Why a facility that pulls images cannot have this package, "" if it can."""
    address = str(manifest.get("remote_uri") or "")
    if manifest.get("kind") != "image" or not address:
        return "it pulls images by their address, and the package names none (bin.remote_uri of an image)"
    if len(address) > MOST or not _ADDRESS.fullmatch(address):
        return f"bin.remote_uri of the package is no address of an image of up to {MOST} characters"
    return ""
