"""What is signed, and what is not: the rules of `acsmpd license sign`."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from acsmpd import faults
from acsmpd.licensing import fingerprint
from acsmpd.security import sm2
from acsmpd.security.sm2 import parse_public_key
from tests.security.sm2_peers import KEY, pem

BARE = b'{\n"Format": "acsmpd-fingerprint",\n"Version": 1,\n"Missing": [\n  {"Field": "A"}\n]\n}\n'
SITE = "11010000005020000001"


def test_the_signature_follows_what_it_covers() -> None:
    done = fingerprint.signed(BARE, SITE, KEY)
    value = json.loads(done)
    assert list(value) == ["Format", "Version", "Missing", "SiteCode", "PublicKey", "Signature"]
    assert value["SiteCode"] == SITE
    assert parse_public_key(pem("PUBLIC KEY", base64.b64decode(value["PublicKey"]))) == KEY.public
    assert base64.b64decode(value["PublicKey"])[-65:].hex() == KEY.public
    assert done.startswith(BARE.removesuffix(b"\n}\n"))
    assert KEY.private.hex().encode() not in done
    assert json.loads(fingerprint.signed(BARE, "", KEY))["SiteCode"] is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is no device fingerprint"),
        (b"\xff", "it is no device fingerprint"),
        (b"[]", "its Format is not acsmpd-fingerprint"),
        (b'{"Format": "else"}', "its Format is not acsmpd-fingerprint"),
        (BARE.replace(b": 1,", b": 2,"), "Version 2 of the device fingerprint is not known here"),
        (BARE.replace(b'"Version": 1,\n', b""), "Version None"),
        (BARE.replace(b"\n", b"\r\n"), "each member has to stand on a line of its own"),
        (BARE.strip(), "each member has to stand on a line of its own"),
        (BARE.replace(b"\n", b" "), "each member has to stand on a line of its own"),
        (BARE.replace(b"Missing", b"Signature"), "it is signed already"),
        (BARE.replace(b'  {"Field"', b'{\n"Signature"'), "it is signed already"),
        (fingerprint.signed(BARE, SITE, KEY), "it is signed already"),
        (b" " * 65_537, "it has more than 65536 bytes"),
    ],
)
def test_what_is_no_fingerprint_is_not_signed(content: bytes, words: str) -> None:
    with pytest.raises(faults.InvalidField, match=words):
        fingerprint.signed(content, SITE, KEY)


def test_a_key_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(faults.Internal, match="cannot read the secret file"):
        sm2.load(tmp_path)
    assert list(tmp_path.iterdir()) == []
