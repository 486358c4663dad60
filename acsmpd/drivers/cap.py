"""Commands a central analysis platform over Part 4 chapter 7, all 17 interfaces.

A CAP is a site of several nodes behind one address. It mints the ids of services and tasks: a package may have many
services there, each with replicas of its own.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

import msgspec
from msgspec.structs import replace

from acsmpd import faults as errors
from acsmpd.clock import Clock
from acsmpd.decide.nodes import AMOUNT, AUTO, FRACTION, PERCENT, infos_of
from acsmpd.drivers.driver import NONE_PUSHED, Pushed
from acsmpd.drivers.listing import PAGE_SIZE, Budget, Page, page_of, whole
from acsmpd.drivers.tasks import TaskRows
from acsmpd.faults import Permanent, StepFault, Temporary, Unknown
from acsmpd.model import (
    CreateTask,
    DeleteCopy,
    DeleteTask,
    Load,
    LookTask,
    Observed,
    Outcome,
    PauseTask,
    Peer,
    Push,
    PushProgram,
    ResumeTask,
    Scale,
    SeenPackage,
    SeenService,
    Step,
    Unload,
    UpdateTask,
)
from acsmpd.packages.executable import Executables
from acsmpd.spec.messages import cap
from acsmpd.spec.tables import BY_ID
from acsmpd.wire.answer import Missing, clean
from acsmpd.wire.caller import Wire

STATUSES = ("INIT", "RUNNING", "OVERLOAD", "ERROR")
WAITING, NO_PROGRAM, FAULTY = 0, 1, 4
"""Statuses of table I.5 in which a package is not whole."""
MAX_SERVICES = 2000
"""Services of one platform that are asked for one by one."""
TOLD_UNITS = (AMOUNT, PERCENT, FRACTION)
"""What a platform may say itself of the uses in its status."""
KEPT_DETAILS = 5000
"""Packages, of all platforms, whose kind is remembered."""
_DIGITS = re.compile(r"[0-9]{40}")

T = TypeVar("T")


class _Program(NamedTuple):
    """What a package's detail says of its executable."""

    kind: str = ""
    is_remote: bool = False


