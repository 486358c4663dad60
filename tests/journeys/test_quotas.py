"""Quotas that bind wherever a stream starts (conventions section 9), over HTTP and on devices that speak Part 4."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.journeys.test_licences import NEEDS, added, quota
from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, task_info
from tests.support.site import Answer, Site, running
from tests.support.state import refused
from tests.support.wait import wait_until

FIRST, SECOND = "11010000005050000001", "11010000005050000002"
INSTANCES = "/ACSMP/TaskInstances"


class Place(NamedTuple):
    """A site with two devices; the service of a package that needs authorisation runs on the first."""

    site: Site
    cad: FakeCad
    other: FakeCad


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with (
        running(tmp_path / "data", computility_suspect_seconds="2", computility_lost_seconds="3") as site,
        FakeCad(FIRST) as cad,
        FakeCad(SECOND) as other,
    ):
        for one in (cad, other):
            assert one.register(site.url).accepted
        assert site.client.upload(make_package(tmp_path, env=NEEDS)).code == 0
        added(site, b"the first", AbilityAuths=streams(0))
        loaded(site, cad)
        yield Place(site, cad, other)


def streams(number: int) -> list[dict[str, Any]]:
    return [{"AlgoDefCode": CAPABILITY, "Quota": number}]


def loaded(site: Site, cad: FakeCad) -> str:
    wish = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": cad.code}
    service: str = site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
    return service


def planned(site: Site, number: int, *, start: bool, **more: Any) -> int:
    """A plan of so many instances, all of the same stream: a device counts how many of it run at once."""
    body = {
        "Name": "a", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": start,
        "AlgoTaskInfos": [task_info() for _ in range(number)], **more,
    }  # fmt: skip
    plan: int = site.client.fine("POST", "/ACSMP/Tasks", body)
    return plan


def instances(site: Site, plan: int) -> list[dict[str, Any]]:
    asked = {"TaskID": plan, "PageRequest": {"PageNumber": 1, "PageSize": 100}}
    found: list[dict[str, Any]] = site.client.fine("POST", f"{INSTANCES}/Search", asked)["PageContent"]
    return found


def ids(site: Site, plan: int) -> list[str]:
    return [one["ID"] for one in instances(site, plan)]


def stand(site: Site, plan: int) -> Counter[str]:
    return Counter(one["Status"] for one in instances(site, plan))


def until(site: Site, plan: int, **wanted: int) -> None:
    try:
        wait_until(lambda: stand(site, plan) == wanted, what=f"{wanted} of plan {plan}")
    except AssertionError as late:
        said = Counter((one["Status"], one.get("Reason", "")) for one in instances(site, plan))
        raise AssertionError(f"{late}: last seen {said}") from late


def switched(site: Site, how: str, *instance_ids: str) -> Answer:
    return site.client.post(f"{INSTANCES}/{how}?Wait=20", {"IDs": list(instance_ids)})


# --- by name -------------------------------------------------------------------------------------------------


def test_of_32_threads_that_start_against_ten_exactly_ten_run(place: Place) -> None:
    site, cad = place.site, place.cad
    added(site, AbilityAuths=streams(10))
    there = ids(site, planned(site, 32, start=False))
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda one: switched(site, "Start", one), there))
    assert Counter(one.code for one in answers) == {0: 10, 40901: 22}
    for one in answers:
        if one.code:
            refused(one, 409, 40901, f"10/10 streams of {CAPABILITY} are used (licences of ACSMPD)")
    assert len(cad.running_tasks()) == cad.max_running == 10
    assert quota(site) == (10, 10)


def test_ten_at_every_moment_while_many_start_and_stop_and_the_platform_restarts(place: Place) -> None:
    site, cad = place.site, place.cad
    added(site, AbilityAuths=streams(10))
    plan = planned(site, 32, start=False)
    there, chance = ids(site, plan), random.Random(7)

    def come_and_go(one: str) -> set[int]:
        turns = [chance.choice(["Start", "Start", "Stop"]) for _ in range(4)]
        return {
            site.client.post(f"{INSTANCES}/{turn}", {"IDs": [one]}).code or 0 for turn in (*turns, "Start")
        }

    with ThreadPoolExecutor(32) as threads:
        assert set().union(*threads.map(come_and_go, there)) == {0, 40901}
    until(site, plan, RUNNING=10, PAUSED=22)
    assert (cad.max_running, quota(site)) == (10, (10, 10))
    site.restart()
    until(site, plan, RUNNING=10, PAUSED=22)
    resting = [one["ID"] for one in instances(site, plan) if one["Status"] == "PAUSED"]
    refused(switched(site, "Start", resting[0]), 409, 40901, "10/10")
    switched(site, "Stop", next(one["ID"] for one in instances(site, plan) if one["Status"] == "RUNNING"))
    assert switched(site, "Start", resting[0]).code == 0
    assert (cad.max_running, len(cad.running_tasks())) == (10, 10)


def test_a_batch_starts_what_fits_and_names_the_others(place: Place) -> None:
    site = place.site
    added(site, AbilityAuths=streams(2))
    plan = planned(site, 4, start=False)
    first, second, third, fourth = ids(site, plan)
    answer = switched(site, "Start", first, second, third, fourth, "nobody")
    refused(
        answer, 409, 40901, f"cannot start {third}, {fourth}: 2/2 streams", "no task instances nobody",
        "the other 2 were started",
    )  # fmt: skip
    until(site, plan, RUNNING=2, PAUSED=2)
    assert switched(site, "Start", first).code == 0  # it runs already


def test_what_no_quota_binds_starts(place: Place, tmp_path: Path) -> None:
    """A package that does not ask for authorisation, and a service that brought its own."""
    site, cad = place.site, place.cad
    free = make_package(
        tmp_path, package_id=f"{PACKAGE_ID[:-1]}2", name="free", codes=("FREE-1",), events=("FREE",)
    )
    assert site.client.upload(free).code == 0
    wish = {"AlgoFilePackageID": f"{PACKAGE_ID[:-1]}2", "ComputilityCode": cad.code}
    site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", wish)
    plan = planned(site, 1, start=True, AlgoTaskInfos=[task_info("FREE") for _ in range(3)])
    until(site, plan, RUNNING=3)
    own = {
        "AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": place.other.code,
        "Env": [{"Name": "AUTH_SERVER_ADDR", "Value": "10.0.0.9:1"}],
    }  # fmt: skip
    site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=20", own)
    until(site, planned(site, 4, start=True), RUNNING=4)
    assert len(place.other.running_tasks()) == 4
    assert quota(site) == (0, 0)


# --- by plans ------------------------------------------------------------------------------------------------


def test_a_plan_starts_what_fits_and_the_others_wait_and_say_so(place: Place) -> None:
    site, cad = place.site, place.cad
    licence = added(site, AbilityAuths=streams(3))
    plan = planned(site, 5, start=True)
    until(site, plan, RUNNING=3, PENDING=2)
    said = f"waiting for quota: 3/3 streams of {CAPABILITY} are used (licences of ACSMPD)"
    wait_until(
        lambda: {one.get("Reason") for one in instances(site, plan) if one["Status"] == "PENDING"} == {said},
        what="the reason",
    )
    shown = site.client.fine("GET", f"/ACSMP/Tasks/{plan}")
    assert (shown["StartingCount"], shown["RunningCount"], shown["WaitingForQuotaCount"]) == (2, 3, 2)
    more = added(site, b"one more", AbilityAuths=streams(1))
    until(site, plan, RUNNING=4, PENDING=1)
    switched(site, "Stop", next(one["ID"] for one in instances(site, plan) if one["Status"] == "RUNNING"))
    until(site, plan, RUNNING=4, PAUSED=1)
    assert "WaitingForQuotaCount" not in site.client.fine("GET", f"/ACSMP/Tasks/{plan}")
    for number in (licence, more):
        site.client.fine("DELETE", f"/ACSMP/License/{number}?Force=true")
    refused(switched(site, "Start", *ids(site, plan)), 409, 40901, "4/0 streams")
    assert stand(site, plan) == {"RUNNING": 4, "PAUSED": 1}  # what runs goes on
    assert cad.max_running == 4


def test_who_has_licences_of_its_own_is_bound_by_them_and_the_others_share(place: Place) -> None:
    site = place.site
    added(site, b"own", DeviceID=place.other.code, AbilityAuths=streams(1))
    loaded(site, place.other)
    added(site, b"shared", AbilityAuths=streams(2))
    plan = planned(site, 5, start=True)
    until(site, plan, RUNNING=3, PENDING=2)
    assert [len(one.running_tasks()) for one in (place.cad, place.other)] == [2, 1]
    pinned = planned(site, 1, start=True, AlgoTaskInfos=[task_info(ComputilityCode=place.other.code)])
    said = f"waiting for quota: 1/1 streams of {CAPABILITY} are used (licences of ACSMPD for {SECOND})"
    wait_until(lambda: instances(site, pinned)[0].get("Reason") == said, what="the reason")
    assert quota(site) == (3, 3)


def test_hours_that_open_again_take_no_more_than_there_is(place: Place) -> None:
    """What stood still gave its streams back: somebody else may have them."""
    site, cad = place.site, place.cad
    added(site, AbilityAuths=streams(2))
    first = planned(site, 2, start=True)
    until(site, first, RUNNING=2)
    site.client.fine("POST", f"/ACSMP/Tasks/{first}/Stop?Wait=20")
    second = planned(site, 1, start=True)
    until(site, second, RUNNING=1)
    site.client.fine("POST", f"/ACSMP/Tasks/{first}/Start")
    until(site, first, RUNNING=1, PENDING=1)
    assert cad.max_running == 2


# --- when others fail -------------------------------------------------------------------------------------------


def test_failover_of_a_full_quota_moves_all_and_no_more(place: Place) -> None:
    site = place.site
    added(site, AbilityAuths=streams(4))
    plan = planned(site, 6, start=True)
    until(site, plan, RUNNING=4, PENDING=2)
    loaded(site, place.other)
    place.cad.stop()
    wait_until(lambda: len(place.other.running_tasks()) == 4, seconds=40, what="all four on the other")
    until(site, plan, RUNNING=4, PENDING=2)
    assert place.other.max_running == 4
    assert quota(site) == (4, 4)


def test_a_higher_one_takes_the_quota_of_a_lower(place: Place) -> None:
    site, cad = place.site, place.cad
    added(site, AbilityAuths=streams(1))
    urgent = {"Name": "urgent", "Value": 9, "PreemptionPolicy": "PreemptLowerPriority"}
    body = {"Strategy": "spread", "PriorityClasses": [urgent]}
    site.client.fine("POST", "/ACSMP/SchedulePolicies", body)
    low = planned(site, 1, start=True)
    until(site, low, RUNNING=1)
    high = planned(site, 1, start=False, AlgoTaskInfos=[task_info(PriorityClass="urgent")])
    assert switched(site, "Start", *ids(site, high)).code == 0
    until(site, high, RUNNING=1)
    until(site, low, PENDING=1)
    wait_until(lambda: "waiting for quota" in instances(site, low)[0].get("Reason", ""), what="the reason")
    assert cad.max_running == 1


def test_scaling_adds_no_replica_for_want_of_quota_and_adds_one_for_want_of_streams(tmp_path: Path) -> None:
    with running(tmp_path / "data") as site, FakeCad(FIRST) as cad, FakeCad(SECOND) as other:
        for one in (cad, other):
            assert one.register(site.url).accepted
        two_streams = [{"quota": 0.5, "capacities": {"stream_video_quota": 2}}]
        assert site.client.upload(make_package(tmp_path, env=NEEDS, xpu=two_streams)).code == 0
        added(site, AbilityAuths=streams(1))
        loaded(site, cad)
        scaling = {"MinReplicas": 1, "MaxReplicas": 2, "CooldownSeconds": 0, "TargetUse": 100}
        site.client.fine("POST", "/ACSMP/SchedulePolicies", {"Strategy": "spread", "Scaling": scaling})
        plan = planned(site, 4, start=True)
        until(site, plan, RUNNING=1, PENDING=3)
        passes = len(cad.asked("search_algo_tasks"))
        wait_until(lambda: len(cad.asked("search_algo_tasks")) > passes + 2, what="further passes")
        assert other.packages == {}
        added(site, b"more", AbilityAuths=streams(2))
        until(site, plan, RUNNING=3, PENDING=1)
        assert len(other.running_tasks()) == 1
