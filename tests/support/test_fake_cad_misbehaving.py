"""Each misbehaviour of the fake CAD makes the real driver raise the fault the engine is to decide by."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from acsmpd.faults import Permanent, Temporary, Unknown
from acsmpd.model import DeleteTask, LookTask, PauseTask
from acsmpd.spec.messages import cad
from acsmpd.wire.answer import Missing
from tests.support.fake_cad import FakeCad
from tests.support.fake_stage import STREAM, Site, site_before


def test_slow_before_the_work_is_unknown_and_the_wait_ends_with_the_fake() -> None:
    with FakeCad() as fake, site_before(fake) as site:
        fake.needs_service = False
        fake.slow(20, "create_algo_task")
        message = cad.AlgoTaskCreateRequest(
            restart_policy="ALWAYS", task_info=_task(), create_and_start_task=True
        )
        with pytest.raises(Unknown, match="no whole answer in time"):
            site.call("create_algo_task", message, seconds=0.2)
        assert site.driver.observe(site.peer).tasks == ()
    assert fake.tasks == {}, "an ended device does no work"
    assert not any(thread.name.startswith("fake-") for thread in threading.enumerate())


def test_slow_after_the_work_has_done_it() -> None:
    with FakeCad() as fake, site_before(fake) as site:
        fake.needs_service = False
        fake.slow(20, "create_algo_task", after=True)
        message = cad.AlgoTaskCreateRequest(restart_policy="ALWAYS", task_info=_task())
        with pytest.raises(Unknown):
            site.call("create_algo_task", message, seconds=0.2)
        assert len(fake.tasks) == 1
        fake.slow(0, "create_algo_task", after=True)
        site.call("create_algo_task", message)
        fake.slow(20)
        with pytest.raises(Temporary, match="no whole answer in time"):
            site.call("get_device_status", seconds=0.2)


def test_refusals_are_permanent_and_as_many_as_told(loaded: Site) -> None:
    loaded.fake.refuse(50000, "not today", times=1, operation="create_algo_task")
    with pytest.raises(Permanent, match='Code 50000 "not today"'):
        loaded.create()
    assert loaded.create().facility_id
    loaded.fake.refuse(1, "never")
    seen = loaded.fake.tasks
    with pytest.raises(Temporary, match='Code 1 "never"'):
        loaded.driver.observe(loaded.peer)
    with pytest.raises(Permanent):
        loaded.create()
    loaded.fake.behave()
    assert loaded.driver.observe(loaded.peer).faults == ()
    assert loaded.fake.tasks == seen


def test_a_row_the_fake_does_not_have_is_told(fake: FakeCad) -> None:
    with pytest.raises(KeyError, match="no row create_task here"):
        fake.refuse(1, "", operation="create_task")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, Unknown), (503, Temporary), (401, Temporary), (502, Unknown), (400, Permanent)],
)
def test_http_answers(loaded: Site, status: int, kind: type[Exception]) -> None:
    loaded.fake.answer_http(status, "<html>", operation="create_algo_task")
    with pytest.raises(kind):
        loaded.create()
    assert loaded.fake.tasks == {}


def test_an_answer_that_is_no_envelope(loaded: Site) -> None:
    loaded.fake.answer_http(200, "<html>welcome</html>")
    with pytest.raises(Unknown, match="no envelope"):
        loaded.create()
    with pytest.raises(Temporary, match="no envelope"):
        loaded.driver.observe(loaded.peer)


def test_a_redirect_is_not_followed(loaded: Site) -> None:
    with FakeCad(code="2" * 20) as other:
        loaded.fake.redirect_to(other.url + "/CAD/AlgoTasks", operation="create_algo_task")
        with pytest.raises(Permanent, match="HTTP 302"):
            loaded.create()
        assert other.calls() == []


def test_a_dropped_answer_is_unknown_and_the_work_is_done(loaded: Site) -> None:
    loaded.fake.drop_answer(operation="create_algo_task")
    with pytest.raises(Unknown, match="the line was cut"):
        loaded.create()
    assert len(loaded.fake.tasks) == 1
    loaded.create()
    assert loaded.fake.max_running == 2


def test_a_cut_request_is_unknown_and_nothing_is_done(loaded: Site) -> None:
    loaded.fake.cut_before(operation="create_algo_task")
    with pytest.raises(Unknown, match="the line was cut"):
        loaded.create()
    assert loaded.fake.tasks == {}
    loaded.fake.cut_before(times=None, operation="cad.get_device_status")
    with pytest.raises(Temporary, match="the line was cut"):
        loaded.driver.observe(loaded.peer)


def test_a_vanished_device_refuses_and_comes_back_where_it_was(loaded: Site) -> None:
    task_id = loaded.create().facility_id
    peer = loaded.peer
    loaded.fake.vanish()
    with pytest.raises(Temporary, match="refused"):
        loaded.driver.observe(peer)
    with pytest.raises(Temporary, match="refused"):
        loaded.create()
    loaded.fake.come_back()
    assert loaded.fake.url == peer.url
    seen = loaded.driver.observe(peer).tasks
    assert seen is not None
    assert [task.task_id for task in seen] == [task_id]


# --- lists -------------------------------------------------------------------------------------------


def test_an_incomplete_list_is_no_list(loaded: Site) -> None:
    loaded.fake.list_incompletely()
    assert "0 tasks of a TotalSize of 1" in _tasks_fault(loaded)
    for _ in range(3):
        loaded.create()
    assert "2 tasks of a TotalSize of 3" in _tasks_fault(loaded)
    loaded.fake.list_incompletely(False)
    assert loaded.driver.observe(loaded.peer).faults == ()


def test_inconsistent_pages_are_no_list(loaded: Site) -> None:
    for _ in range(3):
        loaded.create()
    loaded.fake.page_inconsistently()
    assert loaded.driver.observe(loaded.peer).faults == ()
    loaded.fake.page_limit = 2
    assert "2 tasks of a TotalSize of 3" in _tasks_fault(loaded)


def test_a_list_without_data_is_no_list(loaded: Site) -> None:
    loaded.fake.list_without_data()
    seen = loaded.driver.observe(loaded.peer)
    assert (seen.packages, seen.services, seen.tasks) == (None, None, None)
    assert len(seen.faults) == 2
    assert all(text.endswith("holds no Data") for text in seen.faults)


def test_abridged_tasks_are_completed_unless_they_are_known(loaded: Site) -> None:
    first, second = loaded.create().facility_id, loaded.create().facility_id
    loaded.fake.abridge()
    seen = loaded.driver.observe(loaded.peer, frozenset([first])).tasks
    assert seen is not None
    assert [(task.task_id, task.stream_url) for task in seen] == [(first, ""), (second, STREAM)]
    assert [call.path for call in loaded.fake.asked("get_algo_task")] == [f"/CAD/AlgoTasks/{second}"]


def test_a_bare_array_is_read_to_its_end(loaded: Site) -> None:
    loaded.fake.bare_array()
    assert loaded.driver.observe(loaded.peer).tasks == ()
    for _ in range(5):
        loaded.create()
    loaded.fake.page_limit = 2
    seen = loaded.driver.observe(loaded.peer).tasks
    assert seen is not None
    assert [task.task_id for task in seen] == list(loaded.fake.tasks)


def test_a_list_that_changes_while_it_is_read_is_no_list(loaded: Site) -> None:
    for _ in range(3):
        loaded.create()
    loaded.fake.page_limit = 2
    page = {"TotalSize": 4, "Records": [loaded.fake.add_foreign_task().shown()]}
    first = json.dumps({"Code": 0, "Message": "", "Data": page})
    loaded.fake.forget_tasks()
    loaded.fake.add_foreign_task()
    loaded.fake.answer_http(200, first, times=1, operation="search_algo_tasks")
    assert "changed while it was read" in _tasks_fault(loaded)


def test_a_list_that_repeats_itself_ends(loaded: Site) -> None:
    page = {"TotalSize": 4, "Records": [loaded.fake.add_foreign_task().shown()]}
    loaded.fake.answer_http(
        200, json.dumps({"Code": 0, "Message": "", "Data": page}), operation="search_algo_tasks"
    )
    assert "1 tasks of a TotalSize of 4" in _tasks_fault(loaded)
    assert len(loaded.fake.asked("search_algo_tasks")) == 2


@pytest.mark.parametrize(
    ("outer", "task", "status", "url"),
    [
        (
            {"Status": "running"},
            {"StreamOptions": {"VideoStreamOptions": {}, "Url": "rtsp://x"}},
            "RUNNING",
            "rtsp://x",
        ),
        ({}, {"Status": "PAUSED", "StreamOptions": {"VideoStreamOptions": "rtsp://x"}}, "PAUSED", ""),
        ({"Status": "STOPPED"}, {"StreamOptions": []}, "PAUSED", ""),
        ({}, {"RulesParams": [1, {"ResultReceiveUrl": "http://x"}]}, "PENDING", ""),
        ({"Status": "LOST"}, {}, "ERROR", ""),
    ],
)
def test_oddly_told_tasks_are_read(
    loaded: Site, outer: dict[str, Any], task: dict[str, Any], status: str, url: str
) -> None:
    told = {"Code": 0, "Message": "", "Data": {**outer, "TaskInfo": {"ID": "7", **task}}}
    loaded.fake.answer_http(200, json.dumps(told), operation="get_algo_task")
    seen = loaded.perform(LookTask(task_id="7")).task
    assert seen is not None
    assert (seen.task_id, seen.status, seen.stream_url) == ("7", status, url)
    assert bool(seen.error) == (status == "ERROR")


@pytest.mark.parametrize("data", [{}, [{"AlgoPackageName": "x"}]])
def test_packages_without_an_id_are_no_list(loaded: Site, data: Any) -> None:
    told = json.dumps({"Code": "0", "Message": "", "Data": data})
    loaded.fake.answer_http(200, told, operation="list_algo_packages")
    seen = loaded.driver.observe(loaded.peer)
    assert seen.packages is None
    assert "a package without an ID" in seen.faults[0]


# --- identities --------------------------------------------------------------------------------------


def test_a_device_that_honours_ids(loaded: Site) -> None:
    loaded.fake.honour_ids()
    assert loaded.create().facility_id == "instance-1"
    with pytest.raises(Permanent, match="40902"):
        loaded.create()


def test_a_device_that_tells_no_id(loaded: Site) -> None:
    loaded.fake.omit_task_id()
    made = loaded.create()
    assert (made.facility_id, made.task) == ("", None)
    assert len(loaded.fake.tasks) == 1


def test_a_device_that_tells_another_tasks_id(loaded: Site) -> None:
    loaded.fake.answer_foreign_ids()
    first = loaded.create().facility_id
    assert loaded.create().facility_id == first
    assert len(loaded.fake.tasks) == 2


def test_forgotten_tasks_are_gone(loaded: Site) -> None:
    task_id = loaded.create().facility_id
    loaded.fake.forget_tasks()
    assert loaded.perform(LookTask(task_id=task_id)).gone
    assert loaded.perform(PauseTask(task_id=task_id)).gone
    assert loaded.driver.observe(loaded.peer).tasks == ()


def test_foreign_things_are_shown(site: Site) -> None:
    task = site.fake.add_foreign_task("rtsp://theirs", "SMOKE")
    site.fake.add_foreign_package("8" * 40)
    seen = site.driver.observe(site.peer)
    assert seen.tasks is not None
    assert seen.services is not None
    assert [(one.task_id, one.event_ids) for one in seen.tasks] == [(task.task_id, ("SMOKE",))]
    assert [one.package_id for one in seen.services] == ["8" * 40]
    assert site.fake.tasks[task.task_id].foreign
    with pytest.raises(Missing):
        site.call("get_algo_package", AlgoFilePackageID="7" * 40)


# --- spelling ----------------------------------------------------------------------------------------


def test_numbers_may_be_texts_and_code_in_lower_case(loaded: Site) -> None:
    loaded.fake.numbers_as_strings()
    loaded.fake.lower_case_code()
    task_id = loaded.create().facility_id
    seen = loaded.driver.observe(loaded.peer)
    assert seen.faults == ()
    assert seen.info[0]["Cpu"] == 8
    assert seen.tasks is not None
    assert [task.task_id for task in seen.tasks] == [task_id]
    loaded.fake.refuse(40401, "no such task", operation="delete_algo_task")
    assert loaded.perform(DeleteTask(task_id=task_id)).gone
    assert loaded.fake.running_tasks()


def _task() -> cad.AlgoTaskInfo:
    return cad.AlgoTaskInfo(
        rules_params=[{"EventID": "FIRE"}], stream_options={"VideoStreamOptions": {"Url": STREAM}}
    )


def _tasks_fault(site: Site) -> str:
    seen = site.driver.observe(site.peer)
    assert seen.tasks is None
    assert seen.packages is not None
    return "; ".join(seen.faults)
