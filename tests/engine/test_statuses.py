"""The duty of saying what every instance is: written where it changed, with the reason."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.store import plans
from acsmpd.store.tables import Instance
from tests.engine.bench import Bench
from tests.store.rows import CODE, add_task


def say(works: Bench) -> tuple[str, str]:
    works.engine._managers[-1].ensure(works.clock.moment)
    return works.status()


def changed_ms(works: Bench) -> int:
    with works.store.read() as tx:
        return int(tx.rows(Instance.select(Instance.changed_ms))[0]["changed_ms"])


def put_task(works: Bench, **more: Any) -> None:
    with works.store.write() as tx:
        add_task(tx, **more)


def test_only_what_changed_is_written(works: Bench) -> None:
    works.instance(status="PAUSED")
    assert say(works) == ("PENDING", "waiting for a place")
    written = changed_ms(works)
    assert written == works.clock.moment.wall_ms
    works.pass_by(60)
    say(works)
    assert changed_ms(works) == written


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        ({"status": "INIT"}, "its service is INIT"),
        ({"status": "ERROR", "error": "no card"}, "its service is ERROR: no card"),
        ({"status": "RUNNING"}, "being started on the device"),
    ],
)
def test_a_pending_instance_says_what_it_waits_for(works: Bench, load: dict[str, Any], reason: str) -> None:
    works.device()
    works.package()
    works.load(**load)
    works.instance()
    put_task(works)
    assert say(works) == ("PENDING", reason)


def test_the_place_that_counts_is_the_present_one(works: Bench) -> None:
    works.device()
    works.instance()
    put_task(works, sent=True, task_id="1", status="RUNNING", wanted="gone", load_id=None)
    assert say(works)[0] == "PENDING"
    put_task(works, sent=True, task_id="2", status="RUNNING", load_id=None)
    assert say(works) == ("RUNNING", "")


def test_why_there_is_no_place_comes_from_placement(works: Bench) -> None:
    works.instance()
    works.placement.waiting["instance-1"] = "no service is loaded"
    assert say(works) == ("PENDING", "no service is loaded")


def test_while_a_device_is_unreachable_the_last_status_stays_with_the_reason(works: Bench) -> None:
    works.running()
    works.presence.heard(CODE, works.clock.moment.mono)
    works.plant.away.add(CODE)
    works.run(2, 15)
    assert works.status() == ("RUNNING", f"last known: computility {CODE} is unreachable")
    works.plant.away.clear()
    works.run(2, 15)
    assert works.status() == ("RUNNING", "")


def test_a_deleted_instance_is_not_spoken_of(works: Bench) -> None:
    works.instance(status="RUNNING", deleted=True)
    say(works)
    with works.store.read() as tx:
        row = plans.any_instance(tx, "instance-1")
    assert row is not None
    assert row["status"] == "RUNNING"
