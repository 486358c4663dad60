"""The fake CAD is an honest device: driven by the real driver from the push to the unload."""

from __future__ import annotations

import gc
import json
import threading

import msgspec
import pytest
import requests

from acsmpd.faults import Permanent
from acsmpd.model import (
    DeleteCopy,
    DeleteTask,
    Family,
    Load,
    LookTask,
    PauseTask,
    ResumeTask,
    Unload,
    UpdateTask,
)
from acsmpd.spec.messages import cad
from acsmpd.spec.operation import Face
from acsmpd.spec.reading import read_strict
from acsmpd.spec.tables import BY_ID, OPERATIONS
from acsmpd.wire.answer import Missing
from tests.support.fake_cad import FakeCad
from tests.support.fake_stage import (
    PACKAGE,
    STREAM,
    PackageFiles,
    Site,
    info,
    package,
    push,
    site_before,
)
from tests.support.wait import wait_until

UNLOAD = Unload(load_id="l", service_id="s", package_id=PACKAGE, facility_id="")
LOAD = Load(load_id="l", service_id="s", package_id=PACKAGE)


def test_from_push_to_unload(site: Site, files: PackageFiles) -> None:
    fake = site.fake
    site.perform(push(files))
    wait_until(lambda: fake.packages == {PACKAGE: "STOPPED"})
    held = fake.package(PACKAGE)
    assert (held.md5, held.size_bytes, held.name) == (files.md5, len(files.content), "megcity-a2")
    seen = site.driver.observe(site.peer)
    assert seen.packages is not None
    assert [(one.package_id, one.loaded, one.kind) for one in seen.packages] == [(PACKAGE, False, "artifact")]
    assert seen.services == ()
    assert seen.tasks == ()

    site.perform(LOAD)
    site.perform(LOAD)
    made = site.create()
    task_id = made.facility_id
    assert task_id not in ("", "instance-1"), "a CAD mints an ID of its own"
    assert fake.tasks[task_id].sent_id == "instance-1"
    seen = site.driver.observe(site.peer, frozenset({task_id}))
    assert seen.faults == ()
    assert seen.services is not None
    assert [one.package_id for one in seen.services] == [PACKAGE]
    assert seen.tasks == (made.task,)
    [strange] = site.driver.observe(site.peer).tasks or ()
    [rule] = (strange.info or {})["RulesParams"]  # of what the ledger does not know everything is kept
    assert rule["ResultReceiveUrl"] == ["http://127.0.0.1:9/results/instance-1"]
    assert made.task is not None
    assert (made.task.status, made.task.stream_url) == ("RUNNING", STREAM)
    assert made.task.receive_urls == ("http://127.0.0.1:9/results/instance-1",)

    site.perform(PauseTask(task_id=task_id))
    assert fake.running_tasks() == []
    site.perform(ResumeTask(task_id=task_id))
    assert [task.task_id for task in fake.running_tasks()] == [task_id]
    with pytest.raises(Permanent, match="1 tasks run on package"):
        site.perform(UNLOAD)
    assert site.perform(DeleteTask(task_id=task_id)).gone is False
    assert site.perform(DeleteTask(task_id=task_id)).gone is True
    with pytest.raises(Permanent, match="is loaded"):
        site.perform(DeleteCopy(package_id=PACKAGE))
    site.perform(UNLOAD)
    assert site.perform(UNLOAD).gone is True
    site.perform(DeleteCopy(package_id=PACKAGE))
    assert site.perform(DeleteCopy(package_id=PACKAGE)).gone is True
    assert fake.packages == {}
    assert fake.max_running == 1


def test_every_row_of_the_table_is_served(fake: FakeCad) -> None:
    rows = {row.id for row in OPERATIONS if row.face is Face.CAD}
    assert set(fake.handlers()) == rows


def test_answers_are_what_the_tables_say(loaded: Site) -> None:
    """Read as strictly as an application's words would be."""
    task_id = loaded.create().facility_id
    asked = {"AlgoFilePackageID": PACKAGE, "ID": task_id}
    bodies = {
        "search_algo_tasks": cad.AlgoTaskSearchRequest(),
        "list_algo_packages": cad.AlgoPackageListRequest(),
    }
    for name in (
        "get_device_status",
        "list_algo_packages",
        "get_algo_package",
        "search_algo_tasks",
        "get_algo_task",
    ):
        row = BY_ID[f"cad.{name}"]
        path = {key: asked[key] for key in row.path}
        raw = _raw(loaded, row.method, row.uri, path, bodies.get(name))
        assert isinstance(raw["Code"], str if "/Machine/" in row.uri else int)
        told, unknown = read_strict(row.response, json.dumps({**raw, "Code": int(raw["Code"])}).encode())
        assert told.code == 0
        assert unknown == 0


