"""Automatic scaling at work: loads and replicas appear and go as streams do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from acsmpd.clock import Moment
from acsmpd.engine.scaling import REFUSED, SHORT, Scaler
from acsmpd.faults import Permanent
from acsmpd.model import Family, Scaling, SeenPackage
from acsmpd.model import Load as LoadStep
from acsmpd.store import devices, plans, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Instance, Load
from tests.engine.bench import INFO, SITE, Bench
from tests.engine.test_failover import put_policy, wanted
from tests.store.rows import CODE, NOW, OTHER, PACKAGE

THIRD = "11010000005050000003"


@pytest.fixture
def scaled(works: Bench) -> Bench:
    """One device with a running service for two streams, a second without anything; at most three replicas."""
    works.device()
    works.device(OTHER)
    works.package(manifest={"xpu": [{"stream_video_quota": 2}]})
    works.load()
    works.run(4)
    policy(works)
    works.scaler = Scaler(works.core)  # type: ignore[attr-defined]
    works.scaler.ensure(works.clock.moment)  # type: ignore[attr-defined]
    works.run(6, 20)
    return works


def policy(works: Bench, capability: str = "", **more: Any) -> None:
    rule = {"min_replicas": 1, "max_replicas": 3, "target_use": 100, "cooldown_seconds": 60, **more}
    put_policy(works, capability, scaling=Scaling(**rule))


def go(works: Bench, passes: int = 1, seconds: float = 1.0) -> float | None:
    due = None
    for _ in range(passes):
        works.run(1, seconds)
        due = works.scaler.ensure(works.clock.moment)  # type: ignore[attr-defined]
    return due  # type: ignore[no-any-return]


def loads(works: Bench) -> list[str]:
    """Devices with a wanted load of the package."""
    with works.store.read() as tx:
        return sorted(load.device for load in services.loads(tx, Load.wanted))


def want(works: Bench, number: int, **more: Any) -> None:
    for one in range(number):
        works.instance(f"i{one}", **more)


def test_waiting_streams_bring_the_service_to_a_further_device(scaled: Bench) -> None:
    want(scaled, 3)
    go(scaled, 10)
    assert loads(scaled) == [CODE, OTHER]
    assert scaled.plant.told(OTHER) == ["push", "load", "create_task"]
    assert [len(wanted(scaled, f"i{one}")) for one in range(3)] == [1, 1, 1]
    with scaled.store.read() as tx:
        made = [services.service(tx, load.service_id) for load in services.loads(tx, Load.device == OTHER)]
    assert [one["package_id"] for one in made if one] == [PACKAGE]


def test_inside_the_cool_down_nothing_changes_and_after_it_one_goes(scaled: Bench) -> None:
    want(scaled, 3)
    go(scaled, 10)
    for one in ("i1", "i2"):
        scaled.change(one, on=False, deleted=True)
    due = go(scaled, 5)
    assert loads(scaled) == [CODE, OTHER]
    assert due is not None
    assert due > scaled.clock.moment.mono
    scaled.clock.moment = scaled.clock.moment.later(due - scaled.clock.moment.mono)
    go(scaled, 6, 0.1)
    assert len(loads(scaled)) == 1
    assert scaled.status("i0") == ("RUNNING", "")  # it moved along, if it had to
    go(scaled, 10, 30)
    assert len(loads(scaled)) == 1


def test_the_service_that_carries_least_goes_and_its_work_moves(scaled: Bench) -> None:
    want(scaled, 4)
    go(scaled, 10)
    scaled.change("i0", on=False, deleted=True)
    scaled.change("i2", on=False, deleted=True)
    go(scaled, 3)
    go(scaled, 8, 20)
    assert len(loads(scaled)) == 1
    for one in ("i1", "i3"):
        assert scaled.status(one) == ("RUNNING", "")


def test_the_lower_bound_holds_without_any_use(scaled: Bench) -> None:
    policy(scaled, min_replicas=2)
    go(scaled, 1)
    assert loads(scaled) == [CODE, OTHER]


def test_what_no_device_takes_is_an_alarm_that_ends(scaled: Bench) -> None:
    policy(scaled, min_replicas=3)
    go(scaled, 3)
    assert loads(scaled) == [CODE, OTHER]
    text = f"package {PACKAGE}: 1 more replicas are wanted and no computility takes them"
    assert scaled.alarms(SHORT) == [(SHORT, PACKAGE, text)]
    with scaled.store.read() as tx:
        before = scaled.store.version()
    scaled.scaler.ensure(scaled.clock.moment)  # type: ignore[attr-defined]
    assert scaled.store.version() == before  # what is known is not written again
    assert tx is not None
    scaled.device(THIRD)
    go(scaled, 2)
    assert loads(scaled) == [CODE, OTHER, THIRD]
    assert scaled.alarms(SHORT) == []


def test_an_alarm_of_before_a_restart_ends_with_its_policy(scaled: Bench) -> None:
    policy(scaled, min_replicas=3)
    go(scaled, 1)
    assert scaled.alarms(SHORT)
    with scaled.store.write() as tx:
        tx.sql("DELETE FROM schedule_policy")
    Scaler(scaled.core).ensure(scaled.clock.moment)
    assert scaled.alarms(SHORT) == []


@pytest.mark.parametrize(
    "other",
    [
        {"maintenance": True}, {"state": "lost"}, {"enabled": False}, {"support_services": False}, {"family": "cap"},
        {"info": [{"DeviceID": OTHER, "XpuMonitors": [{"XpuType": "AMD-MI300A"}]}]},
    ],
)  # fmt: skip
def test_a_device_that_cannot_take_it_is_not_asked(scaled: Bench, other: dict[str, Any]) -> None:
    scaled.package(manifest={"xpu": [{"stream_video_quota": 2, "vendor": "NVIDIA"}]})
    scaled.device(OTHER, **other)
    policy(scaled, min_replicas=2)
    scaled.scaler.ensure(scaled.clock.moment)  # type: ignore[attr-defined]
    assert loads(scaled) == [CODE]


def test_a_device_where_somebody_else_put_the_file_is_not_asked(scaled: Bench) -> None:
    scaled.plant.boxes[OTHER].packages[PACKAGE] = SeenPackage(package_id=PACKAGE)
    go(scaled, 3, 15)
    assert scaled.foreign(OTHER) == [("package", PACKAGE)]
    policy(scaled, min_replicas=2)
    go(scaled, 4)
    assert loads(scaled) == [CODE]
    assert scaled.foreign(OTHER) == [("package", PACKAGE)]
    assert scaled.plant.told(OTHER) == []


def test_what_an_operator_does_between_look_and_deed_counts(scaled: Bench) -> None:
    """Two services of a package on one CAD would unload each other."""

    class Slow(Scaler):
        looks = 0

        def _plan(self, tx: Tx, now: Moment) -> Any:
            found = super()._plan(tx, now)
            self.looks += 1
            if self.looks == 1:
                assert [ground.device for change in found[0] for ground in change.grow] == [OTHER]
                scaled.load("load-2", OTHER)
            return found

    policy(scaled, min_replicas=2)
    Slow(scaled.core).ensure(scaled.clock.moment)
    assert loads(scaled) == [CODE, OTHER]


def test_the_one_that_works_stays_when_a_broken_one_can_go(scaled: Bench) -> None:
    scaled.load("load-2", OTHER)
    go(scaled, 6)
    scaled.plant.before["load"] = [Permanent("the licence is over")] * 20
    scaled.plant.boxes[CODE].services.clear()
    for _ in range(14):
        scaled.presence.heard(OTHER, scaled.clock.moment.mono)
        go(scaled, 1, 15)
    assert loads(scaled) == [OTHER]
    assert scaled.the_load("load-2").status == "RUNNING"


def test_a_lost_device_does_not_count_and_its_streams_wait(scaled: Bench) -> None:
    want(scaled, 2)
    go(scaled, 3)
    scaled.plant.away.add(CODE)
    for _ in range(15):
        scaled.presence.heard(OTHER, scaled.clock.moment.mono)
        go(scaled, 1, 15)
    assert scaled.state(CODE) == "lost"
    assert loads(scaled) == [CODE, OTHER]
    assert [wanted(scaled, f"i{one}") for one in range(2)] == [[OTHER], [OTHER]]


@pytest.mark.parametrize("pin", [{"device": OTHER}, {"service_id": "service-load-2"}])
def test_a_replica_that_an_instance_is_pinned_to_stays(scaled: Bench, pin: dict[str, str]) -> None:
    scaled.load("load-2", OTHER)
    go(scaled, 4)
    scaled.instance("pinned", **pin)
    go(scaled, 6)
    assert scaled.status("pinned") == ("RUNNING", "")
    go(scaled, 6, 61)
    assert loads(scaled) == [OTHER]


def test_a_replica_that_carries_the_task_of_somebody_else_stays(scaled: Bench) -> None:
    scaled.load("load-2", OTHER)
    go(scaled, 4)
    scaled.plant.foreign_task(OTHER, "theirs", event_ids=("INTRUSION",))
    go(scaled, 6, 61)
    assert loads(scaled) == [OTHER]


def test_the_service_of_a_platform_stays(scaled: Bench) -> None:
    """What an operator loaded there may be several replicas at once; another goes in its place."""
    scaled.device(THIRD, family="cap")
    scaled.load("load-3", THIRD)
    go(scaled, 20)
    assert loads(scaled) == [CODE, THIRD]
    go(scaled, 6, 61)
    assert loads(scaled) == [THIRD]
    assert "unload" not in scaled.plant.told(THIRD)


def test_a_platform_is_given_no_replica_by_itself(scaled: Bench) -> None:
    scaled.device(THIRD, family="cap")
    want(scaled, 5)
    go(scaled, 12)
    assert loads(scaled) == [CODE, OTHER]


def test_what_an_operator_loads_has_a_cool_down_to_be_used(scaled: Bench) -> None:
    scaled.load("load-2", OTHER)
    go(scaled, 20)
    assert loads(scaled) == [CODE, OTHER]
    go(scaled, 3, 20)
    assert loads(scaled) == [CODE]


def test_each_region_is_counted_by_itself(scaled: Bench) -> None:
    for code, region in ((CODE, "city/east"), (OTHER, "city/West")):
        scaled.device(code, location={"Text": region})
    scaled.device(THIRD, location={"Text": "City/East"})
    policy(scaled, per_region=True)
    scaled.load("load-2", OTHER)
    go(scaled, 4)
    assert loads(scaled) == [CODE, OTHER]
    options = {**INFO["StreamOptions"]["VideoStreamOptions"], "Location": {"Text": "city/east/gate"}}
    want(scaled, 5, info={**INFO, "StreamOptions": {"VideoStreamOptions": options}})
    go(scaled, 1)
    scaled.pass_by(100)
    go(scaled, 6)
    assert loads(scaled) == [CODE, OTHER, THIRD]
    assert all(wanted(scaled, f"i{one}") for one in range(5))


def test_the_policy_of_a_capability_decides_for_its_package(scaled: Bench) -> None:
    policy(scaled, "A", min_replicas=2)
    go(scaled, 1)
    assert loads(scaled) == [CODE, OTHER]
    put_policy(scaled, "A", scaling=None)
    policy(scaled, "", min_replicas=3)
    scaled.device(THIRD)
    go(scaled, 3, 61)
    assert loads(scaled) == [CODE, OTHER]  # its own policy scales nothing, and the global one is not asked


def test_after_a_restart_a_cool_down_passes_first(scaled: Bench) -> None:
    want(scaled, 3)
    scaled.run(2)
    anew = Scaler(scaled.core)
    due = anew.ensure(scaled.clock.moment)
    assert due == scaled.clock.moment.mono + 60
    assert loads(scaled) == [CODE]
    scaled.pass_by(60)
    anew.ensure(scaled.clock.moment)
    assert loads(scaled) == [CODE, OTHER]


def test_a_site_without_scaling_is_left_alone(scaled: Bench) -> None:
    put_policy(scaled)
    want(scaled, 9)
    go(scaled, 5, 100)
    assert loads(scaled) == [CODE]
    assert Scaler(scaled.core).ensure(scaled.clock.moment) is None


# --- who refuses ------------------------------------------------------------------------------------------------

MANY = [f"110100000050500000{number}" for number in range(10, 20)]


@pytest.fixture
def refusing(scaled: Bench) -> Bench:
    """Ten more devices, and none but the first takes a load any more; a third stream waits."""
    for code in MANY:
        scaled.device(code)
    policy(scaled, max_replicas=9)
    refuse_loads(scaled)
    want(scaled, 3)
    return scaled


def refuse_loads(works: Bench) -> None:
    works.plant.before["load"] = [Permanent("not my kind")] * 1000


def until_settled(works: Bench, most: int = 60) -> int:
    """Half an hour, more than all tries need; gives how many devices have been asked to load."""
    for _ in range(most):
        go(works, 1, 30)
    return asked(works)


def asked(works: Bench) -> int:
    return len({code for code, step in works.plant.steps if isinstance(step, LoadStep) and code != CODE})


def test_a_package_that_is_refused_is_tried_three_times_and_that_is_told_once(refusing: Bench) -> None:
    assert until_settled(refusing) == 3
    [(_, subject, text)] = refusing.alarms(REFUSED)
    assert subject == PACKAGE
    assert text.startswith(
        f"package {PACKAGE} is not tried elsewhere: 3 computilities in a row have refused it ("
    )
    assert text.count("not my kind") == 3
    assert len(loads(refusing)) == 4
    written = refusing.store.version()
    refusing.scaler.ensure(refusing.clock.moment)  # type: ignore[attr-defined]
    assert refusing.store.version() == written


def test_the_tries_are_ever_farther_apart(refusing: Bench) -> None:
    when, seen = [], 0
    for _ in range(150):
        go(refusing, 1, 10)
        if len(loads(refusing)) > seen:
            seen = len(loads(refusing))
            when.append(refusing.clock.moment.mono)
    pauses = [after - before for before, after in itertools.pairwise(when)]
    assert len(pauses) == 2
    assert pauses[0] >= 120
    assert pauses[1] >= 240


def test_one_that_refused_is_not_asked_again_although_its_replica_was_taken_away(refusing: Bench) -> None:
    go(refusing, 20, 20)
    first = next(code for code in loads(refusing) if code != CODE)
    tried = refusing.plant.told(first).count("load")
    with refusing.store.write() as tx:
        [load] = services.loads(tx, Load.device == first)
        services.retire(tx, load.id, NOW)
    until_settled(refusing)
    assert refusing.plant.told(first).count("load") == tried
    assert first not in loads(refusing)


@pytest.mark.parametrize("change", ["package", "device"])
@pytest.mark.parametrize("per_region", [False, True])
def test_something_that_changed_has_it_asked_again(refusing: Bench, change: str, per_region: bool) -> None:
    if per_region:
        refusing.device(MANY[0], location={"Text": "city/east"})
        refusing.load("east", MANY[0], status="RUNNING", sent=True)
        policy(refusing, max_replicas=9, per_region=True)
    until_settled(refusing)
    code = next(one for one in loads(refusing) if one != CODE)
    refusing.plant.before["load"].clear()
    go(refusing, 5, 30)
    assert refusing.load_row_on(code).parked
    with refusing.store.write() as tx:
        if change == "device":
            devices.change(tx, code, registered_ms=NOW + 5000)
        else:
            tx.sql("UPDATE package SET md5 = 'm2'")
    go(refusing, 10, 30)
    assert refusing.load_row_on(code).status == "RUNNING"
    assert refusing.alarms(REFUSED) == []
    assert all(wanted(refusing, f"i{one}") for one in range(3))


def test_a_service_that_runs_refuses_nothing_whatever_became_of_a_newer_file(scaled: Bench) -> None:
    with scaled.store.write() as tx:
        tx.sql("UPDATE copy SET parked = 1, error = 'no room'")
    scaled.scaler.ensure(scaled.clock.moment)  # type: ignore[attr-defined]
    written = scaled.store.version()
    for _ in range(5):
        scaled.scaler.ensure(scaled.clock.moment)  # type: ignore[attr-defined]
    assert scaled.store.version() == written
    assert not scaled.scaler._refusals.has_refused(PACKAGE, CODE)  # type: ignore[attr-defined]


def test_a_refused_file_counts_like_a_refused_service(scaled: Bench) -> None:
    for code in MANY:
        scaled.device(code)
    policy(scaled, max_replicas=9)
    scaled.plant.before["push"] = [Permanent("no room")] * 100
    want(scaled, 3)
    until_settled(scaled)
    assert len(loads(scaled)) == 4
    assert "no room" in scaled.alarms(REFUSED)[0][2]


def test_a_device_that_takes_it_shows_that_the_package_is_fine(refusing: Bench) -> None:
    go(refusing, 20, 20)
    refusing.plant.before["load"].clear()
    until_settled(refusing, 40)
    assert all(wanted(refusing, f"i{one}") for one in range(3))
    assert refusing.alarms(REFUSED) == []
    refuse_loads(refusing)
    want_more(refusing)
    before = asked(refusing)
    assert until_settled(refusing) == before + 3


def want_more(works: Bench) -> None:
    for one in range(3, 7):
        works.instance(f"i{one}")


# --- this box ---------------------------------------------------------------------------------------------------


@pytest.fixture
def local(works: Bench) -> Bench:
    """This box with a running service of one replica that carries two streams."""
    with works.store.write() as tx:
        devices.put(
            tx,
            SITE,
            NOW,
            type="CAD",
            family=Family.LOCAL.value,
            approved=True,
            registered=True,
            state="online",
        )
    works.package(manifest={"xpu": [{"stream_video_quota": 2}]}, path=str(works.folder))
    works.load(code=SITE, sent=True, status="RUNNING")
    policy(works)
    works.scaler = Scaler(works.core)  # type: ignore[attr-defined]
    works.scaler.ensure(works.clock.moment)  # type: ignore[attr-defined]
    works.pass_by(100)
    return works


def replicas(works: Bench) -> list[int]:
    with works.store.read() as tx:
        rows = tx.rows(Load.select(Load.replica).where(Load.wanted).order_by(Load.replica))
        [service] = {load.service_id for load in services.loads(tx)}
        shown = services.service(tx, service)
    assert shown is not None
    assert shown["replicas"] == len(rows)
    return [row["replica"] for row in rows]


def scale(works: Bench) -> None:
    works.scaler.ensure(works.clock.moment)  # type: ignore[attr-defined]


def test_this_box_gets_further_replicas_of_the_same_service_and_loses_the_last(local: Bench) -> None:
    want(local, 5)
    local.placement.ensure(local.clock.moment)
    scale(local)
    assert replicas(local) == [0, 1, 2]
    with local.store.write() as tx:
        tx.sql("UPDATE load SET status = 'RUNNING', sent = 1")
        plans.change_instances(tx, Instance.on, on=False, deleted=True)
    local.placement.ensure(local.clock.moment)
    local.pass_by(59)
    scale(local)
    assert replicas(local) == [0, 1, 2]
    local.pass_by(1)
    scale(local)
    assert replicas(local) == [0, 1]


def test_a_box_whose_replicas_do_not_run_gets_no_more(local: Bench) -> None:
    with local.store.write() as tx:
        tx.sql("UPDATE load SET status = 'ERROR'")
    want(local, 5)
    local.placement.ensure(local.clock.moment)
    scale(local)
    assert replicas(local) == [0]
    assert local.alarms(SHORT)


def test_a_box_gets_no_more_replicas_than_it_has_ports(local: Bench) -> None:
    policy(local, min_replicas=500, max_replicas=500)
    scale(local)
    ports = local.settings.runtime
    assert len(replicas(local)) == ports.port_to - ports.port_from + 1
    assert local.alarms(SHORT)
