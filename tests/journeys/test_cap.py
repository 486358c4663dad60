"""A central analysis platform below: the whole way over real HTTP, and what may go wrong on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_cap import FakeCap
from tests.support.fake_services import FakeService
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, md5_of, task_info
from tests.support.site import Answer, Site, running
from tests.support.wait import wait_until

DEVICES = "/ACSMP/AlgoServices/Devices"
THEIRS = "1101000000502000000120261121120000000009"
EVENT = [{"EventID": "INTRUSION"}]


@pytest.fixture
def cap(site: Site, tmp_path: Path) -> Iterator[FakeCap]:
    """A registered platform; the package is imported."""
    with FakeCap() as one:
        assert one.register(site.url).accepted
        site.until(f"/ACSMP/Computility/{one.code}", lambda found: found["State"] == "online")
        assert site.client.upload(make_package(tmp_path)).code == 0
        yield one


def load(site: Site, cap: FakeCap, wait: int = 25, **more: Any) -> str:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cap.code, **more}
    return str(site.client.fine("POST", f"{DEVICES}?Wait={wait}", body))


def detail(site: Site, cap: FakeCap, service: str) -> Any:
    return site.client.fine("GET", f"{DEVICES}/{cap.code}/{service}")


def runs(site: Site, cap: FakeCap, service: str) -> None:
    site.until(f"{DEVICES}/{cap.code}/{service}", lambda found: found["Status"] == "RUNNING")


def start(site: Site, *infos: dict[str, Any], restart: bool = True) -> int:
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
        "AutoRestart": restart, "AlgoTaskInfos": list(infos) or [task_info()],
    }  # fmt: skip
    return int(site.client.fine("POST", "/ACSMP/Tasks", body))


def all_run(site: Site, plan: int) -> Any:
    return site.until(f"/ACSMP/Tasks/{plan}", lambda found: found["RunningCount"] == found["TotalCount"] > 0)


def looks(cap: FakeCap, more: int = 3) -> None:
    """Wait for further complete observations."""
    seen = len(cap.asked("search_algo_tasks")) + more
    wait_until(lambda: len(cap.asked("search_algo_tasks")) >= seen, what="observations")


def services_on(site: Site, cap: FakeCap) -> list[dict[str, Any]]:
    page = site.client.fine("POST", f"{DEVICES}/Search", {"ComputilityCode": cap.code})
    return list(page["Records"])


def only(cap: FakeCap) -> FakeService:
    [service] = cap.services.values()
    return service


def refused(answer: Answer, status: int, code: int, *words: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer
    assert all(word in answer.message for word in words), answer


# --- the one thin line ------------------------------------------------------------------------------------------------


def test_a_job_from_import_to_result_over_a_restart_and_back(site: Site, cap: FakeCap) -> None:
    client = site.client
    info = client.fine("GET", f"/ACSMP/Computility/{cap.code}")
    assert (info["Type"], info["Family"]) == ("CAP", "cap")
    assert [one["HostName"] for one in info["Info"]["DeviceInfos"]] == ["BQF996500332", "BQF996500105"]

    # load: the package is pushed for us
    service = load(site, cap)
    assert detail(site, cap, service)["Status"] == "RUNNING"
    [push] = cap.asked("push_algo_file_package")
    assert set(push.json) == {"AlgoFilePackageID", "MD5", "Url"}
    copies = client.fine("POST", "/ACSMP/AlgoFilePackages/Devices/Search", {"ComputilityCode": cap.code})
    assert [(one["AlgoFilePackageID"], one["Status"]) for one in copies] == [(PACKAGE_ID, 3)]
    assert client.fine("GET", f"/ACSMP/AlgoDef/{CAPABILITY}")["Status"] == "PUBLISHED"

    # task: on that service, by its id there
    plan = start(site)
    instance = all_run(site, plan)["AlgoTaskInfos"][0]["ID"]
    [task] = cap.running_tasks()
    assert (task.sent_id, task.service_id) == (instance, only(cap).service_id)

    # result
    [said] = cap.send_result(task.task_id)
    assert said.accepted, said
    assert client.fine("POST", "/ACSMP/Results/Search", {"InstanceID": instance})["Total"] == 1

    # restart: everything is still true, and nothing was done twice
    site.restart()
    all_run(site, plan)
    looks(cap)
    assert [one.task_id for one in cap.running_tasks()] == [task.task_id]
    assert [len(cap.asked(row)) for row in ("push_algo_file_package", "create_algo_service", "create_algo_task")] == [
        1, 1, 1,
    ]  # fmt: skip
    assert [one["AlgoServiceID"] for one in services_on(site, cap)] == [service]

    # and back
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cap.code}
    refused(site.client.post(f"{DEVICES}/UnInstall", body), 409, 40901, instance)
    site.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    site.client.fine("POST", f"{DEVICES}/UnInstall?Wait=20", {**body, "AlgoServiceID": service})
    assert (cap.tasks, cap.services) == ({}, {})
    site.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/Devices/{cap.code}/{PACKAGE_ID}?Wait=20")
    assert cap.packages == {}
    looks(cap)
    assert services_on(site, cap) == []


def test_what_was_preset_as_a_cap_registers_as_it_will(tmp_path: Path) -> None:
    """`acsmpd device add --family cap`: the operator's word stands, whatever Type the platform says."""
    from acsmpd import offline
    from acsmpd.clock import Clock

    with running(tmp_path / "data", enrolment_mode="preset") as site, FakeCap() as cap:
        assert not cap.register(site.url).accepted
        offline.add_device(
            site.settings, Clock(), cap.code, username="cap", password="Cap-Passw0rd-1", url="", kind="AI_CLOUD",
            family="cap", prefix="", pin=None, cluster="", nodes=(),
        )  # fmt: skip
        assert cap.register(site.url, kind="AI_CLOUD").accepted
        shown = site.until(
            f"/ACSMP/Computility/{cap.code}", lambda found: found["State"] == "online" and "Info" in found
        )
        assert (shown["Family"], len(shown["Info"]["DeviceInfos"])) == ("cap", 2)


