"""Plans of every Type over real HTTP: what reaches the device, files that end, inspections of files, direct devices."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.fake_cad import FakeCad
from tests.support.fake_tasks import FakeTask
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.state import refused, unchanged
from tests.support.wait import wait_until

PLANS, INSTANCES = "/ACSMP/Tasks", "/ACSMP/TaskInstances"
TYPES = ("VIDEO_REALTIME", "VIDEO_PLAYBACK", "VIDEO_FILE", "IMAGE_REALTIME")
CAMERA = "11010000001320000001"
RECORDED = f"rtsp://10.0.0.9/?deviceID={CAMERA}&begin=20261120T080000&end=20261120T090000"
STREAMS: dict[str, dict[str, Any]] = {
    # Part 5 C.1 and, with Resolution, Part 4 D.1 as printed
    "VIDEO_REALTIME": {
        "VideoStreamOptions": {
            "PlayType": "REALPLAY", "Resolution": "PIXELS_200W",
            "Url": "rtsp://192.168.200.207/?deviceID=101234200200000046&mode=vIDeo",
        },
    },
    "VIDEO_PLAYBACK": {"VideoStreamOptions": {"PlayType": "PLAYBACK", "Url": RECORDED, "Speed": 4}},
    "VIDEO_FILE": {"VideoStreamOptions": {"Url": "http://10.0.0.9/录像/night.mp4", "Loop": False}},
    # table B.8 is not at hand and may define siblings (contract): they are kept as they are
    "IMAGE_REALTIME": {"ImageStreamOptions": {"Urls": ["http://10.0.0.9/1.jpg"], "Interval": 0.5}},
}  # fmt: skip
MISPRINTED = {"VideoStreamOptions": {}, "Resolution": "PIXELS_200W", "Url": "rtsp://192.168.200.207/1"}
"""As Part 4 D.1 prints it, with a brace too early."""


NUMBERS = itertools.count(1)
"""Of cameras: what an operator says of one stays with its code."""


class Spot(NamedTuple):
    """A site with a device whose service carries three streams of any type."""

    site: Site
    cad: FakeCad

    def start(self, kind: str, *infos: dict[str, Any], **more: Any) -> int:
        body = {
            "Name": "p", "Type": kind, "Mode": "PERIODIC", "AutoStart": True, "AlgoTaskInfos": list(infos), **more,
        }  # fmt: skip
        return int(self.site.client.fine("POST", PLANS, body))

    def plan(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.site.client.fine("GET", f"{PLANS}/{number}")
        counts(found)
        return found

    def until(self, number: int, expected: tuple[int, ...]) -> dict[str, Any]:
        """The plan once pending, error, running, paused, finished are these."""
        found: dict[str, Any] = self.site.until(
            f"{PLANS}/{number}", lambda data: counts(data) == expected, seconds=30
        )
        return found

    def ids(self, number: int) -> list[str]:
        page = self.site.client.fine("POST", f"{INSTANCES}/Search", {"TaskID": number})["PageContent"]
        return [one["ID"] for one in page]

    def waits(self, instance: str, reason: str) -> None:
        """The instance is PENDING and says why."""
        said = self.site.until(f"{INSTANCES}/{instance}", lambda data: reason in data.get("Reason", ""))
        assert said["Status"] == "PENDING"

    def task(self, instance: str) -> FakeTask:
        """The device's task of an instance."""
        [found] = [one for one in self.cad.tasks.values() if one.sent_id == instance]
        return found

    def end(self, *instances: str) -> None:
        """Their files have come to their end, says the device."""
        for one in instances:
            self.cad.finish_task(self.task(one).task_id)

    def looks(self, more: int = 4) -> None:
        """So many more looks at the device, and with them passes."""
        seen = len(self.cad.asked("search_algo_tasks")) + more
        wait_until(lambda: len(self.cad.asked("search_algo_tasks")) >= seen, what="looks at the device")

    def steps(self) -> list[str]:
        """What the device was told to do with tasks, in order."""
        names = ("create", "update", "resume", "pause", "delete")
        told = {f"cad.{name}_algo_task": name for name in names}
        return [told[call.operation] for call in self.cad.calls() if call.operation in told]

    def drop(self, *plans: int) -> None:
        for number in plans:
            self.site.client.fine("DELETE", f"{PLANS}/{number}?Wait=20")
        wait_until(lambda: not self.cad.tasks, what="an empty device")


