"""Which names of an engine's environment a request may set, and which a package may (conventions section 5)."""

from __future__ import annotations

from collections.abc import Collection

_ALWAYS_ASKABLE = frozenset({"LOG_LEVEL", "AUTH_SERVER_ADDR"})
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
