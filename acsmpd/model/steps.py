"""Steps: what the engine has a facility do, and what comes of it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from acsmpd.model.seen import SeenTask


class Push(Struct, frozen=True, kw_only=True, tag="push"):
    """Deliver a package file. `path` is the file on our disk (local computility), `url` its signed link."""

    package_id: str
    url: str
    path: str
    md5: str
    auth_address: str | None = None
    license_url: str | None = None
    image: str = ""  # where a facility that takes no file pulls it from


class PushProgram(Struct, frozen=True, kw_only=True, tag="push_program"):
    """Deliver the executable of a package whose file arrived without it. `path` and `package_md5` are of that file."""

    package_id: str
    url: str
    path: str
    package_md5: str


class DeleteCopy(Struct, frozen=True, kw_only=True, tag="delete_copy"):
    """Remove a package file that our ledger says we put there."""

    package_id: str


class Load(Struct, frozen=True, kw_only=True, tag="load"):
    """Start an algorithm service from a delivered package.

    `xpu_type`: a card as the facility itself spells it. `host`: address of the node it is bound to, "" for any.
    `facility_id`: of the service that stood there for this load before and failed; it goes first.
    """

    load_id: str
    service_id: str
    package_id: str
    env: tuple[tuple[str, str], ...] = ()
    args: str | None = None
    license_url: str | None = None
    license_path: str | None = None  # the same file on our disk (local computility)
    auth_address: str | None = None
    xpu_index: tuple[int, ...] = ()  # cards of this box the service was given
    xpu_type: str = ""
    card_uuids: tuple[str, ...] = ()
    replicas: int = 1
    host: str = ""
    facility_id: str = ""
    image: str = ""  # these three where the facility knows nothing of the package but its image
    command: tuple[str, ...] = ()
    xpu: float = 0.0  # cards one replica takes


class Unload(Struct, frozen=True, kw_only=True, tag="unload"):
    """`again`: an earlier try may have come through."""

    load_id: str
    service_id: str
    package_id: str
    facility_id: str
    again: bool = False


class Scale(Struct, frozen=True, kw_only=True, tag="scale"):
    """Another number of replicas for a service that stays."""

    load_id: str
    facility_id: str
    replicas: int


class CreateTask(Struct, frozen=True, kw_only=True, tag="create_task"):
    """Create and start a task. `info` is the AlgoTaskInfo to send; its ID is our instance id."""

    info: dict[str, Any]
    restart_policy: str  # ALWAYS | NEVER
    facility_service_id: str | None = None
    load_id: str | None = None


class UpdateTask(Struct, frozen=True, kw_only=True, tag="update_task"):
    task_id: str
    info: dict[str, Any]
    restart_policy: str
    facility_service_id: str | None = None
    load_id: str | None = None


class ResumeTask(Struct, frozen=True, kw_only=True, tag="resume_task"):
    task_id: str
    load_id: str | None = None


class PauseTask(Struct, frozen=True, kw_only=True, tag="pause_task"):
    task_id: str
    load_id: str | None = None


class DeleteTask(Struct, frozen=True, kw_only=True, tag="delete_task"):
    task_id: str
    load_id: str | None = None


class LookTask(Struct, frozen=True, kw_only=True, tag="look_task"):
    """Ask for one task by the device's id; a clear 'not there' is an Outcome with gone=True."""

    task_id: str
    load_id: str | None = None


Step = (
    Push
    | PushProgram
    | DeleteCopy
    | Load
    | Unload
    | Scale
    | CreateTask
    | UpdateTask
    | ResumeTask
    | PauseTask
    | DeleteTask
    | LookTask
)


class Outcome(Struct, frozen=True, kw_only=True):
    """What a performed step gave. `facility_id`: the device's id of the created thing, "" if it told none."""

    facility_id: str = ""
    task: SeenTask | None = None
    gone: bool = False
    progress: float | None = None
    replicas: int | None = None  # as it was told to have
