"""Sealing at rest: what went in comes out, and nothing else ever does."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from gmssl import sm4
from hypothesis import given, settings
from hypothesis import strategies as st

from acsmpd.security import seal
from acsmpd.security.seal import SealBroken, Sealer

SEALER = Sealer(bytes(range(32)))
WORDING = "cannot open a sealed value: it was altered or sealed with another key"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_a_text_comes_back(text: str) -> None:
    sealed = SEALER.seal(text)
    assert SEALER.open(sealed) == text
    assert SEALER.seal(text) != sealed


def test_the_cipher_is_sm4_as_its_standard_prints_it() -> None:
    cipher = sm4.CryptSM4()
    key = bytes.fromhex("0123456789abcdeffedcba9876543210")
    cipher.set_key(key, sm4.SM4_ENCRYPT)
    assert bytes(cipher.one_round(cipher.sk, list(key))).hex() == "681edf34d206965e86b3e94f536e4246"


def test_the_text_and_its_pattern_are_hidden() -> None:
    raw = base64.urlsafe_b64decode(SEALER.seal("A" * 64)[2:])
    assert b"AAAA" not in raw
    assert len({raw[at : at + 16] for at in range(0, len(raw), 16)}) == len(raw) // 16


def test_every_changed_bit_is_noticed() -> None:
    raw = base64.urlsafe_b64decode(SEALER.seal("password")[2:])
    for at in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(SealBroken, match=WORDING):
            SEALER.open("1." + base64.urlsafe_b64encode(changed).decode("ascii"))


@pytest.mark.parametrize(
    "broken", ["", "1.", "1.AAAA", "1.A", "\u5c01", "2.{rest}", "{rest}", "1.{rest}=", "1. {rest}"]
)
def test_what_is_no_sealed_text_is_refused(broken: str) -> None:
    with pytest.raises(SealBroken, match=WORDING):
        SEALER.open(broken.replace("{rest}", SEALER.seal("password")[2:]))


def test_pieces_of_two_sealed_texts_do_not_mix() -> None:
    one, two = (base64.urlsafe_b64decode(SEALER.seal(text)[2:]) for text in ("a" * 16, "b" * 16))
    with pytest.raises(SealBroken):
        SEALER.open("1." + base64.urlsafe_b64encode(one[:16] + two[16:]).decode("ascii"))


def test_another_key_opens_nothing_and_a_short_key_is_refused() -> None:
    with pytest.raises(SealBroken):
        Sealer(bytes(32)).open(SEALER.seal("password"))
    with pytest.raises(ValueError, match="cannot seal: the key has 16 bytes, 32 are needed"):
        Sealer(bytes(16))


def test_large_texts_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot seal 65537 bytes: the limit is 65536"):
        SEALER.seal("x" * 65537)


def test_the_key_outlives_the_process(tmp_path: Path) -> None:
    sealed = seal.load_or_create(tmp_path).seal("token")
    assert seal.load_or_create(tmp_path).open(sealed) == "token"
