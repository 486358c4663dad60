"""Starts by name against a quota, from many threads at once, on a real store with the engine beside them."""

from __future__ import annotations

import random
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from acsmpd.api import starts
from acsmpd.store import plans, quotas
from acsmpd.store.tables import Instance
from tests.engine.test_lapses import Licensed
from tests.store.rows import NOW

THREADS = 32


def start(works: Licensed, one: str) -> bool:
    """As the handler does: judged and written in one transaction."""
    with works.store.write() as tx:
        if starts.refused(tx, [one], NOW).why:
            return False
        plans.let_run(tx, [Instance.id == one], NOW)
        return True


def stop(works: Licensed, one: str) -> None:
    works.change(one, on=False)


def used(works: Licensed) -> int:
    with works.store.read() as tx:
        return len({claim.instance for claim in quotas.authorised(tx, NOW).claims})


@settings(max_examples=6)
@given(seed=some.integers(0, 2**16), limit=some.sampled_from([1, 10, 31]))
def test_no_more_than_the_quota_run_at_any_moment_whoever_starts_and_stops(
    tmp_path_factory: pytest.TempPathFactory, seed: int, limit: int
) -> None:
    works = Licensed(tmp_path_factory.mktemp("works"))
    works.licence(limit)
    works.want(THREADS, on=False, status="PAUSED")
    works.run(6)
    over = threading.Event()

    def come_and_go(number: int) -> None:
        chance, one = random.Random(seed + number), f"i{number}"
        for _ in range(6):
            if chance.random() < 0.6:
                start(works, one)
            else:
                stop(works, one)

    def watch() -> int:
        most = 0
        while not over.is_set():
            most = max(most, used(works))
        return most

    with ThreadPoolExecutor(THREADS + 1) as threads:
        watching = threads.submit(watch)
        working = [threads.submit(come_and_go, number) for number in range(THREADS)]
        while not all(one.done() for one in working):
            works.run(1)
        for one in working:
            one.result()
        works.run(8)
        over.set()
        assert watching.result() <= limit
    for number in range(THREADS):
        start(works, f"i{number}")
    works.run(8)
    assert (used(works), works.on_device()) == (limit, limit)
    assert works.statuses(THREADS).count("RUNNING") == limit
    works.close()


def test_exactly_ten_of_32_that_start_at_once_are_let(tmp_path: Path) -> None:
    works = Licensed(tmp_path / "works")
    works.licence(10)
    works.want(THREADS, on=False, status="PAUSED")
    works.run(6)
    with ThreadPoolExecutor(THREADS) as threads:
        let = list(threads.map(lambda number: start(works, f"i{number}"), range(THREADS)))
    assert let.count(True) == 10
    works.run(4)
    assert (used(works), works.on_device()) == (10, 10)
    works.close()
