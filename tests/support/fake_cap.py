"""A central analysis platform of the tests, with two hosts behind it: an honest one, until it is told to misbehave.

`with FakeCap() as cap:` is used as FakeCad is; beside packages and tasks it holds `services`, with ids of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from acsmpd.spec.messages import cap
from acsmpd.spec.operation import Face
from acsmpd.spec.reading import check_task_info
from tests.support import fake_packages
from tests.support.fake_cad import FakeDevice
from tests.support.fake_packages import FakePackage
from tests.support.fake_server import HOST, Handler, Refusal
from tests.support.fake_services import RUNNING, FakeService, Host, ServiceShelf
from tests.support.fake_tasks import FakeTask

HOSTS = (Host("192.168.200.208", "BQF996500332"), Host("192.168.200.232", "BQF996500105", 32, 2))
STATUS = {fake_packages.DOWNLOADING: 0, fake_packages.FAILED: 4, fake_packages.STOPPED: 2}
"""Of table I.5, by what is on the shelf."""


class FakeCap(FakeDevice):
    """See the module."""

    face = Face.CAP
    kind = "CAP"

    def __init__(
        self,
        code: str = "11010000005020000031",
        username: str = "cap",
        password: str = "Cap-Passw0rd-1",
        *,
        check_token: bool = False,
        host: str = HOST,
        hosts: tuple[Host, ...] = HOSTS,
    ) -> None:
        super().__init__(code, username, password, check_token=check_token, host=host)
        self.hall = ServiceShelf(self._lock, hosts)
        self.programs: dict[str, cap.AlgoFilePackageExecFilePushRequest] = {}

    # --- how it differs ---------------------------------------------------------------------------------

    def want_programs(self, on: bool = True) -> None:
        """A package that arrived has status 1 until its executable is sent by itself."""
        self.turn("want_programs", on)

    def ids_of_its_own(self, on: bool = True) -> None:
        """Packages are listed by an ID that is no package identifier, as the examples print it."""
        self.turn("own_ids", on)

    def list_by_example(self, on: bool = True) -> None:
        """A service's detail is spelled as the example prints it: `runing`, Node for NodeHost."""
        self.turn("by_example", on)

    def place_elsewhere(self, on: bool = True) -> None:
        """A task goes to another service than the one it names, if there is one."""
        self.turn("elsewhere", on)

    def lists_change(self, on: bool = True) -> None:
        """TotalSize of services and packages is another on every page."""
        self.turn("lists_change", on)

    # --- what it holds ----------------------------------------------------------------------------------

    @property
    def services(self) -> dict[str, FakeService]:
        """Service id -> service, in the order of their loading."""
        with self._lock:
            return dict(self.hall.held)

    def add_foreign_service(self, package_id: str, *, loaded: bool = True) -> FakeService:
        """A package and a service of it that somebody else put there."""
        package = FakePackage(package_id, state=fake_packages.STOPPED, name="foreign", foreign=True)
        with self._lock:
            self.shelf.held.setdefault(package_id, package)
        asked = cap.AlgoServiceCreateRequest(replicas=1, xpu_type="", algo_file_package_id=package_id)
        return self.hall.load(asked, foreign=loaded)

    def fail_service(self, service_id: str) -> None:
        """It is shown as failed, and stays until somebody unloads it."""
        self.hall.get(service_id).status = "ERROR"

    def restart(self, *, keep: bool = True) -> None:
        if not keep:
            self.hall.held.clear()
        super().restart(keep=keep)

    # --- what the server asks of a face ---------------------------------------------------------------------

    def handlers(self) -> dict[str, Handler]:
        return {f"cap.{name}": work for name, work in self._work().items()}

    def _work(self) -> dict[str, Callable[[Any, dict[str, str]], Any]]:
        board = self.board
        return {
            "get_cap_status": lambda _, at: self._status(),
            "push_algo_file_package": lambda asked, at: self._push(asked),
            "delete_algo_file_package": lambda _, at: self._delete_package(at["AlgoFilePackageID"]),
            "search_algo_file_packages": lambda asked, at: self._page(asked, self._packages(asked.name)),
            "get_algo_file_package": lambda _, at: self._show_package(at["AlgoFilePackageID"]),
            "push_exec_file": lambda asked, at: self._push_program(asked),
            "create_algo_service": lambda asked, at: self._load(asked),
            "delete_algo_service": lambda _, at: self._unload(at["AlgoServiceID"]),
            "search_algo_services": lambda asked, at: self._page(asked, self._listed_services(asked)),
            "get_algo_service": lambda _, at: self._show_service(at["AlgoServiceID"]),
            "create_algo_task": lambda asked, at: self._create(asked),
            "update_algo_task": lambda asked, at: self._update_bound(at["ID"], asked),
            "delete_algo_task": lambda _, at: board.delete(at["ID"]),
            "resume_algo_task": lambda _, at: board.resume(at["ID"]),
            "pause_algo_task": lambda _, at: board.pause(at["ID"]),
            "search_algo_tasks": lambda asked, at: self._search(asked),
            "get_algo_task": lambda _, at: board.get(at["ID"]).shown(),
        }

    def _status(self) -> dict[str, Any]:
        basic = [
            {
                "Ip": host.ip, "HostName": host.name, "Cpu": host.cpus, "CpuType": "x86", "Xpu": host.cards,
                "XpuType": host.card, "Memory": 256, "Disk": 14, "OS": "ubuntu 18.0.4",
            }
            for host in self.hall.hosts
        ]  # fmt: skip
        ops = [
            {
                "Ip": host.ip, "HostName": host.name, "CpuUse": 6, "XpuUse": 1, "MemoryUse": 55.8,
                "DiskUsed": 2.765, "XpuUseDetails": self._use_on(host),
            }
            for host in self.hall.hosts
        ]  # fmt: skip
        return {"BasicInfo": basic, "OpsInfo": ops}

    def _use_on(self, host: Host) -> list[dict[str, Any]]:
        return [
            {"AlgoServiceID": one.service_id, "XpuQuota": 0.25 * one.hosts.count(host)}
            for one in self.services.values()
            if host in one.hosts
        ]

    # --- packages ---------------------------------------------------------------------------------------

    def _push(self, asked: cap.AlgoFilePackagePushRequest) -> dict[str, str]:
        if self.hall.of(asked.algo_file_package_id):
            raise Refusal(40901, f"package {asked.algo_file_package_id} is loaded")
        self.programs.pop(asked.algo_file_package_id, None)
        self.shelf.push(asked)  # type: ignore[arg-type]  # what it reads of a message is in both
        return {"AlgoFilePackageID": asked.algo_file_package_id}

    def _push_program(self, asked: cap.AlgoFilePackageExecFilePushRequest) -> dict[str, Any]:
        self.shelf.get(asked.algo_file_package_id)
        self.shelf.fetch_beside(asked.url, asked.md5)
        self.programs[asked.algo_file_package_id] = asked
        return {}

    def _delete_package(self, package_id: str) -> None:
        if self.hall.of(package_id):
            raise Refusal(40901, f"package {package_id} is loaded")
        self.shelf.delete(package_id)

    def _packages(self, name: str | None) -> list[dict[str, Any]]:
        with self._lock:
            held = [one for one in self.shelf.held.values() if name is None or name in one.name]
        return [self._package(one) for one in held]

    def package_status(self, package: FakePackage) -> int:
        """Of table I.5."""
        wants = self.is_on("want_programs") and package.package_id not in self.programs
        if package.state == fake_packages.STOPPED and wants and not package.foreign:
            return 1
        running = package.complete and any(one.status == RUNNING for one in self.hall.of(package.package_id))
        return 3 if running else STATUS[package.state]

    def _package(self, package: FakePackage) -> dict[str, Any]:
        shown = {
            "AlgoFilePackageID": package.package_id, "Name": package.name, "Version": package.version,
            "Author": "zhangsan", "Status": self.package_status(package),
        }  # fmt: skip
        if self.is_on("own_ids"):
            del shown["AlgoFilePackageID"]
            shown["ID"] = f"7a90a32d-8ae8-4ffa-b000-{package.package_id[-12:]}"
        return shown

    def _show_package(self, package_id: str) -> dict[str, Any]:
        found = self.shelf.held.get(package_id) or next(
            (one for one in self.shelf.held.values() if package_id.endswith(one.package_id[-12:])), None
        )
        if found is None:
            raise Refusal(40401, f"there is no package {package_id}")
        kind = "artifact" if found.kind == "BIN" else "image"
        runtime = {"cmd": "", "Env": [], "Xpu": []}
        return {**self._package(found), "Bin": {"Type": kind, "localUri": "bin"}, "AlgoRuntime": runtime}

    # --- services ---------------------------------------------------------------------------------------

    def _load(self, asked: cap.AlgoServiceCreateRequest) -> dict[str, str]:
        package = self.shelf.get(asked.algo_file_package_id)
        if not package.complete or self.package_status(package) < 2:
            raise Refusal(40901, f"package {package.package_id} is {package.state} {package.error}".strip())
        return {"AlgoServiceID": self.hall.load(asked).service_id}

    def _unload(self, service_id: str) -> None:
        with self._lock:
            busy = sum(task.busy and task.service_id == service_id for task in self.board.held.values())
            self.hall.unload(service_id, busy)

    def _listed_services(self, asked: cap.AlgoServiceSearchRequest) -> list[dict[str, Any]]:
        wanted = (None, asked.algo_file_package_id)
        return [one.listed() for one in self.services.values() if wanted[1] in (None, one.package_id)]

    def _show_service(self, service_id: str) -> dict[str, Any]:
        shown = self.hall.get(service_id).shown()
        if self.is_on("by_example"):
            shown["Status"] = {"RUNNING": "runing"}.get(shown["Status"], shown["Status"].lower())
            for one in shown["ReplicasDetail"]:
                one["Node"] = one.pop("NodeHost")
        return shown

    def _page(self, asked: Any, records: list[dict[str, Any]]) -> Any:
        if self.is_on("without_data"):
            return None
        number, size = asked.page_number or 1, min(asked.page_size or 10, self.page_limit)
        total = len(records) + (number if self.is_on("lists_change") else 0)
        page = records[(number - 1) * size : number * size]
        if self.is_on("bare_array"):
            return page
        return {"PageNumber": number, "PageSize": size, "TotalSize": total, "Records": page}

    # --- tasks ------------------------------------------------------------------------------------------

    def _create(self, asked: cap.AlgoTaskCreateRequest) -> dict[str, Any]:
        check_task_info(asked.task_info, "$.TaskInfo")
        with self._lock:
            service = self._service_for(asked.task_info.labels, asked.algo_service_id)
            task = self.board.create(
                asked, honour_id=self.is_on("honour_ids"), package_id=service.package_id,
                service_id=service.service_id,
            )  # fmt: skip
        return self._told(task)

    def _service_for(self, labels: dict[str, Any] | None, service_id: str | None) -> FakeService:
        """The named one, else one of a package of that name and version."""
        running = [one for one in self.services.values() if one.status == RUNNING]
        if service_id:
            fits = [one for one in running if (one.service_id == service_id) is not self.is_on("elsewhere")]
        else:
            package = self.shelf.for_labels(labels, None)
            fits = [one for one in running if one.package_id == package.package_id]
        if not fits:
            raise Refusal(40901, f"no algorithm service for {service_id or labels}")
        return fits[0]

    def _update_bound(self, task_id: str, asked: cap.AlgoTaskUpdateRequest) -> dict[str, Any]:
        """A full replacement, of the service too: without one the platform chooses by Labels."""
        shown = self._update(task_id, asked)
        task: FakeTask = self.board.get(task_id)
        task.service_id = self._service_for(asked.task_info.labels, asked.algo_service_id).service_id
        return shown
