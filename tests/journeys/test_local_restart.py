"""This box's engines and the life of the daemon: never two copies, nothing left over, the work goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from acsmpd.store import services
from acsmpd.store.database import Store
from acsmpd.store.tables import Intent
from tests.support import engines
from tests.support.daemon import Daemon, daemon
from tests.support.engines import Misbehaving, the_hand
from tests.support.site import Site, running
from tests.support.wait import wait_until

QUICK = {"runtime_health_interval_seconds": "0.3", "runtime_stop_timeout_seconds": "3"}


@pytest.fixture
def tame(tmp_path: Path) -> Misbehaving:
    return Misbehaving(tmp_path / "open")


@pytest.fixture
def site(tmp_path: Path, tame: Misbehaving) -> Iterator[Site]:
    more = {**engines.ports(2), **QUICK, "runtime_read_only_paths": str(tmp_path / "open")}
    with running(tmp_path / "data", **more) as one:
        yield one


@pytest.fixture
def cut(tmp_path: Path, tame: Misbehaving) -> Iterator[Daemon]:
    """A daemon of its own, to be killed; its engines are ended in any case."""
    more = {**engines.ports(2), **QUICK, "runtime_read_only_paths": str(tmp_path / "open")}
    with daemon(tmp_path / "data", **more) as one:
        yield one
    wait_until(lambda: not tame.traces(), what="its engines ended")


@contextmanager
def never_two(tame: Misbehaving) -> Iterator[None]:
    """At no moment are there two engines of the package."""
    over, most = threading.Event(), [0]

    def count() -> None:
        while not over.wait(0.05):
            most[0] = max(most[0], len(tame.pids()))

    counting = threading.Thread(target=count)
    counting.start()
    try:
        yield
    finally:
        over.set()
        counting.join()
    assert most[0] == 1


def at_work(site: Site, tame: Misbehaving) -> tuple[str, int]:
    """A service with one running task whose results arrive."""
    assert site.client.upload(tame.file).code == 0
    service = engines.load(site, tame.id)
    plan = engines.add_plan(site)
    wait_until(lambda: engines.results(site, plan) >= 2, what="results")
    return service, plan


def works_on(site: Site, tame: Misbehaving, service: str, plan: int, before: str) -> None:
    """The same service and instance run again, by one engine with one task, and its results arrive."""
    engines.until_running(site, service)
    assert engines.until_instance(site, plan, "RUNNING")["ID"] == before
    count = engines.results(site, plan)
    wait_until(lambda: engines.results(site, plan) >= count + 3, what="results after the restart")
    assert len(tame.pids()) == 1
    assert len(the_hand(site.data, service).tasks()) == 1
    engines.until_running(site, service, 1)


def steps(data: Path, step: str) -> int:
    """How often this step left, by the ledger."""
    store = Store(data / "acsmpd.db").open()
    try:
        with store.read() as tx:
            return len(tx.rows(Intent.select().where(Intent.step == step)))
    finally:
        store.close()


def residue(data: Path) -> list[str]:
    """What is below services/ of engines, running or not."""
    folder = data / "services"
    places = (folder / "logs", folder / "engines" / ".running", folder / "engines" / ".homes")
    return sorted(path.name for place in places for path in place.iterdir())


def test_engines_end_with_the_platform_and_are_started_again_once(site: Site, tame: Misbehaving) -> None:
    service, plan = at_work(site, tame)
    [instance] = engines.instances(site, plan)
    with never_two(tame):
        site.stop()
        assert tame.traces() == []
        site.start()
        works_on(site, tame, service, plan, instance["ID"])
    assert steps(site.data, "load") == 2
    assert steps(site.data, "create_task") == 2
    assert steps(site.data, "push") == 1


def test_a_killed_daemon_leaves_nothing_behind_and_its_work_goes_on(cut: Daemon, tame: Misbehaving) -> None:
    service, plan = at_work(cut, tame)
    [instance] = engines.instances(cut, plan)
    with never_two(tame):
        cut.kill()
        wait_until(lambda: not tame.traces(), seconds=10, what="the engines gone with the daemon")
        cut.start()
        works_on(cut, tame, service, plan, instance["ID"])
    assert steps(cut.data, "load") == 2
    assert steps(cut.data, "create_task") == 2
    load = residue(cut.data)[0].split(".")[0]
    assert residue(cut.data) == [load, f"{load}.json", f"{load}.log"]
    engines.unload(cut, tame.id, service, force=True)
    assert residue(cut.data) == []
    assert list(Path("/sys/fs/cgroup").glob(f"**/*{load}")) == []


@pytest.mark.parametrize("moment", ["before the push", "while it starts"])
def test_a_daemon_killed_in_the_middle_of_a_load(cut: Daemon, tame: Misbehaving, moment: str) -> None:
    assert cut.client.upload(tame.file).code == 0
    service = engines.load(cut, tame.id, wait=0)
    if moment == "while it starts":
        wait_until(tame.traces, what="the engine started")
    with never_two(tame):
        cut.kill()
        cut.start()
        engines.until_running(cut, service)
        assert len(tame.pids()) == 1


def test_a_daemon_killed_in_the_middle_of_an_unload(cut: Daemon, tame: Misbehaving) -> None:
    """The engine does not want to end; the next daemon finishes what was wished."""
    tame.order("deaf")
    assert cut.client.upload(tame.file).code == 0
    service = engines.load(cut, tame.id)
    wish = {"AlgoFilePackageID": tame.id, "ComputilityCode": cut.settings.site_code, "AlgoServiceID": service}
    cut.client.fine("POST", "/ACSMP/AlgoServices/Devices/UnInstall", wish)
    wait_until(lambda: steps(cut.data, "unload"), what="the unload begun")
    cut.kill()
    wait_until(lambda: not tame.traces(), seconds=10, what="the engine gone with the daemon")
    cut.start()
    path = engines.service_path(cut, service)
    wait_until(lambda: cut.client.get(path).code == 40401, what="the service forgotten")
    assert residue(cut.data) == []
    assert tame.traces() == []


def test_a_stopped_instance_is_not_started_by_a_restart(site: Site, tame: Misbehaving) -> None:
    service, plan = at_work(site, tame)
    site.client.fine("POST", f"/ACSMP/Tasks/{plan}/Stop?Wait=20")
    engines.until_instance(site, plan, "PAUSED")
    site.restart()
    engines.until_running(site, service)
    engines.until_instance(site, plan, "PAUSED")
    assert the_hand(site.data, service).tasks() == []
    assert site.app is not None
    with site.app.store.read() as tx:
        assert [load.status for load in services.loads(tx)] == ["RUNNING"]
