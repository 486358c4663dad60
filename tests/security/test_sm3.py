"""SM3: the two examples its standard prints, OpenSSL and gmssl alike, streams of any cut."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.security import sm3

EXAMPLES = [
    (b"abc", "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"),
    (b"abcd" * 16, "debe9ff92275b8a138604889c18e5a4d6fdb70e5387e5765293dcba39c0c5732"),
]


@pytest.fixture
def without_openssl_sm3(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python whose OpenSSL was built without SM3 answers hashlib.new("sm3") with this ValueError."""
    real = hashlib.new

    def refusing(name: str, *args: object, **more: object) -> object:
        if name == "sm3":
            raise ValueError("unsupported hash type sm3")
        return real(name, *args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "new", refusing)
    monkeypatch.setattr(sm3, "_FRESH", sm3._openssl())


@pytest.mark.parametrize(("data", "expected"), EXAMPLES)
def test_the_printed_examples(data: bytes, expected: str) -> None:
    assert sm3.NATIVE
    assert sm3.sm3_hex(data) == expected
    assert sm3.sm3_bytes(data).hex() == expected


@pytest.mark.usefixtures("without_openssl_sm3")
@pytest.mark.parametrize(("data", "expected"), EXAMPLES)
def test_the_printed_examples_by_gmssl(data: bytes, expected: str) -> None:
    assert sm3.sm3_hex(data) == expected


@given(st.lists(st.binary(max_size=40)))
def test_sums_do_not_depend_on_the_cut(pieces: list[bytes]) -> None:
    sums = sm3.Sums()
    for piece in pieces:
        sums.update(piece)
    whole = b"".join(pieces)
    assert (sums.size, sums.md5, sums.sm3) == (len(whole), hashlib.md5(whole).hexdigest(), sm3.sm3_hex(whole))


@pytest.mark.usefixtures("without_openssl_sm3")
def test_without_openssl_small_streams_have_sums_and_large_ones_say_they_have_none() -> None:
    sums = sm3.Sums()
    sums.update(b"a")
    sums.update(b"bc")
    assert sums.sm3 == EXAMPLES[0][1]
    sums.update(bytes(65536))
    assert sums.sm3 == ""
    assert (sums.size, len(sums.md5)) == (65539, 32)
    with pytest.raises(
        ValueError, match="cannot hash 65537 bytes with SM3: OpenSSL lacks it and gmssl is too slow"
    ):
        sm3.sm3_hex(bytes(65537))
