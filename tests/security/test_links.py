"""Signed links: only the same parts in the same order carry the same signature."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.security import links
from acsmpd.security.links import LinkSigner

SIGNER = LinkSigner(bytes(range(32)))
PARTS = st.lists(st.text(st.characters(), max_size=8), min_size=1, max_size=4)


@given(PARTS, PARTS)
def test_a_signature_holds_for_its_parts_alone(parts: list[str], others: list[str]) -> None:
    signature = SIGNER.sign(*parts)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", signature)
    assert SIGNER.verify(signature, *parts)
    assert SIGNER.verify(signature, *others) == (parts == others)


@pytest.mark.parametrize("others", [("ab", "c"), ("a", "bc", ""), ("abc",), ("", "a", "bc"), ("bc", "a")])
def test_parts_do_not_run_into_each_other(others: tuple[str, ...]) -> None:
    assert not SIGNER.verify(SIGNER.sign("a", "bc"), *others)


@pytest.mark.parametrize("signature", ["", "x", "\u7b7e\u540d", "\ud800", "A" * 43, "A" * 100_000])
def test_no_other_text_is_a_signature(signature: str) -> None:
    assert not SIGNER.verify(signature, "package", "1")


def test_every_changed_character_breaks_the_signature() -> None:
    good = SIGNER.sign("package", "1")
    for at, sign in enumerate(good):
        assert not SIGNER.verify(good[:at] + ("A" if sign != "A" else "B") + good[at + 1 :], "package", "1")
    assert not SIGNER.verify(good + "=", "package", "1")
    assert not SIGNER.verify(good.swapcase(), "package", "1")


def test_another_key_signs_otherwise() -> None:
    assert not LinkSigner(bytes(32)).verify(SIGNER.sign("package"), "package")


def test_an_empty_list_of_parts_and_a_short_key_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot sign a link: it has no parts"):
        SIGNER.sign()
    with pytest.raises(ValueError, match="cannot sign links: the key has 31 bytes, 32 are needed"):
        LinkSigner(bytes(31))


def test_the_key_outlives_the_process(tmp_path: Path) -> None:
    signature = links.load_or_create(tmp_path / "keys").sign("licence", "7")
    assert links.load_or_create(tmp_path / "keys").verify(signature, "licence", "7")
    assert not links.load_or_create(tmp_path / "others").verify(signature, "licence", "7")
