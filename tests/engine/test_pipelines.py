"""The duty of setting work going for results: what counts, how long it runs, what it survives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from acsmpd.clock import Moment
from acsmpd.engine.pipelines import Pipelines
from acsmpd.model import CreateTask
from acsmpd.store import packages, pipelines, plans, results
from acsmpd.store.tables import Instance, PipelineRun, Result
from tests.engine.bench import Bench
from tests.store.rows import CODE, NOW

SOURCE = "instance-1"
GATE, SMOKE = "1101000000502000000120261121120000000001", "1101000000502000000120261121120000000002"
SHOT = "1101000000502000000120261121120000000003"
EVENTS = {GATE: "INTRUSION", SMOKE: "SMOKING", SHOT: "FACE"}
CODES = {GATE: "A", SMOKE: "B", SHOT: "C"}
HOUR, DAY = 3600, 86_400


class Works(Bench):
    """A device with services of A, B and C, and a running instance of A."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder, **settings)
        self.device()
        for place, (package_id, event) in enumerate(EVENTS.items(), start=1):
            kinds = ["IMAGE_REALTIME"] if package_id == SHOT else ["VIDEO_REALTIME", "IMAGE_REALTIME"]
            self.known(package_id, CODES[package_id], ["INTRUSION", event], kinds)
            self.load(f"load-{place}", package_id=package_id)
        self.instance(info=stream("rtsp://10.0.0.9/1"))
        self.run(8)
        assert self.status() == ("RUNNING", "")

    def known(self, package_id: str, code: str, events: list[str], kinds: list[str]) -> None:
        package = {
            "id": package_id, "name": code, "version": "1.0", "kind": "artifact", "provider": "ACSMPD",
            "file_name": "x.tar", "path": f"/packages/{package_id}", "size": 3, "md5": "m1", "sm3": "s1",
            "manifest": {},
        }  # fmt: skip
        ability = {
            "code": code, "name": code, "data_type": "ALERT", "event_ids": events, "task_types": kinds,
            "task_fields": [],
        }  # fmt: skip
        with self.store.write() as tx:
            packages.put(tx, package, [ability], NOW)

    def pipeline(self, name: str = "p", **more: Any) -> None:
        values = {
            "capability": "A", "target": "B", "rules": [{"EventID": "SMOKING"}], "action": "TASK",
            "event_ids": [], "area_ids": [], "plan_ids": [], "interval_seconds": 0, "duration_seconds": 30,
            "created_ms": NOW, "modified_ms": NOW, **more,
        }  # fmt: skip
        with self.store.write() as tx:
            pipelines.add(tx, id=name, **{"seen": pipelines.newest_result(tx), **values})

    def result(self, instance: str = SOURCE, pictures: int = 0, **more: Any) -> int:
        with self.store.write() as tx:
            row = plans.any_instance(tx, instance)
            assert row is not None
            number = pipelines.newest_result(tx) + 1
            values = {
                "instance_id": instance, "plan_id": row["plan_id"], "event_id": "INTRUSION",
                "capability": row["capability"] or "A", "fingerprint": f"f{number}",
                "event_ms": self.clock.moment.wall_ms, "body": {}, "received_ms": self.clock.moment.wall_ms, **more,
            }  # fmt: skip
            files = [(place, f"results/pictures/{number}-{place}.jpg", 3) for place in range(pictures)]
            found = results.add(tx, values, files, [])
        assert found is not None
        return found

    def change_pipeline(self, name: str = "p", **values: Any) -> None:
        with self.store.write() as tx:
            pipelines.change(tx, name, **values)

    def runs(self) -> list[dict[str, Any]]:
        with self.store.read() as tx:
            return tx.rows(PipelineRun.select().order_by(PipelineRun.id))

    def the_run(self) -> dict[str, Any]:
        [row] = self.runs()
        return row

    def made(self) -> list[dict[str, Any]]:
        """Instances that were set going and are wanted."""
        with self.store.read() as tx:
            return tx.rows(Instance.select().where(~Instance.deleted, Instance.id != SOURCE))

    def on_device(self) -> int:
        """Tasks on the device beside the first."""
        return len(self.plant.boxes[CODE].tasks) - 1

    def begun(self) -> dict[str, Any]:
        """One run that is running."""
        self.result()
        self.run(5, seconds=0.2)
        row = self.the_run()
        assert (row["status"], self.on_device()) == ("RUNNING", 1)
        return row

    def becomes(self, status: str, error: str = "") -> None:
        """What was set going shows this on the device."""
        tasks = self.plant.boxes[CODE].tasks
        [task_id] = [one for one in tasks if one != self.task().task_id]
        tasks[task_id] = replace(tasks[task_id], status=status, error=error)

    def set_clock(self, seconds: float) -> None:
        """The wall clock is set; no time passes."""
        now = self.clock.moment
        self.clock.steps.see(now)
        self.clock.moment = Moment(now.wall_ms + int(seconds * 1000), now.mono, now.boot_id)
        self.clock.steps.see(self.clock.moment)  # as housekeeping does every second


