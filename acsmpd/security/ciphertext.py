"""The forms in which an SM2 ciphertext arrives, and what each may mean.

No form is announced, so they are told apart by the first byte, the length and the curve: a point
read at the wrong offset is not on the curve. Hexadecimal or base64 around; inside DER, or C1 with
or without its 04 followed by C3 C2 or C2 C3.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import NamedTuple

from acsmpd.security import curve

SHORTEST_BYTES = 97
MOST_CHARACTERS = 4096
_POINT = 64
_CHECK = 32
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})+")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}")
_LINE_BREAKS = str.maketrans("", "", "\r\n")


class Body(NamedTuple):
    """One reading of what follows C1."""

    c3: bytes
    c2: bytes


class Candidate(NamedTuple):
    """A point that is on the curve, and the one or two readings of what follows it."""

    point: curve.Point
    bodies: tuple[Body, ...]


def binary(text: str) -> bytes | None:
    """The bytes that `text` spells in hexadecimal or base64 (either alphabet, broken into lines or not)."""
    spelled = text.translate(_LINE_BREAKS)
    if len(spelled) > MOST_CHARACTERS:
        return None
    if _HEX.fullmatch(spelled):
        return bytes.fromhex(spelled)
    if not _BASE64.fullmatch(spelled):
        return None
    bare = spelled.rstrip("=")
    try:
        return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_" if _urlsafe(bare) else None)
    except binascii.Error:
        return None


def candidates(data: bytes) -> list[Candidate]:
    """Every meaning worth a multiplication: one as a rule, never more than two."""
    if len(data) < SHORTEST_BYTES:
        return []
    structured = _of_der(data) if data[0] == 0x30 else None
    if structured is not None:
        found = [structured]
    elif data[0] == 0x04:
        found = [_of_raw(data[1:]), _of_raw(data)]
    else:
        found = [_of_raw(data)]
    return [one for one in found if one.bodies and curve.on_curve(one.point)]


def _urlsafe(text: str) -> bool:
    return "-" in text or "_" in text


def _of_raw(data: bytes) -> Candidate:
    point, rest = curve.decoded(data[:_POINT]), data[_POINT:]
    if len(rest) <= _CHECK:
        return Candidate(point, ())
    new = Body(c3=rest[:_CHECK], c2=rest[_CHECK:])
    old = Body(c3=rest[-_CHECK:], c2=rest[:-_CHECK])
    return Candidate(point, (new, old))


def _of_der(data: bytes) -> Candidate | None:
    """SEQUENCE of INTEGER x, INTEGER y, OCTET STRING C3, OCTET STRING C2, and nothing after it.

    Some peers forget the 00 before a high bit: the coordinates are read as unsigned.
    """
    try:
        inside, after = _element(data, 0x30)
        x, rest = _element(inside, 0x02)
        y, rest = _element(rest, 0x02)
        c3, rest = _element(rest, 0x04)
        c2, rest = _element(rest, 0x04)
    except ValueError:
        return None
    if after or rest or len(c3) != _CHECK or not c2:
        return None
    point = curve.Point(int.from_bytes(x, "big"), int.from_bytes(y, "big"))
    return Candidate(point, (Body(c3=c3, c2=c2),))


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the DER element at the front, and what follows the element."""
    if len(data) < 2 or data[0] != tag:
        raise ValueError(f"no DER element {tag:#04x}")
    length, start = data[1], 2
    if length >= 0x80:
        start = 2 + (length & 0x7F)
        if start == 2 or start > 4:
            raise ValueError("a DER length of an unused form")
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data):
        raise ValueError("a DER element is cut off")
    return data[start : start + length], data[start + length :]
