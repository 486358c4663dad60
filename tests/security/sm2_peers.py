"""What the SM2 tests share: vectors of npm sm-crypto, and the PEM and DER that OpenSSL speaks."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

from acsmpd.security import curve
from acsmpd.security.sm2 import Sm2Key

SPKI_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")
OID_SM2 = bytes.fromhex("06082a811ccf5501822d")
VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "sm2_vectors.json").read_text(encoding="utf-8")
)["keys"]
CASES = [(row["private"], case) for row in VECTORS for case in row["cases"]]


def key_of(private: str) -> Sm2Key:
    point = curve.multiplied(int(private, 16), curve.GENERATOR)
    return Sm2Key(bytes.fromhex(private), "04" + point.encoded().hex())


KEY = key_of(VECTORS[0]["private"])
NEW = str(VECTORS[0]["cases"][0]["ciphertext"])
OLD = str(VECTORS[0]["cases"][1]["ciphertext"])
PLAIN = str(VECTORS[0]["cases"][0]["text"])


def pem(kind: str, data: bytes) -> str:
    lines = base64.encodebytes(data).decode("ascii")
    return f"-----BEGIN {kind}-----\n{lines}-----END {kind}-----\n"


def public_pem(key: Sm2Key) -> str:
    return pem("PUBLIC KEY", SPKI_HEAD + bytes.fromhex(key.public)[1:])


def private_pem(key: Sm2Key) -> str:
    public = b"\xa1\x44\x03\x42\x00" + bytes.fromhex(key.public)
    body = b"\x02\x01\x01\x04\x20" + key.private + b"\xa0" + bytes([len(OID_SM2)]) + OID_SM2 + public
    return pem("EC PRIVATE KEY", b"\x30" + bytes([len(body)]) + body)


def integer(value: int, *, signed: bool = True) -> bytes:
    data = value.to_bytes((value.bit_length() + (8 if signed else 7)) // 8 or 1, "big")
    return b"\x02" + bytes([len(data)]) + data


def octets(data: bytes) -> bytes:
    return (
        b"\x04" + (bytes([len(data)]) if len(data) < 128 else b"\x82" + len(data).to_bytes(2, "big")) + data
    )


def der(raw: bytes, *, signed: bool = True) -> bytes:
    """What OpenSSL reads and writes, from C1 C3 C2 without 04."""
    x, y = (integer(int.from_bytes(raw[at : at + 32], "big"), signed=signed) for at in (0, 32))
    body = x + y + octets(raw[64:96]) + octets(raw[96:])
    head = bytes([len(body)]) if len(body) < 128 else b"\x82" + len(body).to_bytes(2, "big")
    return b"\x30" + head + body


def openssl(*arguments: str, data: bytes) -> bytes:
    return subprocess.run(
        ["openssl", *arguments], input=data, capture_output=True, check=True, timeout=60
    ).stdout
