"""The environment of an engine, built from nothing (conventions section 5)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from acsmpd.faults import InvalidField

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ALWAYS_ASKABLE = frozenset({"LOG_LEVEL", "AUTH_SERVER_ADDR"})
_OURS = ("PORT", "PATH", "HOME", "TMPDIR")
_OURS_BY_PREFIX = ("LD_", "PYTHON", "XPU_", "CUDA_", "ACSMP_")
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
    env.update({name: value for name, value in declared.items() if not _belongs_to_us(name, of_package=True)})
    env.update(_allowed(declared, requested or {}))
    if auth_server:
        env["AUTH_SERVER_ADDR"] = auth_server
    env.update(PORT=str(port), XPU_TYPE=xpu_type, XPU_INDEX=indexes)
    env.update(CUDA_VISIBLE_DEVICES=visible, ACSMP_SERVICE_ID=service_id)
    _check(env)
    return env


def refused_names(declared: Mapping[str, str], requested: Mapping[str, str]) -> list[str]:
    """The names of a request's Env that an engine will not get, sorted, to be told to the caller."""
    return sorted(set(requested) - set(_allowed(declared, requested)))


def _allowed(declared: Mapping[str, str], requested: Mapping[str, str]) -> dict[str, str]:
    known = _ALWAYS_ASKABLE | set(declared)
    return {
        name: value
        for name, value in requested.items()
        if name in known and not _belongs_to_us(name, of_package=False)
    }


def _belongs_to_us(name: str, *, of_package: bool) -> bool:
    """LD_* and PYTHON* stand open to the package, which is code anyway, but not to a request."""
    prefixes = ("XPU_", "CUDA_", "ACSMP_") if of_package else _OURS_BY_PREFIX
    return name in _OURS or name.startswith(prefixes)


def _check(env: Mapping[str, str]) -> None:
    for name, value in env.items():
        if not _NAME.fullmatch(name):
            raise InvalidField(f"cannot set the environment variable {name[:80]!r}: not a name")
        if "\0" in value:
            raise InvalidField(f"cannot set the environment variable {name}: its value holds a NUL")