def test_what_it_means_by_use_is_chosen(site: Site, cap: FakeCap) -> None:
    """The fake uses 6 of 16 processors; as a percentage that is little."""
    path = f"/ACSMP/Computility/{cap.code}"
    shown = site.until(path, lambda found: "Info" in found)
    assert (shown["UsageUnit"], shown["Info"]["DeviceInfos"][0]["CpuUtilization"]) == ("auto", 0.375)
    assert site.client.fine("PUT", path, {"UsageUnit": "percent"})["UsageUnit"] == "percent"
    site.until(path, lambda found: found["Info"]["DeviceInfos"][0]["CpuUtilization"] == 0.06)
    refused(site.client.put(path, {"UsageUnit": "pounds"}), 400, 40001, "$.UsageUnit")
    refused(site.client.put(path, {"Family": "cad", "UsageUnit": "amount"}), 400, 40001, "$.UsageUnit")
    shown = site.client.fine("GET", path)
    assert (shown["UsageUnit"], shown["Family"]) == ("percent", "cap")


# --- one service for each wish ----------------------------------------------------------------------------------------


def test_each_wish_is_a_service_of_its_own(site: Site, cap: FakeCap) -> None:
    first, second = (
        load(site, cap),
        load(site, cap, Replicas=3, Env=[{"Name": "LOG_LEVEL", "Value": "debug"}]),
    )
    assert first != second
    asked = [call.json for call in cap.asked("create_algo_service")]
    assert [one["Replicas"] for one in asked] == [1, 3]
    assert asked[1]["Env"] == [{"Name": "LOG_LEVEL", "Value": "debug"}]
    shown = {one["AlgoServiceID"]: one for one in services_on(site, cap)}
    assert set(shown) == {first, second}
    assert (shown[second]["Replicas"], shown[second].get("Foreign")) == (3, None)
    assert len(cap.asked("push_algo_file_package")) == 1


