"""SchedulePolicies over HTTP: kept, changed, deleted, refused; and what they do to a running site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.store import tables
from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.state import refused
from tests.support.wait import wait_until

POLICIES = "/ACSMP/SchedulePolicies"
DEFAULTS = {
    "Strategy": "spread", "Failover": "gap", "DelaySeconds": 0, "Priority": 0, "PreemptionPolicy": "Never",
    "PriorityClasses": [],
}  # fmt: skip
URGENT = {"Name": "urgent", "Value": 10}
TWO = {"MinReplicas": 1, "MaxReplicas": 2}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site with one package."""
    folder = tmp_path_factory.mktemp("site")
    with running(folder / "data") as one:
        assert one.client.upload(make_package(folder)).code == 0
        yield one


@pytest.fixture
def site(shared: Site) -> Site:
    """Without any policy."""
    assert shared.app is not None
    with shared.app.store.write() as tx:
        tx.run(tables.SchedulePolicy.delete())
    return shared


def kept(site: Site) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.client.fine("GET", POLICIES)
    return found


def made(site: Site, **body: Any) -> dict[str, Any]:
    found: dict[str, Any] = site.client.fine("POST", POLICIES, {"Strategy": "spread", **body})
    return found


# --- kept ----------------------------------------------------------------------------------------------------


def test_a_policy_has_its_defaults_and_is_listed(site: Site) -> None:
    assert kept(site) == []
    own = made(site, AlgoDefCode=CAPABILITY, Name="gate")
    everything = made(site)
    assert {k: everything[k] for k in DEFAULTS} == DEFAULTS
    assert "AlgoDefCode" not in everything
    assert (own["AlgoDefCode"], own["Name"]) == (CAPABILITY, "gate")
    assert kept(site) == [everything, own]


def test_an_absent_member_is_unchanged(site: Site) -> None:
    body = {
        "Strategy": "nearest", "Failover": "double", "DelaySeconds": 86400, "Priority": -3,
        "PreemptionPolicy": "PreemptLowerPriority", "PriorityClasses": [URGENT],
    }  # fmt: skip
    one = made(site, **body)
    full = {**body, "PriorityClasses": [{**URGENT, "PreemptionPolicy": "PreemptLowerPriority"}]}
    assert {k: one[k] for k in full} == full
    changed = site.client.fine("PUT", f"{POLICIES}/{one['ID']}", {"Strategy": "pack"})
    assert {k: changed[k] for k in full} == {**full, "Strategy": "pack"}
    assert site.client.fine("PUT", f"{POLICIES}/{one['ID']}", changed) == kept(site)[0]


def test_scaling_is_shown_in_full_given_as_a_whole_and_taken_away(site: Site) -> None:
    one = made(site, Scaling=TWO)
    defaults = {"Enabled": True, "TargetUse": 80, "CooldownSeconds": 300, "PerRegion": False}
    assert one["Scaling"] == {**TWO, **defaults}
    here = f"{POLICIES}/{one['ID']}"
    assert site.client.fine("PUT", here, {"Strategy": "pack"})["Scaling"] == {**TWO, **defaults}
    changed = site.client.fine("PUT", here, {"Scaling": {**TWO, "TargetUse": 50, "PerRegion": True}})
    assert changed["Scaling"] == {**TWO, **defaults, "TargetUse": 50, "PerRegion": True}
    assert "Scaling" not in site.client.fine("PUT", here, {"Scaling": {**TWO, "Enabled": False}})
    assert "Scaling" not in kept(site)[0]


def test_a_deleted_one_is_gone_and_its_place_is_free(site: Site) -> None:
    one = made(site)
    site.client.fine("DELETE", f"{POLICIES}/{one['ID']}")
    assert kept(site) == []
    refused(site.client.delete(f"{POLICIES}/{one['ID']}"), 404, 40401, one["ID"])
    made(site)


