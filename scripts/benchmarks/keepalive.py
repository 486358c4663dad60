"""An authenticated keepalive against a bare Flask + Waitress view, same threads: >= 0.8 (R19)."""

from __future__ import annotations

from dataclasses import asdict

from benchmarks.harness import THREADS, Figure, Site, baseline, report, site, versus, wrk

CODE = "11010000005050000001"


def registered(here: Site) -> str:
    """A device's token."""
    who = {
        "Code": CODE, "Type": "CAD", "IP": "127.0.0.1", "Port": 9, "Username": "bench", "Password": "bench-1",
    }  # fmt: skip
    token: str = here.ask("POST", "/ACSMP/Register", who)["Token"]
    return token


def run(rounds: int) -> bool:
    with baseline(THREADS) as bare, site(observe_interval_seconds="3600") as here:
        headers = {"Authorization": f"Bearer {registered(here)}"}
        body = {"Code": CODE}
        ratio, found = versus(
            lambda: wrk(here.server, "/ACSMP/Keepalive", method="POST", body=body, headers=headers),
            lambda: wrk(bare, "/", method="POST", body=body),
            rounds,
        )
    return report(
        "keepalive", [Figure("keepalive / bare view", ratio, 0.8, at_most=False)],
        rounds=[[asdict(one) for one in pair] for pair in found],
    )  # fmt: skip
