"""Ten thousand instances: in one request or in many, all of them or none, and everybody else is served on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_cad import FakeCad
from tests.support.packaging import make_package, task_info
from tests.support.site import Answer, Site, running
from tests.support.state import refused, unchanged

PLANS, INSTANCES = "/ACSMP/Tasks", "/ACSMP/TaskInstances"
CAP, MANY = 1024 * 1024, 10_000
SLOW = 20.0
"""Seconds another request may wait meanwhile on a busy machine; a client gives up after 60."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("many")
    with running(folder / "data") as one:
        assert one.client.upload(make_package(folder)).code == 0
        yield one


def small(number: int, event: str = "INTRUSION") -> dict[str, Any]:
    """The least an AlgoTaskInfo may be."""
    return {
        "RulesParams": [{"EventID": event}],
        "StreamOptions": {"VideoStreamOptions": {"Url": f"h/{number}"}},
    }


def written(infos: list[dict[str, Any]], **more: Any) -> bytes:
    body = {
        "Name": "many", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True, "AlgoTaskInfos": infos, **more,
    }  # fmt: skip
    return json.dumps(body, separators=(",", ":")).encode()


def post(site: Site, path: str, raw: Any) -> Answer:
    return site.client.ask("POST", path, data=raw, headers={"Content-Type": "application/json"})


def total(site: Site, plan: int, **more: Any) -> int:
    return int(site.client.fine("POST", f"{INSTANCES}/Search", {"TaskID": plan, **more})["TotalSize"])


class Meanwhile:
    """Another application that writes and reads all the time; `longest` is its longest wait in seconds."""

    def __init__(self, site: Site) -> None:
        self._site, self._over = site, threading.Event()
        self.longest, self.rounds = 0.0, 0
        self._thread = threading.Thread(target=self._work)

    def _work(self) -> None:
        while not self._over.wait(0.05):
            begun = time.monotonic()
            policy = self._site.client.fine("POST", "/ACSMP/SchedulePolicies", {"Strategy": "spread"})
            self._site.client.fine("DELETE", f"/ACSMP/SchedulePolicies/{policy['ID']}")
            self.longest = max(self.longest, time.monotonic() - begun)
            self.rounds += 1

    def __enter__(self) -> Meanwhile:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.parametrize("chunked", [False, True])
def test_more_than_a_request_may_hold_is_refused_and_nothing_is_stored(site: Site, chunked: bool) -> None:
    raw = written([task_info(url=f"rtsp://10.0.0.9/{number}") for number in range(MANY)])
    assert len(raw) > CAP
    parts = (raw[first : first + 65_536] for first in range(0, len(raw), 65_536))
    with unchanged(site):
        refused(post(site, PLANS, parts if chunked else raw), 413, 41301, "1048576")
    assert site.client.get("/readyz").status == 200


