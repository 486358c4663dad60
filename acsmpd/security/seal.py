"""Secrets at rest: SM4-CBC under a random IV, then an HMAC over all of it; small texts only.

Two keys are derived from one stored key. A sealed text is `1.` and the URL-safe base64 of
IV (16 bytes), ciphertext, HMAC-SHA256 (32 bytes).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from pathlib import Path

from gmssl import sm4

from acsmpd.security import keyfiles

KEY_FILE = "seal.key"
_KEY_BYTES = 32
_FORM = "1."
_BLOCK = 16
_MAC_BYTES = 32
_MOST_BYTES = 65536


class SealBroken(ValueError):
    """A sealed text was altered, or another key sealed it."""

    def __init__(self) -> None:
        super().__init__("cannot open a sealed value: it was altered or sealed with another key")


class Sealer:
    """Seals and opens texts with one key; safe to share between threads."""

    def __init__(self, key: bytes) -> None:
        if len(key) < _KEY_BYTES:
            raise ValueError(f"cannot seal: the key has {len(key)} bytes, {_KEY_BYTES} are needed")
        cipher_key = hmac.new(key, b"acsmpd seal sm4", hashlib.sha256).digest()[:_BLOCK]
        self._mac_key = hmac.new(key, b"acsmpd seal mac", hashlib.sha256).digest()
        # The key schedule costs as much as a block; neither object changes after set_key.
        self._encrypt = sm4.CryptSM4()
        self._encrypt.set_key(cipher_key, sm4.SM4_ENCRYPT)
        self._decrypt = sm4.CryptSM4()
        self._decrypt.set_key(cipher_key, sm4.SM4_DECRYPT)

    def seal(self, text: str) -> str:
        """The text sealed, different every time."""
        plain = text.encode("utf-8")
        if len(plain) > _MOST_BYTES:
            raise ValueError(f"cannot seal {len(plain)} bytes: the limit is {_MOST_BYTES}")
        iv = secrets.token_bytes(_BLOCK)
        body = iv + bytes(self._encrypt.crypt_cbc(iv, plain))
        return _written(body + self._mac(body))

    def open(self, text: str) -> str:
        """The text that was sealed; SealBroken when as much as a bit of it has changed."""
        body = self._checked(text)
        plain = bytes(self._decrypt.crypt_cbc(body[:_BLOCK], body[_BLOCK:]))
        return plain.decode("utf-8")

    def _checked(self, text: str) -> bytes:
        try:
            data = base64.urlsafe_b64decode(text[len(_FORM) :].encode("ascii"))
        except (UnicodeEncodeError, binascii.Error):
            raise SealBroken from None
        body, mac = data[:-_MAC_BYTES], data[-_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)) or text != _written(data):
            raise SealBroken
        return body

    def _mac(self, body: bytes) -> bytes:
        return hmac.new(self._mac_key, _FORM.encode("ascii") + body, hashlib.sha256).digest()


def _written(data: bytes) -> str:
    return _FORM + base64.urlsafe_b64encode(data).decode("ascii")


def load_or_create(folder: Path) -> Sealer:
    """The sealer whose key lies in `folder`; the key is made on first use."""
    key = keyfiles.load_or_create(folder / KEY_FILE, _KEY_BYTES, lambda: secrets.token_bytes(_KEY_BYTES))
    return Sealer(key)
