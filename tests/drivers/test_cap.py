"""The CAP driver against a real server: what it asks (as the contract prints it), what it reads, what it makes of odd
answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.drivers.cap import Cap
from acsmpd.faults import Permanent, Temporary, Unknown
from acsmpd.model import (
    CreateTask,
    DeleteCopy,
    DeleteTask,
    Family,
    Load,
    LookTask,
    Observed,
    Outcome,
    PauseTask,
    Peer,
    Push,
    PushProgram,
    ResumeTask,
    Unload,
    UpdateTask,
)
from acsmpd.packages.executable import Executables
from acsmpd.security.egress import EgressPolicy
from acsmpd.wire.caller import Wire
from tests.support.fake_cap import FakeCap
from tests.support.fake_stage import PACKAGE, PackageFiles, info, push
from tests.support.wait import wait_until
from tests.wire.servers import Handler, Server, serving

EXAMPLES = json.loads((Path(__file__).parents[1] / "contract/examples/part4-cap.json").read_text())
SERVICE = "76079e21-1b8b-4151-b904-6c56a4635d58"
TASK = "70553686-096f-488b-8151-9c1e47adafa5"
OTHER = "1101000000502000000120261121120000000009"
TASK_INFO: dict[str, Any] = EXAMPLES["create_algo_task"]["request"]["TaskInfo"]


class Stage:
    """The driver, and whom it commands."""

    def __init__(self, wire: Wire, folder: Path, url: str) -> None:
        self.driver = Cap(wire, Executables(folder))
        self.peer = Peer(code="11010000005020000031", family=Family.CAP, url=url, token="secret-1")

    def perform(self, step: Any) -> Outcome:
        return self.driver.perform(self.peer, step)

    def observe(self, *known: str, **pushed: Any) -> Observed:
        return self.driver.observe(self.peer, frozenset(known), **pushed)

    def load(self, **more: Any) -> str:
        return self.perform(Load(load_id="l", service_id="s", package_id=PACKAGE, **more)).facility_id


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire(EgressPolicy(("127.0.0.1:*",)), "1" * 20, 2.0, 2.0, 1024 * 1024)
    yield made
    made.close()


@pytest.fixture
def files() -> Iterator[PackageFiles]:
    one = PackageFiles()
    with serving(one.script) as server:
        one.server = server
        yield one


@pytest.fixture
def cap() -> Iterator[FakeCap]:
    with FakeCap() as fake:
        yield fake


@pytest.fixture
def stage(wire: Wire, tmp_path: Path, cap: FakeCap) -> Stage:
    return Stage(wire, tmp_path / "executables", cap.url)


@pytest.fixture
def loaded(stage: Stage, cap: FakeCap, files: PackageFiles) -> str:
    """The id of a service of the package, which is there."""
    stage.perform(push(files))
    wait_until(lambda: cap.packages[PACKAGE] == "STOPPED", what="the package there")
    return stage.load()


# --- as it is printed ---------------------------------------------------------------------------------------------


class Printed:
    """Answers every call as the contract prints it, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        self.answers: dict[str, Any] = {}

    def script(self, handler: Handler) -> None:
        name = handler.path.removeprefix("/CAP/")
        self.asked.append((handler.command, handler.path, json.loads(handler.body or b"null")))
        for example in self.answers.get(f"{handler.command} {name}", ()):
            handler.reply(200, EXAMPLES[example]["response"])
            return
        handler.reply(200, {"Code": 0, "Message": "success"})


@pytest.fixture
def printed() -> Iterator[tuple[Printed, Server]]:
    one = Printed()
    with serving(one.script) as server:
        yield one, server


@pytest.fixture
def said(printed: tuple[Printed, Server], wire: Wire, tmp_path: Path) -> tuple[Printed, Stage]:
    return printed[0], Stage(wire, tmp_path / "executables", printed[1].url)


def example(name: str, **changes: Any) -> dict[str, Any]:
    return {**EXAMPLES[name]["request"], **changes}


