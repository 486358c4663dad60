"""Passwords of people: kept as scrypt, compared in constant time, common ones refused when chosen."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from acsmpd import faults
from acsmpd.security.common_passwords import PHRASES, WALKS, WORDS
from acsmpd.security.gate import MOST_WAITING, Gate

SHORTEST, LONGEST = 12, 1024
FIRST_FILE = "first-admin-password"
_PATH = "$.NewPassword"
_N, _R, _P = 2**14, 8, 1
_SALT_BYTES, _HASH_BYTES = 16, 32
_MEMORY_BYTES = 64 * 2**20
_LEAST_DISTINCT = 5
_LEAST_APART_FROM_WALKS = 5
_SHORTEST_WALK = 3
_SHORTEST_UNIT = 6
_SHORTEST_NAME = 3
_LEET = str.maketrans("@4831!05$7", "aabeliosst")


class ScryptGate(Gate):
    """At most 2 computations at once (each holds 16 MiB, and this box has none to spare for a crowd)."""

    def __init__(self, waiting: int = MOST_WAITING) -> None:
        super().__init__(2, waiting, "check a password")


_GATE = ScryptGate()


def hash_password(text: str, gate: Gate = _GATE) -> str:
    """What is stored in place of the password: `scrypt$N$r$p$salt$hash`, the last two in base64."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return f"scrypt${_N}${_R}${_P}${_spelled(salt)}${_spelled(_scrypt(text, salt, gate))}"


def verify_password(text: str, stored: str, gate: Gate = _GATE) -> bool:
    """Whether `text` is the password behind `stored`; ValueError when `stored` is not of our making."""
    salt, expected = _read(stored)
    return hmac.compare_digest(_scrypt(text, salt, gate), expected)


def verify_nothing(gate: Gate = _GATE) -> None:
    """Take as long as verify_password: for a user who does not exist, so that nobody can tell."""
    _scrypt("", bytes(_SALT_BYTES), gate)


def check_new_password(text: str, username: str) -> None:
    """Accept a new password or raise InvalidField saying what is wrong with it, never quoting it."""
    if not SHORTEST <= len(text) <= LONGEST:
        raise _refused(f"it has {len(text)} characters, {SHORTEST} to {LONGEST} are needed")
    folded = text.casefold()
    name = username.casefold()
    if len(name) >= _SHORTEST_NAME and (name in folded or name[::-1] in folded):
        raise _refused("it contains the user name")
    if len(set(folded)) < _LEAST_DISTINCT or len(_unit(folded)) < _SHORTEST_UNIT:
        raise _refused("it repeats a few characters")
    if len(_without_walks(folded)) < _LEAST_APART_FROM_WALKS:
        raise _refused("it follows the keyboard or the alphabet")
    if _is_common(folded):
        raise _refused("it is one of the common passwords")


def _refused(reason: str) -> faults.InvalidField:
    return faults.InvalidField(f"cannot accept {_PATH}: {reason}")


def _scrypt(text: str, salt: bytes, gate: Gate) -> bytes:
    secret = text.encode("utf-8", "surrogatepass")
    with gate:
        return hashlib.scrypt(secret, salt=salt, n=_N, r=_R, p=_P, maxmem=_MEMORY_BYTES, dklen=_HASH_BYTES)


def _read(stored: str) -> tuple[bytes, bytes]:
    """Salt and hash; any cost but ours is refused, for it would let a stored value choose our memory."""
    head = f"scrypt${_N}${_R}${_P}$"
    try:
        salt, expected = (base64.b64decode(part, validate=True) for part in stored[len(head) :].split("$"))
    except (ValueError, binascii.Error):
        salt = expected = b""
    if not stored.startswith(head) or len(salt) != _SALT_BYTES or len(expected) != _HASH_BYTES:
        raise ValueError("cannot read a stored password: it is not of the form scrypt$N$r$p$salt$hash")
    return salt, expected


def _spelled(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unit(text: str) -> str:
    """The shortest piece that gives the text when repeated (the last time perhaps cut off)."""
    for size in range(1, len(text) // 2 + 1):
        if text[size:] == text[:-size]:
            return text[:size]
    return text


def _without_walks(text: str) -> str:
    """What is left when every run of three or more neighbours is taken out."""
    left, start = [], 0
    while start < len(text):
        size = _walk_at(text, start)
        if size >= _SHORTEST_WALK:
            start += size
        else:
            left.append(text[start])
            start += 1
    return "".join(left)


def _walk_at(text: str, start: int) -> int:
    longest = 0
    for walk in _BOTH_WAYS:
        size = longest + 1
        while start + size <= len(text) and text[start : start + size] in walk:
            longest, size = size, size + 1
    return longest


_BOTH_WAYS = tuple(walk for forward in WALKS for walk in (forward, forward[::-1]))


def _is_common(folded: str) -> bool:
    """A known phrase, or nothing but common words, as it stands or with signs for letters, and a tail."""
    if folded in PHRASES:
        return True
    trimmed = _letters_between(folded)
    readings = {trimmed, trimmed.translate(_LEET), _letters_between(_without_walks(folded))}
    return any(_of_words("".join(filter(str.isalpha, reading))) for reading in readings)


def _letters_between(text: str) -> str:
    """The text from its first letter to its last."""
    at = [index for index, sign in enumerate(text) if sign.isalpha()]
    return text[at[0] : at[-1] + 1] if at else ""


def _of_words(letters: str) -> bool:
    """Whether the letters are one to three common words and nothing else."""
    reached = {0}
    for _ in range(3):
        reached = {
            end
            for start in reached
            for end in range(start + 1, min(len(letters), start + 16) + 1)
            if letters[start:end] in WORDS
        }
        if len(letters) in reached:
            return True
    return False
