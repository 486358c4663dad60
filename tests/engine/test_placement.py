"""The duty of giving places: what it reads, writes and says; the choice itself is tested beside decide."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.model import TaskRow
from acsmpd.store import plans
from acsmpd.store.tables import Task
from tests.engine.bench import INFO, Bench
from tests.store.rows import CODE, OTHER, add_task


@pytest.fixture
def seated(works: Bench) -> Bench:
    """A device with a running service, entered and not commanded."""
    works.device()
    works.package()
    works.load(sent=True, status="RUNNING")
    return works


def place(works: Bench) -> None:
    works.placement.ensure(works.clock.moment)


def tasks(works: Bench, instance_id: str = "instance-1") -> list[tuple[str, str, str | None]]:
    return [(row.device, row.wanted, row.load_id) for row in works.tasks(instance_id)]


def put_task(works: Bench, instance_id: str = "instance-1", **more: Any) -> int:
    with works.store.write() as tx:
        return add_task(tx, instance_id, **more)


def row(works: Bench, row_id: int) -> TaskRow | None:
    with works.store.read() as tx:
        return plans.task(tx, row_id)


def test_an_instance_that_is_to_run_gets_one_place(seated: Bench) -> None:
    seated.instance()
    for _ in range(3):
        place(seated)
    assert tasks(seated) == [(CODE, "running", "load-1")]
    assert seated.placement.waiting == {}


@pytest.mark.parametrize("more", [{"on": False}, {"deleted": True}])
def test_one_that_is_not_to_run_gets_none(seated: Bench, more: dict[str, Any]) -> None:
    seated.instance(**more)
    place(seated)
    assert tasks(seated) == []


def test_why_it_waits_is_remembered_as_long_as_it_waits(works: Bench) -> None:
    works.instance()
    place(works)
    assert works.placement.waiting == {
        "instance-1": "no imported capability serves INTRUSION for VIDEO_REALTIME"
    }
    works.change(on=False)
    place(works)
    assert works.placement.waiting == {}


@pytest.mark.parametrize(
    ("task", "instance", "wanted"),
    [
        ({"sent": True}, {"on": False}, "paused"),
        ({"sent": False}, {"on": False}, "gone"),
        ({"sent": True, "wanted": "paused"}, {"on": True}, "running"),
        ({"sent": True, "wanted": "paused"}, {"on": False, "deleted": True}, "gone"),
        ({"sent": True}, {"on": False, "deleted": True}, "gone"),
        ({"sent": True, "wanted": "gone"}, {"on": False}, "gone"),
        ({"sent": True}, {"on": True}, "running"),
    ],
)
def test_a_place_follows_the_wish(
    seated: Bench, task: dict[str, Any], instance: dict[str, Any], wanted: str
) -> None:
    seated.instance(**instance)
    row_id = put_task(seated, parked=True, **task)
    place(seated)
    found = row(seated, row_id)
    assert found is not None
    assert found.wanted == wanted
    assert found.parked is (wanted == task.get("wanted", "running"))  # a new wish is a fresh try


def test_a_place_without_an_instance_goes(seated: Bench) -> None:
    row_id = put_task(seated, "nobody", sent=True)
    place(seated)
    found = row(seated, row_id)
    assert found is not None
    assert found.wanted == "gone"


@pytest.mark.parametrize("state", ["unreachable", "suspect", "offline"])
def test_a_device_that_may_come_back_keeps_its_work(seated: Bench, state: str) -> None:
    seated.device(OTHER)
    seated.load("load-2", OTHER, sent=True, status="RUNNING")
    seated.instance()
    put_task(seated, sent=True)
    seated.device(state=state)
    place(seated)
    assert tasks(seated) == [(CODE, "running", "load-1")]


@pytest.mark.parametrize("state", ["lost", "gone"])
def test_a_device_that_is_lost_does_not(seated: Bench, state: str) -> None:
    seated.device(OTHER)
    seated.load("load-2", OTHER, sent=True, status="RUNNING")
    seated.instance()
    put_task(seated, sent=True)
    seated.device(state=state)
    place(seated)
    assert tasks(seated) == [(CODE, "gone", "load-1"), (OTHER, "running", "load-2")]


def test_what_moves_goes_before_what_is_new(seated: Bench) -> None:
    """A camera that was watched comes before one that was not yet."""
    seated.package(manifest={"xpu": [{"stream_video_quota": 1}]})
    seated.device(OTHER)
    seated.load("load-2", OTHER, sent=True, status="RUNNING")
    seated.instance("new")
    seated.instance("watched")
    put_task(seated, "watched", sent=True)
    seated.device(state="lost")
    place(seated)
    assert tasks(seated, "watched")[-1] == (OTHER, "running", "load-2")
    assert tasks(seated, "new") == []
    assert seated.placement.waiting == {"new": "all streams of the 1 fitting services are taken"}


def test_many_at_once_are_spread_and_never_overfill(seated: Bench) -> None:
    seated.package(manifest={"xpu": [{"stream_video_quota": 3}]})
    seated.device(OTHER)
    seated.load("load-2", OTHER, sent=True, status="RUNNING")
    for number in range(7):
        seated.instance(f"i{number}")
    place(seated)
    where = [tasks(seated, f"i{number}") for number in range(7)]
    counts = [sum(one[:1] == [(code, "running", load)] for one in where) for code, load in (
        (CODE, "load-1"), (OTHER, "load-2"),
    )]  # fmt: skip
    assert counts == [3, 3]
    assert len(seated.placement.waiting) == 1


def test_a_load_that_is_not_wanted_takes_nothing_new(seated: Bench) -> None:
    seated.load("load-2", sent=True, status="RUNNING", wanted=False)
    seated.instance()
    place(seated)
    assert tasks(seated) == [(CODE, "running", "load-1")]


def test_work_of_a_platform_above_and_of_the_site_stay_strangers(seated: Bench) -> None:
    seated.instance(origin="11010000005020000009")
    place(seated)
    assert tasks(seated) == []
    with seated.store.write() as tx:
        tx.sql("UPDATE service SET origin = '11010000005020000009'")
    seated.instance("ours")
    place(seated)
    assert tasks(seated) == [(CODE, "running", "load-1")]
    assert tasks(seated, "ours") == []


def test_the_choice_is_written_with_its_labels_and_capabilities(seated: Bench) -> None:
    seated.instance(info={**INFO, "Labels": {"AlgoCaBinName": "HUMAN", "Zone": "gate"}})
    place(seated)
    with seated.store.read() as tx:
        [found] = tx.rows(Task.select().where(Task.instance_id == "instance-1"))
    assert (found["labels"], found["capabilities"]) == ({"AlgoCaBinName": "human", "Version": "1.0"}, ["A"])


# --- why it is there --------------------------------------------------------------------------------------------


def shown(works: Bench, instance_id: str = "instance-1") -> dict[str, Any]:
    with works.store.read() as tx:
        return plans.shown(tx, instance_id)


def test_a_running_instance_says_why_it_is_where_it_is(works: Bench) -> None:
    works.device()
    works.package(manifest={"xpu": [{"stream_video_quota": 8}]})
    works.load()
    works.instance()
    works.run(8)
    where = f"placed on {CODE}: 0 of 8 streams taken, the only fitting service"
    assert (shown(works)["Status"], shown(works)["Reason"]) == ("RUNNING", where)
    assert works.row().reason == ""  # it stands with the place: what is well is not looked at again
    with works.store.read() as tx:
        assert list(plans.unsettled_instances(tx)) == []
        before = tx.sql("SELECT changed_ms FROM instance")
    works.run(3, 60)
    with works.store.read() as tx:
        assert tx.sql("SELECT changed_ms FROM instance") == before


def test_what_is_wrong_with_it_is_told_first(works: Bench) -> None:
    works.running()
    [task_id] = works.plant.boxes[CODE].tasks
    works.plant.show(works.plant.boxes[CODE], task_id, "ERROR", "no stream")
    works.run(3, 15)
    assert shown(works)["Reason"] == "no stream"


def test_one_that_moved_says_from_where(seated: Bench) -> None:
    seated.device(OTHER)
    seated.load("load-2", OTHER, sent=True, status="RUNNING")
    seated.instance()
    put_task(seated, sent=True)
    seated.device(state="lost")
    place(seated)
    [*_, reason] = why(seated)
    assert reason.startswith(f"moved from {CODE}, which is lost: placed on {OTHER}: 0 streams taken")


def test_one_whose_service_ends_says_so(seated: Bench) -> None:
    seated.instance()
    put_task(seated, sent=True)
    seated.device(OTHER)
    seated.load("load-2", OTHER, sent=True, status="RUNNING")
    with seated.store.write() as tx:
        tx.sql("UPDATE load SET wanted = 0 WHERE id = 'load-1'")
    place(seated)
    assert why(seated)[-1].startswith(f"moved from {CODE}, where its service ends: placed on {OTHER}")


def why(works: Bench, instance_id: str = "instance-1") -> list[str]:
    with works.store.read() as tx:
        return [
            row["why"]
            for row in tx.rows(Task.select().where(Task.instance_id == instance_id).order_by(Task.id))
        ]


def test_a_device_in_maintenance_gets_nothing_new_and_keeps_what_it_has(seated: Bench) -> None:
    seated.instance("old")
    put_task(seated, "old", sent=True, status="RUNNING")
    seated.device(maintenance=True)
    seated.instance("new")
    place(seated)
    assert tasks(seated, "old") == [(CODE, "running", "load-1")]
    assert seated.placement.waiting == {
        "new": f"no fitting service is running on a computility that takes work ({CODE}: in maintenance)"
    }


def test_a_device_without_the_card_its_package_asks_for_takes_nothing(seated: Bench) -> None:
    seated.package(manifest={"xpu": [{"vendor": "NVIDIA", "accelerator": "NVIDIA-A2"}]})
    seated.device(info=[{"DeviceID": CODE, "XpuMonitors": [{"XpuType": "NVIDIA_T4"}]}])
    seated.instance()
    place(seated)
    assert "asks for a card NVIDIA-A2, the device has NVIDIA-T4" in seated.placement.waiting["instance-1"]
    seated.device(info=[{"DeviceID": CODE, "XpuMonitors": [{"XpuType": "NVIDIA A2"}]}])
    place(seated)
    assert tasks(seated) == [(CODE, "running", "load-1")]


def test_a_service_takes_no_more_than_the_card_of_its_device_carries(seated: Bench) -> None:
    entries = [("NVIDIA-A100", 20), ("NVIDIA-A2", 2)]
    seated.package(
        manifest={"xpu": [{"accelerator": card, "stream_video_quota": number} for card, number in entries]}
    )
    seated.device(info=[{"XpuMonitors": [{"XpuType": "NVIDIA A2"}]}])
    for number in range(4):
        seated.instance(f"i{number}")
    place(seated)
    assert [len(tasks(seated, f"i{number}")) for number in range(4)] == [1, 1, 0, 0]
    assert seated.placement.waiting["i2"] == "all streams of the 1 fitting services are taken"


def test_what_an_operator_entered_decides_which_is_near(seated: Bench) -> None:
    seated.device(
        OTHER, organisation="city/east", location={"Text": "gate", "Longitude": 116.4, "Latitude": 39.9}
    )
    seated.load("load-2", OTHER, sent=True, status="RUNNING")
    options = {**INFO["StreamOptions"]["VideoStreamOptions"], "Organisation": "city/east"}
    seated.instance(info={**INFO, "StreamOptions": {"VideoStreamOptions": options}})
    place(seated)
    assert tasks(seated) == [(OTHER, "running", "load-2")]
    assert why(seated)[0].endswith("the least taken of 2 services (same organisation)")
