"""One incoming request as a handler sees it, and what a handler may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from msgspec import Struct

from acsmpd.clock import Moment
from acsmpd.faults import Fault
from acsmpd.spec.operation import Access, Operation
from acsmpd.store.database import Tx


class Caller(Struct, frozen=True):
    """Who is asking. kind: nobody | computility | person | key | upstream."""

    kind: str
    name: str
    address: str
    rights: frozenset[str] = frozenset()
    organisation: str = ""
    must_change: bool = False
    token_hash: str = ""
    face: Access | None = None  # of an upstream: the rows it may call

    @property
    def shown(self) -> str:
        return f"{self.kind}:{self.name}" if self.name else self.kind


class Call(Struct, frozen=True):
    """A request that passed size, access and schema: `message` is of the operation's request type."""

    operation: Operation
    message: Any
    path: Mapping[str, Any]
    query: Mapping[str, str]
    caller: Caller
    now: Moment
    request_id: str
    stream: BinaryIO | None = None  # the body, unread, of rows that stream
    content_type: str = ""
    content_length: int | None = None

    def flag(self, name: str) -> bool:
        """A query parameter such as ?Force=true."""
        return self.query.get(name, "").casefold() in ("true", "1", "yes")


class Reply(Struct, frozen=True):
    """An answer with more than Data: `settled` tells when a ?Wait may end; `object` is for the audit.

    `failure`: what could not be done although something was; the caller is answered that. `warning`: stands in Message
    beside "success".
    """

    data: Any = None
    settled: Callable[[Tx], bool] | None = None
    object: str = ""
    failure: Fault | None = None
    warning: str = ""


class FileReply(Struct, frozen=True):
    """An answer that is a file. `read` is told which bytes of it left (first, end, size), `closed` that no more do."""

    path: Path
    content_type: str
    download_name: str = ""
    read: Callable[[int, int, int], None] | None = None
    closed: Callable[[], None] | None = None


class DocumentReply(Struct, frozen=True):
    """An answer that is a JSON document of its own, outside the envelope."""

    body: bytes
    status: int = 200
