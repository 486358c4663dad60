"""Where a call may go: one resolution, every address judged, nothing of the environment believed."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from acsmpd.faults import Permanent, Temporary
from acsmpd.wire.caller import Wire
from tests.wire.conftest import TOKEN, peer
from tests.wire.servers import OK, Server, replying, serving
from tests.wire.test_caller import DELETE, STATUS

Wires = Callable[..., Wire]


class Names:
    """A resolver that gives each of its answers once, then the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int, *, type: int) -> list[Any]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [self.entry(address, port) for address in found]

    @staticmethod
    def entry(address: str, port: int) -> tuple[Any, ...]:
        if ":" in address:
            return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
        return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[::ffff:127.0.0.1]", "[::ffff:"),
        ("localhost", ":"),
        ("169.254.169.254", "169.254.169.254"),
        ("0.0.0.0", "0.0.0.0"),
    ],
)
def test_an_address_of_our_own_is_refused_and_named(wires: Wires, host: str, named: str) -> None:
    with serving(replying(200, OK)) as server, pytest.raises(Permanent) as caught:
        wires(allow=()).call(DELETE, peer(f"http://{host}:{server.port}"), path={"ID": "7"})
    assert named in caught.value.message
    assert str(server.port) in caught.value.message
    assert server.lines == []


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254"])
def test_a_name_that_leads_to_our_own_is_refused(wires: Wires, address: str) -> None:
    with serving(replying(200, OK)) as server, pytest.raises(Permanent, match=r"host device\.test"):
        wires(allow=(), resolver=Names([address])).call(STATUS, peer(f"http://device.test:{server.port}"))
    assert server.lines == []


def test_the_judged_address_is_the_one_connected_to(wires: Wires) -> None:
    names = Names(["192.0.2.1"], ["127.0.0.1"])
    with serving(replying(200, OK)) as server:
        wire = wires(allow=(), resolver=names, connect_timeout_seconds=0.2)
        with pytest.raises(Temporary):
            wire.call(STATUS, peer(f"http://device.test:{server.port}"))
        assert names.asked == ["device.test"]
        with pytest.raises(Permanent, match="loopback"):
            wire.call(STATUS, peer(f"http://device.test:{server.port}"))
    assert server.lines == []


def test_of_several_addresses_only_the_judged_are_tried(wires: Wires) -> None:
    names = Names(["127.0.0.1", "192.0.2.1", "::1"])
    with serving(replying(200, OK)) as server, pytest.raises(Temporary):
        wires(allow=(), resolver=names, connect_timeout_seconds=0.2).call(
            STATUS, peer(f"http://device.test:{server.port}")
        )
    assert server.lines == []


def test_a_dead_address_does_not_hide_a_living_one(wires: Wires) -> None:
    with serving(replying(200, OK)) as server:
        wires(resolver=Names(["127.0.0.9", "127.0.0.1"])).call(
            STATUS, peer(f"http://device.test:{server.port}")
        )
    assert server.seen[0].headers["Host"] == f"device.test:{server.port}"


@pytest.mark.parametrize("failure", [socket.gaierror(-2, "no"), UnicodeError("label too long")])
def test_a_name_that_does_not_resolve_is_temporary(wires: Wires, failure: Exception) -> None:
    def resolver(host: str, port: int, *, type: int) -> list[Any]:
        raise failure

    with pytest.raises(Temporary, match=r"the name device\.test cannot be resolved$"):
        wires(resolver=resolver).call(DELETE, peer("http://device.test"), path={"ID": "7"})


def test_a_name_without_addresses_is_temporary(wires: Wires) -> None:
    with pytest.raises(Temporary, match=r"the name device\.test has no address$"):
        wires(resolver=Names([])).call(STATUS, peer("http://device.test"))


