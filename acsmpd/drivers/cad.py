"""Commands a central analysis device over Part 4 chapter 5, all 14 interfaces.

Edge devices speak the same set under another prefix (wire knows it), so this driver serves both.
A CAD has one service per package and hands out no service id: a load is known by its package.
"""

from __future__ import annotations

from typing import Any

import msgspec

from acsmpd.drivers.driver import NONE_PUSHED, Pushed
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
    SeenTask,
    Step,
    Unload,
    UpdateTask,
)
from acsmpd.spec.messages import cad
from acsmpd.spec.messages.services import EnvItem
from acsmpd.spec.tables import BY_ID
from acsmpd.wire.answer import Missing
from acsmpd.wire.caller import Wire

LOADED = "RUNNING"


class Cad:
    """The driver of the families CAD and EDGE."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._tasks = TaskRows(wire, "cad")

    # --- looking -----------------------------------------------------------------------------------

    def observe(
        self, peer: Peer, known: frozenset[str] = frozenset(), _pushed: Pushed = NONE_PUSHED
    ) -> Observed:
        """State, packages and tasks. Fails as a whole only when the state cannot be had."""
        faults: list[str] = []
        info = self._info(peer)
        packages: tuple[SeenPackage, ...] | None = None
        tasks: tuple[SeenTask, ...] | None = None
        try:
            packages = self._packages(peer)
        except StepFault as fault:
            faults.append(fault.message)
        try:
            tasks = self._tasks.listing(peer, known)
        except StepFault as fault:
            faults.append(fault.message)
        services = None if packages is None else tuple(_service(p) for p in packages if p.loaded)
        return Observed(info=info, packages=packages, services=services, tasks=tasks, faults=tuple(faults))

    def _info(self, peer: Peer) -> tuple[dict[str, Any], ...]:
        try:
            info = self._wire.call(BY_ID["cad.get_device_status"], peer)
        except (Permanent, Unknown) as fault:
            raise Temporary(fault.message) from fault
        if info is None:
            raise Temporary(f"cannot observe {peer.code}: its status answer holds no Data")
        return (msgspec.to_builtins(info),)

    def _packages(self, peer: Peer) -> tuple[SeenPackage, ...]:
        data = self._wire.call(BY_ID["cad.list_algo_packages"], peer, cad.AlgoPackageListRequest())
        if not isinstance(data, list):
            raise Temporary(f"the package list of {peer.code} holds no Data")
        if not all(item.algo_file_package_id for item in data):
            raise Temporary(f"the package list of {peer.code} holds a package without an ID")
        return tuple(_package(item) for item in data)

    # --- doing -------------------------------------------------------------------------------------

    def perform(self, peer: Peer, step: Step) -> Outcome:
        match step:
            case Push():
                return self._push(peer, step)
            case PushProgram():
                raise Permanent(
                    f"computility {peer.code} takes a package as a whole, not its executable alone"
                )
            case Scale():
                raise Permanent(f"computility {peer.code} runs one replica of a package")
            case Load():
                return self._load(peer, step)
            case DeleteCopy():
                return self._remove(peer, "cad.delete_algo_file_package", step.package_id)
            case Unload():
                return self._remove(peer, "cad.uninstall_algo_package", step.package_id)
            case CreateTask():
                return self._tasks.create(peer, step, service_id=None)
            case UpdateTask():
                return self._tasks.update(peer, step)
            case ResumeTask() | PauseTask() | DeleteTask():
                return self._tasks.act(peer, step)
            case LookTask():
                return self._tasks.look(peer, step.task_id)

    def _push(self, peer: Peer, step: Push) -> Outcome:
        message = cad.AlgoFilePackageRequest(
            url=step.url,
            algo_file_package_id=step.package_id,
            auth_address=step.auth_address,
            license_file=step.license_url,
            md5=step.md5,
        )
        self._wire.call(BY_ID["cad.push_algo_file_package"], peer, message)
        return Outcome()

    def _load(self, peer: Peer, step: Load) -> Outcome:
        message = cad.AlgoPackageInstallRequest(
            algo_file_package_id=step.package_id,
            args=step.args,
            env=[EnvItem(name=name, value=value) for name, value in step.env] or None,
            license_file=step.license_url,
        )
        self._wire.call(BY_ID["cad.install_algo_package"], peer, message)
        return Outcome()

    def _remove(self, peer: Peer, operation: str, package_id: str) -> Outcome:
        try:
            self._wire.call(BY_ID[operation], peer, path={"AlgoFilePackageID": package_id})
        except Missing:
            return Outcome(gone=True)
        return Outcome()


def _package(item: Any) -> SeenPackage:
    """A row of table C.4. A listed package is there, whether loaded or not."""
    kind = {"BIN": "artifact", "ENGINE": "image"}.get(str(item.algo_package_type or "").upper(), "")
    return SeenPackage(
        package_id=item.algo_file_package_id,
        name=item.algo_package_name or "",
        version=item.algo_package_version or "",
        kind=kind,
        loaded=str(item.status or "").upper() == LOADED,
        progress=1.0,
        created=item.created_date or "",
    )


def _service(package: SeenPackage) -> SeenService:
    return SeenService(package_id=package.package_id)
