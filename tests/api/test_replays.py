"""Results delivered again on request: to whom, which, how many, and what is no request."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.api import replays
from tests.api.test_results_http import instance_of, link_of, send
from tests.support.site import Site
from tests.support.wait import wait_until
from tests.wire.servers import OK, Server, replying, serving

REPLAY = "/ACSMP/Results/Replay"


def reported(site: Site, instance: str, number: int) -> None:
    for pts in range(number):
        body = {"EventID": "FIRE", "Pts": pts, "EventTime": f"2026-11-20 10:00:{pts:02}.000"}
        assert send(link_of(site, instance), json=body) == (200, 0)


def keys(server: Server) -> list[str]:
    return [one.headers["Idempotency-Key"] for one in server.seen]


def test_what_a_receiver_lost_comes_again_under_its_key(site: Site) -> None:
    with serving(replying(200, OK)) as receiver:
        instance = instance_of(site, f"{receiver.url}/mine")
        reported(site, instance, 5)
        wait_until(lambda: len(receiver.seen) == 5, what="all are delivered")
        first = keys(receiver)
        times = {"TimeFrom": "2026-11-20 10:00:01", "TimeTo": "2026-11-20 10:00:03"}
        asked = {"InstanceID": instance, "Url": f"{receiver.url}/mine", **times}
        wait_until(
            lambda: site.client.fine("POST", REPLAY, asked)["Deliveries"] == 3, what="the outbox was empty"
        )
        wait_until(lambda: len(receiver.seen) >= 8, what="three come again")
        assert sorted(keys(receiver)[5:8]) == sorted(first[1:4])
        assert receiver.seen[5].body == receiver.seen[1].body


def test_what_waits_already_waits_once(site: Site) -> None:
    with serving(replying(503, {"Code": 50300})) as receiver:
        instance = instance_of(site, receiver.url)
        reported(site, instance, 3)
        assert site.client.fine("POST", REPLAY, {"InstanceID": instance}) == {"Results": 3, "Deliveries": 0}


def test_only_addresses_the_instance_names(site: Site) -> None:
    with serving(replying(200, OK)) as receiver, serving(replying(200, OK)) as other:
        instance = instance_of(site, receiver.url)
        reported(site, instance, 2)
        asked = {"InstanceID": instance, "Url": other.url}
        assert site.client.fine("POST", REPLAY, asked) == {"Results": 2, "Deliveries": 0}
        assert other.seen == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"TimeFrom": "yesterday"}, "TimeFrom"),
        ({"TaskID": "x"}, "TaskID"),
        ({"Url": 7}, "Url"),
        ([], ""),
    ],
)
def test_what_is_no_request(site: Site, body: Any, words: str) -> None:
    answer = site.client.post(REPLAY, body)
    assert (answer.status, answer.code) in ((400, 40001), (400, 40000)), answer
    assert words in answer.message


def test_more_than_one_request_takes_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replays, "MOST", 2)
    with serving(replying(503, {})) as receiver:
        instance = instance_of(site, receiver.url)
        reported(site, instance, 3)
        answer = site.client.post(REPLAY, {"InstanceID": instance})
        assert (answer.code, "more than 2 results" in answer.message) == (40001, True)
