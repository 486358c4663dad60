"""SM2 for passwords: our key pair, and opening what was encrypted for it.

Every failure to open is one fault with one wording (BadCredentials), whatever was wrong; a text
counts as opened only when its check value C3 matches (conventions section 8).
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from pathlib import Path

from msgspec import Struct

from acsmpd import faults
from acsmpd.security import ciphertext, curve, keyfiles
from acsmpd.security.gate import MOST_WAITING, Gate

KEY_FILE = "sm2.key"
_KEY_BYTES = 32
# The hexadecimal of more would not fit the 1024 characters of the Password field.
_PLAIN_MOST_BYTES = 416
_HEX_KEY = re.compile(r"(?:04)?([0-9A-Fa-f]{128})")
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----")
# SubjectPublicKeyInfo up to the coordinates: id-ecPublicKey, curve 1.2.156.10197.1.301, uncompressed.
_SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")


class BadPublicKey(ValueError):
    """What was given is not an SM2 public key that we can use."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"cannot use the SM2 public key: {reason}")


class DecryptGate(Gate):
    """At most 2 decryptions at once (each holds the interpreter about 15 ms), 64 waiting at most."""

    def __init__(self, inside: int = 2, waiting: int = MOST_WAITING) -> None:
        super().__init__(inside, waiting, "decrypt a password")


class Sm2Key(Struct, frozen=True):
    """Our key pair: private 32 bytes, public as 130 hexadecimal digits with its 04."""

    private: bytes
    public: str

    def __repr__(self) -> str:
        return f"Sm2Key(public={self.public})"

    def decrypt_password(self, text: str) -> str:
        """The password in `text`, in whichever form it came; BadCredentials when nothing opens."""
        return self.opened(readable(text))

    def opened(self, found: list[ciphertext.Candidate]) -> str:
        """The text of the first candidate whose C3 matches; one multiplication each."""
        for candidate in found:
            shared = curve.multiplied(int.from_bytes(self.private, "big"), candidate.point)
            for body in candidate.bodies:
                plain = _opened(shared, body)
                if plain is not None:
                    return _text(plain)
        raise faults.BadCredentials


def generate() -> Sm2Key:
    """A fresh key pair out of the system's random numbers."""
    return _with_public(curve.random_factor().to_bytes(_KEY_BYTES, "big"))


def load_or_create(folder: Path) -> Sm2Key:
    """The key pair whose private half lies in `folder` as hex (0600); made on first use."""
    path = folder / KEY_FILE
    return _checked(path, keyfiles.load_or_create(path, _KEY_BYTES, lambda: generate().private))


def load(folder: Path) -> Sm2Key:
    """The key pair in `folder`, which has to be there."""
    return _checked(folder / KEY_FILE, keyfiles.load(folder / KEY_FILE, _KEY_BYTES))


def _checked(path: Path, private: bytes) -> Sm2Key:
    if not 0 < int.from_bytes(private, "big") < curve.N - 1:
        raise faults.Internal(f"cannot use the key file {path}: the number in it is no SM2 private key")
    return _with_public(private)


def open_device_password(text: str, mode: str, key: Sm2Key, gate: DecryptGate) -> str:
    """The password a device meant, by `passwords.mode`: `auto`, `sm2` or `plain`.

    In `auto` whatever cannot be a ciphertext (not hex or base64, or less than 97 bytes of it) is plain
    text, and all else must open. Only candidates that passed the curve check take a place in the gate.
    """
    if not is_encrypted(text, mode):
        return text
    found = readable(text)
    with gate:
        return key.opened(found)


def is_encrypted(text: str, mode: str) -> bool:
    """Whether `text` is to be decrypted (which costs), as `passwords.mode` has it."""
    if mode not in ("auto", "sm2", "plain"):
        raise ValueError(f"cannot read a password: passwords.mode is {mode!r}, not auto, sm2 or plain")
    return mode == "sm2" or (mode == "auto" and _may_be_ciphertext(text))


def readable(text: str) -> list[ciphertext.Candidate]:
    """The candidates in `text`, found without touching the private key; BadCredentials when there is none."""
    found = ciphertext.candidates(ciphertext.binary(text) or b"")
    if not found:
        raise faults.BadCredentials
    return found


def encrypt(public_hex: str, text: str) -> str:
    """`text` encrypted for a public key: hexadecimal C1 (without 04), C3, C2."""
    plain = text.encode("utf-8")
    if not 0 < len(plain) <= _PLAIN_MOST_BYTES:
        raise ValueError(f"cannot encrypt {len(plain)} bytes with SM2: 1 to {_PLAIN_MOST_BYTES} are possible")
    receiver = _point(parse_public_key(public_hex))
    while True:
        k = curve.random_factor()
        shared = curve.multiplied(k, receiver)
        stream = curve.mask(shared, len(plain))
        if any(stream):
            break
    c1 = curve.multiplied(k, curve.GENERATOR).encoded()
    return (c1 + curve.check_value(shared, plain) + curve.mixed(plain, stream)).hex()


def parse_public_key(text: str) -> str:
    """The public key as 130 lower-case digits with 04, from hexadecimal or the content of a PEM file."""
    stripped = text.strip()
    spelled = _HEX_KEY.fullmatch(stripped)
    if spelled:
        digits = "04" + spelled.group(1).lower()
    elif "-----BEGIN" in stripped:
        digits = _of_pem(stripped)
    else:
        raise BadPublicKey("it is neither 130 hexadecimal digits nor a PEM file")
    if not curve.on_curve(_point(digits)):
        raise BadPublicKey("its point is not on the curve")
    return digits


def spki(public_hex: str) -> bytes:
    """The public key as SubjectPublicKeyInfo in DER: what a PEM file holds between its lines."""
    return _SPKI_HEAD + bytes.fromhex(public_hex)[1:]


def _of_pem(text: str) -> str:
    block = _PEM.search(text)
    if block is None:
        raise BadPublicKey("the PEM file holds no PUBLIC KEY block")
    try:
        data = base64.b64decode("".join(block.group(1).split()), validate=True)
    except binascii.Error:
        raise BadPublicKey("the base64 of the PEM file is damaged") from None
    if not data.startswith(_SPKI_HEAD) or len(data) != len(_SPKI_HEAD) + 64:
        raise BadPublicKey("the PEM file holds a key of another kind (an uncompressed SM2 key is needed)")
    return "04" + data[len(_SPKI_HEAD) :].hex()


def _point(public_hex: str) -> curve.Point:
    return curve.decoded(bytes.fromhex(public_hex)[1:])


def _with_public(private: bytes) -> Sm2Key:
    point = curve.multiplied(int.from_bytes(private, "big"), curve.GENERATOR)
    return Sm2Key(private, "04" + point.encoded().hex())


def _may_be_ciphertext(text: str) -> bool:
    data = ciphertext.binary(text)
    return data is not None and len(data) >= ciphertext.SHORTEST_BYTES


def _opened(shared: curve.Point, body: ciphertext.Body) -> bytes | None:
    stream = curve.mask(shared, len(body.c2))
    if not any(stream):
        return None
    plain = curve.mixed(body.c2, stream)
    return plain if hmac.compare_digest(curve.check_value(shared, plain), body.c3) else None


def _text(plain: bytes) -> str:
    try:
        return plain.decode("utf-8")
    except UnicodeDecodeError:
        raise faults.BadCredentials from None