def test_other_replicas_are_another_service_and_the_work_moves(site: Site, cap: FakeCap) -> None:
    service = load(site, cap)
    plan = start(site)
    all_run(site, plan)
    before = only(cap).service_id
    site.client.fine("PUT", f"/ACSMP/AlgoServices/{service}?Wait=25", {"Replicas": 2})
    wait_until(lambda: len(cap.services) == 1 and before not in cap.services, what="the old one gone")
    all_run(site, plan)
    assert only(cap).asked.replicas == 2
    [task] = cap.running_tasks()
    assert task.service_id == only(cap).service_id
    assert cap.max_running == 1
    assert detail(site, cap, service)["Replicas"] == 2
    site.client.fine("PUT", f"/ACSMP/AlgoServices/{service}?Wait=25", {"Replicas": 2})
    looks(cap)
    assert len(cap.asked("create_algo_service")) == 2


def test_streams_count_for_each_replica(site: Site, cap: FakeCap, tmp_path: Path) -> None:
    wide = {"package_id": THEIRS, "name": "small", "codes": ("SMALL-1",), "events": ("FIRE",)}
    xpu = [{"quota": 0.25, "accelerator": "NVIDIA-A2", "capacities": {"stream_video_quota": 1}}]
    assert site.client.upload(make_package(tmp_path, xpu=xpu, **wide)).code == 0  # type: ignore[arg-type]
    load(site, cap, AlgoFilePackageID=THEIRS, Replicas=2)
    assert cap.asked("create_algo_service")[0].json["XpuType"] == "NVIDIA A2"  # as the platform spells it
    plan = start(site, *(task_info("FIRE", url=f"rtsp://10.0.0.9/{number}") for number in range(3)))
    site.until(f"/ACSMP/Tasks/{plan}", lambda found: found["RunningCount"] == 2)
    looks(cap)
    assert len(cap.running_tasks()) == 2


@pytest.mark.parametrize("named", ["192.168.200.232", "bqf996500105"])
def test_a_service_on_a_node(site: Site, cap: FakeCap, named: str) -> None:
    service = load(site, cap, HostName=named, XpuType="nvidia-a2")
    asked = cap.asked("create_algo_service")[0].json
    assert (asked["HostName"], asked["XpuType"]) == ("192.168.200.232", "NVIDIA A2")
    assert [host.name for host in only(cap).hosts] == ["BQF996500105"]
    assert detail(site, cap, service)["HostName"] == named


def test_a_node_that_is_not_there(site: Site, cap: FakeCap) -> None:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cap.code, "HostName": "10.9.9.9"}
    refused(site.client.post(DEVICES, body), 404, 40401, "$.HostName", "10.9.9.9")
    local = {**body, "ComputilityCode": site.settings.site_code}
    refused(site.client.post(DEVICES, local), 400, 40001, "$.HostName", "without nodes")
    refused(site.client.post(DEVICES, {**body, "HostName": "x" * 129}), 400, 40001, "$.HostName")
    refused(site.client.post(DEVICES, {**body, "HostName": 7}), 400, 40001, "$.HostName")
    looks(cap)
    assert (services_on(site, cap), cap.asked("push_algo_file_package")) == ([], [])


# --- unknown outcomes -------------------------------------------------------------------------------------------------


def test_lost_answers_are_looked_for_not_repeated(site: Site, cap: FakeCap) -> None:
    for row in ("push_algo_file_package", "create_algo_service", "create_algo_task"):
        cap.drop_answer(times=1, operation=row)
    service = load(site, cap)
    runs(site, cap, service)
    plan = start(site)
    all_run(site, plan)
    looks(cap)
    assert [len(cap.asked(row)) for row in ("push_algo_file_package", "create_algo_service", "create_algo_task")] == [
        1, 1, 1,
    ]  # fmt: skip
    [task] = cap.running_tasks()
    assert task.service_id == only(cap).service_id
    assert [one.get("Foreign") for one in services_on(site, cap)] == [None]


