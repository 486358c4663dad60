"""What a registration at a platform above needs: where it is, what we say, the password in its cipher."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from urllib.parse import urlsplit

from acsmpd.decide.upstreams import code_of, host_of
from acsmpd.engine import peers
from acsmpd.engine.core import Core
from acsmpd.faults import Permanent, Temporary
from acsmpd.model import Family, Peer
from acsmpd.security.sm2 import BadPublicKey, encrypt, parse_public_key
from acsmpd.settings import Upstream
from acsmpd.spec.messages.computility import RegisterRequest, UnRegisterRequest

PASSWORD_MOST_BYTES = 4096
KEY_MOST_BYTES = 16384


def peer_of(core: Core, entry: Upstream, token: str | None = None) -> Peer:
    """The platform as a Peer; its calls carry the token once there is one."""
    return Peer(
        code=urlsplit(entry.url).netloc,
        family=Family.NONE,
        url=entry.url,
        auth="token" if token else "none",
        token=token,
        via=(core.settings.site_code,),
    )


def register_request(core: Core, name: str, entry: Upstream, key: str | None) -> RegisterRequest:
    """Table B.1, with the address under which the platform reaches us. Permanent or Temporary with words."""
    password = password_of(entry, key)
    ip, port = reached_at(core, host_of(entry))
    return RegisterRequest(
        code=code_of(name), type=entry.type, ip=ip, port=port, username=entry.username, password=password,
        support_algo_service=True,
    )  # fmt: skip


def unregister_request(name: str, entry: Upstream, key: str | None) -> UnRegisterRequest:
    return UnRegisterRequest(code=code_of(name), username=entry.username, password=password_of(entry, key))


def password_of(entry: Upstream, key: str | None) -> str:
    """The password as password_mode wants it sent: encrypted for `key`, or plain."""
    text = _read(entry.password_file, PASSWORD_MOST_BYTES, "password file")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise Permanent(f"cannot register: the password file {entry.password_file} is empty")
    if entry.password_mode == "plain" or (entry.password_mode == "auto" and key is None):  # noqa: S105
        return text
    if key is None:
        raise Permanent("cannot register: password_mode is sm2, and the platform's public key is not known")
    try:
        return encrypt(key, text)
    except ValueError as error:
        raise Permanent(f"cannot register: {error}") from None


def key_from_file(entry: Upstream) -> str:
    """The platform's public key an operator put here."""
    try:
        return parse_public_key(_read(entry.public_key_file, KEY_MOST_BYTES, "public key file"))
    except BadPublicKey as bad:
        raise Permanent(f"{bad} ({entry.public_key_file})") from bad


def _read(path: str, most: int, what: str) -> str:
    try:
        with Path(path).open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise Permanent(f"cannot read the {what} {path}: {error.strerror}") from error
    if len(data) > most:
        raise Permanent(f"cannot use the {what} {path}: it has more than {most} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Permanent(f"cannot use the {what} {path}: it is no UTF-8 text") from None


def reached_at(core: Core, host: str) -> tuple[str, int]:
    """Our own (IP, port) as the platform at `host` reaches us (server.advertise, else the way there)."""
    own = urlsplit(peers.base_url_for(core, resolved(host)))
    return resolved(own.hostname or ""), own.port or (443 if own.scheme == "https" else 80)


def resolved(host: str) -> str:
    """The first address of a host name; an address stays what it is."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Temporary(f"cannot find the address of {host[:253]}: {error}") from error
    return str(found[0][4][0])
