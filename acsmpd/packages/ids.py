"""The 40-digit identifier of a package: given by algo.yaml, else by the file name, else minted."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

_FILE_NAME = re.compile(r"([0-9]{40})_V.+\.(?:tar|tar\.gz|tgz|tar\.zst)", re.IGNORECASE)


def package_id_from(manifest_id: str | None, file_name: str, mint: Callable[[], str]) -> str:
    """The package's identifier (conventions section 3). A path before the file name is ignored."""
    if manifest_id:
        return manifest_id
    named = _FILE_NAME.fullmatch(re.split(r"[/\\]", file_name)[-1])
    return named.group(1) if named else mint()


def mint_package_id(site_code: str, local_time: datetime, counter: int) -> str:
    """Site code, local time to the second, six digits of a counter that goes round."""
    if not re.fullmatch(r"[0-9]{20}", site_code):
        raise ValueError(f"cannot mint a package ID: the site code has 20 digits, not {site_code!r}")
    return f"{site_code}{local_time:%Y%m%d%H%M%S}{counter % 1_000_000:06d}"