def test_a_load_that_never_arrived_is_repeated(site: Site, cap: FakeCap) -> None:
    cap.cut_before(times=1, operation="create_algo_service")
    runs(site, cap, load(site, cap))
    looks(cap)
    assert (len(cap.asked("create_algo_service")), len(cap.services)) == (2, 1)


def test_a_load_that_takes_longer_than_anybody_waits(tmp_path: Path) -> None:
    with running(tmp_path / "data", wire_read_timeout_seconds="1") as site, FakeCap() as cap:
        assert cap.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        cap.slow(1.5, "create_algo_service", after=True)
        service = load(site, cap)
        cap.slow(0, "create_algo_service", after=True)
        runs(site, cap, service)
        looks(cap)
        assert (len(cap.asked("create_algo_service")), len(cap.services)) == (1, 1)


def test_an_answer_without_an_id_is_completed_by_a_look(site: Site, cap: FakeCap) -> None:
    first = load(site, cap)
    cap.drop_answer(times=1, operation="create_algo_service")
    second = load(site, cap)
    runs(site, cap, second)
    ids = list(cap.services)
    for service in (first, second):
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cap.code, "AlgoServiceID": service}
        site.client.fine("POST", f"{DEVICES}/UnInstall?Wait=20", body)
    assert cap.services == {}
    assert [call.path.rpartition("/")[2] for call in cap.asked("delete_algo_service")] == ids


def test_an_id_that_is_anothers_is_not_believed(site: Site, cap: FakeCap) -> None:
    other = cap.add_foreign_service(THEIRS).service_id
    wait_until(lambda: len(services_on(site, cap)) == 1, what="the foreign one shown")
    real = cap.hall.load
    cap.answer_http(200, f'{{"Code": 0, "Data": {{"AlgoServiceID": "{other}"}}}}', 1, "create_algo_service")
    service = load(site, cap, wait=0)
    wait_until(lambda: cap.asked("create_algo_service"), what="the load")
    message = {"replicas": 1, "xpu_type": "", "algo_file_package_id": PACKAGE_ID}
    from acsmpd.spec.messages.cap import AlgoServiceCreateRequest

    mine = real(AlgoServiceCreateRequest(**message)).service_id  # type: ignore[arg-type]
    runs(site, cap, service)
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cap.code, "AlgoServiceID": service}
    site.client.fine("POST", f"{DEVICES}/UnInstall?Wait=20", body)
    assert list(cap.services) == [other]
    assert mine not in cap.services


def test_a_restart_in_the_middle_of_a_load(site: Site, cap: FakeCap) -> None:
    cap.slow(1.0, "create_algo_service")
    service = load(site, cap, wait=0)
    wait_until(lambda: cap.asked("create_algo_service"), what="the load")
    site.restart()
    runs(site, cap, service)
    looks(cap)
    assert (len(cap.asked("create_algo_service")), len(cap.services)) == (1, 1)


# --- services that fail, and that go --------------------------------------------------------------------------------


def test_a_failed_service_is_replaced_not_doubled(site: Site, cap: FakeCap) -> None:
    service = load(site, cap)
    failed = only(cap).service_id
    cap.fail_service(failed)
    wait_until(lambda: cap.services and failed not in cap.services, what="another in its place")
    runs(site, cap, service)
    looks(cap)
    assert len(cap.services) == 1
    assert [one["AlgoServiceID"] for one in services_on(site, cap)] == [service]


@pytest.mark.parametrize("row", ["delete_algo_service", "create_algo_service"])
def test_a_failed_service_is_replaced_once_though_an_answer_is_lost(
    site: Site, cap: FakeCap, row: str
) -> None:
    service = load(site, cap)
    failed = only(cap).service_id
    cap.drop_answer(times=1, operation=row)
    cap.fail_service(failed)
    wait_until(lambda: cap.services and failed not in cap.services, what="another in its place")
    runs(site, cap, service)
    looks(cap)
    assert (len(cap.services), len(cap.asked("create_algo_service"))) == (1, 2)
    assert [one["AlgoServiceID"] for one in services_on(site, cap)] == [service]