def _raw(site: Site, method: str, uri: str, path: dict[str, str], body: msgspec.Struct | None) -> dict:
    for name, value in path.items():
        uri = uri.replace(f"<{name}>", value)
    with requests.Session() as session:
        session.trust_env = False
        data = None if body is None else msgspec.json.encode(body)
        with session.request(method, site.fake.url + uri, data=data, timeout=5) as answer:
            return answer.json()


# --- packages ----------------------------------------------------------------------------------------


def test_a_load_is_refused_while_the_package_is_on_its_way(site: Site, files: PackageFiles) -> None:
    site.fake.hold_downloads()
    site.perform(push(files))
    assert site.fake.packages == {PACKAGE: "DOWNLOADING"}
    assert site.driver.observe(site.peer).packages == ()
    with pytest.raises(Permanent, match="is DOWNLOADING"):
        site.perform(LOAD)
    site.fake.hold_downloads(False)
    wait_until(lambda: site.fake.packages[PACKAGE] == "STOPPED")
    site.perform(LOAD)


def test_a_wrong_md5_fails_the_download(site: Site, files: PackageFiles) -> None:
    site.perform(push(files, md5="0" * 32))
    wait_until(lambda: site.fake.packages[PACKAGE] == "FAILED")
    with pytest.raises(Permanent, match="is FAILED ValueError: the MD5 is"):
        site.perform(LOAD)
    site.perform(push(files))
    wait_until(lambda: site.fake.packages[PACKAGE] == "STOPPED")


def test_a_cut_download_goes_on_where_it_was(site: Site, files: PackageFiles) -> None:
    files.cut_after = 1000
    site.perform(push(files))
    wait_until(lambda: site.fake.packages[PACKAGE] == "STOPPED")
    assert files.ranges == [None, "bytes=1000-"]
    assert site.fake.package(PACKAGE).md5 == files.md5


def test_what_is_no_package_is_kept_under_its_id(site: Site, files: PackageFiles) -> None:
    files.content = b"no tar at all"
    site.perform(push(files))
    wait_until(lambda: site.fake.packages[PACKAGE] == "STOPPED")
    seen = site.driver.observe(site.peer).packages
    assert seen is not None
    assert seen[0].name == f"{PACKAGE}.tar"


def test_a_loaded_package_is_not_overwritten(loaded: Site, files: PackageFiles) -> None:
    with pytest.raises(Permanent, match="is loaded"):
        loaded.perform(push(files))


def test_a_device_that_lists_loaded_packages_only(loaded: Site) -> None:
    loaded.fake.lists_unloaded = False
    loaded.fake.add_foreign_package("9" * 40, loaded=False)
    seen = loaded.driver.observe(loaded.peer).packages
    assert seen is not None
    assert [one.package_id for one in seen] == [PACKAGE]
    loaded.fake.lists_unloaded = True
    assert len(loaded.call("list_algo_packages", cad.AlgoPackageListRequest(status="STOPPED"))) == 1


def test_a_load_without_its_package_is_no_list(site: Site) -> None:
    with pytest.raises(Permanent, match="40002"):
        site.call("list_algo_packages", cad.AlgoPackageListRequest(args="XpuType=NVIDIA_T4"))


def test_a_service_that_ended_is_listed_as_stopped(loaded: Site) -> None:
    loaded.fake.fail_service(PACKAGE)
    assert loaded.driver.observe(loaded.peer).services == ()
    assert loaded.call("get_algo_package", AlgoFilePackageID=PACKAGE).status == "STOPPED"


def test_the_kind_of_a_package_is_read_from_it(site: Site, files: PackageFiles) -> None:
    files.content = package(kind="image")
    site.deliver(files)
    seen = site.driver.observe(site.peer).packages
    assert seen is not None
    assert (seen[0].kind, seen[0].loaded) == ("image", True)


# --- tasks -------------------------------------------------------------------------------------------


def test_a_task_can_be_created_unstarted(loaded: Site) -> None:
    message = cad.AlgoTaskCreateRequest(
        restart_policy="ALWAYS",
        task_info=msgspec.convert(info(), type=cad.AlgoTaskInfo),
        create_and_start_task=False,
    )
    assert loaded.call("create_algo_task", message).status == "PAUSED"
    assert loaded.fake.running_tasks() == []


def test_a_task_starts_its_service(loaded: Site) -> None:
    loaded.fake.fail_service(PACKAGE)
    loaded.create()
    assert loaded.fake.packages == {PACKAGE: "RUNNING"}


def test_a_task_needs_a_service_that_fits(loaded: Site) -> None:
    with pytest.raises(Permanent, match="no algorithm service for other 1"):
        loaded.create(Labels={"AlgoCaBinName": "other", "Version": "1"})
    with pytest.raises(Permanent, match="Labels or AlgoServiceID"):
        loaded.create(Labels=None)
    with pytest.raises(Permanent, match="must hold at least one rule"):
        loaded.create(RulesParams=[])
    assert loaded.fake.tasks == {}
    loaded.fake.needs_service = False
    assert loaded.create(Labels=None).facility_id


