"""A computing platform in the engine: entered and never heard, replicas changed in place, engines no list shows."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from acsmpd.engine.scaling import Scaler
from acsmpd.faults import Unknown
from acsmpd.model import Load, Outcome, Push, Scale, SeenService, Step
from acsmpd.model.parties import Family
from acsmpd.store import services
from tests.engine.bench import Bench
from tests.engine.plant import Box, Plant
from tests.engine.test_scaling import go, policy, want
from tests.store.rows import CODE, OTHER, PACKAGE


class Cluster(Plant):
    """Keeps replicas of a service, of which so many become ready as there is room for; lists no packages."""

    def __init__(self) -> None:
        super().__init__(with_ids=True)
        self.hidden.add("packages")
        self.room = 100

    def _do(self, box: Box, step: Step) -> Outcome:
        match step:
            case Push():
                return Outcome(progress=1.0)
            case Load():
                box.services[step.load_id] = SeenService(
                    package_id="image", facility_id=step.load_id, load_id=step.load_id, replicas=step.replicas,
                    ready=min(step.replicas, self.room),
                )  # fmt: skip
                return Outcome(facility_id=step.load_id, replicas=step.replicas)
            case Scale():
                before = box.services[step.load_id]
                ready = min(step.replicas, self.room)
                box.services[step.load_id] = replace(before, replicas=step.replicas, ready=ready)
                return Outcome(replicas=step.replicas)
        return super()._do(box, step)


def clustered(works: Bench) -> Cluster:
    """One computing platform with a running service for two streams a replica."""
    plant = Cluster()
    works.core.drivers[Family.CCP] = plant  # type: ignore[index]
    works.device(
        family="ccp", type="CCP", preset=True, registered=False, registered_ms=None, state="offline",
        ever_heard=False, cluster="c",
    )  # fmt: skip
    works.run(2)
    works.package(manifest={"xpu": [{"stream_video_quota": 2}], "kind": "image", "remote_uri": "r:5000/a:1"})
    works.load()
    works.run(5)
    works.scaler = Scaler(works.core)  # type: ignore[attr-defined]
    works.scaler.ensure(works.clock.moment)  # type: ignore[attr-defined]
    works.run(6, 20)
    return plant


def replicas(works: Bench) -> tuple[int, int | None]:
    """Wished for, and as it was told."""
    with works.store.read() as tx:
        [load] = services.loads(tx)
        return services.replicas_of(tx, load) or 0, load.replicas


@pytest.fixture
def tasked(tmp_path: Any) -> Any:
    made = Bench(tmp_path / "works", ccp_engine_interface="ours")
    yield made
    made.close()


def test_one_that_never_speaks_is_judged_by_its_answers(works: Bench) -> None:
    plant = clustered(works)
    assert works.state() == "online"
    assert works.the_load().status == "RUNNING"
    works.run(30, 15)
    assert works.state() == "online"  # 450 s in which it said nothing of its own accord
    plant.away.add(CODE)
    works.run(3, 15)
    assert works.state() == "unreachable"
    works.run(9, 15)
    assert works.state() == "lost"
    assert [kind for kind, *_ in works.alarms()] == ["computility_lost"]
    plant.away.clear()
    works.run(3, 15)
    assert works.state() == "online"
    assert works.alarms() == []
    works.start()
    works.core.drivers[Family.CCP] = plant  # type: ignore[index]
    plant.away.add(CODE)
    works.run(2, 15)
    assert works.state() == "unreachable"
    assert plant.told() == ["push", "load"]


def test_replicas_come_and_go_where_they_are(tasked: Bench) -> None:
    plant = clustered(tasked)
    policy(tasked)
    want(tasked, 5)
    go(tasked, 8)
    assert replicas(tasked) == (2, 2)  # twice as many at most
    assert sum(one.status == "RUNNING" for one in plant.boxes[CODE].tasks.values()) == 4
    go(tasked, 8, 20)
    assert replicas(tasked) == (3, 3)
    assert len(plant.boxes[CODE].tasks) == 5
    for one in range(5):
        tasked.change(f"i{one}", on=False, deleted=True)
    go(tasked, 30, 20)
    assert replicas(tasked) == (1, 1)
    assert plant.told().count("load") == 1
    assert [step.replicas for _, step in plant.steps if isinstance(step, Scale)] == [2, 3, 2, 1]


def test_a_cluster_that_has_no_room_gets_no_more(tasked: Bench) -> None:
    """What is not ready carries nothing, and nothing is asked for beside it."""
    plant = clustered(tasked)
    plant.room = 1
    policy(tasked, max_replicas=9)
    want(tasked, 9)
    go(tasked, 20, 20)
    assert replicas(tasked) == (2, 2)
    assert len(plant.boxes[CODE].tasks) == 2
    plant.room = 100
    box = plant.boxes[CODE]
    box.services = {key: replace(one, ready=one.replicas) for key, one in box.services.items()}
    go(tasked, 30, 20)
    assert replicas(tasked) == (5, 5)
    assert len(box.tasks) == 9


def test_without_task_control_nothing_is_scaled_there(works: Bench) -> None:
    plant = clustered(works)
    policy(works)
    want(works, 5)
    go(works, 10, 20)
    assert replicas(works) == (1, 1)
    assert plant.told() == ["push", "load"]


def test_a_push_nobody_knows_the_end_of_comes_again(works: Bench) -> None:
    """As after a crash while it was under way: no list would ever tell."""
    plant = clustered(works)
    plant.steps.clear()
    plant.before["push"] = [Unknown("the line was cut")]
    with works.store.write() as tx:
        row = services.copy(tx, PACKAGE, CODE)
        assert row is not None
        services.change_copy(tx, row["id"], sent=False, status=1)
    works.run(6, 15)
    assert plant.told() == ["push", "push"]


def test_work_moves_away_from_a_platform_that_is_lost(tasked: Bench) -> None:
    """Unlike from a CAP: what is behind it is a cluster, not a site that goes on by itself."""
    plant = clustered(tasked)
    tasked.instance("one")
    tasked.run(4)
    assert tasked.status("one") == ("RUNNING", "")
    assert len(plant.boxes[CODE].tasks) == 1
    tasked.device(OTHER)
    tasked.load("load-2", OTHER)
    tasked.run(4)
    plant.away.add(CODE)
    for _ in range(14):
        tasked.presence.heard(OTHER, tasked.clock.moment.mono)
        tasked.run(1, 15)
    assert tasked.state() == "lost"
    assert len(tasked.plant.boxes[OTHER].tasks) == 1
    plant.away.clear()
    tasked.run(6, 15)
    assert tasked.state() == "online"
    assert plant.boxes[CODE].tasks == {}  # it runs once
