"""The peers of a box are away for an hour: its log stays small, says when it began and when it was over, and counts
what it does not repeat (R37). The whole daemon on a clock that a test puts forward, logging into a file."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acsmpd import logs
from acsmpd.store import results
from acsmpd.wire import exchange
from tests.engine.upstream_setup import Centre
from tests.journeys.conftest import Ahead, ahead  # noqa: F401 - a fixture
from tests.support.daemon import daemon
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package
from tests.support.site import Site, running
from tests.support.wait import wait_until
from tests.wire.servers import Handler, serving

HOUR, STEP, LARGEST = 3600, 30, 1_000_000
REFUSING, HANGING = "11010000005050000001", "11010000005050000002"
UPPER, ABOVE, BESIDE = "11010000005020000090", "11010000005020000091", "11010000005020000092"
LOADED = "/ACSMP/AlgoServices/Devices"


class Silent(Centre):
    """A platform above that takes every request and, while it is told so, says nothing."""

    silent = False

    def script(self, handler: Handler) -> None:
        if self.silent:
            handler.close_connection = True
            handler.server.over.wait(1)
        else:
            super().script(handler)


class Log:
    """What the daemon has logged, from a moment on."""

    def __init__(self, path: Path) -> None:
        self.path, self._from = path, 0

    def cut(self) -> None:
        self._from = self.path.stat().st_size

    @property
    def text(self) -> str:
        with self.path.open("rb") as stream:
            stream.seek(self._from)
            return stream.read().decode()

    def about(self, words: str) -> list[str]:
        return [line for line in self.text.splitlines() if words in line]


@pytest.fixture
def log(tmp_path: Path, ahead: Ahead) -> Iterator[Log]:  # noqa: F811
    """The real logging, into a file."""
    levels = {name: logging.getLogger(name).level for name in ("", "acsmpd", *logs._QUIETER)}
    with (tmp_path / "log").open("w", encoding="utf-8") as stream:
        handler = logs.configure("text", "info", ahead, stream=stream)
        yield Log(tmp_path / "log")
        logging.getLogger().removeHandler(handler)
        handler.close()
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


class Time:
    """Lets time pass for a box, one pass of its loop after the other. No call is under way when it begins to."""

    def __init__(self, box: Site, clock: Ahead) -> None:
        assert box.app is not None
        self._engine, self._clock = box.app.engine, clock

    def step(self, seconds: int, seen: Callable[[], bool] = lambda: True) -> bool:
        """So many seconds, and what the pass after them has to bring about."""
        self._clock.seconds += seconds
        for _ in range(2):  # the first may have begun before
            passes = self._engine.passes
            self._engine.core.wake()
            wait_until(lambda passes=passes: self._engine.passes > passes, what="a pass")  # type: ignore[misc]
        wait_until(seen, what="what the pass brings about")
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logs.LineHandler):
                handler.summarise()  # as `acsmpd serve` does
        return True

    def is_idle(self) -> bool:
        return all(lanes.free == lanes._number for lanes in self._engine._lanes)

    def an_hour(self, mute: FakeCad) -> None:
        """In every step the device that says nothing is asked once more: it makes no call end but by the clock."""
        for _ in range(HOUR // STEP):
            asked = len(mute.calls())
            self.step(STEP, lambda asked=asked: len(mute.calls()) > asked)  # type: ignore[misc]

    def until(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(lambda: self.step(STEP, self.is_idle) and condition(), seconds=60, what=what)


@contextmanager
def box_with_peers(tmp_path: Path, upper: Site, silent: Silent) -> Iterator[Site]:
    """A box below both platforms, which looks at its devices in every step."""
    password = tmp_path / "password"
    password.write_text("Box-Passw0rd-77\n")
    plain = {"type": "CAD", "username": "box", "password_file": str(password), "password_mode": "plain"}
    above = [{**plain, "url": upper.url, "code": ABOVE}, {**plain, "url": silent.url, "code": BESIDE}]
    with running(
        tmp_path / "box", upstream=json.dumps(above), observe_interval_seconds=str(STEP),
        engine_backoff_max_seconds="300",
    ) as box:  # fmt: skip
        yield box


def add_result(box: Site, url: str) -> None:
    """One that waits for its delivery to a platform above."""
    assert box.app is not None
    now_ms = box.app.clock.now().wall_ms
    values = {
        "instance_id": "inst", "plan_id": None, "event_id": "FIRE", "device_id": "", "event_ms": now_ms,
        "fingerprint": "mark", "received_ms": now_ms, "size": 2, "body": {"EventID": "FIRE"},
    }  # fmt: skip
    with box.app.store.write() as tx:
        assert results.add(tx, values, [], [(f"{url}/results", url)]) is not None


def counted(lines: list[str]) -> int:
    """How many events these lines stand for."""
    return sum(
        int(found[1]) if (found := re.search(r"\(repeated (\d+) times\)", line)) else 1 for line in lines
    )


def test_an_hour_without_peers(
    tmp_path: Path,
    log: Log,
    ahead: Ahead,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        exchange, "_SLICE_SECONDS", 0.05
    )  # how soon a call sees that the clock was put forward
    silent = Silent()
    with (
        FakeCad(REFUSING) as gone, FakeCad(HANGING) as mute, serving(silent.script) as silent.server,
        daemon(tmp_path / "upper", site_code=UPPER, enrolment_mode="open") as upper,
        box_with_peers(tmp_path, upper, silent) as box,
    ):  # fmt: skip
        for cad in (gone, mute):
            assert cad.register(box.url).accepted
        assert box.client.upload(make_package(tmp_path)).code == 0
        wait_until(lambda: len(log.about("upstream is registered")) == 2, what="registered above")

        log.cut()
        gone.vanish()
        mute.slow(1.0)
        upper.stop()
        silent.silent = True
        add_result(box, silent.url)
        for cad in (gone, mute):
            box.client.fine("POST", LOADED, {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code})
        Time(box, ahead).an_hour(mute)
        it_was_quiet(log)

        log.cut()
        gone.come_back()
        mute.behave()
        upper.start()
        silent.silent = False
        for cad in (gone, mute):  # one that was lost is back when it both answers and is heard
            assert cad.keepalive(box.url).accepted
        Time(box, ahead).until(lambda: is_over(log), "every recovery told")
        loaded = {PACKAGE_ID: "RUNNING"}
        Time(box, ahead).until(lambda: gone.packages == mute.packages == loaded, "both devices loaded")


def it_was_quiet(log: Log) -> None:
    """The beginning in words, then a line a minute at most about each peer, which counts the rest."""
    assert log.path.stat().st_size < LARGEST
    assert len(log.text) < LARGEST // 10  # far from the bound: four peers of one box
    for code, words in ((REFUSING, "connection refused"), (HANGING, "no whole answer in time")):
        told = log.about(f"device={code} cannot observe: cannot call cad.get_device_status on {code}: ")
        assert any(words in line for line in told)
        assert "repeated" not in told[0]
        assert 2 <= len(told) <= HOUR / 60 + 2
        assert counted(told) >= 0.9 * HOUR / STEP
        assert len(log.about(f"device={code} computility is lost")) == 1
    for code, words in ((ABOVE, "connection refused"), (BESIDE, "no whole answer in time")):
        told = log.about(f"upstream={code} upstream is failing: cannot call ")
        assert any(words in line for line in told)
        assert len(told) <= HOUR / 60
    assert len(log.about("cannot deliver results to ")) == 1


def is_over(log: Log) -> bool:
    return all(
        log.about(words)
        for words in (
            *(f"device={code} computility is online" for code in (REFUSING, HANGING)),
            *(f"upstream={code} upstream is registered" for code in (ABOVE, BESIDE)),
            "results are delivered again",
        )
    )
