"""SM2 against its peers: vectors made by npm sm-crypto, OpenSSL live, and everything that must not open."""

from __future__ import annotations

import base64
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.security import ciphertext, curve, keyfiles, sm2
from acsmpd.security.sm2 import BadPublicKey, Sm2Key, parse_public_key
from tests.security.sm2_peers import (
    CASES,
    KEY,
    NEW,
    OLD,
    PLAIN,
    SPKI_HEAD,
    VECTORS,
    der,
    integer,
    key_of,
    octets,
    openssl,
    pem,
    private_pem,
    public_pem,
)

pytestmark = pytest.mark.usefixtures("arithmetic")

WORDING = "the username or the password is wrong"


def _refused(text: str, key: Sm2Key = KEY) -> None:
    with pytest.raises(faults.BadCredentials) as caught:
        key.decrypt_password(text)
    assert (caught.value.code, caught.value.message) == (40102, WORDING)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# --- peers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("private", "case"), CASES)
def test_what_sm_crypto_encrypted_opens(private: str, case: dict[str, Any]) -> None:
    key, sent = key_of(private), case["ciphertext"]
    for form in (sent, "04" + sent.upper(), base64.b64encode(bytes.fromhex(sent)).decode("ascii")):
        assert key.decrypt_password(form) == case["text"]


def test_public_keys_match_those_of_sm_crypto_also_where_digits_of_04_repeat() -> None:
    assert [key_of(row["private"]).public for row in VECTORS] == [row["public"] for row in VECTORS]
    assert [row["public"][:3] for row in VECTORS] == ["040", "040", "048"]
    assert [parse_public_key(row["public"]) for row in VECTORS] == [row["public"] for row in VECTORS]
    assert [parse_public_key(row["public"][2:]) for row in VECTORS] == [row["public"] for row in VECTORS]


@pytest.mark.parametrize("text", [PLAIN, "口令-№7", "x" * 300])
def test_what_openssl_encrypted_opens(tmp_path: Path, text: str) -> None:
    (tmp_path / "public.pem").write_text(public_pem(KEY), encoding="ascii")
    sent = openssl(
        "pkeyutl", "-encrypt", "-pubin", "-inkey", str(tmp_path / "public.pem"), data=text.encode("utf-8")
    )
    assert sent[0] == 0x30
    for form in (sent.hex(), base64.b64encode(sent).decode(), base64.encodebytes(sent).decode()):
        assert KEY.decrypt_password(form) == text


def test_a_key_made_by_openssl_is_read_and_openssl_opens_what_we_encrypt(tmp_path: Path) -> None:
    private = tmp_path / "private.pem"
    private.write_bytes(openssl("ecparam", "-name", "SM2", "-genkey", "-noout", data=b""))
    public = parse_public_key(openssl("ec", "-in", str(private), "-pubout", data=b"").decode("ascii"))
    sent = bytes.fromhex(sm2.encrypt(public, "口令 for above"))
    opened = openssl("pkeyutl", "-decrypt", "-inkey", str(private), data=der(sent))
    assert opened.decode("utf-8") == "口令 for above"


def test_openssl_takes_the_private_key_we_make(tmp_path: Path) -> None:
    key = sm2.generate()
    (tmp_path / "private.pem").write_text(private_pem(key), encoding="ascii")
    sent = bytes.fromhex(sm2.encrypt(key.public, PLAIN))
    opened = openssl("pkeyutl", "-decrypt", "-inkey", str(tmp_path / "private.pem"), data=der(sent))
    assert opened.decode("utf-8") == PLAIN


def test_der_with_coordinates_that_lack_their_leading_zero_opens() -> None:
    raws = [
        bytes.fromhex(case["ciphertext"]) for _, case in CASES if case["mode"] == 1 and case["text"] == PLAIN
    ]
    keys = [private for private, case in CASES if case["mode"] == 1 and case["text"] == PLAIN]
    for private, raw in zip(keys, raws, strict=True):
        assert key_of(private).decrypt_password(der(raw, signed=False).hex()) == PLAIN


@settings(max_examples=8, deadline=None)
@given(st.text(min_size=3, max_size=60))
def test_what_we_encrypt_we_open_in_every_form(text: str) -> None:
    sent = bytes.fromhex(sm2.encrypt(KEY.public, text))
    old = sent[:64] + sent[96:] + sent[64:96]
    urlsafe = base64.urlsafe_b64encode(b"\x04" + sent).decode("ascii").rstrip("=")
    for form in (sent.hex(), b"\x04".hex() + old.hex(), der(sent).hex(), urlsafe):
        assert KEY.decrypt_password(form) == text