def test_a_service_that_is_gone_is_loaded_again(site: Site, cap: FakeCap) -> None:
    service = load(site, cap)
    plan = start(site)
    all_run(site, plan)
    cap.hall.held.clear()
    cap.forget_tasks()
    wait_until(lambda: cap.services, what="the service again")
    runs(site, cap, service)
    all_run(site, plan)
    looks(cap)
    assert (len(cap.services), len(cap.running_tasks())) == (1, 1)


def test_a_refused_load_is_told_and_waits_for_a_new_wish(site: Site, cap: FakeCap) -> None:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cap.code}
    site.client.fine("POST", "/ACSMP/AlgoFilePackages/Devices?Wait=20", body)
    cap.refuse(50013, "no card left", operation="create_algo_service")
    service = load(site, cap, wait=0)
    site.until(f"{DEVICES}/{cap.code}/{service}", lambda found: "no card left" in found.get("LastError", ""))
    assert cap.services == {}
    cap.behave()
    load(site, cap)
    assert len(cap.services) >= 1


def test_a_faulty_file_is_sent_again(site: Site, cap: FakeCap) -> None:
    cap.hold_downloads()
    service = load(site, cap, wait=0)
    wait_until(lambda: PACKAGE_ID in cap.packages, what="the push")
    looks(cap)
    assert cap.services == {}
    cap.package(PACKAGE_ID).state = "FAILED"
    cap.hold_downloads(False)
    runs(site, cap, service)


# --- executables that travel by themselves ----------------------------------------------------------------------------


def test_a_package_that_waits_for_its_executable_gets_it(site: Site, cap: FakeCap) -> None:
    cap.want_programs()
    service = load(site, cap)
    runs(site, cap, service)
    [call] = cap.asked("push_exec_file")
    asked = call.json
    assert (asked["Type"], asked["Name"], asked["AlgoFilePackageID"]) == ("artifact", "bin.tar", PACKAGE_ID)
    assert asked["MD5"] in cap.shelf.beside
    looks(cap, 5)
    assert len(cap.asked("push_exec_file")) == 1
    status = site.client.fine("GET", f"/ACSMP/AlgoFilePackages/Devices/{cap.code}/{PACKAGE_ID}")["Status"]
    assert status == 3


def test_an_executable_whose_answer_was_lost(site: Site, cap: FakeCap) -> None:
    cap.want_programs()
    cap.drop_answer(times=1, operation="push_exec_file")
    runs(site, cap, load(site, cap))
    assert len(cap.asked("push_exec_file")) == 1


def test_an_executable_that_is_refused(site: Site, cap: FakeCap) -> None:
    cap.want_programs()
    cap.refuse(50014, "not that one", operation="push_exec_file")
    service = load(site, cap, wait=0)
    page = site.until(
        "/ACSMP/Alarms/Search", lambda found: found["Total"], body={"Kind": "step_refused", "Active": True}
    )
    assert "not that one" in page["PageContent"][0]["Text"]
    looks(cap)
    assert len(cap.asked("push_exec_file")) == 1
    assert detail(site, cap, service)["Status"] == "INIT"
    cap.behave()
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cap.code}
    site.client.fine("POST", "/ACSMP/AlgoFilePackages/Devices", body)
    runs(site, cap, service)


def test_the_link_of_an_executable_is_good_for_as_long_as_the_copy_is_wanted(
    site: Site, cap: FakeCap, tmp_path: Path
) -> None:
    cap.want_programs()
    service = load(site, cap)
    runs(site, cap, service)
    path = cap.asked("push_exec_file")[0].json["Url"].removeprefix(site.url)
    bare = type(site.client)(site.url, None)
    assert bare.get(path).response.content == next(iter(cap.shelf.beside.values()))
    refused(bare.get(path[:-2] + "xx"), 404, 40401)
    package_link = cap.package(PACKAGE_ID).asked.url.removeprefix(site.url)  # type: ignore[union-attr]
    swapped = path.rpartition("/")[0] + "/" + package_link.rpartition("/")[2]
    refused(bare.get(swapped), 404, 40401)
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cap.code}
    site.client.fine("POST", f"{DEVICES}/UnInstall?Wait=20", body)
    site.client.fine("DELETE", f"/ACSMP/AlgoFilePackages/Devices/{cap.code}/{PACKAGE_ID}?Wait=20")
    refused(bare.get(path), 404, 40401)


