"""What others put on a device, over HTTP: shown, used, adopted or deleted by name, otherwise left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, task_info
from tests.support.site import Answer, Site
from tests.support.wait import wait_until

THEIRS = "1101000000502000000120261121120000000077"
DEVICES = "/ACSMP/AlgoServices/Devices"


@pytest.fixture
def cad(site: Site) -> Iterator[FakeCad]:
    with FakeCad() as device:
        assert device.register(site.url).accepted
        yield device


def looks(cad: FakeCad, more: int = 3) -> None:
    seen = len(cad.calls("POST", "/CAD/AlgoTasks:search"))
    wait_until(lambda: len(cad.calls("POST", "/CAD/AlgoTasks:search")) >= seen + more, what="observations")


def refused(answer: Answer, status: int, code: int, *words: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer
    for word in words:
        assert word in answer.message, answer


def packages_on(site: Site, cad: FakeCad) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.client.fine(
        "POST", "/ACSMP/AlgoFilePackages/Devices/Search", {"ComputilityCode": cad.code}
    )
    return found


def services_on(site: Site, cad: FakeCad) -> list[dict[str, Any]]:
    page = site.client.fine("POST", f"{DEVICES}/Search", {"ComputilityCode": cad.code})
    assert page["TotalSize"] == len(page["Records"])
    found: list[dict[str, Any]] = page["Records"]
    return found


def tasks_of(cad: FakeCad) -> str:
    return f"/ACSMP/Computility/{cad.code}/ForeignTasks"


def listed(site: Site, cad: FakeCad, **asked: Any) -> list[dict[str, Any]]:
    page = site.client.fine("POST", f"{tasks_of(cad)}/Search", asked)
    found: list[dict[str, Any]] = page["PageContent"]
    return found


def shows(site: Site, cad: FakeCad, count: int) -> None:
    wait_until(lambda: len(listed(site, cad)) == count, what=f"{count} foreign tasks")


def theirs(site: Site, cad: FakeCad, package_id: str = PACKAGE_ID) -> dict[str, Any]:
    """A service of somebody else's, as soon as it is shown."""
    cad.add_foreign_package(package_id, name="test-algo")
    wait_until(lambda: services_on(site, cad), what="the service of others")
    return services_on(site, cad)[0]


def start(site: Site) -> int:
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
        "AlgoTaskInfos": [task_info()],
    }  # fmt: skip
    plan: int = site.client.fine("POST", "/ACSMP/Tasks", body)
    return plan


def running(site: Site, plan: int) -> Any:
    return site.until(f"/ACSMP/Tasks/{plan}", lambda d: d["RunningCount"] == d["TotalCount"] > 0)


# --- shown ------------------------------------------------------------------------------------------


def test_a_package_and_its_service_are_shown_among_the_others(site: Site, cad: FakeCad) -> None:
    service = theirs(site, cad, THEIRS)
    assert (service["AlgoFilePackageID"], service["Status"], service["Foreign"]) == (THEIRS, "RUNNING", True)
    [package] = packages_on(site, cad)
    assert (package["AlgoPackageName"], package["AlgoFilePackageID"]) == ("test-algo", THEIRS)
    assert (package["AlgoPackageVersion"], package["Status"], package["Foreign"]) == ("1.0.0", 3, True)
    one = site.client.fine("GET", f"/ACSMP/AlgoFilePackages/Devices/{cad.code}/{THEIRS}")
    assert one == package
    for name in (THEIRS, service["AlgoServiceID"]):
        assert site.client.fine("GET", f"{DEVICES}/{cad.code}/{name}") == service
    looks(cad)
    assert cad.packages == {THEIRS: "RUNNING"}


def test_what_is_ours_bears_no_mark(site: Site, cad: FakeCad, tmp_path: Path) -> None:
    assert site.client.upload(make_package(tmp_path)).code == 0
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
    site.client.fine("POST", f"{DEVICES}?Wait=20", body)
    assert all("Foreign" not in one for one in [*packages_on(site, cad), *services_on(site, cad)])


