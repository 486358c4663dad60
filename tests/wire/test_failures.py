"""How a call fails: the class of the fault is what the engine goes by."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from acsmpd.faults import Permanent, StepFault, Temporary, Unknown
from acsmpd.spec.operation import Operation
from acsmpd.wire.answer import Awaiting, Missing, NoSuchPage, TokenRefused
from acsmpd.wire.caller import Wire
from tests.wire.conftest import DEVICE, peer
from tests.wire.servers import OK, Handler, replying, serving, unused_port
from tests.wire.test_caller import DELETE, PUSH, RESUME, SEARCH, STATUS

Script = Callable[[Handler], None]


def fault_of(wire: Wire, operation: Operation, url: str, seconds: float | None = None) -> StepFault:
    with pytest.raises(StepFault) as caught:
        wire.call(operation, peer(url), path={"ID": "7"}, timeout_seconds=seconds)
    assert caught.value.message.startswith(f"cannot call {operation.id} on {DEVICE}: ")
    return caught.value


def cut(handler: Handler) -> None:
    handler.reset()


def cut_in_body(handler: Handler) -> None:
    handler.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"Code": 0,')
    handler.reset()


def short_body(handler: Handler) -> None:
    handler.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"Code": 0, "Message": "ok"}')


def garbage(handler: Handler) -> None:
    handler.raw(b"\x00\x01\x02 this is no HTTP\r\n\r\n")


def html(handler: Handler) -> None:
    handler.reply(200, b"<html><body>login</body></html>", Content_Type="text/html")


def truncated_json(handler: Handler) -> None:
    handler.reply(200, b'{"Code": 0, "Mess')


def deep_json(handler: Handler) -> None:
    handler.reply(200, b'{"Code": ' + b"[" * 100_000 + b"}")


def no_code(handler: Handler) -> None:
    handler.reply(200, {"Message": "ok"})


def boolean_code(handler: Handler) -> None:
    handler.reply(200, {"Code": False, "Message": "ok"})


def a_list(handler: Handler) -> None:
    handler.reply(200, b"[0]")


def too_long(handler: Handler) -> None:
    handler.reply(200, b'{"Code": 0, "Message": "' + b"x" * 1024 * 1024 + b'"}')


def endless(handler: Handler) -> None:
    handler.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while not handler.server.over.is_set():
        try:
            handler.connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        except OSError:
            return


LOST: list[tuple[Script, str]] = [
    (cut, "the line was cut"),
    (cut_in_body, "it answered HTTP 200, then the line was cut"),
    (short_body, "it answered HTTP 200, then the line was cut"),
    (garbage, "what came back is no HTTP answer"),
    (html, "its answer is no envelope"),
    (truncated_json, "its answer is no envelope"),
    (deep_json, "its answer is no envelope"),
    (no_code, "its answer is no envelope"),
    (boolean_code, "its answer is no envelope"),
    (a_list, "its answer is no envelope"),
    (too_long, "its answer is longer than 1048576 bytes"),
    (endless, "its answer is longer than 1048576 bytes"),
]


@pytest.mark.parametrize(("script", "reason"), LOST, ids=lambda value: getattr(value, "__name__", ""))
def test_a_lost_answer_is_unknown_for_changes_and_temporary_for_reads(
    wire: Wire, script: Script, reason: str
) -> None:
    with serving(script) as server:
        for operation in (PUSH, RESUME, DELETE):
            fault = fault_of(wire, operation, server.url)
            assert type(fault) is Unknown
            assert fault.message.endswith(f": {reason}")
        for operation in (STATUS, SEARCH):
            assert type(fault_of(wire, operation, server.url)) is Temporary


def stall(handler: Handler) -> None:
    handler.stall()


def stall_in_body(handler: Handler) -> None:
    handler.raw(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"Code": 0,')
    handler.stall()


def drip_body(handler: Handler) -> None:
    handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    handler.drip(b" " * 5000, 0.05)


def drip_headers(handler: Handler) -> None:
    handler.drip(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 5000, 0.05)


def endless_continue(handler: Handler) -> None:
    handler.drip(b"HTTP/1.1 100 Continue\r\n\r\n" * 200, 0.002)
    handler.stall()


@pytest.mark.parametrize("script", [stall, stall_in_body, drip_body, drip_headers, endless_continue])
def test_the_time_limit_is_for_the_whole_answer(wires: Callable[..., Wire], script: Script) -> None:
    wire = wires(connect_timeout_seconds=0.2)
    with serving(script) as server:
        begun = time.monotonic()
        fault = fault_of(wire, DELETE, server.url, 0.3)
        took = time.monotonic() - begun
    assert type(fault) is Unknown
    assert fault.message.endswith("no whole answer in time")
    assert took < 1.5


def test_a_read_that_gets_no_answer_in_time_is_temporary(wire: Wire) -> None:
    with serving(stall) as server:
        assert type(fault_of(wire, STATUS, server.url, 0.2)) is Temporary


@pytest.mark.parametrize("operation", [STATUS, DELETE], ids=lambda row: row.id)
def test_nothing_sent_is_temporary(wire: Wire, operation: Operation) -> None:
    fault = fault_of(wire, operation, f"http://127.0.0.1:{unused_port()}")
    assert type(fault) is Temporary
    assert fault.message.endswith("connection refused")


@pytest.mark.parametrize(
    ("status", "body", "kind", "ending"),
    [
        (401, OK, TokenRefused, "token refused (HTTP 401)"),
        (403, {"Code": 40302, "Message": "wait"}, Awaiting, 'it answered HTTP 403, Code 40302 "wait"'),
        (403, {"Code": 40301, "Message": "no"}, Permanent, 'it answered HTTP 403, Code 40301 "no"'),
        (404, b"<html>", NoSuchPage, "it answered HTTP 404"),
        (
            404,
            {"Code": 40401, "Message": "no task 7"},
            Missing,
            'it answered HTTP 404, Code 40401 "no task 7"',
        ),
        (400, {"Code": 40001, "Message": "bad"}, Permanent, 'it answered HTTP 400, Code 40001 "bad"'),
        (409, b"busy", Permanent, "it answered HTTP 409"),
        (413, b"", Permanent, "it answered HTTP 413"),
        (301, b"", Permanent, "it answered HTTP 301, redirects are not followed"),
        (307, OK, Permanent, "it answered HTTP 307, redirects are not followed"),
        (408, b"", Temporary, "it answered HTTP 408"),
        (429, {"Code": 42901, "Message": "slow"}, Temporary, 'it answered HTTP 429, Code 42901 "slow"'),
        (500, b"Traceback secret", Unknown, "it answered HTTP 500"),
        (503, {"code": "9", "message": "later"}, Temporary, 'it answered HTTP 503, Code 9 "later"'),
        (502, b"", Unknown, "it answered HTTP 502"),
        (501, b"", Temporary, "it answered HTTP 501"),
        (507, b"", Temporary, "it answered HTTP 507"),
        (504, b"", Unknown, "it answered HTTP 504"),
        (200, {"Code": 404, "Message": "gone"}, Missing, 'it answered Code 404 "gone"'),
        (200, {"Code": "40401", "Message": "gone"}, Missing, 'it answered Code 40401 "gone"'),
        (200, {"Code": 40302, "Message": "wait"}, Awaiting, 'it answered Code 40302 "wait"'),
        (200, {"Code": 40303, "Message": "not yet"}, Temporary, 'it answered Code 40303 "not yet"'),
        (200, {"Code": "42901", "Message": "slow"}, Temporary, 'it answered Code 42901 "slow"'),
        (200, {"Code": "E_BUSY", "Message": "no"}, Permanent, 'it answered Code E_BUSY "no"'),
        (200, {"Code": -1}, Permanent, 'it answered Code -1 ""'),
        (200, {"Code": 1, "Message": None, "Data": ""}, Permanent, 'it answered Code 1 ""'),
        (500, OK, Unknown, 'it answered HTTP 500, Code 0 "success"'),
    ],
)
def test_classes_of_answers_to_a_change(
    wire: Wire, status: int, body: bytes, kind: type[StepFault], ending: str
) -> None:
    with serving(replying(status, body)) as server:
        fault = fault_of(wire, DELETE, server.url)
    assert type(fault) is kind
    assert fault.message.endswith(ending)


@pytest.mark.parametrize("status", [500, 502, 504])
def test_a_gateway_failure_of_a_read_is_temporary(wire: Wire, status: int) -> None:
    with serving(replying(status, b"")) as server:
        assert type(fault_of(wire, SEARCH, server.url)) is Temporary


def test_a_status_counts_even_when_the_body_never_ends(wire: Wire) -> None:
    def script(handler: Handler) -> None:
        handler.raw(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 9\r\n\r\n")
        handler.stall()

    with serving(script) as server:
        assert "token refused" in fault_of(wire, DELETE, server.url, 0.2).message


def test_a_facility_is_quoted_briefly_and_on_one_line(wire: Wire) -> None:
    with serving(replying(200, {"Code": "7" * 99, "Message": "a\r\nb\x1b[31m\u2028" + "字" * 500})) as server:
        fault = fault_of(wire, DELETE, server.url)
    quoted = fault.message.split(" it answered ")[1]
    assert quoted.startswith(f'Code {"7" * 32} "a  b [31m 字字')
    assert len(quoted) == len("Code ") + 32 + len(' ""') + 200
    assert fault.message.isprintable()


def test_a_success_that_cannot_be_read_is_uncertain(wire: Wire) -> None:
    with serving(replying(200, {"Code": 0, "Message": "ok", "Data": "no object"})) as server:
        fault = fault_of(wire, STATUS, server.url)
    assert type(fault) is Temporary
    assert "its answer cannot be read: " in fault.message


def test_a_redirect_is_not_followed_and_its_body_not_awaited(wire: Wire) -> None:
    with serving(replying(200, OK)) as other:

        def script(handler: Handler) -> None:
            handler.reply(302, b"", Location=f"{other.url}/CAD/Status")

        with serving(script) as server:
            fault = fault_of(wire, STATUS, server.url)
    assert type(fault) is Permanent
    assert other.seen == []
