"""The duty of asking authorisation servers, pass by pass: when it asks, whom, and what one bad server costs others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from acsmpd import faults
from acsmpd.clock import Clock
from acsmpd.drivers.authserver import AuthServers
from acsmpd.engine.authquotas import FAILING, AuthQuotas
from acsmpd.engine.lanes import Lanes
from acsmpd.security.egress import EgressPolicy
from acsmpd.store import alarms, asks, authquotas, authservers, packages
from acsmpd.store.authquotas import Known
from acsmpd.store.tables import Ask
from acsmpd.wire.caller import Wire
from tests.engine.bench import SITE
from tests.engine.bench import Bench as Works
from tests.store.rows import PACKAGE, add_instance, add_load, add_package, add_task
from tests.support.wait import wait_until
from tests.wire.servers import Handler, Server, replying, serving, unused_port

LANES = 8
NEEDS = {"env": [["AUTH_SERVER_ADDR", ""]]}
QUOTA = {"QuotaUsed": 3, "QuotaTotal": 30}
REFRESH, FIRST = 60.0, 2.0
"""licences.quota_refresh_seconds and engine.backoff_first_seconds as they are by default."""


class Bench:
    """The duty alone, on a store and a clock that a test moves; its calls are real."""

    def __init__(self, folder: Path) -> None:
        self.works = Works(folder, licences_quota_timeout_seconds="0.4")
        self.store = self.works.store
        self.wire = Wire(EgressPolicy(["127.0.0.1:*"]), SITE, 5, 5, 1 << 20)
        self.begin()

    def begin(self) -> None:
        """As when the process starts."""
        self.lanes = Lanes("quota", LANES, 1, self.works.core.wake)
        self.duty = AuthQuotas(self.works.core, self.lanes, AuthServers(self.wire, Clock()))

    def patient(self) -> None:
        """A server may take its time."""
        settings = self.works.settings
        licences = msgspec.structs.replace(settings.licences, quota_timeout_seconds=20.0)
        object.__setattr__(self.works.core, "settings", msgspec.structs.replace(settings, licences=licences))

    def restart(self) -> None:
        self.lanes.close()
        self.begin()

    def close(self) -> None:
        self.works.core.stopping.set()
        self.lanes.close()
        self.wire.close()
        self.works.close()

    def server(self, *addresses: Server | str, provider: str = "ACSMPD", default: bool = True) -> int:
        text = ",".join(one if isinstance(one, str) else f"127.0.0.1:{one.port}" for one in addresses)
        with self.store.write() as tx:
            return authservers.add(tx, text, provider, 1, is_default=default)

    def loaded(self, *codes: str, package: str = PACKAGE, provider: str = "ACSMPD", **more: Any) -> None:
        """A package of that provider is wanted somewhere."""
        with self.store.write() as tx:
            add_package(tx, package, codes, provider=provider, manifest=more.pop("manifest", NEEDS))
            add_load(tx, f"load-{package}", f"service-{package}", package_id=package, **more)

    def ask(self, number: int, code: str) -> str:
        with self.store.write() as tx:
            return authquotas.ask(tx, number, code, self.works.clock.moment.wall_ms)

    def answer(self, ask_id: str) -> tuple[str, Any]:
        with self.store.read() as tx:
            row = asks.get(tx, ask_id) or {}
        return row["state"], row["answer"]

    def step(self, seconds: float = 0.0) -> float | None:
        """A pass, so much later; gives when the duty wants the next, in seconds from then."""
        self.works.pass_by(seconds)
        later = self.duty.ensure(self.works.clock.moment)
        return None if later is None else later - self.works.clock.moment.mono

    def run(self, seconds: float = 0.0) -> float | None:
        """A pass whose jobs are done, and what the pass after it says."""
        self.step(seconds)
        wait_until(lambda: self.lanes.free == LANES, what="the lanes to be free")
        return self.step()

    def known(self, number: int, code: str) -> Known:
        with self.store.read() as tx:
            found = authquotas.get(tx, number, code)
        assert found is not None
        return found

    def alarms(self) -> list[str]:
        with self.store.read() as tx:
            return alarms.open_subjects(tx, FAILING)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers that run until the end of the test."""
    with ExitStack() as stack:
        yield lambda script: stack.enter_context(serving(script))