class Cap:
    """The driver of the family CAP. `executables` takes the executable of a package out of it."""

    def __init__(self, wire: Wire, executables: Executables, clock: Clock | None = None) -> None:
        self._wire, self._executables, self._clock = wire, executables, clock or Clock()
        self._tasks = TaskRows(wire, "cap", self._clock)
        self._details: OrderedDict[tuple[str, str], _Program] = OrderedDict()
        self._lock = Lock()

    # --- looking -----------------------------------------------------------------------------------

    def observe(
        self, peer: Peer, known: frozenset[str] = frozenset(), pushed: Pushed = NONE_PUSHED
    ) -> Observed:
        """State, packages, services and tasks. Fails as a whole only when the state cannot be had."""
        faults: list[str] = []
        state = self._state(peer)
        packages = _part(faults, lambda: self._packages(peer, pushed))
        services = _part(faults, lambda: self._services(peer))
        tasks = _part(faults, lambda: self._tasks.listing(peer, known))
        of = {one.facility_id: one.package_id for one in services or ()}
        told = state.usage_unit if state.usage_unit in TOLD_UNITS else AUTO
        unit = told if peer.usage_unit == AUTO else peer.usage_unit
        info = infos_of(peer.code, _plain(state.basic_info), _plain(state.ops_info), of, unit)
        return Observed(info=info, packages=packages, services=services, tasks=tasks, faults=tuple(faults))

    def _state(self, peer: Peer) -> Any:
        try:
            state = self._wire.call(BY_ID["cap.get_cap_status"], peer)
        except (Permanent, Unknown) as fault:
            raise Temporary(fault.message) from fault
        if state is None or state.basic_info is None:
            raise Temporary(f"cannot observe {peer.code}: its status answer holds no BasicInfo")
        return state

    def _pages(self, peer: Peer, row: str, kind: Callable[..., Any], what: str) -> Callable[..., Page]:
        def ask(number: int, seconds: float | None) -> Page:
            message = kind(page_number=number, page_size=PAGE_SIZE)
            return page_of(what, self._wire.call(BY_ID[row], peer, message, timeout_seconds=seconds))

        return ask

    # --- packages ------------------------------------------------------------------------------------

    def _packages(self, peer: Peer, pushed: Pushed) -> tuple[SeenPackage, ...]:
        """Every package; the kind of those that were never asked for is told by the detail."""
        budget = Budget(f"the package list of {peer.code}", self._clock, things="packages")
        ask = self._pages(
            peer, "cap.search_algo_file_packages", cap.AlgoFilePackageSearchRequest, budget.what
        )

        def take(records: list[Any]) -> Iterator[tuple[str, Any]]:
            for record in records:
                if not record.algo_file_package_id:
                    raise Temporary(f"{budget.what} holds a package without an ID")
                yield record.algo_file_package_id, record

        records = whole(budget, ask, take)
        programs = self._asked_of(peer, records, budget)
        ids = {_folded(name, version): found for (name, version), found in pushed.items()}
        return tuple(_package(record, programs[key], ids) for key, record in records.items())

    def _asked_of(self, peer: Peer, records: dict[str, Any], budget: Budget) -> dict[str, _Program]:
        """The details, as many as can be had: that of a package whose executable is missing decides, others tell."""
        found = {key: self._remembered(peer, key) for key in records}
        open_ = [key for key, one in records.items() if found[key] is None and one.status != WAITING]
        for key in sorted(open_, key=lambda one: records[one].status != NO_PROGRAM):
            try:
                budget.spend_detail()
                found[key] = self._detail(peer, key, budget)
            except StepFault:
                if records[key].status == NO_PROGRAM:
                    raise
                break  # the kinds that are not known yet are asked for at the next look
        return {key: one or _Program() for key, one in found.items()}

    def _remembered(self, peer: Peer, package_id: str) -> _Program | None:
        with self._lock:
            return self._details.get((peer.code, package_id))

    def _detail(self, peer: Peer, package_id: str, budget: Budget) -> _Program:
        try:
            data = self._wire.call(
                BY_ID["cap.get_algo_file_package"], peer, path={"AlgoFilePackageID": package_id},
                timeout_seconds=budget.timeout(),
            )  # fmt: skip
        except Missing:
            return _Program()
        found = _program(data)
        with self._lock:
            self._details[peer.code, package_id] = found
            while len(self._details) > KEPT_DETAILS:
                self._details.popitem(last=False)
        return found

    def _forget(self, peer: Peer, package_id: str) -> None:
        with self._lock:
            self._details.pop((peer.code, package_id), None)

    # --- services ------------------------------------------------------------------------------------

    def _services(self, peer: Peer) -> tuple[SeenService, ...]:
        """Every service with its status, which only the detail tells for certain (table J.5 has none)."""
        budget = Budget(
            f"the service list of {peer.code}", self._clock, things="services", details=MAX_SERVICES
        )
        ask = self._pages(peer, "cap.search_algo_services", cap.AlgoServiceSearchRequest, budget.what)

        def take(records: list[Any]) -> Iterator[tuple[str, SeenService | None]]:
            for record in records:
                if not record.algo_service_id:
                    raise Temporary(f"{budget.what} holds a service without an ID")
                yield record.algo_service_id, self._service(peer, record, budget)

        return tuple(one for one in whole(budget, ask, take).values() if one is not None)

    def _service(self, peer: Peer, record: Any, budget: Budget) -> SeenService | None:
        """None for one that is listed and that the detail says is gone."""
        if record.status and record.algo_file_package_id:
            return _seen(record, None)
        budget.spend_detail()
        path = {"AlgoServiceID": record.algo_service_id}
        row = BY_ID["cap.get_algo_service"]
        try:
            detail = self._wire.call(row, peer, path=path, timeout_seconds=budget.timeout())
        except Missing:
            return None
        return _seen(record, detail)

    # --- doing -------------------------------------------------------------------------------------

    def perform(self, peer: Peer, step: Step) -> Outcome:
        match step:
            case Push():
                return self._push(peer, step)
            case PushProgram():
                return self._push_program(peer, step)
            case DeleteCopy():
                self._forget(peer, step.package_id)
                return self._remove(peer, "cap.delete_algo_file_package", AlgoFilePackageID=step.package_id)
            case Load():
                return self._load(peer, step)
            case Scale():
                raise Permanent(f"computility {peer.code} changes no service that runs")
            case Unload():
                return self._unload(peer, step)
            case CreateTask():
                return self._create(peer, step)
            case UpdateTask():
                return self._tasks.update(peer, step, service_id=step.facility_service_id)
            case ResumeTask() | PauseTask() | DeleteTask():
                return self._tasks.act(peer, step)
            case LookTask():
                return self._tasks.look(peer, step.task_id)

    def _push(self, peer: Peer, step: Push) -> Outcome:
        self._forget(peer, step.package_id)
        message = cap.AlgoFilePackagePushRequest(
            algo_file_package_id=step.package_id,
            md5=step.md5,
            url=step.url,
        )  # who authorises it is told at the load: the table has no word for it (X-LICENCE)
        self._wire.call(BY_ID["cap.push_algo_file_package"], peer, message)
        return Outcome()

    def _push_program(self, peer: Peer, step: PushProgram) -> Outcome:
        try:
            file = self._executables.make(step.package_id, Path(step.path), step.package_md5)
        except (errors.NoSpace, errors.Internal) as fault:
            raise Temporary(fault.message) from fault
        except errors.Fault as fault:
            raise Permanent(fault.message) from fault
        message = cap.AlgoFilePackageExecFilePushRequest(
            type=file.kind,  # type: ignore[arg-type]
            md5=file.md5,
            name=file.name,
            url=step.url,
            algo_file_package_id=step.package_id,
        )
        self._wire.call(BY_ID["cap.push_exec_file"], peer, message)
        return Outcome()

    def _load(self, peer: Peer, step: Load) -> Outcome:
        """A new service. The platform mints its id: it is read from the answer, "" if that told none.

        One that failed before does not go by itself, and would keep its cards.
        """
        if step.facility_id:
            self._clear_away(peer, step.facility_id)
        message = cap.AlgoServiceCreateRequest(
            env=[cap.EnvItem(name=name, value=value) for name, value in step.env] or None,
            replicas=step.replicas,
            xpu_type=step.xpu_type,
            algo_file_package_id=step.package_id,
            host_name=step.host or None,
            license_file=step.license_url,
        )
        data = self._wire.call(BY_ID["cap.create_algo_service"], peer, message)
        return Outcome(facility_id=str(getattr(data, "algo_service_id", None) or ""))

    def _clear_away(self, peer: Peer, service_id: str) -> None:
        """Sure to be gone, or nothing is loaded yet: asking for it again does no harm."""
        try:
            self._remove(peer, "cap.delete_algo_service", AlgoServiceID=service_id)
        except (Permanent, Unknown) as fault:
            raise Temporary(f"the failed service cannot be cleared away: {fault.message}") from fault

    def _unload(self, peer: Peer, step: Unload) -> Outcome:
        if not step.facility_id:
            raise Temporary(f"cannot unload on {peer.code} yet: which service it became is being looked for")
        return self._remove(peer, "cap.delete_algo_service", AlgoServiceID=step.facility_id)

    def _remove(self, peer: Peer, operation: str, **path: str) -> Outcome:
        try:
            self._wire.call(BY_ID[operation], peer, path=path)
        except Missing:
            return Outcome(gone=True)
        return Outcome()

    def _create(self, peer: Peer, step: CreateTask) -> Outcome:
        """With AlgoServiceID it is bound to that service, else the platform chooses by its Labels."""
        outcome = self._tasks.create(peer, step, service_id=step.facility_service_id)
        task, asked = outcome.task, step.facility_service_id
        if task is None or not asked or task.service_id in ("", asked):
            return outcome
        said = f"the platform runs it on its service {clean(task.service_id)}, not on {asked}"
        return replace(outcome, task=replace(task, error=task.error or said))


