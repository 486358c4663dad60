"""What a call puts on the line, and what comes back of it."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable

import pytest

from acsmpd.faults import Permanent, Temporary
from acsmpd.model import Family
from acsmpd.spec.messages.cad import AlgoFilePackageRequest
from acsmpd.spec.tables import BY_ID
from acsmpd.version import VERSION
from acsmpd.wire.caller import REQUEST_ID, Wire
from tests.wire.conftest import DEVICE, SITE, TOKEN, peer
from tests.wire.servers import OK, Handler, replying, serving, unused_port

STATUS = BY_ID["cad.get_device_status"]
PUSH = BY_ID["cad.push_algo_file_package"]
RESUME = BY_ID["cad.resume_algo_task"]
DELETE = BY_ID["cad.delete_algo_task"]
SEARCH = BY_ID["cad.search_algo_tasks"]
CREATE = BY_ID["cad.create_algo_task"]


def test_a_row_without_data_returns_its_envelope(wire: Wire) -> None:
    with serving(replying(200, {"Code": 0, "Message": "success", "RequestID": "r-1"})) as server:
        envelope = wire.call(RESUME, peer(server.url), path={"ID": "7"})
    assert (envelope.code, envelope.message, envelope.request_id) == (0, "success", "r-1")


def test_a_row_with_data_returns_the_data(wire: Wire) -> None:
    with serving(replying(200, {**OK, "Data": {"AlgoServiceID": "s-1"}})) as server:
        assert wire.call(CREATE, peer(server.url)).algo_service_id == "s-1"


def test_a_row_with_data_may_come_without(wire: Wire) -> None:
    with serving(replying(200, OK)) as server:
        assert wire.call(STATUS, peer(server.url)) is None


@pytest.mark.parametrize(
    "body",
    [
        {"Code": "0", "Message": "ok"},
        {"Code": " 0 ", "Message": "ok"},
        {"code": 0, "message": "ok"},
        {"code": "0", "Message": "ok"},
    ],
)
def test_success_is_code_0_in_any_spelling(wire: Wire, body: dict[str, object]) -> None:
    with serving(replying(200, body)) as server:
        assert wire.call(RESUME, peer(server.url), path={"ID": "7"}).code == 0


def test_headers_and_body_of_a_call(wire: Wire) -> None:
    message = AlgoFilePackageRequest(url="http://192.0.2.9/人.tar", algo_file_package_id="1" * 40)
    with serving(replying(200, OK)) as server:
        wire.call(PUSH, peer(server.url, via=("11000000005020000077",)), message)
    (seen,) = server.seen
    assert (seen.method, seen.path) == ("POST", "/CAD/Machine/AlgoFilePackages")
    assert json.loads(seen.body.decode("utf-8")) == {
        "Url": "http://192.0.2.9/人.tar",
        "AlgoFilePackageID": "1" * 40,
    }
    assert seen.headers["Content-Type"] == "application/json; charset=utf-8"
    assert seen.headers["Authorization"] == f"Bearer {TOKEN}"
    assert seen.headers["Token"] == TOKEN
    assert seen.headers["Via"] == f"1.1 11000000005020000077, 1.1 {SITE}"
    assert seen.headers["User-Agent"] == f"acsmpd/{VERSION}"
    assert seen.headers["Host"] == f"127.0.0.1:{server.port}"


def test_our_own_code_stands_in_via_once(wire: Wire) -> None:
    with serving(replying(200, OK)) as server:
        wire.call(STATUS, peer(server.url, via=(SITE,)))
    assert server.seen[0].headers["Via"] == f"1.1 {SITE}"


def test_basic_and_no_authentication(wire: Wire) -> None:
    with serving(replying(200, OK)) as server:
        wire.call(STATUS, peer(server.url, auth="basic", username="admin", password="密:pw"))
        wire.call(STATUS, peer(server.url, auth="none"))
        wire.call(STATUS, peer(server.url, token=None))
    first, second, third = (seen.headers for seen in server.seen)
    assert base64.b64decode(first["Authorization"].removeprefix("Basic ")).decode() == "admin:密:pw"
    assert not {"Token"} & set(first)
    assert not {"Token", "Authorization"} & (set(second) | set(third))


def test_the_request_id_of_the_call_on_hand_goes_along(wire: Wire) -> None:
    with serving(replying(200, OK)) as server:
        for given in ("abc-1", "", "bad id\r\nX: y"):
            token = REQUEST_ID.set(given)
            wire.call(STATUS, peer(server.url))
            REQUEST_ID.reset(token)
    first, second, third = (seen.headers["X-Request-ID"] for seen in server.seen)
    assert first == "abc-1"
    assert len(second) == len(third) == 36
    assert second != third
    assert "X" not in server.seen[2].headers


@pytest.mark.parametrize(
    ("family", "prefix", "path"),
    [
        (Family.CAD, "", "/CAD/AlgoTasks/7:resume"),
        (Family.CAD, "/gw/", "/gw/CAD/AlgoTasks/7:resume"),
        (Family.EDGE, "/CAD", "/CAD/AlgoTasks/7:resume"),
        (Family.EDGE, "box/v1", "/box/v1/AlgoTasks/7:resume"),
        (Family.EDGE, "", "/AlgoTasks/7:resume"),
    ],
)
def test_prefix(wire: Wire, family: Family, prefix: str, path: str) -> None:
    with serving(replying(200, OK)) as server:
        wire.call(RESUME, peer(server.url, family=family, prefix=prefix), path={"ID": "7"})
    assert server.seen[0].path == path


def test_a_value_in_the_path_cannot_reach_another_row(wire: Wire) -> None:
    with serving(replying(200, OK)) as server:
        wire.call(RESUME, peer(server.url), path={"ID": "a/b:pause?x#y%2e 任"})
    assert server.seen[0].path == "/CAD/AlgoTasks/a%2Fb%3Apause%3Fx%23y%252e%20%E4%BB%BB:resume"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_path_value_that_is_no_segment_never_leaves(wire: Wire, value: str) -> None:
    with serving(replying(200, OK)) as server, pytest.raises(Permanent) as caught:
        wire.call(DELETE, peer(server.url), path={"ID": value})
    assert caught.value.message == (
        f"cannot call cad.delete_algo_task on {DEVICE}: "
        "ID of /CAD/AlgoTasks/<ID> is missing or no path segment"
    )
    assert server.seen == []


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://127.0.0.1:1", "it is no http or https address"),
        ("http://", "it is no http or https address"),
        ("http://127.0.0.1:99999", "it is no http or https address"),
        ("", "it is no http or https address"),
        ("http://u:hidden@127.0.0.1:1", "it holds a user or a password"),
    ],
)
def test_an_address_that_is_none_is_permanent(wire: Wire, url: str, reason: str) -> None:
    with pytest.raises(Permanent) as caught:
        wire.call(STATUS, peer(url))
    assert caught.value.message.endswith(f"cannot use the address: {reason}")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("token", ["two\r\nlines", "ключ", "nul\0"])
def test_a_token_no_header_may_hold_is_permanent_and_never_quoted(wire: Wire, token: str) -> None:
    with serving(replying(200, OK)) as server, pytest.raises(Permanent) as caught:
        wire.call(STATUS, peer(server.url, token=token))
    assert "the header Authorization" in caught.value.message
    assert token not in str(caught.value)
    assert server.seen == []


def test_no_token_in_any_fault(wire: Wire) -> None:
    def script(handler: Handler) -> None:
        handler.reply(500, {"Code": 50000, "Message": "broken"})

    with serving(script) as server:
        who = peer(server.url)
        faults = []
        for url in (server.url, f"http://127.0.0.1:{unused_port()}"):
            with pytest.raises(Temporary) as caught:
                wire.call(STATUS, peer(url))
            faults.append(caught.value)
    for fault in faults:
        assert TOKEN not in str(fault) + repr(fault) + repr(who)
        assert fault.__cause__ is None
        assert fault.__context__ is None


def test_lines_are_kept_alive_one_an_origin(wires: Callable[..., Wire]) -> None:
    wire = wires()
    with serving(replying(200, OK)) as server, serving(replying(200, OK)) as other:
        for _ in range(3):
            wire.call(STATUS, peer(server.url))
            wire.call(STATUS, peer(other.url))
        wire.close()
    assert len({seen.client for seen in server.seen}) == 1
    assert len({seen.client for seen in other.seen}) == 1


def test_a_peer_that_closes_every_line_unannounced_costs_no_call(wire: Wire) -> None:
    def script(handler: Handler) -> None:
        handler.reply(200, OK)
        handler.close_connection = True

    with serving(script) as server:
        for _ in range(30):
            wire.call(STATUS, peer(server.url))
            wire.call(RESUME, peer(server.url), path={"ID": "7"})
        wire.close()
    assert len({seen.client for seen in server.seen}) == len(server.seen) == 60


def test_a_read_on_a_line_cut_in_its_rest_is_repeated_once(wire: Wire) -> None:
    def script(handler: Handler) -> None:
        earlier = [seen.client for seen in handler.server.seen].count(handler.client_address)
        handler.reply(200, OK) if earlier == 1 else handler.reset()

    with serving(script) as server:
        for _ in range(2):
            wire.call(STATUS, peer(server.url))
        wire.close()
    assert [seen.client == server.seen[0].client for seen in server.seen] == [True, True, False]


def test_a_change_never_uses_a_line_that_rested(wire: Wire) -> None:
    with serving(replying(200, OK)) as server:
        wire.call(STATUS, peer(server.url))
        wire.call(RESUME, peer(server.url), path={"ID": "7"})
        wire.call(STATUS, peer(server.url))
        wire.close()
    first, second, third = (seen.client for seen in server.seen)
    assert first != second
    assert third == second


def test_idle_lines_are_bounded(wires: Callable[..., Wire]) -> None:
    wire = wires()
    wire._line._most_idle = 2
    with (
        serving(replying(200, OK)) as one,
        serving(replying(200, OK)) as two,
        serving(replying(200, OK)) as three,
    ):
        for server in (one, two, three, one, three):
            wire.call(STATUS, peer(server.url))
        wire.close()
    assert len({seen.client for seen in one.seen}) == 2
    assert len({seen.client for seen in three.seen}) == 1


def test_two_threads_share_no_line(wire: Wire) -> None:
    both = threading.Barrier(2, timeout=10)

    def script(handler: Handler) -> None:
        both.wait()
        handler.reply(200, OK)

    with serving(script) as server:
        threads = [threading.Thread(target=wire.call, args=(STATUS, peer(server.url))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        wire.close()
    assert len({seen.client for seen in server.seen}) == 2


def test_cookies_are_not_kept(wire: Wire) -> None:
    with serving(replying(200, OK, Set_Cookie="session=1; Path=/")) as server:
        wire.call(STATUS, peer(server.url))
        wire.call(STATUS, peer(server.url))
    assert "Cookie" not in server.seen[1].headers
