"""1,000 devices of mixed families at one daemon: a storm of registrations, a restart, keepalives, memory (R18-R20).

Hollow devices (hollow.py) in one process, each at an address of its own, register with SM2 passwords. The daemon is
then killed and started again; all have to be online and looked at 30 s after it. They register once more, all at once,
and none may be refused a connection. Keepalives then come each 30 s from each; their p95 lies beside that of an idle
daemon, to which ten devices keep alive as often as the thousand do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.fleet import within
from benchmarks.harness import (
    ACSMPD,
    HERE,
    ROOT,
    Figure,
    Server,
    Site,
    Void,
    answers,
    free_port,
    percentile,
    plain_session,
    report,
    served,
    settings_of,
    site,
    surroundings,
)

DEVICES, FEW = 1000, 10
PREFIX = "11010000005059"
EACH_SECONDS, STEADY_SECONDS = 30.0, 60.0


@dataclass
class Hollow:
    """The devices' process."""

    server: Server

    def ask(self, path: str, **told: Any) -> dict[str, Any]:
        with plain_session() as session:
            found: dict[str, Any] = session.post(self.server.url + path, json=told, timeout=60).json()
            return found


@contextlib.contextmanager
def hollow(here: Site, number: int) -> Iterator[Hollow]:
    port, key = free_port(), here.ask("GET", "/ACSMP/System/PublicKey")["PublicKey"]
    command = [sys.executable, str(HERE / "hollow.py"), str(port), str(number), key]
    with served(command, port, "/seen", {"PYTHONPATH": str(ROOT)}) as server:
        yield Hollow(server)


def port_of(here: Site) -> int:
    return int(here.server.url.rsplit(":", 1)[1])


def all_online(here: Site, devices: Hollow) -> bool:
    """Whether each is online, and was looked at since its process was told to forget."""
    if devices.ask("/seen")["looked_at"] < DEVICES:
        return False
    found, page = 0, 1
    while True:
        asked = {"PageRequest": {"PageNumber": page, "PageSize": 1000}}
        content = here.ask("POST", "/ACSMP/Computility", asked)["PageContent"]
        found += sum(
            one.get("State") == "online" and one["ComputilityCode"].startswith(PREFIX) for one in content
        )
        if len(content) < 1000:
            return found == DEVICES
        page += 1


def stormed(here: Site, devices: Hollow, path: str, number: int) -> dict[str, Any]:
    """All register within two seconds; what they were told."""
    devices.ask("/forget")
    devices.ask(path, port=port_of(here), seconds=2.0)
    within(120, lambda: devices.ask("/seen")["registered"] == number, "all registered", 0.1)
    return devices.ask("/seen")


def broken(seen: dict[str, Any]) -> int:
    """Connections that were refused, reset or ended without an answer."""
    return sum(count for what, count in seen["told"].items() if not what.split()[-1].isdigit())


def restarted(here: Site) -> float:
    """kill -9, and the same daemon again; the moment it listens."""
    process = here.server.process
    process.send_signal(signal.SIGKILL)
    process.wait()
    environ = surroundings(settings_of(here.folder, port_of(here)))
    here.server.process = subprocess.Popen([*ACSMPD, "serve"], cwd=ROOT, env=environ)
    return answers(here.server, "/readyz")


def steady(here: Site, devices: Hollow, each_seconds: float) -> tuple[list[float], float]:
    """Latencies of the keepalives of a while, and the daemon's share of a core."""
    devices.ask("/pace", seconds=each_seconds)
    time.sleep(each_seconds)
    devices.ask("/forget")
    before, begun = here.server.cpu_seconds(), time.monotonic()
    time.sleep(STEADY_SECONDS)
    share = (here.server.cpu_seconds() - before) / (time.monotonic() - begun)
    seen = devices.ask("/seen")
    if broken(seen) or set(seen["told"]) != {"keepalive 0"}:
        raise Void(f"keepalives were not all taken: {seen['told']}")
    return list(seen["keepalives_ms"]), share


def run(rounds: int) -> bool:
    if rounds < 1:
        raise Void("at least one round")
    with site() as quiet, hollow(quiet, FEW) as few:
        stormed(quiet, few, "/at", FEW)
        idle, idle_share = steady(quiet, few, EACH_SECONDS * FEW / DEVICES)
    with site() as here, hollow(here, DEVICES) as many:
        first = stormed(here, many, "/at", DEVICES)
        print(f"  first storm: {first['took']:.1f} s, told {first['told']}")
        within(60, lambda: all_online(here, many), "all online", 0.5)
        many.ask("/forget")
        listening = restarted(here)
        within(60, lambda: all_online(here, many), "all online after a restart", 0.25)
        back = time.monotonic() - listening
        print(f"  after kill -9: all online and looked at {back:.1f} s after it listens")
        storms = [stormed(here, many, "/again", DEVICES) for _ in range(rounds)]
        for one in storms:
            print(f"  storm after the restart: {one['took']:.1f} s, told {one['told']}")
        loaded, share = steady(here, many, EACH_SECONDS)
        pss = here.server.memory()
    ratio = percentile(loaded, 0.95) / percentile(idle, 0.95)
    print(
        f"  keepalives: p50 {statistics.median(loaded):.1f} p95 {percentile(loaded, 0.95):.1f} ms (CPU {share:.0%}), "
        f"idle p50 {statistics.median(idle):.1f} p95 {percentile(idle, 0.95):.1f} ms (CPU {idle_share:.0%})"
    )
    return report(
        "devices",
        [
            Figure(f"{DEVICES} SM2 registrations, first storm", first["took"], 10.0, unit="s"),
            Figure("the same after a restart, median", statistics.median(s["took"] for s in storms), 10.0, unit="s"),
            Figure("connections refused or broken", float(sum(map(broken, (first, *storms)))), 0.0),
            Figure("all online and looked at after kill -9", back, 30.0, unit="s"),
            Figure("p95 of keepalives / idle daemon's", ratio, 3.0),
            Figure("PSS with all of them", pss, 128.0, unit="MB"),
        ],
        storms=[{key: one[key] for key in ("told", "took")} for one in (first, *storms)], cores=os.cpu_count(),
    )  # fmt: skip
