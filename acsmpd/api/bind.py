"""From rows to routes: size and content type, access, path and body, handler, envelope, one audit row.

The only place where a fault becomes an answer.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, get_args, get_origin

import flask
from werkzeug.exceptions import HTTPException
from werkzeug.routing import BaseConverter, Map, MapAdapter, Rule

from acsmpd import faults
from acsmpd.api import access, answers, handlers, registry
from acsmpd.api.audit import Audit
from acsmpd.api.call import Call, Caller, Reply
from acsmpd.api.guard import request_id as request_id_of
from acsmpd.api.incoming import Incoming
from acsmpd.api.platform import Platform
from acsmpd.api.waiting import hold, wait_seconds
from acsmpd.clock import Moment
from acsmpd.spec.json_text import decode
from acsmpd.spec.message import Message
from acsmpd.spec.operation import Access, Operation
from acsmpd.spec.reading import read_scalar, read_strict, read_tolerant, to_json
from acsmpd.spec.tables import OPERATIONS
from acsmpd.store.upstreams import MOST_HOPS

log = logging.getLogger(__name__)

FROM_DEVICES = frozenset({"acsmp.register_compute", "acsmp.unregister_compute", "acsmp.keepalive_compute"})
"""Rows that devices call."""

STREAMED = frozenset({"acsmp.import_algo_file_package", "acsmp.receive_result"})
"""Rows whose handlers read the body themselves."""

FORMS = frozenset({"acsmp.import_license"})
"""Rows whose handlers read a form that was taken in whole."""


class Segment(BaseConverter):
    """One path segment; no slash, and no colon, which would swallow the verbs of Part 4."""

    regex = "[^/:]+"


class Number(BaseConverter):
    regex = "[0-9]{1,19}"


class Wide(BaseConverter):
    """A capability code may hold anything but a slash."""

    regex = "[^/]+"


class Table(flask.Flask):
    """Flask with the table's routes, which hold for any host: none is read from the request."""

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """See the base, which reads, checks and encodes the host first."""
        if request is None:
            return None
        return MapAdapter(self.url_map, "", "", "", "http", request.path, request.method, "")


class Route(Rule):
    """A rule by which requests are found. URLs are never made from it: werkzeug would write and compile two functions
    for that, a tenth of our start for 160 of them."""

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: ARG002
        return _no_url


def _no_url(self: Route, **values: object) -> tuple[str, str]:
    raise NotImplementedError(f"no URL is made from {self.rule}")


def make_app(platform: Platform, audit: Audit) -> flask.Flask:
    """The WSGI application: one rule per method + URI of the table."""
    registry.check_complete(handlers.MODULES)
    app = Table("acsmpd", static_folder=None)
    app.url_map = Map(converters={"segment": Segment, "number": Number, "wide": Wide}, strict_slashes=True)
    app.url_map.merge_slashes = False
    for (method, uri), rows in _by_route().items():
        endpoint = f"{method} {uri}"
        rule = Route(uri, methods=[method], endpoint=endpoint)
        rule.provide_automatic_options = False  # type: ignore[attr-defined]
        app.url_map.add(rule)
        app.view_functions[endpoint] = _view(platform, audit, rows)
    app.register_error_handler(HTTPException, lambda error: _no_route(platform, error))
    return app


def _by_route() -> dict[tuple[str, str], list[Operation]]:
    routes: dict[tuple[str, str], list[Operation]] = {}
    for row in OPERATIONS:
        if not row.served:
            continue
        for method, uri in ((row.method, row.uri), *row.aliases):
            routes.setdefault((method, _rule(row, uri)), []).append(row)
    return routes


def _rule(row: Operation, uri: str) -> str:
    """`/ACSMP/Tasks/<ID>` with the converter its scalar needs."""

    def place(found: re.Match[str]) -> str:
        kind = row.path.get(found[1])
        base = get_args(kind)[0] if get_origin(kind) is not None else kind
        wide = row.id in ("acsmp.get_algo_def", "acsmp.get_auth_quota", "acsmp.get_license_quota")
        return f"<{'number' if base is int else 'wide' if wide else 'segment'}:{found[1]}>"

    return re.sub(r"<(\w+)>", place, uri)


View = Callable[..., flask.Response]

PEOPLE = ("person", "key", "upstream")
"""Callers for whom work that has time steps aside."""


def _view(platform: Platform, audit: Audit, rows: list[Operation]) -> View:
    def view(**path: str) -> flask.Response:
        request = Incoming(flask.request.environ)
        request_id = request_id_of(request.header("x-request-id"))
        address = request.address
        row, caller, reply, claimed = rows[0], Caller("nobody", "", address), Reply(), ""
        try:
            now = platform.clock.now()
            via = _passed(platform, request.header("via"))
            shown = _shown(platform, rows, request, now)
            caller = shown or caller
            row, raw = _choose(rows, request)
            caller = access.allow(row.access, shown, address)
            if caller.kind in PEOPLE:
                platform.traffic.seen(now.mono)
            if caller.kind == "upstream":
                platform.chains.note(caller.name, via)
            if row.planned:
                raise faults.Planned(f"{row.method} {row.uri} is planned and not served yet")
            message = _message(platform, row, raw, request)
            claimed = _claimed(row, message)
            query = request.query
            call = Call(
                operation=row, message=message, path=_path(row, path), query=query, caller=caller, now=now,
                request_id=request_id, stream=_stream(row, raw, request), content_type=request.content_type,
                content_length=request.content_length,
            )  # fmt: skip
            seconds = wait_seconds(query.get("Wait", "")) if row.wait else 0.0
            reply = _reply(registry.HANDLERS[row.id](platform, call))
            if reply.settled is not None:
                hold(platform, seconds, reply.settled)
            if reply.failure is not None:
                raise reply.failure
            response = answers.success(row, reply.data, request_id, reply.warning)
            code = 0
        except faults.Fault as fault:
            response, code = answers.failure(platform, row, fault, request_id), fault.code
        except Exception:
            log.exception("cannot answer %s %s", request.method, row.uri, extra={"request_id": request_id})
            unforeseen = faults.Internal(
                "something unforeseen went wrong; the log has it under this RequestID"
            )
            response, code = answers.failure(platform, row, unforeseen, request_id), unforeseen.code
        if caller.kind in PEOPLE:
            platform.traffic.seen(platform.clock.now().mono)
        audit.note(row, caller, reply.object or claimed or _object(path), code, request_id)
        return response

    return view


