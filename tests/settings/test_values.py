"""The judges of single values, at their edges."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.settings import values


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "::1",
        "fe80::1%eth0",
        "localhost",
        "box-7.site.example",
        "a",
        "_srv.local",
        "x" * 63,
        "box.",
    ],
)
def test_hosts_are_told(text: str) -> None:
    assert values.is_host(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "1.2.3",
        "256.1.1.1",
        "[::1]",
        "a..b",
        "-a",
        "a-",
        "x" * 64,
        "a." * 127 + "a",
        "a\n",
        "::1%\n",
        "中",
    ],
)
def test_what_is_no_host(text: str) -> None:
    assert not values.is_host(text)


@pytest.mark.parametrize("text", ["127.0.0.1:*", "box:80", "[::1]:8750", "[fe80::1]:*", "a.b:65535", "a:1"])
def test_targets(text: str) -> None:
    assert values.is_target(text)


@pytest.mark.parametrize(
    "text",
    [
        "box",
        "box:",
        ":80",
        "box:0",
        "box:65536",
        "::1:80",
        "[box]:80",
        "[]:80",
        "box:*:*",
        "*:80",
        "box:８０",
        "a:1\n",
    ],
)
def test_what_is_no_target(text: str) -> None:
    assert not values.is_target(text)


@pytest.mark.parametrize(
    "text", ["http://a", "https://a.b:1/x/y", "http://[::1]:8750", "http://10.0.0.1:80/"]
)
def test_web_addresses(text: str) -> None:
    assert values.is_web_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "ftp://a",
        "http://",
        "http://:80",
        "http://u:p@a",
        "http://@a",
        "http://a?x",
        "http://a#x",
        "http://a:0",
        "http://a:99999",
        "http://a:x",
        "http://[::1",
        "http://a b",
        "http://a\n",
        "http://中",
    ],
)
def test_what_is_no_web_address(text: str) -> None:
    assert not values.is_web_address(text)


def test_networks_have_a_prefix_and_no_host_bits() -> None:
    assert values.is_network("10.0.0.0/8")
    assert values.is_network("fd00::/8")
    assert not any(map(values.is_network, ["10.0.0.1/8", "10.0.0.1", "10.0.0.0/33", "x/8", ""]))


def test_zones_are_those_the_system_knows() -> None:
    assert all(map(values.is_zone, ["", "Asia/Shanghai", "UTC", "Europe/Brussels"]))
    assert not any(
        map(
            values.is_zone,
            ["Asia/Nowhere", "../../etc/passwd", "/etc/localtime", "Asia", "CST-8\0", "\udcff"],
        )
    )


def test_the_quota_path_holds_the_capability_once() -> None:
    good = ["/AuthServer/Quota/{AlgoDefCode}", "/{AlgoDefCode}", "/v1/q?code={AlgoDefCode}&all=1"]
    assert all(map(values.is_quota_path, good))
    bad = [
        "", "/", "/q", "{AlgoDefCode}", "q/{AlgoDefCode}", "http://a/{AlgoDefCode}", "/{code}",
        "/{AlgoDefCode}/{x}",
        "/{AlgoDefCode}/{AlgoDefCode}", "/{AlgoDefCode}#x", "/a b/{AlgoDefCode}", "/{AlgoDefCode}\n",
        "/中/{AlgoDefCode}",
        "/\\{AlgoDefCode}",
    ]  # fmt: skip
    assert not any(map(values.is_quota_path, bad))


def test_the_systems_zone_is_found() -> None:
    assert isinstance(values.system_zone(), ZoneInfo)


@given(st.text(max_size=40))
def test_the_judges_never_fail(text: str) -> None:
    for judge in (values.is_host, values.is_target, values.is_web_address, values.is_network, values.is_zone):
        assert judge(text) in (True, False)
