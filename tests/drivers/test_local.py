"""The driver of this box's own compute, with real engines: what it says while one of them is silent."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from acsmpd.clock import Clock
from acsmpd.drivers.local import Local
from acsmpd.drivers.programs import Programs
from acsmpd.faults import Permanent, Temporary, Unknown
from acsmpd.model import (
    CreateTask,
    DeleteTask,
    Family,
    Load,
    LookTask,
    Observed,
    Peer,
    Push,
    SeenService,
    Unload,
)
from acsmpd.packages.bytestream import Limits
from acsmpd.runtime.on_images import OnImages
from acsmpd.runtime.process import Runtime
from acsmpd.runtime.values import EngineSpec, RuntimeSettings
from acsmpd.security.egress import EgressPolicy
from acsmpd.settings import load
from acsmpd.wire.caller import Wire
from tests.support.engines import Hand, Misbehaving, ports
from tests.support.packaging import md5_of, task_info
from tests.support.wait import wait_until

BOX = Peer(code="11010000005020000001", family=Family.LOCAL, url="", auth="none")
LOADS = [f"{n}0000000-0000-4000-8000-000000000000" for n in range(1, 4)]


class Bench:
    """A Local over real rooms, and what a test does with it."""

    def __init__(self, folder: Path) -> None:
        self.package = Misbehaving(folder / "open")
        environ = {
            **ports(5),
            "ACSMPD_RUNTIME_HEALTH_INTERVAL_SECONDS": "0.3",
            "ACSMPD_RUNTIME_START_TIMEOUT_SECONDS": "5",
        }
        clock, settings = Clock(), load(None, environ)
        self.data, logs = folder / "data", folder / "data" / "logs"
        logs.mkdir(parents=True)
        own = RuntimeSettings(
            data_dir=self.data,
            read_only_paths=(folder / "open",),
            stop_timeout_seconds=1,
            start_timeout_seconds=10,
        )
        self.runtime = Runtime(own, self.data / "engines", clock)
        self.wire = Wire(EgressPolicy((), lambda: ()), "1" * 20, 1, 1, 1_000_000, clock=clock)
        limits = Limits(max_members=100, max_unpacked_bytes=1_000_000, max_ratio=200)
        boxed = OnImages(settings.runtime, own, self.data / "engines", limits, EgressPolicy(()), clock)
        programs = Programs(self.data / "programs", limits, boxed.images)
        self.uses: list[Any] = []
        self.local = Local(self.wire, self.runtime, programs, settings, clock, self._describe, logs)

    def _describe(self, uses: Any) -> dict[str, Any]:
        self.uses = list(uses)
        return {}

    def close(self) -> None:
        self.runtime.close()
        self.wire.close()

    def push(self) -> None:
        file = self.package.file
        self.local.perform(BOX, Push(package_id=self.package.id, url="", path=str(file), md5=md5_of(file)))

    def load_step(self, load_id: str, **more: Any) -> Load:
        return Load(load_id=load_id, service_id=f"S-{load_id}", package_id=self.package.id, **more)

    def running(self, load_id: str) -> Hand:
        self.local.perform(BOX, self.load_step(load_id))
        wait_until(lambda: self.service(load_id).status == "RUNNING", what="running")
        return self.hand(load_id)

    def hand(self, load_id: str) -> Hand:
        text = (self.data / "logs" / f"{load_id}.log").read_text()
        return Hand(int(text.split()[-1]))

    def create(self, load_id: str, instance: str) -> str:
        info = task_info(url=f"rtsp://10.0.0.9/{instance}", ID=instance)
        return self.local.perform(
            BOX, CreateTask(info=info, restart_policy="NEVER", load_id=load_id)
        ).facility_id

    def observe(self, *known: str) -> Observed:
        return self.local.observe(BOX, frozenset(known))

    def service(self, load_id: str) -> SeenService:
        return next(one for one in self.observe().services or () if one.facility_id == load_id)

    def unload(self, load_id: str) -> None:
        self.local.perform(
            BOX, Unload(load_id=load_id, service_id="", package_id=self.package.id, facility_id=load_id)
        )


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    assert shutil.which("bwrap"), "apt-get install bubblewrap"
    one = Bench(tmp_path)
    try:
        yield one
    finally:
        one.close()


def tasks(seen: Observed) -> dict[str, str] | None:
    return None if seen.tasks is None else {task.task_id: task.status for task in seen.tasks}


def test_tasks_of_two_engines_with_the_same_ids_are_told_apart(bench: Bench) -> None:
    bench.push()
    one, two, _ = LOADS
    hands = [bench.running(one), bench.running(two)]
    made = [bench.create(load_id, "I") for load_id in (one, two)]
    assert made == [f"{one}.t1", f"{two}.t1"]
    assert tasks(bench.observe(*made)) == dict.fromkeys(made, "RUNNING")
    assert bench.local.perform(BOX, LookTask(task_id=made[1], load_id=two)).gone is False
    bench.local.perform(BOX, DeleteTask(task_id=made[0], load_id=one))
    assert tasks(bench.observe(*made)) == {made[1]: "RUNNING"}
    assert [len(hand.tasks()) for hand in hands] == [0, 1]
    # each use names the whole tree of its engine
    assert [use.load_id for use in bench.uses] == [one, two]
    assert {pid for use in bench.uses for pid in use.pids} == set(bench.package.traces())
    assert all(use.rss_bytes > 1_000_000 and use.cpu >= 0 for use in bench.uses)


def test_a_silent_engine_hides_nothing_of_the_others(bench: Bench) -> None:
    """Its own tasks are shown as last known; one made since its last listing is not taken for gone."""
    bench.push()
    one, two, _ = LOADS
    quiet = bench.running(one)
    bench.running(two)
    listed = bench.create(one, "I1")
    bench.observe(listed)
    since, other = bench.create(one, "I2"), bench.create(two, "I3")
    quiet.do("hang")
    seen = bench.observe(listed, since, other)
    assert tasks(seen) == {listed: "RUNNING", since: "PENDING", other: "RUNNING"}
    assert [one.status for one in seen.services or ()] == ["RUNNING", "RUNNING"]


def test_a_create_without_an_answer_is_looked_for_before_it_is_repeated(bench: Bench) -> None:
    bench.push()
    one, two, _ = LOADS
    quiet = bench.running(one)
    bench.running(two)
    other = bench.create(two, "I2")
    quiet.do("hang")
    with pytest.raises(Unknown):
        bench.create(one, "I1")
    seen = bench.observe(other)
    assert tasks(seen) is None
    assert seen.faults == (f"engine {one} cannot be asked for its tasks",)
    # ended for its silence, it has no tasks any more, and the listing is whole again
    wait_until(lambda: bench.service(one).status == "ERROR", what="ended")
    assert bench.service(one).error.startswith("the engine stopped answering: ")
    bench.local.perform(BOX, bench.load_step(one))
    starting = bench.service(one)
    assert (starting.status, starting.error[:28]) == ("INIT", "the engine stopped answering")
    wait_until(lambda: bench.service(one).status == "RUNNING", what="running again")
    assert bench.service(one).error == ""
    assert tasks(bench.observe(other)) == {other: "RUNNING"}
    assert bench.local.perform(BOX, LookTask(task_id=f"{one}.t1", load_id=one)).gone is True


def test_a_start_of_unknown_outcome_is_not_repeated_beside_it(bench: Bench) -> None:
    """An engine of the load runs, and the driver does not know where it listens."""
    bench.push()
    one = LOADS[0]
    work = next((bench.data / "programs" / bench.package.id).glob("*.json")).with_suffix("")
    argv = ("/usr/bin/python3", "engine.py", bench.package.mark)
    env = {
        "PATH": "/usr/bin:/bin",
        "PORT": "1",
        "ACSMP_SERVICE_ID": "x",
        "ORDERS": str(bench.data.parent / "open" / "orders"),
    }
    bench.package.order("never")
    bench.runtime.start(
        EngineSpec(load_id=one, argv=argv, work=work, env=env, log=bench.data / "logs" / "x.log")
    )
    wait_until(bench.package.pids, what="the stray")
    [stray] = bench.package.pids()
    bench.package.order("")
    bench.running(one)
    [now] = bench.package.pids()
    assert now != stray
    # and a load of what runs changes nothing
    assert bench.local.perform(BOX, bench.load_step(one)).facility_id == one
    assert bench.package.pids() == [now]


def test_a_load_that_cannot_be_started(bench: Bench) -> None:
    one, two, three = LOADS
    with pytest.raises(Temporary, match=f"the program of package {bench.package.id} is not unpacked here"):
        bench.local.perform(BOX, bench.load_step(one))
    bench.push()
    with pytest.raises(Permanent, match="holds a NUL"):
        bench.local.perform(BOX, bench.load_step(one, args="'a\0b'"))
    assert bench.observe().services == ()
    assert bench.local.listeners() == []
    bench.unload(one)
    assert list((bench.data / "engines" / ".homes").iterdir()) == []
    assert list((bench.data / "logs").iterdir()) == []
    assert bench.local.perform(BOX, CreateTask(info={}, restart_policy="NEVER", load_id=two)).gone is True
    bench.unload(three)
