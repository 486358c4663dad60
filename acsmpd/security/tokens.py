"""Tokens: made here, recognised by their hash, read from the headers a caller sends."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from acsmpd.security.sm3 import sm3_hex

SESSION_COOKIE = "acsmpd_session"
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_COOKIE_HEADER_MOST = 16384


Header = Callable[[str], str | None]
"""Gives a request's header by its lower-case name, None when it is absent."""


class Presence(str, Enum):
    """What a caller put where a token belongs."""

    NONE = "none"
    WRONG = "wrong"
    TOKEN = "token"  # noqa: S105


class Presented(Struct, frozen=True, kw_only=True):
    """What a request brought: nothing, something that is no token, or a token, and by which way."""

    presence: Presence
    token: str = ""
    by_cookie: bool = False

    def __repr__(self) -> str:
        return f"Presented(presence={self.presence.value}, by_cookie={self.by_cookie})"


NOTHING = Presented(presence=Presence.NONE)
WRONG = Presented(presence=Presence.WRONG)


def new_token() -> str:
    """A fresh token of 256 random bits, 43 characters that need no quoting anywhere."""
    return secrets.token_urlsafe(32)


def token_hash(token: str) -> str:
    """The SM3 of a token: what we keep and look up in place of the token itself."""
    return sm3_hex(token.encode("utf-8", "surrogatepass"))


def read_authorization(header: Header, cookie: str = SESSION_COOKIE) -> Presented:
    """Read `Authorization: Bearer x`, else `Token: x`, else the session cookie.

    A header that is there decides, also when it holds no token: such a caller is wrong, not anonymous.
    """
    bearer = header("authorization")
    if bearer is not None:
        return _of_bearer(bearer)
    token = header("token")
    if token is not None:
        return _judged(token.strip(" \t"))
    return _of_cookie(header("cookie") or "", cookie)


def _of_bearer(value: str) -> Presented:
    scheme, _, rest = value.strip(" \t").partition(" ")
    if scheme.lower() != "bearer":
        return WRONG
    return _judged(rest.strip(" \t"))


def _of_cookie(header: str, name: str) -> Presented:
    for part in header[:_COOKIE_HEADER_MOST].split(";"):
        key, separator, value = part.strip(" \t").partition("=")
        if separator and key == name:
            return _judged(value.strip('"'), by_cookie=True)
    return NOTHING


def _judged(text: str, *, by_cookie: bool = False) -> Presented:
    if _TOKEN.fullmatch(text):
        return Presented(presence=Presence.TOKEN, token=text, by_cookie=by_cookie)
    return WRONG