def codes(server: Server) -> list[str]:
    """Capabilities it was asked for, in their order."""
    return [seen.path.rpartition("/")[2] for seen in server.seen]


# --- when ------------------------------------------------------------------------------------------------------


def test_a_box_without_servers_has_nothing_to_do(bench: Bench) -> None:
    bench.loaded("A")
    assert bench.step() is None


def test_what_was_never_asked_is_asked_at_once_and_then_on_a_period(
    bench: Bench, serve: Callable[..., Server]
) -> None:
    server = serve(replying(200, QUOTA))
    number = bench.server(server)
    assert bench.step() is None
    bench.loaded("A", "B")
    assert bench.run() == pytest.approx(REFRESH)
    assert codes(server) == ["A", "B"]
    known = bench.known(number, "A")
    now = bench.works.clock.moment.wall_ms
    assert known == Known(number, "A", 3, 30, 0, now, now, "", f"127.0.0.1:{server.port}")
    bench.run(REFRESH - 1)
    assert codes(server) == ["A", "B"]
    assert bench.run(1) == pytest.approx(REFRESH)
    assert sorted(codes(server)) == ["A", "A", "B", "B"]
    bench.loaded("C", package="1" * 40)
    bench.run()
    assert codes(server)[4:] == ["C"]


@pytest.mark.parametrize(
    "more", [{"wanted": False}, {"ours": False}, {"manifest": {"env": []}}, {"provider": "megvii"}]
)
def test_only_what_is_loaded_for_the_default_server_is_asked_about(
    bench: Bench, serve: Callable[..., Server], more: dict[str, Any]
) -> None:
    server = serve(replying(200, QUOTA))
    bench.server(server)
    bench.server(server, default=False)
    bench.loaded("A", **more)
    assert bench.run() is None
    assert server.seen == []


def test_a_restart_keeps_what_was_said_and_asks_anew(bench: Bench, serve: Callable[..., Server]) -> None:
    server = serve(replying(200, QUOTA))
    number = bench.server(server)
    bench.loaded("A")
    bench.run()
    server.script = replying(200, b"<html>")
    bench.restart()
    bench.run(1)
    known = bench.known(number, "A")
    assert (known.used, known.total, known.error) == (
        3, 30, f"127.0.0.1:{server.port}: its answer is no JSON",
    )  # fmt: skip
    assert known.answered_ms == (known.tried_ms or 0) - 1000


def test_streams_by_its_leave_that_run_are_counted_when_the_question_is_sent(
    bench: Bench, serve: Callable[..., Server]
) -> None:
    """Not those on services that bring their own, or that nobody has to ask."""

    def runs(name: str, load_id: str, status: str = "RUNNING") -> None:
        with bench.store.write() as tx:
            add_instance(tx, name)
            add_task(tx, name, load_id=load_id, status=status, capabilities=["A"], sent=True)

    def late(handler: Handler) -> None:
        runs("two", f"load-{PACKAGE}")
        handler.reply(200, QUOTA)

    number = bench.server(serve(late))
    bench.loaded("A")
    other = f"{PACKAGE[:-1]}9"
    bench.loaded("B", package=other, manifest={"env": []})
    runs("one", f"load-{PACKAGE}")
    runs("pending", f"load-{PACKAGE}", "PENDING")
    runs("free", f"load-{other}")
    bench.run()
    assert bench.known(number, "A").counted == 1


# --- when it fails -----------------------------------------------------------------------------------------------


