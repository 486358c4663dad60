"""10,000 instances that run: every page of every search <= 3 x the same among 100; PSS at most 2 x the idle daemon.

In turn at both daemons, as they come, and, printed beside it, right after somebody wrote, when no count is remembered.
The pages hold the same: 10 plans of 10 instances each, or 10 instances.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import sqlite3
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.fleet import Fleet, equipped, plan_of, running, within
from benchmarks.harness import Figure, Site, Void, report, site

FEW, MANY, OF_A_PLAN, DEVICES = 100, 10_000, 10, 50
PAGE, REPEATS = 10, 9
STREAMS = 10
"""Cameras: one has a tenth of all instances."""
LIMIT, MEMORY_LIMIT = 3.0, 2.0
SETTLE, WATCH = 20.0, 60.0
PLANS, TASKS = "/ACSMP/Tasks/Search", "/ACSMP/TaskInstances/Search"
FIRST, LAST = "2020-01-01 00:00:00", "2099-12-31 23:59:59"

SHARED: list[tuple[str, dict[str, Any]]] = [
    ("all", {}), ("AlgoDefCodes", {"AlgoDefCodes": ["BENCH-1"]}), ("AlgoDefName", {"AlgoDefName": "ench"}),
    ("DeviceIDs", {"DeviceIDs": ["11010000001320000001"]}),
    ("CreateTime", {"CreateTimeFrom": FIRST, "CreateTimeTo": LAST}), ("nothing", {"DeviceIDs": ["nobody"]}),
]  # fmt: skip
FILTERS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    PLANS: [
        *SHARED, ("TaskIDs", {"TaskIDs": [1, 5, 9]}), ("Status", {"Status": "ON"}), ("Name", {"Name": "lan"}),
        ("Type", {"Type": "VIDEO_REALTIME"}), ("Mode", {"Mode": "PERIODIC"}),
    ],
    TASKS: [
        *SHARED, ("ID", {"ID": 7}), ("Status", {"Status": "RUNNING"}), ("TaskID", {"TaskID": 3}),
        ("TaskName", {"TaskName": "lan"}),
    ],
}  # fmt: skip
ORDERS = {
    PLANS: ("ID", "TaskID", "Name", "Type", "Mode", "Status", "CreatedDate", "LastModifiedDate"),
    TASKS: ("ID", "Number", "TaskID", "Status", "CreatedDate"),
}


def info(number: int) -> dict[str, Any]:
    device = f"110100000013200{number % STREAMS:05d}"
    return {
        "RulesParams": [{"EventID": "INTRUSION"}],
        "StreamOptions": {"VideoStreamOptions": {"Url": f"rtsp://10.0.0.1/{number}?deviceID={device}"}},
    }


@contextlib.contextmanager
def filled(number: int, devices: int) -> Iterator[tuple[Site, Fleet]]:
    """A daemon with so many instances, all of them running."""
    with equipped(devices) as (here, fleet):
        begun = time.monotonic()
        for first in range(0, number, OF_A_PLAN):
            plan_of(
                here,
                [info(first + place) for place in range(OF_A_PLAN)],
                start=True,
                name=f"plan {first:05d}",
            )
        within(1800, lambda: running(here) == number, f"{number} instances to run", 1.0)
        print(f"  {number} instances run on {devices} CADs after {time.monotonic() - begun:.0f} s")
        yield here, fleet


@dataclass
class Asker:
    """One line to a daemon, and one to its database: to write, so that nothing is remembered."""

    here: Site
    line: http.client.HTTPConnection
    database: sqlite3.Connection

    def page(self, path: str, body: dict[str, Any], *, written: bool = False) -> tuple[float, dict[str, Any]]:
        """Seconds from the question to the whole answer; `written`: right after somebody has written."""
        if written:
            self.database.execute("UPDATE schema SET applied_ms = applied_ms")
            self.database.commit()
        headers = {"Authorization": f"Bearer {self.here.key}", "Content-Type": "application/json"}
        text, begun = json.dumps(body), time.perf_counter()
        self.line.request("POST", path, text, headers)
        raw = self.line.getresponse().read()
        passed, answer = time.perf_counter() - begun, json.loads(raw)
        if answer["Code"] != 0:
            raise Void(f"{path} {body}: {answer}")
        return passed, answer["Data"]


@contextlib.contextmanager
def asker(here: Site) -> Iterator[Asker]:
    line = http.client.HTTPConnection(here.server.url.removeprefix("http://"), timeout=60)
    with contextlib.closing(line), contextlib.closing(sqlite3.connect(here.folder / "acsmpd.db")) as database:
        yield Asker(here, line, database)


def questions() -> Iterator[tuple[str, str, dict[str, Any], list[dict[str, str]]]]:
    """Every filter, and every order up and down."""
    for path, filters in FILTERS.items():
        for name, wish in filters:
            yield path, name, wish, []
        for name in ORDERS[path]:
            for direction in ("asc", "desc"):
                yield path, f"by {name} {direction}", {}, [{"Property": name, "Direction": direction}]


def pages(few: Asker, many: Asker, repeats: int, *, written: bool) -> list[tuple[str, float, float, float]]:
    """For each page of each question: its name, the ratio, seconds among few and among many; the worst first."""
    sides, asked = (few, many), []
    for path, name, wish, order in questions():
        for which in ("first", "middle", "last"):
            bodies = [body_of(one, path, wish, order, which) for one in sides]
            asked.append((f"{path.split('/')[2]}, {name}, {which}", path, bodies))
    passed: dict[str, list[tuple[float, float]]] = {name: [] for name, _, _ in asked}
    for _ in range(
        repeats + 1
    ):  # all of them in turn, so that a busy moment of a daemon does not fall on one alone
        for name, path, (here, there) in asked:
            both = (few.page(path, here, written=written)[0], many.page(path, there, written=written)[0])
            passed[name].append(both)
    found = []
    for name, pairs in passed.items():
        medians = [statistics.median(side) for side in zip(*pairs[1:], strict=True)]
        found.append((name, medians[1] / medians[0], medians[0], medians[1]))
    return sorted(found, key=lambda one: -one[1])


def body_of(
    one: Asker, path: str, wish: dict[str, Any], order: list[dict[str, str]], which: str
) -> dict[str, Any]:
    total = one.page(path, {**wish, "PageRequest": {"PageNumber": 1, "PageSize": 1}})[1]["TotalSize"]
    last = max(1, -(-total // PAGE))
    number = {"first": 1, "middle": (last + 1) // 2, "last": last}[which]
    return {**wish, "PageRequest": {"PageNumber": number, "PageSize": PAGE, "OrderList": order}}


def idle_memory() -> float:
    with site() as here:
        time.sleep(SETTLE)
        return here.server.memory()


def run(rounds: int) -> bool:
    idle = idle_memory()
    with filled(FEW, DEVICES) as (small, _), filled(MANY, DEVICES) as (large, _):
        time.sleep(WATCH)
        memory = large.server.memory()
        with asker(small) as few, asker(large) as many:
            found, fresh = (pages(few, many, max(REPEATS, rounds), written=one) for one in (False, True))
    for title, some in (("as they come", found), ("right after somebody wrote", fresh)):
        print(f"  {title}:")
        for name, ratio, here, there in some[:8]:
            print(f"    {name:<48} {1000 * here:6.1f} ms {1000 * there:6.1f} ms  {ratio:5.2f}")
    print(f"  PSS idle {idle:.1f} MB, with {MANY} instances {memory:.1f} MB")
    return report(
        "instances",
        [
            Figure(f"worst of {len(found)} pages, {MANY} / {FEW} instances", found[0][1], LIMIT),
            Figure("median of them", statistics.median(one[1] for one in found)),
            Figure("worst right after somebody wrote", fresh[0][1]),
            Figure("median of those", statistics.median(one[1] for one in fresh)),
            Figure(f"PSS with {MANY} instances / idle", memory / idle, MEMORY_LIMIT),
        ],
        pages=found,
        fresh=fresh,
    )  # fmt: skip
