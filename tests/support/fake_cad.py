"""A central analysis device of the tests: an honest one, until it is told to misbehave.

`with FakeCad() as cad:` listens at `cad.url`. The rows come from the table of operations, the requests are
checked as an application's would be. What it holds is to be looked at: `packages`, `tasks`,
`running_tasks()`, `max_running`, `calls()`.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable
from http.client import HTTPMessage
from typing import Any

from acsmpd.spec.messages import cad
from acsmpd.spec.messages.monitoring import AlgoServiceMonitor, DeviceInfo, XpuMonitorInfo
from acsmpd.spec.operation import Face, Operation
from acsmpd.spec.reading import check_task_info, to_builtins
from acsmpd.spec.tables import OPERATIONS
from tests.support import fake_packages, fake_tasks
from tests.support.fake_packages import FakePackage, PackageShelf
from tests.support.fake_server import HOST, FakeFacility, Handler, Refusal
from tests.support.fake_speaking import TINY_JPEG, Said, Voice, multipart_of, post_form, post_json, result_of
from tests.support.fake_switches import Habits
from tests.support.fake_tasks import FakeTask, TaskBoard

CARD = "NVIDIA-T4"


class DeviceHabits(Habits):
    """Ways in which a device may differ from what the platform would like; `behave()` does not end them."""

    def list_incompletely(self, on: bool = True) -> None:
        """The last task is in TotalSize and on no page; with no task at all TotalSize is 1."""
        self.turn("incomplete", on)

    def page_inconsistently(self, on: bool = True) -> None:
        """The order changes from page to page, so that one task comes twice and another never."""
        self.turn("inconsistent", on)

    def list_without_data(self, on: bool = True) -> None:
        """Lists (packages too) are answered with Code 0 and no Data."""
        self.turn("without_data", on)

    def abridge(self, on: bool = True) -> None:
        """Listed tasks lack RulesParams and StreamOptions, as the standard allows."""
        self.turn("abridge", on)

    def bare_array(self, on: bool = True) -> None:
        """Data of a task list is an array, as table D.8 has it: the page asked for, and no TotalSize."""
        self.turn("bare_array", on)

    def honour_ids(self, on: bool = True) -> None:
        """A created task gets the TaskInfo.ID that was sent."""
        self.turn("honour_ids", on)

    def answer_foreign_ids(self, on: bool = True) -> None:
        """The answer to a create names another task, if there is one."""
        self.turn("foreign_ids", on)

    def omit_task_id(self, on: bool = True) -> None:
        """The answer to a create does not say the ID."""
        self.turn("omit_id", on)

    def numbers_as_strings(self, on: bool = True) -> None:
        """Every number of every answer is a text."""
        self.turn("texts", on)

    def lower_case_code(self, on: bool = True) -> None:
        """`code` and `message` where Code and Message are meant."""
        self.turn("lower_case", on)


class FakeDevice(FakeFacility, DeviceHabits):
    """What every face has: packages, tasks, a token, a voice. `prefix` stands for the face's own, as on an edge."""

    face = Face.CAD
    kind = "CAD"

    def __init__(
        self,
        code: str = "11010000005050000001",
        username: str = "cad",
        password: str = "Cad-Passw0rd-1",
        *,
        prefix: str = "",
        check_token: bool = False,
        host: str = HOST,
    ) -> None:
        name = self.face.value.lower()
        rows = [row for row in OPERATIONS if row.face is self.face]
        FakeFacility.__init__(self, rows, name, prefix or f"/{name.upper()}", host)
        DeviceHabits.__init__(self)
        self.code = code
        self.check_token = check_token
        self.lists_unloaded = True
        self.needs_service = True
        self.page_limit = 1000
        self.tokens: list[str] = []
        self._voice = Voice(code, username, password)
        self._lock = threading.RLock()
        self.shelf = PackageShelf(self._lock)
        self.board = TaskBoard(self._lock)

    def restart(self, *, keep: bool = True) -> None:
        """Down and up again on the same port; without `keep` packages, tasks and token are forgotten."""
        self.vanish()
        self.shelf.end()
        if not keep:
            with self._lock:
                self.shelf.held.clear()
                self.board.held.clear()
                self.tokens.clear()
        self.start()

    def ended(self) -> None:
        self.shelf.end()

    # --- what it holds --------------------------------------------------------------------------------

    @property
    def packages(self) -> dict[str, str]:
        """Package id -> DOWNLOADING, FAILED, STOPPED (there, not loaded) or RUNNING."""
        with self._lock:
            return {package.package_id: package.state for package in self.shelf.held.values()}

    def package(self, package_id: str) -> FakePackage:
        """Everything about one package."""
        return self.shelf.get(package_id)

    @property
    def tasks(self) -> dict[str, FakeTask]:
        """Task id -> task, in the order of their creation."""
        with self._lock:
            return dict(self.board.held)

    def running_tasks(self) -> list[FakeTask]:
        return self.board.running()

    @property
    def max_running(self) -> int:
        """The highest number of tasks that ever ran for one stream Url at once."""
        with self._lock:
            return max(self.board.peaks.values(), default=0)

    # --- what happens to it ------------------------------------------------------------------------------

    def forget_tasks(self) -> None:
        """All tasks are gone, as after a restart of a device that keeps none."""
        with self._lock:
            self.board.held.clear()

    def fail_task(self, task_id: str) -> None:
        self.board.set_status(task_id, fake_tasks.ERROR)

    def finish_task(self, task_id: str) -> None:
        self.board.set_status(task_id, fake_tasks.FINISHED)

    def add_foreign_task(
        self,
        stream_url: str = "rtsp://127.0.0.1/foreign",
        event_id: str = "FIRE",
        status: str = "RUNNING",
        **more: Any,
    ) -> FakeTask:
        """A task that somebody else created; `more` are members of its TaskInfo."""
        info = {
            "RulesParams": [{"EventID": event_id, "ResultReceiveUrl": []}],
            "StreamOptions": {"VideoStreamOptions": {"Url": stream_url}},
            **more,
        }
        task = FakeTask(str(uuid.uuid4()), info, status=status, foreign=True)
        self.board.add(task)
        return task

    def hold_downloads(self, on: bool = True) -> None:
        """While on, accepted packages stay DOWNLOADING."""
        self.shelf.hold(on)

    # --- what it says of its own accord --------------------------------------------------------------------

    @property
    def token(self) -> str | None:
        """The newest token the platform gave."""
        return self.tokens[-1] if self.tokens else None

    def register(
        self,
        platform_url: str,
        *,
        encrypt_with: str | None = None,
        kind: str = "",
        ip: str = "",
        services: bool | None = None,
    ) -> Said:
        """Register and keep the token; a refusal is told by the answer, not raised."""
        said = self._voice.register(
            platform_url, self.port, encrypt_with, kind or self.kind, ip or self.host, services
        )
        if said.accepted and said.token:
            self.tokens = [said.token]
        return said

    def keepalive(self, platform_url: str, *, with_token: bool = True) -> Said:
        """Say that it lives; a renewed token is kept, the one before stays good."""
        said = self._voice.keepalive(platform_url, self.token if with_token else None)
        if said.accepted and said.token and said.token not in self.tokens:
            self.tokens = [*self.tokens[-1:], said.token]
        return said

    def unregister(self, platform_url: str, *, encrypt_with: str | None = None) -> Said:
        said = self._voice.unregister(platform_url, encrypt_with)
        if said.accepted:
            self.tokens = []
        return said

    def send_result(self, task_id: str, **changes: Any) -> list[Said]:
        """Post one result of a task to each of its receivers."""
        task = self.board.get(task_id)
        return [post_json(url, result_of(task, changes)) for url in task.receive_urls]

    def send_multipart_result(self, task_id: str, pictures: Iterable[bytes] = (TINY_JPEG,)) -> list[Said]:
        """The same in the multipart form."""
        task = self.board.get(task_id)
        parts = multipart_of(task, self.code, pictures)
        return [post_form(url, parts) for url in task.receive_urls]

    # --- what the server asks of a face ---------------------------------------------------------------------

    def authorised(self, headers: HTTPMessage) -> bool:
        if not self.check_token:
            return True
        bearer = headers.get("Authorization", "").removeprefix("Bearer ")
        return any(token in (bearer, headers.get("Token")) for token in self.tokens)

    def dressed(self, row: Operation, envelope: dict[str, Any]) -> dict[str, Any]:
        if self.is_on("texts"):
            envelope = _texts(envelope)
        if self.is_on("lower_case"):
            envelope = {k.lower() if k in ("Code", "Message") else k: v for k, v in envelope.items()}
        return envelope

    # --- tasks ------------------------------------------------------------------------------------------

    def _told(self, task: FakeTask) -> dict[str, Any]:
        """The answer to a create, with the ID this device says."""
        shown = task.shown()
        others = [task_id for task_id in self.tasks if task_id != task.task_id]
        if self.is_on("foreign_ids") and others:
            shown["TaskInfo"]["ID"] = others[0]
        if self.is_on("omit_id"):
            del shown["TaskInfo"]["ID"]
        return shown

    def _update(self, task_id: str, asked: cad.AlgoTaskUpdateRequest) -> dict[str, Any]:
        check_task_info(asked.task_info, "$.TaskInfo")
        return self.board.update(task_id, asked).shown()

    def _search(self, asked: cad.AlgoTaskSearchRequest) -> Any:
        if self.is_on("without_data"):
            return None
        number, size = asked.page_number or 1, min(asked.page_size or 10, self.page_limit)
        records = [self._listed(task) for task in self.board.matching(asked)]
        total = len(records)
        if self.is_on("incomplete"):
            total, records = max(total, 1), records[:-1]
        if self.is_on("inconsistent") and records:
            turned = (number - 1) % len(records)
            records = records[-turned:] + records[:-turned] if turned else records
        page = records[(number - 1) * size : number * size]
        if self.is_on("bare_array"):
            return page
        return {"PageNumber": number, "PageSize": size, "TotalSize": total, "Records": page}

    def _listed(self, task: FakeTask) -> dict[str, Any]:
        shown = task.shown()
        if self.is_on("abridge"):
            shown["TaskInfo"] = {
                k: v for k, v in shown["TaskInfo"].items() if k not in ("RulesParams", "StreamOptions")
            }
        return shown


