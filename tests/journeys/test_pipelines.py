"""Pipelines over HTTP: a result of one capability sets a task of another going, or hands its picture on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from acsmpd.store import tables
from tests.support.fake_cad import FakeCad
from tests.support.fake_speaking import TINY_JPEG
from tests.support.fake_tasks import FakeTask
from tests.support.packaging import STREAM, make_package, task_info
from tests.support.site import Site, running
from tests.support.state import refused
from tests.support.wait import wait_until

PIPELINES, RUNS = "/ACSMP/Pipelines", "/ACSMP/Pipelines/Runs/Search"
GATE, SMOKE, FACE, LAST = "GATE-1", "SMOKE-1", "FACE-1", "LAST-1"
VIDEO, IMAGE = ("VIDEO_REALTIME",), ("IMAGE_REALTIME",)
PACKAGES = {
    GATE: ("1101000000502000000120261121120000000001", ("INTRUSION", "CLIMB"), VIDEO),
    SMOKE: ("1101000000502000000120261121120000000002", ("SMOKING", "INTRUSION"), VIDEO),
    FACE: ("1101000000502000000120261121120000000003", ("FACE",), IMAGE),
    LAST: ("1101000000502000000120261121120000000004", ("FIGHT",), (*VIDEO, *IMAGE)),
}


def put_on(site: Site, folder: Path, cad: FakeCad) -> None:
    """Every package imported, and a service of it on the device."""
    assert cad.register(site.url).accepted
    for code, (package_id, events, types) in PACKAGES.items():
        file = make_package(
            folder, package_id=package_id, name=code, codes=(code,), events=events, types=types
        )
        assert site.client.upload(file).code == 0
        body = {"AlgoFilePackageID": package_id, "ComputilityCode": cad.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", body)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, FakeCad]]:
    folder = tmp_path_factory.mktemp("site")
    with running(folder / "data") as site, FakeCad() as cad:
        put_on(site, folder, cad)
        yield site, cad


@pytest.fixture
def site(pair: tuple[Site, FakeCad]) -> Site:
    return pair[0]


@pytest.fixture
def cad(pair: tuple[Site, FakeCad], site: Site) -> Iterator[FakeCad]:
    """Without pipelines and plans before and after."""
    yield pair[1]
    clean(site, pair[1])


def clean(site: Site, cad: FakeCad) -> None:
    for one in site.client.fine("GET", PIPELINES):
        site.client.fine("DELETE", f"{PIPELINES}/{one['ID']}")
    for one in site.client.fine("POST", "/ACSMP/Tasks/Search", {})["PageContent"]:
        site.client.fine("DELETE", f"/ACSMP/Tasks/{one['TaskID']}")
    wait_until(lambda: not cad.tasks, what="the tasks gone from the device")
    assert site.app is not None
    with site.app.store.write() as tx:
        tx.run(tables.PipelineRun.delete())


def made(site: Site, then: str = SMOKE, event: str = "SMOKING", **more: Any) -> dict[str, Any]:
    """A pipeline from GATE that takes every result."""
    body = {
        "AlgoDefCode": GATE, "Action": "TASK", "MinIntervalSeconds": 0,
        "Target": {"AlgoDefCode": then, "RulesParams": [{"EventID": event}]}, **more,
    }  # fmt: skip
    found: dict[str, Any] = site.client.fine("POST", PIPELINES, body)
    return found


def watching(site: Site, cad: FakeCad, url: str = STREAM, event: str = "INTRUSION") -> FakeTask:
    """A plan's task of GATE that runs on the device."""
    info = task_info(event, url, Labels={"AlgoCaBinName": GATE})
    body = {
        "Name": "gate",
        "Type": "VIDEO_REALTIME",
        "Mode": "PERIODIC",
        "AutoStart": True,
        "AlgoTaskInfos": [info],
    }
    site.client.fine("POST", "/ACSMP/Tasks?Wait=20", body)
    return the_task(cad, PACKAGES[GATE][0], url)


def tasks_of(cad: FakeCad, package_id: str) -> list[FakeTask]:
    return [task for task in cad.running_tasks() if task.package_id == package_id]


def the_task(cad: FakeCad, package_id: str, url: str = "") -> FakeTask:
    def found() -> FakeTask | None:
        there = [task for task in tasks_of(cad, package_id) if url in ("", task.stream_url)]
        return there[0] if len(there) == 1 else None

    task: FakeTask = wait_until(found, what=f"one task of {package_id}")
    return task