RULES = {"RestartPolicy": "ALWAYS"}
SENT: dict[str, tuple[Any, tuple[str, str, Any]]] = {
    "push": (
        Push(package_id=PACKAGE, url="https://xx/xx.tar", path="", md5="d577273ff885c3f84dadb8578bb41399"),
        ("POST", "/CAP/AlgoFilePackages", example("push_algo_file_package")),
    ),
    "push of a package that needs authorisation": (
        Push(package_id=PACKAGE, url="https://xx/xx.tar", path="", md5="a" * 32, auth_address="h:1", license_url="u"),
        ("POST", "/CAP/AlgoFilePackages",
         example("push_algo_file_package", MD5="a" * 32)),  # it is told at the load (X-LICENCE)
    ),
    "delete a package": (DeleteCopy(package_id=PACKAGE), ("DELETE", f"/CAP/AlgoFilePackages/{PACKAGE}", None)),
    "load": (
        Load(load_id="l", service_id="s", package_id=PACKAGE, env=(("k1", "v1"), ("k2", "v2")), replicas=2,
             xpu_type="NVIDIA A2"),
        ("POST", "/CAP/AlgoServices", example("create_algo_service")),
    ),
    "load on a node, with a licence": (
        Load(load_id="l", service_id="s", package_id=PACKAGE, env=(("AUTH_SERVER_ADDR", "h:1"),), host="192.168.1.6",
             license_url="http://p/l"),
        ("POST", "/CAP/AlgoServices", {
            "Env": [{"Name": "AUTH_SERVER_ADDR", "Value": "h:1"}], "Replicas": 1, "XpuType": "",
            "AlgoFilePackageID": PACKAGE, "HostName": "192.168.1.6", "LicenseFile": "http://p/l",
        }),
    ),
    "unload": (
        Unload(load_id="l", service_id="s", package_id=PACKAGE, facility_id=SERVICE),
        ("DELETE", f"/CAP/AlgoServices/{SERVICE}", None),
    ),
    "create by labels": (
        CreateTask(info=TASK_INFO, restart_policy="ALWAYS"),
        ("POST", "/CAP/AlgoTasks", example("create_algo_task", CreateAndStartTask=True)),
    ),
    "create on a service": (
        CreateTask(info=TASK_INFO, restart_policy="NEVER", facility_service_id=SERVICE),
        ("POST", "/CAP/AlgoTasks",
         example("create_algo_task", CreateAndStartTask=True, RestartPolicy="NEVER", AlgoServiceID=SERVICE)),
    ),
    "update": (
        UpdateTask(task_id=TASK, info=EXAMPLES["update_algo_task"]["request"]["TaskInfo"], restart_policy="ALWAYS"),
        ("PUT", f"/CAP/AlgoTasks/{TASK}", example("update_algo_task")),
    ),
    "update on its service": (
        UpdateTask(task_id=TASK, info=TASK_INFO, restart_policy="ALWAYS", facility_service_id=SERVICE),
        ("PUT", f"/CAP/AlgoTasks/{TASK}", {**RULES, "TaskInfo": TASK_INFO, "AlgoServiceID": SERVICE}),
    ),
    "delete a task": (DeleteTask(task_id=TASK), ("DELETE", f"/CAP/AlgoTasks/{TASK}", None)),
    "resume": (ResumeTask(task_id=TASK), ("POST", f"/CAP/AlgoTasks/{TASK}:resume", None)),
    "pause": (PauseTask(task_id=TASK), ("POST", f"/CAP/AlgoTasks/{TASK}:pause", None)),
    "look": (LookTask(task_id=TASK), ("GET", f"/CAP/AlgoTasks/{TASK}", None)),
}  # fmt: skip


@pytest.mark.parametrize("name", SENT)
def test_what_is_sent_is_what_is_printed(said: tuple[Printed, Stage], name: str) -> None:
    printed, stage = said
    step, expected = SENT[name]
    stage.perform(step)
    assert printed.asked == [expected]


def test_the_executable_as_it_is_printed(
    said: tuple[Printed, Stage], files: PackageFiles, tmp_path: Path
) -> None:
    """The example prints Type "Image"; the table, which counts, has it in lower case."""
    from tests.support.packaging import make_package, md5_of

    printed, stage = said
    package = make_package(tmp_path, package_id=PACKAGE)
    step = PushProgram(package_id=PACKAGE, url="http://p/x", path=str(package), package_md5=md5_of(package))
    stage.perform(step)
    [made] = (tmp_path / "executables").iterdir()
    expected = {"Type": "artifact", "MD5": md5_of(made), "Name": "bin.tar", "Url": "http://p/x"}
    assert printed.asked == [
        ("POST", "/CAP/AlgoFilePackages:pushExecFile", {**expected, "AlgoFilePackageID": PACKAGE})
    ]


