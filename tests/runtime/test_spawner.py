"""The spawner thread: one, long-lived, deadlines kept, faults handed back."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from acsmpd import faults
from acsmpd.runtime import spawner as room
from acsmpd.runtime.spawner import Spawner


@pytest.fixture
def spawner() -> Iterator[Spawner]:
    made = Spawner(lambda: None, 0.01)
    yield made
    made.close()
    made.close()


def test_all_work_is_done_in_one_thread_that_is_not_ours(spawner: Spawner) -> None:
    names = {spawner.ask("look", lambda: threading.current_thread().ident, 5) for _ in range(5)}
    assert len(names) == 1
    assert names != {threading.get_ident()}


def test_what_is_raised_comes_back_and_the_thread_lives_on(spawner: Spawner) -> None:
    def fail() -> None:
        raise KeyError("unforeseen")

    with pytest.raises(KeyError, match="unforeseen"):
        spawner.ask("fail", fail, 5)
    assert spawner.ask("go on", lambda: 7, 5) == 7


def test_a_deadline_is_told_and_what_waited_is_not_done_later(spawner: Spawner) -> None:
    hold, held, done = threading.Event(), threading.Event(), threading.Event()
    with pytest.raises(faults.NoAnswerInTime, match=r"cannot hold: not done within 0\.1 s"):
        spawner.ask("hold", lambda: (held.set(), hold.wait()), 0.1)
    assert held.wait(5)
    with pytest.raises(faults.NoAnswerInTime, match="cannot follow"):
        spawner.ask("follow", done.set, 0.05)
    hold.set()
    assert spawner.ask("go on", lambda: 7, 5) == 7
    assert not done.is_set()


def test_the_queue_is_bounded(spawner: Spawner, monkeypatch: pytest.MonkeyPatch) -> None:
    hold = threading.Event()
    try:
        for _ in range(room.WAITING_MAX + 1):
            with pytest.raises(faults.NoAnswerInTime):
                spawner.ask("hold", hold.wait, 0.005)
        with pytest.raises(faults.SlowDown, match="64 starts are waiting"):
            spawner.ask("hold", hold.wait, 0.005)
    finally:
        hold.set()


def test_looking_around_goes_on_after_a_fault(caplog: pytest.LogCaptureFixture) -> None:
    looked = threading.Semaphore(0)

    def look() -> None:
        looked.release()
        raise OSError("disk away")

    spawner = Spawner(look, 0.01)
    assert looked.acquire(timeout=5)
    assert looked.acquire(timeout=5)
    spawner.close()
    assert "cannot look after the engines: disk away" in caplog.text
    with pytest.raises(faults.Conflict, match="cannot start x: the runtime is stopping"):
        spawner.ask("start x", lambda: None, 1)


def test_close_refuses_what_waits() -> None:
    spawner = Spawner(lambda: None, 10)
    hold, held = threading.Event(), threading.Event()
    told: list[str] = []

    def ask_late() -> None:
        try:
            spawner.ask("come late", lambda: told.append("done"), 10)
        except faults.Conflict as fault:
            told.append(fault.message)

    first = threading.Thread(target=lambda: spawner.ask("hold", lambda: (held.set(), hold.wait()), 10))
    first.start()
    assert held.wait(5)
    late = threading.Thread(target=ask_late)
    late.start()
    while spawner._requests.empty():
        held.wait(0.01)
    closer = threading.Thread(target=spawner.close)
    closer.start()
    while not spawner._closed.is_set():
        held.wait(0.01)
    hold.set()
    for thread in (first, late, closer):
        thread.join(5)
    assert told == ["cannot come late: the runtime is stopping"]
