"""The environment of an engine, built from nothing (conventions section 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from acsmpd.decide.environment import is_reserved_to_us, refused_names
from acsmpd.faults import InvalidField

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATH = "/usr/bin:/bin"


def engine_environment(
    *,
    service_id: str,
    port: int,
    declared: Mapping[str, str],
    requested: Mapping[str, str] | None = None,
    auth_server: str = "",
    xpu_type: str = "",
    card_indexes: Sequence[int] = (),
    card_uuids: Sequence[str] = (),
) -> dict[str, str]:
    """The complete environment of one engine; nothing of the daemon's own gets in.

    `declared` is the package's env with its defaults, `requested` the Env of the load. The place dependent
    names (HOME, TMPDIR, the path of a licence file in AUTH_SERVER_ADDR) are set at the start.
    CUDA counts cards in an order of its own, so it is told UUIDs where they are known.
    """
    indexes = ",".join(str(index) for index in card_indexes)
    visible = ",".join(card_uuids) if card_uuids and all(card_uuids) else indexes
    env = {"PATH": PATH, "LANG": "C.UTF-8", "LOGNAME": "engine"}
    env.update({name: value for name, value in declared.items() if not is_reserved_to_us(name)})
    refused = refused_names(declared, requested or {})
    env.update({name: value for name, value in (requested or {}).items() if name not in refused})
    if auth_server:
        env["AUTH_SERVER_ADDR"] = auth_server
    env.update(PORT=str(port), XPU_TYPE=xpu_type, XPU_INDEX=indexes)
    env.update(CUDA_VISIBLE_DEVICES=visible, ACSMP_SERVICE_ID=service_id)
    _check(env)
    return env


def _check(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not _NAME.fullmatch(name):
            raise InvalidField(f"cannot set the environment variable {name[:80]!r}: not a name")
        if "\0" in value:
            raise InvalidField(f"cannot set the environment variable {name}: its value holds a NUL")