def test_tasks_are_listed_with_what_tells_whose_they_are(site: Site, cad: FakeCad) -> None:
    task = cad.add_foreign_task("rtsp://10.0.0.9/gate", "FIRE", Labels={"AlgoCaBinName": "car"})
    shows(site, cad, 1)
    [shown] = listed(site, cad)
    assert shown.pop("FirstSeen")
    assert shown == {
        "TaskID": task.task_id, "Status": "RUNNING", "StreamUrl": "rtsp://10.0.0.9/gate", "EventIDs": ["FIRE"],
        "Labels": {"AlgoCaBinName": "car"}, "RestartPolicy": "ALWAYS",
    }  # fmt: skip
    cad.forget_tasks()
    shows(site, cad, 0)
    nobody = "/ACSMP/Computility/11010000005050000099/ForeignTasks/Search"
    refused(site.client.post(nobody, {}), 404, 40401, "no computility")


# --- used ------------------------------------------------------------------------------------------


def test_a_job_runs_on_a_service_somebody_else_loaded(site: Site, cad: FakeCad, tmp_path: Path) -> None:
    assert site.client.upload(make_package(tmp_path)).code == 0
    service = theirs(site, cad)
    plan = start(site)
    [listed] = running(site, plan)["AlgoTaskInfos"]
    instance = site.client.fine("GET", f"/ACSMP/TaskInstances/{listed['ID']}")
    assert (instance["ComputilityCode"], instance["AlgoServiceID"]) == (cad.code, service["AlgoServiceID"])
    assert site.client.fine("GET", f"/ACSMP/AlgoDef/{CAPABILITY}")["Status"] == "PUBLISHED"
    blocked = site.client.delete(f"/ACSMP/AlgoFilePackages/{PACKAGE_ID}")
    refused(blocked, 409, 40901, service["AlgoServiceID"])
    assert site.client.delete(f"/ACSMP/AlgoFilePackages/{PACKAGE_ID}?Force=true&Wait=20").code == 0
    wait_until(lambda: not cad.tasks, what="our task gone")
    looks(cad)
    assert cad.packages == {PACKAGE_ID: "RUNNING"}


def test_a_service_that_goes_takes_the_work_away_with_words(site: Site, cad: FakeCad, tmp_path: Path) -> None:
    assert site.client.upload(make_package(tmp_path)).code == 0
    theirs(site, cad)
    plan = start(site)
    running(site, plan)
    cad.fail_service(PACKAGE_ID)
    site.until(f"/ACSMP/Tasks/{plan}", lambda d: d["StartingCount"] == 1)
    wait_until(lambda: not services_on(site, cad), what="the service gone from the list")
    assert cad.packages == {PACKAGE_ID: "STOPPED"}
    page = site.client.fine("POST", "/ACSMP/TaskInstances/Search", {"TaskID": plan})
    assert page["PageContent"][0]["Reason"] == "no service of a fitting package is loaded"


# --- adopted ------------------------------------------------------------------------------------------


def test_asking_for_the_service_adopts_it(site: Site, cad: FakeCad, tmp_path: Path) -> None:
    assert site.client.upload(make_package(tmp_path)).code == 0
    service = theirs(site, cad)
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
    own = f"/ACSMP/AlgoServices/{service['AlgoServiceID']}"
    refused(site.client.put(own, {"Env": []}), 409, 40901, "somebody else", "adopt")
    with_env = {**body, "Env": [{"Name": "A", "Value": "1"}]}
    refused(site.client.post(DEVICES, with_env), 409, 40901, "somebody else")
    assert services_on(site, cad) == [service]
    assert site.client.fine("POST", f"{DEVICES}?Wait=20", body) == service["AlgoServiceID"]
    [mine] = services_on(site, cad)
    assert mine == {name: value for name, value in service.items() if name != "Foreign"}
    looks(cad)
    assert cad.packages == {PACKAGE_ID: "RUNNING"}
    cad.fail_service(PACKAGE_ID)
    wait_until(lambda: cad.packages == {PACKAGE_ID: "RUNNING"}, what="our restart of it")


