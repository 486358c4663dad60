"""A central computing platform below: entered by an operator, the whole way over real HTTP, and what may go wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.journeys.ccp_setup import (
    ARTIFACT,
    CREATES,
    DEVICES,
    IMAGE,
    all_run,
    asked_of,
    image_package,
    load,
    looks,
    never_asked_by_name,
    only,
    refused,
    services_on,
    start,
    unload,
)
from tests.support.fake_ccp import CLUSTER, NODES, FakeCcp
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site
from tests.support.wait import wait_until

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


def test_authorisation_is_given_along(plain: Site, ccp: FakeCcp, tmp_path: Path) -> None:
    """A server with the push and in Env; a licence file with the push: the workload's table has no word for it."""
    env = [{"name": "AUTH_SERVER_ADDR", "value": ""}]
    abilities = [{
        "code": "B-1", "name": "b", "data_type": "ALERT", "event_ids": ["FIRE"], "task_types": ["VIDEO_REALTIME"],
    }]  # fmt: skip
    needs = image_package(
        tmp_path, id=ARTIFACT, name="b", abilities=abilities, algo_runtime={"cmd": "./run.sh", "env": env}
    )
    assert plain.client.upload(needs).code == 0
    body = {"AlgoFilePackageID": ARTIFACT, "ComputilityCode": ccp.code}
    refused(plain.client.post(DEVICES, body), 409, 40901, "needs authorisation")
    server = {"Server": "10.1.0.9:8808", "Provider": "ACSMPD", "Default": True}
    plain.client.fine("POST", "/ACSMP/AuthServer", server)
    load(plain, ccp, AlgoFilePackageID=ARTIFACT)
    asked = only(ccp).asked
    assert asked is not None
    assert ccp.engines[ARTIFACT].auth_address == "10.1.0.9:8808"
    assert [(one.name, one.value) for one in asked.env or ()] == [("AUTH_SERVER_ADDR", "10.1.0.9:8808")]
    assert (asked.xpu, asked.xpu_type) == (0.0, "")
