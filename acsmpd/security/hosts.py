"""What a party may name as the place where it is called."""

from __future__ import annotations

from acsmpd.settings.values import is_host


def is_plain_host(text: str) -> bool:
    """True for an IP address (no zone, no brackets) or a host name of letters, digits, hyphens and dots.

    Anything else could become a path, a query or a user of the address it is put into.
    """
    return is_host(text) and not set("%_") & set(text)
