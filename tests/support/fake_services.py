"""The algorithm services of a fake platform: ids it mints itself, replicas spread over its hosts."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import Any

from acsmpd.spec.messages.cap import AlgoServiceCreateRequest
from tests.support.fake_server import Refusal

INIT, RUNNING, OVERLOAD, ERROR = "INIT", "RUNNING", "OVERLOAD", "ERROR"


@dataclass(frozen=True)
class Host:
    """One node behind the platform."""

    ip: str
    name: str
    cpus: int = 16
    cards: int = 4
    card: str = "NVIDIA A2"


@dataclass
class FakeService:
    """One service. `asked` is what it was loaded with, `hosts` where its replicas are."""

    service_id: str
    package_id: str
    asked: AlgoServiceCreateRequest
    status: str = RUNNING
    hosts: list[Host] = field(default_factory=list)
    foreign: bool = False

    def listed(self) -> dict[str, Any]:
        """A record of table J.5, which has no Status."""
        asked = self.asked
        return {
            "Env": [{"Name": one.name, "Value": one.value} for one in asked.env or ()],
            "Replicas": asked.replicas, "XpuType": asked.xpu_type, "AlgoFilePackageID": self.package_id,
            "AlgoServiceID": self.service_id,
        }  # fmt: skip

    def shown(self) -> dict[str, Any]:
        """Table J.7."""
        where = [{"NodeHost": host.name, "NodeIpv4": host.ip} for host in self.hosts]
        return {**self.listed(), "Status": self.status, "XpuQuota": 0.25, "ReplicasDetail": where}


class ServiceShelf:
    """All services, by their id. `starts_as` is what a new one is."""

    def __init__(self, lock: threading.RLock, hosts: tuple[Host, ...]) -> None:
        self.held: dict[str, FakeService] = {}
        self.hosts = hosts
        self.starts_as = RUNNING
        self._lock = lock

    def load(self, asked: AlgoServiceCreateRequest, *, foreign: bool = False) -> FakeService:
        """A new service with every call; a named host has to be one of ours, by its address or its name."""
        named = [host for host in self.hosts if asked.host_name in (None, "", host.ip, host.name)]
        if not named:
            raise Refusal(40401, f"there is no node {asked.host_name}")
        with self._lock:
            turn = len(self.held)
            hosts = [named[(turn + number) % len(named)] for number in range(asked.replicas)]
            service = FakeService(
                str(uuid.uuid4()), asked.algo_file_package_id, asked, self.starts_as, hosts, foreign
            )
            self.held[service.service_id] = service
        return service

    def unload(self, service_id: str, tasks: int) -> None:
        with self._lock:
            self.get(service_id)
            if tasks:
                raise Refusal(40901, f"{tasks} tasks run on service {service_id}")
            del self.held[service_id]

    def get(self, service_id: str) -> FakeService:
        with self._lock:
            service = self.held.get(service_id)
        if service is None:
            raise Refusal(40401, f"there is no service {service_id}")
        return service

    def of(self, package_id: str) -> list[FakeService]:
        with self._lock:
            return [one for one in self.held.values() if one.package_id == package_id]
