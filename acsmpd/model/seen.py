"""What a facility shows."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class SeenPackage(Struct, frozen=True, kw_only=True):
    """A package file as a facility lists it. status: 1 downloading, 2 failed, 3 complete (table F.4)."""

    package_id: str
    name: str = ""
    version: str = ""
    kind: str = ""  # artifact | image
    status: int = 3
    loaded: bool = False
    progress: float | None = None
    error: str = ""
    created: str = ""
    lacks_program: bool = False  # it is there without its executable, and waits for it


class SeenService(Struct, frozen=True, kw_only=True):
    """A running (or failing) algorithm service as a facility shows it (statuses of table F.13)."""

    package_id: str
    facility_id: str = ""  # the facility's own id; "" on a CAD, which has none
    status: str = "RUNNING"
    error: str = ""
    xpu_type: str = ""
    env: tuple[tuple[str, str], ...] | None = None  # as loaded; None if it told none
    load_id: str = ""  # the load of ours it was made for, where its facility tells
    replicas: int | None = None  # how many it is to have, where that can be changed
    ready: int | None = None  # and how many of them serve


class SeenTask(Struct, frozen=True, kw_only=True):
    """A task as a facility lists or details it (Part 4 table D.4)."""

    task_id: str  # the device's own id
    status: str  # PENDING RUNNING PAUSED FINISHED ERROR
    stream_url: str = ""
    event_ids: tuple[str, ...] = ()
    receive_urls: tuple[str, ...] = ()
    service_id: str = ""
    error: str = ""
    policy: str = ""  # ALWAYS | NEVER, "" if it told none
    info: dict[str, Any] | None = None  # the AlgoTaskInfo, JSON-ready, of a task the ledger does not know


class Observed(Struct, frozen=True, kw_only=True):
    """One complete look at a facility. A part that could not be read in full is None, never empty."""

    info: tuple[dict[str, Any], ...] = ()  # DeviceInfo of Part 4 table A.2, JSON-ready, one per device
    packages: tuple[SeenPackage, ...] | None = None
    services: tuple[SeenService, ...] | None = None
    tasks: tuple[SeenTask, ...] | None = None
    faults: tuple[str, ...] = ()  # why a part is None
