"""Tables 9-15 of Part 4 as this box serves them: tasks of platforms above are instances here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.api import facade_files
from acsmpd.store import plans, services
from acsmpd.store.tables import Task
from tests.api.face_setup import OTHER_CODE, SITE_CODE, TOKENS, UPSTREAM_HOST, Face, face
from tests.support.packaging import PACKAGE_ID, make_package, task_info

TASKS, PACKAGES = "/CAD/AlgoTasks", "/CAD/Machine/AlgoPackages"
OTHER = TOKENS[OTHER_CODE]
LABELS = {"AlgoCaBinName": "test-algo", "Version": "1.0.0"}
RECEIVER = "http://10.9.9.9:8750/ACSMP/Results/1/x"
THEIR_ID = "70553686-096f-488b-8151-9c1e47adafa5"
NEWER_ID = PACKAGE_ID[:-1] + "2"


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Face]:
    """A box to which the platform above has brought the test package."""
    monkeypatch.setattr(facade_files, "HOLD_SECONDS", 0.0)
    with face(tmp_path / "box") as one:
        bring(one, make_package(tmp_path))
        yield one


def bring(box: Face, file: Path, package_id: str = PACKAGE_ID) -> None:
    url = f"http://{UPSTREAM_HOST}:8750/{package_id}"
    box.fine("POST", "/CAD/Machine/AlgoFilePackages", {"Url": url, "AlgoFilePackageID": package_id})
    box.fetched(file, box.asked()[-1])


def running(box: Face, package_id: str = PACKAGE_ID) -> dict[str, Any]:
    """Load the package; the engine has started it."""
    box.fine("POST", PACKAGES, {"AlgoFilePackageID": package_id})
    row = next(row for row in box.loads() if row["package_id"] == package_id)
    box.becomes(row["load_id"], "RUNNING")
    return row


def info(**more: Any) -> dict[str, Any]:
    given: dict[str, Any] = task_info(Labels=LABELS)
    given["RulesParams"][0]["ResultReceiveUrl"] = [RECEIVER]
    return {**given, **more}


def create(box: Face, token: str = TOKENS[SITE_CODE], **more: Any) -> Any:
    return box.ask("POST", TASKS, {"RestartPolicy": "ALWAYS", "TaskInfo": info(), **more}, token=token)


def created(box: Face, **more: Any) -> str:
    said = create(box, **more)
    assert said.code == 0, said
    return str(said.data["TaskInfo"]["ID"])


def records(box: Face, token: str = TOKENS[SITE_CODE], **asked: Any) -> list[str]:
    page = box.fine("POST", f"{TASKS}:search", asked, token=token)
    return [record["TaskInfo"]["ID"] for record in page["Records"]]


# --- table 9 ------------------------------------------------------------------------------------------------


def test_create_answers_the_whole_task_with_our_id(box: Face) -> None:
    running(box)
    given = info(ID=THEIR_ID)
    data = create(box, TaskInfo=given).data
    task = data.pop("TaskInfo")
    assert data == {"Status": "PENDING", "RestartPolicy": "ALWAYS", "CreateAndStartTask": True}
    assert task.pop("ID") != THEIR_ID
    assert task.pop("Number") == 1
    assert task == {name: value for name, value in given.items() if name != "ID"}


def test_a_task_of_the_face_is_bound_to_this_box_and_to_the_callers_service(box: Face) -> None:
    service = running(box)["id"]
    row = box.instance(created(box, TaskInfo=info(ID=THEIR_ID, ComputilityCode=OTHER_CODE)))
    assert (row["device"], row["service_id"], row["origin"], row["caller_id"]) == (
        SITE_CODE, service, SITE_CODE, THEIR_ID,
    )  # fmt: skip
    assert (row["type"], row["restart_policy"], row["on"], row["plan_id"]) == (
        "VIDEO_REALTIME",
        "ALWAYS",
        True,
        None,
    )
    assert row["receive_urls"] == {"INTRUSION": [RECEIVER]}


def test_created_unstarted_it_is_paused(box: Face) -> None:
    running(box)
    data = create(box, CreateAndStartTask=False).data
    assert (data["Status"], data["CreateAndStartTask"]) == ("PAUSED", False)
    assert box.instance(data["TaskInfo"]["ID"])["on"] is False


def test_a_repeat_with_the_same_id_answers_the_task_that_is_there(box: Face) -> None:
    running(box)
    first = created(box, TaskInfo=info(ID=THEIR_ID))
    assert created(box, TaskInfo=info(ID=THEIR_ID)) == first
    assert records(box) == [first]
    box.fine("DELETE", f"{TASKS}/{first}")
    assert created(box, TaskInfo=info(ID=THEIR_ID)) != first


STREAM = {"StreamOptions": {"VideoStreamOptions": {"Url": "rtsp://10.0.0.10/b"}}}


@pytest.mark.parametrize("change", [{"TaskInfo": info(ID=THEIR_ID, **STREAM)}, {"RestartPolicy": "NEVER"}])
def test_another_task_under_an_id_that_is_known_is_a_task_of_its_own(
    box: Face, change: dict[str, Any]
) -> None:
    running(box)
    first = created(box, TaskInfo=info(ID=THEIR_ID))
    other = {"TaskInfo": info(ID=THEIR_ID), **change}
    second = created(box, **other)
    assert records(box) == [first, second]
    assert created(box, **other) == second, "each is repeated by its own words"
    assert created(box, TaskInfo=info(ID=THEIR_ID)) == first
    shown = box.fine("GET", f"{TASKS}/{second}")
    assert shown["RestartPolicy"] == other.get("RestartPolicy", "ALWAYS")
    assert shown["TaskInfo"]["StreamOptions"] == other["TaskInfo"]["StreamOptions"]


def test_a_known_id_excuses_nothing_that_is_wrong(box: Face) -> None:
    service = running(box)["id"]
    first = created(box, AlgoServiceID=service, TaskInfo=info(ID=THEIR_ID, Labels=None))
    for wrong, code in (
        ({"TaskInfo": info(ID=THEIR_ID, Labels=None)}, 40001),
        ({"TaskInfo": info(ID=THEIR_ID, Labels={"AlgoCaBinName": "unknown"})}, 40401),
        ({"TaskInfo": info(ID=THEIR_ID, Labels=None), "AlgoServiceID": "another"}, 40401),
    ):
        assert create(box, **wrong).code == code
    assert created(box, AlgoServiceID=service, TaskInfo=info(ID=THEIR_ID, Labels=None)) == first
    assert records(box) == [first]


def test_a_repeat_starts_no_service(box: Face) -> None:
    load = running(box)["load_id"]
    first = created(box, TaskInfo=info(ID=THEIR_ID))
    box.fine("POST", f"{TASKS}/{first}:pause")
    box.fine("DELETE", f"{PACKAGES}/{PACKAGE_ID}")
    box.drops(load)
    assert created(box, TaskInfo=info(ID=THEIR_ID)) == first
    assert box.loads() == []


def test_the_same_id_from_two_platforms_is_two_tasks(box: Face, tmp_path: Path) -> None:
    running(box)
    first = created(box, TaskInfo=info(ID=THEIR_ID))
    said = create(box, token=OTHER, TaskInfo=info(ID=THEIR_ID))
    assert said.code == 40401
    assert said.message == "$.TaskInfo.Labels: no package test-algo 1.0.0 is here"
    assert records(box, token=OTHER) == []
    assert records(box) == [first]


def test_without_an_id_every_create_is_a_task_of_its_own(box: Face) -> None:
    running(box)
    assert created(box) != created(box)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        (
            {"Labels": None},
            40001,
            "$.TaskInfo.Labels: AlgoCaBinName is wanted where no AlgoServiceID is given",
        ),
        ({"Labels": {"Version": "1.0.0"}}, 40001, "AlgoCaBinName is wanted"),
        ({"Labels": {"AlgoCaBinName": "unknown"}}, 40401, "no package unknown is here"),
        ({"Labels": {**LABELS, "Version": "9"}}, 40401, "no package test-algo 9 is here"),
        ({"RulesParams": []}, 40001, "$.TaskInfo.RulesParams: must hold at least one rule"),
        (
            {"RulesParams": [{"EventID": "FALL"}]},
            40001,
            "no package of these Labels serves FALL; served: INTRUSION",
        ),
        ({"RulesParams": [{"EventID": "lower"}]}, 40001, "$.TaskInfo.RulesParams[0].EventID"),
        ({"RulesParams": [{}]}, 40002, "$.TaskInfo.RulesParams[0].EventID: required"),
    ],
)
def test_tasks_that_cannot_be_are_refused_and_leave_nothing(
    box: Face, change: dict[str, Any], code: int, words: str
) -> None:
    said = create(box, TaskInfo=info(**change))
    assert (said.status, said.code) == (200, code)
    assert words in said.message
    assert records(box) == []
    assert box.loads() == []


def test_required_members_and_enumerations_hold(box: Face) -> None:
    assert box.ask("POST", TASKS, {"TaskInfo": info()}).code == 40002
    assert create(box, RestartPolicy="SOMETIMES").code == 40001
    assert box.ask("POST", TASKS, {"RestartPolicy": "NEVER"}).code == 40002


def test_labels_are_compared_folded_and_the_misprint_is_read(box: Face) -> None:
    running(box)
    created(box, TaskInfo=info(Labels={"JAlgoCaBinName": "TEST_algo"}))


def test_a_service_that_is_not_loaded_is_started_for_the_task(box: Face) -> None:
    instance = box.instance(created(box))
    (row,) = box.loads()
    assert (row["origin"], row["wanted"], row["id"]) == (SITE_CODE, True, instance["service_id"])


def test_an_unstarted_task_starts_no_service_before_it_is_resumed(box: Face) -> None:
    task = created(box, CreateAndStartTask=False)
    assert box.loads() == []
    box.fine("POST", f"{TASKS}/{task}:resume")
    assert [row["id"] for row in box.loads()] == [box.instance(task)["service_id"]]
    assert box.instance(task)["on"] is True


def test_what_runs_goes_before_what_is_newer_and_the_newer_before_the_older(
    box: Face, tmp_path: Path
) -> None:
    bring(box, make_package(tmp_path, package_id=NEWER_ID, version="1.10.0", codes=("NEWER",)), NEWER_ID)
    labels = {"AlgoCaBinName": "test-algo"}
    old = running(box)["id"]
    assert box.instance(created(box, TaskInfo=info(Labels=labels)))["service_id"] == old
    new = running(box, NEWER_ID)["id"]
    assert box.instance(created(box, TaskInfo=info(Labels=labels)))["service_id"] == new
    assert box.instance(created(box, TaskInfo=info(Labels=LABELS)))["service_id"] == old


def test_a_package_without_live_video_gives_the_type_it_has(box: Face, tmp_path: Path) -> None:
    other = make_package(
        tmp_path, package_id=NEWER_ID, name="files", codes=("FILES",), types=("IMAGE_REALTIME", "VIDEO_FILE")
    )
    bring(box, other, NEWER_ID)
    task = created(box, TaskInfo=info(Labels={"AlgoCaBinName": "files"}))
    assert box.instance(task)["type"] == "VIDEO_FILE"


def test_the_named_service_or_a_refusal(box: Face) -> None:
    service = running(box)["id"]
    task = created(box, AlgoServiceID=service, TaskInfo=info(Labels=None))
    assert box.instance(task)["service_id"] == service
    said = create(box, AlgoServiceID="another", TaskInfo=info())
    assert (said.code, said.message) == (40401, "$.AlgoServiceID: no service another is loaded")
    said = create(box, AlgoServiceID=service, TaskInfo=info(RulesParams=[{"EventID": "FALL"}]))
    assert said.code == 40001
    assert said.message.endswith("does not serve FALL")
    assert create(box, token=OTHER, AlgoServiceID=service, TaskInfo=info(Labels=None)).code == 40401


def test_the_sites_own_services_are_not_lent(tmp_path: Path) -> None:
    with face(tmp_path / "box") as box:
        box.imported_here(make_package(tmp_path))
        with box.store.write() as tx:
            services.add_service(tx, id="s", package_id=PACKAGE_ID, env=[], created_ms=1)
            services.add_load(
                tx,
                id="l",
                service_id="s",
                package_id=PACKAGE_ID,
                device=SITE_CODE,
                status="RUNNING",
                created_ms=1,
                changed_ms=1,
            )
        assert create(box).code == 40401
        assert create(box, AlgoServiceID="s").code == 40401


# --- table 10 -----------------------------------------------------------------------------------------------


def put(box: Face, task: str, policy: str = "ALWAYS", **more: Any) -> Any:
    return box.ask("PUT", f"{TASKS}/{task}", {"RestartPolicy": policy, "TaskInfo": info(**more)})


def test_update_replaces_the_whole_task(box: Face) -> None:
    running(box)
    task = created(box, TaskInfo=info(Labels={**LABELS, "Floor": "2"}), CreateAndStartTask=False)
    options = {"VideoStreamOptions": {"Url": "rtsp://10.0.0.10/b"}}
    data = put(box, task, "NEVER", StreamOptions=options).data
    assert data["TaskInfo"]["StreamOptions"] == options
    assert data["TaskInfo"]["Labels"] == LABELS
    assert (data["TaskInfo"]["ID"], data["RestartPolicy"], data["CreateAndStartTask"]) == (
        task,
        "NEVER",
        False,
    )
    assert box.instance(task)["revision"] == 1


def test_update_without_labels_keeps_what_it_runs_on(box: Face) -> None:
    service = running(box)["id"]
    task = created(box)
    assert put(box, task, Labels=None).data["TaskInfo"]["Labels"] == LABELS
    named = created(box, AlgoServiceID=service, TaskInfo=info(Labels=None))
    assert put(box, named, Labels=None).code == 0
    assert box.instance(named)["service_id"] == service


def test_the_path_names_the_task(box: Face) -> None:
    running(box)
    task = created(box, TaskInfo=info(ID=THEIR_ID))
    assert [put(box, task, ID=one).code for one in (task, THEIR_ID)] == [0, 0]
    said = put(box, task, ID="another")
    assert said.code == 40001
    assert said.message == f"$.TaskInfo.ID: another is not the task of the path, {task}"


@pytest.mark.parametrize(
    ("on", "status", "code"),
    [(True, "RUNNING", 40901), (True, "PENDING", 40901), (True, "ERROR", 40901), (True, "FINISHED", 0),
     (False, "PAUSED", 0), (False, "RUNNING", 0)],
)  # fmt: skip
def test_a_never_task_is_changed_only_while_nobody_wants_it_to_run(
    box: Face, on: bool, status: str, code: int
) -> None:
    running(box)
    task = created(box, RestartPolicy="NEVER")
    box.instance_becomes(task, on=on, status=status)
    said = put(box, task, "NEVER", StreamOptions={"VideoStreamOptions": {"Url": "rtsp://10.0.0.10/b"}})
    assert said.code == code
    assert box.instance(task)["revision"] == (1 if code == 0 else 0)
    if code:
        assert said.message == f"cannot change task {task}: it is a NEVER task; pause it first"


def test_an_update_that_is_refused_changes_nothing(box: Face) -> None:
    running(box)
    task = created(box)
    before = box.instance(task)
    assert put(box, task, RulesParams=[{"EventID": "FALL"}]).code == 40001
    assert put(box, task, Labels={"AlgoCaBinName": "gone"}).code == 40401
    assert box.instance(task) == before


def test_moving_to_another_package_takes_the_place_away(box: Face, tmp_path: Path) -> None:
    load = running(box)["load_id"]
    bring(box, make_package(tmp_path, package_id=NEWER_ID, version="2.0.0", codes=("NEWER",)), NEWER_ID)
    new = running(box, NEWER_ID)["id"]
    task = created(box)
    place = box.placed(task, load)
    assert put(box, task, Labels={**LABELS, "Version": "2.0.0"}).code == 0
    assert box.instance(task)["service_id"] == new
    with box.store.read() as tx:
        row = plans.task(tx, place)
    assert row is not None
    assert row.wanted == "gone"


# --- tables 11-13 -------------------------------------------------------------------------------------------


def test_delete_resume_pause(box: Face) -> None:
    running(box)
    task = created(box)
    for verb, on in (("pause", False), ("pause", False), ("resume", True), ("resume", True)):
        box.fine("POST", f"{TASKS}/{task}:{verb}")
        assert box.instance(task)["on"] is on
    box.fine("POST", f"{TASKS}/{task}/pause")
    box.fine("DELETE", f"{TASKS}/{task}")
    assert box.instance(task)["deleted"] is True
    for method, path in (
        ("DELETE", ""), ("GET", ""), ("POST", ":resume"), ("POST", ":pause"),
    ):  # fmt: skip
        said = box.ask(method, f"{TASKS}/{task}{path}")
        assert (said.status, said.code, said.message) == (200, 40401, f"no task {task}")
    assert put(box, task).code == 40401


@pytest.mark.parametrize("status", ["FINISHED", "ERROR"])
def test_resume_starts_what_has_ended_afresh(box: Face, status: str) -> None:
    load = running(box)["load_id"]
    task = created(box)
    place = box.placed(task, load, status=status, task_id="7")
    box.instance_becomes(task, status=status)
    box.fine("POST", f"{TASKS}/{task}:resume")
    with box.store.read() as tx:
        (row,) = plans.tasks(tx, Task.id == place)
    assert row.status == "PAUSED"
    assert box.fine("GET", f"{TASKS}/{task}")["Status"] == "PENDING"


def test_resume_has_no_effect_on_a_running_task(box: Face) -> None:
    load = running(box)["load_id"]
    task = created(box)
    box.placed(task, load, status="RUNNING", task_id="7")
    box.instance_becomes(task, status="RUNNING")
    before = box.instance(task)
    box.fine("POST", f"{TASKS}/{task}:resume")
    assert box.instance(task) == before


def test_unload_is_refused_while_a_task_runs_and_frees_paused_ones(box: Face) -> None:
    load = running(box)["load_id"]
    task = created(box)
    place = box.placed(task, load, status="RUNNING", task_id="7")
    said = box.ask("DELETE", f"{PACKAGES}/{PACKAGE_ID}")
    assert (said.code, said.message) == ("40901", f"cannot unload: task instances run on it: {task}")
    with box.store.write() as tx:
        plans.change_task(tx, place, wanted="paused", status="PAUSED")
    assert box.ask("DELETE", f"{PACKAGES}/{PACKAGE_ID}").code == "0"
    with box.store.read() as tx:
        (row,) = plans.tasks(tx, Task.id == place)
    assert row.wanted == "gone"


def test_resume_starts_a_service_that_was_unloaded_meanwhile(box: Face) -> None:
    first = running(box)
    task = created(box)
    box.fine("POST", f"{TASKS}/{task}:pause")
    box.fine("DELETE", f"{PACKAGES}/{PACKAGE_ID}")
    box.drops(first["load_id"])
    assert box.loads() == []
    box.fine("POST", f"{TASKS}/{task}:resume")
    assert [row["id"] for row in box.loads()] == [first["id"]] == [box.instance(task)["service_id"]]


# --- tables 14 and 15 ---------------------------------------------------------------------------------------


def test_search_pages_in_the_object_form(box: Face) -> None:
    running(box)
    tasks = [created(box) for _ in range(3)]
    page = box.fine("POST", f"{TASKS}:search", {"PageNumber": 2, "PageSize": 2})
    assert (page["PageNumber"], page["PageSize"], page["TotalSize"]) == (2, 2, 3)
    assert page["Records"] == [box.fine("GET", f"{TASKS}/{tasks[2]}")]
    assert records(box) == tasks
    assert box.fine("POST", f"{TASKS}/search", {"PageSize": 5000})["PageSize"] == 1000
    assert box.ask("POST", f"{TASKS}:search", {"PageSize": 0}).code == 40001


def test_every_filter_filters(box: Face, tmp_path: Path) -> None:
    bring(
        box,
        make_package(tmp_path, package_id=NEWER_ID, name="falls", events=("FALL",), codes=("F",)),
        NEWER_ID,
    )
    running(box)
    running(box, NEWER_ID)
    plain = created(box)
    fall = created(box, TaskInfo=info(Labels={"AlgoCaBinName": "falls"}, RulesParams=[{"EventID": "FALL"}]))
    never = created(box, RestartPolicy="NEVER")
    unstarted = created(box, CreateAndStartTask=False)
    box.fine("POST", f"{TASKS}/{unstarted}:resume")
    box.instance_becomes(never, status="ERROR", reason="the stream is gone")
    assert records(box, EventID="FALL") == [fall]
    assert records(box, RestartPolicy="NEVER") == [never]
    assert records(box, Status="ERROR") == [never]
    assert records(box, CreateAndStartTask=False) == [unstarted]
    assert records(box, CreateAndStartTask=True, RestartPolicy="ALWAYS", EventID="INTRUSION") == [plain]
    assert box.fine("GET", f"{TASKS}/{never}")["TaskInfo"]["Reason"] == "the stream is gone"


def test_the_detail_names_the_service_once_the_task_has_a_place(box: Face) -> None:
    row = running(box)
    task = created(box)
    assert "AlgoServiceID" not in box.fine("GET", f"{TASKS}/{task}")
    box.placed(task, row["load_id"])
    assert box.fine("GET", f"{TASKS}/{task}")["AlgoServiceID"] == row["id"]
    assert box.fine("GET", f"{TASKS}/{task}")["TaskInfo"]["RulesParams"][0]["ResultReceiveUrl"] == [RECEIVER]


# --- strangers ----------------------------------------------------------------------------------------------


def own_instance(box: Face, number: str, device: str) -> str:
    """A task of the site's own people."""
    with box.store.write() as tx:
        plans.add_instance(
            tx, [], id=number, type="VIDEO_REALTIME", info=info(), receive_urls={}, device=device, on=True,
            status="RUNNING", created_ms=1, changed_ms=1,
        )  # fmt: skip
    return number


