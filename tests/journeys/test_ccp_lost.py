"""A computing platform below whose answers are lost: nothing twice, nothing of others, nothing forgotten."""

from __future__ import annotations

import pytest

from tests.journeys.ccp_setup import (
    CREATES,
    asked_of,
    load,
    looks,
    never_asked_by_name,
    only,
    refused,
    services_on,
    unload,
)
from tests.support.fake_ccp import FakeCcp
from tests.support.packaging import PACKAGE_ID
from tests.support.site import Site
from tests.support.wait import wait_until


@pytest.mark.parametrize("way", ["as it is sent", "with a suffix"])
def test_a_deployment_whose_answer_is_lost_is_looked_for(plain: Site, ccp: FakeCcp, way: str) -> None:
    ccp.name_itself(way == "with a suffix")
    ccp.drop_answer(operation="create_workload")
    ccp.add_foreign()
    service = load(plain, ccp)
    looks(ccp)
    shown = {one["AlgoServiceID"]: one for one in services_on(plain, ccp)}
    assert shown[service]["Status"] == "RUNNING"
    assert [one["Foreign"] for key, one in shown.items() if key != service] == [True]
    assert asked_of(ccp, *CREATES) == [1, 1]
    unload(plain, ccp)
    assert list(ccp.workloads) == ["theirs"]
    never_asked_by_name(ccp)


def test_a_copy_that_somebody_made_of_ours_outlives_it(plain: Site, ccp: FakeCcp) -> None:
    """With its labels: it is shown as somebody's, be ours there, removed by hand, made again or unloaded."""
    load(plain, ccp)
    ours = only(ccp)
    copy = ccp.copy_of(ours, "a-copy")
    looks(ccp)
    ccp.workloads.pop(ours.name)
    wait_until(lambda: len(ccp.workloads) == 2, seconds=30, what="ours made again")
    looks(ccp)
    assert sorted(bool(one.get("Foreign")) for one in services_on(plain, ccp)) == [False, True]
    unload(plain, ccp)
    assert ccp.workloads == {"a-copy": copy}
    never_asked_by_name(ccp)


def test_a_deployment_that_never_came_is_sent_again(plain: Site, ccp: FakeCcp) -> None:
    ccp.cut_before(operation="create_workload")
    load(plain, ccp)
    assert asked_of(ccp, "create_workload") == [2]
    assert len(ccp.workloads) == 1


@pytest.mark.parametrize("way", ["lost", "lost, over a restart", "not come", "question"])
def test_a_deletion_is_posted_once_and_looked_for(plain: Site, ccp: FakeCcp, way: str) -> None:
    load(plain, ccp)
    theirs = ccp.add_foreign()
    looks(ccp)
    if way == "question":
        ccp.take_post_for_question()
    elif way == "not come":
        ccp.cut_before(operation="delete_workload")
    else:
        ccp.drop_answer(operation="delete_workload")
    unload(plain, ccp, wait=0)
    if way == "lost, over a restart":
        wait_until(lambda: ccp.asked("delete_workload"), what="it is posted")
        plain.restart()
    wait_until(lambda: list(ccp.workloads) == [theirs.name], what="ours gone, theirs not")
    wait_until(lambda: len(services_on(plain, ccp)) == 1, what="and forgotten")
    looks(ccp)
    assert asked_of(ccp, "delete_workload", "delete_for_certain") == [1, int(way in ("question", "not come"))]
    never_asked_by_name(ccp)


def test_services_are_found_again_where_they_were_put(plain: Site, ccp: FakeCcp) -> None:
    """Another Namespace is for what comes from now on."""
    first, path = load(plain, ccp), f"/ACSMP/Computility/{ccp.code}"
    theirs = ccp.add_foreign()
    wait_until(lambda: len(services_on(plain, ccp)) == 2, what="both shown")
    plain.client.fine("PUT", path, {"Namespace": "video"})
    second = load(plain, ccp)
    assert sorted(one.namespace for one in ccp.workloads.values()) == ["default", "default", "video"]
    plain.restart()
    looks(ccp, 5)
    shown = {one["AlgoServiceID"]: one["Status"] for one in services_on(plain, ccp) if not one.get("Foreign")}
    assert shown == {first: "RUNNING", second: "RUNNING"}
    unload(plain, ccp)
    assert list(ccp.workloads) == [theirs.name]
    wait_until(lambda: services_on(plain, ccp) == [], what="nobody looks where nothing of ours is")
    assert asked_of(ccp, "create_workload") == [2]


def test_a_push_nobody_knows_the_end_of_is_sent_again(plain: Site, ccp: FakeCcp) -> None:
    """It is named by its package and does no harm twice; no listing would tell."""
    ccp.drop_answer(operation="push_engine")
    body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": ccp.code}
    plain.client.fine("POST", "/ACSMP/AlgoFilePackages/Devices?Wait=20", body)
    assert asked_of(ccp, "push_engine") == [2]


def test_what_others_put_there_is_shown_and_left_alone(plain: Site, ccp: FakeCcp) -> None:
    theirs = ccp.add_foreign(replicas=2)
    wait_until(lambda: len(services_on(plain, ccp)) == 1, what="it is shown")
    [shown] = services_on(plain, ccp)
    assert (shown["Foreign"], shown["AlgoFilePackageID"]) == (True, "registry-5000-theirs-1")
    wait_until(lambda: services_on(plain, ccp)[0]["Replicas"] == 2, what="its replicas")
    refused(
        plain.client.put(f"/ACSMP/AlgoServices/{shown['AlgoServiceID']}", {"Replicas": 5}),
        409,
        40901,
        "somebody else",
    )
    load(plain, ccp)
    unload(plain, ccp)
    looks(ccp)
    assert (list(ccp.workloads), theirs.replicas) == ([theirs.name], 2)
    assert ccp.calls("", ".*/theirs.*") == []


def test_a_number_that_is_refused_stays_told_until_another_is_wished(plain: Site, ccp: FakeCcp) -> None:
    service = load(plain, ccp)
    ccp.refuse(40900, "no room", operation="scale_workload")
    plain.client.fine("PUT", f"/ACSMP/AlgoServices/{service}?Wait=20", {"Replicas": 9})
    looks(ccp)
    [shown] = services_on(plain, ccp)
    assert (shown["Status"], "no room" in shown["LastError"]) == ("RUNNING", True)
    assert asked_of(ccp, "scale_workload") == [1]
    ccp.behave()
    plain.client.fine("PUT", f"/ACSMP/AlgoServices/{service}?Wait=20", {"Replicas": 2})
    assert only(ccp).replicas == 2
    only(ccp).replicas = 7  # by somebody else: what is wished for is ours to say
    wait_until(lambda: only(ccp).replicas == 2, what="it is set back")
    looks(ccp)
    assert services_on(plain, ccp)[0].get("LastError") is None