def test_encrypting_twice_gives_two_ciphertexts_and_the_limits_hold() -> None:
    assert sm2.encrypt(KEY.public, PLAIN) != sm2.encrypt(KEY.public, PLAIN)
    assert len(sm2.encrypt(KEY.public, "x" * 416)) == 1024
    for text in ("", "x" * 417):
        with pytest.raises(
            ValueError, match=f"cannot encrypt {len(text)} bytes with SM2: 1 to 416 are possible"
        ):
            sm2.encrypt(KEY.public, text)
    with pytest.raises(BadPublicKey, match="its point is not on the curve"):
        sm2.encrypt("04" + "11" * 64, "x")


# --- what must not open ----------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [NEW, OLD, "04" + NEW, "04" + OLD])
def test_a_bit_changed_anywhere_is_refused_with_one_wording(sent: str) -> None:
    raw = bytes.fromhex(sent)
    for at in (0, 1, 33, 63, 64, 70, 95, 96, len(raw) - 33, len(raw) - 1):
        changed = bytearray(raw)
        changed[at] ^= 1
        _refused(changed.hex())


def test_der_tampered_in_any_part_is_refused_with_one_wording() -> None:
    raw = bytes.fromhex(NEW)
    for at in (5, 40, 64, 95, 96, len(raw) - 1):
        changed = bytearray(raw)
        changed[at] ^= 0x40
        _refused(der(bytes(changed)).hex())
    whole = der(raw)
    for broken in (
        whole + b"\x00",
        whole[:-1],
        b"\x30\x84" + whole[2:],
        b"\x30\x80" + whole[2:],
        b"\x30" * 120,
    ):
        _refused(broken.hex())


def test_der_whose_parts_are_of_another_size_is_refused() -> None:
    raw = bytes.fromhex(NEW)
    x, y = (integer(int.from_bytes(raw[at : at + 32], "big")) for at in (0, 32))
    for body in (
        x + y + octets(raw[64:95]) + octets(raw[95:]),
        x + y + octets(raw[64:96]) + octets(b""),
        x + y + octets(raw[64:96]) + octets(raw[96:]) + octets(raw),
        x + octets(raw[32:64]) + octets(raw[64:96]) + octets(raw[96:]),
        x + y + octets(bytes(64)),
    ):
        _refused((b"\x30\x82" + len(body).to_bytes(2, "big") + body).hex())


def test_a_point_off_the_curve_never_meets_the_private_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(factor: int, point: curve.Point) -> curve.Point:
        raise AssertionError(f"multiplied {point}")

    monkeypatch.setattr(curve, "multiplied", never)
    p = curve.P.to_bytes(32, "big")
    rest = bytes.fromhex(NEW)[64:]
    for c1 in (bytes(64), b"\x11" * 64, b"\xff" * 64, p + p, bytes.fromhex(NEW)[:32] + bytes(32)):
        _refused((c1 + rest).hex())
        _refused((b"\x04" + c1 + rest).hex())
        _refused(der(c1 + rest).hex())


def test_no_more_than_two_multiplications_for_any_text(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[curve.Point] = []
    real = curve.multiplied

    def counted(factor: int, point: curve.Point) -> curve.Point:
        done.append(point)
        return real(factor, point)

    monkeypatch.setattr(curve, "multiplied", counted)
    for sent in (NEW, OLD, "04" + OLD, der(bytes.fromhex(NEW)).hex()):
        _refused(sent[:-2] + ("00" if sent[-2:] != "00" else "01"))
    assert len(done) == 4


@pytest.mark.parametrize(
    "text",
    [
        "",
        "04",
        "30",
        "zz",
        "口令",
        "\ud800",
        "0" * 193,
        NEW[:-1],
        NEW[:190],
        NEW[:192],
        "04" + NEW[:192],
        "04" * 97,
        "30" * 97,
        "ff" * 3000,
        "=" * 200,
        "A" * 133,
        " " + NEW,
        "0x" + NEW,
        "04" + "04" + NEW,
    ],
)
def test_garbage_is_refused_with_the_same_wording(text: str) -> None:
    _refused(text)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=300).map(bytes.hex), st.text(max_size=300)))
def test_any_other_text_is_refused_with_the_same_wording(text: str) -> None:
    _refused(text)


