"""Both ways to multiply on the SM2 curve, for the tests that ask for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from acsmpd.security import openssl


@pytest.fixture(params=["openssl", "gmssl"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The installed OpenSSL, and a machine that has none."""
    if request.param == "gmssl":
        monkeypatch.setattr(openssl, "LIBRARIES", ())
    openssl.multiplier.cache_clear()
    assert (openssl.multiplier() is None) == (request.param == "gmssl")
    yield str(request.param)
    openssl.multiplier.cache_clear()
