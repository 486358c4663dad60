"""A daemon with simulated CADs (cads.py) that carry one package each, for the benches that start instances."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.harness import HERE, Server, Site, Void, free_port, plain_session, served, site

PACKAGE = "1101000000502000000120261121120000000001"
STREAMS = 1_000
"""One service carries so many: room is not what is measured."""


@dataclass
class Fleet:
    """The devices' process and what it has seen."""

    server: Server
    number: int

    def told(
        self, delay: float, *, keep: bool = False, forget: bool = False, slow: int | None = None
    ) -> None:
        """See cads.py; `slow` None: packages are there as soon as they are pushed."""
        more = {} if slow is None else {"slow": slow}
        self._ask("/told", {"delay": delay, "keep": keep, "forget": forget, **more})

    def seen(self) -> dict[str, Any]:
        return self._ask("/seen", None)

    def count(self) -> dict[str, Any]:
        return self._ask("/count", None)

    def _ask(self, path: str, body: Any) -> dict[str, Any]:
        with plain_session() as session:
            found: dict[str, Any] = session.post(self.server.url + path, json=body, timeout=60).json()
            return found


def code(number: int) -> str:
    return f"1101000000505{number:07d}"


@contextlib.contextmanager
def fleet(number: int) -> Iterator[Fleet]:
    port = free_port()
    with served([sys.executable, str(HERE / "cads.py"), str(port), str(number)], port, "/count") as server:
        yield Fleet(server, number)


def register(here: Site, devices: Fleet) -> None:
    for place, port in enumerate(devices.count()["ports"], 1):
        who = {
            "Code": code(place), "Type": "CAD", "IP": "127.0.0.1", "Port": port, "Username": "bench",
            "Password": "bench-1",
        }  # fmt: skip
        here.ask("POST", "/ACSMP/Register", who)


@contextlib.contextmanager
def equipped(number: int, **settings: str) -> Iterator[tuple[Site, Fleet]]:
    """A daemon and its devices, each with the package's service RUNNING."""
    with fleet(number) as devices, site(**settings) as here:
        imported(here)
        register(here, devices)
        for place in range(1, number + 1):
            wish = {"AlgoFilePackageID": PACKAGE, "ComputilityCode": code(place)}
            here.ask("POST", "/ACSMP/AlgoServices/Devices", wish)
        waiting = {code(place) for place in range(1, number + 1)}
        within(120, lambda: all_up(here, waiting), "the services to run", 0.5)
        yield here, devices


def all_up(here: Site, waiting: set[str]) -> bool:
    """Whether the package's service runs on each of these; those where it does are left out from then on."""
    for device in sorted(waiting):
        wish = {"ComputilityCode": device, "Status": "RUNNING"}
        if not here.ask("POST", "/ACSMP/AlgoServices/Devices/Search", wish)["TotalSize"]:
            return False
        waiting.discard(device)
    return True


def imported(here: Site) -> None:
    description = {
        "id": PACKAGE, "name": "bench", "version": "1.0.0", "provider": "ACSMPD",
        "bin": {"type": "artifact", "local_uri": "bin"},
        "abilities": [{
            "code": "BENCH-1", "name": "bench", "data_type": "ALERT", "event_ids": ["INTRUSION"],
            "task_types": ["VIDEO_REALTIME"],
        }],
        "algo_runtime": {"cmd": ["./run.sh"], "xpu": [{"quota": 0.1, "capacities": {"stream_video_quota": STREAMS}}]},
    }  # fmt: skip
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, content in (("algo.yaml", json.dumps(description)), ("bin/run.sh", "#!/bin/sh\n")):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content.encode()))
    with plain_session() as session:
        answer = session.post(
            f"{here.server.url}/ACSMP/AlgoFilePackages", files={"File": ("bench.tar", raw.getvalue())},
            headers={"Authorization": f"Bearer {here.key}"}, timeout=120,
        ).json()  # fmt: skip
    if answer["Code"] != 0:
        raise Void(f"the package was not taken: {answer}")


def within(seconds: float, reached: Callable[[], bool], what: str, every: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise Void(f"{what}: not within {seconds:g} s")
        time.sleep(every)


def plan_of(here: Site, infos: list[dict[str, Any]], *, start: bool = False, name: str = "bench") -> int:
    asked = {
        "Name": name,
        "Type": "VIDEO_REALTIME",
        "Mode": "PERIODIC",
        "AutoStart": start,
        "AlgoTaskInfos": infos,
    }
    return int(here.ask("POST", "/ACSMP/Tasks", asked))


def running(here: Site, plan: int | None = None) -> int:
    wish: dict[str, Any] = {"Status": "RUNNING", "PageRequest": {"PageNumber": 1, "PageSize": 1}}
    if plan is not None:
        wish["TaskID"] = plan
    return int(here.ask("POST", "/ACSMP/TaskInstances/Search", wish)["TotalSize"])
