"""SM2 signatures (GB/T 32918.2) with SM3, in DER as OpenSSL and others write them."""

from __future__ import annotations

from acsmpd.security import curve
from acsmpd.security.sm2 import Sm2Key
from acsmpd.security.sm3 import sm3_bytes

USER_ID = b"1234567812345678"
"""Who signs, where nobody agreed on something else (GM/T 0009)."""
_SIZE = 32


def signature(key: Sm2Key, message: bytes) -> bytes:
    """SEQUENCE of the INTEGERs r and s. A fresh secret k for each, out of the system's random numbers."""
    digest = digest_of(key.public, message)
    while True:
        found = _numbers(int.from_bytes(key.private, "big"), digest, curve.random_factor())
        if found is not None:
            body = b"".join(map(_integer, found))
            return b"\x30" + bytes([len(body)]) + body


def digest_of(public_hex: str, message: bytes) -> int:
    """The number e: SM3 over who signs with which key on which curve (Z), and the message."""
    numbers = (curve.A, curve.B, curve.GENERATOR.x, curve.GENERATOR.y)
    head = (8 * len(USER_ID)).to_bytes(2, "big") + USER_ID
    head += b"".join(one.to_bytes(_SIZE, "big") for one in numbers) + bytes.fromhex(public_hex)[1:]
    return int.from_bytes(sm3_bytes(sm3_bytes(head) + message), "big")


def _numbers(private: int, digest: int, k: int) -> tuple[int, int] | None:
    """(r, s), or None for a k that gives none."""
    r = (digest + curve.multiplied(k, curve.GENERATOR).x) % curve.N
    if r == 0 or r + k == curve.N:
        return None
    s = pow(1 + private, -1, curve.N) * (k - r * private) % curve.N
    return (r, s) if s else None


def _integer(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return b"\x02" + bytes([len(data)]) + data
