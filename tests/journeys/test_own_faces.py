"""Our CAP driver against our own face, step by step: what the one sends the other takes, and shows as it is."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from acsmpd.drivers.cap import Cap
from acsmpd.faults import Permanent
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
)  # fmt: skip
from acsmpd.packages.executable import Executables
from acsmpd.security.egress import EgressPolicy
from acsmpd.wire.caller import Wire
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package, md5_of, task_info, write_tar
from tests.support.site import running
from tests.support.wait import wait_until
from tests.wire.servers import Handler, serving

INSTANCE = "70553686-096f-488b-8151-9c1e47adafa5"


class Pair(NamedTuple):
    """The driver before a site with one CAD, and where what it pushes is fetched from."""

    driver: Cap
    peer: Peer
    cad: FakeCad
    files: str
    folder: Path

    def perform(self, step: Any) -> Outcome:
        return self.driver.perform(self.peer, step)

    def observe(self, *known: str) -> Observed:
        found = self.driver.observe(self.peer, frozenset(known))
        assert not found.faults, found.faults
        return found


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    wire = Wire(EgressPolicy(("127.0.0.1:*",)), "1" * 20, 5.0, 20.0, 1024 * 1024)
    (tmp_path / "executables").mkdir()

    def script(handler: Handler) -> None:
        name = handler.path.removeprefix("/")
        handler.reply(
            200, (tmp_path / ("part.tar" if name == "part" else f"executables/{name}")).read_bytes()
        )

    with (
        running(tmp_path / "site", local_enabled="false") as site, FakeCad() as cad, serving(script) as server,
    ):  # fmt: skip
        assert cad.register(site.url).accepted
        site.until(f"/ACSMP/Computility/{cad.code}", lambda d: d["State"] == "online")
        token = site.as_role("viewer", "federation").token
        peer = Peer(code="1" * 20, family=Family.CAP, url=site.url, token=token)
        yield Pair(Cap(wire, Executables(tmp_path / "executables")), peer, cad, server.url, tmp_path)
    wire.close()


def test_every_step_of_the_driver_is_taken_by_the_face(pair: Pair) -> None:
    whole = make_package(pair.folder)
    with tarfile.open(whole) as tar:
        text = tar.extractfile("algo.yaml")
        assert text is not None
        write_tar(pair.folder / "part.tar", {"algo.yaml": text.read()})
    # a package without its executable, which follows
    part = pair.folder / "part.tar"
    pair.perform(Push(package_id=PACKAGE_ID, url=f"{pair.files}/part", path=str(part), md5=md5_of(part)))
    wait_until(
        lambda: any(one.lacks_program for one in pair.observe().packages or ()), what="it to lack its program"
    )
    url = f"{pair.files}/{PACKAGE_ID}_{md5_of(whole)}"
    pair.perform(PushProgram(package_id=PACKAGE_ID, url=url, path=str(whole), package_md5=md5_of(whole)))
    wait_until(lambda: [one.status for one in pair.observe().packages or ()] == [3], what="the whole package")
    [package] = pair.observe().packages or ()
    assert (package.package_id, package.name, package.version) == (PACKAGE_ID, "test-algo", "1.0.0")

    # a service on a node of its status
    [node] = pair.observe().info
    env = (("LOG_LEVEL", "debug"),)
    load = Load(load_id="l", service_id="s", package_id=PACKAGE_ID, env=env, host=str(node["IP"]))
    service = pair.perform(load).facility_id
    wait_until(lambda: [one.status for one in pair.observe().services or ()] == ["RUNNING"], what="it to run")
    [seen] = pair.observe().services or ()
    assert (seen.facility_id, seen.package_id, seen.env) == (service, PACKAGE_ID, env)
    assert [one["AlgoServiceID"] for one in pair.observe().info[0]["AlgoServiceMonitors"]] == [service]

    # a task on it, through all it can be
    info = task_info(ID=INSTANCE, Labels={"AlgoCaBinName": "test-algo", "Version": "1.0.0"})
    create = CreateTask(info=info, restart_policy="ALWAYS", facility_service_id=service)
    created = pair.perform(create).task
    assert created is not None
    task = created.task_id
    assert pair.perform(create).task == created, "after a lost answer it is the same one"

    def is_now(status: str) -> None:
        wait_until(lambda: _looked(pair, task).status == status, what=f"the task {status}")

    is_now("RUNNING")
    assert [(one.task_id, one.service_id) for one in pair.observe(task).tasks or ()] == [(task, service)]
    pair.perform(PauseTask(task_id=task))
    is_now("PAUSED")
    moved = task_info(url="rtsp://10.0.0.9/other", Labels=info["Labels"], ID=task)
    pair.perform(UpdateTask(task_id=task, info=moved, restart_policy="ALWAYS", facility_service_id=service))
    pair.perform(ResumeTask(task_id=task))
    is_now("RUNNING")
    assert _looked(pair, task).stream_url == "rtsp://10.0.0.9/other"
    unload = Unload(load_id="l", service_id="s", package_id=PACKAGE_ID, facility_id=service)
    with pytest.raises(Permanent, match=task):
        pair.perform(unload)
    pair.perform(DeleteTask(task_id=task))
    assert pair.perform(LookTask(task_id=task)).gone

    # and back
    wait_until(lambda: not pair.cad.tasks, what="no task on the device")
    pair.perform(unload)
    wait_until(lambda: pair.perform(unload).gone, what="the service gone")
    pair.perform(DeleteCopy(package_id=PACKAGE_ID))
    assert pair.perform(DeleteCopy(package_id=PACKAGE_ID)).gone
    assert (pair.observe().packages, pair.observe().services, pair.observe().tasks) == ((), (), ())
    wait_until(lambda: not pair.cad.packages, what="nothing left on the device")


def _looked(pair: Pair, task: str) -> Any:
    found = pair.perform(LookTask(task_id=task)).task
    assert found is not None
    return found