def test_pushing_the_package_adopts_the_file(site: Site, cad: FakeCad, tmp_path: Path) -> None:
    assert site.client.upload(make_package(tmp_path)).code == 0
    cad.add_foreign_package(PACKAGE_ID, loaded=False)
    wait_until(lambda: packages_on(site, cad), what="the file of others")
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
    site.client.fine("POST", "/ACSMP/AlgoFilePackages/Devices?Wait=20", body)
    wait_until(lambda: cad.package(PACKAGE_ID).downloads == 1, what="our file")
    site.until(
        f"/ACSMP/AlgoFilePackages/Devices/{cad.code}/{PACKAGE_ID}",
        lambda one: one["Status"] == 3 and "Foreign" not in one,
    )


@pytest.mark.parametrize("policy", ["ALWAYS", "NEVER"])
def test_an_adopted_task_reports_here_and_goes_on_reporting_there(
    site: Site, cad: FakeCad, tmp_path: Path, policy: str
) -> None:
    assert site.client.upload(make_package(tmp_path)).code == 0
    service = theirs(site, cad)
    rules = [{"EventID": "INTRUSION", "ResultReceiveUrl": ["http://10.9.9.9/r"]}]
    labels = {"AlgoCaBinName": "test-algo", "Version": "1.0.0"}
    task = cad.add_foreign_task("rtsp://10.0.0.9/gate", RulesParams=rules, Labels=labels)
    task.restart_policy = policy
    shows(site, cad, 1)
    one = f"{tasks_of(cad)}/{task.task_id}"
    instance = site.client.fine("POST", f"{one}/Adopt?Wait=20", {})
    assert listed(site, cad) == []
    shown = site.until(f"/ACSMP/TaskInstances/{instance}", lambda found: found["Status"] == "RUNNING")
    assert (shown["ComputilityCode"], shown["AlgoServiceID"]) == (cad.code, service["AlgoServiceID"])
    assert (shown["RestartPolicy"], shown["Labels"]) == (policy, labels)
    assert shown["RulesParams"][0]["ResultReceiveUrl"] == ["http://10.9.9.9/r"]
    [kept] = cad.running_tasks()
    assert kept.task_id == task.task_id
    [receiver] = kept.receive_urls
    assert f"/ACSMP/Results/{instance}/" in receiver
    refused(site.client.post(f"{one}/Adopt", {}), 404, 40401, task.task_id)
    site.client.fine("DELETE", f"/ACSMP/TaskInstances/{instance}?Wait=20")
    assert not cad.tasks
    assert cad.packages == {PACKAGE_ID: "RUNNING"}


def test_a_task_may_join_a_plan_and_a_paused_one_stays_paused(site: Site, cad: FakeCad) -> None:
    body = {"Name": "p", "Type": "VIDEO_PLAYBACK", "Mode": "PERIODIC", "AlgoTaskInfos": [task_info()]}
    plan = site.client.fine("POST", "/ACSMP/Tasks", body)
    task = cad.add_foreign_task(status="PAUSED")
    shows(site, cad, 1)
    one = f"{tasks_of(cad)}/{task.task_id}"
    refused(site.client.post(f"{one}/Adopt", {"TaskID": plan + 99}), 404, 40401, f"no task plan {plan + 99}")
    instance = site.client.fine("POST", f"{one}/Adopt?Wait=20", {"TaskID": plan})
    shown = site.until(f"/ACSMP/TaskInstances/{instance}", lambda found: found["Status"] == "PAUSED")
    assert (shown["TaskID"], cad.tasks[task.task_id].status) == (plan, "PAUSED")
    wait_until(
        lambda: "/Results/" in "".join(cad.tasks[task.task_id].receive_urls), what="our receiver in it"
    )
    assert site.client.fine("GET", f"/ACSMP/Tasks/{plan}")["StoppedCount"] == 2


