"""A computility that took a package without its executable: it is sent that, once, and not for ever."""

from __future__ import annotations

import pytest

from acsmpd.faults import Permanent, Temporary, Unknown
from acsmpd.model import PushProgram, SeenPackage
from acsmpd.store import services
from tests.engine.bench import Bench
from tests.store.rows import CODE, NOW, PACKAGE

LACKING = SeenPackage(package_id=PACKAGE, status=1, lacks_program=True)


def lacks(works: Bench) -> None:
    """The file was pushed, and is listed without its executable."""
    works.device()
    works.package()
    works.plant.after["push"] = [lambda: works.plant.boxes[CODE].packages.update({PACKAGE: LACKING})]
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run(2)
    assert works.plant.told() == ["push"]


def programs(works: Bench) -> int:
    return works.plant.told().count("push_program")


def test_it_is_sent_the_executable_by_a_link_of_its_own(works: Bench) -> None:
    lacks(works)
    works.run(6, 5)
    assert works.plant.told() == ["push", "push_program"]
    step: PushProgram = works.plant.last("push_program")
    assert step.package_md5 == works.the_copy()["md5"]
    assert f"/ACSMP/Links/Programs/{PACKAGE}/{CODE}/0/" in step.url
    assert step.url.rpartition("/")[2] != works.plant.last("push").url.rpartition("/")[2]
    copy = works.the_copy()
    assert (copy["status"], copy["lacks_program"], copy["attempts"]) == (3, False, 0)


def test_a_service_waits_for_it(works: Bench) -> None:
    works.plant.takes_programs = False
    lacks(works)
    works.run(3, 5)
    works.load()
    works.run(6, 5)
    assert works.plant.told() == ["push", "push_program"]
    works.plant.boxes[CODE].packages[PACKAGE] = SeenPackage(package_id=PACKAGE)
    works.run(4, 15)
    assert works.plant.told()[-1] == "load"


def test_it_is_left_a_minute_and_as_long_as_it_reads(works: Bench) -> None:
    works.plant.takes_programs = False
    lacks(works)
    works.run(8, 5)
    assert programs(works) == 1
    row = int(works.the_copy()["id"])
    for share in range(1, 10):
        works.core.transfers.read(row, 0, share, 100, works.clock.moment.mono)
        works.run(2, 15)
    assert programs(works) == 1
    works.run(3, 15)
    assert programs(works) == 2


def test_it_is_not_sent_for_ever(works: Bench) -> None:
    works.plant.takes_programs = False
    lacks(works)
    works.run(200, 30)
    copy = works.the_copy()
    assert (copy["status"], copy["parked"]) == (2, True)
    assert programs(works) == 7
    [(kind, _, text)] = works.alarms()
    words = "accepted, but its executable is wanted still after 8 deliveries"
    assert (kind, copy["error"], text.endswith(words)) == ("step_refused", words, True)
    works.run(20, 60)
    assert programs(works) == 7
    works.plant.takes_programs = True
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run(6, 15)
    assert works.the_copy()["status"] == 3
    assert works.alarms() == []


@pytest.mark.parametrize("fault", [Temporary("busy"), Unknown("no answer")])
def test_one_that_may_not_have_come_through_is_sent_again(works: Bench, fault: Exception) -> None:
    lacks(works)
    works.plant.before["push_program"] = [fault]  # type: ignore[list-item]
    works.run(10, 15)
    assert (programs(works), works.the_copy()["status"]) == (2, 3)


def test_one_that_is_refused_waits_for_a_new_wish(works: Bench) -> None:
    lacks(works)
    works.plant.before["push_program"] = [Permanent("not that one")]
    works.run(20, 15)
    assert (programs(works), works.the_copy()["parked"], works.the_copy()["error"]) == (
        1,
        True,
        "not that one",
    )
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run(6, 15)
    assert (programs(works), works.the_copy()["status"]) == (2, 3)


def test_a_new_file_is_asked_about_afresh(works: Bench) -> None:
    lacks(works)
    works.run(4, 5)
    assert programs(works) == 1
    works.plant.after["push"] = [lambda: works.plant.boxes[CODE].packages.update({PACKAGE: LACKING})]
    with works.store.write() as tx:
        services.change_copy(tx, works.the_copy()["id"], sent=False)
    works.run(8, 5)
    assert works.plant.told() == ["push", "push_program"] * 2


def test_one_that_never_gets_whole_is_given_up(works: Bench) -> None:
    """It lists the file as on its way, and takes nothing of it."""
    works.device()
    works.package()
    waiting = SeenPackage(package_id=PACKAGE, status=1)
    works.plant.after["push"] = [lambda: works.plant.boxes[CODE].packages.update({PACKAGE: waiting})]
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run(100, 15)
    assert works.the_copy()["status"] == 1
    works.run(40, 15)
    copy = works.the_copy()
    assert (copy["status"], copy["parked"], works.plant.told()) == (2, True, ["push"])
    works.run(10, 15)
    assert works.the_copy()["status"] == 2
    works.plant.boxes[CODE].packages[PACKAGE] = SeenPackage(package_id=PACKAGE)
    works.run(2, 15)
    assert (works.the_copy()["status"], works.the_copy()["parked"], works.alarms()) == (3, False, [])


def test_one_that_is_whole_by_itself_lacks_nothing(works: Bench) -> None:
    """It read the file once more meanwhile, so that we think it arrived, and then lists it as whole."""
    works.plant.takes_programs = False
    lacks(works)
    works.run(3, 5)
    assert works.the_copy()["lacks_program"]
    with works.store.write() as tx:
        services.change_copy(tx, works.the_copy()["id"], status=3)
    works.plant.boxes[CODE].packages[PACKAGE] = SeenPackage(package_id=PACKAGE)
    works.run(2, 15)
    assert not works.the_copy()["lacks_program"]