def test_what_is_printed_is_read(said: tuple[Printed, Stage]) -> None:
    """Every printed answer at once. TotalSize 101 of one record is no whole listing: it counts as none."""
    printed, stage = said
    printed.answers = {
        "GET Status": ["get_cap_status"], "POST AlgoServices": ["create_algo_service"],
        "POST AlgoTasks": ["create_algo_task"], f"GET AlgoTasks/{TASK}": ["get_algo_task"],
        "POST AlgoFilePackages:search": ["search_algo_file_packages"],
        "POST AlgoServices:search": ["search_algo_services"], "POST AlgoTasks:search": ["search_algo_tasks"],
    }  # fmt: skip
    seen = stage.observe(TASK)
    assert (seen.packages, seen.services, seen.tasks) == (None, None, None)
    for what in ("package list", "service list", "task list"):
        assert any(f"the {what} of 11010000005020000031 does not add up: 1 " in one for one in seen.faults), (
            seen.faults
        )
    assert [one["HostName"] for one in seen.info] == ["BQF996500332", "BQF996500105"]
    assert stage.load() == SERVICE
    created = stage.perform(CreateTask(info=TASK_INFO, restart_policy="ALWAYS"))
    assert (created.facility_id, created.task and created.task.status) == (TASK, "PENDING")
    found = stage.perform(LookTask(task_id=TASK)).task
    assert found is not None
    assert (found.service_id, found.status, found.event_ids) == (SERVICE, "PENDING", ("ILLEGAL_ADV",))


def test_listings_are_asked_for_page_by_page(said: tuple[Printed, Stage]) -> None:
    printed, stage = said
    printed.answers = {"GET Status": ["get_cap_status"]}
    stage.observe()
    first = {"PageNumber": 1, "PageSize": 100}
    assert printed.asked == [
        ("GET", "/CAP/Status", None),
        ("POST", "/CAP/AlgoFilePackages:search", first),
        ("POST", "/CAP/AlgoServices:search", first),
        ("POST", "/CAP/AlgoTasks:search", first),
    ]


# --- looking ------------------------------------------------------------------------------------------------------


def test_everything_of_a_platform_is_seen(stage: Stage, cap: FakeCap, loaded: str) -> None:
    task = stage.perform(CreateTask(info=info(), restart_policy="ALWAYS", facility_service_id=loaded))
    seen = stage.observe()
    assert seen.faults == ()
    assert [(one.package_id, one.status, one.kind, one.lacks_program) for one in seen.packages or ()] == [
        (PACKAGE, 3, "artifact", False)
    ]
    [service] = seen.services or ()
    assert (service.facility_id, service.package_id, service.status) == (loaded, PACKAGE, "RUNNING")
    assert [(one.task_id, one.status, one.service_id) for one in seen.tasks or ()] == [
        (task.facility_id, "RUNNING", loaded)
    ]
    first, second = seen.info
    assert (first["IP"], first["HostName"], len(first["XpuMonitors"])) == (
        "192.168.200.208",
        "BQF996500332",
        4,
    )
    assert first["XpuMonitors"][0] == {"XpuType": "NVIDIA A2", "XpuUtilization": 0.0625}
    assert first["AlgoServiceMonitors"][0]["AlgoFilePackageID"] == PACKAGE
    assert (len(second["XpuMonitors"]), second["AlgoServiceMonitors"]) == (2, [])


def test_a_kind_is_asked_for_once(stage: Stage, cap: FakeCap, loaded: str) -> None:
    for _ in range(3):
        stage.observe()
    assert len(cap.asked("get_algo_file_package")) == 1
    stage.perform(Unload(load_id="l", service_id="s", package_id=PACKAGE, facility_id=loaded))
    stage.perform(DeleteCopy(package_id=PACKAGE))
    assert cap.packages == {}
    assert stage.observe().packages == ()


def test_a_detail_that_cannot_be_had_hides_nothing(stage: Stage, cap: FakeCap, loaded: str) -> None:
    cap.refuse(50012, "no mood", operation="get_algo_file_package")
    assert [(one.package_id, one.kind, one.status) for one in stage.observe().packages or ()] == [
        (PACKAGE, "", 3)
    ]
    cap.behave()
    assert [one.kind for one in stage.observe().packages or ()] == ["artifact"]