# --- what is not ours -------------------------------------------------------------------------------------------------


def test_what_others_put_there_is_shown_and_left_alone(site: Site, cap: FakeCap) -> None:
    theirs, package = cap.add_foreign_service(THEIRS), cap.package(THEIRS)
    task = cap.add_foreign_task()
    mine = load(site, cap)
    plan = start(site)
    all_run(site, plan)
    looks(cap)
    shown = {one["AlgoFilePackageID"]: one.get("Foreign") for one in services_on(site, cap)}
    assert shown == {THEIRS: True, PACKAGE_ID: None}
    listed = site.client.fine("POST", f"/ACSMP/Computility/{cap.code}/ForeignTasks/Search", {})
    assert [one["TaskID"] for one in listed["PageContent"]] == [task.task_id]
    site.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cap.code, "AlgoServiceID": mine}
    site.client.fine("POST", f"{DEVICES}/UnInstall?Wait=20", body)
    looks(cap)
    assert list(cap.services) == [theirs.service_id]
    assert (list(cap.tasks), package.state) == ([task.task_id], "STOPPED")
    touched = [
        call.path
        for call in cap.calls("DELETE")
        if theirs.service_id in call.path or task.task_id in call.path
    ]
    assert touched == []


def test_a_service_of_others_goes_when_it_is_named(site: Site, cap: FakeCap) -> None:
    one, other = cap.add_foreign_service(THEIRS), cap.add_foreign_service(THEIRS)
    wait_until(lambda: len(services_on(site, cap)) == 2, what="both shown")
    named = services_on(site, cap)[0]["AlgoServiceID"]
    body = {"AlgoFilePackageID": THEIRS, "ComputilityCode": cap.code, "AlgoServiceID": named}
    site.client.fine("POST", f"{DEVICES}/UnInstall?Wait=20", body)
    assert len(cap.services) == 1
    looks(cap)
    assert len(services_on(site, cap)) == 1
    assert next(iter(cap.services)) in (one.service_id, other.service_id)


def test_a_service_of_others_is_used_by_placement(site: Site, cap: FakeCap) -> None:
    theirs = cap.add_foreign_service(PACKAGE_ID)
    wait_until(lambda: len(services_on(site, cap)) == 1, what="it is shown")
    plan = start(site)
    all_run(site, plan)
    [task] = cap.running_tasks()
    assert task.service_id == theirs.service_id


# --- tasks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("restart", [True, False])
def test_an_update_keeps_the_task_on_its_service(site: Site, cap: FakeCap, restart: bool) -> None:
    load(site, cap)
    service = only(cap).service_id
    load(site, cap)
    plan = start(site, restart=restart)
    instance = all_run(site, plan)["AlgoTaskInfos"][0]["ID"]
    [task] = cap.running_tasks()
    new = {"StreamOptions": {"VideoStreamOptions": {"Url": "rtsp://10.0.0.9/other"}}}
    before = task.service_id
    site.client.fine("PUT", f"/ACSMP/TaskInstances/{instance}", new)
    wait_until(
        lambda: [one.stream_url for one in cap.running_tasks()] == ["rtsp://10.0.0.9/other"], what="it"
    )
    [call] = cap.asked("update_algo_task")
    assert call.json["AlgoServiceID"] == before == task.service_id
    assert service in cap.services
    assert bool(cap.asked("pause_algo_task")) is not restart
    all_run(site, plan)


