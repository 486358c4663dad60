"""Rollouts that are refused: the status, the Code, the words, and nothing written."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from acsmpd.store import rollouts
from tests.support.fake_cad import FakeCad
from tests.support.packaging import PACKAGE_ID, make_package
from tests.support.registering import code, registration
from tests.support.site import SITE_CODE, Answer, Site, running
from tests.support.state import refused, unchanged

ROLLOUTS = "/ACSMP/Rollouts"
OTHER_ID, NEWER_ID = (f"11010000005020000001202611211200000000{number:02d}" for number in (2, 3))
UNKNOWN = "99999999999999999999"
CAMERA = "11010000001310000001"
NOBODY = code(9)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A device that is away, a camera, and two versions of one package."""
    folder = tmp_path_factory.mktemp("refused")
    with running(folder / "site") as one:
        for body in (registration(1), registration(2), registration(3, Code=CAMERA, Type="AI_CAMERA")):
            assert one.client.post("/ACSMP/Register", body).code == 0
        assert one.client.upload(make_package(folder)).code == 0
        newer = make_package(folder, package_id=NEWER_ID, version="2.0.0", codes=("ACSMPD-TEST-2.0.0",))
        assert one.client.upload(newer).code == 0
        yield one


def wish(**more: Any) -> dict[str, Any]:
    return {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCodes": [code(1)], **more}


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in wish().items() if key != name}


def numbers(site: Site) -> list[int]:
    assert site.app is not None
    with site.app.store.read() as tx:
        return [row["id"] for row in rollouts.all_rows(tx)]


def post(site: Site, body: Any) -> Answer:
    """A request that changes nothing, no rollout either."""
    before = numbers(site)
    with unchanged(site):
        answer = site.client.post(ROLLOUTS, body)
    assert numbers(site) == before
    return answer