# --- refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"Strategy": "random"}, 40001, ("$.Strategy", "spread", "nearest")),
        ({"Failover": "none"}, 40001, ("$.Failover", "gap", "double")),
        ({"DelaySeconds": -1}, 40001, ("$.DelaySeconds", "less than 0")),
        ({"DelaySeconds": 86401}, 40001, ("$.DelaySeconds", "greater than 86400")),
        ({"DelaySeconds": "5"}, 40001, ("$.DelaySeconds", "not a string")),
        ({"Priority": 1_000_001}, 40001, ("$.Priority",)),
        ({"PreemptionPolicy": "Always"}, 40001, ("$.PreemptionPolicy",)),
        ({"PriorityClasses": [{"Name": "a"}]}, 40002, ("$.PriorityClasses[0].Value",)),
        ({"PriorityClasses": [{"Name": "a b", "Value": 1}]}, 40001, ("$.PriorityClasses[0].Name",)),
        ({"PriorityClasses": [{"Name": "", "Value": 1}]}, 40001, ("$.PriorityClasses[0].Name",)),
        ({"PriorityClasses": [URGENT, URGENT]}, 40001, ("$.PriorityClasses[1].Name", "urgent stands twice")),
        ({"PriorityClasses": [{**URGENT, "Name": f"n{n}"} for n in range(33)]}, 40001, ("$.PriorityClasses", "32")),
        ({"PriorityClasses": "urgent"}, 40001, ("$.PriorityClasses",)),
        ({"AlgoDefCode": "NOBODY"}, 40401, ("$.AlgoDefCode", "no capability NOBODY")),
        ({"AlgoDefCode": ""}, 40001, ("$.AlgoDefCode",)),
        ({"Name": "n" * 257}, 40001, ("$.Name", "longer than 256")),
        ({"Scaling": {"MinReplicas": 1}}, 40002, ("$.Scaling.MaxReplicas: required",)),
        ({"Scaling": {**TWO, "MinReplicas": 0}}, 40001, ("$.Scaling.MinReplicas", "less than 1")),
        ({"Scaling": {**TWO, "MinReplicas": 3}}, 40001, ("$.Scaling.MaxReplicas: 2 is less than MinReplicas, 3",)),
        ({"Scaling": {**TWO, "MaxReplicas": 10001}}, 40001, ("$.Scaling.MaxReplicas",)),
        ({"Scaling": {**TWO, "TargetUse": 0}}, 40001, ("$.Scaling.TargetUse", "less than 1")),
        ({"Scaling": {**TWO, "TargetUse": 101}}, 40001, ("$.Scaling.TargetUse", "greater than 100")),
        ({"Scaling": {**TWO, "CooldownSeconds": -1}}, 40001, ("$.Scaling.CooldownSeconds",)),
        ({"Scaling": {**TWO, "PerRegion": "yes"}}, 40001, ("$.Scaling.PerRegion", "not a string")),
        ({"Scaling": []}, 40001, ("$.Scaling",)),
        ([], 40001, ()),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused_and_nothing_changes(
    site: Site, body: Any, code: int, words: Any
) -> None:
    one = made(site)
    before = kept(site)
    sent = {"Strategy": "spread", **body} if isinstance(body, dict) else body
    refused(site.client.post(POLICIES, sent), code // 100, code, *words)
    if code != 40401:
        refused(site.client.put(f"{POLICIES}/{one['ID']}", body), code // 100, code, *words)
    assert kept(site) == before


def test_there_is_one_policy_for_one_scope(site: Site) -> None:
    everything, own = made(site), made(site, AlgoDefCode=CAPABILITY)
    before = kept(site)
    again = {"Strategy": "pack"}
    refused(site.client.post(POLICIES, again), 409, 40902, everything["ID"], "all capabilities")
    twice = {**again, "AlgoDefCode": CAPABILITY}
    refused(site.client.post(POLICIES, twice), 409, 40902, own["ID"], CAPABILITY)
    refused(site.client.post(POLICIES, {}), 400, 40002, "$.Strategy: required")
    put = site.client.put(f"{POLICIES}/{everything['ID']}", {"AlgoDefCode": CAPABILITY})
    refused(put, 400, 40001, "$.AlgoDefCode", "cannot be changed")
    assert kept(site) == before


def test_an_unknown_policy_is_named(site: Site) -> None:
    refused(site.client.put(f"{POLICIES}/nobody", {}), 404, 40401, "no schedule policy nobody")


def test_a_class_that_no_policy_has_is_refused(site: Site) -> None:
    body = {"Name": "x", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC"}
    wrong = {**body, "AlgoTaskInfos": [task_info(), task_info(PriorityClass="urgent")]}
    said = "no schedule policy has a class urgent; there are: none"
    refused(site.client.post("/ACSMP/Tasks", wrong), 400, 40001, "$.AlgoTaskInfos[1].PriorityClass", said)
    made(site, PriorityClasses=[URGENT, {"Name": "calm", "Value": 1}])
    plan = site.client.fine("POST", "/ACSMP/Tasks", wrong)
    page = site.client.fine("POST", "/ACSMP/TaskInstances/Search", {"TaskID": plan})["PageContent"]
    assert [one.get("PriorityClass") for one in page] == [None, "urgent"]
    here = f"/ACSMP/TaskInstances/{page[0]['ID']}"
    put = site.client.put(here, {"ID": page[0]["ID"], "PriorityClass": "loud"})
    refused(put, 400, 40001, "$.PriorityClass", "there are: calm, urgent")
    site.client.fine("PUT", here, {"PriorityClass": "calm"})
    assert site.client.fine("GET", here)["PriorityClass"] == "calm"
    site.client.fine("PUT", here, {"PriorityClass": ""})
    assert "PriorityClass" not in site.client.fine("GET", here)
    site.client.fine("DELETE", f"/ACSMP/Tasks/{plan}")


# --- at work -----------------------------------------------------------------------------------------------------


def start(site: Site, *infos: dict[str, Any]) -> list[str]:
    body = {
        "Name": "job", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True, "AlgoTaskInfos": list(infos),
    }  # fmt: skip
    plan = site.client.fine("POST", "/ACSMP/Tasks", body)
    page = site.client.fine("POST", "/ACSMP/TaskInstances/Search", {"TaskID": plan})
    return [one["ID"] for one in page["PageContent"]]


def test_an_urgent_camera_takes_a_place_and_all_say_why(tmp_path: Path) -> None:
    package = make_package(tmp_path, xpu=[{"quota": 0.5, "capacities": {"stream_video_quota": 2}}])
    with running(tmp_path / "data") as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(package).code == 0
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", body)
        made(site, PriorityClasses=[URGENT])
        first, second = start(site, task_info(), task_info(url="rtsp://10.0.0.9/b"))
        is_running = lambda data: data["Status"] == "RUNNING"  # noqa: E731
        told = [site.until(f"/ACSMP/TaskInstances/{one}", is_running)["Reason"] for one in (first, second)]
        where = f"placed on {cad.code}: "
        assert told == [f"{where}{n} of 2 streams taken, the only fitting service" for n in (0, 1)]
        [urgent] = start(site, task_info(url="rtsp://10.0.0.9/c", PriorityClass="urgent"))
        site.until(f"/ACSMP/TaskInstances/{urgent}", is_running)
        lost = site.until(f"/ACSMP/TaskInstances/{second}", lambda data: data["Status"] == "PENDING")
        assert f"its place was taken by instance {urgent} (priority 10 over 0)" in lost["Reason"]
        assert site.client.fine("GET", f"/ACSMP/TaskInstances/{first}")["Status"] == "RUNNING"
        wait_until(lambda: len(cad.running_tasks()) == 2, what="two tasks")
        assert all("PriorityClass" not in str(call.body) for call in cad.calls("POST", "/CAD/AlgoTasks"))
        site.client.fine("DELETE", f"/ACSMP/TaskInstances/{urgent}")
        site.until(f"/ACSMP/TaskInstances/{second}", is_running)


def test_more_streams_bring_a_service_to_a_second_device_and_fewer_take_it_away(tmp_path: Path) -> None:
    package = make_package(tmp_path, xpu=[{"quota": 0.5, "capacities": {"stream_video_quota": 1}}])
    with running(tmp_path / "data") as site, FakeCad() as one, FakeCad("11010000005050000002") as other:
        for cad in (one, other):
            assert cad.register(site.url).accepted
        assert site.client.upload(package).code == 0
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": one.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", body)
        made(site, AlgoDefCode=CAPABILITY, Scaling={**TWO, "TargetUse": 100, "CooldownSeconds": 0})
        assert PACKAGE_ID not in other.packages
        streams = start(site, task_info(), task_info(url="rtsp://10.0.0.9/b"))
        for stream in streams:
            site.until(f"/ACSMP/TaskInstances/{stream}", lambda data: data["Status"] == "RUNNING")
        assert (one.packages[PACKAGE_ID], other.packages[PACKAGE_ID]) == ("RUNNING", "RUNNING")
        site.client.fine("DELETE", f"/ACSMP/TaskInstances/{streams[1]}")
        wait_until(lambda: other.packages[PACKAGE_ID] == "STOPPED", what="the second service gone")
        found = site.client.fine("GET", f"/ACSMP/TaskInstances/{streams[0]}")
        assert (found["Status"], found["ComputilityCode"]) == ("RUNNING", one.code)
