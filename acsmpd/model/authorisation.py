"""Which packages ask somebody for leave to work (conventions section 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

AUTH_SERVER = "AUTH_SERVER_ADDR"
"""Where an engine asks for its authorisation: host:port, several with commas; offline the path of its licence."""


def needs_authorisation(manifest: Mapping[str, Any]) -> bool:
    """Whether a package needs one: its env declares where to ask."""
    return any(name == AUTH_SERVER for name, _ in manifest.get("env") or ())


def brings_own(env: Sequence[Mapping[str, str]], license_url: str | None) -> bool:
    """Whether the request for a service says where its authorisation is, which comes before all we know. `env`: (Name,
    Value) objects."""
    return bool(license_url) or any(item["Name"] == AUTH_SERVER and item["Value"] for item in env)
