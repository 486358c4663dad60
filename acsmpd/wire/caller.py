"""Calls: one row of the standard, to one party, through the egress policy; and results to their receivers."""

from __future__ import annotations

import base64
import re
import socket
import uuid
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from acsmpd.clock import Clock
from acsmpd.faults import InvalidField, NotAllowed, Permanent, StepFault, Temporary
from acsmpd.model import Family, Peer
from acsmpd.spec.message import Message
from acsmpd.spec.operation import Operation
from acsmpd.spec.reading import to_json
from acsmpd.version import VERSION
from acsmpd.wire.answer import Answer, changes, data_of, head_of, uncertain
from acsmpd.wire.exchange import Exchange, LineBroken, Policy, Resolver, never
from acsmpd.wire.line import Line
from acsmpd.wire.target import Target, target

if TYPE_CHECKING:
    import requests

    from acsmpd.wire.session import Session

__all__ = ["REQUEST_ID", "Delivered", "Wire"]

REQUEST_ID: ContextVar[str] = ContextVar("acsmpd_request_id", default="")
"""The id the call on hand belongs to; it goes out as X-Request-ID. Empty: a fresh one is minted."""

USER_AGENT = f"acsmpd/{VERSION}"
_JSON = "application/json; charset=utf-8"
_REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PLACE = re.compile(r"<(\w+)>")
_BLOCK_BYTES = 65536
_NOTHING: Mapping[str, str] = MappingProxyType({})


class Delivered(NamedTuple):
    """What a receiver answered: the HTTP status, and the Code of its envelope ("" if it sent none)."""

    status: int
    code: str


class Request(NamedTuple):
    """What goes on the line."""

    method: str
    where: Target
    headers: Mapping[str, str]
    body: bytes | None


class Wire:
    """The daemon's outgoing calls. Safe from any thread; `close` it at the end."""

    def __init__(
        self,
        policy: Policy,
        site_code: str,
        connect_timeout_seconds: float,
        read_timeout_seconds: float,
        answer_max_bytes: int,
        resolver: Resolver = socket.getaddrinfo,
        *,
        clock: Clock | None = None,
    ) -> None:
        self._line = Line(
            policy, connect_timeout_seconds=connect_timeout_seconds, resolver=resolver, clock=clock
        )
        self._site_code = site_code
        self._connect_seconds = connect_timeout_seconds
        self._read_seconds = read_timeout_seconds
        self._answer_max_bytes = answer_max_bytes

    def call(
        self,
        operation: Operation,
        peer: Peer,
        message: Message | None = None,
        *,
        path: Mapping[str, str] = _NOTHING,
        timeout_seconds: float | None = None,
    ) -> Any:
        """The answer's Data, or the whole envelope where the row has none.

        Raises Temporary, Permanent (Missing among them) or Unknown. `timeout_seconds`: for all of it.
        """
        who = f"cannot call {operation.id} on {peer.code}"
        fault: StepFault
        try:
            where = target(address(operation, peer, path))
            request = Request(operation.method, where, self._headers(peer, message), _body(message))
            answer = self._ask(request, peer, not changes(operation), timeout_seconds)
        except (NotAllowed, InvalidField) as refused:
            fault = Permanent(f"{who}: {refused.message}")
        except LineBroken as broken:
            text = f"{who}: {broken.reason}"
            fault = uncertain(operation, text) if broken.sent else Temporary(text)
        else:
            return data_of(operation, who, answer)
        raise fault

    def post_result(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str] = _NOTHING,
        timeout_seconds: float | None = None,
        cancelled: Callable[[], bool] = never,
    ) -> Delivered:
        """Post a result to its receiver; `headers` carries its Idempotency-Key, and its type if it is no JSON.

        Any HTTP answer is returned, for the outbox to judge. None at all is Temporary, since the key makes a
        repeat harmless; an address the policy refuses, or that is none, is Permanent. Raises Cancelled soon after
        `cancelled` says so.
        """
        fault: StepFault
        whole = self._read_seconds if timeout_seconds is None else timeout_seconds
        try:
            where = target(url)
            full = {**self._own_headers(()), "Content-Type": _JSON, **headers}
            exchange = self._line.exchange(whole, self._connect_seconds + whole, cancelled=cancelled)
            request, most = Request("POST", where, full, body), self._answer_max_bytes
            answer = self._through(exchange, request, _NOBODY, repeatable=True, max_bytes=most)
        except (NotAllowed, InvalidField) as refused:
            fault = Permanent(f"cannot deliver: {refused.message}")
        except LineBroken as broken:
            fault = Temporary(f"cannot deliver to {where.name}: {broken.reason}")
        else:
            head = head_of(answer.body)
            return Delivered(answer.status, head.code if head else "")
        raise fault

    def get(
        self, url: str, *, timeout_seconds: float, max_bytes: int, cancelled: Callable[[], bool] = never
    ) -> Answer:
        """What one who is no facility answers at an address: any HTTP answer, for the caller to judge.

        None at all is Temporary; an address the policy refuses, or that is none, is Permanent. `timeout_seconds`:
        for all of it, the connection too. Raises Cancelled soon after `cancelled` says so.
        """
        fault: StepFault
        try:
            where = target(url)
            exchange = self._line.exchange(timeout_seconds, timeout_seconds, cancelled=cancelled)
            request = Request("GET", where, self._own_headers(()), None)
            return self._through(exchange, request, _NOBODY, repeatable=True, max_bytes=max_bytes)
        except (NotAllowed, InvalidField) as refused:
            fault = Permanent(refused.message)
        except LineBroken as broken:
            fault = Temporary(f"cannot ask {where.name} within {timeout_seconds:.3g} s: {broken.reason}")
        raise fault

    def close(self) -> None:
        """Close the idle lines."""
        self._line.close()

    def _ask(self, request: Request, peer: Peer, repeatable: bool, seconds: float | None) -> Answer:
        whole = self._read_seconds if seconds is None else seconds
        exchange = self._line.exchange(whole, self._connect_seconds + whole, trusted=peer.trusted)
        return self._through(exchange, request, peer, repeatable=repeatable, max_bytes=self._answer_max_bytes)

    def _through(
        self, exchange: Exchange, request: Request, peer: Peer, *, repeatable: bool, max_bytes: int
    ) -> Answer:
        """The answer, by an idle line where a repeat does no harm.

        The peer may close an idle line in the very moment we use it. Such a call is repeated on a new line,
        and one that must not be done twice never takes the chance.
        """
        from acsmpd.wire.session import open_session

        if not peer.trusted:
            self._line.judge(request.where)
        rested = self._line.take(request.where, peer.pin, peer.trusted) if repeatable else None
        if rested is not None:
            try:
                return self._attempt(rested, exchange, request, peer, max_bytes)
            except LineBroken:
                if exchange.timed_out:
                    raise
        return self._attempt(open_session(request.where, peer.pin), exchange, request, peer, max_bytes)

    def _attempt(
        self, session: Session, exchange: Exchange, request: Request, peer: Peer, max_bytes: int
    ) -> Answer:
        from acsmpd.wire.session import send

        whole = False
        try:
            response = send(
                session, exchange, request.method, request.where.url, request.headers, request.body
            )
            answer = _read(response, exchange, max_bytes)
            whole = answer.body is not None
        finally:
            if whole:
                self._line.keep(session, request.where, peer.pin, peer.trusted)
            else:
                session.close()
        return answer

    def _headers(self, peer: Peer, message: Message | None) -> dict[str, str]:
        headers = self._own_headers(peer.via)
        if message is not None:
            headers["Content-Type"] = _JSON
        if peer.auth == "token" and peer.token:
            headers["Authorization"] = f"Bearer {peer.token}"
            headers["Token"] = peer.token
        elif peer.auth == "basic":
            headers["Authorization"] = _basic(peer.username, peer.password)
        return headers

    def _own_headers(self, via: tuple[str, ...]) -> dict[str, str]:
        passed = via if via[-1:] == (self._site_code,) else (*via, self._site_code)
        given = REQUEST_ID.get()
        return {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": USER_AGENT,
            "Via": ", ".join(f"1.1 {code}" for code in passed),
            "X-Request-ID": given if _REQUEST_ID_FORM.fullmatch(given) else str(uuid.uuid4()),
        }


