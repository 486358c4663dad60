"""The sampler as a whole: a thread that asks never waits, whatever the driver does."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acsmpd.clock import Clock
from acsmpd.probes.history import History
from acsmpd.probes.sampler import Sampler
from acsmpd.probes.watch import Pace
from tests.probes.conftest import A2, T4, FakeDriver, alive, descriptors
from tests.support.wait import wait_until

PACE = Pace(
    interval_seconds=0.05,
    deadline_seconds=1.0,
    start_deadline_seconds=3.0,
    restart_seconds=0.05,
    restart_max_seconds=0.2,
)
PATIENT = Pace(interval_seconds=0.05, deadline_seconds=60, start_deadline_seconds=60)
Make = Callable[..., Sampler]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[Sampler] = []

    def build(environment: dict[str, str], history: History | None = None, pace: Pace = PACE) -> Sampler:
        made.append(Sampler(Clock(), tmp_path, pace=pace, history=history, environment=environment))
        made[-1].start()
        return made[-1]

    yield build
    for sampler in made:
        sampler.stop()


def states(sampler: Sampler) -> list[str]:
    return [card.state for card in sampler.latest().cards]


def wait_for(sampler: Sampler, *expected: str) -> None:
    wait_until(lambda: states(sampler) == list(expected), what=f"cards are {expected}")


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("probe-")]


def test_a_machine_without_the_library_has_no_cards_one_line_and_no_child(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "acsmpd.probes"):
        sampler = make({"LD_LIBRARY_PATH": "/nonexistent"})
        wait_until(lambda: threads() == ["probe-host"], what="the cards' thread has ended")
        first = sampler.latest()
        wait_until(lambda: sampler.latest().wall_ms != first.wall_ms, what="the host is sampled on")
    assert (first.cards, first.cards_known, first.faults, sampler.child_pid) == ((), True, (), None)
    assert [record.message for record in caplog.records] == [
        "no NVIDIA driver library on this machine: no NVIDIA cards are shown"
    ]


def test_cards_and_trends_appear(driver: FakeDriver, make: Make) -> None:
    driver.play(A2, T4)
    history = History(spacing_ms=0)
    sampler = make(driver.environment, history)
    assert not sampler.latest().cards_known or states(sampler)
    wait_for(sampler, "ok", "ok")
    assert [card.type for card in sampler.latest().cards] == ["NVIDIA-A2", "NVIDIA-T4"]
    wait_until(lambda: len(history.points("card/GPU-a2/use")) > 1)
    assert history.points("card/GPU-a2/memory")[-1][1] == 5.0
    assert history.points("cpu")


def test_a_hang_is_shown_holds_up_nobody_and_passes(
    driver: FakeDriver, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    driver.play(A2, T4)
    sampler = make(driver.environment)
    wait_for(sampler, "ok", "ok")
    child = sampler.child_pid
    assert child is not None

    driver.play(A2, T4, hang="nvmlDeviceGetUtilizationRates")
    begun, slowest = time.monotonic(), 0.0
    while states(sampler) != ["not answering"] * 2:
        asked = time.monotonic()
        sampler.latest()
        slowest = max(slowest, time.monotonic() - asked)
        assert asked - begun < 10
    assert slowest < 0.5  # the child is waited for twice as long; the machine may be busy
    shown = sampler.latest()
    assert shown.cards[0].utilization is None
    assert shown.cards[0].memory_bytes == 16 << 30
    assert shown.faults == ("cannot read the cards: the card driver did not answer within 1 s",)
    wait_until(lambda: not alive(child), what="the hanging child is killed")
    before = shown.wall_ms
    wait_until(lambda: sampler.latest().wall_ms > before, what="the host is sampled on")

    driver.play(A2, T4)
    wait_for(sampler, "ok", "ok")
    assert sampler.latest().faults == ()
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert warnings == ["cannot read the cards: the card driver did not answer within 1 s"]


def test_a_lost_card_is_shown_beside_the_others_and_comes_back(driver: FakeDriver, make: Make) -> None:
    driver.play(A2, T4)
    sampler = make(driver.environment)
    wait_for(sampler, "ok", "ok")
    driver.play(A2 | {"handle": "!15"}, T4)
    wait_for(sampler, "lost", "ok")
    driver.play(T4)  # the driver closes the gap in its own numbers, we do not
    wait_for(sampler, "lost", "ok")
    assert [card.uuid for card in sampler.latest().cards] == ["GPU-a2", "GPU-t4"]
    driver.play(A2, T4)
    wait_for(sampler, "ok", "ok")


def test_a_driver_that_is_not_loaded_is_a_fault_and_no_card(driver: FakeDriver, make: Make) -> None:
    driver.play(A2, init=9)
    sampler = make(driver.environment)
    fault = "cannot read NVIDIA cards: Driver Not Loaded"
    wait_until(lambda: sampler.latest().faults == (fault,))
    assert states(sampler) == []
    driver.play(A2)
    wait_for(sampler, "ok")


def test_a_replaced_driver_is_read_by_a_new_child(driver: FakeDriver, make: Make) -> None:
    driver.play(A2)
    sampler = make(driver.environment)
    wait_for(sampler, "ok")
    first = sampler.child_pid
    assert first is not None
    driver.play(A2, T4 | {"handle": "!15"})  # a lost card has the library opened afresh
    wait_for(sampler, "ok", "lost")
    driver.play(A2, T4, init=18)
    wait_until(lambda: "RM version mismatch" in " ".join(sampler.latest().faults))
    driver.play(A2, T4)
    wait_until(lambda: states(sampler)[0] == "ok" and sampler.latest().faults == ())
    assert sampler.child_pid != first
    assert not alive(first)


def test_a_crashing_library_is_started_again(driver: FakeDriver, make: Make) -> None:
    driver.play(A2)
    sampler = make(driver.environment)
    wait_for(sampler, "ok")
    driver.play(A2, crash="nvmlDeviceGetCount_v2")
    wait_for(sampler, "not answering")
    assert "the card reader ended (signal 6)" in sampler.latest().cards[0].error
    driver.play(A2)
    wait_for(sampler, "ok")


@pytest.mark.parametrize("hang", ["", "nvmlInitWithFlags", "nvmlDeviceGetUtilizationRates"])
def test_stop_leaves_nothing_behind(
    driver: FakeDriver, make: Make, caplog: pytest.LogCaptureFixture, hang: str
) -> None:
    driver.play(A2, hang=hang)
    before = descriptors()
    sampler = make(driver.environment, pace=PATIENT)
    child = wait_until(lambda: sampler.child_pid)
    assert child is not None
    if not hang:
        wait_for(sampler, "ok")
    begun = time.monotonic()
    sampler.stop()
    assert time.monotonic() - begun < 4  # not the minute that an answer may take
    assert threads() == []
    assert not alive(child)
    assert sampler.child_pid is None
    assert descriptors() == before
    assert caplog.records == []
    sampler.stop()  # does nothing more


def test_the_daemon_itself_never_loads_the_driver() -> None:
    program = "import sys, acsmpd.probes.sampler; sys.exit('pynvml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_a_sample_tells_its_age_and_needs_a_start(tmp_path: Path) -> None:
    slow = Pace(interval_seconds=600)
    sampler = Sampler(Clock(), tmp_path, pace=slow, environment={"LD_LIBRARY_PATH": "/nonexistent"})
    with pytest.raises(RuntimeError, match="the sampler was not started"):
        sampler.latest()
    sampler.start()
    first = sampler.latest().age_seconds
    wait_until(lambda: sampler.latest().age_seconds > first + 0.05)
    sampler.stop()
    assert sampler.latest().host.cpu_cores >= 1
    assert threads() == []