def test_a_ciphertext_for_another_key_and_one_that_holds_no_text_are_refused() -> None:
    _refused(NEW, key_of(VECTORS[1]["private"]))
    k, plain = 7, b"\xff\xfe\xfd"
    shared = curve.multiplied(k, curve.decoded(bytes.fromhex(KEY.public)[1:]))
    c1 = curve.multiplied(k, curve.GENERATOR).encoded()
    c2 = curve.mixed(plain, curve.mask(shared, 3))
    _refused((c1 + curve.check_value(shared, plain) + c2).hex())


def test_a_mask_of_zeros_hides_nothing_and_is_neither_made_nor_accepted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bare = 581  # the first k whose mask for KEY begins with a zero
    shared = curve.multiplied(bare, curve.decoded(bytes.fromhex(KEY.public)[1:]))
    assert curve.mask(shared, 1) == b"\x00"
    c1 = curve.multiplied(bare, curve.GENERATOR).encoded()
    _refused((c1 + curve.check_value(shared, b"x") + b"x").hex())
    factors = iter([bare, 7])
    monkeypatch.setattr(curve, "random_factor", lambda: next(factors))
    sent = sm2.encrypt(KEY.public, "x")
    assert bytes.fromhex(sent)[:64] == curve.multiplied(7, curve.GENERATOR).encoded()
    assert KEY.decrypt_password(sent) == "x"


# --- keys ------------------------------------------------------------------------------------------


def test_the_key_file_is_the_owners_and_outlives_the_process(tmp_path: Path) -> None:
    key = sm2.load_or_create(tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys" / "sm2.key").stat().st_mode) == 0o600
    assert sm2.load_or_create(tmp_path / "keys") == key
    assert key.decrypt_password(sm2.encrypt(key.public, PLAIN)) == PLAIN


@pytest.mark.parametrize("number", [0, curve.N - 1, curve.N, 2**256 - 1])
def test_a_number_that_is_no_private_key_is_refused(tmp_path: Path, number: int) -> None:
    keyfiles.write_secret(tmp_path / "sm2.key", f"{number:064x}\n".encode("ascii"))
    with pytest.raises(faults.Internal, match="the number in it is no SM2 private key"):
        sm2.load_or_create(tmp_path)


def test_the_private_half_is_never_shown() -> None:
    assert KEY.private.hex() not in f"{KEY!r} {KEY}"
    assert repr(KEY.private) not in f"{KEY!r} {KEY}"


def test_public_keys_in_pem_are_read_with_text_around() -> None:
    assert parse_public_key("# from the centre\r\n" + public_pem(KEY).replace("\n", "\r\n")) == KEY.public
    assert parse_public_key(f" {KEY.public.upper()}\n") == KEY.public


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is neither 130 hexadecimal digits nor a PEM file"),
        (KEY.public + "00", "it is neither 130 hexadecimal digits nor a PEM file"),
        ("05" + KEY.public[2:], "it is neither 130 hexadecimal digits nor a PEM file"),
        ("04" + "00" * 64, "its point is not on the curve"),
        (private_pem(KEY), "the PEM file holds no PUBLIC KEY block"),
        (pem("CERTIFICATE", b"x"), "the PEM file holds no PUBLIC KEY block"),
        (public_pem(KEY).replace("==", "="), "the base64 of the PEM file is damaged"),
        (pem("PUBLIC KEY", SPKI_HEAD + bytes(63)), "the PEM file holds a key of another kind"),
        (pem("PUBLIC KEY", SPKI_HEAD + bytes(64)), "its point is not on the curve"),
    ],
)
def test_what_is_no_public_key_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(BadPublicKey, match="cannot use the SM2 public key: " + reason):
        parse_public_key(text)


def test_a_public_key_of_another_curve_is_refused(tmp_path: Path) -> None:
    private = tmp_path / "p256.pem"
    private.write_bytes(openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", data=b""))
    public = openssl("ec", "-in", str(private), "-pubout", data=b"").decode("ascii")
    with pytest.raises(BadPublicKey, match="a key of another kind"):
        parse_public_key(public)


def test_spellings() -> None:
    raw = bytes(range(256))
    for text in (
        raw.hex(),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        base64.encodebytes(raw).decode().replace("\n", "\r\n"),
        base64.b64encode(raw).decode().rstrip("="),
    ):
        assert ciphertext.binary(text) == raw
    for text in ("", "abc de", "a===", "A", "AAAAA", "日本", "A" * 4097):
        assert ciphertext.binary(text) is None