def stream(url: str, event: str = "INTRUSION") -> dict[str, Any]:
    labels = {"AlgoCaBinName": "A"}
    return {
        "Labels": labels, "RulesParams": [{"EventID": event}], "StreamOptions": {"VideoStreamOptions": {"Url": url}},
    }  # fmt: skip


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    bench = Works(tmp_path)
    yield bench
    bench.close()


# --- a task for a while ---------------------------------------------------------------------------------------


def test_a_task_runs_for_its_time_and_leaves_the_device(works: Works) -> None:
    works.pipeline()
    works.begun()
    [made] = works.made()
    assert (made["capability"], made["plan_id"], made["restart_policy"]) == ("B", None, "NEVER")
    works.run(27)
    assert works.the_run()["status"] == "RUNNING"
    works.run(6)
    row = works.the_run()
    assert (row["status"], row["reason"], row["ended_ms"] is not None) == ("DONE", "", True)
    assert (works.made(), works.on_device()) == ([], 0)
    assert works.status() == ("RUNNING", "")


def test_only_the_capability_it_names_serves_what_it_sets_going(works: Works) -> None:
    """A and B both serve INTRUSION: were it given to A, its results would count again."""
    works.pipeline(rules=[{"EventID": "INTRUSION"}])
    works.begun()
    [made] = works.made()
    with works.store.read() as tx:
        [place] = plans.tasks(tx)[1:]
        assert results.capability_of(tx, made["number"], "INTRUSION") == "B"
    assert place.labels == {"AlgoCaBinName": "B", "Version": "1.0"}
    works.result(made["id"], capability="B")
    works.run(3)
    assert len(works.runs()) == 1


def test_a_result_while_it_runs_lets_it_run_on(works: Works) -> None:
    works.pipeline()
    begun = works.begun()
    works.run(20)
    last = works.result()
    works.run(20)
    row = works.the_run()
    assert (row["status"], row["matches"], row["result_id"]) == ("RUNNING", 2, begun["result_id"])
    assert last > begun["result_id"]
    works.run(12)
    assert works.the_run()["status"] == "DONE"


def test_results_count_so_seldom_as_the_interval_says(works: Works) -> None:
    works.pipeline(interval_seconds=60, duration_seconds=10)
    works.begun()
    works.run(15)
    assert works.the_run()["status"] == "DONE"
    works.result()
    works.run(2)
    assert len(works.runs()) == 1
    works.run(45)
    works.result()
    works.run(2)
    assert [row["matches"] for row in works.runs()] == [1, 1]


def test_each_stream_has_a_run_of_its_own(works: Works) -> None:
    works.instance("instance-2", info=stream("rtsp://10.0.0.9/2"))
    works.instance("instance-3", info=stream("rtsp://10.0.0.9/1"))
    works.run(6)
    works.pipeline(interval_seconds=3600)
    works.result()
    works.result("instance-2")
    works.result("instance-3")  # another plan's, of the first stream
    works.run(5, seconds=0.2)
    assert [row["source_id"] for row in works.runs()] == [SOURCE, "instance-2"]
    assert [row["stream"] for row in works.runs()] == ["rtsp://10.0.0.9/1", "rtsp://10.0.0.9/2"]


