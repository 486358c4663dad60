"""Rows for the tests of the store, every column at an unremarkable value unless a test says otherwise."""

from __future__ import annotations

from typing import Any

from acsmpd.store import devices, packages, plans, services
from acsmpd.store.database import Tx

CODE = "11010000005050000001"
OTHER = "11010000005050000002"
PACKAGE = "1101000000502000000120261121120000000001"
NOW = 1_790_000_000_000


def add_device(tx: Tx, code: str = CODE, **more: Any) -> None:
    values = {"type": "CAD", "family": "cad", "approved": True, "registered": True, "state": "online", **more}
    devices.put(tx, code, NOW, **values)


def add_package(tx: Tx, package_id: str = PACKAGE, codes: tuple[str, ...] = ("A",), **more: Any) -> Any:
    values = {
        "name": "human", "version": "1.0", "kind": "artifact", "provider": "ACSMPD", "file_name": "human.tar",
        "path": f"/packages/{package_id}", "size": 3, "md5": "m1", "sm3": "s1", "manifest": {"env": []}, **more,
    }  # fmt: skip
    now = values.pop("now", NOW)
    capabilities = [
        {
            "code": code, "name": code, "data_type": "ALERT", "event_ids": ["INTRUSION"],
            "task_types": ["VIDEO_REALTIME"], "task_fields": [],
        }
        for code in codes
    ]  # fmt: skip
    return packages.put(tx, {"id": package_id, **values}, capabilities, now)


def add_load(tx: Tx, load_id: str = "load-1", service_id: str = "service-1", **more: Any) -> None:
    """A load and, if it is the first, its service."""
    values = {"package_id": PACKAGE, "device": CODE, "created_ms": NOW, "changed_ms": NOW, **more}
    if services.service(tx, service_id) is None:
        services.add_service(tx, id=service_id, package_id=values["package_id"], env=[], created_ms=NOW)
    services.add_load(tx, id=load_id, service_id=service_id, **values)


def add_instance(tx: Tx, instance_id: str = "instance-1", **more: Any) -> int:
    values = {
        "plan_id": 1, "type": "VIDEO_REALTIME", "info": {"RulesParams": [{"EventID": "INTRUSION"}]},
        "receive_urls": {}, "on": True, "created_ms": NOW, "changed_ms": NOW, **more,
    }  # fmt: skip
    events = values.pop("events", [("INTRUSION", "")])
    return plans.add_instance(tx, events, id=instance_id, **values)


def add_task(tx: Tx, instance_id: str = "instance-1", **more: Any) -> int:
    values = {"device": CODE, "load_id": "load-1", "created_ms": NOW, "changed_ms": NOW, **more}
    return plans.add_task(tx, instance_id=instance_id, **values)