def counts(task: dict[str, Any]) -> tuple[int, ...]:
    """Pending, error, running, paused, finished; they add up to the total."""
    names = ("Starting", "StartErr", "Running", "Stopped", "Finished")
    found = tuple(task[f"{name}Count"] for name in names)
    assert sum(found) == task["TotalCount"], task
    return found


def of(kind: str, **more: Any) -> dict[str, Any]:
    return {**task_info(), "StreamOptions": STREAMS[kind], **more}


def file(number: int, **more: Any) -> dict[str, Any]:
    url = f"http://10.0.0.9/{number}.mp4"
    return {**task_info(), "StreamOptions": {"VideoStreamOptions": {"Url": url}}, **more}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spot]:
    folder = tmp_path_factory.mktemp("types")
    room = [{"quota": 0.5, "capacities": {"stream_video_quota": 3}}]
    with running(folder / "data", observe_interval_seconds="0.3") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(folder, types=TYPES, xpu=room)).code == 0
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", body)
        yield Spot(site, cad)


@pytest.fixture
def spot(shared: Spot) -> Iterator[Spot]:
    """The same with nothing on it, before and after, and its calls counted afresh."""
    shared.cad.forget_calls()
    yield shared
    left = shared.site.client.fine("POST", f"{PLANS}/Search", {})["PageContent"]
    shared.drop(*(one["TaskID"] for one in left))


# --- what reaches the device ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", TYPES)
def test_the_stream_of_each_type_reaches_the_device_as_it_was_given(spot: Spot, kind: str) -> None:
    plan = spot.start(kind, of(kind))
    spot.until(plan, (0, 0, 1, 0, 0))
    [instance] = spot.ids(plan)
    [call] = spot.cad.asked("create_algo_task")
    assert call.json["TaskInfo"]["StreamOptions"] == STREAMS[kind]
    assert call.json["TaskInfo"]["ID"] == instance
    assert call.json["CreateAndStartTask"] is True
    assert call.json["TaskInfo"]["RulesParams"][0]["ExtendParams"] == {"Sensitivity": "低"}
    shown = spot.site.client.fine("GET", f"{INSTANCES}/{instance}")
    assert shown["StreamOptions"] == shown["TaskInfo"]["StreamOptions"] == STREAMS[kind]
    found = spot.site.client.fine("POST", f"{PLANS}/Search", {"Type": kind})["PageContent"]
    assert [one["TaskID"] for one in found] == [plan]
    assert spot.plan(plan)["Type"] == kind


def test_members_a_printer_has_misplaced_are_handed_on_too(spot: Spot) -> None:
    plan = spot.start("VIDEO_REALTIME", {**task_info(), "StreamOptions": MISPRINTED})
    spot.until(plan, (0, 0, 1, 0, 0))
    assert spot.cad.asked("create_algo_task")[0].json["TaskInfo"]["StreamOptions"] == MISPRINTED


