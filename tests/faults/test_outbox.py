"""The outbox under kill -9, lines that break and days without one: nothing lost, doubles only under their own key
(R2, R26)."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from acsmpd.engine.parcels import AT_ONCE
from acsmpd.settings import Relay, Results
from tests.engine.results_bench import Bench, decoded, posting, pts, queued
from tests.support.daemon import Daemon
from tests.support.wait import wait_until
from tests.wire.servers import OK, Handler, Seen, replying, serving

KILLS = (130, 420, 777)
QUEUED = 1000


def firsts(numbers: list[int]) -> list[int]:
    """Without repeats: what a receiver keeps that goes by the key."""
    return list(dict.fromkeys(numbers))


def test_killed_again_and_again_while_it_drains(tmp_path: Path) -> None:
    box, reached = Daemon(tmp_path / "data", {}), threading.Event()
    marks = list(KILLS)

    def script(handler: Handler) -> None:
        if marks and len(handler.server.seen) >= marks[0]:
            reached.set()
        handler.reply(200, OK)

    with serving(script) as server:
        try:
            box.start().stop()
            queued(tmp_path / "data", server.url, QUEUED)
            box.start()
            for _ in KILLS:
                assert reached.wait(60)
                box.kill()
                marks.pop(0)
                reached.clear()
                box.start()
            wait_until(lambda: len(set(pts(server))) == QUEUED, seconds=60, what="all are there")
        finally:
            box.stop()
        assert firsts(pts(server)) == list(range(1, QUEUED + 1)), "in order, none missing"
        assert len(server.seen) - QUEUED <= AT_ONCE * len(KILLS), (
            "only those whose delivery was not noted yet"
        )
        assert all(one.headers["Idempotency-Key"] == f"mark{key_of(one)}" for one in server.seen)


def key_of(one: Seen) -> int:
    return int(decoded(one.body)["Pts"])


def test_a_hundred_reconnects_lose_nothing(tmp_path: Path) -> None:
    """Every tenth post loses its line after the receiver has it, and the new line too; every second time the daemon's
    memory goes with it."""
    bench = Bench(tmp_path)
    with serving(replying(200, OK)) as server, posting(bench) as post:
        for _ in range(QUEUED):
            bench.result(server.url)

        def breaking(handler: Handler) -> None:
            if len(server.seen) % 11 in (0, 10):
                handler.reset()
            else:
                handler.reply(200, OK)

        server.script = breaking
        steps = 0
        while bench.outbox:
            if steps % 2:
                post.restart()
            post.step(300)
            steps += 1
        assert steps >= 100
        assert firsts(pts(server)) == list(range(1, QUEUED + 1))
        assert len(server.seen) <= QUEUED + 2 * steps, "each lost answer is one repeat, twice"
    bench.store.close()


@pytest.mark.parametrize("order", ["oldest", "newest"])
def test_a_week_without_a_line_loses_nothing(tmp_path: Path, order: str) -> None:
    bench = Bench(tmp_path)
    bench.limits(Results(keep_hours=24 * 8), Relay(order="newest" if order == "newest" else "oldest"))
    with serving(lambda handler: handler.reset()) as server, posting(bench) as post:
        for _ in range(24 * 7):
            bench.result(server.url)
            post.step(3600)
        server.seen.clear()
        server.script = replying(200, OK)
        post.step(300)
        whole = list(range(1, 24 * 7 + 1))
        assert pts(server) == (whole if order == "oldest" else whole[::-1])
    assert bench.outbox == []
    bench.store.close()