def test_stop_start_and_delete(site: Site, cap: FakeCap) -> None:
    load(site, cap)
    plan = start(site)
    all_run(site, plan)
    [task] = cap.running_tasks()
    site.client.fine("POST", f"/ACSMP/Tasks/{plan}/Stop?Wait=20")
    assert task.status == "PAUSED"
    site.client.fine("POST", f"/ACSMP/Tasks/{plan}/Start?Wait=20")
    assert task.status == "RUNNING"
    site.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    wait_until(lambda: not cap.tasks, what="the task gone")


@pytest.mark.parametrize(
    "way", ["list_incompletely", "list_without_data", "page_inconsistently", "lists_change"]
)
def test_a_listing_that_is_not_whole_changes_nothing(site: Site, cap: FakeCap, way: str) -> None:
    load(site, cap)
    plan = start(site, task_info(), task_info(url="rtsp://10.0.0.9/b"))
    all_run(site, plan)
    cap.page_limit = 1
    getattr(cap, way)()
    site.until(f"/ACSMP/Computility/{cap.code}", lambda found: "list" in found.get("Reason", ""))
    looks(cap, 5)
    assert (len(cap.asked("create_algo_task")), len(cap.asked("create_algo_service"))) == (2, 1)
    getattr(cap, way)(False)
    all_run(site, plan)
    site.until(f"/ACSMP/Computility/{cap.code}", lambda found: not found.get("Reason"))


# --- authorisation ----------------------------------------------------------------------------------------------------


def test_a_server_is_given_along(site: Site, cap: FakeCap, tmp_path: Path) -> None:
    needs = make_package(tmp_path, package_id=THEIRS, name="b", codes=("B-1",), env={"AUTH_SERVER_ADDR": ""})
    assert site.client.upload(needs).code == 0
    body = {"AlgoFilePackageID": THEIRS, "ComputilityCode": cap.code}
    refused(site.client.post(DEVICES, body), 409, 40901, "needs authorisation")
    server = {"Server": "10.1.0.9:8808", "Provider": "ACSMPD", "Default": True}
    site.client.fine("POST", "/ACSMP/AuthServer", server)
    load(site, cap, AlgoFilePackageID=THEIRS)
    assert "AuthAddress" not in cap.asked("push_algo_file_package")[0].json
    env = cap.asked("create_algo_service")[0].json["Env"]
    assert env == [{"Name": "AUTH_SERVER_ADDR", "Value": "10.1.0.9:8808"}]


def test_a_licence_is_given_along_and_its_quota_binds(site: Site, cap: FakeCap, tmp_path: Path) -> None:
    needs = make_package(
        tmp_path, package_id=THEIRS, name="b", codes=("B-1",), events=("FIRE",), env={"AUTH_SERVER_ADDR": ""}
    )
    assert site.client.upload(needs).code == 0
    fields = {
        "Provider": "ACSMPD", "DeviceID": cap.code, "AbilityAuths": '[{"AlgoDefCode": "B-1", "Quota": 2}]',
    }  # fmt: skip
    answer = site.client.post("/ACSMP/License", files={"File": ("a.lic", b"a licence")}, data=fields)
    assert answer.code == 0, answer
    load(site, cap, AlgoFilePackageID=THEIRS)
    pushed, loaded = cap.asked("push_algo_file_package")[0].json, cap.asked("create_algo_service")[0].json
    assert "LicenseFile" not in pushed
    bare = type(site.client)(site.url, None)
    assert bare.get(loaded["LicenseFile"].removeprefix(site.url)).response.content == b"a licence"
    plan = start(site, *(task_info("FIRE", url=f"rtsp://10.0.0.9/{number}") for number in range(3)))
    site.until(f"/ACSMP/Tasks/{plan}", lambda found: found["RunningCount"] == 2)
    looks(cap)
    assert len(cap.running_tasks()) == 2


def test_the_md5_of_the_package_goes_along(site: Site, cap: FakeCap, tmp_path: Path) -> None:
    load(site, cap)
    asked = cap.asked("push_algo_file_package")[0].json
    assert asked["MD5"] == cap.package(PACKAGE_ID).md5 == md5_of(tmp_path / f"{PACKAGE_ID}_V1.0.0.tar")