@pytest.mark.parametrize(
    ("state", "status", "error"),
    [("DOWNLOADING", 1, ""), ("FAILED", 2, "the platform finds the file faulty"), ("STOPPED", 3, "")],
)
def test_the_states_of_a_package(stage: Stage, cap: FakeCap, state: str, status: int, error: str) -> None:
    cap.add_foreign_service(PACKAGE)
    cap.hall.held.clear()
    cap.package(PACKAGE).state = state
    [seen] = stage.observe().packages or ()
    assert (seen.status, seen.error, seen.lacks_program) == (status, error, False)


def test_a_package_without_its_executable(stage: Stage, cap: FakeCap, files: PackageFiles) -> None:
    cap.want_programs()
    stage.perform(push(files))
    wait_until(lambda: cap.packages[PACKAGE] == "STOPPED", what="the package there")
    [seen] = stage.observe().packages or ()
    assert (seen.status, seen.lacks_program) == (1, True)


def test_an_image_of_a_registry_lacks_nothing(said: tuple[Printed, Stage]) -> None:
    """Status 1, and no executable is to follow: the platform fetches the image itself."""
    printed, stage = said
    record = {"AlgoFilePackageID": PACKAGE, "Name": "a", "Version": "1", "Author": "b", "Status": 1}
    detail = {
        **record,
        "Bin": {"Type": "Image", "remote_uri": "r:5000/a:1", "local_uri": ""},
        "algo_runtime": {},
    }
    EXAMPLES["one_package"] = {"response": {"Code": 0, "Message": "", "Data": [record]}}
    EXAMPLES["its_detail"] = {"response": {"Code": 0, "Message": "", "Data": detail}}
    printed.answers = {
        "GET Status": ["get_cap_status"], "POST AlgoFilePackages:search": ["one_package"],
        f"GET AlgoFilePackages/{PACKAGE}": ["its_detail"],
    }  # fmt: skip
    [seen] = stage.observe().packages or ()
    assert (seen.status, seen.kind, seen.lacks_program) == (3, "image", False)


def test_a_package_under_an_id_of_the_platforms_own(stage: Stage, cap: FakeCap, loaded: str) -> None:
    """It is ours by the name and version we pushed; without those it is shown as what it is called there."""
    cap.ids_of_its_own()
    [ours] = stage.observe(pushed={("Megcity_A2", "2.0.1"): PACKAGE}).packages or ()
    assert ours.package_id == PACKAGE
    [theirs] = stage.observe(pushed={("megcity-a2", "2.0.2"): PACKAGE}).packages or ()
    assert theirs.package_id == f"7a90a32d-8ae8-4ffa-b000-{PACKAGE[-12:]}"


@pytest.mark.parametrize("status", ["INIT", "RUNNING", "OVERLOAD", "ERROR"])
def test_the_statuses_of_a_service(stage: Stage, cap: FakeCap, loaded: str, status: str) -> None:
    cap.list_by_example()  # in lower case, and RUNNING as the example misspells it
    cap.services[loaded].status = status
    [seen] = stage.observe().services or ()
    assert seen.status == status
    assert bool(seen.error) == (status == "ERROR")
    cap.services[loaded].status = "DANCING"
    assert [one.status for one in stage.observe().services or ()] == ["UNSPECIFIED"]


def test_a_service_that_goes_between_list_and_detail(stage: Stage, cap: FakeCap, loaded: str) -> None:
    cap.refuse(40401, "there is no service", times=1, operation="get_algo_service")
    assert stage.observe().services == ()
    assert [one.facility_id for one in stage.observe().services or ()] == [loaded]


@pytest.mark.parametrize(
    "way", ["abridge", "bare_array", "numbers_as_strings", "lower_case_code", "list_by_example"]
)
def test_the_spellings_of_platforms_are_read(stage: Stage, cap: FakeCap, loaded: str, way: str) -> None:
    stage.perform(CreateTask(info=info(), restart_policy="ALWAYS", facility_service_id=loaded))
    getattr(cap, way)()
    seen = stage.observe()
    assert seen.faults == ()
    counts = tuple(len(part or ()) for part in (seen.info, seen.packages, seen.services, seen.tasks))
    assert counts == (2, 1, 1, 1)
    [task] = seen.tasks or ()
    assert (task.stream_url, task.event_ids) == (
        info()["StreamOptions"]["VideoStreamOptions"]["Url"],
        ("INTRUSION",),
    )


def test_long_lists_are_read_whole(stage: Stage, cap: FakeCap, loaded: str) -> None:
    cap.page_limit = 7
    for _ in range(15):
        cap.add_foreign_service(OTHER)
    seen = stage.observe()
    assert seen.faults == ()
    assert len({one.facility_id for one in seen.services or ()}) == 16