def _read(response: requests.Response, exchange: Exchange, max_bytes: int) -> Answer:
    """The answer, its body None when more than the cap came or not all did."""
    from acsmpd.wire.session import read_block

    blocks: list[bytes] = []
    size = 0
    try:
        while size <= max_bytes:
            block = read_block(response, exchange, _BLOCK_BYTES)
            if not block:
                return Answer(response.status_code, b"".join(blocks))
            blocks.append(block)
            size += len(block)
    except LineBroken as broken:
        response.close()
        return Answer(
            response.status_code, None, f"it answered HTTP {response.status_code}, then {broken.reason}"
        )
    response.close()
    return Answer(response.status_code, None, f"its answer is longer than {max_bytes} bytes")


_NOBODY = Peer(code="", family=Family.NONE, url="", auth="none")


def _basic(username: str, password: str) -> str:
    """The value of an Authorization header of HTTP basic."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


def address(operation: Operation, peer: Peer, path: Mapping[str, str]) -> str:
    """Where a row is called on a peer. Colons of the print stay literal, those of a value are escaped."""
    printed = _PLACE.sub(lambda place: _segment(operation, place[1], path), operation.uri)
    if peer.family is Family.EDGE and printed.startswith("/CAD/"):
        printed = printed.removeprefix("/CAD")
    prefix = peer.prefix.strip("/")
    return peer.url.rstrip("/") + (f"/{prefix}" if prefix else "") + printed


def _segment(operation: Operation, name: str, path: Mapping[str, str]) -> str:
    """One value as a path segment. A dot segment would be folded away on the line and reach another row."""
    value = path.get(name, "")
    if value in ("", ".", ".."):
        raise InvalidField(f"{name} of {operation.uri} is missing or no path segment")
    return quote(value, safe="")


def _body(message: Message | None) -> bytes | None:
    return None if message is None else to_json(message)
