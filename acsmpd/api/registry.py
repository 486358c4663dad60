"""Which function handles which row. A handler without a row, or a served row without one, stops the start."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

from acsmpd.api.call import Call
from acsmpd.api.platform import Platform
from acsmpd.spec.tables import BY_ID

Handler = Callable[[Platform, Call], Any]
HANDLERS: dict[str, Handler] = {}


def handles(*operation_ids: str) -> Callable[[Handler], Handler]:
    """Declare a function as the handler of these rows."""

    def declare(handler: Handler) -> Handler:
        for operation_id in operation_ids:
            if operation_id in HANDLERS:
                raise ValueError(f"{operation_id} has two handlers")
            HANDLERS[operation_id] = handler
        return handler

    return declare


def check_complete(modules: Collection[ModuleType]) -> None:
    """Raise ValueError naming every row and handler that do not belong together."""
    assert modules  # noqa: S101  (naming them is what loaded them)
    served = {row.id for row in BY_ID.values() if row.served and not row.planned}
    stray, lacking = sorted(HANDLERS.keys() - served), sorted(served - HANDLERS.keys())
    if stray or lacking:
        raise ValueError(f"handlers without a served row: {stray}; served rows without a handler: {lacking}")
