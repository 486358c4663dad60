"""What others put on a device: reflected as it is listed, used where it can be, never changed by us."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from acsmpd.engine import reflected
from acsmpd.model import LoadRow, SeenPackage, SeenService, SeenTask
from acsmpd.store import foreign, packages, plans, services
from acsmpd.store.tables import Load
from tests.engine.bench import SITE, Bench
from tests.store.rows import CODE, NOW, OTHER, PACKAGE

THEIRS = "1101000000502000000120261121120000000009"
ROOM_FOR_TWO = {"manifest": {"env": [], "xpu": [{"stream_video_quota": 2}]}}


def put(works: Bench, package_id: str = PACKAGE, code: str = CODE, **more: Any) -> None:
    """Somebody else loads a package on a device."""
    box = works.plant.boxes[code]
    box.packages[package_id] = SeenPackage(
        package_id=package_id, name="human", version="1.0", kind="image", loaded=True
    )
    box.services[f"theirs-{package_id}"] = SeenService(package_id=package_id, **more)


def loads(works: Bench, code: str = CODE) -> list[LoadRow]:
    with works.store.read() as tx:
        return services.loads(tx, Load.device == code)


@pytest.fixture
def shared(works: Bench) -> Bench:
    """A device on which somebody else runs the package that is imported here too."""
    works.device()
    works.package(**ROOM_FOR_TWO)
    put(works)
    works.run(2)
    assert works.foreign() == [("package", PACKAGE), ("service", PACKAGE)]
    return works


# --- reflected ---------------------------------------------------------------------------------------------


def test_it_comes_and_goes_with_the_listing(shared: Bench) -> None:
    works, box = shared, shared.plant.boxes[CODE]
    works.plant.foreign_task(CODE, "t1", stream_url="rtsp://other/1", event_ids=("FIRE",))
    works.run(1, 15)
    assert works.foreign() == [("package", PACKAGE), ("service", PACKAGE), ("task", "t1")]
    box.tasks.clear()
    box.packages.clear()
    box.services.clear()
    works.run(1, 15)
    assert works.foreign() == [
        ("service", PACKAGE)
    ]  # one listing without it is not enough: work may run on it
    works.run(2, 15)
    assert works.foreign() == []
    assert loads(works) == []
    assert works.plant.told() == []


def test_its_name_and_state_are_as_the_device_tells_them(shared: Bench) -> None:
    box = shared.plant.boxes[CODE]
    copy = shared.the_copy()
    assert (copy["name"], copy["version"], copy["kind"], copy["status"]) == ("human", "1.0", "image", 3)
    box.packages[PACKAGE] = replace(box.packages[PACKAGE], status=2, error="disk full")
    [key] = box.services
    box.services[key] = replace(box.services[key], status="ERROR", error="no card")
    shared.run(1, 15)
    copy, [load] = shared.the_copy(), loads(shared)
    assert (copy["status"], copy["error"], copy["progress"]) == (2, "disk full", 0.0)
    assert (load.status, load.error, load.ours) == ("ERROR", "no card", False)
    shared.run(8, 60)
    assert shared.plant.told() == []


def test_an_unchanged_task_is_written_once(works: Bench) -> None:
    works.device()
    works.plant.foreign_task(CODE, "t1", info={"Labels": {"AlgoCaBinName": "car"}})
    works.run(2)
    with works.store.read() as tx:
        [before] = foreign.tasks(tx, CODE)
    assert (before["labels"], before["info"]) == (
        {"AlgoCaBinName": "car"},
        {"Labels": {"AlgoCaBinName": "car"}},
    )
    works.run(3, 15)
    works.plant.show(works.plant.boxes[CODE], "t1", "PAUSED")
    works.run(1, 15)
    with works.store.read() as tx:
        [after] = foreign.tasks(tx, CODE)
    assert after == {**before, "status": "PAUSED"}


def test_information_too_long_to_keep_is_left_out(works: Bench) -> None:
    works.device()
    works.plant.foreign_task(CODE, "t1", info={"Labels": {"x": "y" * reflected.INFO_BYTES}})
    works.run(2)
    with works.store.read() as tx:
        [row] = foreign.tasks(tx, CODE)
    assert (row["info"], row["labels"]) == (None, None)


def test_what_just_left_is_not_taken_for_somebody_elses(works: Bench) -> None:
    """A listing read before our unload and delete still shows both; they were ours."""
    works.device()
    works.package()
    works.load()
    works.run(6)
    with works.mid_look():
        with works.store.write() as tx:
            services.unwant_load(tx, "load-1", NOW)
            services.unwant_copy(tx, PACKAGE, CODE, NOW)
        for _ in range(6):
            works.pass_by(1)
            works.engine.loop(works.clock.moment)
            works.steps_done()
        assert works.plant.told()[2:] == ["unload", "delete_copy"]
    assert works.foreign() == []
    works.run(2, 15)
    assert works.foreign() == []


def test_nothing_on_this_box_is_somebody_elses(works: Bench) -> None:
    works.device(SITE, family="local", ip="")
    works.here.boxes[SITE].packages[THEIRS] = SeenPackage(package_id=THEIRS)
    works.here.boxes[SITE].services["x"] = SeenService(package_id=THEIRS, facility_id="x")
    works.run(2, 15)
    assert works.foreign(SITE) == []


def test_a_device_cannot_fill_the_store(works: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflected, "MOST", 3)
    works.device()
    box = works.plant.boxes[CODE]
    for number in range(9):
        name = f"{number:040d}"
        box.packages[name] = SeenPackage(package_id=name)
        box.services[name] = SeenService(package_id=name)
        works.plant.foreign_task(CODE, name)
    works.run(5, 15)
    kinds = [kind for kind, _ in works.foreign()]
    assert [kinds.count(kind) for kind in ("package", "service", "task")] == [3, 3, 3]


def test_a_package_listed_twice_is_one_service(works: Bench) -> None:
    works.device()
    box = works.plant.boxes[CODE]
    for key in ("a", "b"):
        box.services[key] = SeenService(package_id=THEIRS)
    works.run(3, 15)
    assert works.foreign() == [("service", THEIRS)]


# --- counted -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "counts"),
    [
        ({"service_id": "load-1", "event_ids": ("OTHER",)}, True),
        ({"info": {"Labels": {"AlgoCaBinName": "HUMAN", "Version": "1.0"}}, "event_ids": ("OTHER",)}, True),
        ({"info": {"Labels": {"AlgoCaBinName": "human", "Version": "2.0"}}, "event_ids": ("OTHER",)}, False),
        ({"event_ids": ("INTRUSION",)}, True),
        ({"event_ids": ("OTHER",)}, False),
    ],
)
def test_streams_of_others_take_room(works: Bench, told: dict[str, Any], counts: bool) -> None:
    works.device()
    works.package(**ROOM_FOR_TWO)
    works.load()
    works.run(6)
    with works.store.write() as tx:
        services.change_load(tx, "load-1", facility_id="load-1")
    works.plant.foreign_task(CODE, "t1", **told)
    works.run(2, 15)
    works.instance("i1")
    works.instance("i2")
    works.run(4)
    full = ("PENDING", "all streams of the 1 fitting services are taken")
    assert works.status("i1") == ("RUNNING", "")
    assert works.status("i2") == (full if counts else ("RUNNING", ""))


@pytest.mark.parametrize("status", ["PAUSED", "FINISHED"])
def test_a_task_that_does_not_run_takes_none(works: Bench, status: str) -> None:
    works.device()
    works.package(manifest={"env": [], "xpu": [{"stream_video_quota": 1}]})
    works.load()
    works.plant.boxes[CODE].tasks["t1"] = SeenTask(task_id="t1", status=status, event_ids=("INTRUSION",))
    works.instance()
    works.run(8)
    assert works.status() == ("RUNNING", "")


def test_on_a_direct_device_too(works: Bench) -> None:
    works.device(family="direct", support_services=False, capabilities=["INTRUSION"], stream_limit=1)
    works.plant.foreign_task(CODE, "t1", event_ids=("FIRE",))
    works.run(2)
    works.instance(device=CODE)
    works.run(2)
    assert works.status() == ("PENDING", f"all 1 streams of computility {CODE} are taken")
    works.plant.boxes[CODE].tasks.clear()
    works.run(4, 15)
    assert works.status() == ("RUNNING", "")


# --- used ------------------------------------------------------------------------------------------------------


def test_a_running_service_of_somebody_else_carries_our_work(shared: Bench) -> None:
    shared.instance()
    shared.run(4)
    assert shared.status() == ("RUNNING", "")
    assert shared.plant.told() == ["create_task"]
    assert shared.task().load_id == loads(shared)[0].id
    shared.change(deleted=True, on=False)
    shared.run(4)
    assert shared.plant.told() == ["create_task", "delete_task"]
    assert shared.foreign() == [("package", PACKAGE), ("service", PACKAGE)]


def test_one_that_does_not_run_carries_nothing_and_is_not_started(works: Bench) -> None:
    works.device()
    works.package()
    put(works, status="ERROR")
    works.instance()
    works.run(6, 15)
    assert works.status() == ("PENDING", "no fitting service is running on a computility that takes work")
    assert works.plant.told() == []


def test_when_it_goes_our_work_finds_another_place(shared: Bench) -> None:
    works = shared
    works.instance()
    works.run(4)
    works.device(OTHER)
    works.load("load-2", OTHER)
    works.run(6)
    box = works.plant.boxes[CODE]
    box.services.clear()
    box.tasks.clear()
    works.run(8, 15)
    assert works.status() == ("RUNNING", "")
    assert works.task().device == OTHER
    assert loads(works) == []
    assert "load" not in works.plant.told(CODE)


def test_a_stopped_instance_gives_up_a_place_that_went(shared: Bench) -> None:
    works = shared
    works.instance()
    works.run(4)
    works.change(on=False)
    works.run(4)
    assert works.status() == ("PAUSED", "")
    works.plant.boxes[CODE].services.clear()
    works.plant.boxes[CODE].tasks.clear()
    works.run(6, 15)
    assert (loads(works), works.tasks()) == ([], [])
    put(works)
    works.change(on=True)
    works.run(4, 15)
    assert works.status() == ("RUNNING", "")


def test_a_platform_above_does_not_use_it(shared: Bench) -> None:
    shared.instance(origin="11010000005020000009")
    shared.run(4)
    assert shared.status() == ("PENDING", "no service of a fitting package is loaded")


# --- made ours by an operator's word ---------------------------------------------------------------------------


def test_a_file_asked_for_becomes_ours_and_is_brought_to_what_we_hold(works: Bench) -> None:
    works.device()
    works.package()
    works.plant.boxes[CODE].packages[PACKAGE] = SeenPackage(package_id=PACKAGE)
    works.run(2)
    assert works.foreign() == [("package", PACKAGE)]
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run(3)
    assert works.foreign() == []
    assert works.plant.told() == ["push"]
    assert works.the_copy()["md5"] == "m1"


def test_an_adopted_service_is_kept_running(shared: Bench) -> None:
    works, [load] = shared, loads(shared)
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=False)
        services.change_load(tx, load.id, ours=True)
    works.run(3, 15)
    assert works.plant.told() == []
    assert works.foreign() == []
    works.plant.boxes[CODE].services.clear()
    works.run(6, 15)
    assert works.plant.told() == ["load"]  # from the file it ran from before
    assert [(one.id, one.status) for one in loads(works)] == [(load.id, "RUNNING")]


def test_named_for_deletion_it_goes(shared: Bench) -> None:
    works, [load] = shared, loads(shared)
    works.plant.boxes[CODE].services[load.id] = works.plant.boxes[CODE].services.popitem()[1]
    with works.store.write() as tx:
        services.unwant_load(tx, load.id, NOW)
        services.unwant_copy(tx, PACKAGE, CODE, NOW)
    works.run(6)
    assert works.plant.told() == ["unload", "delete_copy"]
    assert (works.foreign(), works.copy(), loads(works)) == ([], None, [])


def test_a_load_of_ours_that_is_about_to_leave_takes_the_service_that_is_there(works: Bench) -> None:
    """Asked for before the first look: it is not entered a second time as somebody else's."""
    works.device()
    works.package()
    put(works)
    works.load()
    works.run(8)
    assert [load.id for load in loads(works)] == ["load-1"]
    assert works.foreign() == []


def test_deleting_our_package_leaves_what_others_hold(shared: Bench) -> None:
    works = shared
    works.instance()
    works.run(4)
    [load] = loads(works)
    with works.store.write() as tx:
        [standing] = packages.loads_of(tx, PACKAGE)
        assert standing["id"] == load.id  # it carries work of ours
        plans.vacate(tx, load.id, NOW)
        assert packages.loads_of(tx, PACKAGE) == []
        packages.delete(tx, PACKAGE, NOW)
    works.run(6, 15)
    assert works.plant.told() == ["create_task", "delete_task"]
    assert works.foreign() == [("package", PACKAGE), ("service", PACKAGE)]
    assert works.status()[0] == "PENDING"
