"""Tokens: what a caller may put into the headers, and what it counts as."""

from __future__ import annotations

import pytest
from flask import Flask, request
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
        {"Authorization": "Bearer abc.DEF-1_2="},
        {"AUTHORIZATION": "bearer   abc.DEF-1_2= "},
        {"authorization": "BEARER abc.DEF-1_2=", "Token": "other"},
        {"Token": "abc.DEF-1_2="},
        {"TOKEN": " abc.DEF-1_2=\t", "Cookie": "acsmpd_session=other"},
    ],
)
def test_a_token_is_found_in_either_header(headers: dict[str, str]) -> None:
    presented = read_authorization(headers)
    assert (presented.presence, presented.token, presented.by_cookie) == (
        Presence.TOKEN,
        "abc.DEF-1_2=",
        False,
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer  "},
        {"Authorization": "Basic dTpw"},
        {"Authorization": "Basic dTpw", "Token": "good"},
        {"Authorization": "abcdef"},
        {"Authorization": "Bearer two words"},
        {"Authorization": "Bearer a,Bearer b"},
        {"Authorization": "Bearer \u4ee4\u724c"},
        {"Authorization": "Bearer " + "x" * 4097},
        {"Token": ""},
        {"Token": "a b"},
        {"Token": "", "Cookie": "acsmpd_session=abc"},
        {"Cookie": "acsmpd_session="},
    ],
)
def test_a_header_without_a_token_is_wrong_not_absent(headers: dict[str, str]) -> None:
    assert read_authorization(headers) == WRONG


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json"},
        {"Cookie": ""},
        {"Cookie": "theme=dark; xacsmpd_session=abc; acsmpd_session"},
        {"Cookie": "x=" + "a" * 16384 + "; acsmpd_session=abc"},
    ],
)
def test_nothing_presented(headers: dict[str, str]) -> None:
    assert read_authorization(headers) == NOTHING


@pytest.mark.parametrize(
    "cookie", ["acsmpd_session=abc", 'theme=dark;acsmpd_session="abc"; x=y', "a; acsmpd_session=abc"]
)
def test_the_session_cookie_is_told_apart_from_a_header(cookie: str) -> None:
    presented = read_authorization({"Cookie": cookie})
    assert (presented.presence, presented.token, presented.by_cookie) == (Presence.TOKEN, "abc", True)


def test_another_cookie_name_can_be_read() -> None:
    assert read_authorization({"Cookie": "s=abc"}, "s").token == "abc"


def test_the_headers_of_a_flask_request_are_read_as_they_are() -> None:
    with Flask("x").test_request_context(headers={"Authorization": "Bearer abc"}):
        assert read_authorization(request.headers).token == "abc"


def test_a_token_is_not_in_the_representation() -> None:
    presented = read_authorization({"Token": "very-secret"})
    assert "very-secret" not in f"{presented!r} {presented}"


@given(st.text(max_size=60))
def test_any_text_in_a_header_is_a_token_or_wrong(text: str) -> None:
    presented = read_authorization({"Token": text})
    assert presented.presence in (Presence.TOKEN, Presence.WRONG)
    assert not any(sign in presented.token for sign in " \t\r\n\x00")


@given(st.text(st.characters(), max_size=20))
def test_any_text_has_a_hash(text: str) -> None:
    assert len(token_hash(text)) == 64