def _stream(row: Operation, raw: bytes, request: Incoming) -> BinaryIO | None:
    if row.id in STREAMED:
        return request.stream
    return io.BytesIO(raw) if row.id in FORMS else None


def _shown(platform: Platform, rows: list[Operation], request: Incoming, now: Moment) -> Caller | None:
    """Who shows a token. Where nobody is asked none is read: a device that registers again may show an old one."""
    if rows[0].access in access.UNGUARDED:
        return None
    limit = platform.unknown_tokens
    return access.identify(request.header, request.address, platform.credentials, limit, now)


def _reply(answer: Any) -> Reply:
    return answer if isinstance(answer, Reply) else Reply(answer)


def _claimed(row: Operation, message: Message | None) -> str:
    """As whom somebody without a token wants to be taken: the code or the account, for the audit."""
    if row.access is not Access.CREDENTIALS:
        return ""
    return str(getattr(message, "code", "") or getattr(message, "username", ""))


def _object(path: Mapping[str, str]) -> str:
    return "/".join(value for name, value in path.items() if name != "Signature")[:256]


def _passed(platform: Platform, via_header: str | None) -> tuple[str, ...]:
    """The platforms a request has passed. One that has passed us, or more than 8, goes round in a ring (conventions
    section 12)."""
    via = tuple(part.split()[-1] for part in (via_header or "").split(",") if part.strip())
    if platform.settings.site_code in via:
        raise faults.FederationLoop(f"this request has already passed {platform.settings.site_code}")
    if len(via) > MOST_HOPS:
        raise faults.FederationLoop(
            f"this request has passed {len(via)} platforms; at most {MOST_HOPS} are taken"
        )
    return via


def _choose(rows: list[Operation], request: Incoming) -> tuple[Operation, bytes]:
    """The row of a shared method + URI, by content type or by a member of the body; and the body."""
    raw = b"" if rows[0].id in STREAMED else _body(rows[0], request)
    if len(rows) == 1:
        return rows[0], raw
    for row in rows:
        if row.when_content_type is not None and row.when_content_type == request.media:
            return row, raw
    for row in rows:
        if row.when_body_has is not None:
            name, present = row.when_body_has
            if _has_member(raw, name) is present:
                return row, raw
    return next((row for row in rows if row.when_content_type == "application/json"), rows[-1]), raw


def _has_member(raw: bytes, name: str) -> bool:
    body = decode(raw) if raw.strip() else {}
    return isinstance(body, dict) and name in body


def _body(row: Operation, request: Incoming) -> bytes:
    length = request.content_length
    if length is not None and length > row.body_cap:
        raise faults.TooLarge(f"the body has {length} bytes; this row takes at most {row.body_cap}")
    raw = request.stream.read(row.body_cap + 1)
    if len(raw) > row.body_cap:
        raise faults.TooLarge(f"the body has more than the {row.body_cap} bytes this row takes")
    media = request.media
    known = not media or "json" in media or media in ("text/plain", "multipart/form-data")
    if raw and row.request is not None and not known:
        raise faults.UnsupportedMedia(f"the body is {media[:80]}; this row takes application/json")
    return raw


def _message(platform: Platform, row: Operation, raw: bytes, request: Incoming) -> Message | None:
    if row.request is None or row.id in STREAMED | FORMS:
        return None
    if request.media == "multipart/form-data":
        raise faults.UnsupportedMedia("the body is multipart/form-data; this row takes application/json")
    read: tuple[Message, int] = _read(row, row.request, raw)
    message, ignored = read
    if ignored:
        platform.ignored.add(row.id, ignored)
    return message


def _read(row: Operation, kind: type[Message], raw: bytes) -> tuple[Message, int]:
    """The message as its table wants it. What devices send is read tolerantly first (numbers as texts, other
    cases of a name), then held to the same lengths and required members."""
    try:
        return read_strict(kind, raw)
    except (faults.InvalidField, faults.MissingField):
        if row.id not in FROM_DEVICES:
            raise
    return read_strict(kind, to_json(read_tolerant(kind, raw)))


def _path(row: Operation, path: Mapping[str, str]) -> dict[str, Any]:
    return {name: read_scalar(row.path[name], text, name) for name, text in path.items()}


def _no_route(platform: Platform, error: HTTPException) -> flask.Response:
    """An address or method the table does not have."""
    request = flask.request
    fault: faults.Fault
    allowed = ", ".join(sorted(getattr(error, "valid_methods", None) or []))
    if error.code == 405:
        fault = faults.MethodNotAllowed(
            f"{request.method} is not served on {request.path[:200]}; allowed: {allowed}", allowed
        )
    elif error.code == 404 or (error.code is not None and 300 <= error.code < 400):
        fault = faults.NotFound(f"nothing is served at {request.path[:200]}")
    else:
        fault = faults.MalformedJson(f"the request cannot be read: {error.name}")
    return answers.failure(platform, OPERATIONS[0], fault, request_id_of(request.headers.get("X-Request-ID")))