class FakeCad(FakeDevice):
    """See the module."""

    def add_foreign_package(
        self, package_id: str, name: str = "foreign", version: str = "1.0.0", *, loaded: bool = True
    ) -> FakePackage:
        """A package that somebody else put there."""
        package = FakePackage(
            package_id, state=fake_packages.STOPPED, name=name, version=version, foreign=True
        )
        with self._lock:
            self.shelf.held[package_id] = package
            if loaded:
                self.shelf.run(package)
        return package

    def fail_service(self, package_id: str) -> None:
        """Its service ends by itself: the package is STOPPED again."""
        with self._lock:
            self.shelf.get(package_id).state = fake_packages.STOPPED

    def handlers(self) -> dict[str, Handler]:
        return {f"cad.{name}": work for name, work in self._work().items()}

    def _work(self) -> dict[str, Callable[[Any, dict[str, str]], Any]]:
        shelf, board = self.shelf, self.board
        return {
            "get_device_status": lambda _, at: to_builtins(self._status()),
            "push_algo_file_package": lambda asked, at: shelf.push(asked),
            "delete_algo_file_package": lambda _, at: shelf.delete(at["AlgoFilePackageID"]),
            "install_algo_package": lambda asked, at: shelf.load(asked),
            "uninstall_algo_package": lambda _, at: self._unload(at["AlgoFilePackageID"]),
            "list_algo_packages": lambda asked, at: self._list_packages(asked),
            "get_algo_package": lambda _, at: self._show_package(at["AlgoFilePackageID"]),
            "create_algo_task": lambda asked, at: self._create(asked),
            "update_algo_task": lambda asked, at: self._update(at["ID"], asked),
            "delete_algo_task": lambda _, at: board.delete(at["ID"]),
            "resume_algo_task": lambda _, at: board.resume(at["ID"]),
            "pause_algo_task": lambda _, at: board.pause(at["ID"]),
            "search_algo_tasks": lambda asked, at: self._search(asked),
            "get_algo_task": lambda _, at: board.get(at["ID"]).shown(),
        }

    # --- packages ---------------------------------------------------------------------------------------

    def _status(self) -> DeviceInfo:
        with self._lock:
            loaded = [one for one in self.shelf.held.values() if one.state == fake_packages.RUNNING]
        card = XpuMonitorInfo(xpu_memory=16, xpu_memory_used=2.0, xpu_utilization=0.1, xpu_type=CARD)
        return DeviceInfo(
            device_id=self.code, is_online=True, cpu=8, cpu_type="x86", cpu_utilization=0.25, memory=16,
            memory_used=4.5, memory_used_list=[{"1697114190123": 4.5}], disk=512, disk_used=100.5,
            xpu_monitors=[card],
            algo_service_monitors=[
                AlgoServiceMonitor(algo_file_package_id=one.package_id, xpu_utilization=0.1, xpu_type=CARD)
                for one in loaded
            ],
        )  # fmt: skip

    def _unload(self, package_id: str) -> None:
        with self._lock:
            self.shelf.unload(package_id, self.board.busy_on(package_id))

    def _list_packages(self, asked: cad.AlgoPackageListRequest) -> list[dict[str, Any]] | None:
        if asked.args is not None:
            raise Refusal(40002, "$.AlgoFilePackageID: required")
        if self.is_on("without_data"):
            return None
        with self._lock:
            held = [one for one in self.shelf.held.values() if one.complete]
        seen = [one for one in held if self.lists_unloaded or one.state == fake_packages.RUNNING]
        return [to_builtins(one.shown()) for one in seen if asked.status in (None, one.state)]

    def _show_package(self, package_id: str) -> dict[str, Any]:
        package = self.shelf.get(package_id)
        if not package.complete:
            raise Refusal(40401, f"package {package_id} is {package.state}")
        return to_builtins(package.shown())

    # --- tasks ------------------------------------------------------------------------------------------

    def _create(self, asked: cad.AlgoTaskCreateRequest) -> dict[str, Any]:
        check_task_info(asked.task_info, "$.TaskInfo")
        honour = self.is_on("honour_ids")
        if not self.needs_service:
            task = self.board.create(asked, honour_id=honour)
        else:
            with self._lock:
                package = self.shelf.for_labels(asked.task_info.labels, asked.algo_service_id)
                self.shelf.run(package)
                task = self.board.create(
                    asked, honour_id=honour, package_id=package.package_id, service_id=package.service_id
                )
        return self._told(task)


def _texts(value: Any) -> Any:
    """The value with every number as a text."""
    if isinstance(value, dict):
        return {key: _texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_texts(inner) for inner in value]
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
