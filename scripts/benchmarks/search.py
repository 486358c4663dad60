"""A page of 20 out of 10,000 task instances against a bare view: >= 0.4."""

from __future__ import annotations

from benchmarks.harness import THREADS, against_bare, baseline, site, wrk

INSTANCES, AT_ONCE = 10_000, 500


def info(number: int) -> dict[str, object]:
    return {
        "RulesParams": [{"EventID": "INTRUSION"}],
        "StreamOptions": {"VideoStreamOptions": {"Url": f"rtsp://10.0.0.1/{number}"}},
    }


def run(rounds: int) -> bool:
    with baseline(THREADS) as bare, site() as here:
        plan = here.ask(
            "POST", "/ACSMP/Tasks",
            {"Name": "bench", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AlgoTaskInfos": [info(0)]},
        )  # fmt: skip
        for first in range(1, INSTANCES, AT_ONCE):
            infos = [info(number) for number in range(first, min(first + AT_ONCE, INSTANCES))]
            here.ask("POST", "/ACSMP/TaskInstances", {"TaskID": plan, "AlgoTaskInfos": infos})
        headers = {"Authorization": f"Bearer {here.key}"}
        body = {"TaskID": plan, "PageRequest": {"PageNumber": 250, "PageSize": 20}}
        page = here.ask("POST", "/ACSMP/TaskInstances/Search", body)
        assert (len(page["PageContent"]), page["TotalSize"]) == (20, INSTANCES), page
        return against_bare(
            "search", "page of 20 of 10,000", 0.4,
            lambda: wrk(here.server, "/ACSMP/TaskInstances/Search", method="POST", body=body, headers=headers),
            bare, body, rounds,
        )  # fmt: skip
