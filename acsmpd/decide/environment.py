"""Which names of an engine's environment a request may set, and which a package may (conventions section 5)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from acsmpd import faults
from acsmpd.model import AUTH_SERVER

_ALWAYS_ASKABLE = frozenset({"LOG_LEVEL", AUTH_SERVER})
_OURS = ("PORT", "PATH", "HOME", "TMPDIR")
_OURS_BY_PREFIX = ("LD_", "PYTHON", "XPU_", "CUDA_", "ACSMP_")
_NEVER_A_PACKAGES_BY_PREFIX = ("XPU_", "CUDA_", "ACSMP_")


def refused_names(declared: Collection[str], requested: Collection[str]) -> list[str]:
    """The names of a request's Env that an engine will not get, sorted."""
    return sorted({*undeclared_names(declared, requested), *reserved_names(requested)})


def undeclared_names(declared: Collection[str], requested: Collection[str]) -> list[str]:
    """Those that the package does not declare and that do not stand open to every request, sorted."""
    return sorted(set(requested) - set(declared) - _ALWAYS_ASKABLE)


def reserved_names(requested: Collection[str]) -> list[str]:
    """Those that no request may set, declared or not, sorted."""
    return sorted({name for name in requested if name in _OURS or name.startswith(_OURS_BY_PREFIX)})


def is_reserved_to_us(name: str) -> bool:
    """Whether not even a package may set it; LD_* and PYTHON* stand open to the package, which is code anyway."""
    return name in _OURS or name.startswith(_NEVER_A_PACKAGES_BY_PREFIX)


def check_local(package: Mapping[str, Any], env: Sequence[Mapping[str, str]]) -> None:
    """What this box itself cannot take is refused at once, with words. `env`: (Name, Value) objects of a request."""
    names = [item["Name"] for item in env]
    unknown = undeclared_names([name for name, _ in package["manifest"].get("env") or []], names)
    if unknown:
        raise faults.InvalidField(
            f"$.Env: {', '.join(unknown)[:200]} is not declared in the package's algo.yaml"
        )
    ours = reserved_names(names)
    if ours:
        raise faults.InvalidField(f"$.Env: {', '.join(ours)[:200]} is set by this box, not by a request")
