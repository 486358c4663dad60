"""A daemon with something of everything behind it, so that generated requests get further than "not found".

`with world(folder) as one:` has a device with a task of ours and a foreign one, an engine on this box, plans,
results, links, a key, a person. `one.know()` makes good what requests took away and notes what there is.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from acsmpd import offline
from acsmpd.clock import Clock
from tests.support import engines
from tests.support.daemon import Daemon, daemon
from tests.support.engines import Misbehaving
from tests.support.fake_cad import FakeCad
from tests.support.packaging import CAPABILITY, PACKAGE_ID, make_package, task_info
from tests.support.registering import ADMIN_PASSWORD, DEVICE_PASSWORD, code, registration
from tests.support.site import SITE_CODE, Answer, Client
from tests.support.state import From
from tests.support.wait import wait_until
from tests.wire.servers import replying, serving

PUSHED_ID = "1101000000502000000120261121120000000002"
FREE_ID = "1101000000502000000120261121120000000003"
ENGINE, VERSION = "engine", "1.0.0"
SPARE = code(7001)
ROLES = ["system_admin", "operator", "security_admin", "audit_admin"]
FILES, SERVICES = "/ACSMP/AlgoFilePackages", "/ACSMP/AlgoServices/Devices"
FACE_FILES, FACE_PACKAGES = "/CAD/Machine/AlgoFilePackages", "/CAD/Machine/AlgoPackages"
TASKS = ("/ACSMP/TaskInstances", "/ACSMP/TaskInstances/Search")
Ids = dict[str, list[Any]]


class World:
    """`ids` holds what there is, by the name of a member or by the segment before a path parameter; `paths`
    the values that only hold together, by path."""

    def __init__(self, box: Daemon, cad: FakeCad, folder: Path, source: str) -> None:
        self.box, self.cad, self.source = box, cad, source
        (folder / "free").mkdir()
        self.package = make_package(folder)
        self.ids: Ids = {}
        self.paths: dict[str, dict[str, str]] = {}
        self.password = ADMIN_PASSWORD
        self.free = make_package(folder / "free", package_id=FREE_ID, name="free", codes=("FREE-1",))
        self.box.key = offline.create_key(box.settings, Clock(), "campaign", ROLES)
        self._hosts = itertools.cycle(f"127.{a}.{b}.1" for a in range(1, 256) for b in range(1, 256))

    @property
    def client(self) -> Client:
        return self.box.client

    def given(self, path: str) -> Ids:
        """What else is right in a body on this path: credentials, addresses, a file."""
        person = path in ("/ACSMP/Login", "/ACSMP/Password")
        return {
            "Username": ["admin" if person else "cad"], "OldPassword": [self.password],
            "Password": [self.password if person else DEVICE_PASSWORD],
            "Url": [self.source], "ResultReceiveUrl": [self.source], "IP": ["127.0.0.1"],
            "Code": [self.cad.code if path == "/ACSMP/Keepalive" else SPARE],
            "File": [self.free.read_bytes()], "ID": self.ids["TaskInstances"] if path in TASKS else [None],
        }  # fmt: skip

    @contextlib.contextmanager
    def elsewhere(self) -> Iterator[requests.Session]:
        """A session from an address of its own: its wrong tries slow nobody else down."""
        with requests.Session() as session:
            session.trust_env = False
            session.mount("http://", From(next(self._hosts)))
            yield session

    def person(self) -> str:
        """The token of a fresh session of the administrator."""
        body = {"Username": "admin", "Password": self.password}
        answer = wait_until(lambda: self._login(body), what="the administrator's login")
        return str(answer.data["Token"])

    def _login(self, body: dict[str, str]) -> Answer | None:
        """The answer, unless it is that of somebody who logs in too often."""
        answer = self.client.post("/ACSMP/Login", body)
        assert answer.code in (0, 42901), answer
        return answer if answer.code == 0 else None

    # --- making it good -----------------------------------------------------------------------------------

    def know(self) -> None:
        """Have one of everything again, and note it."""
        self._devices()
        self._packages()
        self._work()
        self._rollout()
        self._face()
        self.client.post("/ACSMP/ApiKeys", {"Name": "spare", "Roles": ["viewer"]})
        self.client.post("/ACSMP/SchedulePolicies", {"Strategy": "spread"})
        self._note()

    def _devices(self) -> None:
        known = self.client.get(f"/ACSMP/Computility/{self.cad.code}").data or {}
        if known.get("State") != "online":
            assert self.cad.register(self.box.url).accepted
        self.client.post("/ACSMP/Register", registration(7001))
        if not any(task.foreign for task in self.cad.tasks.values()):
            self.cad.add_foreign_task()

    def _packages(self) -> None:
        if self.client.get(f"{FILES}/{PACKAGE_ID}").code != 0:
            assert self.client.upload(self.package).code == 0
        self.client.post(
            f"{SERVICES}?Wait=10", {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCode": self.cad.code}
        )

    def _work(self) -> None:
        if not self._plans():
            body = {
                "Name": "world", "Type": "VIDEO_REALTIME", "Mode": "PERIODIC", "AutoStart": True,
                "AlgoTaskInfos": [task_info()],
            }  # fmt: skip
            self.client.fine("POST", "/ACSMP/Tasks?Wait=10", body)
        ours = [task for task in self.cad.running_tasks() if task.receive_urls]
        for task in ours[-1:]:
            self.cad.send_result(task.task_id)

    def _rollout(self) -> None:
        """One that is done at once: what it brings is there."""
        if not self.client.fine("GET", "/ACSMP/Rollouts"):
            body = {"AlgoFilePackageID": PACKAGE_ID, "ComputilityCodes": [self.cad.code]}
            self.client.fine("POST", "/ACSMP/Rollouts", body)

    def _plans(self) -> list[dict[str, Any]]:
        found = self.client.fine("POST", "/ACSMP/Tasks/Search", {"Name": "world"})
        return [one for one in found["PageContent"] if one["Name"] == "world"]

    def _face(self) -> None:
        self.client.post(FACE_FILES, {"Url": self.source, "AlgoFilePackageID": PUSHED_ID})
        self.client.post(FACE_PACKAGES, {"AlgoFilePackageID": PUSHED_ID})
        if not self._face_tasks():
            info = task_info(Labels={"AlgoCaBinName": ENGINE, "Version": VERSION})
            info["RulesParams"][0]["ExtendParams"] = {"Every": 30}  # seconds between two results
            body = {"TaskInfo": info, "RestartPolicy": "ALWAYS", "CreateAndStartTask": True}
            self.client.post("/CAD/AlgoTasks", body)
        if not self._site_services():
            body = {"AlgoFilePackageID": PUSHED_ID, "Replicas": 1, "XpuType": "", "HostName": SITE_CODE}
            self.client.post("/CAP/AlgoServices", body)

    def _face_tasks(self) -> list[str]:
        found = self.client.post("/CAD/AlgoTasks:search", {}).data or {}
        return [one["TaskInfo"]["ID"] for one in found.get("Records", [])]

    def _site_services(self) -> list[str]:
        found = self.client.post("/CAP/AlgoServices:search", {}).data or {}
        return [one["AlgoServiceID"] for one in found.get("Records", [])]

    # --- what there is ------------------------------------------------------------------------------------

    def _note(self) -> None:
        services = self._search(f"{SERVICES}/Search", {"ComputilityCode": self.cad.code})
        instances = self._search("/ACSMP/TaskInstances/Search", {})
        results = self._search("/ACSMP/Results/Search", {})
        spoken = [task for task in self.cad.tasks.values() if task.receive_urls]
        self.ids = {
            "AlgoFilePackages": [PACKAGE_ID, PUSHED_ID, FREE_ID], "AlgoDef": [CAPABILITY],
            "AlgoServices": [*(one["AlgoServiceID"] for one in services), *self._site_services()],
            "Tasks": [one["TaskID"] for one in self._plans()],
            "Rollouts": [one["ID"] for one in self.client.fine("GET", "/ACSMP/Rollouts")],
            "TaskInstances": [one["ID"] for one in instances],
            "Numbers": [one["Number"] for one in instances],
            "Computility": [self.cad.code, SPARE, SITE_CODE], "Registered": [SPARE, self.cad.code],
            "ForeignTasks": [one.task_id for one in self.cad.tasks.values() if one.foreign],
            "AlgoTasks": self._face_tasks(), "ApiKeys": ["spare"],
            "SchedulePolicies": [one["ID"] for one in self.client.get("/ACSMP/SchedulePolicies").data or []],
            "Results": [one["ResultID"] for one in results], "PackageImports": self._imports(), "Images": ["0"],
        }  # fmt: skip
        for task in spoken[-1:]:
            self._remember("/ACSMP/Results/{InstanceID}/{Signature}", task.receive_urls[0])
        held = self.cad.shelf.held.get(PACKAGE_ID)
        if held is not None and held.asked is not None:
            self._remember(
                "/ACSMP/Links/Packages/{AlgoFilePackageID}/{ComputilityCode}/{Generation}/{Signature}",
                held.asked.url,
            )

    def _search(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        data = self.client.post(path, body).data
        return list(data.get("PageContent") or data.get("Records") or []) if data else []

    def _imports(self) -> list[str]:
        """Fetches of packages, which no list shows."""
        with sqlite3.connect(self.box.data / "acsmpd.db") as plain:
            found = plain.execute("SELECT id FROM ask WHERE kind = 'package'").fetchall()
        plain.close()
        return [row[0] for row in found]

    def _remember(self, template: str, url: str) -> None:
        names, values = template.split("/"), urlsplit(url).path.split("/")
        self.paths[template] = {
            name.strip("{}"): value for name, value in zip(names, values, strict=True) if name[:1] == "{"
        }


@contextlib.contextmanager
def world(folder: Path) -> Iterator[World]:
    """A running World; its daemon listens on loopback and may connect there alone."""
    program = Misbehaving(folder / "engine", package_id=PUSHED_ID, name=ENGINE, codes=("ENGINE-1",))
    with (
        serving(replying(200, program.file.read_bytes())) as server,
        FakeCad() as cad,
        daemon(folder / "data", **engines.ports(), runtime_stop_timeout_seconds="1") as box,
    ):
        one = World(box, cad, folder, f"{server.url}/engine.tar")
        one.know()
        yield one