def test_a_type_no_package_has_waits_and_says_so(spot: Spot, tmp_path: Path) -> None:
    other = "1101000000502000000120261121120000000066"
    file_only = make_package(
        tmp_path, package_id=other, name="file-only", codes=("FILE-ONLY",), events=("FIRE",), types=("VIDEO_FILE",)
    )  # fmt: skip
    assert spot.site.client.upload(file_only).code == 0
    plan = spot.start("IMAGE_REALTIME", {**of("IMAGE_REALTIME"), "RulesParams": [{"EventID": "FIRE"}]})
    [instance] = spot.ids(plan)
    spot.waits(instance, "no imported capability serves FIRE for IMAGE_REALTIME")
    assert counts(spot.plan(plan)) == (1, 0, 0, 0, 0)
    spot.drop(plan)
    spot.site.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/{other}")


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"Type": "VIDEO"}, 40001, "$.Type"), ({"Type": "video_file"}, 40001, "$.Type"), ({"Type": 3}, 40001, "$.Type"),
        ({"Type": None}, 40002, "$.Type"),
        ({"AlgoTaskInfos": [{**task_info(), "StreamOptions": "file.mp4"}]}, 40001, "$.AlgoTaskInfos[0].StreamOptions"),
        ({"AlgoTaskInfos": [{**task_info(), "StreamOptions": None}]}, 40002, "$.AlgoTaskInfos[0].StreamOptions"),
        (
            {"AlgoTaskInfos": [{**task_info(), "StreamOptions": {"VideoStreamOptions": {"Url": 7}}}]}, 40001,
            "$.AlgoTaskInfos[0].StreamOptions.VideoStreamOptions.Url",
        ),
    ],
)  # fmt: skip
def test_what_is_no_type_or_stream_is_refused(
    spot: Spot, body: dict[str, Any], code: int, words: str
) -> None:
    sound = {"Name": "p", "Type": "VIDEO_FILE", "Mode": "PERIODIC", "AlgoTaskInfos": [file(1)]}
    with unchanged(spot.site):
        refused(spot.site.client.post(PLANS, {**sound, **body}), code // 100, code, words)


# --- files that end -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["VIDEO_FILE", "VIDEO_PLAYBACK"])
@pytest.mark.parametrize("restart", [False, True])
def test_a_file_that_has_ended_is_finished_and_only_a_start_plays_it_again(
    spot: Spot, kind: str, restart: bool
) -> None:
    plan = spot.start(kind, of(kind), file(2), AutoRestart=restart)
    spot.until(plan, (0, 0, 2, 0, 0))
    one, other = spot.ids(plan)
    spot.end(one)
    assert spot.until(plan, (0, 0, 1, 0, 1))["Status"] == "ON"
    spot.end(other)
    spot.until(plan, (0, 0, 0, 0, 2))
    found = spot.site.client.fine("POST", f"{INSTANCES}/Search", {"TaskID": plan, "Status": "FINISHED"})
    assert found["TotalSize"] == 2

    spot.looks()
    spot.site.restart()
    spot.looks()
    assert counts(spot.plan(plan)) == (0, 0, 0, 0, 2)
    assert spot.steps() == ["create", "create"]

    spot.site.client.fine("POST", f"{INSTANCES}/Start?Wait=20", {"IDs": [one]})
    assert counts(spot.plan(plan)) == (0, 0, 1, 0, 1)
    assert [task.sent_id for task in spot.cad.running_tasks()] == [one]
    spot.end(one)
    spot.until(plan, (0, 0, 0, 0, 2))
    spot.site.client.fine("POST", f"{PLANS}/{plan}/Start?Wait=20")
    assert counts(spot.plan(plan)) == (0, 0, 2, 0, 0)
    assert spot.cad.max_running == 1


def test_a_file_the_device_has_cleared_away_is_finished_and_can_be_started_again(spot: Spot) -> None:
    plan = spot.start("VIDEO_FILE", file(1))
    spot.until(plan, (0, 0, 1, 0, 0))
    [instance] = spot.ids(plan)
    spot.end(instance)
    spot.until(plan, (0, 0, 0, 0, 1))
    spot.cad.forget_tasks()
    spot.looks()
    assert counts(spot.plan(plan)) == (0, 0, 0, 0, 1)
    assert spot.steps() == ["create"]
    spot.site.client.fine("POST", f"{INSTANCES}/Start?Wait=20", {"IDs": [instance]})
    assert counts(spot.plan(plan)) == (0, 0, 1, 0, 0)
    assert len(spot.cad.running_tasks()) == 1


def test_stopping_what_has_finished_changes_nothing(spot: Spot) -> None:
    plan = spot.start("VIDEO_FILE", file(1))
    spot.until(plan, (0, 0, 1, 0, 0))
    spot.end(*spot.ids(plan))
    spot.until(plan, (0, 0, 0, 0, 1))
    spot.site.client.fine("POST", f"{PLANS}/{plan}/Stop?Wait=20")
    spot.looks()
    shown = spot.plan(plan)
    assert (shown["Status"], counts(shown)) == ("OFF", (0, 0, 0, 0, 1))
    assert spot.steps() == ["create"]
    spot.site.client.fine("POST", f"{PLANS}/{plan}/Start?Wait=20")
    spot.until(plan, (0, 0, 1, 0, 0))


def test_files_that_have_ended_make_room_for_those_that_wait(spot: Spot) -> None:
    """Five files on a service of three streams: never more than three at once, and all are played."""
    plan = spot.start("VIDEO_FILE", *(file(number) for number in range(5)))
    spot.until(plan, (2, 0, 3, 0, 0))
    first = [task.sent_id for task in spot.cad.running_tasks()]
    spot.end(*first[:2])
    spot.until(plan, (0, 0, 3, 0, 2))
    spot.looks()
    assert len(spot.cad.running_tasks()) == 3
    spot.end(*(task.sent_id for task in spot.cad.running_tasks()))
    spot.until(plan, (0, 0, 0, 0, 5))
    assert spot.steps() == ["create"] * 5


def test_a_file_that_is_played_again_waits_for_room(spot: Spot) -> None:
    """Its stream was given to others when it had ended: it is not taken beyond what the service carries."""
    files = spot.start("VIDEO_FILE", file(1))
    spot.until(files, (0, 0, 1, 0, 0))
    [instance] = spot.ids(files)
    spot.end(instance)
    spot.until(files, (0, 0, 0, 0, 1))
    live = spot.start("VIDEO_REALTIME", *(file(number) for number in (2, 3, 4)))
    spot.until(live, (0, 0, 3, 0, 0))
    spot.site.client.fine("POST", f"{INSTANCES}/Start", {"IDs": [instance]})
    spot.until(files, (1, 0, 0, 0, 0))
    spot.looks()
    assert sorted(task.sent_id for task in spot.cad.running_tasks()) == sorted(spot.ids(live))
    spot.waits(instance, "all streams of the 1 fitting services are taken")
    spot.site.client.fine("DELETE", f"{PLANS}/{live}?Wait=20")
    spot.until(files, (0, 0, 1, 0, 0))


# --- inspections of files ---------------------------------------------------------------------------------------


def inspection(*infos: Any, **more: Any) -> dict[str, Any]:
    return {"Concurrency": 2, "Duration": 10, "RoundLimit": 1, "TaskInfo": list(infos), **more}


def test_an_inspection_of_files_goes_on_when_they_end(spot: Spot) -> None:
    """Long before their Duration is over: the places are free."""
    body = {"Name": "i", "Type": "VIDEO_FILE", "Mode": "INSPECTIVE", "AutoStart": True}
    plan = int(
        spot.site.client.fine("POST", PLANS, {**body, "InspectionPlan": inspection(*map(file, range(5)))})
    )
    served: list[str] = []
    for batch in (2, 2, 1):
        wait_until(lambda: len(spot.cad.running_tasks()) == batch, what=f"{batch} of them")  # noqa: B023
        now = [task.sent_id for task in spot.cad.running_tasks()]
        served += now
        spot.looks(2)
        spot.end(*now)
    shown = spot.site.until(f"{PLANS}/{plan}", lambda data: data["Status"] == "OFF")
    assert counts(shown) == (0, 0, 0, 0, 5)
    assert (shown["InspectionPlan"]["RoundCount"], shown["InspectionPlan"]["Progress"]) == (1, 100.0)
    assert sorted(served) == sorted(spot.ids(plan))
    wait_until(lambda: not spot.cad.tasks, what="the tasks gone from the device")
    assert len(spot.cad.asked("create_algo_task")) == 5


@pytest.mark.parametrize("form", ["one", "list"])
def test_streams_of_several_kinds_may_stand_in_one_inspection(spot: Spot, form: str) -> None:
    """TaskInfo is one AlgoTaskInfo or many (contract); the Type is the plan's."""
    infos: Any = [of(kind) for kind in TYPES] if form == "list" else of("VIDEO_PLAYBACK")
    number = 4 if form == "list" else 1
    body = {"Name": "i", "Type": "VIDEO_PLAYBACK", "Mode": "INSPECTIVE", "AutoStart": True}
    asked = {"Concurrency": 3, "Duration": 3600, "TaskInfo": infos}
    plan = int(spot.site.client.fine("POST", PLANS, {**body, "InspectionPlan": asked}))
    wait_until(lambda: len(spot.cad.running_tasks()) == min(3, number), what="the first batch")
    given = infos if form == "list" else [infos]
    sent = [call.json["TaskInfo"]["StreamOptions"] for call in spot.cad.asked("create_algo_task")]
    assert sorted(sent, key=str) == sorted((info["StreamOptions"] for info in given[:3]), key=str)
    shown = spot.until(plan, (0, 0, min(3, number), max(0, number - 3), 0))["InspectionPlan"]["TaskInfo"]
    assert isinstance(shown, list) is (form == "list")
    shown = shown if form == "list" else [shown]
    assert [one["StreamOptions"] for one in shown] == [info["StreamOptions"] for info in given]


# --- direct devices ---------------------------------------------------------------------------------------------


@pytest.fixture
def camera(spot: Spot) -> Iterator[FakeCad]:
    """A direct device: it analyses its own pictures, and nothing can be loaded on it."""
    with FakeCad(f"1101000000132000{next(NUMBERS):04d}") as one:
        one.needs_service = False
        assert one.register(spot.site.url, kind="AI_CAMERA", services=False).accepted
        spot.site.until(f"/ACSMP/Computility/{one.code}", lambda data: data["State"] == "online")
        yield one
        left = spot.site.client.fine("POST", f"{PLANS}/Search", {})["PageContent"]
        for task in left:
            spot.site.client.fine("DELETE", f"{PLANS}/{task['TaskID']}?Wait=20")
        assert one.unregister(spot.site.url).accepted


@pytest.mark.parametrize("kind", TYPES)
def test_a_direct_device_runs_what_is_pinned_to_it(spot: Spot, camera: FakeCad, kind: str) -> None:
    labels = {"AlgoCaBinName": "built-in", "Version": "7", "Zone": "gate"}
    plan = spot.start(kind, of(kind, ComputilityCode=camera.code, Labels=labels))
    shown = spot.until(plan, (0, 0, 1, 0, 0))
    assert shown["TotalCount"] == 1
    [call] = camera.asked("create_algo_task")
    assert call.json["TaskInfo"]["StreamOptions"] == STREAMS[kind]
    assert call.json["TaskInfo"]["Labels"] == labels  # as given: no package of ours is there
    assert "AlgoServiceID" not in call.json
    assert not spot.cad.tasks
    [instance] = spot.ids(plan)
    found = spot.site.client.fine("GET", f"{INSTANCES}/{instance}")
    assert (found["Status"], found["ComputilityCode"]) == ("RUNNING", camera.code)
    assert "0 of 1 streams taken" in found["Reason"]


def test_a_direct_device_takes_by_itself_only_what_an_operator_says_it_can(
    spot: Spot, camera: FakeCad
) -> None:
    smile = {**file(1), "RulesParams": [{"EventID": "SMILE"}]}
    plan = spot.start("VIDEO_REALTIME", smile, {**smile, "StreamOptions": file(2)["StreamOptions"]})
    spot.until(plan, (2, 0, 0, 0, 0))
    spot.looks(2)
    assert not camera.tasks
    spot.site.client.fine("PUT", f"/ACSMP/Computility/{camera.code}", {"Capabilities": ["SMILE"]})
    spot.until(plan, (1, 0, 1, 0, 0))  # StreamLimit is 1 unless an operator sets another
    spot.looks(2)
    assert len(camera.running_tasks()) == 1
    spot.site.client.fine("PUT", f"/ACSMP/Computility/{camera.code}", {"StreamLimit": 2})
    spot.until(plan, (0, 0, 2, 0, 0))


def test_a_file_that_has_ended_on_a_direct_device_makes_room_for_the_next(
    spot: Spot, camera: FakeCad
) -> None:
    plan = spot.start("VIDEO_FILE", *(file(number, ComputilityCode=camera.code) for number in (1, 2)))
    spot.until(plan, (1, 0, 1, 0, 0))
    for finished in (1, 2):
        [task] = camera.running_tasks()
        camera.finish_task(task.task_id)
        spot.until(plan, (0, 0, 2 - finished, 0, finished))
    assert len(camera.asked("create_algo_task")) == 2


def test_a_direct_device_takes_its_turn_in_an_inspection(spot: Spot, camera: FakeCad) -> None:
    body = {"Name": "i", "Type": "VIDEO_FILE", "Mode": "INSPECTIVE", "AutoStart": True}
    infos = [file(1, ComputilityCode=camera.code), file(2)]
    plan = int(spot.site.client.fine("POST", PLANS, {**body, "InspectionPlan": inspection(*infos)}))
    wait_until(lambda: camera.running_tasks() and spot.cad.running_tasks(), what="both")
    for device in (camera, spot.cad):
        device.finish_task(device.running_tasks()[0].task_id)
    spot.site.until(f"{PLANS}/{plan}", lambda data: data["Status"] == "OFF")
    assert counts(spot.plan(plan)) == (0, 0, 0, 0, 2)
    wait_until(lambda: not camera.tasks and not spot.cad.tasks, what="both empty")


def test_no_service_is_loaded_on_a_direct_device(spot: Spot, camera: FakeCad) -> None:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": camera.code}
    with unchanged(spot.site):
        refused(spot.site.client.post("/ACSMP/AlgoServices/Devices", body), 409, 40904, camera.code)
    assert not camera.asked("push_algo_file_package")