def runs(site: Site, **asked: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.client.fine("POST", RUNS, asked)["PageContent"]
    return found


def test_a_result_starts_a_task_on_the_same_stream_for_a_while(site: Site, cad: FakeCad) -> None:
    pipeline = made(site, DurationSeconds=10)
    gate = watching(site, cad)
    assert [said.code for said in cad.send_result(gate.task_id)] == [0]
    then = the_task(cad, PACKAGES[SMOKE][0])
    assert (then.stream_url, then.event_ids, then.restart_policy) == (STREAM, ("SMOKING",), "NEVER")
    assert then.info["Labels"] == {"AlgoCaBinName": SMOKE, "Version": "1.0.0"}
    [run] = site.until(RUNS, lambda data: data["PageContent"][0]["Status"] == "RUNNING", body={})[
        "PageContent"
    ]
    assert (run["PipelineID"], run["SourceInstanceID"], run["MatchCount"]) == (
        pipeline["ID"],
        gate.sent_id,
        1,
    )
    instance = site.client.fine("GET", f"/ACSMP/TaskInstances/{run['InstanceID']}")
    assert (instance["Status"], "TaskID" in instance) == ("RUNNING", False)
    assert site.client.fine("GET", f"{PIPELINES}/{pipeline['ID']}")["ActiveCount"] == 1
    [said] = cad.send_result(then.task_id)
    assert said.code == 0
    [result] = site.client.fine("POST", "/ACSMP/Results/Search", {"InstanceID": run["InstanceID"]})[
        "PageContent"
    ]
    assert (result["EventID"], result["DeviceID"]) == ("SMOKING", "")
    wait_until(lambda: not tasks_of(cad, PACKAGES[SMOKE][0]), what="its time to be over", seconds=30)
    assert [one.task_id for one in cad.running_tasks()] == [gate.task_id]
    [run] = runs(site)
    assert (run["Status"], "Reason" in run, run["EndTime"] > run["BeginTime"]) == ("DONE", False, True)


def test_a_picture_is_handed_on_and_only_while_it_is_looked_at(site: Site, cad: FakeCad) -> None:
    made(site, FACE, "FACE", Action="PICTURE", EventIDs=["INTRUSION"], MinScore=0.9, AreaIDs=[0])
    gate = watching(site, cad)
    sure = {"Targets": [{"Score": 0.95, "AreaID": 0}]}
    for unsure in ({"Targets": [{"Score": 0.5, "AreaID": 0}]}, {"Targets": [{"Score": 0.95, "AreaID": 1}]}):
        cad.send_result(gate.task_id, **unsure)
    cad.send_result(gate.task_id, **sure)
    look = the_task(cad, PACKAGES[FACE][0])
    answer = requests.get(look.stream_url, timeout=20)
    assert (answer.status_code, answer.content) == (200, TINY_JPEG)
    assert answer.headers["Content-Type"] == "image/jpeg"
    forged = requests.get(look.stream_url[:-2] + "xx", timeout=20)
    assert (forged.status_code, forged.json()["Code"]) == (404, 40401)
    [run] = runs(site)
    shown = site.client.fine("GET", f"/ACSMP/TaskInstances/{run['InstanceID']}")
    picture = shown["StreamOptions"]["VideoStreamOptions"]["Url"]
    assert picture == f"/ACSMP/Results/{run['ResultID']}/Images/0"
    cad.finish_task(look.task_id)
    site.until(RUNS, lambda data: data["PageContent"][0]["Status"] == "DONE", body={})
    wait_until(lambda: look.task_id not in cad.tasks, what="the finished task gone")
    assert requests.get(look.stream_url, timeout=20).status_code == 404


def test_what_a_pipeline_sets_going_may_set_more_going(site: Site, cad: FakeCad) -> None:
    """A sees, C looks at the picture, and only what C finds starts a task on the video."""
    made(site, FACE, "FACE", Action="PICTURE")
    second = made(site, LAST, "FIGHT", AlgoDefCode=FACE)
    gate = watching(site, cad)
    cad.send_result(gate.task_id)
    look = the_task(cad, PACKAGES[FACE][0])
    cad.send_result(look.task_id)
    last = the_task(cad, PACKAGES[LAST][0])
    assert (last.stream_url, last.event_ids) == (STREAM, ("FIGHT",))
    [run] = runs(site, PipelineID=second["ID"])
    assert (run["SourceInstanceID"], run["InstanceID"]) == (look.sent_id, last.sent_id)


def test_it_is_switched_off_and_on_again(site: Site, cad: FakeCad) -> None:
    here = f"{PIPELINES}/{made(site)['ID']}"
    gate = watching(site, cad)
    cad.send_result(gate.task_id)
    the_task(cad, PACKAGES[SMOKE][0])
    assert site.client.fine("PUT", here, {"Enabled": False})["Enabled"] is False
    wait_until(lambda: not tasks_of(cad, PACKAGES[SMOKE][0]), what="its task gone")
    [run] = site.until(RUNS, lambda data: data["PageContent"][0]["Status"] == "DONE", body={})["PageContent"]
    assert run["Reason"] == "the pipeline was switched off or deleted"
    cad.send_result(gate.task_id)
    assert site.client.fine("PUT", here, {"Enabled": True})["ActiveCount"] == 0
    cad.send_result(gate.task_id)
    the_task(cad, PACKAGES[SMOKE][0])
    assert len(runs(site)) == 2


def test_runs_are_found_by_what_is_known_of_them(site: Site, cad: FakeCad) -> None:
    one, other = made(site, MinIntervalSeconds=3600), made(site, FACE, "FACE", Action="PICTURE")
    gate = watching(site, cad)
    for _ in range(3):
        cad.send_result(gate.task_id)
    found = site.until(RUNS, lambda data: data["Total"] == 4, body={})["PageContent"]
    assert [run["ID"] for run in found] == sorted((run["ID"] for run in found), reverse=True)
    assert [run["PipelineID"] for run in runs(site, PipelineID=one["ID"])] == [one["ID"]]
    assert len(runs(site, PipelineID=other["ID"])) == 3
    last = found[0]
    assert [run["ID"] for run in runs(site, InstanceID=last["InstanceID"])] == [last["ID"]]
    assert len(runs(site, SourceInstanceID=gate.sent_id)) == 4
    assert runs(site, SourceInstanceID="nobody") == runs(site, Status="FAILED") == []
    assert runs(site, TimeFrom="2099-01-01 00:00:00") == runs(site, TimeTo="2001-01-01 00:00:00") == []
    assert len(runs(site, TimeFrom=found[-1]["BeginTime"], TimeTo=found[0]["BeginTime"])) == 4
    page = {"PageNumber": 2, "PageSize": 3, "OrderList": [{"Property": "BeginTime", "Direction": "asc"}]}
    [newest] = runs(site, PageRequest=page)
    assert newest["ID"] == found[0]["ID"]
    wrong = site.client.post(RUNS, {"PageRequest": {"OrderList": [{"Property": "Stream"}]}})
    refused(wrong, 400, 40001, "$.PageRequest.OrderList", "BeginTime")
    refused(site.client.post(RUNS, {"Status": "WAITING"}), 400, 40001, "$.Status")
    refused(site.client.post(RUNS, {"TimeFrom": "now"}), 400, 40001, "$.TimeFrom")


def test_it_goes_on_after_a_restart(tmp_path: Path) -> None:
    with running(tmp_path / "data") as site, FakeCad() as cad:
        put_on(site, tmp_path, cad)
        made(site, DurationSeconds=3600, MinIntervalSeconds=3600)
        gate = watching(site, cad)
        cad.send_result(gate.task_id)
        then = the_task(cad, PACKAGES[SMOKE][0])
        site.until(RUNS, lambda data: data["PageContent"][0]["Status"] == "RUNNING", body={})
        site.restart()
        cad.send_result(gate.task_id)
        passes = site.app.engine.passes if site.app else 0
        wait_until(lambda: site.app and site.app.engine.passes > passes + 1, what="two passes")
        assert the_task(cad, PACKAGES[SMOKE][0]).task_id == then.task_id
        [run] = runs(site)
        assert (run["Status"], run["MatchCount"]) == ("RUNNING", 1)


# --- kept, changed, refused ------------------------------------------------------------------------------------------


def test_a_pipeline_has_its_defaults_and_is_shown_listed_changed_and_deleted(
    site: Site, cad: FakeCad
) -> None:
    body = {
        "AlgoDefCode": GATE,
        "Action": "TASK",
        "Target": {"AlgoDefCode": SMOKE, "RulesParams": [{"EventID": "SMOKING"}]},
    }
    one = site.client.fine("POST", PIPELINES, body)
    defaults = {
        "Enabled": True,
        "MinIntervalSeconds": 60,
        "DurationSeconds": 60,
        "ActiveCount": 0,
        "SkippedCount": 0,
    }
    assert {name: one[name] for name in (*body, *defaults)} == {**body, **defaults}
    assert {"Name", "EventIDs", "MinScore", "AreaIDs", "TaskIDs"} & one.keys() == set()
    here = f"{PIPELINES}/{one['ID']}"
    assert site.client.fine("GET", here) == one
    assert site.client.fine("GET", PIPELINES) == [one]
    plan = watching_plan(site)
    more = {
        "Name": "gate",
        "EventIDs": ["CLIMB", "CLIMB"],
        "MinScore": 0.5,
        "AreaIDs": [2, 2, 1],
        "TaskIDs": [plan],
    }
    changed = site.client.fine("PUT", here, more)
    kept = {**more, "EventIDs": ["CLIMB"], "AreaIDs": [2, 1]}
    assert {name: changed[name] for name in kept} == kept
    assert {name: changed[name] for name in body} == body
    written = {name: value for name, value in changed.items() if name not in ("LastModifiedDate",)}
    assert site.client.fine("PUT", here, changed).items() >= written.items()
    bare = site.client.fine("PUT", here, {"EventIDs": [], "MinScore": 0, "AreaIDs": [], "TaskIDs": []})
    assert {"EventIDs", "MinScore", "AreaIDs", "TaskIDs"} & bare.keys() == set()
    target = {"AlgoDefCode": FACE, "RulesParams": [{"EventID": "FACE"}], "Labels": {"Version": "1.0.0"}}
    shot = site.client.fine("PUT", here, {"Action": "PICTURE", "Target": target})
    assert (shot["Action"], shot["Target"]) == ("PICTURE", target)
    site.client.fine("DELETE", here)
    assert site.client.fine("GET", PIPELINES) == []
    for method in ("GET", "DELETE"):
        refused(site.client.ask(method, here), 404, 40401, one["ID"])
    refused(site.client.put(here, {"Enabled": True}), 404, 40401, one["ID"])


def watching_plan(site: Site) -> int:
    body = {"Name": "gate", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AlgoTaskInfos": [task_info()]}
    plan: int = site.client.fine("POST", "/ACSMP/Tasks", body)
    return plan


def goal(then: str = SMOKE, *events: str) -> dict[str, Any]:
    return {"AlgoDefCode": then, "RulesParams": [{"EventID": event} for event in events or ("SMOKING",)]}


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        ({"AlgoDefCode": None}, 400, 40002, ("$.AlgoDefCode",)),
        ({"AlgoDefCode": "NOBODY"}, 404, 40401, ("$.AlgoDefCode", "no capability NOBODY")),
        ({"AlgoDefCode": ""}, 400, 40001, ("$.AlgoDefCode",)),
        ({"Target": None}, 400, 40002, ("$.Target",)),
        ({"Target": {"AlgoDefCode": SMOKE}}, 400, 40002, ("$.Target.RulesParams",)),
        ({"Target": {**goal(), "RulesParams": []}}, 400, 40001, ("$.Target.RulesParams",)),
        ({"Target": {**goal(), "RulesParams": [{}]}}, 400, 40002, ("$.Target.RulesParams[0].EventID",)),
        ({"Target": {**goal(), "RulesParams": [{"EventID": 7}]}}, 400, 40001, ("$.Target.RulesParams[0].EventID",)),
        ({"Target": goal("NOBODY")}, 404, 40401, ("$.Target.AlgoDefCode", "no capability NOBODY")),
        ({"Target": goal(SMOKE, "SMOKING", "FIRE")}, 400, 40001,
         ("$.Target.RulesParams[1].EventID", "does not serve FIRE; it serves SMOKING, INTRUSION")),
        ({"Target": {**goal(), "PriorityClass": "urgent"}}, 400, 40001, ("$.Target.PriorityClass", "there are: none")),
        ({"Target": {**goal(), "Labels": {"AlgoCaBinName": GATE}}}, 400, 40001,
         ("$.Target.Labels.AlgoCaBinName", f"capability {SMOKE} is of package {SMOKE} 1.0.0")),
        ({"Target": {**goal(), "Labels": {"AlgoCaBinName": SMOKE, "Version": "2"}}}, 400, 40001,
         ("$.Target.Labels.Version", f"is of package {SMOKE} 1.0.0")),
        ({"Target": {**goal(), "Labels": {"Version": ["1.0.0"]}}}, 400, 40001, ("$.Target.Labels.Version",)),
        ({"Target": {**goal(), "Labels": {"Site": "x" * 20_000}}}, 400, 40001, ("$.Target:", "at most 16384 are kept")),
        ({"Target": {**goal(), "RulesParams": [{"EventID": "SMOKING", "ExtendParams": {"x": "y" * 20_000}}]}},
         400, 40001, ("$.Target:", "bytes")),
        ({"Target": goal(FACE, "FACE")}, 400, 40001, ("$.Action", "its tasks are IMAGE_REALTIME")),
        ({"Action": "PICTURE"}, 400, 40001, ("$.Action", "its tasks are VIDEO_REALTIME")),
        ({"Action": "LAUNCH"}, 400, 40001, ("$.Action", "TASK", "PICTURE")),
        ({"Action": None}, 400, 40002, ("$.Action",)),
        ({"EventIDs": ["FIRE"]}, 400, 40001, ("$.EventIDs[0]", "does not serve FIRE; it serves INTRUSION, CLIMB")),
        ({"EventIDs": ["fire"]}, 400, 40001, ("$.EventIDs[0]",)),
        ({"EventIDs": "FIRE"}, 400, 40001, ("$.EventIDs",)),
        ({"EventIDs": [f"E{n}" for n in range(65)]}, 400, 40001, ("$.EventIDs", "64")),
        ({"MinScore": 1.1}, 400, 40001, ("$.MinScore",)),
        ({"MinScore": -0.1}, 400, 40001, ("$.MinScore",)),
        ({"MinScore": "0.5"}, 400, 40001, ("$.MinScore",)),
        ({"AreaIDs": [1.5]}, 400, 40001, ("$.AreaIDs[0]",)),
        ({"TaskIDs": [0]}, 400, 40001, ("$.TaskIDs[0]",)),
        ({"TaskIDs": [999_999]}, 404, 40401, ("999999",)),
        ({"MinIntervalSeconds": -1}, 400, 40001, ("$.MinIntervalSeconds", "less than 0")),
        ({"MinIntervalSeconds": 86_401}, 400, 40001, ("$.MinIntervalSeconds",)),
        ({"DurationSeconds": 9}, 400, 40001, ("$.DurationSeconds", "less than 10")),
        ({"DurationSeconds": 86_401}, 400, 40001, ("$.DurationSeconds",)),
        ({"Enabled": "yes"}, 400, 40001, ("$.Enabled",)),
        ({"Name": "n" * 257}, 400, 40001, ("$.Name",)),
        ({"Target": goal(GATE, "CLIMB")}, 400, 40001,
         ("$.Target.AlgoDefCode", f"would feed themselves: {GATE} -> {GATE}")),
    ],
)  # fmt: skip
def test_what_could_never_run_is_refused(
    site: Site, cad: FakeCad, body: dict[str, Any], status: int, code: int, words: tuple[str, ...]
) -> None:
    whole = {"AlgoDefCode": GATE, "Action": "TASK", "Target": goal(), **body}
    answer = site.client.post(PIPELINES, {name: value for name, value in whole.items() if value is not None})
    refused(answer, status, code, *words)
    assert site.client.fine("GET", PIPELINES) == []
    if None not in body.values():
        one = made(site)
        refused(site.client.put(f"{PIPELINES}/{one['ID']}", body), status, code, *words)
        assert site.client.fine("GET", f"{PIPELINES}/{one['ID']}") == one