def test_what_cannot_be_adopted_says_why_and_stays(site: Site, cad: FakeCad) -> None:
    done = cad.add_foreign_task(status="FINISHED")
    broken = cad.add_foreign_task(RulesParams=[{"EventID": "no event"}])
    shows(site, cad, 2)
    refused(site.client.post(f"{tasks_of(cad)}/{done.task_id}/Adopt", {}), 409, 40901, "finished")
    odd = site.client.post(f"{tasks_of(cad)}/{broken.task_id}/Adopt", {})
    refused(odd, 400, 40001, "TaskInfo.RulesParams[0].EventID")
    bad = site.client.post(f"{tasks_of(cad)}/{broken.task_id}/Adopt", {"Type": "MOVIE"})
    refused(bad, 400, 40001, "$.Type")
    assert len(listed(site, cad)) == 2
    assert site.client.fine("POST", "/ACSMP/TaskInstances/Search", {})["PageContent"] == []


# --- deleted ------------------------------------------------------------------------------------------


def test_a_task_goes_when_it_is_named(site: Site, cad: FakeCad) -> None:
    task, other = cad.add_foreign_task(), cad.add_foreign_task()
    shows(site, cad, 2)
    cad.refuse(1234, "locked", times=1, operation="cad.delete_algo_task")
    one = f"{tasks_of(cad)}/{task.task_id}"
    site.client.fine("DELETE", f"{one}?Wait=20")
    assert task.task_id in cad.tasks
    page = site.client.fine("POST", "/ACSMP/Alarms/Search", {"Kind": "step_refused", "Active": True})
    assert "locked" in page["PageContent"][0]["Text"]
    site.client.fine("DELETE", f"{one}?Wait=20")
    assert list(cad.tasks) == [other.task_id]
    looks(cad)
    refused(site.client.delete(one), 404, 40401, task.task_id)
    assert [found["TaskID"] for found in listed(site, cad)] == [other.task_id]


def test_a_service_and_a_file_go_when_they_are_named(site: Site, cad: FakeCad) -> None:
    service = theirs(site, cad, THEIRS)
    file = f"/ACSMP/AlgoFilePackages/Devices/{cad.code}/{THEIRS}"
    refused(site.client.delete(file), 409, 40901, service["AlgoServiceID"])
    body = {"AlgoFilePackageID": THEIRS, "ComputilityCode": cad.code}
    site.client.fine("POST", f"{DEVICES}/UnInstall?Wait=20", body)
    assert cad.packages == {THEIRS: "STOPPED"}
    site.client.fine("DELETE", f"{file}?Wait=20")
    assert cad.packages == {}
    looks(cad)
    assert (packages_on(site, cad), services_on(site, cad)) == ([], [])


@pytest.mark.parametrize(("method", "tail"), [("DELETE", ""), ("POST", "/Adopt")])
def test_who_only_reads_changes_nothing(site: Site, cad: FakeCad, method: str, tail: str) -> None:
    task = cad.add_foreign_task()
    shows(site, cad, 1)
    viewer = site.as_role("viewer")
    assert viewer.fine("POST", f"{tasks_of(cad)}/Search", {})["Total"] == 1
    body = {} if tail else None
    refused(viewer.ask(method, f"{tasks_of(cad)}/{task.task_id}{tail}", body), 403, 40301)
    looks(cad)
    assert list(cad.tasks) == [task.task_id]


def test_all_of_it_is_as_it_was_after_a_restart(site: Site, cad: FakeCad, tmp_path: Path) -> None:
    assert site.client.upload(make_package(tmp_path)).code == 0
    service = theirs(site, cad)
    cad.add_foreign_task()
    plan = start(site)
    running(site, plan)
    shows(site, cad, 1)
    site.restart()
    looks(cad)
    assert services_on(site, cad) == [service]
    assert len(listed(site, cad)) == 1
    running(site, plan)
    assert len(cad.calls("POST", "/CAD/AlgoTasks")) == 1


