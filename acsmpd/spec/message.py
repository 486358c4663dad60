"""The base of every message, and how a Python name becomes a printed one.

The only default a field may have is None, and None is not written: an optional member that is absent
and one that is null mean the same. Requests with printed defaults get them in the handler, so that an
absent member of an update stays "unchanged".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

_ACRONYMS = {"id": "ID", "ids": "IDs", "ip": "IP", "md5": "MD5", "os": "OS", "sm3": "SM3"}


def printed(name: str) -> str:
    """`algo_file_package_id` -> `AlgoFilePackageID`; Url stays Url as the standard prints it."""
    return "".join(_ACRONYMS.get(part, part[:1].upper() + part[1:]) for part in name.split("_"))


class Message(msgspec.Struct, kw_only=True, rename=printed, omit_defaults=True):
    """A JSON object of the standard. One struct serves reading (strict or tolerant) and writing."""


class Envelope(Message):
    """The answer every interface gives (Part 5 table A.2, Part 4 table G.5). Code 0 is success."""

    code: int
    message: str
    request_id: str | None = None


def data_type(response: type) -> Any:
    """The type of an answer's Data member; None for an answer without one."""
    for field in msgspec.structs.fields(response):
        if field.name == "data":
            return field.type
    return None


def prepare() -> None:
    """Have every struct of ours worked out, by one thread. Otherwise msgspec does it at the first use, and two threads
    that use a struct for the first time in the same moment crash the process (msgspec 0.22: two first requests)."""
    for kind in _below(msgspec.Struct):
        if kind.__module__.partition(".")[0] == "acsmpd":
            msgspec.json.Decoder(kind)


def _below(kind: type) -> Iterator[type]:
    one: type
    for one in kind.__subclasses__():
        yield one
        yield from _below(one)
