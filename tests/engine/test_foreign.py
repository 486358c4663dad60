"""What others put on a device: reflected as it is listed, used where it can be, never changed by us."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from acsmpd.decide import steps
from acsmpd.engine import reflected
from acsmpd.faults import Permanent, Temporary
from acsmpd.model import LoadRow, SeenPackage, SeenService, SeenTask
from acsmpd.store import foreign, packages, plans, services
from acsmpd.store.tables import Load, Task
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


def kept(works: Bench, task_id: str) -> dict[str, Any]:
    with works.store.read() as tx:
        row = foreign.task(tx, CODE, task_id)
    assert row is not None
    return row


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
    before = kept(works, "t1")
    assert (before["labels"], before["info"]) == (
        {"AlgoCaBinName": "car"},
        {"Labels": {"AlgoCaBinName": "car"}},
    )
    works.run(3, 15)
    works.plant.show(works.plant.boxes[CODE], "t1", "PAUSED")
    works.run(1, 15)
    assert kept(works, "t1") == {**before, "status": "PAUSED"}


def test_information_too_long_to_keep_is_left_out(works: Bench) -> None:
    works.device()
    works.plant.foreign_task(CODE, "t1", info={"Labels": {"x": "y" * reflected.INFO_BYTES}})
    works.run(2)
    row = kept(works, "t1")
    assert (row["info"], row["labels"]) == (None, {})


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
    assert works.status()[1].startswith("no fitting service is running on a computility that takes work (")
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


# --- what a reviewer found ---------------------------------------------------------------------------------------


def test_a_service_that_takes_its_time_to_stop_is_not_somebody_elses(works: Bench) -> None:
    """The unload is answered at once; for a while the listing shows the service still."""
    works.device()
    works.package()
    works.load()
    works.run(6)
    box = works.plant.boxes[CODE]
    slow = box.services["load-1"]
    works.plant.after["unload"] = [lambda: box.services.update({"load-1": slow})]
    with works.store.write() as tx:
        services.unwant_load(tx, "load-1", NOW)
    works.instance()
    works.run(3, 15)
    assert works.plant.told() == ["push", "load", "unload"]
    assert works.foreign() == []
    works.run(4, 15)  # a minute later it is there in earnest
    assert works.foreign() == [("service", PACKAGE)]


def test_a_device_that_takes_no_services_is_given_none(works: Bench) -> None:
    works.package(**ROOM_FOR_TWO)
    works.device(family="direct", support_services=False, capabilities=[], stream_limit=1)
    put(works)
    works.instance()
    works.run(4, 15)
    assert works.foreign() == []
    assert works.status() == ("PENDING", "no service of a fitting package is loaded")


def test_packages_listed_again_and_again_stay_one_service(works: Bench) -> None:
    works.device(family="cap")
    for number in range(5):
        works.plant.boxes[CODE].services[str(number)] = SeenService(package_id=THEIRS)
    works.run(6, 15)
    assert len(loads(works)) == 1


def test_a_service_keeps_its_id_over_a_restart_of_its_device(shared: Bench) -> None:
    works, [before] = shared, loads(shared)
    works.instance(service_id=before.service_id)
    works.run(4)
    assert works.status() == ("RUNNING", "")
    box = works.plant.boxes[CODE]
    kept_services = dict(box.services)
    box.services.clear()
    box.tasks.clear()
    works.run(6, 15)
    assert (loads(works), works.status()[0]) == ([], "PENDING")
    box.services.update(kept_services)
    works.run(4, 15)
    assert [load.service_id for load in loads(works)] == [before.service_id]
    assert works.status() == ("RUNNING", "")


def test_one_that_returns_while_our_task_is_still_to_leave_is_brought_back(shared: Bench) -> None:
    works = shared
    works.instance()
    works.run(4)
    [before] = loads(works)
    box = works.plant.boxes[CODE]
    gone = dict(box.services)
    box.services.clear()
    works.plant.before["delete_task"] = [Permanent("locked")]
    works.run(3, 15)
    box.services.update(gone)
    works.run(4, 15)
    [after] = loads(works)
    assert (after.id, after.wanted, after.status) == (before.id, True, "RUNNING")


def test_ours_comes_first_where_both_would_do(shared: Bench) -> None:
    works = shared
    works.device(OTHER)
    works.load("load-2", OTHER)
    works.run(6)
    for number in (1, 2):
        works.instance(f"i{number}")
    works.run(4)
    assert {works.task(f"i{number}").device for number in (1, 2)} == {OTHER}
    works.instance("i3")
    works.run(4)
    assert works.task("i3").device == CODE  # when ours is full


def test_a_refused_deletion_leaves_it_shown_and_counted(works: Bench) -> None:
    works.device()
    works.package(manifest={"env": [], "xpu": [{"stream_video_quota": 1}]})
    works.load()
    works.run(6)
    works.plant.foreign_task(CODE, "t1", event_ids=("INTRUSION",))
    works.run(1, 15)
    works.plant.before["delete_task"] = [Permanent("locked")]
    with works.store.write() as tx:
        plans.add_task(
            tx, instance_id="", device=CODE, wanted="gone", sent=True, task_id="t1", status="RUNNING",
            created_ms=NOW, changed_ms=NOW,
        )  # fmt: skip
    works.instance()
    works.run(6, 15)
    assert works.foreign() == [("task", "t1")]
    assert works.status() == ("PENDING", "all streams of the 1 fitting services are taken")
    with works.store.write() as tx:
        [leaving] = plans.tasks(tx, Task.task_id == "t1")
        plans.change_task(tx, leaving.id, parked=False)
    works.run(4)
    assert works.foreign() == []
    assert works.status() == ("RUNNING", "")


def test_a_task_adopted_where_two_services_could_carry_it_takes_room_on_both(works: Bench) -> None:
    works.device()
    for number, package in enumerate((PACKAGE, THEIRS)):
        works.package(
            package, codes=(f"A{number}",), manifest={"env": [], "xpu": [{"stream_video_quota": 1}]}
        )
        works.load(f"load-{number}", package_id=package)
    works.run(6)
    works.instance("adopted")
    works.plant.foreign_task(CODE, "t1", event_ids=("INTRUSION",))
    with works.store.write() as tx:
        plans.add_task(
            tx, instance_id="adopted", device=CODE, load_id=None, sent=True, task_id="t1", status="RUNNING",
            created_ms=NOW, changed_ms=NOW,
        )  # fmt: skip
    works.instance("i1")
    works.run(4)
    assert works.status("i1") == ("PENDING", "all streams of the 2 fitting services are taken")


def test_a_task_whose_change_is_refused_goes_on_as_it_was(works: Bench) -> None:
    """It is paused to be changed, as NEVER has to be; the device refuses the change."""
    works.running()
    works.plant.before["update_task"] = [Permanent("not now")]
    works.change(revision=1)
    works.run(8, 15)
    assert works.plant.told()[3:] == ["pause_task", "update_task", "resume_task"]
    [task] = works.plant.boxes[CODE].tasks.values()
    assert task.status == "RUNNING"
    assert works.status() == ("ERROR", "not now")
    assert [kind for kind, _, _ in works.alarms()] == ["step_refused"]
    with works.store.write() as tx:
        plans.change_task(tx, works.task().id, parked=False)
    works.run(8, 15)
    assert works.plant.told()[6:] == ["pause_task", "update_task", "resume_task"]
    assert works.status() == ("RUNNING", "")
    assert works.alarms() == []


def test_letting_it_go_on_is_tried_a_few_times_only(works: Bench) -> None:
    works.running()
    works.plant.before["update_task"] = [Permanent("not now")]
    works.plant.before["resume_task"] = [Permanent("no")] * 50
    works.change(revision=1)
    works.run(40, 60)
    assert works.plant.told().count("resume_task") == steps.RESUMES


def test_a_push_that_is_not_wanted_any_more_is_not_given_up_but_taken_back(works: Bench) -> None:
    works.device()
    works.package()
    works.plant.after["push"] = [works.plant.boxes[CODE].packages.clear]
    with works.store.write() as tx:
        services.want_copy(tx, PACKAGE, CODE, NOW, asked=True)
    works.run(2)
    with works.store.write() as tx:
        services.unwant_copy(tx, PACKAGE, CODE, NOW)
    works.plant.before["delete_copy"] = [Temporary("busy")] * 3
    works.run(50, 60)
    assert (works.copy(), works.alarms()) == (None, [])


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a\nb", "x" * 300])
def test_what_cannot_be_named_is_left_where_it_is(works: Bench, name: str) -> None:
    works.device()
    box = works.plant.boxes[CODE]
    box.packages[name] = SeenPackage(package_id=name)
    box.services[name] = SeenService(package_id=name)
    box.tasks[name] = SeenTask(task_id=name, status="RUNNING")
    works.run(3, 15)
    assert works.foreign() == []
