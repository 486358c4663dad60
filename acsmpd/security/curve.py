"""The SM2 curve: points checked by us, multiplied by an installed OpenSSL 3, else by gmssl.

gmssl (pinned) multiplies whatever it is given, on the curve or not, and draws its own numbers from
`random`; so it gets only points that passed `on_curve` and factors that came from `secrets`.
Its arithmetic is not constant in time; only whole requests over a network can be timed here.
"""

from __future__ import annotations

import secrets
from typing import NamedTuple

from gmssl.sm2 import CryptSM2, default_ecc_table

from acsmpd.security import openssl
from acsmpd.security.sm3 import sm3_bytes

P = int(default_ecc_table["p"], 16)
N = int(default_ecc_table["n"], 16)
A = int(default_ecc_table["a"], 16)
B = int(default_ecc_table["b"], 16)
_SIZE = 32
_COUNTER_MOST = 2**16
_ARITHMETIC = CryptSM2(private_key="", public_key="")


class Point(NamedTuple):
    """An affine point; the point at infinity has no such form."""

    x: int
    y: int

    def encoded(self) -> bytes:
        """x and y, 32 bytes each, without the leading 04."""
        return self.x.to_bytes(_SIZE, "big") + self.y.to_bytes(_SIZE, "big")


def decoded(data: bytes) -> Point:
    """The point of 64 bytes; whether it lies on the curve is for `on_curve` to say."""
    return Point(int.from_bytes(data[:_SIZE], "big"), int.from_bytes(data[_SIZE:], "big"))


GENERATOR = decoded(bytes.fromhex(default_ecc_table["g"]))


def on_curve(point: Point) -> bool:
    """Whether the point is on the curve; every such point has the order of the curve (the cofactor is 1)."""
    if not (0 <= point.x < P and 0 <= point.y < P):
        return False
    return (point.y * point.y - (point.x * point.x * point.x + A * point.x + B)) % P == 0


def multiplied(factor: int, point: Point) -> Point:
    """factor times point; ValueError for a factor outside 1..n-1 or a point off the curve.

    About 15 ms of the interpreter by gmssl, half a millisecond of a core by OpenSSL.
    """
    if not 0 < factor < N or not on_curve(point):
        raise ValueError("cannot multiply on the SM2 curve: the factor or the point is out of range")
    fast = openssl.multiplier()
    result = fast(factor, point.encoded()) if fast is not None else _by_gmssl(factor, point)
    if result is None:
        raise ValueError("cannot multiply on the SM2 curve: the result is the point at infinity")
    return decoded(result)


def _by_gmssl(factor: int, point: Point) -> bytes | None:
    found = _ARITHMETIC._kg(factor, point.encoded().hex())
    return bytes.fromhex(found) if found is not None else None


def random_factor() -> int:
    """A secret number in 1..n-2, fit for a private key and for k."""
    return secrets.randbelow(N - 2) + 1


def mask(shared: Point, length: int) -> bytes:
    """`length` bytes derived from a shared point (the KDF of GB/T 32918.4)."""
    blocks = -(-length // _SIZE)
    if blocks > _COUNTER_MOST:
        raise ValueError(f"cannot derive {length} bytes: SM2 is for short texts here")
    seed = shared.encoded()
    stream = b"".join(sm3_bytes(seed + count.to_bytes(4, "big")) for count in range(1, blocks + 1))
    return stream[:length]


def check_value(shared: Point, plain: bytes) -> bytes:
    """C3: the SM3 over x, the plain text and y."""
    raw = shared.encoded()
    return sm3_bytes(raw[:_SIZE] + plain + raw[_SIZE:])


def mixed(data: bytes, stream: bytes) -> bytes:
    """The two exclusive-ored; they must be of one length."""
    return bytes(a ^ b for a, b in zip(data, stream, strict=True))
