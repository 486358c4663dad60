"""A central computing platform below: entered by an operator, the whole way over real HTTP, and what may go wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from acsmpd import offline
from acsmpd.clock import Clock
from tests.support.fake_ccp import CLUSTER, NODES, FakeCcp, FakeWorkload
from tests.support.packaging import PACKAGE_ID, make_package, task_info, write_tar
from tests.support.site import Answer, Site, running
from tests.support.wait import wait_until

DEVICES = "/ACSMP/AlgoServices/Devices"
IMAGE = "registry:5000/test-algo:1.0.0"
ARTIFACT = "1101000000502000000120261121120000000002"
CREATES = ("push_engine", "create_workload")


def enter(site: Site, ccp: FakeCcp, **more: Any) -> None:
    """As `acsmpd device add` does, with the daemon running."""
    given = {"cluster": CLUSTER, "nodes": NODES, **more}
    offline.add_device(
        site.settings, Clock(), ccp.code, username="", password="", url=ccp.url, kind="", family="ccp", prefix="",
        pin=None, **given,
    )  # fmt: skip
    site.until(f"/ACSMP/Computility/{ccp.code}", lambda found: found["State"] == "online")


def image_package(folder: Path, **changes: Any) -> Path:
    """A package whose program is an image in a registry."""
    description = {
        "id": PACKAGE_ID, "name": "test-algo", "version": "1.0.0", "provider": "ACSMPD",
        "bin": {"type": "image", "remote_uri": IMAGE},
        "abilities": [{
            "code": "A-1", "name": "a", "data_type": "ALERT", "event_ids": ["INTRUSION"],
            "task_types": ["VIDEO_REALTIME"],
        }],
        "algo_runtime": {
            "cmd": ["./run.sh"], "env": [{"name": "MODE", "value": "fast"}],
            "xpu": [{"quota": 0.25, "accelerator": "NVIDIA-T4", "capacities": {"stream_video_quota": 2}}],
        },
        **changes,
    }  # fmt: skip
    path = folder / f"{description['id']}_V{description['version']}.tar"
    write_tar(path, {"algo.yaml": yaml.safe_dump(description)})
    return path


@pytest.fixture
def ccp() -> Iterator[FakeCcp]:
    with FakeCcp(engines_listen=True) as one:
        yield one


@pytest.fixture
def ours(tmp_path: Path, ccp: FakeCcp) -> Iterator[Site]:
    """A site that controls tasks on pods; the platform is entered, the package imported."""
    with running(tmp_path / "site", ccp_engine_interface="ours") as site:
        enter(site, ccp)
        assert site.client.upload(image_package(tmp_path)).code == 0
        yield site


@pytest.fixture
def plain(site: Site, ccp: FakeCcp, tmp_path: Path) -> Site:
    """The same without task control."""
    enter(site, ccp)
    assert site.client.upload(image_package(tmp_path)).code == 0
    return site


def load(site: Site, ccp: FakeCcp, wait: int = 25, **more: Any) -> str:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": ccp.code, **more}
    return str(site.client.fine("POST", f"{DEVICES}?Wait={wait}", body))


def unload(site: Site, ccp: FakeCcp, wait: int = 25) -> None:
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": ccp.code}
    site.client.fine("POST", f"{DEVICES}/UnInstall?Wait={wait}", body)


def services_on(site: Site, ccp: FakeCcp) -> list[dict[str, Any]]:
    return list(site.client.fine("POST", f"{DEVICES}/Search", {"ComputilityCode": ccp.code})["Records"])


def start(site: Site, *infos: dict[str, Any]) -> int:
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
        "AlgoTaskInfos": list(infos) or [task_info()],
    }  # fmt: skip
    return int(site.client.fine("POST", "/ACSMP/Tasks", body))


def all_run(site: Site, plan: int) -> Any:
    return site.until(f"/ACSMP/Tasks/{plan}", lambda found: found["RunningCount"] == found["TotalCount"] > 0)


def looks(ccp: FakeCcp, more: int = 3) -> None:
    """Wait for further complete observations."""
    seen = len(ccp.asked("get_cluster_monitor")) + more
    wait_until(lambda: len(ccp.asked("get_cluster_monitor")) >= seen, what="observations")


def only(ccp: FakeCcp) -> FakeWorkload:
    [workload] = [one for one in ccp.workloads.values() if one.asked is not None]
    return workload


def refused(answer: Answer, status: int, code: int, *words: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer
    assert all(word in answer.message for word in words), answer


def asked_of(ccp: FakeCcp, *rows: str) -> list[int]:
    return [len(ccp.asked(row)) for row in rows]


def never_asked_by_name(ccp: FakeCcp) -> None:
    """POST on a name goes out only to delete, and once for each workload."""
    posted = [call.path for call in ccp.calls("POST", r"/CCP/AlgoService/Workloads/[^/]+")]
    assert len(posted) == len(set(posted)), posted


# --- the one thin line -----------------------------------------------------------------------------------------------


def test_a_job_from_import_to_result_over_a_restart_and_back(ours: Site, ccp: FakeCcp) -> None:
    client = ours.client
    shown = ours.until(f"/ACSMP/Computility/{ccp.code}", lambda found: "Info" in found)
    assert [shown[name] for name in ("Type", "Family", "Cluster", "Nodes", "Namespace")] == [
        "CCP", "ccp", CLUSTER, list(NODES), "default",
    ]  # fmt: skip
    infos = shown["Info"]["DeviceInfos"]
    assert [(one["HostName"], one["IP"], one["Cpu"], len(one["XpuMonitors"])) for one in infos] == [
        ("13", "10.9.0.13", 64, 2), ("14", "10.9.0.14", 64, 2),
    ]  # fmt: skip
    assert infos[0]["XpuMonitors"][0]["XpuType"] == "NVIDIA-T4"

    # load: the engine is pulled for us, the workload asks for what the package wants, in the platform's own words
    service = load(ours, ccp, Replicas=2, Env=[{"Name": "LOG_LEVEL", "Value": "debug"}])
    assert ccp.engines[PACKAGE_ID].url == IMAGE
    asked = only(ccp).asked
    assert asked is not None
    assert (asked.image, asked.replicas, asked.xpu_type, asked.xpu) == (IMAGE, 2, "NVIDIA_T4", 0.3)
    assert (asked.command, asked.cluster_code, asked.cpu, asked.memory) == ("./run.sh", CLUSTER, 1, 2)
    env = [(one.name, one.value) for one in asked.env or ()]
    assert env == [("MODE", "fast"), ("LOG_LEVEL", "debug")]
    copies = client.fine("POST", "/ACSMP/AlgoFilePackages/Devices/Search", {"ComputilityCode": ccp.code})
    assert [(one["AlgoFilePackageID"], one["Status"]) for one in copies] == [(PACKAGE_ID, 3)]

    # tasks: on the pods, two streams each
    plan = start(ours, *(task_info(url=f"rtsp://10.0.0.9/{number}") for number in range(4)))
    instances = [one["ID"] for one in all_run(ours, plan)["AlgoTaskInfos"]]
    assert sorted(len(pod.engine.tasks) for pod in ccp.pods if pod.engine) == [2, 2]
    assert {task.sent_id for task in ccp.tasks()} == set(instances)
    [task, *_] = ccp.tasks()
    [pod] = [one for one in ccp.pods if one.engine and task.task_id in one.engine.tasks]
    assert pod.engine is not None
    [said] = pod.engine.send_result(task.task_id)
    assert said.accepted, said
    assert client.fine("POST", "/ACSMP/Results/Search", {"InstanceID": task.sent_id})["Total"] == 1

    # scale: in place, no further workload, and no task is made anew
    client.fine("PUT", f"/ACSMP/AlgoServices/{service}?Wait=25", {"Replicas": 3})
    assert (only(ccp).replicas, asked_of(ccp, *CREATES, "scale_workload")) == (3, [1, 1, 1])
    assert services_on(ours, ccp)[0]["Replicas"] == 3

    # restart: everything is still true, and nothing was done twice
    before = {task.task_id for task in ccp.tasks()}
    ours.restart()
    all_run(ours, plan)
    looks(ccp)
    assert {task.task_id for task in ccp.tasks()} == before
    assert asked_of(ccp, *CREATES, "scale_workload") == [1, 1, 1]

    # and back
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": ccp.code}
    refused(client.post(f"{DEVICES}/UnInstall", body), 409, 40901, instances[0])
    client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    assert ccp.tasks() == []
    unload(ours, ccp)
    assert ccp.workloads == {}
    client.fine("DELETE", f"/ACSMP/AlgoFilePackages/Devices/{ccp.code}/{PACKAGE_ID}?Wait=20")
    assert ccp.engines == {}
    looks(ccp)
    assert services_on(ours, ccp) == []
    never_asked_by_name(ccp)


def test_what_a_pod_carried_goes_on_elsewhere_when_it_fails(ours: Site, ccp: FakeCcp) -> None:
    """The platform heals its pods; the streams are not left waiting for that."""
    load(ours, ccp, Replicas=2)
    plan = start(ours, task_info(url="rtsp://10.0.0.9/1"), task_info(url="rtsp://10.0.0.9/2"))
    all_run(ours, plan)
    first, second = only(ccp).pods
    assert first.engine is not None
    first.engine.forget_tasks()
    ccp.fail_pod(first)
    wait_until(lambda: second.engine and len(second.engine.tasks) == 2, what="both on the other pod")
    all_run(ours, plan)
    [shown] = services_on(ours, ccp)
    assert (shown["Status"], "1 of 2 replicas are ready" in shown["LastError"]) == ("RUNNING", True)
    ccp.fail_pod(second)
    wait_until(lambda: services_on(ours, ccp)[0]["Status"] == "ERROR", what="it is told")
    looks(ccp)
    assert asked_of(ccp, "create_workload", "delete_workload") == [1, 0]
    ccp.heal_pod(first)
    all_run(ours, plan)
    assert services_on(ours, ccp)[0]["Status"] == "RUNNING"


# --- what there is none of -------------------------------------------------------------------------------------------


def test_without_an_engine_interface_no_task_comes_there(plain: Site, ccp: FakeCcp) -> None:
    service = load(plain, ccp)
    words = (ccp.code, "controls no tasks")
    for pin in ({"ComputilityCode": ccp.code}, {"AlgoServiceID": service}):
        body = {
            "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
            "AlgoTaskInfos": [task_info(**pin)],
        }  # fmt: skip
        refused(
            plain.client.post("/ACSMP/Tasks", body),
            501,
            50101,
            f"$.AlgoTaskInfos[0].{next(iter(pin))}",
            *words,
        )
    plan = start(plain)
    [made] = plain.client.fine("GET", f"/ACSMP/Tasks/{plan}")["AlgoTaskInfos"]
    path = f"/ACSMP/TaskInstances/{made['ID']}"
    found = plain.until(path, lambda one: "controls no tasks" in one.get("Reason", ""))
    assert (found["Status"], ccp.code in found["Reason"]) == ("PENDING", True)
    refused(plain.client.put(path, {"ComputilityCode": ccp.code}), 501, 50101, "$.ComputilityCode", *words)
    assert ccp.tasks() == []


def test_a_package_without_an_image_address_is_refused_at_the_call(
    plain: Site, ccp: FakeCcp, tmp_path: Path
) -> None:
    assert (
        plain.client.upload(make_package(tmp_path, package_id=ARTIFACT, name="b", codes=("B-1",))).code == 0
    )
    body = {"AlgoFilePackageID": ARTIFACT, "ComputilityCode": ccp.code}
    for path in (DEVICES, "/ACSMP/AlgoFilePackages/Devices"):
        refused(plain.client.post(path, body), 501, 50101, ARTIFACT, "bin.remote_uri")
    refused(
        plain.client.post(DEVICES, {**body, "AlgoFilePackageID": PACKAGE_ID, "HostName": "13"}),
        400,
        40001,
        "nodes",
    )
    looks(ccp)
    assert ccp.engines == {}


def typed(site: Site, *words: str) -> subprocess.CompletedProcess[str]:
    """What a shell on the box answers to `acsmpd WORDS`, with the daemon running."""
    environ = {**os.environ, "ACSMPD_DATA_DIR": str(site.data), "ACSMPD_SITE_CODE": site.settings.site_code}
    command = [sys.executable, "-m", "acsmpd", *words]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


def test_what_an_operator_enters(site: Site, ccp: FakeCcp) -> None:
    """Nobody tells which clusters and nodes there are: they can be changed, and are told where they are missing."""
    path, add = f"/ACSMP/Computility/{ccp.code}", ("device", "add", ccp.code, "--family", "ccp")
    for words, said in (
        ((), "--url is wanted"), (("--url", ccp.url, "--cluster", "a/b"), "--cluster"),
        (("--url", ccp.url, "--namespace", "a@b"), "--namespace"),
    ):  # fmt: skip
        ended = typed(site, *add, *words)
        assert (ended.returncode != 0, said in ended.stderr) == (True, True), ended
    ended = typed(site, *add, "--url", ccp.url)
    assert (ended.returncode, ended.stdout) == (0, f"computility {ccp.code} is preset\n"), ended
    who = {"Code": ccp.code, "Type": "CCP", "IP": "127.0.0.1", "Port": 9, "Username": "", "Password": ""}
    for password in ("", "guess"):  # nobody else is it: it has no password, and none is taken for it
        answer = site.client.post("/ACSMP/Register", {**who, "Password": password, "Username": "u"})
        assert answer.code in (40001, 40102), answer
    site.until(path, lambda found: "its Cluster is not entered" in found.get("Reason", ""))
    site.client.fine("PUT", path, {"Cluster": CLUSTER, "Namespace": "video"})
    shown = site.until(path, lambda found: found["State"] == "online" and "Info" in found)
    assert ([one["HostName"] for one in shown["Info"]["DeviceInfos"]], shown["Namespace"]) == (
        [CLUSTER],
        "video",
    )
    site.client.fine("PUT", path, {"Nodes": ["13", "99"]})
    shown = site.until(path, lambda found: "no node 99" in found.get("Reason", ""))
    site.until(path, lambda found: [one["HostName"] for one in found["Info"]["DeviceInfos"]] == ["13"])
    for bad in (
        {"Cluster": "a/b"},
        {"Nodes": ["x" * 257]},
        {"Nodes": "13"},
        {"Namespace": "a@b"},
        {"Nodes": [{}]},
    ):
        refused(site.client.put(path, bad), 400, 40001, f"$.{next(iter(bad))}")
    refused(
        site.client.put(f"/ACSMP/Computility/{site.settings.site_code}", {"Cluster": "c"}),
        400,
        40001,
        "Cluster",
    )


# --- answers that are lost -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["as it is sent", "with a suffix"])
def test_a_deployment_whose_answer_is_lost_is_looked_for(plain: Site, ccp: FakeCcp, way: str) -> None:
    ccp.name_itself(way == "with a suffix")
    ccp.drop_answer(operation="create_workload")
    ccp.add_foreign()
    service = load(plain, ccp)
    looks(ccp)
    shown = {one["AlgoServiceID"]: one for one in services_on(plain, ccp)}
    assert shown[service]["Status"] == "RUNNING"
    assert [one["Foreign"] for key, one in shown.items() if key != service] == [True]
    assert asked_of(ccp, *CREATES) == [1, 1]
    unload(plain, ccp)
    assert list(ccp.workloads) == ["theirs"]
    never_asked_by_name(ccp)


def test_a_deployment_that_never_came_is_sent_again(plain: Site, ccp: FakeCcp) -> None:
    ccp.cut_before(operation="create_workload")
    load(plain, ccp)
    assert asked_of(ccp, "create_workload") == [2]
    assert len(ccp.workloads) == 1


@pytest.mark.parametrize("way", ["lost", "lost, over a restart", "not come", "question"])
def test_a_deletion_is_posted_once_and_looked_for(plain: Site, ccp: FakeCcp, way: str) -> None:
    load(plain, ccp)
    theirs = ccp.add_foreign()
    looks(ccp)
    if way == "question":
        ccp.take_post_for_question()
    elif way == "not come":
        ccp.cut_before(operation="delete_workload")
    else:
        ccp.drop_answer(operation="delete_workload")
    unload(plain, ccp, wait=0)
    if way == "lost, over a restart":
        wait_until(lambda: ccp.asked("delete_workload"), what="it is posted")
        plain.restart()
    wait_until(lambda: list(ccp.workloads) == [theirs.name], what="ours gone, theirs not")
    wait_until(lambda: len(services_on(plain, ccp)) == 1, what="and forgotten")
    looks(ccp)
    assert asked_of(ccp, "delete_workload", "delete_for_certain") == [1, int(way in ("question", "not come"))]
    never_asked_by_name(ccp)


def test_a_push_nobody_knows_the_end_of_is_sent_again(plain: Site, ccp: FakeCcp) -> None:
    """It is named by its package and does no harm twice; no listing would tell."""
    ccp.drop_answer(operation="push_engine")
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": ccp.code}
    plain.client.fine("POST", "/ACSMP/AlgoFilePackages/Devices?Wait=20", body)
    assert asked_of(ccp, "push_engine") == [2]


def test_what_others_put_there_is_shown_and_left_alone(plain: Site, ccp: FakeCcp) -> None:
    theirs = ccp.add_foreign(replicas=2)
    wait_until(lambda: len(services_on(plain, ccp)) == 1, what="it is shown")
    [shown] = services_on(plain, ccp)
    assert (shown["Foreign"], shown["AlgoFilePackageID"]) == (True, "registry-5000-theirs-1")
    refused(
        plain.client.put(f"/ACSMP/AlgoServices/{shown['AlgoServiceID']}", {"Replicas": 5}),
        409,
        40901,
        "somebody else",
    )
    load(plain, ccp)
    unload(plain, ccp)
    looks(ccp)
    assert (list(ccp.workloads), theirs.replicas) == ([theirs.name], 2)
    assert ccp.calls("", ".*/theirs.*") == []


def test_a_number_that_is_refused_stays_told_until_another_is_wished(plain: Site, ccp: FakeCcp) -> None:
    service = load(plain, ccp)
    ccp.refuse(40900, "no room", operation="scale_workload")
    plain.client.fine("PUT", f"/ACSMP/AlgoServices/{service}?Wait=20", {"Replicas": 9})
    looks(ccp)
    [shown] = services_on(plain, ccp)
    assert (shown["Status"], "no room" in shown["LastError"]) == ("RUNNING", True)
    assert asked_of(ccp, "scale_workload") == [1]
    ccp.behave()
    plain.client.fine("PUT", f"/ACSMP/AlgoServices/{service}?Wait=20", {"Replicas": 2})
    assert only(ccp).replicas == 2
    only(ccp).replicas = 7  # by somebody else: what is wished for is ours to say
    wait_until(lambda: only(ccp).replicas == 2, what="it is set back")
    looks(ccp)
    assert services_on(plain, ccp)[0].get("LastError") is None