def test_a_silent_server_is_left_alone_longer_and_longer(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    port = unused_port()
    number = bench.server(f"127.0.0.1:{port}")
    bench.loaded("A", "B")
    waits = []
    for _ in range(5):
        wait = bench.run()
        assert wait is not None
        waits.append(wait)
        bench.works.pass_by(wait)
    assert all(0.7 * FIRST * 2**n <= wait <= FIRST * 2**n for n, wait in enumerate(waits)), waits
    with bench.store.read() as tx:
        known = authquotas.known(tx)
    assert {one.capability for one in known.values()} == {"A", "B"}, "in turn"
    assert all("connection refused" in one.error for one in known.values())
    assert len(caplog.records) == 1, "not once a try"
    assert f"authorisation server {number} of provider 'ACSMPD' fails for A: cannot ask" in caplog.text


def test_one_refused_capability_leaves_the_others(bench: Bench, serve: Callable[..., Server]) -> None:
    def script(handler: Handler) -> None:
        bad = {"Code": 40401, "Message": "no such capability"}
        handler.reply(200, bad if handler.path.endswith("/A") else QUOTA)

    server = serve(script)
    number = bench.server(server)
    bench.loaded("A", "B")
    for _ in range(6):
        bench.run(10)
    assert codes(server).count("B") == 1
    assert codes(server).count("A") == 5, "10, 20, 30, 40 and 60 s"
    assert bench.known(number, "B").error == ""
    assert bench.alarms() == [str(number)]
    server.script = replying(200, QUOTA)
    bench.run(60)
    assert bench.alarms() == []


def test_what_failed_is_tried_until_it_is_answered_though_it_is_not_loaded(
    bench: Bench, serve: Callable[..., Server]
) -> None:
    server = serve(replying(500, b""))
    number = bench.server(server, default=False)
    with bench.store.write() as tx:
        add_package(tx, PACKAGE, ("A",), provider="ACSMPD", manifest=NEEDS)
    ask_id = bench.ask(number, "A")
    bench.run()
    assert bench.answer(ask_id)[0] == "failed"
    server.script = replying(200, QUOTA)
    assert bench.run(FIRST) is None
    assert codes(server) == ["A", "A"]
    assert bench.known(number, "A").error == ""


def test_what_failed_and_nobody_has_any_more_is_forgotten(bench: Bench, serve: Callable[..., Server]) -> None:
    number = bench.server(serve(replying(500, b"")))
    bench.loaded("A")
    bench.run()
    assert bench.alarms() == [str(number)]
    with bench.store.write() as tx:
        packages.delete(tx, PACKAGE, 1)
    bench.run()
    bench.run()
    with bench.store.read() as tx:
        assert authquotas.known(tx) == {}
    assert bench.alarms() == []


def test_the_alarm_is_the_default_servers_alone(bench: Bench, serve: Callable[..., Server]) -> None:
    bad, good = serve(replying(500, b"")), serve(replying(200, QUOTA))
    first = bench.server(bad)
    bench.loaded("A")
    bench.run()
    assert bench.alarms() == [str(first)]
    bench.restart()
    bench.server(good)
    bench.run()
    assert bench.alarms() == []


def test_other_addresses_are_asked_at_once(bench: Bench, serve: Callable[..., Server]) -> None:
    server = serve(replying(200, QUOTA))
    number = bench.server(f"127.0.0.1:{unused_port()}")
    bench.loaded("A")
    for _ in range(4):
        bench.run(20)
    with bench.store.write() as tx:
        authservers.change(tx, number, server=f"127.0.0.1:{server.port}")
        authquotas.forget(tx, number)
    bench.run()
    assert codes(server) == ["A"]


def test_an_answer_of_what_it_was_before_does_not_count(bench: Bench, serve: Callable[..., Server]) -> None:
    after = serve(replying(200, {**QUOTA, "QuotaTotal": 9}))

    def script(handler: Handler) -> None:
        with bench.store.write() as tx:
            authservers.change(tx, number, server=f"127.0.0.1:{after.port}")
            authquotas.forget(tx, number)
        handler.reply(200, QUOTA)

    before = serve(script)
    number = bench.server(before)
    ask_id = bench.ask(number, "A")
    bench.run()
    assert bench.answer(ask_id) == ("done", {"QuotaUsed": 3, "QuotaTotal": 9})
    assert len(before.seen) == len(after.seen) == 1


# --- what somebody asks --------------------------------------------------------------------------------------------


def test_it_is_answered_though_the_server_is_left_alone(bench: Bench) -> None:
    port = unused_port()
    number = bench.server(f"127.0.0.1:{port}")
    bench.loaded("A")
    bench.run()
    ask_id = bench.ask(number, "A")
    bench.run()
    state, answer = bench.answer(ask_id)
    assert (state, answer["Code"]) == ("failed", 50401)
    assert answer["Message"].startswith(
        f"authorisation server {number} of provider 'ACSMPD': cannot ask 127.0.0.1:{port} within 0.4 s: "
    )


def test_it_comes_before_what_is_due_by_itself(bench: Bench, serve: Callable[..., Server]) -> None:
    server = serve(replying(200, QUOTA))
    number = bench.server(server)
    bench.loaded("A", "B")
    bench.ask(number, "Z")
    bench.run()
    assert codes(server) == ["Z", "A", "B"]


def test_a_server_that_is_gone_is_no_answer(bench: Bench) -> None:
    ask_id = bench.ask(99, "A")
    bench.run()
    assert bench.answer(ask_id) == (
        "failed", {"Code": 40401, "Message": "authorisation server 99 is gone"},
    )  # fmt: skip
    assert bench.step() is None


def test_a_restart_answers_what_was_open(bench: Bench, serve: Callable[..., Server]) -> None:
    number = bench.server(serve(replying(200, QUOTA)))
    ask_id = bench.ask(number, "A")
    bench.restart()
    bench.run()
    assert bench.answer(ask_id)[0] == "done"


def test_a_slow_server_holds_up_nobody_elses_questions(bench: Bench, serve: Callable[..., Server]) -> None:
    going = threading.Event()

    def slow(handler: Handler) -> None:
        going.wait(20)
        handler.reply(200, QUOTA)

    slow_server, good = serve(slow), serve(replying(200, QUOTA))
    bench.patient()
    late = bench.server(slow_server, provider="slow")
    number = bench.server(good)
    waiting, other = bench.ask(late, "A"), bench.ask(number, "A")
    bench.ask(late, "B")
    bench.step()
    wait_until(lambda: bench.answer(other)[0] == "done", what="the answer of the good server")
    assert bench.answer(waiting)[0] == "open"
    bench.step()
    assert LANES - bench.lanes.free == 1, "one lane a server"
    assert len(slow_server.seen) == 1
    going.set()


def test_stopping_ends_a_call_and_leaves_the_question_open(
    bench: Bench, serve: Callable[..., Server]
) -> None:
    server = serve(Handler.stall)
    number = bench.server(server)
    ask_id = bench.ask(number, "A")
    bench.step()
    wait_until(lambda: server.seen, what="the call")
    bench.works.core.stopping.set()
    wait_until(lambda: bench.lanes.free == LANES, seconds=5, what="the lane to be free")
    assert bench.answer(ask_id) == ("open", None)


def test_what_the_disk_does_not_take_is_asked_again_later(
    bench: Bench,
    serve: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = serve(replying(200, QUOTA))
    number = bench.server(server)
    ask_id = bench.ask(number, "A")

    def full(*_args: object, **_more: object) -> None:
        raise faults.NoSpace("cannot write to the database: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(authquotas, "note_answer", full)
        for _ in range(5):
            bench.run(1)
        assert len(server.seen) == 1
    bench.run(10)
    assert bench.answer(ask_id)[0] == "done"
    assert [record.getMessage() for record in caplog.records] == ["a lane failed"]


def test_more_questions_than_one_job_takes_leave_nothing_open(
    bench: Bench, serve: Callable[..., Server]
) -> None:
    number = bench.server(serve(replying(200, QUOTA)))
    for place in range(120):
        bench.ask(number, f"A{place}")
    for _ in range(4):
        bench.run()
    with bench.store.read() as tx:
        assert tx.number(Ask.select().where(Ask.state == "open")) == 0
        assert asks.waiting(tx, asks.QUOTA) == []