def test_an_engine_of_our_own_is_not_judged(wires: Wires) -> None:
    wire = wires(allow=())
    with serving(replying(200, OK)) as server:
        wire.call(STATUS, peer(server.url, trusted=True))
        with pytest.raises(Permanent):
            wire.call(STATUS, peer(server.url))
    assert len(server.seen) == 1


def test_proxies_and_netrc_of_the_environment_are_ignored(
    wire: Wire, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password stolen\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))
    with serving(replying(200, OK)) as proxy, serving(replying(200, OK)) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        wire.call(STATUS, peer(server.url))
        wire.call(STATUS, peer(server.url, auth="none"))
    assert proxy.lines == []
    assert server.seen[0].headers["Authorization"] == f"Bearer {TOKEN}"
    assert "Authorization" not in server.seen[1].headers


# --- certificates ---


class Shown:
    """The server names that clients asked for."""

    def __init__(self, certificate: Path) -> None:
        self.names: list[str | None] = []
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate)
        self.context.sni_callback = lambda _sock, name, _context: self.names.append(name)


def pin_of(certificate: Path) -> str:
    return sha256(
        ssl.PEM_cert_to_DER_cert(certificate.read_text().split("-----BEGIN PRIVATE")[0])
    ).hexdigest()


def secure(server: Server) -> str:
    return f"https://device.test:{server.port}"


@pytest.mark.parametrize(
    "spelled", [str, str.upper, lambda pin: ":".join(pin[i : i + 2] for i in range(0, 64, 2))]
)
def test_the_pinned_certificate_is_accepted(
    wires: Wires, certificate: Path, spelled: Callable[[str], str]
) -> None:
    shown = Shown(certificate)
    wire = wires(resolver=Names(["127.0.0.1"]))
    with serving(replying(200, OK), shown.context) as server:
        for _ in range(2):
            wire.call(STATUS, peer(secure(server), pin=spelled(pin_of(certificate))))
        wire.close()
    assert shown.names == ["device.test"]
    assert server.seen[0].headers["Host"] == f"device.test:{server.port}"


@pytest.mark.parametrize(
    ("pin", "reason"),
    [("0" * 64, "its certificate is not the pinned one"), (None, "its certificate is not trusted: ")],
)
def test_another_certificate_is_temporary_and_gets_no_token(
    wires: Wires, certificate: Path, pin: str | None, reason: str
) -> None:
    wire = wires(resolver=Names(["127.0.0.1"]))
    with serving(replying(200, OK), Shown(certificate).context) as server, pytest.raises(Temporary) as caught:
        wire.call(DELETE, peer(secure(server), pin=pin), path={"ID": "7"})
    assert reason in caught.value.message
    assert server.seen == []


def test_a_pin_that_is_none_is_permanent(wires: Wires) -> None:
    with pytest.raises(Permanent, match="is no SHA-256 in hex"):
        wires(resolver=Names(["127.0.0.1"])).call(STATUS, peer("https://device.test", pin="abc"))


def test_a_certificate_the_system_trusts_is_accepted_for_its_own_name(
    wires: Wires, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    wire = wires(resolver=Names(["127.0.0.1"]))
    with serving(replying(200, OK), Shown(certificate).context) as server:
        wire.call(STATUS, peer(secure(server)))
        with pytest.raises(Temporary, match="its certificate is not trusted: Hostname mismatch"):
            wire.call(STATUS, peer(f"https://other.test:{server.port}"))
        wire.close()
    assert len(server.seen) == 1


def test_a_peer_that_speaks_no_tls_is_temporary(wire: Wire) -> None:
    with serving(replying(200, OK)) as server, pytest.raises(Temporary, match=r"no TLS handshake$"):
        wire.call(DELETE, peer(f"https://127.0.0.1:{server.port}"), path={"ID": "7"})


def test_a_handshake_that_stalls_has_the_time_of_a_connection(wires: Wires) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Temporary, match=r"no TLS handshake in time$"):
            wires(connect_timeout_seconds=0.2).call(DELETE, peer(url), path={"ID": "7"})