def _part(faults: list[str], look: Callable[[], tuple[T, ...]]) -> tuple[T, ...] | None:
    """One part of a look; None, and why, where it could not be had whole."""
    try:
        return look()
    except StepFault as fault:
        faults.append(fault.message)
        return None


def _plain(rows: Any) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(row) for row in rows or ()]


def _folded(name: str, version: str) -> tuple[str, str]:
    return name.strip().casefold().replace("_", "-"), version.strip().casefold()


def _package(record: Any, program: _Program, ids: dict[tuple[str, str], str]) -> SeenPackage:
    """A row of table I.5. One that bears an id of the platform's own is ours if its name and version are."""
    listed, status = record.algo_file_package_id, record.status
    name, version = record.name or "", record.version or ""
    known = listed if _DIGITS.fullmatch(listed) else ids.get(_folded(name, version), listed)
    lacks = status == NO_PROGRAM and not program.is_remote
    seen = 2 if status == FAULTY else 1 if status == WAITING or lacks else 3
    return SeenPackage(
        package_id=known, name=name, version=version, kind=program.kind, status=seen, lacks_program=lacks,
        progress=1.0 if seen == 3 else 0.0, error="the platform finds the file faulty" if seen == 2 else "",
    )  # fmt: skip


def _program(data: Any) -> _Program:
    """Bin of table I.7. An image that is fetched from a registry is no part of the package."""
    about = getattr(data, "bin", None)
    word = str(getattr(about, "type", None) or "").strip().lower()
    kind = {"bin": "artifact", "engine": "image"}.get(word, word if word in ("artifact", "image") else "")
    remote, local = getattr(about, "remote_uri", None), getattr(about, "local_uri", None)
    return _Program(kind, bool(remote) and not local)


def _seen(record: Any, detail: Any) -> SeenService:
    """Rows of tables J.5 and J.7 as one; what the detail tells goes first."""

    def told(name: str) -> Any:
        first = getattr(detail, name, None)
        return first if first not in (None, "") else getattr(record, name, None)

    status = str(told("status") or "").strip().upper()
    env = told("env")
    return SeenService(
        package_id=str(told("algo_file_package_id") or ""),
        facility_id=str(record.algo_service_id),
        status=status if status in STATUSES else "UNSPECIFIED",
        error=clean(str(told("last_error") or "the platform shows it as failed"))
        if status == "ERROR"
        else "",
        xpu_type=str(told("xpu_type") or ""),
        env=None if env is None else tuple((str(one.name or ""), str(one.value or "")) for one in env),
    )
