"""Starting 1,000 instances on 50 simulated CADs: the daemon, and the bare loop over the same bodies.

A start is one call: the device mints the ID and answers the create with the task as it is, so nothing has to be
asked before or after (the ladder's push and load were done when the service was installed). With L lanes, and at
most P of them on one device, N instances on D devices are ceil(N / min(L, D x P)) such calls one after the other: times
the delay of a call that is the devices' part, which no platform with so many lanes can beat. Observations run in
lanes of their own beside it.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass

from acsmpd.settings import load
from benchmarks.fleet import Fleet, equipped, fleet, plan_of, running, within
from benchmarks.harness import HERE, SATURATED, Figure, Site, Void
from benchmarks.search import info

INSTANCES, DEVICES = 1_000, 50


@dataclass(frozen=True)
class Start:
    """Seconds until the last was accepted by its device and until all showed RUNNING; shares are of one core."""

    accepted: float
    shown: float
    share: float
    devices_share: float
    asked: dict[str, int]
    lines: int


def started(
    here: Site, devices: Fleet, number: int, delay: float
) -> tuple[Start, list[tuple[int, str, str]]]:
    """One plan started, and taken away again; what the devices were sent to create."""
    plan = plan_of(here, [info(place) for place in range(number)])
    devices.told(delay, keep=True)
    before, cpu, begun = devices.count()["cpu"], here.server.cpu_seconds(), time.monotonic()
    here.ask("POST", f"/ACSMP/Tasks/{plan}/Start")
    within(600, lambda: created(devices) >= number, "the instances to be created", 0.1)
    seen, ours = devices.seen(), here.server.cpu_seconds() - cpu
    accepted = seen["last"] - begun
    within(600, lambda: running(here, plan) == number, "the instances to run", 0.1)
    shown = time.monotonic() - begun
    if seen["created"] != number:
        raise Void(f"{seen['created']} tasks were created for {number} instances")
    gone(here, devices, plan)
    share = (seen["cpu"] - before) / accepted
    if share > SATURATED:
        raise Void(f"the devices were the limit: they used {share:.0%} of their core")
    return Start(accepted, shown, ours / accepted, share, seen["asked"], seen["lines"]), seen["bodies"]


def created(devices: Fleet) -> int:
    return int(devices.count()["created"])


def gone(here: Site, devices: Fleet, plan: int) -> None:
    devices.told(0.0)
    here.ask("DELETE", f"/ACSMP/Tasks/{plan}")
    within(600, lambda: devices.count()["tasks"] == 0, "the tasks to be deleted", 0.2)


@dataclass(frozen=True)
class Bare:
    seconds: float
    share: float
    devices_share: float


def posted(devices: Fleet, bodies: list[tuple[int, str, str]], lanes: int, delay: float) -> Bare:
    """The bare loop, to devices of its own: the daemon would send away what it sees of its own and did not create."""
    devices.told(delay)
    seen = devices.count()
    before, ports = seen["cpu"], seen["ports"]
    given = [(ports[place], path, body) for place, path, body in bodies]
    done = subprocess.run(
        [sys.executable, str(HERE / "posts.py"), str(lanes)], input=json.dumps(given), check=True, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    found = json.loads(done.stdout)
    share = (devices.count()["cpu"] - before) / found["seconds"]
    devices.told(0.0, forget=True)
    if share > SATURATED:
        raise Void(f"the devices were the limit: they used {share:.0%} of their core")
    return Bare(found["seconds"], found["cpu"] / found["seconds"], share)


def devices_part(lanes: int, per_device: int, delay: float) -> float:
    """Seconds that no platform with so many lanes can beat."""
    return math.ceil(INSTANCES / min(lanes, DEVICES * per_device)) * delay


def figures(rounds: int) -> list[Figure]:
    """Both delays, each in turn with the bare loop."""
    found, limits = [], load(None, {}).engine
    with equipped(DEVICES) as (here, devices), fleet(DEVICES) as others:
        started(here, devices, INSTANCES, 0.0)  # to warm up
        for delay in (0.2, 0.05):
            pairs = [pair(here, devices, others, limits.lanes, delay, number) for number in range(rounds)]
            part = devices_part(limits.lanes, limits.lanes_per_device, delay)
            name = f"{INSTANCES} starts, {DEVICES} CADs of {delay * 1000:g} ms, {limits.lanes} lanes"
            to_limit = statistics.median(ours.accepted / part for ours, _ in pairs)
            to_bare = statistics.median(ours.accepted / bare.seconds for ours, bare in pairs)
            judged = delay == 0.2
            found += [
                Figure(f"{name} / devices' part", to_limit, 1.3 if judged else None),
                Figure(f"{name} / bare loop", to_bare, None if judged else 1.6),
            ]
    return found


def pair(
    here: Site, devices: Fleet, others: Fleet, lanes: int, delay: float, number: int
) -> tuple[Start, Bare]:
    ours, bodies = started(here, devices, INSTANCES, delay)
    bare = posted(others, bodies, lanes, delay)
    print(
        f"  {delay * 1000:g} ms, round {number + 1}: accepted after {ours.accepted:.2f} s, all RUNNING after "
        f"{ours.shown:.2f} s, bare loop {bare.seconds:.2f} s; CPU ours {ours.share:.0%} bare {bare.share:.0%} devices "
        f"{ours.devices_share:.0%}/{bare.devices_share:.0%}; {ours.lines} lines opened, asked {ours.asked}"
    )
    return ours, bare
