"""The duty of saying what every instance is: written where it changed, with the reason."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from acsmpd.decide.status import instance_status
from acsmpd.store import devices, plans
from acsmpd.store.tables import Instance
from tests.engine.bench import Bench
from tests.store.rows import CODE, add_instance, add_task


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


def test_nobody_is_passed_over_who_would_be_said_to_be_something_else(works: Bench) -> None:
    """Every combination of wish, word, task and device: those not looked at are what they are said to be."""
    states, words = ("online", "unreachable", "lost"), ("PENDING", "RUNNING", "PAUSED", "FINISHED", "ERROR")
    for number, state in enumerate(states, 1):
        works.device(f"1101000000505000{number:04d}", state=state)
    tasks = [None, *itertools.product(words, (True, False), (True, False), ("", "because"))]
    kinds = itertools.product((True, False), words, ("", "because"), tasks, range(1, len(states) + 1))
    with works.store.write() as tx:
        for number, (on, word, reason, task, device) in enumerate(kinds):
            add_instance(tx, f"i{number}", on=on, status=word, reason=reason, events=[])
            if task is not None:
                status, sent, parked, why = task
                add_task(
                    tx, f"i{number}", device=f"1101000000505000{device:04d}", load_id=None, status=status,
                    sent=sent, parked=parked, reason=why,
                )  # fmt: skip
    with works.store.read() as tx:
        looked_at = {one.id for some in plans.unsettled_instances(tx) for one in some}
        known, places = devices.all_devices(tx), {one.instance_id: one for one in plans.tasks(tx)}
        everything = plans.instances(tx)
    assert len(looked_at) < len(everything)
    for one in everything:
        place = places.get(one.id)
        said = instance_status(one, place, known.get(place.device) if place else None)
        if one.id not in looked_at:
            assert (said.status, said.reason) == (one.status, one.reason), one
    say_all = works.engine._managers[-1]
    say_all.ensure(works.clock.moment)  # more than can be named in one query
    with works.store.read() as tx:
        for one in plans.instances(tx):
            place = places.get(one.id)
            said = instance_status(one, place, known.get(place.device) if place else None)
            assert one.status == said.status, one
