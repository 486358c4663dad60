"""A computility's address, made of what it said of itself."""

from __future__ import annotations

import pytest

from acsmpd.engine.peers import url_of


@pytest.mark.parametrize(
    ("ip", "url"),
    [
        ("10.0.0.5", "http://10.0.0.5:80"),
        ("2001:db8::7", "http://[2001:db8::7]:80"),
        ("cam.example", "http://cam.example:80"),
        ("", ""),
        ("127.0.0.1/cgi/reboot?x=1#", ""),
        ("user@10.0.0.5", ""),
        ("::1]/x?", ""),
    ],
)
def test_what_is_stored_and_no_host_is_never_called(ip: str, url: str) -> None:
    assert url_of({"ip": ip, "scheme": "http", "port": 80}) == url
