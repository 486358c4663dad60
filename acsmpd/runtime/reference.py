"""References to images in registries, as bin.remote_uri gives them, taken apart and never guessed at."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from msgspec import Struct

from acsmpd.faults import FacilityRefused, InvalidPackage
from acsmpd.security.egress import EgressPolicy

_HUB = "docker.io"
_HUB_HOST = "registry-1.docker.io"
_PATH = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")


class Reference(Struct, frozen=True):
    """`repository` begins with the registry's host; `tag` is a tag or a digest."""

    repository: str
    tag: str
    host: str
    port: int

    @property
    def pinned(self) -> bool:
        return self.tag.startswith("sha256:")

    @property
    def text(self) -> str:
        return f"{self.repository}{'@' if self.pinned else ':'}{self.tag}"


def reference(text: str) -> Reference:
    """What bin.remote_uri names; a registry left out is Docker Hub, a tag left out is latest. InvalidPackage else."""
    wrong = InvalidPackage(f"bin.remote_uri: {text[:200]!r} is no reference to an image (host:port/name:tag)")
    rest, at, digest = text.partition("@")
    first, slash, path = rest.partition("/")
    if not slash or not (set(".:[") & set(first) or first == "localhost"):
        first, path = _HUB, rest if slash else f"library/{rest}"
    name, colon, tag = path.partition(":")
    found = _HOST.fullmatch(first)
    tag = digest if at else (tag if colon else "latest")
    if not found or len(path) > 255 or not _PATH.fullmatch(name):
        raise wrong
    if not (_DIGEST if at else _TAG).fullmatch(tag) or (found[2] and not 0 < int(found[2]) < 65536):
        raise wrong
    if first == _HUB:
        return Reference(f"{_HUB}/{name}", tag, _HUB_HOST, 443)
    return Reference(f"{first}/{name}", tag, found[1].strip("[]"), int(found[2] or 443))


def registry_judge(policy: EgressPolicy) -> Callable[[str, int], None]:
    """Passes a registry's host and port, every address the name has, or raises NotAllowed.

    The engine connects by itself and by the name: what is judged is what the name means here and now.
    """

    def judge(host: str, port: int) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise FacilityRefused(f"cannot pull from {host}: its address is not known here") from error
        for *_, address in found:
            policy.judge(str(address[0]), port, host)

    return judge
