"""What an answer means: its data, or the one fault of acsmpd.faults that tells the engine how to go on."""

from __future__ import annotations

import codecs
from typing import Any, NamedTuple

from acsmpd.faults import Fault, Permanent, StepFault, Temporary, Unknown
from acsmpd.spec.json_text import decode
from acsmpd.spec.message import data_type
from acsmpd.spec.operation import Operation
from acsmpd.spec.reading import read_tolerant

_QUOTED = 200  # characters of a facility's own words that we repeat
_MISSING_CODES = ("404", "40401")
_AWAITING_CODE = "40302"
_LATER_CODES = ("42901", "40303")  # nothing was done: too much at once, or not registered there yet
_LATER = (408, 425, 429)  # the request was turned away before anything was done
_NOT_DONE = (501, 503, 507)  # nor after these; any other 5xx may come after the work was done


class Missing(Permanent):
    """The facility says that the thing asked about is not there."""


class Awaiting(Permanent):
    """The platform knows of us, and waits for an operator's approval."""


class TokenRefused(Temporary):
    """The party does not take what we showed it: a token, or a user name with its password."""


class NoSuchPage(Temporary):
    """Nothing is served at the address (HTTP 404 without an envelope)."""


class Answer(NamedTuple):
    """One HTTP answer. `body` is None when it was too long or not all of it came; `trouble` says which."""

    status: int
    body: bytes | None
    trouble: str = ""


class Head(NamedTuple):
    """The two members every envelope has, as the facility wrote them."""

    code: str
    message: str


def changes(operation: Operation) -> bool:
    """Whether a call may have changed something there when its answer got lost.

    The row says so by its audit: reads are counted, also those that the print asks for by POST.
    """
    search = operation.uri.lower().endswith((":search", "/search"))
    return operation.method != "GET" and operation.audit != "counted" and not search


def uncertain(operation: Operation, text: str) -> StepFault:
    """The fault of a call that went out and of which we do not know what became."""
    return Unknown(text) if changes(operation) else Temporary(text)


def data_of(operation: Operation, who: str, answer: Answer) -> Any:
    """The Data member (the whole envelope where the row has none) of a success; else raises a StepFault."""
    head = head_of(answer.body)
    fault = _http_fault(operation, who, answer, head)
    if fault is not None:
        raise fault
    if head is None or answer.body is None:
        raise uncertain(operation, f"{who}: {answer.trouble or 'its answer is no envelope'}")
    if head.code != "0":
        raise _refusal(head.code)(f"{who}: it answered {quoted(head)}")
    try:
        envelope: Any = read_tolerant(operation.response, answer.body)
    except Fault as unreadable:
        reason = clean(unreadable.message)
    else:
        return envelope if data_type(operation.response) is None else envelope.data
    raise uncertain(operation, f"{who}: its answer cannot be read: {reason}")


def _http_fault(operation: Operation, who: str, answer: Answer, head: Head | None) -> StepFault | None:
    """What the HTTP status alone decides; None for a success."""
    status = answer.status
    said = f"{who}: it answered HTTP {status}" + (f", {quoted(head)}" if head else "")
    if 200 <= status < 300:
        return None
    if status == 401:
        return TokenRefused(f"{who}: token refused (HTTP 401)")
    if status == 404:
        # Without an envelope it is no word of the facility: a proxy's page, or a wrong prefix.
        return Missing(said) if head is not None else NoSuchPage(said)
    if 300 <= status < 400:
        return Permanent(f"{who}: it answered HTTP {status}, redirects are not followed")
    if status in _LATER or status in _NOT_DONE:
        return Temporary(said)
    if status >= 500:
        return uncertain(operation, said)
    return Awaiting(said) if head is not None and head.code == _AWAITING_CODE else Permanent(said)


def _refusal(code: str) -> type[StepFault]:
    """What a Code other than 0 means for the one who called."""
    if code in _MISSING_CODES:
        return Missing
    if code in _LATER_CODES:
        return Temporary
    return Awaiting if code == _AWAITING_CODE else Permanent


def head_of(body: bytes | None) -> Head | None:
    """Code and Message of an envelope, whatever their case and type; None if the body is no envelope."""
    try:
        members = decode((body or b"").removeprefix(codecs.BOM_UTF8))
    except Fault:
        return None
    if not isinstance(members, dict):
        return None
    folded = {name.lower(): value for name, value in members.items()}
    code = folded.get("code")
    if isinstance(code, bool) or not isinstance(code, (int, str)):
        return None
    message = folded.get("message", "")
    return Head(str(code).strip(), message if isinstance(message, str) else "")


def quoted(head: Head) -> str:
    """A facility's Code and Message, bounded and on one line."""
    return f'Code {clean(head.code)[:32]} "{clean(head.message)}"'


def clean(text: str) -> str:
    """At most 200 characters without control characters."""
    return "".join(char if char.isprintable() else " " for char in text[: 4 * _QUOTED]).strip()[:_QUOTED]
