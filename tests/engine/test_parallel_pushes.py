"""How many devices fetch a package at once: push.parallel, whoever is slow or stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from acsmpd.engine.deployments import MOVING_SECONDS
from acsmpd.store import services
from tests.engine.bench import SITE, Bench
from tests.store.rows import NOW, PACKAGE

CODES = [f"110100000050500000{number}" for number in range(10, 22)]


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path, push_parallel="3", observe_interval_seconds="86400")
    made.plant.hidden.add("packages")  # a device of memory has everything at once
    made.package()
    for code in CODES:
        made.device(code)
    with made.store.write() as tx:
        for code in CODES:
            services.want_copy(tx, PACKAGE, code, NOW, asked=True)
    yield made
    made.close()


def pushed(works: Bench) -> list[str]:
    return [code for code, step in works.plant.steps if step.__struct_config__.tag == "push"]


def fetched(works: Bench, code: str) -> None:
    """The device has read the whole file."""
    copy = works.the_copy(code=code)
    with works.store.write() as tx:
        services.change_copy(tx, copy["id"], status=3, error="")
    works.core.transfers.forget(copy["id"])


def block(works: Bench, code: str) -> None:
    works.core.transfers.read(works.the_copy(code=code)["id"], 0, 10, 100, works.clock.moment.mono)


def test_no_more_than_so_many_at_once_and_in_the_end_all(works: Bench) -> None:
    done = 0
    works.run(3)
    while done < len(CODES):
        now = pushed(works)
        assert len(now) - done <= 3
        assert len(now) == min(done + 3, len(CODES))
        fetched(works, now[done])
        done += 1
        works.run()
    assert sorted(pushed(works)) == CODES


def test_a_slow_device_keeps_one_place_and_delays_no_other(works: Bench) -> None:
    works.run()
    slow = pushed(works)[0]
    while len(set(pushed(works))) < len(CODES):
        block(works, slow)
        before = len(pushed(works))
        for code in pushed(works)[-2:]:
            if code != slow:
                fetched(works, code)
        works.run(1, 10.0)
        assert len(pushed(works)) > before
    assert pushed(works).count(slow) == 1


def test_devices_that_take_nothing_give_their_places_up(works: Bench) -> None:
    works.run()
    assert len(pushed(works)) == 3
    works.run(1, MOVING_SECONDS - 1)
    assert len(pushed(works)) == 3
    works.run(1, 2.0)
    assert len(set(pushed(works))) == 6


def test_this_box_waits_for_nobody(works: Bench) -> None:
    works.run()
    works.device(SITE, family="local", ip="")
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, SITE, NOW, asked=True)
    works.run(2)
    assert works.the_copy(code=SITE)["sent"]
