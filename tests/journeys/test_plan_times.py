"""Plans with hours and inspections over real HTTP against a device: tables 15 to 19, conventions section 11."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from acsmpd.store.tables import Audit
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, task_info
from tests.support.site import Site, running
from tests.support.state import refused, unchanged
from tests.support.wait import wait_until

PLANS = "/ACSMP/Tasks"
UTC = {"ACSMPD_SITE_TIMEZONE": "UTC"}


@pytest.fixture(scope="module")
def spot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, FakeCad]]:
    """A site in UTC with a device on which a service runs."""
    folder = tmp_path_factory.mktemp("hours")
    with running(folder / "data", **UTC) as site, FakeCad() as cad:
        assert cad.register(site.url).accepted
        assert site.client.upload(make_package(folder)).code == 0
        body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", body)
        yield site, cad


def stream(number: int, **more: Any) -> dict[str, Any]:
    url = f"rtsp://127.0.0.1:9/{number}"
    return {
        **task_info(),
        "StreamOptions": {"VideoStreamOptions": {"PlayType": "REALPLAY", "Url": url}},
        **more,
    }


def periodic(*infos: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "Name": "p", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
        "AlgoTaskInfos": list(infos) or [stream(1)], **more,
    }  # fmt: skip


def inspective(*infos: dict[str, Any], **more: Any) -> dict[str, Any]:
    plan = {"Concurrency": 2, "Duration": 10, "TaskInfo": list(infos) or stream(1), **more.pop("plan", {})}
    return {"Name": "i", "Type": "VIDEO_REALTIME", "Mode": "INSPECTIVE", "InspectionPlan": plan, **more}


def day(shift: int) -> int:
    """Of the week, so many days from now."""
    return (datetime.now(timezone.utc) + timedelta(days=shift)).isoweekday()


def opened() -> list[str]:
    return [f"{day(shift)},00:00,24:00" for shift in (-1, 0, 1)]


def closed() -> list[str]:
    return [f"{day(3)},8:00-9:00"]


def counts(task: dict[str, Any]) -> tuple[int, ...]:
    """Pending, error, running, paused, finished; they add up to the total."""
    names = ("Starting", "StartErr", "Running", "Stopped", "Finished")
    found = tuple(task[f"{name}Count"] for name in names)
    assert sum(found) == task["TotalCount"]
    return found


def running_at(cad: FakeCad) -> set[str]:
    return {task.info["StreamOptions"]["VideoStreamOptions"]["Url"] for task in cad.running_tasks()}


def gone(site: Site, cad: FakeCad, plan: int) -> None:
    site.client.fine("DELETE", f"{PLANS}/{plan}?Wait=20")
    wait_until(lambda: not cad.running_tasks(), what="an empty device")


def test_within_its_hours_a_plan_runs_and_outside_it_rests(spot: tuple[Site, FakeCad]) -> None:
    site, cad = spot
    plan = site.client.fine("POST", PLANS, periodic(stream(1), stream(2), PlanDayTime=closed()))
    task = site.client.fine("GET", f"{PLANS}/{plan}")
    assert task["PlanDayTime"] == [f"{day(3)},08:00,09:00"]
    assert (task["Status"], counts(task), task["DeviceCount"]) == ("ON", (0, 0, 0, 2, 0), 2)
    assert task["NextStartDate"].endswith(" 08:00:00")
    assert "NextStopDate" not in task
    assert not cad.running_tasks()

    site.client.fine("PUT", f"{PLANS}/{plan}?Wait=20", {"PlanDayTime": opened()})
    task = site.until(f"{PLANS}/{plan}", lambda data: data["RunningCount"] == 2)
    assert task["NextStopDate"].endswith(" 00:00:00")
    assert len(cad.running_tasks()) == 2

    site.client.fine("PUT", f"{PLANS}/{plan}", {"PlanDayTime": closed()})
    site.until(f"{PLANS}/{plan}", lambda data: counts(data) == (0, 0, 0, 2, 0))
    wait_until(lambda: not cad.running_tasks(), what="the tasks to be paused")
    site.client.fine("PUT", f"{PLANS}/{plan}", {"PlanDayTime": []})
    task = site.until(f"{PLANS}/{plan}", lambda data: data["RunningCount"] == 2)
    assert "PlanDayTime" not in task
    gone(site, cad, plan)


def test_starting_and_stopping_outside_the_hours(spot: tuple[Site, FakeCad]) -> None:
    site, cad = spot
    plan = site.client.fine("POST", PLANS, periodic(AutoStart=False, PlanDayTime=closed()))
    assert "NextStartDate" not in site.client.fine("GET", f"{PLANS}/{plan}")
    site.client.fine("POST", f"{PLANS}/{plan}/Start?Wait=5")
    site.client.fine("POST", f"{PLANS}/{plan}/Start")  # a second time: no error, no effect
    assert "NextStartDate" in site.client.fine("GET", f"{PLANS}/{plan}")
    site.restart()
    task = site.client.fine("GET", f"{PLANS}/{plan}")
    assert (task["Status"], counts(task)) == ("ON", (0, 0, 0, 1, 0))
    site.client.fine("POST", f"{PLANS}/{plan}/Stop")
    site.client.fine("PUT", f"{PLANS}/{plan}", {"PlanDayTime": opened()})
    task = site.client.fine("GET", f"{PLANS}/{plan}")
    assert (task["Status"], counts(task)) == ("OFF", (0, 0, 0, 1, 0))
    assert not cad.running_tasks()
    gone(site, cad, plan)


def test_starting_what_runs_has_no_effect(spot: tuple[Site, FakeCad]) -> None:
    """No error, and nothing the device would notice: of a plan with hours as of an inspection in its round."""
    site, cad = spot
    plan = site.client.fine("POST", PLANS, periodic(stream(1), PlanDayTime=opened()))
    rounds = site.client.fine("POST", PLANS, inspective(stream(2), AutoStart=True))
    wait_until(lambda: len(cad.running_tasks()) == 2, what="both")
    tasks = list(cad.tasks)
    infos = site.until(f"{PLANS}/{plan}", lambda data: data["RunningCount"] == 1)["AlgoTaskInfos"]
    site.until(f"{PLANS}/{rounds}", lambda data: data["RunningCount"] == 1)
    mark = len(cad.calls())
    for number in (plan, rounds):
        site.client.fine("POST", f"{PLANS}/{number}/Start")
    site.client.fine("POST", "/ACSMP/TaskInstances/Start", {"IDs": [infos[0]["ID"]]})
    seen = len(cad.calls("POST", "/CAD/AlgoTasks:search"))
    wait_until(lambda: len(cad.calls("POST", "/CAD/AlgoTasks:search")) >= seen + 2, what="looks")
    told = [call.path for call in cad.calls()[mark:] if call.path.startswith("/CAD/AlgoTasks")]
    assert set(told) == {"/CAD/AlgoTasks:search"}
    assert list(cad.tasks) == tasks
    shown = site.client.fine("GET", f"{PLANS}/{plan}")
    assert (shown["Status"], counts(shown)) == ("ON", (0, 0, 1, 0, 0))
    site.client.fine("DELETE", f"{PLANS}/{plan}?Wait=20")
    gone(site, cad, rounds)


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "UTC", "Europe/Brussels"])
def test_the_next_start_and_stop_are_told_in_the_zone_of_the_site(tmp_path: Path, zone: str) -> None:
    """What an operator reads is what the box goes by (R31)."""
    with running(tmp_path / "data", site_timezone=zone) as site:
        today = datetime.now(ZoneInfo(zone)).isoweekday()
        days = [(today + shift - 1) % 7 + 1 for shift in range(7)]
        later = site.client.fine("POST", PLANS, periodic(PlanDayTime=[f"{days[2]},07:30,09:00"]))
        now = site.client.fine(
            "POST", PLANS, periodic(PlanDayTime=[f"{day},00:00,24:00" for day in days[:6]])
        )
        soon, runs = (site.client.fine("GET", f"{PLANS}/{plan}") for plan in (later, now))
        told = datetime.strptime(soon["NextStartDate"], "%Y-%m-%d %H:%M:%S")
        assert (told.isoweekday(), f"{told:%H:%M:%S}") == (days[2], "07:30:00")
        assert 0 < (told - datetime.now(ZoneInfo(zone)).replace(tzinfo=None)).days + 1 <= 3
        told = datetime.strptime(runs["NextStopDate"], "%Y-%m-%d %H:%M:%S")
        assert (told.isoweekday(), f"{told:%H:%M:%S}") == (days[6], "00:00:00")
        created = datetime.strptime(runs["CreatedDate"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=ZoneInfo(zone))
        assert abs((created - datetime.now(timezone.utc)).total_seconds()) < 600
        assert (runs["StartingCount"], soon["StoppedCount"]) == (
            1,
            1,
        )  # the one waits for a place, not for its hours


def test_an_inspection_goes_its_rounds_and_ends_by_itself(spot: tuple[Site, FakeCad]) -> None:
    site, cad = spot
    body = inspective(stream(1), stream(2), stream(3), plan={"RoundLimit": 1}, AutoStart=True)
    plan = site.client.fine("POST", PLANS, body)
    most, first = 0, set()

    def look() -> bool:
        nonlocal most
        now = running_at(cad)
        if not first and len(now) == 2:  # the first batch, whole
            first.update(now)
        most = max(most, len(now))
        return bool(site.client.fine("GET", f"{PLANS}/{plan}")["Status"] == "OFF")

    wait_until(look, seconds=60, what="the end of the round")
    task = site.client.fine("GET", f"{PLANS}/{plan}")
    assert (most, first) == (2, {"rtsp://127.0.0.1:9/1", "rtsp://127.0.0.1:9/2"})
    assert counts(task) == (0, 0, 0, 0, 3)
    shown = task["InspectionPlan"]
    assert (shown["Concurrency"], shown["Duration"], shown["RoundLimit"]) == (2, 10, 1)
    assert (shown["RoundCount"], shown["Progress"]) == (1, 100.0)
    assert [info["StreamOptions"] for info in shown["TaskInfo"]] == [
        stream(number)["StreamOptions"] for number in (1, 2, 3)
    ]
    assert "AlgoTaskInfos" not in task
    wait_until(lambda: not cad.tasks, what="the tasks to be deleted")
    site.client.fine("DELETE", f"{PLANS}/{plan}")


def test_one_task_info_is_shown_as_one(spot: tuple[Site, FakeCad]) -> None:
    site, _ = spot
    plan = site.client.fine("POST", PLANS, inspective(plan={"TaskInfo": stream(7)}))
    shown = site.client.fine("GET", f"{PLANS}/{plan}")["InspectionPlan"]
    assert shown["TaskInfo"]["StreamOptions"] == stream(7)["StreamOptions"]
    assert (shown["RoundCount"], shown["Progress"]) == (0, 0.0)
    [found] = site.client.fine("POST", f"{PLANS}/Search", {"TaskIDs": [plan], "Mode": "INSPECTIVE"})[
        "PageContent"
    ]
    assert found["InspectionPlan"] == shown
    site.client.fine("DELETE", f"{PLANS}/{plan}")


# --- table 16 ---------------------------------------------------------------------------------------------------


def test_an_update_leaves_what_is_the_same_untouched(spot: tuple[Site, FakeCad]) -> None:
    site, cad = spot
    plan = site.client.fine("POST", PLANS, periodic(stream(1), stream(2), stream(3)))
    before = site.until(f"{PLANS}/{plan}", lambda data: data["RunningCount"] == 3)["AlgoTaskInfos"]
    changed = stream(2)
    changed["RulesParams"][0]["ExtendParams"] = {"Sensitivity": "高"}
    mark = len(cad.calls())
    body = {"Name": "q", "Description": "d", "AlgoTaskInfos": [stream(1), changed, stream(4)]}
    site.client.fine("PUT", f"{PLANS}/{plan}", body)
    wait_until(
        lambda: running_at(cad) == {f"rtsp://127.0.0.1:9/{number}" for number in (1, 2, 4)},
        what="the new streams",
    )
    after = site.client.fine("GET", f"{PLANS}/{plan}")
    assert (after["Name"], after["Description"]) == ("q", "d")
    kept = {info["StreamOptions"]["VideoStreamOptions"]["Url"][-1]: info["ID"] for info in before}
    now = {
        info["StreamOptions"]["VideoStreamOptions"]["Url"][-1]: info["ID"] for info in after["AlgoTaskInfos"]
    }
    assert (now["1"], now["2"]) == (kept["1"], kept["2"])
    assert set(now) == {"1", "2", "4"}
    # The changed one runs on as it was until it is started again; nothing of the first two was touched there.
    paths = [call.path for call in cad.calls()[mark:] if call.method in ("PUT", "POST")]
    assert not any(":pause" in path or ":resume" in path for path in paths if "search" not in path)
    held = next(task for task in cad.running_tasks() if task.sent_id == kept["2"])
    assert held.info["RulesParams"][0]["ExtendParams"] == {"Sensitivity": "低"}

    site.client.fine("POST", f"{PLANS}/{plan}/Stop?Wait=20")
    site.client.fine("POST", f"{PLANS}/{plan}/Start?Wait=20")
    wait_until(
        lambda: any(
            task.sent_id == kept["2"] and task.info["RulesParams"][0]["ExtendParams"] == {"Sensitivity": "高"}
            for task in cad.running_tasks()
        ),
        what="the change at the next start",
    )
    gone(site, cad, plan)


def test_with_apply_now_a_change_counts_at_once(spot: tuple[Site, FakeCad]) -> None:
    site, cad = spot
    plan = site.client.fine("POST", PLANS, periodic(stream(1), stream(2)))
    before = site.until(f"{PLANS}/{plan}", lambda data: data["RunningCount"] == 2)["AlgoTaskInfos"]
    changed = {**before[1], "Labels": {"Colour": "red"}}
    site.client.fine("PUT", f"{PLANS}/{plan}?Apply=now&Wait=20", {"AlgoTaskInfos": [before[0], changed]})
    wait_until(
        lambda: any((task.info.get("Labels") or {}).get("Colour") == "red" for task in cad.running_tasks()),
        what="the change on the device",
    )
    assert {task.sent_id for task in cad.running_tasks()} == {info["ID"] for info in before}
    gone(site, cad, plan)


def test_the_newest_wish_counts_at_the_next_start(spot: tuple[Site, FakeCad]) -> None:
    """An update of the plan waits for the next start; the instance itself is changed meanwhile."""
    site, cad = spot
    plan = site.client.fine("POST", PLANS, periodic(stream(11)))
    [info] = site.until(f"{PLANS}/{plan}", lambda data: data["RunningCount"] == 1)["AlgoTaskInfos"]
    site.client.fine("PUT", f"{PLANS}/{plan}", {"AlgoTaskInfos": [stream(12, ID=info["ID"])]})
    site.client.fine("PUT", f"/ACSMP/TaskInstances/{info['ID']}", stream(13))
    wait_until(lambda: running_at(cad) == {"rtsp://127.0.0.1:9/13"}, what="the change at once")
    site.client.fine("POST", f"{PLANS}/{plan}/Stop?Wait=20")
    site.client.fine("POST", f"{PLANS}/{plan}/Start?Wait=20")
    site.until(f"{PLANS}/{plan}", lambda data: data["RunningCount"] == 1)
    wait_until(lambda: running_at(cad) == {"rtsp://127.0.0.1:9/13"}, what="the newest wish")
    gone(site, cad, plan)


def test_what_is_read_and_written_back_changes_nothing(spot: tuple[Site, FakeCad]) -> None:
    site, cad = spot
    plan = site.client.fine("POST", PLANS, periodic(stream(1, RestartPolicy="ALWAYS"), stream(2)))
    task = site.until(f"{PLANS}/{plan}", lambda data: data["RunningCount"] == 2)
    assert [info["RestartPolicy"] for info in task["AlgoTaskInfos"]] == ["ALWAYS", "NEVER"]
    mark = len(cad.calls())
    site.client.fine("PUT", f"{PLANS}/{plan}?Apply=now", {**task, "Name": "another"})
    again = site.client.fine("GET", f"{PLANS}/{plan}")
    assert again["AlgoTaskInfos"] == task["AlgoTaskInfos"]
    seen = len(cad.calls("POST", "/CAD/AlgoTasks:search"))
    wait_until(lambda: len(cad.calls("POST", "/CAD/AlgoTasks:search")) >= seen + 2, what="looks")
    assert not [call.path for call in cad.calls()[mark:] if call.method == "PUT" or ":pause" in call.path]
    gone(site, cad, plan)


def test_entries_mean_the_same_instances_in_whatever_order(spot: tuple[Site, FakeCad]) -> None:
    """The one with an ID is it, then the one that is the same; only then the stream decides."""
    site, cad = spot
    one, two = stream(41, Labels={"K": "a"}), stream(41, Labels={"K": "b"})
    plan = site.client.fine("POST", PLANS, periodic(one, two))
    before = site.until(f"{PLANS}/{plan}", lambda data: data["RunningCount"] == 2)["AlgoTaskInfos"]
    ids = {info["Labels"]["K"]: info["ID"] for info in before}
    site.client.fine(
        "PUT", f"{PLANS}/{plan}?Apply=now", {"AlgoTaskInfos": [stream(41, Labels={"K": "c"}), one]}
    )
    after = site.client.fine("GET", f"{PLANS}/{plan}")["AlgoTaskInfos"]
    assert {info["Labels"]["K"]: info["ID"] for info in after} == {"a": ids["a"], "c": ids["b"]}
    body = [stream(41), stream(41, ID=ids["a"])]
    site.client.fine("PUT", f"{PLANS}/{plan}?Apply=now", {"AlgoTaskInfos": body})
    after = site.client.fine("GET", f"{PLANS}/{plan}")["AlgoTaskInfos"]
    assert {info["ID"] for info in after} == set(ids.values())
    gone(site, cad, plan)


def test_auto_restart_becomes_the_policy_of_every_task(spot: tuple[Site, FakeCad]) -> None:
    site, cad = spot
    plan = site.client.fine("POST", PLANS, periodic())
    site.until(f"{PLANS}/{plan}", lambda data: data["RunningCount"] == 1)
    site.client.fine("PUT", f"{PLANS}/{plan}", {"AutoRestart": True})
    wait_until(lambda: [task.restart_policy for task in cad.running_tasks()] == ["ALWAYS"], what="the policy")
    assert site.client.fine("GET", f"{PLANS}/{plan}")["AutoRestart"] is True
    gone(site, cad, plan)


START, STOP = "acsmp.start_task_instances", "acsmp.stop_task_instances"


def batches(site: Site) -> list[tuple[str, str, int]]:
    """What the audit record says of starting and stopping lists: which, what was done, the Code."""
    assert site.app is not None
    with site.app.store.read() as tx:
        rows = tx.rows(Audit.select().order_by(Audit.id))
    return [
        (row["operation"], row["object"], row["code"]) for row in rows if row["operation"] in (START, STOP)
    ]


def test_known_ones_of_a_batch_are_switched_and_the_others_named(spot: tuple[Site, FakeCad]) -> None:
    site, cad = spot
    before = len(batches(site))
    plan = site.client.fine("POST", PLANS, periodic(AutoStart=False))
    [shown] = site.client.fine("GET", f"{PLANS}/{plan}")["AlgoTaskInfos"]
    number, known = shown["Number"], shown["ID"]
    answer = site.client.post("/ACSMP/TaskInstances/Start", {"IDs": [number, "nobody"]})
    refused(answer, 404, 40401, "no task instances nobody; the other 1 were started")
    site.until(f"{PLANS}/{plan}", lambda data: (data["Status"], data["RunningCount"]) == ("ON", 1))
    answer = site.client.post("/ACSMP/TaskInstances/Stop", {"IDs": ["nobody", number]})
    refused(answer, 404, 40401, "the other 1 were stopped")
    site.until(f"{PLANS}/{plan}", lambda data: data["StoppedCount"] == 1)
    refused(
        site.client.post("/ACSMP/TaskInstances/Stop", {"IDs": ["nobody"]}), 404, 40401, "nothing was changed"
    )
    site.client.fine("POST", "/ACSMP/TaskInstances/Stop", {"IDs": [number]})
    audited = wait_until(
        lambda: found if len(found := batches(site)[before:]) == 4 else None, what="the audit record"
    )
    assert audited == [
        (START, f"started 1 of 2: {known}", 40401), (STOP, f"stopped 1 of 2: {known}", 40401),
        (STOP, "stopped 0 of 1", 40401), (STOP, f"stopped 1 of 1: {known}", 0),
    ]  # fmt: skip
    gone(site, cad, plan)


# --- bad input --------------------------------------------------------------------------------------------------

WINDOWS = [
    ("8,07:00,09:00", "$.PlanDayTime[0]"), ("0,07:00,09:00", "$.PlanDayTime[0]"), ("", "$.PlanDayTime[0]"),
    ("1,09:00,09:00", "ends before it begins"), ("1,22:00,06:00", "written as two"),
    ("1,23:00,24:01", "no time from 00:00 to 24:00"), ("Monday", "$.PlanDayTime[0]"),
]  # fmt: skip
NOT_PERIODIC = "$.InspectionPlan: a PERIODIC plan names its instances in AlgoTaskInfos"
NOT_INSPECTIVE = "$.AlgoTaskInfos: an INSPECTIVE plan names its instances in InspectionPlan"
WRONG: list[tuple[dict[str, Any], int, str]] = [
    *((periodic(PlanDayTime=[text]), 40001, words) for text, words in WINDOWS),
    (periodic(PlanDayTime="1,07:00,09:00"), 40001, "$.PlanDayTime"),
    (periodic(PlanDayTime=[1]), 40001, "$.PlanDayTime[0]"),
    (inspective(PlanDayTime=["1,07:00,09:00"]), 40001, "only a PERIODIC plan has hours"),
    (inspective(plan={"Concurrency": 0}), 40001, "$.InspectionPlan.Concurrency"),
    (inspective(plan={"Concurrency": "5"}), 40001, "$.InspectionPlan.Concurrency"),
    (inspective(plan={"Duration": 9}), 40001, "$.InspectionPlan.Duration"),
    (inspective(plan={"Duration": None}), 40002, "$.InspectionPlan.Duration"),
    (inspective(plan={"RoundLimit": 0}), 40001, "$.InspectionPlan.RoundLimit"),
    (inspective(plan={"TaskInfo": []}), 40002, "$.InspectionPlan.TaskInfo: an INSPECTIVE plan needs"),
    (inspective(plan={"TaskInfo": "all"}), 40001, "$.InspectionPlan.TaskInfo"),
    (inspective(plan={"TaskInfo": [stream(1), {"StreamOptions": {}}]}), 40002, "$.InspectionPlan.TaskInfo"),
    ({**periodic(), "InspectionPlan": inspective()["InspectionPlan"]}, 40001, NOT_PERIODIC),
    ({**inspective(), "AlgoTaskInfos": [stream(1)]}, 40001, NOT_INSPECTIVE),
    ({**periodic(), "AlgoTaskInfos": None}, 40002, "$.AlgoTaskInfos"),
    ({**inspective(), "InspectionPlan": None}, 40002, "$.InspectionPlan"),
]


def test_what_is_no_plan_is_refused(spot: tuple[Site, FakeCad]) -> None:
    site, _ = spot
    for body, code, words in WRONG:
        with unchanged(site):
            refused(site.client.post(PLANS, body), code // 100, code, words)


def test_what_is_no_update_is_refused(spot: tuple[Site, FakeCad]) -> None:
    site, cad = spot
    plan = site.client.fine("POST", PLANS, periodic(AutoStart=False))
    rounds = site.client.fine("POST", PLANS, inspective())
    [info] = site.client.fine("GET", f"{PLANS}/{plan}")["AlgoTaskInfos"]
    wrong: list[tuple[int, dict[str, Any], int, str]] = [
        (plan, {"TaskID": rounds}, 40001, f"$.TaskID: {rounds} is not the plan of the path, {plan}"),
        (plan, {"PlanDayTime": ["1,9:00,8:00"]}, 40001, "$.PlanDayTime[0]"),
        (plan, {"InspectionPlan": inspective()["InspectionPlan"]}, 40001, NOT_PERIODIC),
        (plan, {"AlgoTaskInfos": []}, 40002, "at least one instance"),
        (plan, {"AlgoTaskInfos": [info, info]}, 40401, "$.AlgoTaskInfos[1].ID"),
        (plan, {"AlgoTaskInfos": [{**stream(1), "ID": "nobody"}]}, 40401, "no instance nobody of this plan"),
        (plan, {"AlgoTaskInfos": [{**info, "AlgoServiceID": "nobody"}]}, 40401, "no service nobody"),
        (plan, {"Name": 7}, 40001, "$.Name"),
        (rounds, {"AlgoTaskInfos": [stream(1)]}, 40001, NOT_INSPECTIVE),
        (rounds, {"PlanDayTime": ["1,7:00,9:00"]}, 40001, "only a PERIODIC plan"),
        (rounds, {"InspectionPlan": {"Concurrency": 1}}, 40002, "$.InspectionPlan.Duration"),
        (999_999, {"Name": "x"}, 40401, "no task plan 999999"),
    ]
    for number, body, code, words in wrong:
        with unchanged(site):
            refused(site.client.put(f"{PLANS}/{number}", body), code // 100, code, words)
    with unchanged(site):
        refused(site.client.put(f"{PLANS}/{plan}?Apply=later", {"Name": "x"}), 400, 40001, "Apply")
    for number in (plan, rounds):
        site.client.fine("DELETE", f"{PLANS}/{number}")
    assert not cad.running_tasks()


def test_an_inspection_of_what_nobody_can_do_waits_and_says_why(spot: tuple[Site, FakeCad]) -> None:
    site, _ = spot
    plan = site.client.fine("POST", PLANS, inspective(task_info(event="NOBODY_KNOWS_THIS"), AutoStart=True))
    task = site.until(f"{PLANS}/{plan}", lambda data: data["StartingCount"] == 1)
    instance = task["InspectionPlan"]["TaskInfo"][0]["ID"]
    site.until(
        f"/ACSMP/TaskInstances/{instance}",
        lambda data: "no imported capability serves NOBODY_KNOWS_THIS" in data.get("Reason", ""),
    )
    site.client.fine("DELETE", f"{PLANS}/{plan}?Wait=5")


def test_a_running_plan_that_is_deleted_stops_first(spot: tuple[Site, FakeCad]) -> None:
    site, cad = spot
    plan = site.client.fine("POST", PLANS, inspective(stream(1), AutoStart=True))
    wait_until(lambda: len(cad.running_tasks()) == 1, what="its turn")
    site.client.fine("DELETE", f"{PLANS}/{plan}?Wait=20")
    refused(site.client.get(f"{PLANS}/{plan}"), 404, 40401, f"no task plan {plan}")
    wait_until(lambda: not cad.tasks, what="the task to leave the device")
