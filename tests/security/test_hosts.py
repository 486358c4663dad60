"""Which places a party may name as its own."""

from __future__ import annotations

import pytest

from acsmpd.security.hosts import is_plain_host


@pytest.mark.parametrize(
    "text", ["10.0.0.5", "::1", "2001:db8::7", "::ffff:10.0.0.5", "cam-7", "cam-7.site.example", "1and1.de"]
)
def test_an_address_or_a_name(text: str) -> None:
    assert is_plain_host(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "127.0.0.1/cgi/reboot?x=1#", "10.0.0.5:80", "a/b", "a?b", "a#b", "a@b", "user:pw@host", "[::1]",
        "fe80::1%eth0", "fe80::1%/x", "a_b", "a b", "a\\b", "10.0.0.5\n", "\u0661.0.0.1", "2130706433", "10.0.0.256",
        "a..b", "-a", "h\u00f6st", "a" * 254,
    ],
)  # fmt: skip
def test_nothing_that_could_become_more_than_a_host(text: str) -> None:
    assert not is_plain_host(text)
