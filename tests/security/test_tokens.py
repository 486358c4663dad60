"""Tokens: what a caller may put into the headers, and what it counts as."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.security.tokens import NOTHING, WRONG, Presence, new_token, read_authorization, token_hash


def test_a_new_token_has_256_bits_and_needs_no_quoting() -> None:
    tokens = {new_token() for _ in range(200)}
    assert len(tokens) == 200
    assert all(len(token) == 43 and token.replace("-", "").replace("_", "").isalnum() for token in tokens)


def test_the_hash_is_the_printed_sm3_example() -> None:
    assert token_hash("abc") == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer abc.DEF-1_2="},
        {"authorization": "bearer   abc.DEF-1_2= "},
        {"authorization": "BEARER abc.DEF-1_2=", "token": "other"},
        {"token": "abc.DEF-1_2="},
        {"token": " abc.DEF-1_2=\t", "cookie": "acsmpd_session=other"},
    ],
)
def test_a_token_is_found_in_either_header(headers: dict[str, str]) -> None:
    presented = read_authorization(headers.get)
    assert (presented.presence, presented.token, presented.by_cookie) == (
        Presence.TOKEN,
        "abc.DEF-1_2=",
        False,
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer  "},
        {"authorization": "Basic dTpw"},
        {"authorization": "Basic dTpw", "token": "good"},
        {"authorization": "abcdef"},
        {"authorization": "Bearer two words"},
        {"authorization": "Bearer a,Bearer b"},
        {"authorization": "Bearer \u4ee4\u724c"},
        {"authorization": "Bearer " + "x" * 4097},
        {"token": ""},
        {"token": "a b"},
        {"token": "", "cookie": "acsmpd_session=abc"},
        {"cookie": "acsmpd_session="},
    ],
)
def test_a_header_without_a_token_is_wrong_not_absent(headers: dict[str, str]) -> None:
    assert read_authorization(headers.get) == WRONG


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "application/json"},
        {"cookie": ""},
        {"cookie": "theme=dark; xacsmpd_session=abc; acsmpd_session"},
        {"cookie": "x=" + "a" * 16384 + "; acsmpd_session=abc"},
    ],
)
def test_nothing_presented(headers: dict[str, str]) -> None:
    assert read_authorization(headers.get) == NOTHING


@pytest.mark.parametrize(
    "cookie", ["acsmpd_session=abc", 'theme=dark;acsmpd_session="abc"; x=y', "a; acsmpd_session=abc"]
)
def test_the_session_cookie_is_told_apart_from_a_header(cookie: str) -> None:
    presented = read_authorization({"cookie": cookie}.get)
    assert (presented.presence, presented.token, presented.by_cookie) == (Presence.TOKEN, "abc", True)


def test_another_cookie_name_can_be_read() -> None:
    assert read_authorization({"cookie": "s=abc"}.get, "s").token == "abc"


def test_a_token_is_not_in_the_representation() -> None:
    presented = read_authorization({"token": "very-secret"}.get)
    assert "very-secret" not in f"{presented!r} {presented}"


@given(st.text(max_size=60))
def test_any_text_in_a_header_is_a_token_or_wrong(text: str) -> None:
    presented = read_authorization({"token": text}.get)
    assert presented.presence in (Presence.TOKEN, Presence.WRONG)
    assert not any(sign in presented.token for sign in " \t\r\n\x00")


@given(st.text(st.characters(), max_size=20))
def test_any_text_has_a_hash(text: str) -> None:
    assert len(token_hash(text)) == 64
