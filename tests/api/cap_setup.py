"""A site that two platforms above know as a CAP: this box, two CADs, an edge device, and a CAP of two hosts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from acsmpd.model import Family
from acsmpd.store import devices, upstreams
from acsmpd.store.tables import Load
from tests.api.face_setup import OTHER_CODE, SITE_CODE, TOKENS, UPSTREAM_HOST, Face, Said, above, face
from tests.support.packaging import PACKAGE_ID, task_info

FIRST, SECOND, EDGE, BELOW = (
    "11010000005050000081", "11010000005050000082", "11010000005060000083", "11010000005020000084",
)  # fmt: skip
CAMERA = "11010000005050000085"
FILES, SERVICES, TASKS = "/CAP/AlgoFilePackages", "/CAP/AlgoServices", "/CAP/AlgoTasks"
URL = f"http://{UPSTREAM_HOST}:8750/package.tar"
OTHER = TOKENS[OTHER_CODE]
LABELS = {"AlgoCaBinName": "test-algo", "Version": "1.0.0"}


def info_of(address: str, name: str, card: str = "", **more: Any) -> dict[str, Any]:
    cards = [{"XpuType": card, "XpuUtilization": 0.5}] if card else []
    return {
        "IP": address, "HostName": name, "OS": "Linux", "Cpu": 16, "CpuType": "X86", "CpuUtilization": 0.25,
        "Memory": 64, "MemoryUsed": 16, "Disk": 1000, "DiskUsed": 100, "XpuMonitors": cards, **more,
    }  # fmt: skip


BOXES: dict[str, tuple[str, Family, str, int, list[dict[str, Any]]]] = {
    FIRST: ("CAD", Family.CAD, "10.0.0.81", 80, [info_of("10.0.0.81", "first", "NVIDIA-T4")]),
    SECOND: ("CAD", Family.CAD, "10.0.0.82", 80, [info_of("10.0.0.82", "second", "NVIDIA-T4")]),
    EDGE: ("AI_BOX", Family.EDGE, "10.0.0.83", 80, [info_of("10.0.0.83", "edge")]),
    BELOW: ("CAP", Family.CAP, "10.0.0.84", 80, [
        info_of("10.0.1.1", "host-1", "NVIDIA-A2"), info_of("10.0.1.2", "host-2", "NVIDIA-A2"),
    ]),
}  # fmt: skip


@contextlib.contextmanager
def site(folder: Path, **overrides: str) -> Iterator[Face]:
    entries = [above(type="CAP"), above("http://10.9.9.8:8750", code=OTHER_CODE, type="CAP")]
    upstream = msgspec.json.encode(entries).decode()
    with face(folder, **{"upstream": upstream, **overrides}) as one:
        with one.store.write() as tx:
            devices.change(tx, SITE_CODE, info=[info_of("10.0.0.80", "box")])
            for code, (kind, family, address, port, infos) in BOXES.items():
                devices.put(
                    tx, code, 1, type=kind, family=family.value, ip=address, port=port, approved=True, registered=True,
                    state="online", info=infos,
                )  # fmt: skip
            devices.put(
                tx, CAMERA, 1, type="AI_CAMERA", family=Family.DIRECT.value, ip="10.0.0.85", approved=True,
                support_services=False, state="online", name="camera",
            )  # fmt: skip
            for name in TOKENS:
                upstreams.put(tx, name, 1, state="registered", reason="")
        yield one


def bring(one: Face, file: Path, package_id: str = PACKAGE_ID, **more: Any) -> None:
    """Push, and let the engine fetch."""
    token = more.pop("token", TOKENS[SITE_CODE])
    body = {"Url": URL, "AlgoFilePackageID": package_id, **more}
    assert one.fine("POST", FILES, body, token=token) == {"AlgoFilePackageID": package_id}
    one.fetched(file, one.asked()[-1])


def load(one: Face, token: str = TOKENS[SITE_CODE], **more: Any) -> Said:
    body = {"AlgoFilePackageID": PACKAGE_ID, "Replicas": 1, "XpuType": "", **more}
    return one.ask("POST", SERVICES, body, token=token)


def loaded(one: Face, **more: Any) -> str:
    said = load(one, **more)
    assert said.code == 0, said
    return str(said.data["AlgoServiceID"])


def places(one: Face, service: str) -> list[str]:
    """The computilities of a service's loads."""
    return sorted(row["device"] for row in one.loads(Load.service_id == service))


def runs(one: Face, service: str) -> None:
    for row in one.loads(Load.service_id == service):
        one.becomes(row["load_id"], "RUNNING")


def create(one: Face, token: str = TOKENS[SITE_CODE], **more: Any) -> Said:
    body = {"RestartPolicy": "ALWAYS", "TaskInfo": task_info(Labels=LABELS), **more}
    return one.ask("POST", TASKS, body, token=token)


def created(one: Face, **more: Any) -> str:
    said = create(one, **more)
    assert said.code == 0, said
    return str(said.data["TaskInfo"]["ID"])


def changes(one: Face, code: str, **values: Any) -> None:
    """What a registration, an operator or an observation makes of a computility."""
    with one.store.write() as tx:
        devices.change(tx, code, **values)


def status(one: Face) -> int:
    """Of the only package in sight."""
    [record] = one.fine("POST", f"{FILES}:search", {})["Records"]
    return int(record["Status"])
