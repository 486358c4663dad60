"""The SM2 curve in an installed OpenSSL 3: thirty times as fast as gmssl, and it lets others work meanwhile.

Used where it is there, knows the curve, and multiplies a known point as it should; else gmssl does it all. The
library is the one Python's own ssl and hashlib use as a rule, so it costs nothing to load.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

log = logging.getLogger(__name__)

Multiplied = Callable[[int, bytes], bytes | None]

LIBRARIES = ("libcrypto.so.3",)
_SM2 = 1172  # NID_sm2
_UNCOMPRESSED = 4
_SIZE = 32
_GENERATOR = bytes.fromhex(
    "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7"
    "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0"
)
_TWICE = bytes.fromhex(
    "56cefd60d7c87c000d58ef57fa73ba4d9c0dfa08c08a7331495c2e1da3f2bd52"
    "31b7e7e6cc8189f668535ce0f8eaf1bd6de84c182f6c8e716f780d3a970a23c3"
)
_POINTERS = ("EC_GROUP_new_by_curve_name", "EC_POINT_new", "BN_CTX_secure_new", "BN_secure_new", "BN_bin2bn")
_NUMBERS = ("EC_POINT_oct2point", "EC_POINT_mul")


@lru_cache(maxsize=1)
def multiplier() -> Multiplied | None:
    """(factor, x and y of a point on the curve) -> x and y of the product, None at infinity; None without OpenSSL."""
    for name in LIBRARIES:
        with contextlib.suppress(OSError, AttributeError):
            found = _of(ctypes.CDLL(name))
            if found is not None and found(2, _GENERATOR) == _TWICE:
                return found
    log.info("SM2 is done by gmssl: no OpenSSL 3 with its curve is installed")
    return None


def _of(library: Any) -> Multiplied | None:
    """The multiplication by this library; None if it does not know the curve."""
    for name in _POINTERS:
        getattr(library, name).restype = ctypes.c_void_p
    for name in _NUMBERS:
        getattr(library, name).restype = ctypes.c_int
    library.EC_POINT_point2oct.restype = ctypes.c_size_t
    curve = library.EC_GROUP_new_by_curve_name(_SM2)
    if not curve:
        return None
    group = ctypes.c_void_p(curve)  # read alone from here on: any thread may

    def multiplied(factor: int, point: bytes) -> bytes | None:
        with _values(library, group) as (number, given, product, work):
            encoded = b"\x04" + point
            digits = factor.to_bytes(_SIZE, "big")
            read = library.BN_bin2bn(digits, ctypes.c_int(_SIZE), number) and library.EC_POINT_oct2point(
                group, given, encoded, ctypes.c_size_t(len(encoded)), work
            )
            if not read or not library.EC_POINT_mul(group, product, None, given, number, work):
                raise ValueError(
                    "cannot multiply on the SM2 curve: OpenSSL does not take the factor or the point"
                )
            out = ctypes.create_string_buffer(1 + 2 * _SIZE)
            size = library.EC_POINT_point2oct(
                group, product, ctypes.c_int(_UNCOMPRESSED), out, ctypes.c_size_t(len(out)), work
            )
            return out.raw[1:] if size == len(out) else None

    return multiplied


@contextlib.contextmanager
def _values(library: Any, group: ctypes.c_void_p) -> Iterator[tuple[ctypes.c_void_p, ...]]:
    """A secret number, two points, and room to work: all wiped and given back."""
    made: list[tuple[str, ctypes.c_void_p]] = []

    def make(value: int | None, give_back: str) -> ctypes.c_void_p:
        if not value:
            raise MemoryError("OpenSSL has no memory for a multiplication")
        made.append((give_back, ctypes.c_void_p(value)))
        return made[-1][1]

    try:
        yield (
            make(library.BN_secure_new(), "BN_clear_free"),
            make(library.EC_POINT_new(group), "EC_POINT_clear_free"),
            make(library.EC_POINT_new(group), "EC_POINT_clear_free"),
            make(library.BN_CTX_secure_new(), "BN_CTX_free"),
        )
    finally:
        for give_back, value in made:
            getattr(library, give_back)(value)
