"""Every row of the standard, and our extensions: the one table everything else is made from."""

from __future__ import annotations

from acsmpd.spec.operation import Operation
from acsmpd.spec.rows import access, acsmp, cad, cap, ccp, extensions, planned, scheduling

OPERATIONS: tuple[Operation, ...] = (
    *acsmp.PACKAGES,
    *acsmp.SERVICES,
    *acsmp.PLANS,
    *acsmp.INSTANCES,
    *access.AUTHORISATION,
    *access.COMPUTILITY,
    *extensions.SYSTEM,
    *extensions.SUBJECTS,
    *scheduling.ROLLOUTS,
    *scheduling.POLICIES,
    *scheduling.PIPELINES,
    *planned.OPERATIONS,
    *extensions.PLAIN,
    *cad.OPERATIONS,
    *cap.OPERATIONS,
    *ccp.OPERATIONS,
)

BY_ID: dict[str, Operation] = {operation.id: operation for operation in OPERATIONS}