def test_a_listing_that_is_not_whole_is_none(stage: Stage, cap: FakeCap, loaded: str) -> None:
    cap.list_without_data()
    seen = stage.observe()
    assert (seen.packages, seen.services, seen.tasks) == (None, None, None)
    assert all("holds no Data" in fault for fault in seen.faults)
    assert len(seen.info) == 2
    cap.list_without_data(False)
    cap.page_limit = 1
    cap.add_foreign_service(OTHER)
    cap.lists_change()
    seen = stage.observe()
    assert (seen.packages, seen.services, seen.tasks) == (None, None, ())
    assert len([fault for fault in seen.faults if "changed while it was read" in fault]) == 2


def test_a_platform_that_cannot_be_asked(stage: Stage, cap: FakeCap) -> None:
    cap.answer_http(200, "<html>login</html>", operation="get_cap_status")
    with pytest.raises(Temporary, match="no envelope"):
        stage.observe()
    cap.behave()
    cap.refuse(50012, "no mood", operation="get_cap_status")
    with pytest.raises(Temporary, match="no mood"):
        stage.observe()
    cap.behave()
    cap.answer_http(200, '{"Code": 0, "Data": {}}', operation="get_cap_status")
    with pytest.raises(Temporary, match="holds no BasicInfo"):
        stage.observe()
    cap.vanish()
    with pytest.raises(Temporary):
        stage.observe()


DEEP = '{"Code": 0, "Data": ' + '{"a":' * 40 + "1" + "}" * 41
ODD: dict[str, tuple[str, str]] = {
    "HTML": ("<html>nginx</html>", "no envelope"),
    "deep JSON": (DEEP, "deeper than 32 levels"),
    "a list for an object": ('{"Code": 0, "Data": {"Records": 7}}', "cannot be read"),
    "records without ids": ('{"Code": 0, "Data": {"Records": [{"Name": "x"}]}}', "without an ID"),
    "a text": ('{"Code": 0, "Data": "none"}', "cannot be read"),
}


@pytest.mark.parametrize("way", ODD)
@pytest.mark.parametrize(
    ("row", "part"),
    [
        ("search_algo_file_packages", "packages"), ("search_algo_services", "services"),
        ("search_algo_tasks", "tasks"),
    ],
)  # fmt: skip
def test_an_odd_listing_hides_that_part_alone(
    stage: Stage, cap: FakeCap, loaded: str, way: str, row: str, part: str
) -> None:
    body, words = ODD[way]
    cap.answer_http(200, body, operation=row)
    seen = stage.observe()
    assert getattr(seen, part) is None
    assert len(seen.faults) == 1
    assert words in seen.faults[0]
    others = {"packages", "services", "tasks"} - {part}
    assert all(getattr(seen, other) is not None for other in others)


def test_a_body_without_an_end_is_not_read_on(wire: Wire, tmp_path: Path) -> None:
    """Ten GiB are announced; reading ends at the cap, and the line with it."""
    told = threading.Event()

    def script(handler: Handler) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (10 << 30)
        try:
            for _ in range(64):
                handler.raw(head)
                head = b"x" * (1 << 20)
        except OSError:
            told.set()

    with serving(script) as server:
        stage = Stage(wire, tmp_path / "executables", server.url)
        with pytest.raises(Temporary, match="longer than 1048576 bytes"):
            stage.observe()


# --- doing --------------------------------------------------------------------------------------------------------


def test_the_ladder(stage: Stage, cap: FakeCap, loaded: str) -> None:
    assert list(cap.services) == [loaded]
    created = stage.perform(CreateTask(info=info(), restart_policy="ALWAYS", facility_service_id=loaded))
    task = cap.tasks[created.facility_id]
    assert (task.sent_id, task.service_id, task.create_and_start) == ("instance-1", loaded, True)
    stage.perform(PauseTask(task_id=task.task_id))
    assert task.status == "PAUSED"
    stage.perform(ResumeTask(task_id=task.task_id))
    changed = info("rtsp://127.0.0.1/other", ID=task.task_id)
    stage.perform(
        UpdateTask(task_id=task.task_id, info=changed, restart_policy="NEVER", facility_service_id=loaded)
    )
    assert (task.stream_url, task.restart_policy) == ("rtsp://127.0.0.1/other", "NEVER")
    stage.perform(DeleteTask(task_id=task.task_id))
    stage.perform(Unload(load_id="l", service_id="s", package_id=PACKAGE, facility_id=loaded))
    stage.perform(DeleteCopy(package_id=PACKAGE))
    assert (cap.tasks, cap.services, cap.packages) == ({}, {}, {})


