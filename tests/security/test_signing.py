"""SM2 signatures against the printed example and against OpenSSL."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acsmpd.security import curve, signing, sm2
from tests.security.sm2_peers import key_of, openssl, pem, private_pem, public_pem

# GM/T 0003.5-2012, annex A.2: the signature of "message digest" on the recommended curve
EXAMPLE = key_of("3945208f7b2144b13f36e38ac6d39f95889393692860b51a42fb81ef4df7c5b8")
K = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
DISTID = ["-sm3", "-sigopt", "distid:1234567812345678"]


def verified(folder: Path, public: str, message: bytes, signature: bytes) -> bool:
    (folder / "public.pem").write_text(public)
    (folder / "signature").write_bytes(signature)
    done = subprocess.run(
        ["openssl", "dgst", *DISTID, "-verify", folder / "public.pem", "-signature", folder / "signature"],
        input=message, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode == 0


def test_the_printed_example_is_met(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curve, "random_factor", lambda: K)
    made = signing.signature(EXAMPLE, b"message digest")
    assert made == b"\x30\x46" + b"".join(b"\x02\x21\x00" + one.to_bytes(32, "big") for one in (R, S))


def test_a_k_that_gives_no_signature_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    digest = signing.digest_of(EXAMPLE.public, b"message digest")
    without_r = -curve.multiplied(5, curve.GENERATOR).x % curve.N
    assert signing._numbers(1, without_r, 5) is None
    assert signing._numbers(1, (without_r - 5) % curve.N, 5) is None
    given_k = iter([5, K])
    monkeypatch.setattr(curve, "random_factor", lambda: next(given_k))
    real = signing._numbers
    monkeypatch.setattr(signing, "_numbers", lambda d, e, k: None if k == 5 else real(d, e, k))
    assert R.to_bytes(32, "big") in signing.signature(EXAMPLE, b"message digest")
    assert digest > 0


@settings(max_examples=8, deadline=None)
@given(message=st.binary(max_size=300))
def test_openssl_verifies_what_we_sign(tmp_path_factory: pytest.TempPathFactory, message: bytes) -> None:
    folder, key = tmp_path_factory.mktemp("signed"), sm2.generate()
    signature = signing.signature(key, message)
    assert verified(folder, public_pem(key), message, signature)
    assert verified(folder, pem("PUBLIC KEY", sm2.spki(key.public)), message, signature)
    assert not verified(folder, public_pem(key), message + b".", signature)
    assert not verified(folder, public_pem(EXAMPLE), message, signature)


def test_openssl_signs_by_the_same_key_for_the_same_public_half(tmp_path: Path) -> None:
    (tmp_path / "private.pem").write_text(private_pem(EXAMPLE))
    theirs = openssl("dgst", *DISTID, "-sign", str(tmp_path / "private.pem"), data=b"message digest")
    assert verified(tmp_path, public_pem(EXAMPLE), b"message digest", theirs)


def test_two_signatures_of_the_same_differ_and_numbers_keep_their_sign() -> None:
    assert signing.signature(EXAMPLE, b"x") != signing.signature(EXAMPLE, b"x")
    assert [signing._integer(value).hex() for value in (1, 0x7F, 0x80, 2**255)] == [
        "020101", "02017f", "02020080", "022100" + "80" + "00" * 31,
    ]  # fmt: skip
