"""Signs of life, kept in memory."""

from __future__ import annotations

import threading

from acsmpd.store.presence import NONE, Presence, Sign


def test_an_unknown_computility_gave_no_sign() -> None:
    presence = Presence(started=5.0)
    assert presence.started == 5.0
    assert presence.of("d1") == NONE == Sign()


def test_heard_and_answered_are_two_directions() -> None:
    presence = Presence(0.0)
    presence.heard("d1", 10.0)
    presence.answered("d1", 20.0)
    presence.heard("d2", 30.0)
    assert presence.of("d1") == Sign(heard=10.0, answered=20.0)
    assert presence.of("d2") == Sign(heard=30.0)


def test_failures_count_in_a_row_from_the_first() -> None:
    presence = Presence(0.0)
    for at, reason in ((10.0, "refused"), (20.0, "timed out"), (30.0, "x" * 500)):
        presence.failed("d1", at, reason)
    assert presence.of("d1") == Sign(failures=3, failing_since=10.0, failure="x" * 200)
    presence.heard("d1", 35.0)  # being heard says nothing about the other direction
    assert presence.of("d1").failures == 3
    presence.answered("d1", 40.0)
    assert presence.of("d1") == Sign(heard=35.0, answered=40.0)
    presence.failed("d1", 50.0, "again")
    assert presence.of("d1").failing_since == 50.0


def test_what_changed_is_written_once() -> None:
    presence = Presence(0.0)
    presence.heard("b", 1.0)
    presence.answered("a", 1.0)
    presence.heard("b", 2.0)
    presence.failed("c", 2.0, "refused")  # no sign of life
    assert presence.take_dirty() == ["a", "b"]
    assert presence.take_dirty() == []
    presence.heard("b", 3.0)
    presence.forget("b")
    assert presence.take_dirty() == []
    assert presence.of("b") == NONE
    presence.forget("never there")


def test_what_could_not_be_written_comes_again() -> None:
    presence = Presence(0.0)
    for code in ("a", "b"):
        presence.heard(code, 1.0)
    taken = presence.take_dirty()
    presence.forget("b")
    presence.give_back(taken)
    assert presence.take_dirty() == ["a"]


def test_signs_from_many_threads_are_all_counted() -> None:
    presence = Presence(0.0)

    def fail() -> None:
        for _ in range(500):
            presence.failed("d1", 1.0, "refused")

    threads = [threading.Thread(target=fail) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert presence.of("d1").failures == 2000