# --- what a reviewer found ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["Sometimes", "always", 7])
def test_a_restart_policy_nobody_prints_does_no_harm(site: Site, cad: FakeCad, said: Any) -> None:
    task = cad.add_foreign_task()
    task.restart_policy = said
    shows(site, cad, 1)
    instance = site.client.fine("POST", f"{tasks_of(cad)}/{task.task_id}/Adopt?Wait=20", {})
    shown = site.client.fine("GET", f"/ACSMP/TaskInstances/{instance}")
    assert shown["RestartPolicy"] == ("ALWAYS" if said == "always" else "NEVER")
    assert site.client.fine("POST", "/ACSMP/TaskInstances/Search", {})["TotalSize"] == 1


def test_a_version_somebody_else_runs_there_is_refused_at_once(
    site: Site, cad: FakeCad, tmp_path: Path
) -> None:
    assert site.client.upload(make_package(tmp_path)).code == 0
    newer = make_package(tmp_path, package_id=THEIRS, version="2.0.0", codes=("ACSMPD-TEST-2.0.0",))
    assert site.client.upload(newer).code == 0
    other = theirs(site, cad, THEIRS)["AlgoServiceID"]
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
    service = site.client.fine("POST", f"{DEVICES}?Wait=20", body)
    answer = site.client.put(f"/ACSMP/AlgoServices/{service}", {"Version": "2.0.0"})
    refused(answer, 409, 40901, other, "somebody else")
    looks(cad)
    assert cad.packages == {THEIRS: "RUNNING", PACKAGE_ID: "RUNNING"}


def test_our_service_is_not_taken_from_under_the_tasks_of_others(
    site: Site, cad: FakeCad, tmp_path: Path
) -> None:
    assert site.client.upload(make_package(tmp_path)).code == 0
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
    service = site.client.fine("POST", f"{DEVICES}?Wait=20", body)
    task = cad.add_foreign_task(Labels={"AlgoCaBinName": "test-algo", "Version": "1.0.0"})
    shows(site, cad, 1)
    own = f"/ACSMP/AlgoServices/{service}"
    refused(site.client.post(f"{DEVICES}/UnInstall", body), 409, 40901, task.task_id, "somebody else")
    refused(site.client.put(own, {"Env": [{"Name": "A", "Value": "1"}]}), 409, 40901, task.task_id)
    looks(cad)
    assert cad.packages == {PACKAGE_ID: "RUNNING"}
    assert site.client.post(f"{DEVICES}/UnInstall?Force=true&Wait=20", body).code == 0
    wait_until(lambda: cad.packages == {PACKAGE_ID: "STOPPED"}, what="our unload")


def test_the_last_byte_alone_is_no_download(site: Site, cad: FakeCad, tmp_path: Path) -> None:
    assert site.client.upload(make_package(tmp_path)).code == 0
    cad.hold_downloads()
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
    site.client.fine("POST", "/ACSMP/AlgoFilePackages/Devices", body)
    wait_until(lambda: PACKAGE_ID in cad.packages, what="the push")
    asked = cad.package(PACKAGE_ID).asked
    assert asked is not None
    with requests.Session() as session:
        session.trust_env = False
        for part in ("bytes=-1", "bytes=10-"):
            assert session.get(asked.url, headers={"Range": part}, timeout=20).status_code == 206
        detail = f"/ACSMP/AlgoFilePackages/Devices/{cad.code}/{PACKAGE_ID}"
        assert site.until(detail, lambda one: 0.9 < one["DownloadProgress"] < 1)["Status"] == 1
        assert session.get(asked.url, headers={"Range": "bytes=0-9"}, timeout=20).status_code == 206
    site.until(detail, lambda one: one["Status"] == 3)
