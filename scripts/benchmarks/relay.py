"""1,000,000 results wait for one destination: a search meanwhile < 1.5 x, and the drain >= 0.5 x a bare loop of posts.

The search is measured by its p95 against a daemon with the same results and an empty outbox: first with the line down,
then (shown, not judged: both want the one interpreter) while the outbox drains. The drain is counted over the first
20,000; a round of it lies beside a bare loop of `requests.Session.post` of the same bodies to a sink of the same kind.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.harness import HERE, Figure, Load, Server, Site, Void, free_port, report, served, site, wrk

ROWS, ROUND, DRAINED = 1_000_000, 5_000, 20_000
SEARCH = {"PageRequest": {"PageNumber": 1, "PageSize": 20}}


def body(number: int) -> str:
    """What a result weighs without a picture: one target with a box."""
    return json.dumps(
        {
            "RequestID": f"r{number}", "TaskID": "t", "EventID": "INTRUSION", "EventTime": "2026-11-21 10:00:00.000",
            "Pts": 1_790_000_000_000 + number, "DeviceID": "11010000001310000001",
            "Targets": [{"TargetID": str(number), "TargetType": "PERSON", "Score": 0.97,
                         "Points": [{"PointX": 0.4, "PointY": 0.1}, {"PointX": 0.5, "PointY": 0.6}]}],
        }
    )  # fmt: skip


def filled(url: str | None) -> Callable[[Path, dict[str, str]], None]:
    """Fills a store that nothing uses with ROWS results, and as many deliveries to `url`."""

    def fill(folder: Path, _environ: dict[str, str]) -> None:
        now = int(time.time() * 1000)
        with contextlib.closing(sqlite3.connect(folder / "acsmpd.db")) as store, store:
            store.execute("PRAGMA synchronous = OFF")
            store.executemany(
                "INSERT INTO result (id, instance_id, event_id, capability, device_id, fingerprint, event_ms, "
                "body, size, raw_path, late, error, received_ms) "
                "VALUES (?, 't', 'INTRUSION', '', '', ?, ?, ?, 400, '', 0, '', ?)",
                ((number, f"f{number}", now + number, body(number), now) for number in range(1, ROWS + 1)),
            )
            if url is not None:
                store.executemany(
                    "INSERT INTO delivery (id, result_id, instance_id, url, destination, attempts, refusals, error, "
                    "created_ms) VALUES (?, ?, 't', ?, ?, 0, 0, '', ?)",
                    ((number, number, f"{url}/", url, now) for number in range(1, ROWS + 1)),
                )

    return fill


def oldest(store: sqlite3.Connection) -> int:
    return int(store.execute("SELECT MIN(id) FROM delivery").fetchone()[0])


def gone(store: sqlite3.Connection, number: int, seconds: float) -> float:
    """Seconds until so many more are gone, measured from the first that goes."""
    first, deadline = oldest(store), time.monotonic() + seconds
    while oldest(store) == first:
        waited(deadline)
    first, begun = oldest(store), time.monotonic()
    while oldest(store) < first + number:
        waited(deadline)
    return time.monotonic() - begun


def waited(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise Void("the outbox does not drain")
    time.sleep(0.02)


@contextlib.contextmanager
def sink(port: int) -> Iterator[Server]:
    with served([sys.executable, str(HERE / "baseline.py"), str(port), "4"], port, "/") as server:
        yield server


def bare_per_second() -> tuple[float, float]:
    """(posts a second, CPU share) of the bare loop, against a sink of its own."""
    port = free_port()
    with sink(port):
        given = json.dumps([(port, "/", body(number)) for number in range(ROUND)])
        told = subprocess.run(
            [sys.executable, str(HERE / "posts.py"), "1"],
            input=given,
            capture_output=True,
            text=True,
            check=True,
        )
    said = json.loads(told.stdout)
    return ROUND / said["seconds"], said["cpu"] / said["seconds"]


def searched(here: Site) -> Load:
    headers = {"Authorization": f"Bearer {here.key}"}
    load = wrk(
        here.server, "/ACSMP/Results/Search", method="POST", body=SEARCH, headers=headers, connections=1
    )
    if load.failed:
        raise Void(f"{load.failed} searches failed")
    return load


def drained(here: Site, store: sqlite3.Connection, port: int, rounds: int) -> tuple[list[float], list[Any]]:
    """Ratios to the bare loop, of interleaved rounds; and what they are made of."""
    ratios, kept = [], []
    for number in range(rounds):
        with sink(port) as receiver:
            before, sunk, begun = here.server.cpu_seconds(), receiver.cpu_seconds(), time.monotonic()
            ours = (DRAINED // rounds) / gone(store, DRAINED // rounds, 120)
            passed = time.monotonic() - begun
            shares = ((here.server.cpu_seconds() - before) / passed, (receiver.cpu_seconds() - sunk) / passed)
        bare, bare_share = bare_per_second()
        print(
            f"  round {number + 1}: drain {ours:.0f}/s (CPU daemon {shares[0]:.0%}, sink {shares[1]:.0%}), "
            f"bare loop {bare:.0f}/s (CPU {bare_share:.0%})"
        )
        ratios.append(ours / bare)
        kept.append({"drain": ours, "daemon": shares[0], "sink": shares[1], "bare": bare, "loop": bare_share})
    return ratios, kept


def run(rounds: int) -> bool:
    port = free_port()
    quick = {"engine_backoff_first_seconds": "0.2", "engine_backoff_max_seconds": "1"}
    with (
        site(filled(None), **quick) as empty,
        site(filled(f"http://127.0.0.1:{port}"), **quick) as full,
        contextlib.closing(sqlite3.connect(f"file:{full.folder}/acsmpd.db?mode=ro", uri=True)) as store,
    ):
        searched(empty), searched(full)
        down = [(searched(empty), searched(full)) for _ in range(rounds)]
        ratios, kept = drained(full, store, port, rounds)
        with sink(port):
            gone(store, 1000, 60)
            draining = [(searched(empty), searched(full)) for _ in range(rounds)]
        if not list(store.execute("SELECT 1 FROM delivery LIMIT 1")):
            raise Void("the outbox is empty: the searches ran beside nothing")
    for name, pairs in (("line down", down), ("draining", draining)):
        for idle, loaded in pairs:
            print(
                f"  search, {name}: p95 {loaded.p95_ms:.2f} ms, empty {idle.p95_ms:.2f} ms "
                f"(CPU daemon {loaded.server_share:.0%}, client {loaded.client_share:.0%})"
            )
    return report(
        "relay",
        [
            Figure("p95 of a search beside 1,000,000 waiting, line down", _p95(down), 1.5),
            Figure("p95 of a search while they drain", _p95(draining)),
            Figure(f"drain of {DRAINED:,} / bare loop", statistics.median(ratios), 0.5, at_most=False),
        ],
        drain=kept, searches=[[asdict(one) for one in pair] for pair in (*down, *draining)],
    )  # fmt: skip


def _p95(pairs: list[tuple[Load, Load]]) -> float:
    return statistics.median(loaded.p95_ms / idle.p95_ms for idle, loaded in pairs)