BAD: dict[str, tuple[dict[str, Any], int, str]] = {
    "no package named": (without("AlgoFilePackageID"), 40002, "$.AlgoFilePackageID: required"),
    "package unknown": (wish(AlgoFilePackageID=OTHER_ID), 40401, f"no package {OTHER_ID}"),
    "no device": (without("ComputilityCodes"), 40002, "$.ComputilityCodes: required where there is no Selector"),
    "empty list": (wish(ComputilityCodes=[]), 40001, "$.ComputilityCodes: names no computility"),
    "device unknown": (wish(ComputilityCodes=[code(1), UNKNOWN]), 40401, f"no computility {UNKNOWN}"),
    "device malformed": (wish(ComputilityCodes=["1"]), 40001, "$.ComputilityCodes[0]"),
    "a camera": (wish(ComputilityCodes=[CAMERA]), 40904, f"computility {CAMERA} takes no packages"),
    "10,001 devices": (
        wish(ComputilityCodes=[f"{number:020d}" for number in range(10_001)]), 40001,
        "$.ComputilityCodes: 10001 computilities, at most 10000 are taken",
    ),
    "waves of 0": (wish(MaxUnavailable=0), 40001, "$.MaxUnavailable"),
    "waves of -1": (wish(MaxUnavailable=-1), 40001, "$.MaxUnavailable"),
    "waves of 1001": (wish(MaxUnavailable=1001), 40001, "$.MaxUnavailable"),
    "waves of a text": (wish(MaxUnavailable="2"), 40001, "$.MaxUnavailable"),
    "threshold 0": (wish(FailureThreshold=0), 40001, "$.FailureThreshold"),
    "threshold -1": (wish(FailureThreshold=-1), 40001, "$.FailureThreshold"),
    "empty selector": (wish(Selector={}), 40001, "$.Selector: names none of Type, Organisation, Tags and Region"),
    "selector of blanks": (wish(Selector={"Tags": [], "Region": ""}), 40001, "$.Selector: names none"),
    "selector of another type": (wish(Selector={"Type": "TOASTER"}), 40001, "$.Selector.Type"),
    "nobody fits": (
        {"AlgoFilePackageID": PACKAGE_ID, "Selector": {"Organisation": "nobody"}}, 40001,
        "$.Selector: no computility that takes packages fits it",
    ),
    "a selector of cameras": (
        {"AlgoFilePackageID": PACKAGE_ID, "Selector": {"Type": "AI_CAMERA"}}, 40001, "$.Selector: no computility",
    ),
    "no window": (wish(DispatchWindow=[]), 40001, "$.DispatchWindow: holds no window"),
    "window malformed": (wish(DispatchWindow=["1,08:00,09:00", "noon"]), 40001, "$.DispatchWindow[1]: 'noon'"),
    "day 0": (wish(DispatchWindow=["0,08:00,09:00"]), 40001, "$.DispatchWindow[0]"),
    "day 8": (wish(DispatchWindow=["8,08:00,09:00"]), 40001, "$.DispatchWindow[0]"),
    "24:01": (wish(DispatchWindow=["1,08:00,24:01"]), 40001, "$.DispatchWindow[0]"),
    "over midnight": (wish(DispatchWindow=["1,22:00,02:00"]), 40001, "ends before it begins"),
    "an env for no service": (
        wish(Load=False, Env=[{"Name": "A", "Value": "b"}]), 40001, "$.Env: is for a service, and Load is false",
    ),
    "a licence for no service": (wish(Load=False, LicenseFile="http://l/1"), 40001, "$.LicenseFile: is for a"),
    "ready for -1 s": (wish(MinReadySeconds=-1), 40001, "$.MinReadySeconds"),
    "ready for 3,601 s": (wish(MinReadySeconds=3601), 40001, "$.MinReadySeconds"),
    "ready for half a second": (wish(MinReadySeconds=0.5), 40001, "$.MinReadySeconds"),
    "ready without a service": (
        wish(Load=False, MinReadySeconds=0), 40001, "$.MinReadySeconds: is for a service, and Load is false",
    ),
    "an env this box does not take": (
        wish(ComputilityCodes=[SITE_CODE], Env=[{"Name": "PATH", "Value": "/"}]), 40001, "$.Env: PATH is not declared",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_cannot_be_meant_is_refused(site: Site, what: str) -> None:
    body, number, words = BAD[what]
    refused(post(site, body), number // 100, number, words)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/99"), ("DELETE", "/99"), ("POST", "/99/Pause"), ("POST", "/99/Resume")],
)
def test_one_nobody_knows_is_named(site: Site, method: str, path: str) -> None:
    refused(site.client.ask(method, ROLLOUTS + path), 404, 40401, "no rollout 99")


@pytest.mark.parametrize("query", ["Status=GONE", "PageSize=0", "PageNumber=x"])
def test_a_page_that_cannot_be_meant(site: Site, query: str) -> None:
    refused(site.client.get(f"{ROLLOUTS}/1?{query}"), 400, 40001, "$." + query.partition("=")[0])


def test_two_versions_of_one_package_do_not_race_for_a_device(site: Site) -> None:
    first = site.client.fine("POST", ROLLOUTS, wish(Name="spring", ComputilityCodes=[code(1), code(2)]))
    newer = wish(AlgoFilePackageID=NEWER_ID, ComputilityCodes=[code(2)])
    words = (f"rollout {first} (spring) brings version 1.0.0 of test-algo", f"computility {code(2)}")
    refused(post(site, newer), 409, 40901, *words)
    assert site.client.post(f"{ROLLOUTS}/{first}/Pause").code == 0
    refused(post(site, newer), 409, 40901, *words)
    same = site.client.fine("POST", ROLLOUTS, wish())
    assert site.client.delete(f"{ROLLOUTS}/{same}").code == 0
    assert site.client.delete(f"{ROLLOUTS}/{first}").code == 0
    second = site.client.fine("POST", ROLLOUTS, newer)
    assert second > same
    refused(
        post(site, wish(ComputilityCodes=[code(2)])), 409, 40901, f"rollout {second} brings version 2.0.0"
    )
    assert site.client.delete(f"{ROLLOUTS}/{second}").code == 0


def test_a_hundred_are_kept_and_those_that_ended_first_go(site: Site) -> None:
    assert site.app is not None
    assert numbers(site) == []
    with site.app.store.write() as tx:
        for number in range(100):
            rollouts.add(
                tx, [code(1)], package_id=PACKAGE_ID, load=False, env=[], most=1, threshold=1, created_ms=1,
                changed_ms=1, paused=True, ended_ms=(None if number % 2 else 100 - number),
            )  # fmt: skip
    ended_first = numbers(site)[1]
    for left in range(49, -1, -1):
        made = site.client.fine("POST", ROLLOUTS, wish())
        if left == 49:
            assert ended_first not in numbers(site)
        assert site.client.post(f"{ROLLOUTS}/{made}/Pause").code == 0
        assert len(numbers(site)) == 100
    refused(post(site, wish()), 409, 40901, "100 rollouts are under way", "delete one")
    for number in numbers(site):
        assert site.client.delete(f"{ROLLOUTS}/{number}").code == 0
    assert site.client.fine("GET", ROLLOUTS) == []


def test_one_that_is_over_is_neither_paused_nor_resumed(site: Site, tmp_path_factory: Any) -> None:
    with FakeCad(NOBODY) as cad:
        assert cad.register(site.url).accepted
        cad.refuse(40001, "no card is free", operation="install_algo_package")
        failed = site.client.fine("POST", f"{ROLLOUTS}?Wait=20", wish(ComputilityCodes=[NOBODY]))
        cad.refuse(0, "", times=0, operation="install_algo_package")
        done = site.client.fine("POST", f"{ROLLOUTS}?Wait=20", wish(ComputilityCodes=[NOBODY]))
        states = {one["ID"]: one["State"] for one in site.client.fine("GET", ROLLOUTS)}
        assert states == {failed: "FAILED", done: "FINISHED"}
        for number, state, hint in (
            (failed, "FAILED", "a new one skips what is done"),
            (done, "FINISHED", ""),
        ):
            for verb in ("Pause", "Resume"):
                answer = site.client.post(f"{ROLLOUTS}/{number}/{verb}")
                refused(answer, 409, 40901, f"cannot {verb.lower()} rollout {number}: it is {state}", hint)
