"""Signed links: an address that only we could have made, without a clock in it.

Whether a link is still valid is looked up by the caller (conventions section 2); the signature only
says that the parts are ours. A generation number among the parts makes a link revocable.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from acsmpd.security import keyfiles

KEY_FILE = "links.key"
_KEY_BYTES = 32
_PURPOSE = b"acsmpd signed link 1"


class LinkSigner:
    """Signs and verifies the parts of a link with one key."""

    def __init__(self, key: bytes) -> None:
        if len(key) < _KEY_BYTES:
            raise ValueError(f"cannot sign links: the key has {len(key)} bytes, {_KEY_BYTES} are needed")
        self._key = key

    def sign(self, *parts: str) -> str:
        """The signature of exactly these parts in this order: 43 characters fit for a URL."""
        if not parts:
            raise ValueError("cannot sign a link: it has no parts")
        digest = hmac.new(self._key, _encoded(parts), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")

    def verify(self, signature: str, *parts: str) -> bool:
        """Whether `signature` is ours for these parts, told in a time that does not depend on the answer."""
        expected = self.sign(*parts).encode("ascii")
        return hmac.compare_digest(signature.encode("utf-8", "surrogatepass"), expected)


def load_or_create(folder: Path) -> LinkSigner:
    """The signer whose key lies in `folder`; the key is made on first use."""
    key = keyfiles.load_or_create(folder / KEY_FILE, _KEY_BYTES, lambda: secrets.token_bytes(_KEY_BYTES))
    return LinkSigner(key)


def _encoded(parts: tuple[str, ...]) -> bytes:
    """Each part with its length before it, so that no two lists of parts give the same bytes."""
    pieces = [_PURPOSE]
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        pieces.append(len(data).to_bytes(8, "big"))
        pieces.append(data)
    return b"".join(pieces)
