"""Results on their way: taken, tried again, given up, dropped when there are too many."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator

import deliver
import pytest
from deliver import ATTEMPTS, QUEUE_LENGTH, Outbox, post

from tests.sample.parties import Receiver
from tests.support.wait import wait_until


@pytest.fixture
def outbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    monkeypatch.setattr(deliver, "FIRST_BACKOFF_SECONDS", 0.01)
    box = Outbox("t1")
    yield box
    box.close()
    box.join(20)


def test_a_result_is_delivered_once(outbox: Outbox, receiver: Receiver) -> None:
    outbox.put(receiver.url, b'{"n": 1}')
    wait_until(lambda: outbox.delivered == 1, what="delivery")
    assert receiver.bodies == [{"n": 1}]
    assert (outbox.failed, outbox.dropped) == (0, 0)


def test_what_is_not_taken_is_tried_again_until_code_0(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [(503, b""), (200, b'{"Code": 50000}'), (200, b"<html>"), (429, b"{}")]
    outbox.put(receiver.url, b'{"n": 1}')
    wait_until(lambda: outbox.delivered == 1, what="delivery")
    assert (receiver.attempts, outbox.failed) == (5, 0)


def test_it_is_given_up_after_its_tries(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [(503, b"")] * 50
    outbox.put(receiver.url, b"{}")
    wait_until(lambda: outbox.failed == 1, what="giving up")
    assert receiver.attempts == ATTEMPTS


def test_a_dead_link_is_not_tried_again(outbox: Outbox, receiver: Receiver) -> None:
    receiver.answers = [(404, b'{"Code": 40401}')]
    outbox.put(receiver.url, b"{}")
    wait_until(lambda: outbox.failed == 1, what="giving up")
    assert receiver.attempts == 1


def test_one_receiver_that_is_down_does_not_hold_up_another(outbox: Outbox, receiver: Receiver) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        outbox.put(f"http://127.0.0.1:{unused.getsockname()[1]}/", b"{}")
        outbox.put(receiver.url, b"{}")
        wait_until(lambda: outbox.delivered == 1, what="delivery")
        wait_until(lambda: outbox.failed == 1, what="giving up")


def test_when_full_the_oldest_make_room_and_are_counted(outbox: Outbox) -> None:
    """A receiver that takes the connection and never answers holds the first result; the rest wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        outbox.put(url, b"{}")
        peer, _ = silent.accept()
        with peer:
            for n in range(QUEUE_LENGTH + 4):
                outbox.put(url, json.dumps(n).encode())
            assert outbox.dropped == 5
            outbox.close()
            outbox.put(url, b"{}")
            assert outbox.dropped == 5


def test_close_lets_what_waits_leave(receiver: Receiver) -> None:
    box = Outbox("t1")
    for n in range(5):
        box.put(receiver.url, json.dumps({"n": n}).encode())
    box.close()
    box.join(20)
    assert [body["n"] for body in receiver.bodies] == [0, 1, 2, 3, 4]
    assert not any(thread.name == "deliver" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (200, b'{"Code": 0}', (True, True)),
        (201, b'{"Code": "0"}', (True, True)),
        (200, b'{"Code": 1}', (False, True)),
        (200, b"[]", (False, True)),
        (200, b"", (False, True)),
        (302, b"", (False, True)),
        (500, b'{"Code": 0}', (False, True)),
        (413, b"", (False, False)),
    ],
)
def test_what_counts_as_taken(
    receiver: Receiver, status: int, answer: bytes, expected: tuple[bool, bool]
) -> None:
    receiver.answers = [(status, answer)]
    assert post(receiver.url, b"{}")[:2] == expected
    assert receiver.attempts == 1  # a redirect is not followed
