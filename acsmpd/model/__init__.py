"""Frozen values that decisions see: no SQL, no PascalCase, no sockets.

Rooms hand these to each other. Times are UTC milliseconds (`*_ms`) or seconds (`*_seconds`).
"""

from __future__ import annotations

from acsmpd.model.authorisation import AUTH_SERVER, brings_own, needs_authorisation
from acsmpd.model.ledger import (
    CARRIED,
    CopyRow,
    Device,
    InstanceRow,
    LoadRow,
    TaskRow,
)
from acsmpd.model.parties import (
    FAMILY_OF_TYPE,
    ONE_SERVICE,
    Family,
    Peer,
)
from acsmpd.model.seen import (
    Observed,
    SeenPackage,
    SeenService,
    SeenTask,
)
from acsmpd.model.steps import (
    CreateTask,
    DeleteCopy,
    DeleteTask,
    Load,
    LookTask,
    Outcome,
    PauseTask,
    Push,
    ResumeTask,
    Step,
    Unload,
    UpdateTask,
)
from acsmpd.model.work import (
    ACTIVE,
    LEAVING,
    RUNNING,
    SERVED,
    STARTING,
    STOPPING,
    WAITING,
    Ability,
    CardShare,
    ForeignStream,
    Place,
    Policy,
    PriorityClass,
    Scaling,
    Seat,
)

__all__ = [
    "ACTIVE",
    "AUTH_SERVER",
    "CARRIED",
    "FAMILY_OF_TYPE",
    "LEAVING",
    "ONE_SERVICE",
    "RUNNING",
    "SERVED",
    "STARTING",
    "STOPPING",
    "WAITING",
    "Ability",
    "CardShare",
    "CopyRow",
    "CreateTask",
    "DeleteCopy",
    "DeleteTask",
    "Device",
    "Family",
    "ForeignStream",
    "InstanceRow",
    "Load",
    "LoadRow",
    "LookTask",
    "Observed",
    "Outcome",
    "PauseTask",
    "Peer",
    "Place",
    "Policy",
    "PriorityClass",
    "Push",
    "ResumeTask",
    "Scaling",
    "Seat",
    "SeenPackage",
    "SeenService",
    "SeenTask",
    "Step",
    "TaskRow",
    "Unload",
    "UpdateTask",
    "brings_own",
    "needs_authorisation",
]
