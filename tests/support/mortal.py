"""acsmpd as a process that ends, as in a power cut, at a named point: `python -m tests.support.mortal POINT`.

The points are laid around the real functions from outside; the daemon knows nothing of them.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from acsmpd.cli import cli
from acsmpd.engine.deployments import Deployments
from acsmpd.packages.intake import Incoming, Intake
from acsmpd.store import migrations, packages

STEPS = ("push", "load", "create_task", "pause_task", "resume_task", "delete_task", "unload", "delete_copy")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def lay(owner: Any, name: str, *, before: bool, when: Callable[..., bool] = lambda *_: True) -> None:
    """End the process before (or after) the function runs with arguments of which `when` is true."""
    real = getattr(owner, name)

    def around(*arguments: Any, **more: Any) -> Any:
        hit = when(*arguments)
        if hit and before:
            die()
        value = real(*arguments, **more)
        if hit:
            die()
        return value

    setattr(owner, name, around)


def at_step(step: str) -> Callable[..., bool]:
    return lambda _self, item, *_rest: item.rung.step == step


def second_block(incoming: Incoming, _block: bytes) -> bool:
    return incoming._size > 0


def in_migration() -> None:
    *earlier, last = migrations.MIGRATIONS

    def half_way(database: Any) -> None:
        last(database)
        die()

    migrations.MIGRATIONS = (*earlier, half_way)


POINTS: dict[str, Callable[[], None]] = {
    "upload under way": lambda: lay(Incoming, "write", before=True, when=second_block),
    "before the package is renamed": lambda: lay(Intake, "publish", before=True),
    "after the package is renamed": lambda: lay(Intake, "publish", before=False),
    "before the package is committed": lambda: lay(packages, "put", before=False),
    "before the replaced package goes": lambda: lay(Intake, "remove", before=True),
    "in a migration": in_migration,
    **{
        f"{s}: after the intent": lambda s=s: lay(Deployments, "_call", before=True, when=at_step(s))
        for s in STEPS
    },
    **{
        f"{s}: after the device's answer": lambda s=s: lay(
            Deployments, "_call", before=False, when=at_step(s)
        )
        for s in STEPS
    },
    **{
        f"{s}: before the outcome is committed": lambda s=s: lay(
            Deployments, "_record", before=False, when=lambda _self, _tx, item, *_: item.rung.step == s
        )
        for s in STEPS
    },
}


if __name__ == "__main__":
    POINTS[sys.argv[1]]()
    cli(["serve"])
