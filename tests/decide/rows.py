"""Rows and devices for the decisions, every member at an unremarkable value unless a test says otherwise."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

from acsmpd.model import Ability, CopyRow, Device, Family, InstanceRow, LoadRow, Seat, TaskRow

CODE = "11010000005050000001"
QUICK = settings(max_examples=60, deadline=None)
PACKAGE = "1101000000502000000120261121120000000001"


def device(code: str = CODE, **more: Any) -> Device:
    values: dict[str, Any] = {"type": "CAD", "family": Family.CAD, "state": "online", **more}
    return Device(code=code, **values)


def copy(**more: Any) -> CopyRow:
    values: dict[str, Any] = {
        "id": 1, "package_id": PACKAGE, "device": CODE, "wanted": True, "status": 3, "sent": True, "md5": "m",
        "generation": 0, "parked": False, "attempts": 0, "missing": 0, **more,
    }  # fmt: skip
    return CopyRow(**values)


def load(**more: Any) -> LoadRow:
    values: dict[str, Any] = {
        "id": "load-1", "service_id": "service-1", "package_id": PACKAGE, "device": CODE, "wanted": True,
        "status": "RUNNING", "sent": True, "facility_id": "", "parked": False, "attempts": 0, "missing": 0, **more,
    }  # fmt: skip
    return LoadRow(**values)


def task(**more: Any) -> TaskRow:
    values: dict[str, Any] = {
        "id": 1, "instance_id": "instance-1", "device": CODE, "load_id": "load-1", "wanted": "running",
        "sent": True, "task_id": "t1", "status": "RUNNING", "revision": 0, "parked": False, "attempts": 0,
        "missing": 0, "policy": "NEVER", **more,
    }  # fmt: skip
    return TaskRow(**values)


def instance(**more: Any) -> InstanceRow:
    values: dict[str, Any] = {
        "id": "instance-1", "number": 1, "plan_id": 1, "origin": "", "type": "VIDEO_REALTIME",
        "info": {"RulesParams": [{"EventID": "INTRUSION"}]}, "restart_policy": "NEVER", "service_id": "",
        "device": "", "on": True, "deleted": False, "revision": 0, "status": "PENDING", **more,
    }  # fmt: skip
    return InstanceRow(**values)


LIVE = ("VIDEO_REALTIME",)


def ability(code: str, package: str = "p1", version: str = "1.0", **more: Any) -> Ability:
    values = {"package_name": "human", "event_ids": ("INTRUSION",), "task_types": LIVE, **more}
    return Ability(code, package, values["package_name"], version, values["event_ids"], values["task_types"])


def seat(load_id: str, package: str = "p1", on: str = "d1", **more: Any) -> Seat:
    values = {"running": True, "used": 0, "capacity": 4, "service_id": f"s-{load_id}", **more}
    return Seat(load_id=load_id, package_id=package, device=on, **values)


def known(*codes: str, **more: Any) -> dict[str, Device]:
    return {code: device(code, **more) for code in codes}


def wants(*events: str, **more: Any) -> Any:
    labels = more.pop("labels", None)
    info: dict[str, Any] = {"RulesParams": [{"EventID": event} for event in events]}
    return instance(info=info | ({"Labels": labels} if labels else {}), **more)
