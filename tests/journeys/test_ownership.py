"""Identity and ownership on devices (conventions section 6): one task for one instance, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.store import plans
from acsmpd.store.tables import Task
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site
from tests.support.wait import wait_until


@pytest.fixture
def cad(site: Site, tmp_path: Path) -> Iterator[FakeCad]:
    """A registered device with the package loaded."""
    with FakeCad() as device:
        assert device.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        site.client.fine(
            "POST",
            "/ACSMP/AlgoServices/Devices?Wait=20",
            {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": device.code},
        )
        yield device


def start(site: Site, *infos: dict[str, Any], restart: bool = True) -> int:
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
        "AutoRestart": restart, "AlgoTaskInfos": list(infos) or [task_info()],
    }  # fmt: skip
    plan: int = site.client.fine("POST", "/ACSMP/Tasks", body)
    return plan


def looks(cad: FakeCad, more: int = 3) -> None:
    """Wait for further complete observations."""
    seen = len(cad.calls("POST", "/CAD/AlgoTasks:search"))
    wait_until(lambda: len(cad.calls("POST", "/CAD/AlgoTasks:search")) >= seen + more, what="observations")


def running(site: Site, plan: int) -> Any:
    return site.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == d["TotalCount"] > 0)


@pytest.mark.parametrize("ids", ["minted", "honoured"])
def test_a_create_whose_answer_was_lost_is_found_not_repeated(site: Site, cad: FakeCad, ids: str) -> None:
    cad.honour_ids(ids == "honoured")
    cad.drop_answer(times=1, operation="cad.create_algo_task")
    plan = start(site)
    running(site, plan)
    looks(cad)
    assert len(cad.running_tasks()) == 1
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 1


def test_a_create_that_never_arrived_is_repeated_after_two_complete_listings(
    site: Site, cad: FakeCad
) -> None:
    cad.cut_before(times=1, operation="cad.create_algo_task")
    plan = start(site)
    running(site, plan)
    assert len(cad.running_tasks()) == 1
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 2


def test_a_lost_answer_with_an_abridged_listing_is_found_by_the_detail(site: Site, cad: FakeCad) -> None:
    cad.abridge(True)
    cad.drop_answer(times=1, operation="cad.create_algo_task")
    plan = start(site)
    running(site, plan)
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 1
    assert cad.calls("GET", "/CAD/AlgoTasks/[^/]+")


@pytest.mark.parametrize(
    "way", ["abridge", "bare_array", "numbers_as_strings", "lower_case_code", "honour_ids"]
)
def test_the_spellings_of_devices_are_read(site: Site, cad: FakeCad, way: str) -> None:
    getattr(cad, way)(True)
    plan = start(site, task_info(), task_info(url="rtsp://10.0.0.9/b"))
    running(site, plan)
    looks(cad)
    assert len(cad.running_tasks()) == 2
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 2


def test_a_create_answer_without_an_id_is_completed_by_a_look(site: Site, cad: FakeCad) -> None:
    cad.omit_task_id(True)
    plan = start(site)
    wait_until(lambda: cad.running_tasks(), what="the task")
    cad.omit_task_id(False)
    running(site, plan)
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 1


@pytest.mark.parametrize("way", ["list_incompletely", "list_without_data", "page_inconsistently"])
def test_a_listing_that_is_not_whole_changes_nothing(site: Site, cad: FakeCad, way: str) -> None:
    plan = start(site)
    running(site, plan)
    getattr(cad, way)(True)
    looks(cad, 5)
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 1
    getattr(cad, way)(False)
    running(site, plan)


def test_tasks_a_device_forgot_are_created_again_once(site: Site, cad: FakeCad) -> None:
    plan = start(site)
    running(site, plan)
    cad.forget_tasks()
    wait_until(lambda: cad.running_tasks(), what="the task again")
    running(site, plan)
    looks(cad)
    assert len(cad.running_tasks()) == 1
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 2


def test_what_we_did_not_create_is_shown_and_never_touched(site: Site, cad: FakeCad) -> None:
    foreign = cad.add_foreign_task().task_id
    plan = start(site)
    running(site, plan)
    site.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    looks(cad, 5)
    assert [task.task_id for task in cad.running_tasks()] == [foreign]
    touched = [call for call in cad.calls(".*", f".*{foreign}.*") if call.method != "GET"]
    assert touched == []


def test_stop_pauses_start_resumes_delete_deletes(site: Site, cad: FakeCad) -> None:
    plan = start(site)
    running(site, plan)
    [task] = cad.running_tasks()
    site.client.fine("POST", f"/ACSMP/Tasks/{plan}/Stop?Wait=20")
    assert cad.tasks[task.task_id].status == "PAUSED"
    assert site.client.fine("GET", f"/ACSMP/Tasks/{plan}")["StoppedCount"] == 1
    site.client.fine("POST", f"/ACSMP/Tasks/{plan}/Start?Wait=20")
    assert cad.tasks[task.task_id].status == "RUNNING"
    site.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    wait_until(lambda: task.task_id not in cad.tasks, what="the task gone")
    assert site.client.get(f"/ACSMP/Tasks/{plan}").code == 40401


@pytest.mark.parametrize("restart", [True, False])
def test_an_update_reaches_the_device(site: Site, cad: FakeCad, restart: bool) -> None:
    """A NEVER task is paused, changed and resumed; an ALWAYS task is changed as it runs."""
    plan = start(site, restart=restart)
    instance = running(site, plan)["AlgoTaskInfos"][0]["ID"]
    new = {"StreamOptions": {"VideoStreamOptions": {"Url": "rtsp://10.0.0.9/other"}}}
    site.client.fine("PUT", f"/ACSMP/TaskInstances/{instance}", new)
    wait_until(
        lambda: [task.stream_url for task in cad.running_tasks()] == ["rtsp://10.0.0.9/other"],
        what="the update",
    )
    assert len(cad.calls("PUT", "/CAD/AlgoTasks/[^/]+")) == 1
    assert bool(cad.calls("POST", "/CAD/AlgoTasks/[^/]+:pause")) is not restart
    running(site, plan)


def test_changing_result_addresses_is_no_device_call(site: Site, cad: FakeCad) -> None:
    plan = start(site)
    instance = running(site, plan)["AlgoTaskInfos"][0]["ID"]
    info = task_info()
    info["RulesParams"][0]["ResultReceiveUrl"] = ["http://10.9.9.9/r"]  # type: ignore[index]
    site.client.fine("PUT", f"/ACSMP/TaskInstances/{instance}", {"RulesParams": info["RulesParams"]})
    looks(cad)
    assert cad.calls("PUT", ".*") == []
    shown = site.client.fine("GET", f"/ACSMP/TaskInstances/{instance}")
    assert shown["RulesParams"][0]["ResultReceiveUrl"] == ["http://10.9.9.9/r"]


def test_a_load_and_a_push_whose_answers_were_lost_are_found(site: Site, tmp_path: Path) -> None:
    with FakeCad() as device:
        assert device.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path)).code == 0
        device.drop_answer(times=1, operation="cad.push_algo_file_package")
        device.drop_answer(times=1, operation="cad.install_algo_package")
        service = site.client.fine(
            "POST",
            "/ACSMP/AlgoServices/Devices?Wait=25",
            {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": device.code},
        )
        path = f"/ACSMP/AlgoServices/Devices/{device.code}/{service}"
        site.until(path, lambda d: d["Status"] == "RUNNING")
        loads = [
            call
            for call in device.calls("POST", "/CAD/Machine/AlgoPackages")
            if b"AlgoFilePackageID" in call.body
        ]
        assert len(loads) == 1


def test_a_refused_task_is_parked_with_the_reason_and_tried_again_by_a_new_start(
    site: Site, cad: FakeCad
) -> None:
    cad.refuse(1234, "no free decoder", times=1, operation="cad.create_algo_task")
    plan = start(site)
    site.until(f"/ACSMP/Tasks/{plan}", lambda d: d["StartErrCount"] == 1)
    page = site.client.fine("POST", "/ACSMP/TaskInstances/Search", {"TaskID": plan})
    assert "no free decoder" in page["PageContent"][0]["Reason"]
    looks(cad)
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 1
    site.client.fine("POST", f"/ACSMP/Tasks/{plan}/Start?Wait=20")
    running(site, plan)


def test_a_restart_of_the_platform_in_the_middle_of_a_step(site: Site, cad: FakeCad) -> None:
    """The call hangs, the platform is stopped and started: the outcome is unknown and is looked for."""
    cad.slow(1.0, operation="cad.create_algo_task")
    plan = start(site)
    wait_until(lambda: cad.calls("POST", "/CAD/AlgoTasks"), what="the create call")
    site.restart()
    running(site, plan)
    looks(cad)
    assert len(cad.running_tasks()) == 1


def test_a_create_that_comes_through_after_its_repeat_is_sent_away(site: Site, cad: FakeCad) -> None:
    """The first create was given up and repeated; now the device shows its task too: it bears our link."""
    plan = start(site)
    instance = running(site, plan)["AlgoTaskInfos"][0]["ID"]
    [task] = cad.running_tasks()
    double = cad.add_foreign_task(task.stream_url, task.event_ids[0], RulesParams=task.info["RulesParams"])
    wait_until(lambda: double.task_id not in cad.tasks, what="the double gone")
    looks(cad)
    assert [one.task_id for one in cad.running_tasks()] == [task.task_id]
    assert instance in task.receive_urls[0]


def test_a_double_with_a_forged_link_is_foreign(site: Site, cad: FakeCad) -> None:
    plan = start(site)
    running(site, plan)
    [task] = cad.running_tasks()
    forged = task.receive_urls[0][:-2] + "xx"
    rules = [{**task.info["RulesParams"][0], "ResultReceiveUrl": [forged]}]
    other = cad.add_foreign_task(task.stream_url, task.event_ids[0], RulesParams=rules)
    looks(cad, 5)
    assert other.task_id in cad.tasks


def test_an_id_that_is_another_tasks_is_not_believed(site: Site, cad: FakeCad) -> None:
    first = start(site)
    running(site, first)
    cad.answer_foreign_ids(True)
    second = start(site, task_info(url="rtsp://10.0.0.9/b"))
    wait_until(lambda: len(cad.running_tasks()) == 2, what="the second task")
    cad.answer_foreign_ids(False)
    running(site, second)
    looks(cad)
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 2
    site.client.fine("DELETE", f"/ACSMP/Tasks/{second}?Wait=20")
    wait_until(lambda: len(cad.running_tasks()) == 1, what="only the first left")
    assert cad.running_tasks()[0].stream_url != "rtsp://10.0.0.9/b"


def test_what_was_read_may_be_written_back(site: Site, cad: FakeCad) -> None:
    """A read shows the present place; writing it back neither restarts the instance nor ties it."""
    plan = start(site)
    instance = running(site, plan)["AlgoTaskInfos"][0]["ID"]
    shown = site.client.fine("GET", f"/ACSMP/TaskInstances/{instance}")
    assert shown["ComputilityCode"] == cad.code
    site.client.fine("PUT", f"/ACSMP/TaskInstances/{instance}", shown)
    looks(cad)
    for method in ("PUT", "DELETE"):
        assert cad.calls(method, ".*") == []
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 1
    with site.app.store.read() as tx:  # type: ignore[union-attr]
        row = plans.any_instance(tx, instance)
    assert row is not None
    assert (row["device"], row["service_id"], row["revision"]) == ("", "", 0)


def test_a_task_is_not_created_anew_before_the_old_one_is_gone(site: Site, cad: FakeCad) -> None:
    """A change is under way on the device when a pin takes its place away: delete first, then create."""
    plan = start(site)
    instance = running(site, plan)["AlgoTaskInfos"][0]["ID"]
    cad.slow(1.0, operation="cad.update_algo_task")
    new = {"StreamOptions": {"VideoStreamOptions": {"Url": "rtsp://10.0.0.9/other"}}}
    site.client.fine("PUT", f"/ACSMP/TaskInstances/{instance}", new)
    wait_until(lambda: cad.calls("PUT", "/CAD/AlgoTasks/[^/]+"), what="the update under way")
    with site.app.store.write() as tx:  # type: ignore[union-attr]
        [task] = plans.tasks(tx, Task.instance_id == instance)
        plans.change_task(tx, task.id, wanted="gone")
    cad.slow(0, operation="cad.update_algo_task")
    wait_until(lambda: cad.calls("DELETE", "/CAD/AlgoTasks/[^/]+"), what="the delete")
    wait_until(lambda: len(cad.calls("POST", "/CAD/AlgoTasks")) == 2, what="the new create")
    running(site, plan)
    order = [(call.method, call.path.split("/")[-1]) for call in cad.calls("", "/CAD/AlgoTasks(/[^/]+)?")]
    kinds = [method for method, _ in order if method != "GET"]
    assert kinds == ["POST", "PUT", "DELETE", "POST"]
    assert cad.max_running == 1