def everything(box: Face, task: str, token: str) -> list[Any]:
    body = {"RestartPolicy": "ALWAYS", "TaskInfo": info()}
    return [
        box.ask("PUT", f"{TASKS}/{task}", body, token=token).code,
        box.ask("POST", f"{TASKS}/{task}:pause", token=token).code,
        box.ask("POST", f"{TASKS}/{task}:resume", token=token).code,
        box.ask("DELETE", f"{TASKS}/{task}", token=token).code,
    ]


def test_nobody_sees_or_touches_what_another_created(box: Face) -> None:
    running(box)
    task, site = created(box), own_instance(box, "site-task", SITE_CODE)
    before = [box.instance(one) for one in (task, site)]
    for stranger, token in ((task, OTHER), (task, "key-boss"), (site, OTHER), (site, TOKENS[SITE_CODE])):
        assert box.ask("GET", f"{TASKS}/{stranger}", token=token).code == 40401
        assert everything(box, stranger, token) == [40401] * 4
    assert records(box, token=OTHER) == records(box, token="key-boss") == []
    assert [box.instance(one) for one in (task, site)] == before


def test_show_local_shows_the_rest_of_this_box_read_only(tmp_path: Path) -> None:
    with face(tmp_path / "box", facade_show_local="true") as box:
        here, moved = own_instance(box, "a", SITE_CODE), own_instance(box, "b", "")
        own_instance(box, "elsewhere", "11010000005050000009")
        assert records(box) == [here]
        box.placed(moved, None)
        assert records(box) == [here, moved]
        assert box.fine("GET", f"{TASKS}/{here}")["Status"] == "RUNNING"
        assert everything(box, here, TOKENS[SITE_CODE]) == [40301] * 4
        assert box.instance(here)["on"] is True


def test_a_person_with_the_right_works_in_the_own_name(box: Face) -> None:
    url = f"http://{UPSTREAM_HOST}/x"
    box.fine(
        "POST", "/CAD/Machine/AlgoFilePackages", {"Url": url, "AlgoFilePackageID": NEWER_ID}, token="key-boss"
    )
    assert box.asked()[-1]["arguments"]["Origin"] == "key:boss"