def test_what_cannot_be_started_fails_and_is_not_kept_waiting(works: Works) -> None:
    works.pipeline(target="D", rules=[{"EventID": "FIGHT"}])
    works.known("1101000000502000000120261121120000000009", "D", ["FIGHT"], ["VIDEO_REALTIME"])
    works.result()
    works.run(18)
    assert (works.the_run()["status"], len(works.made())) == ("PENDING", 1)
    works.run(5)
    row = works.the_run()
    assert row["status"] == "FAILED"
    assert row["reason"] == "not running within 20 s: no service of a fitting package is loaded"
    assert works.made() == []


def test_what_fails_on_the_device_has_failed(works: Works) -> None:
    works.pipeline()
    works.begun()
    works.becomes("ERROR", "the decoder is gone")
    works.run(20)
    row = works.the_run()
    assert (row["status"], row["reason"]) == ("FAILED", "the decoder is gone")
    works.run(3)
    assert works.on_device() == 0


# --- what does not count ----------------------------------------------------------------------------------------


def test_results_from_before_it_was_made_or_switched_on_do_not_count(works: Works) -> None:
    works.result()
    works.pipeline()
    works.run(2)
    assert works.runs() == []
    works.change_pipeline(enabled=False)
    works.result()
    works.run(2)
    with works.store.read() as tx:
        newest = pipelines.newest_result(tx)
    works.change_pipeline(enabled=True, seen=newest)
    works.run(2)
    assert works.runs() == []
    works.result()
    works.run(2)
    assert len(works.runs()) == 1


def test_one_made_behind_a_queue_of_results_counts_none_of_them(works: Works) -> None:
    """Others are still at the results of before."""
    works.pipeline("old")
    for _ in range(250):
        works.result()
    works.pipeline("new")
    works.run(6, seconds=0.2)
    [row] = works.runs()
    assert (row["pipeline_id"], row["matches"]) == ("old", 250)
    works.result()
    works.run(2)
    assert Counter(row["pipeline_id"] for row in works.runs()) == {"old": 1, "new": 1}


@pytest.mark.parametrize(
    "values",
    [{"late": True}, {"error": "not whole"}, {"capability": "C"}, {"event_id": "X", "capability": ""}],
)
def test_results_that_are_late_broken_or_of_others_do_not_count(works: Works, values: dict[str, Any]) -> None:
    works.pipeline()
    works.result(**values)
    works.run(3)
    assert works.runs() == []
    works.result()
    works.run(3)
    assert len(works.runs()) == 1


def test_a_result_counts_by_its_event_where_nobody_knows_what_served_it(works: Works) -> None:
    works.pipeline()
    works.result(capability="")
    works.run(3)
    assert len(works.runs()) == 1


def test_results_for_a_platform_above_are_its_own_business(works: Works) -> None:
    works.pipeline()
    works.instance("theirs", origin="11000000005020000009", plan_id=None)
    works.result("theirs")
    works.run(3)
    assert works.runs() == []


def test_results_of_an_hour_ago_do_not_count(works: Works) -> None:
    """The engine stood still, or the daemon was down: what they saw is over."""
    works.pipeline()
    works.result()
    works.pass_by(HOUR)
    works.run(3)
    assert works.runs() == []


def test_more_results_than_one_pass_takes_are_all_looked_at(works: Works) -> None:
    works.pipeline(event_ids=["LAST"])
    for _ in range(450):
        works.result()
    works.result(event_id="LAST")
    works.run(4, seconds=0.1)
    assert len(works.runs()) == 1


# --- bounds -------------------------------------------------------------------------------------------------------


def test_no_more_runs_than_allowed_and_the_others_are_counted(tmp_path: Path) -> None:
    works = Works(tmp_path, pipelines_max_runs="2")
    for number in range(2, 6):
        works.instance(f"instance-{number}", info=stream(f"rtsp://10.0.0.9/{number}"))
    works.run(6)
    works.pipeline()
    for number in range(1, 6):
        works.result(f"instance-{number}")
    works.run(3, seconds=0.2)
    assert len(works.runs()) == 2
    with works.store.read() as tx:
        row = pipelines.get(tx, "p")
    assert row is not None
    assert row["skipped"] == 3
    works.run(35)
    works.result("instance-5")
    works.run(3, seconds=0.2)
    assert [row["status"] for row in works.runs()][:2] == ["DONE", "DONE"]
    assert len(works.runs()) == 3
    works.close()


