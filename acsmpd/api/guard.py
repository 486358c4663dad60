"""The header-time guard: who sends what where is judged before a byte of the body is taken.

Bodies cost disk and memory, so they are taken only from those who may send them, up to what the row
takes, and while there is room. A request without a body costs nothing and goes on to the application.
"""

from __future__ import annotations

import contextlib
import random
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path

import flask
from msgspec import Struct

from acsmpd import faults
from acsmpd.api.call import Caller
from acsmpd.api.guard_routes import Found, Routes
from acsmpd.durable import free_bytes
from acsmpd.security.tokens import Header
from acsmpd.settings import Settings
from acsmpd.spec.operation import MIB, Access, Operation
from acsmpd.spec.tables import OPERATIONS

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
UNPROVEN_CAP = 64 * 1024
"""Bytes of body taken from somebody who has shown no token yet."""
FORM_OVERHEAD_BYTES = MIB
IMPORT, RESULT = "acsmp.import_algo_file_package", "acsmp.receive_result"
STREAMED = frozenset({IMPORT})
"""Rows whose uploads go to the application as they arrive."""
UNPROVEN = (Access.OPEN, Access.CREDENTIALS, Access.KEEPALIVE, Access.LINK)


class Head(Struct, frozen=True):
    """A request whose header is complete and whose body has not begun."""

    method: str
    raw_path: str  # as sent, percent-encoded, with the query
    path: str
    headers: Mapping[str, str]  # by lower-case name
    content_length: int | None  # None: chunked
    address: str

    @property
    def media(self) -> str:
        return media_type(self.headers.get("content-type", ""))


class Keep(str, Enum):
    """Where the body of a request waits for the application."""

    MEMORY = "memory"  # never on disk
    SPOOL = "spool"  # in a nameless temporary file once it is large
    STREAM = "stream"  # nowhere: the application reads while it arrives


class Verdict(Struct, frozen=True):
    """Refused, if there is a fault; else a body of at most `cap` bytes is taken."""

    cap: int = 0
    keep: Keep = Keep.MEMORY
    row: Operation | None = None
    fault: faults.Fault | None = None


Identify = Callable[[Header, str], Caller | None]
Allow = Callable[[Access, Caller | None, str], Caller]
VerifyResult = Callable[[str, str], bool]
Failure = Callable[[Operation, faults.Fault, str], flask.Response]
Refused = Callable[[Operation, Caller, faults.Fault, str], None]


def caps_of(settings: Settings) -> Mapping[str, int]:
    """The bodies whose size is a setting, not a number of the table."""
    return {
        IMPORT: settings.packages.max_bytes + FORM_OVERHEAD_BYTES,
        RESULT: settings.results.max_body_bytes,
    }


def request_id(given: str | None) -> str:
    """The caller's X-Request-ID if it is one, else a fresh one."""
    if given and REQUEST_ID.fullmatch(given):
        return given
    # No secret: it only has to be another one each time, without asking the kernel at every request.
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def media_type(content_type: str) -> str:
    """`application/json` of "Application/JSON; charset=utf-8"."""
    return content_type.partition(";")[0].strip().casefold()


def _unnoted(_row: Operation, _caller: Caller, _fault: faults.Fault, _request_id: str) -> None:
    """Nobody asked to be told of refusals."""


class Guard:
    """Judges heads; used by the server's own thread alone.

    `identify` and `allow` are those of api/access, `verify_result(instance, signature)` judges a results
    link, `failure(row, fault, request id)` words an answer, `refused` hears of every refusal of a known row.
    """

    def __init__(
        self,
        *,
        identify: Identify,
        allow: Allow,
        verify_result: VerifyResult,
        failure: Failure,
        data: Path,
        min_free_bytes: int,
        caps: Mapping[str, int],
        refused: Refused = _unnoted,
        rows: Iterable[Operation] = OPERATIONS,
    ) -> None:
        self._identify, self._allow, self._verify_result = identify, allow, verify_result
        self._failure, self._refused = failure, refused
        self._data, self._min_free, self._caps = data, min_free_bytes, caps
        self._routes = Routes(rows)

    def judge(self, head: Head) -> Verdict:
        """What is to become of the body."""
        rows: tuple[Operation, ...] = ()
        caller: Caller | None = None
        try:
            found = self._routes.find(head.method, head.path)
            rows = _meant(found.rows, head.media)
            if rows[0].access is Access.RESULT:
                self._expect_signed(found)
            elif not all(row.access in UNPROVEN for row in rows):
                caller = self._identify(head.headers.get, head.address)
                self._expect_allowed(rows, caller, head.address)
            return self._sized(head, rows)
        except faults.Fault as fault:
            if rows:
                nobody = Caller("nobody", "", head.address)
                given = head.headers.get("x-request-id")
                self._refused(rows[0], caller or nobody, fault, request_id(given))
            return Verdict(row=rows[0] if rows else None, fault=fault)

    def answer(self, row: Operation | None, fault: faults.Fault, request_id: str) -> flask.Response:
        """The envelope of a refusal; without a row as every /ACSMP row writes it."""
        return self._failure(row or OPERATIONS[0], fault, request_id)

    def _expect_signed(self, found: Found) -> None:
        if not self._verify_result(found.values["InstanceID"], found.values["Signature"]):
            raise faults.NotFound("this link is not valid")

    def _expect_allowed(self, rows: tuple[Operation, ...], caller: Caller | None, address: str) -> None:
        """One of the rows is the caller's to call; else the last refusal is raised."""
        for row in rows[:-1]:
            with contextlib.suppress(faults.NoToken, faults.NotAllowed):
                self._allow(row.access, caller, address)
                return
        self._allow(rows[-1].access, caller, address)

    def _sized(self, head: Head, rows: tuple[Operation, ...]) -> Verdict:
        largest = max(rows, key=self._cap)
        cap = self._cap(largest)
        is_json = "json" in head.media
        if is_json and largest.id in STREAMED:
            cap = min(cap, MIB)
        length = head.content_length
        if length is not None and length > cap:
            raise faults.TooLarge(f"the body has {length} bytes; this row takes at most {cap}")
        keep = Keep.MEMORY if cap <= MIB else Keep.STREAM if largest.id in STREAMED else Keep.SPOOL
        if keep is not Keep.MEMORY:
            self._expect_room(length or 0)
        return Verdict(cap, keep, largest)

    def _cap(self, row: Operation) -> int:
        cap = self._caps.get(row.id, row.body_cap)
        return min(cap, UNPROVEN_CAP) if row.access in UNPROVEN else cap

    def _expect_room(self, length: int) -> None:
        try:
            free = free_bytes(self._data)
        except OSError as error:
            raise faults.Internal(
                f"cannot tell how much room the data directory has: {error.strerror}"
            ) from error
        if free < length + self._min_free:
            raise faults.NoSpace(
                f"cannot take {length} bytes: {free} are free in the data directory, "
                f"{self._min_free} of them stay reserved"
            )


def _meant(rows: tuple[Operation, ...], media: str) -> tuple[Operation, ...]:
    """Of rows on one address those of this content type; all of them when it does not tell."""
    return tuple(row for row in rows if row.when_content_type == media) or rows
