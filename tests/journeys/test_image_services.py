"""An image package on this box, through the whole platform, on a real dockerd and a real Podman."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import engines
from tests.support.container_engines import KINDS, ON_DOCKERD, ContainerEngine, container_engine
from tests.support.daemon import Daemon, daemon
from tests.support.engines import PYTHON, Hand
from tests.support.images import engine_tar, image_package, image_tar
from tests.support.packaging import PACKAGE_ID
from tests.support.wait import wait_until

PACKAGES = "/ACSMP/AlgoFilePackages"
QUICK = {
    "runtime_health_interval_seconds": "0.3", "runtime_stop_timeout_seconds": "1",
    "runtime_image_min_free_bytes": "1000000", "runtime_start_timeout_seconds": "15",
}  # fmt: skip
COMMAND = [PYTHON, "engine.py"]


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest) -> Iterator[ContainerEngine]:
    with container_engine(request.param) as one:
        yield one


@pytest.fixture
def engine(running: ContainerEngine) -> ContainerEngine:
    return running


@pytest.fixture
def box(tmp_path: Path, engine: ContainerEngine) -> Iterator[Daemon]:
    more = {**engines.ports(3), **QUICK, "runtime_container_socket": str(engine.socket)}
    with daemon(tmp_path / "data", **more) as one:
        yield one
    engine.clear()


def ours(engine: ContainerEngine) -> list[str]:
    return [one["Id"] for one in engine.containers() if one["Names"][0].strip("/").startswith("acsmpd-")]


def the_hand(engine: ContainerEngine) -> Hand:
    [made] = ours(engine)
    env = dict(line.split("=", 1) for line in engine.container(made)["Config"]["Env"])
    return Hand(int(env["PORT"]))


def more_results(box: Daemon, plan: int) -> None:
    count = engines.results(box, plan)
    wait_until(lambda: engines.results(box, plan) >= count + 2, seconds=30, what="further results")


def test_an_image_is_loaded_works_is_found_again_and_leaves_nothing(
    box: Daemon, engine: ContainerEngine, tmp_path: Path
) -> None:
    foreign_tar = tmp_path / "foreign.tar"
    foreign_image = image_tar(foreign_tar, "somebody/engine:1", whose=b"theirs")
    engine.load(foreign_tar)
    before = engine.tags()
    foreign = engine.run("somebody-s", foreign_image, PYTHON, "-c", "import time; time.sleep(1000)")

    package = image_package(tmp_path / "p", tar=engine_tar()[0], cmd=COMMAND, env={"LOG_LEVEL": "info"})
    assert box.client.upload(package).code == 0
    service = engines.load(box, PACKAGE_ID, wait=30)
    engines.until_running(box, service, 30)
    plan = engines.add_plan(box)
    more_results(box, plan)
    [first] = ours(engine)
    assert engine.container(first)["Image"].removeprefix("sha256:") == engine_tar()[1].removeprefix("sha256:")

    the_hand(engine).do("exit", 5)
    more_results(box, plan)
    [second] = ours(engine)
    assert second != first
    more_results(box, plan)

    box.kill()
    assert engine.container(second)["State"]["Running"]
    box.start()
    engines.until_running(box, service, 30)
    more_results(box, plan)
    [third] = ours(engine)
    assert third != second
    assert len(the_hand(engine).tasks()) == 1

    box.client.fine("DELETE", f"/ACSMP/Tasks/{plan}?Wait=20")
    engines.unload(box, PACKAGE_ID, service)
    assert ours(engine) == []
    box.client.fine("DELETE", f"{PACKAGES}/{PACKAGE_ID}?Wait=20")
    wait_until(lambda: engine.tags() == before, what="our image gone")
    assert engine.container(foreign)["State"]["Running"]
    services = tmp_path / "data" / "services"
    left = [path for path in services.rglob("*") if path.is_file()]
    assert left == []


def test_a_service_waits_for_its_engine_and_outlives_it(tmp_path: Path, engine: ContainerEngine) -> None:
    """The socket appears late, hangs, and its engine is killed: the reason is shown, and all else goes on."""
    late = tmp_path / "late.sock"
    more = {**engines.ports(4), **QUICK, "runtime_container_socket": str(late)}
    with daemon(tmp_path / "data", **more) as box:
        assert box.client.upload(image_package(tmp_path / "p", tar=engine_tar()[0], cmd=COMMAND)).code == 0
        service = engines.load(box, PACKAGE_ID, wait=0)
        engines.until_told(box, service, f"no container engine listens at {late}")
        os.symlink(engine.socket, late)
        engines.until_running(box, service, 40)
        plan = engines.add_plan(box)
        more_results(box, plan)

        engine.hang()
        try:
            more_results(box, plan)
            assert box.client.get("/readyz").status == 200
            engines.until_running(box, service, 1)
        finally:
            engine.go_on()

        [before] = ours(engine)
        engine.restart()
        if engine.kind == "podman":
            the_hand(engine).do("exit", 1)
        wait_until(lambda: ours(engine) not in ([], [before]), seconds=40, what="another container")
        more_results(box, plan)
    assert ours(engine) == []
    engine.clear()


@ON_DOCKERD
def test_what_is_no_image_is_told_on_the_service(
    box: Daemon, engine: ContainerEngine, tmp_path: Path
) -> None:
    two = tmp_path / "two.tar"
    raw = engine_tar()[0].read_bytes()
    two.write_bytes(raw.replace(b'"RepoTags"', b'"Repotags"').replace(b'"Layers"', b'"Loyers"'))
    assert box.client.upload(image_package(tmp_path / "p", tar=two, cmd=COMMAND)).code == 0
    service = engines.load(box, PACKAGE_ID, wait=0)
    engines.until_told(box, service, "manifest.json cannot be read")
    assert engine.images() == []
    box.client.fine("DELETE", f"{PACKAGES}/{PACKAGE_ID}?Force=true&Wait=20")

    package = image_package(tmp_path / "q", remote_uri="169.254.169.254/a:1", cmd=COMMAND)
    assert box.client.upload(package).code == 0
    service = engines.load(box, PACKAGE_ID, wait=0)
    engines.until_told(box, service, "169.254.169.254")


@ON_DOCKERD
def test_an_image_that_somebody_removed_is_brought_again(
    box: Daemon, engine: ContainerEngine, tmp_path: Path
) -> None:
    assert box.client.upload(image_package(tmp_path / "p", tar=engine_tar()[0], cmd=COMMAND)).code == 0
    service = engines.load(box, PACKAGE_ID, wait=30)
    engines.until_running(box, service, 30)
    engine.clear()
    wait_until(lambda: ours(engine) and engine.tags(), seconds=40, what="image and container again")
    engines.until_running(box, service, 30)