def test_the_most_that_fit_are_all_stored_or_none(site: Site, tmp_path: Path) -> None:
    number = (CAP - len(written([]))) // (len(json.dumps(small(99_999), separators=(",", ":"))) + 1)
    infos = [small(one) for one in range(number)]
    assert number > MANY
    with unchanged(site):
        wrong = post(site, PLANS, written([*infos[:-1], small(0, "no event")]))
        refused(wrong, 400, 40001, f"$.AlgoTaskInfos[{number - 1}].RulesParams[0].EventID")
        unknown = [*infos[:-2], {**small(0), "ComputilityCode": "1" * 20}]
        refused(
            post(site, PLANS, written(unknown)),
            404,
            40401,
            f"$.AlgoTaskInfos[{number - 2}].ComputilityCode",
        )
    full = written(infos, Description="")
    whole = written(infos, Description="d" * min(256, CAP - len(full)))
    with Meanwhile(site) as other:
        answer = post(site, PLANS, whole)
        assert answer.code == 0, answer
        plan = int(answer.data)
        shown = site.until(f"{PLANS}/{plan}", lambda data: data["StartingCount"] == number, seconds=60)
        assert shown["TotalCount"] == number
    assert other.rounds > 0
    assert other.longest < SLOW, other.longest
    last = {"PageNumber": -(-number // 1000), "PageSize": 1000}
    page = site.client.fine("POST", f"{INSTANCES}/Search", {"TaskID": plan, "PageRequest": last})
    assert (page["TotalSize"], len(page["PageContent"])) == (number, number % 1000 or 1000)
    assert page["PageContent"][-1]["StreamOptions"] == infos[-1]["StreamOptions"]

    with FakeCad() as cad:  # and the engine serves others, with as many in wait
        assert cad.register(site.url).accepted
        other_id = "1101000000502000000120261121120000000055"
        fire = make_package(tmp_path, package_id=other_id, name="fire", codes=("FIRE-1",), events=("FIRE",))
        assert site.client.upload(fire).code == 0
        body = {"AlgoFilePackageID": other_id, "ComputilityCode": cad.code}
        site.client.fine("POST", "/ACSMP/AlgoServices/Devices?Wait=30", body)
        little = int(post(site, PLANS, written([small(1, "FIRE")])).data)
        site.until(f"{PLANS}/{little}", lambda data: data["RunningCount"] == 1, seconds=60)
        for one in (little, plan):
            site.client.fine("DELETE", f"{PLANS}/{one}?Wait=30")
        assert total(site, plan) == 0


def test_ten_thousand_in_many_requests(site: Site) -> None:
    plan = int(post(site, PLANS, written([small(0)], AutoStart=False)).data)
    for first in range(1, MANY, 2500):
        infos = [small(one) for one in range(first, min(MANY, first + 2500))]
        answer = post(site, INSTANCES, json.dumps({"TaskID": plan, "AlgoTaskInfos": infos}))
        assert answer.code == 0, answer
        assert len(answer.data) == len(infos)
    with unchanged(site):
        bad = {"TaskID": plan, "AlgoTaskInfos": [*(small(one) for one in range(100)), {"RulesParams": []}]}
        refused(post(site, INSTANCES, json.dumps(bad)), 400, 40002, "$.AlgoTaskInfos[100].StreamOptions")
    shown = site.client.fine("GET", f"{PLANS}/{plan}")
    assert (shown["TotalCount"], shown["StoppedCount"], shown["DeviceCount"]) == (MANY, MANY, MANY)
    assert total(site, plan, Status="PAUSED") == MANY

    few = [{"ID": one["ID"], **small(7)} for one in shown["AlgoTaskInfos"][:3]]
    site.client.fine("PUT", f"{PLANS}/{plan}", {"AlgoTaskInfos": few})  # the others are not wanted any more
    assert total(site, plan) == 3
    site.client.fine("DELETE", f"{PLANS}/{plan}?Wait=30")


def test_what_a_list_of_instances_names_is_judged_for_each(site: Site) -> None:
    labels = {"AlgoCaBinName": "test-algo", "Version": "1.0.0"}
    sound = [{**small(one), "Labels": labels} for one in range(3)]
    wrong: list[tuple[dict[str, Any], int, str]] = [
        ({**small(3, "FIRE"), "Labels": labels}, 40001, "$.AlgoTaskInfos[3].RulesParams[0].EventID: package"),
        ({**small(3), "AlgoServiceID": "nobody"}, 40401, "$.AlgoTaskInfos[3].AlgoServiceID: no service nobody"),
        ({**small(3), "ComputilityCode": "2" * 20}, 40401, "$.AlgoTaskInfos[3].ComputilityCode: no computility"),
        ({**small(3), "PriorityClass": "vip"}, 40001, "$.AlgoTaskInfos[3].PriorityClass: no schedule policy"),
    ]  # fmt: skip
    for one, code, words in wrong:
        with unchanged(site):
            refused(post(site, PLANS, written([*sound, one])), code // 100, code, words)
    another = {**small(3, "FIRE"), "Labels": {**labels, "Version": "9"}}  # may still come
    plan = int(post(site, PLANS, written([*sound, another], AutoStart=False)).data)
    site.client.fine("DELETE", f"{PLANS}/{plan}?Wait=30")
