"""Egress: what this box calls and what it refuses, in every spelling we know of."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.security.egress import EgressPolicy

POLICY = EgressPolicy([])


def _refusal(policy: EgressPolicy, address: str, port: int = 80, host: str = "peer") -> str:
    with pytest.raises(faults.NotAllowed) as caught:
        policy.judge(address, port, host)
    assert caught.value.code == 40301
    return caught.value.message


def _url_refusal(url: str, policy: EgressPolicy = POLICY) -> str:
    with pytest.raises(faults.NotAllowed) as caught:
        policy.judge_url(url)
    assert caught.value.code == 40301
    return caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.64",
        "100.64.0.1",
        "8.8.8.8",
        "fd12::1",
        "2001:db8::1",
        "2408::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::1",
        "203.255.255.255",
    ],
)
def test_sites_and_the_world_may_be_called(address: str) -> None:
    POLICY.judge(address, 80, "peer")


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "a loopback address"),
        ("127.255.255.254", "a loopback address"),
        ("::1", "a loopback address"),
        ("169.254.1.1", "a link-local address"),
        ("fe80::1", "a link-local address"),
        ("fe80::1%eth0", "a link-local address"),
        ("169.254.169.254", "a metadata service"),
        ("fd00:ec2::254", "a metadata service"),
        ("100.100.100.200", "a metadata service"),
        ("224.0.0.1", "a multicast address"),
        ("ff02::1", "a multicast address"),
        ("0.0.0.0", "an unspecified address"),
        ("0.1.2.3", "an unspecified address"),
        ("::", "an unspecified address"),
        ("255.255.255.255", "a reserved address"),
        ("240.0.0.1", "a reserved address"),
        ("::ffff:127.0.0.1", "a loopback address"),
        ("::ffff:169.254.169.254", "a metadata service"),
        ("::ffff:0.0.0.0", "an unspecified address"),
        ("::ffff:224.0.0.1", "a multicast address"),
        ("::ffff:0:127.0.0.1", "a loopback address"),
        ("::127.0.0.1", "a loopback address"),
        ("64:ff9b::127.0.0.1", "a loopback address"),
        ("64:ff9b::a9fe:a9fe", "a metadata service"),
        ("64:ff9b:1::7f00:1", "a loopback address"),
        ("2002:7f00:1::", "a loopback address"),
        ("2002:a9fe:a9fe::1", "a metadata service"),
        ("2001:0:7f00:1:0:0:f5ff:fffe", "a loopback address"),
        ("2001:0:a00:1:0:0:80ff:fffe", "a loopback address"),
        ("fd12::5efe:7f00:1", "a loopback address"),
        ("fd12::200:5efe:a9fe:a9fe", "a metadata service"),
    ],
)
def test_what_is_refused_and_why(address: str, kind: str) -> None:
    bare = address.partition("%")[0]
    message = _refusal(POLICY, address)
    assert message.endswith(f" (host peer): it is {kind}, and egress.allow does not name it")
    shown = f"[{ip_address(bare)}]:80" if ":" in bare else f"{bare}:80"
    assert message.startswith(f"cannot call {shown} (host peer)")


def test_the_message_names_address_port_and_host_once() -> None:
    assert _refusal(POLICY, "127.0.0.1", 8080, "127.0.0.1") == (
        "cannot call 127.0.0.1:8080: it is a loopback address, and egress.allow does not name it"
    )
    assert _refusal(POLICY, "::1", 8080, "evil.example") == (
        "cannot call [::1]:8080 (host evil.example): it is a loopback address, "
        "and egress.allow does not name it"
    )


@pytest.mark.parametrize("address", ["", "peer", "1.2.3", "127.1", "10.0.0.1:80", "\n"])
def test_only_an_address_is_judged(address: str) -> None:
    assert _refusal(POLICY, address).startswith("cannot call peer: ")


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_out_of_range(port: int) -> None:
    assert _refusal(POLICY, "10.0.0.1", port) == f"cannot call peer: there is no port {port}"


# --- egress.allow ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "entry", ["127.0.0.1:*", "localhost:*", "[::1]:*", "LOCALHOST:8080", " 127.0.0.1:8080 "]
)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_a_loopback_entry_covers_all_of_loopback_and_nothing_else(entry: str, address: str) -> None:
    policy = EgressPolicy([entry])
    policy.judge(address, 8080, "localhost")
    policy.judge(address, 8080, "any.name")
    for other in ("169.254.169.254", "0.0.0.0", "::ffff:169.254.1.1", "::"):
        _refusal(policy, other, 8080, "localhost")


def test_an_entry_with_a_port_covers_that_port_alone() -> None:
    policy = EgressPolicy(["127.0.0.1:8080", "camera.lan:554"])
    policy.judge("127.0.0.1", 8080, "127.0.0.1")
    _refusal(policy, "127.0.0.1", 8081, "127.0.0.1")
    policy.judge("169.254.7.7", 554, "Camera.LAN.")
    _refusal(policy, "169.254.7.7", 555, "camera.lan")
    _refusal(policy, "169.254.7.7", 554, "other.lan")
    _refusal(policy, "169.254.7.7", 554, "x.camera.lan")


def test_an_entry_of_an_address_is_that_address_by_whatever_name() -> None:
    policy = EgressPolicy(["169.254.7.7:*", "[fe80::7]:80", "127.0.0.2:80"])
    policy.judge("169.254.7.7", 1, "camera")
    policy.judge("fe80::7%eth0", 80, "camera")
    policy.judge("127.0.0.2", 80, "camera")
    for address, port in (("169.254.7.8", 1), ("fe80::7", 81), ("127.0.0.1", 80), ("127.0.0.2", 81)):
        _refusal(policy, address, port, "169.254.7.7.evil.example")


def test_every_address_inside_another_has_to_be_allowed() -> None:
    _refusal(EgressPolicy(["127.0.0.1:*"]), "2001:0:7f00:1:0:0:5601:5601", 80)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        ":",
        "host",
        "host:",
        ":80",
        "host:0",
        "host:65536",
        "host:http",
        "host:8 0",
        "http://host:80",
        "a b:80",
        "::1:80x",
        "[::1]",
        "host:٣",
        "*:*",
        "user@host:80",
    ],
)
def test_an_entry_that_cannot_be_read_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match=r"cannot read '.*' of egress\.allow: ") as caught:
        EgressPolicy([entry])
    assert repr(entry) in str(caught.value)


# --- our own listeners -----------------------------------------------------------------------------


def test_our_own_listeners_are_refused_as_they_are_now() -> None:
    own = [("192.168.1.10", 8750), ("fd12::10", 8750)]
    policy = EgressPolicy([], lambda: own)
    wording = "it is this service itself, and egress.allow does not name it"
    assert _refusal(policy, "192.168.1.10", 8750) == f"cannot call 192.168.1.10:8750 (host peer): {wording}"
    for form in ("::ffff:192.168.1.10", "64:ff9b::c0a8:10a", "fd12::10", "FD12:0::0010"):
        assert wording in _refusal(policy, form, 8750)
    policy.judge("192.168.1.10", 8751, "peer")
    policy.judge("192.168.1.11", 8750, "peer")
    own.append(("192.168.1.11", 8750))
    _refusal(policy, "192.168.1.11", 8750)


def test_our_own_listener_may_be_named() -> None:
    policy = EgressPolicy(["192.168.1.10:8750"], lambda: [("192.168.1.10", 8750)])
    policy.judge("192.168.1.10", 8750, "peer")


# --- URLs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://192.168.1.5/a.tar", "192.168.1.5", 80),
        ("HTTPS://NAS.site.lan:8443/x?y=http://127.0.0.1/#@z", "nas.site.lan", 8443),
        ("http://nas_1:/算法包.tar", "nas_1", 80),
        ("https://[2001:db8::5]/a", "2001:db8::5", 443),
        ("http://08.1.1.1/", "08.1.1.1", 80),
    ],
)
def test_a_url_that_passes_is_taken_apart(url: str, host: str, port: int) -> None:
    target = POLICY.judge_url(url)
    assert (target.scheme, target.host, target.port) == (url.partition(":")[0].lower(), host, port)
    assert (target.ip is not None) == (host in ("192.168.1.5", "2001:db8::5"))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7F.1",
        "0177.0.0.1",
        "017700000001",
        "0x7f.0x0.0x0.0x1",
        "127.0.0.1.",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "localhost",
        "LocalHost.",
        "app.localhost",
    ],
)
def test_loopback_in_every_spelling(host: str) -> None:
    assert "it is a loopback address, and egress.allow does not name it" in _url_refusal(
        f"http://{host}:8080/x"
    )
    assert EgressPolicy(["127.0.0.1:*"]).judge_url(f"http://{host}:8080/x").port == 8080
    _url_refusal(f"http://{host}:8080/x", EgressPolicy(["127.0.0.1:80"]))


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("2852039166", "a metadata service"),
        ("0xa9fea9fe", "a metadata service"),
        ("0251.0376.0251.0376", "a metadata service"),
        ("0", "an unspecified address"),
        ("0x0", "an unspecified address"),
        ("[::]", "an unspecified address"),
        ("[fe80::1%25eth0]", "a link-local address"),
        ("4294967295", "a reserved address"),
        ("[ff02::1]", "a multicast address"),
    ],
)
def test_other_places_in_other_spellings(host: str, kind: str) -> None:
    assert f"it is {kind}" in _url_refusal(f"http://{host}/")


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "{:#x}", "0{:o}"]))
def test_a_number_is_the_address_it_spells(number: int, form: str) -> None:
    ip = socket.inet_ntoa(number.to_bytes(4, "big"))
    try:
        POLICY.judge(ip, 80, ip)
    except faults.NotAllowed:
        assert ip in _url_refusal(f"http://{form.format(number)}/")
    else:
        assert str(POLICY.judge_url(f"http://{form.format(number)}/").ip) == ip


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "cannot call a URL of scheme '': only http and https"),
        ("//host/x", "cannot call a URL of scheme '': only http and https"),
        ("ftp://host/x", "cannot call a URL of scheme 'ftp': only http and https"),
        ("file:///etc/passwd", "cannot call a URL of scheme 'file': only http and https"),
        ("http+unix://host/x", "cannot call a URL of scheme 'http+unix': only http and https"),
        ("http:///x", "cannot call host '': it is no host name"),
        ("http:x", "cannot call host '': it is no host name"),
        ("http://１２７.0.0.1/", "cannot call host '１２７.0.0.1': it is no host name"),
        ("http://%31%32%37.0.0.1/", "cannot call host '%31%32%37.0.0.1': it is no host name"),
        ("http://摄像机/", "cannot call host '摄像机': it is no host name"),
        ("http://a,b/", "cannot call host 'a,b': it is no host name"),
        ("http://u:p@host/", "cannot call a URL with a user name or password in it: give them separately"),
        (
            "http://host@127.0.0.1/",
            "cannot call a URL with a user name or password in it: give them separately",
        ),
        ("http://@host/", "cannot call a URL with a user name or password in it: give them separately"),
        ("http://host:0/", "cannot call host: there is no port 0"),
        ("http://host:65536/", "cannot call a URL: its host or port cannot be read"),
        ("http://host:-1/", "cannot call a URL: its host or port cannot be read"),
        ("http://host:8o/", "cannot call a URL: its host or port cannot be read"),
        ("http://[::1/", "cannot call a URL: its host or port cannot be read"),
        ("http://ho℀st/", "cannot call a URL: its host or port cannot be read"),
    ],
)
def test_urls_that_are_refused(url: str, message: str) -> None:
    assert _url_refusal(url) == message


@pytest.mark.parametrize("sign", [" ", "\t", "\r\n", "\x00", "\x7f", "\\"])
def test_signs_on_which_parsers_disagree(sign: str) -> None:
    for url in (
        f"http://host{sign}/x",
        f"http://host{sign}@127.0.0.1/",
        f"{sign}http://host/",
        f"http://host/a{sign}b",
    ):
        assert "holds a blank, a backslash or a control character" in _url_refusal(url)
    assert "too long" in _url_refusal("http://host/" + "a" * 4096)


def test_a_password_in_a_url_is_not_repeated() -> None:
    for url in (
        "http://u:hunter2@host/",
        "http://u:hunter2@ho℀st/",
        "http://u:hunter2@host:x/",
        "ftp://u:hunter2@h/",
    ):
        assert "hunter2" not in _url_refusal(url)


@given(st.text(max_size=40))
def test_any_text_passes_or_is_refused(text: str) -> None:
    refusal = ""
    try:
        target = POLICY.judge_url("http://" + text)
    except faults.NotAllowed as fault:
        refusal = fault.message
    else:
        assert 0 < target.port < 65536
        assert target.host
    assert refusal == "" or (refusal.startswith("cannot call ") and "\n" not in refusal)
