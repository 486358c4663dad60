"""Which addresses this box may call: a judgement on values; names are resolved elsewhere.

Refused are the box itself and the places where networks keep their secrets: loopback, link-local,
metadata services, multicast, unspecified and reserved addresses, in every IPv6 form that carries
such an IPv4 address, and our own listeners; unless `egress.allow` names them. Private ranges are normal
on a site. Every refusal is NotAllowed and names the address.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Collection, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from acsmpd import faults

IpAddress = IPv4Address | IPv6Address
Listener = tuple[str, int]

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LONGEST_URL = 4096
_HOST_NAME = re.compile(r"[A-Za-z0-9._-]{1,253}")
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")
_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
# Amazon (IPv6), Google (IPv6), Alibaba, Azure, Oracle; the usual 169.254.169.254 is link-local anyway.
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",
        "fd00:ec2::254",
        "fd20:ce::254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    )
)
# Networks whose last four bytes are an IPv4 address: compatible, mapped, translated, NAT64 (both).
_TAIL_NETWORKS = tuple(
    IPv6Network(text)
    for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_ISATAP = (0x00005EFE, 0x02005EFE)


class Target(NamedTuple):
    """A URL that passed, taken apart: `ip` is set when the host is an address in any spelling."""

    scheme: str
    host: str
    port: int
    ip: IpAddress | None


class _Rule(NamedTuple):
    """One entry of egress.allow: a host name, an address or all of loopback; a port or any."""

    name: str
    ip: IpAddress | None
    loopback: bool
    port: int | None

    def covers(self, host: str, ip: IpAddress, port: int) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.loopback:
            return ip.is_loopback
        return self.ip == ip if self.ip is not None else self.name == host


class EgressPolicy:
    """Judges where we may connect. `own_listeners` gives our (address, port) pairs, wildcards expanded."""

    def __init__(
        self, allow: Sequence[str], own_listeners: Callable[[], Collection[Listener]] = lambda: ()
    ) -> None:
        self._rules = tuple(_rule(entry) for entry in allow)
        self._own_listeners = own_listeners

    def judge(self, address: str, port: int, host: str) -> None:
        """Pass, or raise NotAllowed: `address` is what `host` resolved to and what will be connected to."""
        ip = _parsed(address.partition("%")[0])
        if ip is None:
            raise faults.NotAllowed(f"cannot call {_shown(host)}: {_shown(address)} is no IP address")
        if not 0 < port < 65536:
            raise faults.NotAllowed(f"cannot call {_shown(host)}: there is no port {port}")
        for each in (ip, *_embedded(ip)):
            reason = self._reason(each, port)
            if reason is not None and not self._named(host, each, port):
                raise _refusal(ip, port, host, reason)

    def judge_url(self, url: str) -> Target:
        """Take an http or https URL apart, judging at once a host that is an address in any spelling."""
        target = _target(url)
        if target.ip is not None:
            self.judge(str(target.ip), target.port, target.host)
        elif ("." + _folded(target.host)).endswith(".localhost"):
            self.judge("127.0.0.1", target.port, target.host)
        return target

    def _named(self, host: str, ip: IpAddress, port: int) -> bool:
        return any(rule.covers(_folded(host), ip, port) for rule in self._rules)

    def _reason(self, ip: IpAddress, port: int) -> str | None:
        kind = _kind(ip)
        if kind is not None:
            return f"it is {kind}"
        own = {(_parsed(address), number) for address, number in self._own_listeners()}
        return "it is this service itself" if (ip, port) in own else None


def _refusal(ip: IpAddress, port: int, host: str, reason: str) -> faults.NotAllowed:
    shown = f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"
    named = "" if _folded(host) == str(ip) else f" (host {_shown(host)})"
    return faults.NotAllowed(f"cannot call {shown}{named}: {reason}, and egress.allow does not name it")


def _kind(ip: IpAddress) -> str | None:
    """What makes an address one that nobody has to call from here; None for all others."""
    judgements = (
        (ip in _METADATA, "a metadata service"),
        (ip.is_loopback, "a loopback address"),
        (ip.is_link_local, "a link-local address"),
        (ip.is_multicast, "a multicast address"),
        (ip.is_unspecified or (ip.version == 4 and ip.packed[0] == 0), "an unspecified address"),
        (ip.version == 4 and ip.packed[0] >= 240, "a reserved address"),
    )
    return next((reason for holds, reason in judgements if holds), None)


def _embedded(ip: IpAddress) -> Iterator[IpAddress]:
    """The IPv4 addresses that an IPv6 address leads to."""
    if not isinstance(ip, IPv6Address) or ip.is_loopback or ip.is_unspecified:
        return
    if any(ip in network for network in _TAIL_NETWORKS) or _interface_head(ip) in _ISATAP:
        yield IPv4Address(ip.packed[12:])
    if ip.sixtofour is not None:
        yield ip.sixtofour
    if ip.teredo is not None:
        yield from ip.teredo


def _interface_head(ip: IPv6Address) -> int:
    return int.from_bytes(ip.packed[8:12], "big")


def _target(url: str) -> Target:
    if len(url) > _LONGEST_URL or _UNFIT.search(url):
        raise faults.NotAllowed(
            "cannot call a URL: it is too long or holds a blank, a backslash or a control character"
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise faults.NotAllowed("cannot call a URL: its host or port cannot be read") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise faults.NotAllowed(f"cannot call a URL of scheme {_shown(parts.scheme)!r}: only http and https")
    if "@" in parts.netloc:
        raise faults.NotAllowed("cannot call a URL with a user name or password in it: give them separately")
    host = parts.hostname or ""
    ip = _literal(host, bracketed="[" in parts.netloc)
    if ip is None and not _HOST_NAME.fullmatch(host):
        raise faults.NotAllowed(f"cannot call host {_shown(host)!r}: it is no host name")
    if port == 0:
        raise faults.NotAllowed(f"cannot call {_shown(host)}: there is no port 0")
    return Target(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], ip)


def _literal(host: str, *, bracketed: bool) -> IpAddress | None:
    """The address that a host spells, also as the C library reads it: 127.1, 0x7f.0.0.1, 2130706433."""
    if bracketed:
        return _parsed(host.partition("%")[0])
    try:
        return IPv4Address(socket.inet_aton(host.rstrip(".")))
    except OSError:
        return None


def _rule(entry: str) -> _Rule:
    host, separator, port = entry.strip().rpartition(":")
    bare = _folded(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    if not separator or not bare or not (port == "*" or _is_port(port)):
        raise ValueError(f"cannot read {entry!r} of egress.allow: write host:port or host:*")
    ip = _parsed(bare)
    if ip is None and not _HOST_NAME.fullmatch(bare):
        raise ValueError(
            f"cannot read {entry!r} of egress.allow: {bare!r} is neither a host name nor an address"
        )
    return _Rule(bare, ip, bare in _LOOPBACK_NAMES, None if port == "*" else int(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536


def _parsed(text: str) -> IpAddress | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _folded(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


def _shown(text: str) -> str:
    """What others wrote, fit for one line of a message."""
    return "".join(sign if sign.isprintable() else "?" for sign in text[:100])
