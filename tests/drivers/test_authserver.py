"""What an authorisation server may answer, and what of it is a quota."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from acsmpd.clock import Clock
from acsmpd.drivers.authserver import AuthServers, Quota, numbers_of
from acsmpd.faults import FacilityRefused, NoAnswerInTime
from acsmpd.security.egress import EgressPolicy
from acsmpd.wire.answer import Answer
from acsmpd.wire.caller import Wire
from acsmpd.wire.exchange import Cancelled
from tests.wire.servers import Handler, Server, replying, serving, unused_port

PATH = "/AuthServer/Quota/{AlgoDefCode}"
QUOTA = {"AlgoDefCode": "A", "QuotaUsed": 3, "QuotaTotal": 30}


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire(EgressPolicy(["127.0.0.1:*"]), "1" * 20, 5, 5, 1 << 20)
    yield made
    made.close()


def ask(wire: Wire, *addresses: str, code: str = "A", seconds: float = 5, **more: Any) -> Quota:
    return AuthServers(wire, Clock()).quota(
        list(addresses), more.pop("path", PATH), code, timeout_seconds=seconds, **more
    )


def at(server: Server) -> str:
    return f"127.0.0.1:{server.port}"


def answer(value: Any, status: int = 200) -> Answer:
    return Answer(status, value if isinstance(value, bytes) else json.dumps(value).encode())


@pytest.mark.parametrize(
    "value",
    [
        QUOTA,
        {"QuotaUsed": 3, "QuotaTotal": 30},
        {"Code": 0, **QUOTA},
        {"Code": 0, "Message": "success", "Data": QUOTA},
        {"Code": "0", "Data": {"QuotaUsed": "3", "QuotaTotal": " 30"}},
        {"code": 0, "message": "", "data": {"quotaUsed": 3, "quotaTotal": 30, "More": [1, {"a": None}]}},
        b"\xef\xbb\xbf" + json.dumps(QUOTA).encode(),
    ],
)
def test_a_quota_comes_wrapped_or_bare(value: Any) -> None:
    assert numbers_of(answer(value)) == (3, 30)


@pytest.mark.parametrize("total", [-1, 0, 2**63 - 1])
def test_a_total_may_be_undeclared_nothing_or_huge(total: int) -> None:
    assert numbers_of(answer({"QuotaUsed": 0, "QuotaTotal": total})) == (0, total)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (answer(b"<html>Welcome</html>"), "its answer is no JSON"),
        (answer(b""), "its answer is no JSON"),
        (answer(b'{"QuotaUsed": 3'), "its answer is no JSON"),
        (answer([QUOTA]), "QuotaUsed is missing"),
        (answer(b"7"), "QuotaUsed is missing"),
        (answer({}), "its QuotaUsed is missing or no whole number from 0 on"),
        (answer({"Code": 0}), "QuotaUsed is missing"),
        (answer({"Code": 0, "Data": [QUOTA]}), "QuotaUsed is missing"),
        (answer({**QUOTA, "QuotaUsed": -1}), "QuotaUsed"),
        (answer({**QUOTA, "QuotaUsed": True}), "QuotaUsed"),
        (answer({**QUOTA, "QuotaUsed": 3.7}), "QuotaUsed"),
        (answer({**QUOTA, "QuotaUsed": None}), "QuotaUsed"),
        (answer({**QUOTA, "QuotaTotal": "many"}), "its QuotaTotal is missing or no whole number from -1 on"),
        (answer({**QUOTA, "QuotaTotal": "٣"}), "QuotaTotal"),
        (answer({**QUOTA, "QuotaTotal": -2}), "QuotaTotal"),
        (answer({**QUOTA, "QuotaTotal": {}}), "QuotaTotal"),
        (answer({**QUOTA, "QuotaTotal": 2**63}), "an integer outside 64 bits"),
        (answer(b'{"a":' * 40 + b"1" + b"}" * 40), "deeper than 32"),
        (answer(b"[" * 50_000), "its answer is no JSON"),
        (answer({"Code": 40401, "Message": "no such\ncapability", "Data": QUOTA}), 'Code 40401 "no such capability"'),
        (answer({"Code": 7, "Message": "x" * 5000}), 'Code 7 "xxx'),
        (answer({"Code": 50000, "Message": "broken"}, 500), 'Code 50000 "broken"'),
        (answer(QUOTA, 500), "it answered HTTP 500"),
        (answer(b"<html>", 404), "it answered HTTP 404"),
        (answer(QUOTA, 302), "it answered HTTP 302, redirects are not followed"),
        (Answer(200, None, "its answer is longer than 65536 bytes"), "longer than 65536 bytes"),
    ],
)  # fmt: skip
def test_what_is_no_quota_is_refused_in_words(given: Answer, words: str) -> None:
    with pytest.raises(FacilityRefused) as caught:
        numbers_of(given)
    assert words in caught.value.message
    assert len(caught.value.message) < 300
    assert "<html>" not in caught.value.message


NAMES = some.sampled_from(["Code", "Data", "QuotaUsed", "QuotaTotal"])
SCALARS = some.none() | some.booleans() | some.integers() | some.floats(-9, 9) | some.text()
VALUES = some.recursive(SCALARS, lambda one: some.lists(one) | some.dictionaries(NAMES, one), max_leaves=12)


@settings(max_examples=300)
@given(some.binary(max_size=60) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_no_answer_does_more_than_be_refused(body: bytes) -> None:
    with contextlib.suppress(FacilityRefused):
        used, total = numbers_of(Answer(200, body))
        assert used >= 0
        assert total >= -1


# --- addresses ---------------------------------------------------------------------------------------------------


def test_the_first_that_answers_counts(wire: Wire) -> None:
    with serving(replying(200, QUOTA)) as first, serving(replying(200, {**QUOTA, "QuotaTotal": 9})) as second:
        assert ask(wire, at(first), at(second)) == Quota(3, 30, at(first))
        assert second.seen == []
        nobody = f"127.0.0.1:{unused_port()}"
        assert ask(wire, nobody, at(second), at(first)) == Quota(3, 9, at(second))


@pytest.mark.parametrize(
    "script",
    [
        replying(500, b""), replying(200, b"<html>"), replying(302, b"", Location="http://127.0.0.1/"),
        replying(200, {"Code": 50000, "Message": "no database"}), replying(200, b"x" * 70_000),
    ],
)  # fmt: skip
def test_one_that_answers_badly_is_passed_over(wire: Wire, script: Callable[[Handler], None]) -> None:
    with serving(script) as bad, serving(replying(200, QUOTA)) as good:
        assert ask(wire, at(bad), at(good)) == Quota(3, 30, at(good))


def test_a_slow_one_leaves_time_for_the_others(wire: Wire) -> None:
    with serving(Handler.stall) as slow, serving(replying(200, QUOTA)) as good:
        assert ask(wire, at(slow), at(good), seconds=1).address == at(good)
        slower = Clock().now().mono
        with pytest.raises(NoAnswerInTime) as caught:
            ask(wire, at(slow), at(slow), seconds=0.6)
        assert Clock().now().mono - slower < 3
    first, second = caught.value.message.split("; ")
    assert first == f"cannot ask {at(slow)} within 0.3 s: no whole answer in time"
    assert second.startswith(f"cannot ask {at(slow)} within 0.")


def test_the_words_name_each_address_with_its_cause(wire: Wire) -> None:
    nobody = f"127.0.0.1:{unused_port()}"
    with serving(replying(200, b"<html>")) as bad, pytest.raises(FacilityRefused) as caught:
        ask(wire, nobody, at(bad), seconds=4)
    assert caught.value.message == (
        f"cannot ask {nobody} within 2 s: connection refused; {at(bad)}: its answer is no JSON"
    )
    with pytest.raises(NoAnswerInTime, match="connection refused"):
        ask(wire, nobody)


def test_an_address_the_policy_refuses_is_not_called(wire: Wire) -> None:
    with pytest.raises(FacilityRefused, match=r"cannot call 169\.254\.169\.254:80: .*egress\.allow"):
        ask(wire, "169.254.169.254:80")


def test_one_that_is_not_wanted_any_more_ends_soon(wire: Wire) -> None:
    with serving(Handler.stall) as server:
        begun = Clock().now().mono
        with pytest.raises(Cancelled):
            ask(wire, at(server), at(server), seconds=20, cancelled=lambda: bool(server.seen))
    assert Clock().now().mono - begun < 5


@pytest.mark.parametrize(
    ("code", "path", "asked"),
    [
        ("PROVIDER-HUMAN-1.0.0", PATH, "/AuthServer/Quota/PROVIDER-HUMAN-1.0.0"),
        ("a b/人?#{AlgoDefCode}", PATH, "/AuthServer/Quota/a%20b%2F%E4%BA%BA%3F%23%7BAlgoDefCode%7D"),
        ("A", "/q?code={AlgoDefCode}&all=1", "/q?code=A&all=1"),
        ("...", PATH, "/AuthServer/Quota/..."),
    ],
)
def test_the_capability_stands_in_the_path(wire: Wire, code: str, path: str, asked: str) -> None:
    with serving(replying(200, QUOTA)) as server:
        ask(wire, at(server), code=code, path=path)
        assert [seen.path for seen in server.seen] == [asked]


@pytest.mark.parametrize("code", [".", ".."])
def test_a_capability_that_would_lead_elsewhere_is_not_asked_for(wire: Wire, code: str) -> None:
    with serving(replying(200, QUOTA)) as server, pytest.raises(FacilityRefused, match="no path segment"):
        ask(wire, at(server), code=code)
    assert server.seen == []