def test_a_never_task_is_changed_only_while_it_is_paused(loaded: Site) -> None:
    task_id = loaded.create(policy="NEVER").facility_id
    update = UpdateTask(task_id=task_id, info=info("rtsp://two", ID=task_id), restart_policy="NEVER")
    with pytest.raises(Permanent, match="only while PAUSED"):
        loaded.perform(update)
    loaded.perform(PauseTask(task_id=task_id))
    loaded.perform(update)
    assert loaded.fake.tasks[task_id].stream_url == "rtsp://two"
    with pytest.raises(Permanent, match="is not the"):
        loaded.perform(UpdateTask(task_id=task_id, info=info(ID="another"), restart_policy="NEVER"))
    assert loaded.perform(UpdateTask(task_id="none", info=info(ID="none"), restart_policy="NEVER")).gone


def test_a_finished_task_starts_afresh_and_is_not_paused(loaded: Site) -> None:
    task_id = loaded.create().facility_id
    loaded.fake.finish_task(task_id)
    with pytest.raises(Permanent, match="is FINISHED"):
        loaded.perform(PauseTask(task_id=task_id))
    loaded.perform(ResumeTask(task_id=task_id))
    assert loaded.fake.tasks[task_id].status == "RUNNING"
    loaded.fake.fail_task(task_id)
    seen = loaded.perform(LookTask(task_id=task_id)).task
    assert seen is not None
    assert seen.status == "ERROR"


def test_tasks_are_searched_by_page_and_filter(loaded: Site) -> None:
    for at in range(5):
        loaded.create(f"rtsp://{at}", policy="NEVER" if at else "ALWAYS")
    loaded.fake.add_foreign_task(status="ERROR")
    loaded.fake.page_limit = 2
    seen = loaded.driver.observe(loaded.peer)
    assert seen.tasks is not None
    assert [task.task_id for task in seen.tasks] == list(loaded.fake.tasks)
    assert len(loaded.fake.asked("search_algo_tasks")) == 3
    for filters, expected in (
        ({"status": "ERROR"}, 1),
        ({"event_id": "INTRUSION"}, 5),
        ({"restart_policy": "ALWAYS"}, 2),
        ({"create_and_start_task": False}, 0),
    ):
        page = loaded.call("search_algo_tasks", cad.AlgoTaskSearchRequest(**filters))
        assert page.total_size == expected, filters


def test_the_peak_of_one_stream_is_remembered(loaded: Site) -> None:
    first = loaded.create().facility_id
    loaded.create("rtsp://other")
    loaded.perform(DeleteTask(task_id=first))
    second = loaded.create().facility_id
    assert loaded.fake.max_running == 1
    loaded.create()
    loaded.perform(DeleteTask(task_id=second))
    assert loaded.fake.max_running == 2


# --- life --------------------------------------------------------------------------------------------


def test_an_edge_device_has_another_prefix(files: PackageFiles) -> None:
    with FakeCad(prefix="/EDGE") as fake, site_before(fake) as site:
        with pytest.raises(Missing, match="there is no GET /CAD/Status"):
            site.call("get_device_status")
        edge = msgspec.structs.replace(site.peer, family=Family.EDGE, prefix="/EDGE")
        assert site.driver.observe(edge).tasks == ()
        assert fake.asked("get_device_status")[-1].path == "/EDGE/Status"


@pytest.mark.parametrize("keep", [True, False])
def test_a_restart_keeps_the_port_and_maybe_the_rest(loaded: Site, keep: bool) -> None:
    loaded.create()
    port = loaded.fake.port
    loaded.fake.restart(keep=keep)
    assert loaded.fake.port == port
    seen = loaded.driver.observe(loaded.peer)
    assert seen.tasks is not None
    assert len(seen.tasks) == len(loaded.fake.packages) == (1 if keep else 0)


def test_nothing_is_left_of_it(files: PackageFiles) -> None:
    before = set(threading.enumerate())
    fake = FakeCad()
    with pytest.raises(RuntimeError, match="before start"):
        fake.port  # noqa: B018
    with fake, site_before(fake) as site:
        fake.hold_downloads()
        site.perform(push(files))
        site.driver.observe(site.peer)
    fake.stop()
    gc.collect()
    assert {thread for thread in threading.enumerate() if thread.name.startswith("fake-")} <= before
    with fake, site_before(fake) as site:
        assert site.driver.observe(site.peer).tasks == ()


def test_calls_are_kept(loaded: Site) -> None:
    loaded.create()
    (create,) = loaded.fake.calls("POST", "/CAD/AlgoTasks")
    assert create.json["TaskInfo"]["ID"] == "instance-1"
    assert create.headers["Via"] == "1.1 11000000005020000001"
    assert create.operation == "cad.create_algo_task"
    assert loaded.fake.calls("GET", "/CAD/.*") == []
    assert len(loaded.fake.calls()) == len(loaded.fake.asked("install_algo_package")) + 2
    loaded.fake.forget_calls()
    assert loaded.fake.calls() == []
