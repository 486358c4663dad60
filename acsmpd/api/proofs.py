"""Passwords as they come in: how many of one address are looked at, and their plain text."""

from __future__ import annotations

from acsmpd.api.call import Call
from acsmpd.api.platform import Platform
from acsmpd.security.sm2 import is_encrypted, open_device_password


def plain_text(platform: Platform, call: Call, text: str) -> str:
    """The password in `text`. Raises SlowDown when an address sends too many to decrypt, or the gate is full."""
    mode = platform.settings.passwords.mode
    if is_encrypted(text, mode):
        platform.proofs.take(call.caller.address, call.now)
    return open_device_password(text, mode, platform.sm2, platform.gate)
