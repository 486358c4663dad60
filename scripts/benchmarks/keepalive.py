"""An authenticated keepalive against a bare Flask + Waitress view, same threads: >= 0.8 (R19)."""

from __future__ import annotations

from benchmarks.harness import THREADS, Site, against_bare, baseline, site, wrk

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
        return against_bare(
            "keepalive", "keepalive", 0.8,
            lambda: wrk(here.server, "/ACSMP/Keepalive", method="POST", body=body, headers=headers),
            bare, body, rounds,
        )  # fmt: skip
