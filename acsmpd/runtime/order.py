"""The order for launch.py: what an engine's last steps before its program are to be."""

from __future__ import annotations

import os
from typing import Any

import psutil

from acsmpd.runtime import sandbox
from acsmpd.runtime.cgroup import Group, Mounts
from acsmpd.runtime.values import EngineSpec, RuntimeSettings


def build_order(
    way: sandbox.Way,
    settings: RuntimeSettings,
    mounts: Mounts,
    spec: EngineSpec,
    places: sandbox.Places,
    group: Group | None,
) -> dict[str, Any]:
    """JSON-ready; complete but for the daemon's pid, which the spawn adds."""
    walled = way.kind == sandbox.BWRAP
    env = _placed(spec.env, places, private_tmp=walled)
    argv, options = sandbox.command(way, settings, places, spec.argv, env)
    covers = way.kind == sandbox.USER
    return {
        "mode": "exec" if walled else "guard",
        "argv": argv,
        "options": options,
        "env": {} if walled else env,
        "chdir": "/" if walled else str(places.work),
        "account": None if walled else way.account,
        "hide": str(settings.data_dir.resolve()) if covers else "",
        "keep": _kept(places) if covers else [],
        "cgroup_procs": [str(file) for file in group.procs_files] if group else [],
        "limits": _limits(way, settings, mounts, spec),
    }


def _limits(way: sandbox.Way, settings: RuntimeSettings, mounts: Mounts, spec: EngineSpec) -> dict[str, int]:
    """rlimits; those for memory and processes stand in where no control group does it.

    DATA counts private writable memory, process by process; AS would count every mapped file and every
    reserved range as well, of which engines have many.
    """
    limits = {"CORE": 0, "NOFILE": settings.open_files_max, "FSIZE": settings.scratch_max_bytes}
    if mounts.memory is None:
        limits["DATA"] = spec.memory_max_bytes
    if mounts.pids is None:
        limits["NPROC"] = _threads_of(way.account[0] if way.account else os.geteuid()) + spec.pids_max
    return limits


def _placed(env: dict[str, str], places: sandbox.Places, *, private_tmp: bool) -> dict[str, str]:
    """The environment with what depends on where things lie."""
    placed = {**env, "HOME": str(places.scratch)}
    if not private_tmp:
        placed["TMPDIR"] = str(places.scratch)
    if places.license is not None:
        placed["AUTH_SERVER_ADDR"] = str(places.license)
    return placed


def _kept(places: sandbox.Places) -> list[tuple[str, bool]]:
    """(path, writable) of what stays visible when the data directory is covered."""
    kept = [(str(places.work.resolve()), False), (str(places.scratch.resolve()), True)]
    return [*kept, (str(places.license.resolve()), False)] if places.license else kept


def _threads_of(uid: int) -> int:
    """NPROC counts every thread of the account, ours and other engines' too."""
    found = psutil.process_iter(["uids", "num_threads"])
    return sum(p.info["num_threads"] or 0 for p in found if p.info["uids"] and p.info["uids"].real == uid)
