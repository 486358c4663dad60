"""How often we look, what a look may change, and what it may not."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from acsmpd.engine import peers
from acsmpd.faults import Temporary
from acsmpd.model import SeenPackage
from acsmpd.store import devices, plans, services
from acsmpd.store.traffic import STORM
from tests.engine.bench import SITE, Bench
from tests.store.rows import CODE, NOW, OTHER, PACKAGE
from tests.support.wait import wait_until

LADDER = ["push", "load", "create_task"]


def look_times(works: Bench, code: str, seconds: float, step: float = 0.5) -> list[float]:
    """When, from now on, a computility is looked at."""
    begin, found = works.clock.moment.mono, []
    plant = works.here if code == SITE else works.plant
    for _ in range(int(seconds / step)):
        before = plant.looks.count(code)
        works.run(1, step)
        if plant.looks.count(code) > before:
            found.append(works.clock.moment.mono - begin)
    return found


def gaps(times: list[float]) -> set[float]:
    return {later - earlier for earlier, later in itertools.pairwise(times)}


# --- how often ---------------------------------------------------------------------------------------------


def test_a_quiet_device_is_looked_at_on_its_interval(works: Bench) -> None:
    works.device()
    assert gaps(look_times(works, CODE, 60)) == {15.0}


def test_this_box_is_looked_at_as_often_as_engines_are(works: Bench) -> None:
    works.device(SITE, family="local", ip="")
    assert gaps(look_times(works, SITE, 60)) == {15.0}  # none run here
    works.package()
    works.load(code=SITE)
    works.run(8)
    assert gaps(look_times(works, SITE, 20)) == {works.settings.runtime.health_interval_seconds}


def starting_load(works: Bench, code: str) -> None:
    works.package()
    works.load(code=code, sent=True, status="INIT")
    with works.store.write() as tx:
        services.change_copy(tx, works.the_copy(code=code)["id"], sent=True, status=3, md5="m1")
    plant = works.here if code == SITE else works.plant
    plant.boxes[code].packages[PACKAGE] = SeenPackage(package_id=PACKAGE)


def starting_task(works: Bench, code: str) -> None:
    works.instance()
    with works.store.write() as tx:
        plans.add_task(
            tx, instance_id="instance-1", device=code, load_id=None, sent=True, task_id="1", status="PENDING",
            created_ms=NOW, changed_ms=NOW,
        )  # fmt: skip
    plant = works.here if code == SITE else works.plant
    plant.foreign_task(code, "1")
    plant.show(plant.boxes[code], "1", "PENDING")


@pytest.mark.parametrize("starting", [starting_load, starting_task])
@pytest.mark.parametrize(("code", "soon"), [(CODE, 3.0), (SITE, 1.0)])
def test_while_something_starts_there_it_is_looked_at_sooner(
    works: Bench, starting: Callable[[Bench, str], None], code: str, soon: float
) -> None:
    works.device(code, **({"family": "local", "ip": ""} if code == SITE else {}))
    works.device(OTHER)
    starting(works, code)
    works.core.touched["load:load-1"] = works.clock.moment.mono  # it was sent just now
    works.run()
    assert gaps(look_times(works, code, 12)) == {soon}
    assert gaps(look_times(works, OTHER, 45, step=5)) == {15.0}


def test_what_starts_is_seen_running_before_the_interval_is_over(works: Bench) -> None:
    works.plant.starts_as = "PENDING"
    works.device()
    works.package()
    works.load()
    works.instance()
    works.run(8)
    assert works.status() == ("PENDING", "being started on the device")
    works.plant.show(works.plant.boxes[CODE], works.task().task_id, "RUNNING")
    works.run(4)
    assert works.status() == ("RUNNING", "")


def test_a_poke_brings_the_next_look_forward_and_wakes_the_loop(works: Bench) -> None:
    works.device()
    works.run(2)
    looks = len(works.plant.looks)
    works.run(2)
    assert len(works.plant.looks) == looks
    works.core.wake_event.clear()
    works.observations.poke(CODE)
    assert works.core.wake_event.is_set()
    works.run()
    assert len(works.plant.looks) == looks + 1


@pytest.mark.parametrize(
    "more",
    [{"enabled": False}, {"approved": False}, {"registered": False}, {"ip": ""}, {"family": "none"}],
)
def test_who_is_not_looked_at(works: Bench, more: dict[str, Any]) -> None:
    works.device(**more)
    works.run(4, 15)
    assert works.plant.looks == []


# --- what is remembered of it -----------------------------------------------------------------------------


def test_a_look_is_a_sign_of_life_and_brings_the_device_info(works: Bench) -> None:
    works.device()
    works.run(2)
    with works.store.read() as tx:
        row = devices.get(tx, CODE)
    assert row is not None
    assert row["info"] == [{"DeviceID": CODE}]
    assert row["observed_ms"] == NOW + 1000
    assert works.presence.of(CODE).answered is not None


def test_a_failed_look_counts_and_changes_nothing_else(works: Bench) -> None:
    works.running()
    before = works.task(), works.the_load(), works.the_copy()
    works.plant.away.add(CODE)
    works.run(3, 15)
    assert (works.task(), works.the_load(), works.the_copy()) == before
    sign = works.presence.of(CODE)
    assert (sign.failures, sign.failure) == (3, f"cannot reach {CODE}")


@pytest.mark.parametrize("part", ["packages", "services", "tasks"])
def test_a_part_that_could_not_be_read_changes_nothing(works: Bench, part: str) -> None:
    works.running()
    works.plant.foreign_task(CODE, "theirs")
    works.run(8, 90)
    before = works.task(), works.the_load(), works.the_copy(), works.foreign()
    box = works.plant.boxes[CODE]
    getattr(box, part).clear()
    works.plant.hidden.add(part)
    works.run(10, 15)
    assert (works.task(), works.the_load(), works.the_copy(), works.foreign()) == before
    assert works.plant.told() == LADDER


# --- a look and a step at the same time --------------------------------------------------------------------


def test_a_look_begun_before_a_step_ended_says_nothing_about_its_subject(works: Bench) -> None:
    works.device()
    works.package()
    works.load()
    works.run(6)
    with works.mid_look():  # the listing is read without the task
        works.instance()
        works.pass_by(1)
        works.engine.loop(works.clock.moment)
        wait_until(lambda: works.plant.told() == LADDER, what="the create")
        wait_until(lambda: works.task().task_id, what="its outcome")
        works.pass_by(1)
    assert (works.task().missing, works.task().task_id, works.task().sent) == (0, "1", True)


def test_a_look_while_a_step_is_under_way_says_nothing_about_its_subject(works: Bench) -> None:
    works.running()
    under_way, go = threading.Event(), threading.Event()

    def wait() -> None:
        under_way.set()
        assert go.wait(20)

    works.plant.after["pause_task"] = [wait]
    works.change(on=False)
    works.pass_by(1)
    works.engine.loop(works.clock.moment)
    assert under_way.wait(20)
    works.plant.boxes[CODE].tasks.clear()
    for _ in range(3):
        works.pass_by(15)
        works.observations.poke(CODE)
        works.engine.loop(works.clock.moment)
        wait_until(lambda: works.sights.free == works.settings.engine.lanes, what="the look")
    assert (works.task().missing, works.task().task_id) == (0, "1")
    go.set()
    works.idle()


def test_a_copy_is_not_judged_by_a_listing_from_before_its_push(works: Bench) -> None:
    works.device(SITE, family="local", ip="")
    works.package()
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, SITE, NOW, asked=True)
    works.run(1)
    works.here.boxes[SITE].packages.clear()
    begun = works.clock.moment.later(-5)
    with works.store.read() as tx:
        peer = peers.peer_of(works.core, tx, SITE)
    assert peer is not None
    seen = works.here.observe(peer)
    works.observations._record(peer, seen, begun)
    assert works.the_copy(code=SITE)["sent"] is True


# --- files and services --------------------------------------------------------------------------------------


def test_a_file_missing_from_this_box_is_unpacked_again(works: Bench) -> None:
    works.device(SITE, family="local", ip="")
    works.package()
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, SITE, NOW, asked=True)
    works.run(3)
    assert works.the_copy(code=SITE)["status"] == 3
    works.here.boxes[SITE].packages.clear()
    works.run(3, 15)
    assert works.here.told() == ["push", "push"]
    assert works.the_copy(code=SITE)["status"] == 3


def test_progress_of_a_download_is_shown(works: Bench) -> None:
    works.device()
    works.package()
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run(1)
    works.plant.boxes[CODE].packages[PACKAGE] = SeenPackage(package_id=PACKAGE, status=3)
    works.run(2)
    row = works.the_copy()
    assert (row["status"], row["progress"]) == (3, 1.0)


def test_a_service_is_known_by_the_facilitys_id_or_on_a_cad_by_its_package(works: Bench) -> None:
    works.running()
    box = works.plant.boxes[CODE]
    works.run(1, 15)
    assert works.foreign() == []
    box.services["x"] = replace(box.services["load-1"], facility_id="x")  # the same package, but not ours
    works.run(1, 15)
    assert works.foreign() == [("service", "x")]


def test_what_a_service_shows_is_what_it_is(works: Bench) -> None:
    works.running()
    box = works.plant.boxes[CODE]
    for status, error in (("OVERLOAD", ""), ("RUNNING", "")):
        box.services["load-1"] = replace(box.services["load-1"], status=status, error=error)
        works.run(1, 15)
        assert (works.the_load().status, works.the_load().error) == (status, error)
    assert works.plant.told() == LADDER


def test_tries_are_counted_anew_once_a_service_has_run_for_a_while(works: Bench) -> None:
    works.device()
    works.package()
    works.load()
    works.plant.before["load"] = [Temporary("busy")] * 3
    works.run(30)
    assert works.the_load().attempts == 4
    works.run(3, 15)
    assert works.the_load().attempts == 4  # not a minute yet
    works.run(2, 15)
    assert works.the_load().attempts == 0


def test_more_devices_than_lanes_take_turns(tmp_path: Path) -> None:
    """Looking at all of them takes longer than the interval: none of them waits for ever behind the first."""
    works = Bench(tmp_path, engine_lanes="1", engine_lanes_per_device="1")
    codes = [f"110100000050500000{number:02d}" for number in range(10, 16)]
    for code in codes:
        works.device(code)
    works.plant.seeing = lambda: works.pass_by(6.0)
    while len(works.plant.looks) < 4 * len(codes):
        works.run()
    assert {works.plant.looks[: 4 * len(codes)].count(code) for code in codes} == {4}
    works.close()


def test_a_storm_of_registrations_goes_first_but_is_looked_through(tmp_path: Path) -> None:
    works = Bench(tmp_path)
    works.device()
    asides: list[float | None] = []

    class Counting(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            asides.append(timeout)
            return False

    object.__setattr__(works.core, "stopping", Counting())
    for _ in range(STORM - 1):
        works.core.traffic.registered(works.clock.moment.mono)
    works.run(1, 0.0)
    assert (works.plant.looks, asides) == ([CODE], []), "a few are no storm"
    works.core.traffic.registered(works.clock.moment.mono + 15.0)
    for _ in range(STORM):
        works.core.traffic.registered(works.clock.moment.mono + 15.0)
    works.run(1, 15.0)
    assert (works.plant.looks, len(asides)) == ([CODE, CODE], 10), (
        "the storm does not end: we look all the same"
    )
    works.run(1, 16.0)
    assert (works.plant.looks, len(asides)) == ([CODE] * 3, 10)
    works.close()


def test_those_that_do_not_answer_come_last(tmp_path: Path) -> None:
    works = Bench(tmp_path, engine_lanes="1", engine_lanes_per_device="1")
    codes = [f"110100000050500000{number:02d}" for number in range(10, 16)]
    for code in codes:
        works.device(code)
    works.plant.away = set(codes[:3])
    works.run()
    assert works.plant.looks == codes
    works.run(1, 15.0)
    assert works.plant.looks[6:] == codes[3:] + codes[:3]
    works.close()