def test_pipelines_that_would_feed_themselves_are_refused_and_the_circle_is_named(
    site: Site, cad: FakeCad
) -> None:
    made(site, SMOKE)
    second = made(site, LAST, "FIGHT", AlgoDefCode=SMOKE, Enabled=False)
    back = {"AlgoDefCode": LAST, "Action": "TASK", "Target": goal(GATE, "CLIMB")}
    words = f"would feed themselves: {LAST} -> {GATE} -> {SMOKE} -> {LAST}"
    refused(site.client.post(PIPELINES, back), 400, 40001, "$.Target.AlgoDefCode", words)
    third = made(site, FACE, "FACE", AlgoDefCode=LAST, Action="PICTURE")
    turned = site.client.put(f"{PIPELINES}/{third['ID']}", {"Action": "TASK", "Target": goal(GATE, "CLIMB")})
    refused(turned, 400, 40001, "$.Target.AlgoDefCode", words)
    site.client.fine("DELETE", f"{PIPELINES}/{second['ID']}")
    assert site.client.fine("POST", PIPELINES, back)["AlgoDefCode"] == LAST


def test_no_more_pipelines_than_each_result_can_be_compared_with(site: Site, cad: FakeCad) -> None:
    first = made(site)
    assert site.app is not None
    with site.app.store.write() as tx:
        row = tx.row(tables.Pipeline.select()) or {}
        for number in range(199):
            tx.run(tables.Pipeline.insert(**{**row, "id": f"p{number}"}))
    whole = {"AlgoDefCode": GATE, "Action": "TASK", "Target": goal()}
    refused(site.client.post(PIPELINES, whole), 409, 40901, "there are 200 pipelines")
    site.client.fine("DELETE", f"{PIPELINES}/{first['ID']}")
    assert site.client.post(PIPELINES, whole).code == 0
