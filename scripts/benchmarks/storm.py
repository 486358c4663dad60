"""1,000 keep-alive clients posting at once; a new request while 1,100 connections lie idle: < 100 ms (R43)."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from dataclasses import asdict

from benchmarks.harness import Figure, Server, Void, plain_session, report, site, wrk
from benchmarks.keepalive import CODE, registered

CLIENTS, IDLE = 1000, 1100


def fresh_ms(server: Server) -> float:
    """A request on a connection of its own."""
    begun = time.monotonic()
    with plain_session() as session:
        if session.get(f"{server.url}/healthz", timeout=30).status_code != 200:
            raise Void("/healthz did not answer 200")
    return (time.monotonic() - begun) * 1000


def run(rounds: int) -> bool:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 8192)), hard))
    with site(observe_interval_seconds="3600") as here:
        headers = {"Authorization": f"Bearer {registered(here)}"}
        loads = [
            wrk(
                here.server, "/ACSMP/Keepalive", method="POST", body={"Code": CODE}, headers=headers,
                connections=CLIENTS, seconds=5,
            )
            for _ in range(rounds)
        ]  # fmt: skip
        for load in loads:
            print(
                f"  {load.per_second:.0f}/s p50 {load.p50_ms:.0f} ms p99 {load.p99_ms:.0f} ms failed {load.failed}"
            )
        with contextlib.ExitStack() as held:
            for _ in range(IDLE):
                held.enter_context(
                    socket.create_connection(("127.0.0.1", int(here.server.url.rsplit(":", 1)[1])))
                )
            fresh_ms(here.server)  # they are all let in before it
            took = [fresh_ms(here.server) for _ in range(50)]
    return report(
        "storm",
        [
            Figure(f"requests of {CLIENTS} clients not answered", sum(load.failed for load in loads), 0),
            Figure(f"a new request beside {IDLE} idle ones, worst of 50", max(took), 100.0, unit="ms"),
        ],
        loads=[asdict(load) for load in loads], fresh_ms=took,
    )  # fmt: skip