def test_runs_that_are_over_are_kept_in_bounds(works: Works, monkeypatch: pytest.MonkeyPatch) -> None:
    works.pipeline(duration_seconds=10)
    for _ in range(4):
        works.result()
        works.run(15)
    assert [row["status"] for row in works.runs()] == ["DONE"] * 4
    works.run(3)
    lately = works.clock.steps.shown(works.clock.moment, DAY)
    monkeypatch.setattr(pipelines, "KEPT", 3)
    made = [row["instance_id"] for row in works.runs()]
    with works.store.write() as tx:
        assert all(plans.any_instance(tx, one) for one in made)
        assert pipelines.trim(tx, lately, lately, 100) == 1
        assert [one for one in made if plans.any_instance(tx, one) is None] == made[:1]
    works.result()
    works.run(3)
    works.pass_by(2 * DAY)
    today = works.clock.steps.shown(works.clock.moment, DAY)
    with works.store.write() as tx:
        assert [pipelines.trim(tx, today, today, 2) for _ in range(3)] == [2, 1, 0]
    assert [row["ended_ms"] for row in works.runs()] == [None]
    assert [row["id"] for row in works.made()] == [works.the_run()["instance_id"]]


def test_an_instance_stays_until_it_has_left_its_device(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines, "KEPT", 0)
    works.pipeline(duration_seconds=10)
    made = works.begun()["instance_id"]
    works.plant.away.add(CODE)
    works.run(14)
    assert works.the_run()["status"] == "DONE"
    works.pass_by(2 * DAY)
    lately = works.clock.steps.shown(works.clock.moment, DAY)
    with works.store.write() as tx:
        assert pipelines.trim(tx, lately, lately, 10) == 1
        assert plans.any_instance(tx, made) is not None
    works.plant.away.clear()
    works.run(40)
    assert works.on_device() == 0


