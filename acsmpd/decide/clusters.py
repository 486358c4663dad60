"""A central computing platform (Part 4 chapter 6): what its monitors say in the form of devices, what its pods say of
a service, what a workload asks for, and who may have tasks there."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from acsmpd.decide.fitting import wish_for
from acsmpd.model import TASKS_ON_PODS, Family

Json = dict[str, Any]

NAME = "acsmp-"
"""What the names of our workloads begin with."""
LABEL = "acsmp-load"
"""The label that says which load of ours a pod belongs to."""
MAX_CARDS, MAX_SERVICES = 64, 200
"""What is kept of one answer."""

_UNTOLD = re.compile(r"[^0-9A-Za-z._-]+")
_SIZES = ("Cpu", "CpuUtilization", "Memory", "MemoryUsed", "Disk", "DiskUsed")
_TRENDS = ("CpuUtilizationList", "MemoryUsedList", "DiskUsedList")


class Pod(Struct, frozen=True, kw_only=True):
    """A replica of a workload as table G.19 tells it. `address`: (IP, port) of its engine, None if it has none yet."""

    name: str
    address: tuple[str, int] | None = None
    status: str = ""
    said: str = ""
    image: str = ""
    restarts: int = 0
    ready: bool = False
    load_id: str = ""

    @property
    def serves(self) -> bool:
        return self.ready and self.address is not None

    @property
    def is_troubled(self) -> bool:
        """Whether it failed, or was started more than once and is not ready."""
        return not self.ready and (self.restarts > 0 or self.status.strip().lower() in ("failed", "unknown"))


class Image(Struct, frozen=True, kw_only=True):
    """What of a package has to be told to one that sees only its image. `xpu`: cards one replica takes."""

    address: str = ""
    command: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    xpu: float = 0.0


def image_of(manifest: Mapping[str, Any], card: str) -> Image:
    """`card`: the one that was chosen, in the facility's spelling."""
    return Image(
        address=str(manifest.get("remote_uri") or ""),
        command=tuple(manifest.get("cmd") or ()),
        env=tuple((str(name), str(value)) for name, value in manifest.get("env") or ()),
        xpu=cards_wanted(manifest.get("xpu") or (), card),
    )


def tasks_refused(family: Family, interface: str) -> str:
    """Why no task is given to a computility of the family, "" if tasks are. `interface`: ccp.engine_interface."""
    if family not in TASKS_ON_PODS or interface != "none":
        return ""
    return "a computing platform controls no tasks (ccp.engine_interface = none)"


# --- names --------------------------------------------------------------------------------------------


def workload_name(load_id: str) -> str:
    """What we call the workload of a load: lawful as a name of Kubernetes and of its labels, and no other's."""
    return NAME + load_id.replace("-", "")


def is_named(found: str, asked: str) -> bool:
    """Whether a workload is the one asked for: a platform may add to a name (contract X-CCP-NAME)."""
    return found == asked or found.startswith(f"{asked}-")


def load_of_name(found: str) -> str:
    """The load of ours a workload is called after, "" if none."""
    digits = found.removeprefix(NAME)[:32] if found.startswith(NAME) else ""
    if not re.fullmatch("[0-9a-f]{32}", digits) or not is_named(found, NAME + digits):
        return ""
    return "-".join(digits[start:end] for start, end in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))


def undisputed(told: Sequence[tuple[str, str]]) -> list[str]:
    """Of workloads by name and by the load of ours each says it is ("" for none): whose each one is.

    Labels go along when somebody copies a workload. The name as we gave it comes before one with more to it, and that
    before a label; of what two claim alike nobody can tell which is ours, and neither is touched.
    """
    ranks: dict[str, list[int]] = {}
    for name, load_id in told:
        ranks.setdefault(load_id, []).append(_rank(name, load_id))
    return [
        load_id if ranks[load_id].count(rank) == 1 and rank == min(ranks[load_id]) else ""
        for load_id, rank in ((load_id, _rank(name, load_id)) for name, load_id in told)
    ]


def _rank(name: str, load_id: str) -> int:
    return 0 if name == workload_name(load_id) else 1 if is_called_after(name, load_id) else 2


def is_called_after(name: str, load_id: str) -> bool:
    """Whether a workload's name is that of this load, be it with more to it."""
    return bool(load_id) and load_of_name(name) == load_id


def shown_as(image: str, name: str) -> str:
    """What stands for the package of a workload of somebody else: its image, as far as it can be named."""
    return _UNTOLD.sub("-", image or name)[-40:].strip("-") or "unknown"


# --- what a service is ----------------------------------------------------------------------------------


def state_of(pods: Sequence[Pod], replicas: int) -> tuple[str, str]:
    """Status of table F.13 and the reason: it serves with one pod that is ready, and has failed when
    none is and one starts again and again."""
    ready = sum(pod.ready for pod in pods)
    troubled = next((pod for pod in pods if pod.is_troubled), None)
    why = f": pod {troubled.name} is {troubled.status}: {troubled.said}"[:300] if troubled else ""
    if ready or not replicas:
        lacks = f"{ready} of {replicas} replicas are ready{why}" if ready < replicas else ""
        return "RUNNING" if ready else "INIT", lacks if ready else "it is scaled to no replica"
    return ("ERROR" if troubled else "INIT"), f"none of {replicas} replicas is ready{why}" if why else ""


def cards_wanted(wishes: Sequence[Mapping[str, Any]], card: str) -> float:
    """Cards one replica takes, with one decimal as table G.1 allows (rounded up); 0 runs on CPU."""
    if not wishes:
        return 0.0
    wish = wish_for(wishes, card) or wishes[0]
    return math.ceil(round(float(wish.get("quota") or 1.0) * 10, 6)) / 10


# --- what a node is -------------------------------------------------------------------------------------


def info_of(code: str, name: str, seen: Json) -> Json:
    """Tables E.3 and E.6 as a DeviceInfo (table A.2). `name`: what it was asked for by."""
    kept = {key: seen[key] for key in (*_SIZES, *_TRENDS) if seen.get(key) is not None}
    cards, services = seen.get("XpuMonitors") or [], seen.get("AlgoServiceMonitors") or []
    return {
        "DeviceID": code, "IP": seen.get("Ip"), "HostName": name, "IsOnline": True,
        "CpuType": str(seen.get("CpuType") or ""), **kept,
        "XpuMonitors": cards[:MAX_CARDS], "AlgoServiceMonitors": services[:MAX_SERVICES],
    }  # fmt: skip