def test_what_is_gone_is_gone(stage: Stage, cap: FakeCap) -> None:
    gone = [
        Unload(load_id="l", service_id="s", package_id=PACKAGE, facility_id=SERVICE), DeleteTask(task_id=TASK),
        DeleteCopy(package_id=PACKAGE), LookTask(task_id=TASK), PauseTask(task_id=TASK),
        UpdateTask(task_id=TASK, info=info(), restart_policy="ALWAYS"),
    ]  # fmt: skip
    assert [stage.perform(step).gone for step in gone] == [True] * len(gone)


def test_each_load_is_a_service_of_its_own(stage: Stage, cap: FakeCap, loaded: str) -> None:
    second = stage.load(replicas=3)
    assert len({loaded, second}) == 2
    assert [len(one.hosts) for one in cap.services.values()] == [1, 3]


def test_a_failed_service_is_cleared_away_before_the_next(stage: Stage, cap: FakeCap, loaded: str) -> None:
    cap.fail_service(loaded)
    again = stage.load(facility_id=loaded)
    assert list(cap.services) == [again]
    assert stage.load(facility_id="gone-already") != again


def test_a_failed_service_that_does_not_go_is_not_replaced(stage: Stage, cap: FakeCap, loaded: str) -> None:
    task = cap.add_foreign_task()
    task.service_id = loaded
    cap.fail_service(loaded)
    with pytest.raises(Temporary, match="cannot be cleared away"):
        stage.load(facility_id=loaded)
    assert list(cap.services) == [loaded]


def test_a_failed_service_that_may_have_gone_is_asked_to_go_again(
    stage: Stage, cap: FakeCap, loaded: str
) -> None:
    cap.fail_service(loaded)
    cap.drop_answer(operation="delete_algo_service")
    with pytest.raises(Temporary, match="cannot be cleared away"):
        stage.load(facility_id=loaded)
    assert len(cap.asked("create_algo_service")) == 1
    again = stage.load(facility_id=loaded)
    assert list(cap.services) == [again]


def test_a_service_nobody_knows_yet_is_not_unloaded(stage: Stage, cap: FakeCap, loaded: str) -> None:
    with pytest.raises(Temporary, match="is being looked for"):
        stage.perform(Unload(load_id="l", service_id="s", package_id=PACKAGE, facility_id=""))
    assert cap.asked("delete_algo_service") == []


def test_a_load_without_a_clear_answer_is_unknown(stage: Stage, cap: FakeCap, loaded: str) -> None:
    cap.drop_answer(operation="create_algo_service")
    with pytest.raises(Unknown):
        stage.load()
    assert len(cap.services) == 2
    cap.answer_http(200, '{"Code": 0, "Message": "success"}', operation="create_algo_service")
    assert stage.load() == ""


def test_a_refusal_is_permanent_and_quoted(stage: Stage, cap: FakeCap) -> None:
    with pytest.raises(Permanent, match=f"there is no package {PACKAGE}"):
        stage.load()
    cap.answer_http(503, "", operation="create_algo_service")
    with pytest.raises(Temporary):
        stage.load()


def test_a_task_that_runs_elsewhere_than_asked_says_so(stage: Stage, cap: FakeCap, loaded: str) -> None:
    second = stage.load()
    cap.place_elsewhere()
    made = stage.perform(CreateTask(info=info(), restart_policy="ALWAYS", facility_service_id=loaded)).task
    assert made is not None
    assert made.error == f"the platform runs it on its service {second}, not on {loaded}"


def test_an_executable_that_is_not_inside_is_refused_for_good(stage: Stage, tmp_path: Path) -> None:
    broken = tmp_path / "broken.tar"
    broken.write_bytes(b"no tar")
    with pytest.raises(Permanent, match=r"broken\.tar"):
        stage.perform(PushProgram(package_id=PACKAGE, url="u", path=str(broken), package_md5="a"))


def test_the_token_goes_along(stage: Stage, cap: FakeCap) -> None:
    cap.check_token, cap.tokens = True, ["secret-1"]
    assert len(stage.observe().info) == 2
    cap.tokens = ["another"]
    with pytest.raises(Temporary, match="token refused"):
        stage.observe()