def test_a_flood_of_runs_does_not_make_others_count_too_soon(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a rate is measured from stays while it may be asked for, however many runs came after."""
    monkeypatch.setattr(pipelines, "KEPT", 2)
    works.pipeline(interval_seconds=HOUR, duration_seconds=10)
    works.begun()
    works.run(12)
    shot(works, name="flood")
    for _ in range(5):
        works.result()  # without a picture: over at once
    works.run(2)
    shown = works.clock.steps.shown
    with works.store.write() as tx:
        pipelines.trim(tx, shown(works.clock.moment, 180 * DAY), shown(works.clock.moment, DAY), 100)
    assert Counter(row["pipeline_id"] for row in works.runs()) == {"p": 1, "flood": 2}
    works.result()
    works.run(2)
    assert Counter(row["pipeline_id"] for row in works.runs()) == {"p": 1, "flood": 3}
    works.pass_by(2 * DAY)
    with works.store.write() as tx:
        pipelines.trim(tx, shown(works.clock.moment, 180 * DAY), shown(works.clock.moment, DAY), 100)
    assert Counter(row["pipeline_id"] for row in works.runs()) == {"flood": 2}


def test_one_stream_that_never_rests_leaves_room_for_others(tmp_path: Path) -> None:
    works = Works(tmp_path, pipelines_max_runs="10")
    works.instance("instance-2", info=stream("rtsp://10.0.0.9/2"))
    works.run(6)
    shot(works)
    for _ in range(50):
        works.result(pictures=1)
    works.result("instance-2", pictures=1)
    works.run(3, seconds=0.2)
    assert Counter(row["source_id"] for row in works.runs()) == {SOURCE: 5, "instance-2": 1}
    with works.store.read() as tx:
        row = pipelines.get(tx, "p")
    assert row is not None
    assert row["skipped"] == 45
    works.close()


def test_results_that_come_too_soon_hold_up_nobody_who_writes(works: Works) -> None:
    """Fifty a second of one stream: none of them is a reason to take the lock."""
    for number in range(20):
        works.pipeline(f"p{number}", interval_seconds=60, duration_seconds=HOUR)
    works.result()
    works.run(14)
    assert {row["status"] for row in works.runs()} == {"RUNNING"}
    for _ in range(50):
        works.result()
    duty = Pipelines(works.core)
    with works.store.write() as tx:
        asked: list[str] = []
        connection = works.store._durable.connection()
        connection.set_trace_callback(asked.append)
        before = len(tx.rows(PipelineRun.select()))
    asked.clear()
    duty.ensure(works.clock.moment)
    connection.set_trace_callback(None)
    assert (asked, before) == ([], 20)
    assert [row["matches"] for row in works.runs()] == [1] * 20


def test_a_pass_asks_a_few_questions_whatever_matches(works: Works) -> None:
    """A question for each result and pipeline kept all others from writing for minutes."""
    for number in range(2, 52):
        works.instance(f"instance-{number}", on=False, info=stream(f"rtsp://10.0.0.9/{number}"))
    for number in range(20):
        works.pipeline(f"p{number}")
    works.result()
    works.run(2)
    for number in range(2, 52):
        works.result(f"instance-{number}")
    duty, asked = Pipelines(works.core), list[str]()
    with works.store.read() as tx:
        rows, runs = pipelines.enabled(tx), pipelines.active(tx)
        connection = tx._database.connection()
        connection.set_trace_callback(asked.append)
        looked = duty._look(tx, rows, runs, duty._due(runs, works.clock.moment), works.clock.moment)
        connection.set_trace_callback(None)
    assert looked.is_more
    assert looked.tally.begun == 60  # three results, each with every pipeline
    assert len(asked) < 10, asked


def test_what_is_changed_while_it_looks_is_looked_at_again(
    works: Works, monkeypatch: pytest.MonkeyPatch
) -> None:
    works.pipeline("p")
    works.pipeline("q", event_ids=["INTRUSION"])
    works.result()
    write = works.store.write

    def late(**more: Any) -> Any:
        monkeypatch.setattr(works.store, "write", write)
        works.change_pipeline("p", enabled=False)
        works.change_pipeline("q", min_score=0.0, skipped=7)
        return write(**more)

    monkeypatch.setattr(works.store, "write", late)
    duty = Pipelines(works.core)
    duty.ensure(works.clock.moment)
    assert works.runs() == []
    assert works.core.wake_event.is_set()
    duty.ensure(works.clock.moment)
    assert [row["pipeline_id"] for row in works.runs()] == ["q"]


# --- what it survives ------------------------------------------------------------------------------------------------


def test_a_restart_neither_begins_a_run_twice_nor_ends_it_early(works: Works) -> None:
    works.pipeline()
    works.begun()
    works.run(12)
    works.restart()
    works.run(10)
    assert works.the_run()["status"] == "RUNNING"
    works.run(12)
    row = works.the_run()
    assert (row["status"], row["matches"]) == ("DONE", 1)
    assert len([one for _, one in works.plant.steps if isinstance(one, CreateTask)]) == 2


def test_a_reboot_goes_on_from_what_was_written_down(works: Works) -> None:
    works.pipeline()
    works.begun()
    works.run(12)
    works.clock.moment = Moment(works.clock.moment.wall_ms + 600_000, 5.0, "another boot")
    works.restart()
    works.run(12)
    assert works.the_run()["status"] == "RUNNING"
    works.run(14)
    assert works.the_run()["status"] == "DONE"


def test_a_result_that_came_just_before_a_restart_still_counts(works: Works) -> None:
    works.pipeline()
    works.run(1)
    works.result()
    works.restart()
    works.run(4)
    assert works.the_run()["matches"] == 1


@pytest.mark.parametrize("step", [HOUR, -HOUR, DAY, -DAY, 3 * 365 * DAY, -3 * 365 * DAY])
def test_a_clock_that_is_set_neither_ends_a_run_nor_lets_one_in_early(works: Works, step: int) -> None:
    works.pipeline(interval_seconds=10, duration_seconds=30)
    works.begun()
    works.run(5)
    works.set_clock(step)
    works.run(15)
    assert works.the_run()["status"] == "RUNNING"
    works.result()
    works.run(12)
    row = works.the_run()
    assert (row["status"], row["matches"]) == ("RUNNING", 2)
    works.run(22)
    assert works.the_run()["status"] == "DONE"


def test_results_count_after_all_that_were_kept_have_gone(works: Works) -> None:
    """Their numbers begin at 1 again when a quiet site has dropped the last one."""
    works.pipeline(duration_seconds=10)
    for _ in range(20):
        works.result()
    works.run(20)
    assert works.the_run()["status"] == "DONE"
    with works.store.write() as tx:
        tx.run(Result.delete())
    works.run(1)
    assert works.result(fingerprint="another") == 1
    works.run(2)
    assert [row["result_id"] for row in works.runs()] == [1, 1]
    works.restart()
    works.run(2)
    assert [row["matches"] for row in works.runs()] == [20, 1]


@pytest.mark.parametrize("change", [{"status": "FINISHED"}, {"deleted": True, "on": False}])
def test_what_was_found_last_counts_though_the_run_ends_with_it(works: Works, change: dict[str, Any]) -> None:
    shot(works)
    works.pipeline("q", capability="C")
    works.result(pictures=1)
    works.run(4, seconds=0.2)
    [made] = works.made()
    works.result(made["id"], event_id="FACE", capability="C")
    works.change(made["id"], **change)
    works.run(2, seconds=0.2)
    first, second = works.runs()
    assert (first["pipeline_id"], first["status"]) == ("p", "DONE")
    assert (second["pipeline_id"], second["source_id"]) == ("q", made["id"])


@pytest.mark.parametrize(("status", "counts"), [("FINISHED", True), ("RUNNING", False)])
def test_what_a_device_found_counts_after_it_said_that_it_has_finished(
    works: Works, status: str, counts: bool
) -> None:
    """Its task is gone by then; what comes late because somebody ended the run counts no more."""
    shot(works)
    works.pipeline("q", capability="C")
    works.result(pictures=1)
    works.run(4, seconds=0.2)
    [made] = works.made()
    works.change(made["id"], status=status, deleted=status == "RUNNING")
    works.run(2)
    assert works.the_run()["status"] == "DONE"
    works.result(made["id"], event_id="FACE", capability="C", late=True)
    works.run(2)
    assert [row["pipeline_id"] for row in works.runs()] == ["p", "q"][: 1 + counts]
    works.pass_by(HOUR)
    works.result(made["id"], event_id="FACE", capability="C", late=True)
    works.run(2)
    assert len(works.runs()) == 1 + counts


def test_a_result_in_the_moment_its_time_is_over_lets_it_run_on(works: Works) -> None:
    works.pipeline(duration_seconds=30)
    works.begun()
    works.pass_by(29)
    works.result()
    works.run(3)
    row = works.the_run()
    assert (row["status"], row["matches"], works.on_device()) == ("RUNNING", 2, 1)


# --- what others do meanwhile -----------------------------------------------------------------------------------------


def test_switched_off_it_ends_its_runs(works: Works) -> None:
    works.pipeline()
    works.begun()
    works.change_pipeline(enabled=False)
    works.run(4)
    row = works.the_run()
    assert (row["status"], row["reason"]) == ("DONE", "the pipeline was switched off or deleted")
    assert works.on_device() == 0


def test_a_deleted_one_ends_its_runs(works: Works) -> None:
    works.pipeline()
    works.begun()
    with works.store.write() as tx:
        pipelines.drop(tx, "p")
    works.run(4)
    assert works.the_run()["reason"] == "the pipeline was switched off or deleted"
    assert works.on_device() == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"on": False, "started": False}, "its instance was stopped"),
        ({"deleted": True}, "its instance was deleted"),
    ],
)
def test_an_operator_may_end_one_run(works: Works, change: dict[str, Any], reason: str) -> None:
    works.pipeline()
    works.begun()
    [made] = works.made()
    works.change(made["id"], **change)
    works.run(5)
    row = works.the_run()
    assert (row["status"], row["reason"]) == ("DONE", reason)
    assert (works.made(), works.on_device()) == ([], 0)


@pytest.mark.parametrize(
    "change",
    [
        {"target": "C"},
        {"rules": [{"EventID": "SMOKING"}, {"EventID": "INTRUSION"}]},
        {"labels": {"Version": "1.0"}},
    ],
)
def test_another_target_takes_over_although_results_never_cease(works: Works, change: dict[str, Any]) -> None:
    """What runs by the old word runs out; else it would run for ever, and the new one never."""
    works.known(SHOT, "C", ["SMOKING"], ["VIDEO_REALTIME"])
    works.pipeline(duration_seconds=10)
    works.begun()
    works.change_pipeline(**change)
    for _ in range(4):
        works.result()
        works.run(4)
    assert [(row["status"], row["matches"]) for row in works.runs()] == [("DONE", 1), ("RUNNING", 4)]
    [made] = works.made()
    assert made["capability"] == change.get("target", "B")


def test_without_pipelines_that_are_on_nobody_looks_at_results(works: Works) -> None:
    works.pipeline(enabled=False)
    works.result()
    assert Pipelines(works.core).ensure(works.clock.moment) is None
    works.change_pipeline(enabled=True)
    due = Pipelines(works.core).ensure(works.clock.moment)
    assert due is not None
    assert len(works.runs()) == 1


# --- pictures ------------------------------------------------------------------------------------------------------


def shot(works: Works, **more: Any) -> None:
    works.pipeline(action="PICTURE", target="C", rules=[{"EventID": "FACE"}], **more)


def sent(works: Works) -> list[dict[str, Any]]:
    """What was created on the device, without the first."""
    return [one.info for _, one in works.plant.steps if isinstance(one, CreateTask)][1:]


def test_a_picture_is_handed_on_under_a_link_of_its_own(works: Works) -> None:
    shot(works)
    number = works.result(pictures=2, body={"Images": [{"Type": "TARGET"}, {"Type": "FULL"}]})
    works.run(4, seconds=0.2)
    row, [made] = works.the_run(), works.made()
    assert (row["picture"], made["type"]) == (1, "IMAGE_REALTIME")
    options = {"VideoStreamOptions": {"Url": f"/ACSMP/Results/{number}/Images/1"}}
    assert made["info"]["StreamOptions"] == options
    [info] = sent(works)
    url = info["StreamOptions"]["VideoStreamOptions"]["Url"]
    signature = works.core.signer.sign("picture", made["id"])
    assert url.startswith("http://")
    assert url.endswith(f"/ACSMP/Links/Pictures/{made['id']}/{signature}")


def test_a_finished_picture_is_done_and_its_task_goes(works: Works) -> None:
    shot(works)
    works.result(pictures=1)
    works.run(4, seconds=0.2)
    works.becomes("FINISHED")
    works.run(20)
    assert works.the_run()["status"] == "DONE"
    assert works.on_device() == 0


def test_every_picture_has_a_run_of_its_own(works: Works) -> None:
    shot(works)
    for _ in range(3):
        works.result(pictures=1)
    works.run(4, seconds=0.2)
    assert [row["status"] for row in works.runs()] == ["RUNNING"] * 3
    assert works.on_device() == 3


def test_a_result_without_a_picture_fails_with_the_reason(works: Works) -> None:
    shot(works)
    works.result()
    works.run(2)
    row = works.the_run()
    assert (row["status"], row["reason"], row["instance_id"]) == ("FAILED", "the result has no picture", "")
    assert works.made() == []


def test_a_picture_that_was_looked_at_may_start_a_task_on_the_stream_it_came_from(works: Works) -> None:
    """A sees something, C looks at the picture, and only what C finds starts B on the video."""
    shot(works)
    works.pipeline("q", capability="C")
    works.result(pictures=1)
    works.run(4, seconds=0.2)
    [made] = works.made()
    works.result(made["id"], event_id="FACE", capability="C")
    works.run(4, seconds=0.2)
    [last] = [one for one in works.made() if one["id"] != made["id"]]
    assert (last["type"], last["capability"]) == ("VIDEO_REALTIME", "B")
    assert last["info"]["StreamOptions"] == stream("rtsp://10.0.0.9/1")["StreamOptions"]
    assert [row["stream"] for row in works.runs()] == ["rtsp://10.0.0.9/1"] * 2


def test_a_task_for_a_stream_of_pictures_gets_that_stream(works: Works) -> None:
    """Only what is handed on has a link; a plan of IMAGE_REALTIME has an address of its own."""
    address = "http://10.0.0.9/picture.jpg"
    works.instance("images", info=stream(address), type="IMAGE_REALTIME")
    works.run(6)
    works.pipeline()
    works.result("images")
    works.run(4, seconds=0.2)
    assert [info["StreamOptions"]["VideoStreamOptions"]["Url"] for info in sent(works)] == [address] * 2
