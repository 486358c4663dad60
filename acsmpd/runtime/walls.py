"""What a container is made with: the walls around an image's program, as one body for the engine's interface.

No privilege, no capability, no new privileges, a read-only root, the account 65534, an IPC and PID namespace of
its own, no device but those of its cards. Of the host it sees the licence file (read-only) and one folder for
logs and other files of its own, which is its HOME. The network is the host's, as for programs: engines are
called on loopback and fetch their streams themselves. /tmp, and every place the image declares a volume for, is a
bounded tmpfs: an engine's anonymous volumes would have no bound.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from acsmpd.faults import Conflict
from acsmpd.runtime.values import EngineSpec, RuntimeSettings

ACCOUNT = (65534, 65534)
HOME = "/var/log/acsmpd"
LICENSE = "/run/acsmpd/license"
OWNER_LABEL, LOAD_LABEL = "acsmpd.owner", "acsmpd.load"
_TMP = "/tmp"  # noqa: S108 - a mount point inside the container
_VOLUMES_MAX = 16
_PROCESSES_OF_THE_ACCOUNT = 16384  # of all containers together: one account has them all
_OWN_IF_IMAGE_IS_SILENT = ("PATH", "LANG")


class ImageConfig(Struct):
    """What an image says about running it."""

    entrypoint: list[str] | None = field(name="Entrypoint", default=None)
    cmd: list[str] | None = field(name="Cmd", default=None)
    env: list[str] | None = field(name="Env", default=None)
    volumes: dict[str, Any] | None = field(name="Volumes", default=None)


class Walled(Struct, frozen=True, kw_only=True):
    """What of the host one container sees; no `home` where we could not clear away what another account wrote."""

    settings: RuntimeSettings
    home: Path | None
    license: Path | None


def container_body(
    spec: EngineSpec, shared: Walled, image: ImageConfig, owner: str, *, podman: bool
) -> dict[str, Any]:
    """The body of POST /containers/create. Conflict when neither package nor image has a command."""
    settings = shared.settings
    entrypoint, cmd = _command(spec, image)
    return {
        "Image": spec.image,
        "Entrypoint": entrypoint,
        "Cmd": cmd,
        "Env": _environment(spec, image, shared),
        "User": ":".join(str(number) for number in ACCOUNT),
        "Labels": {OWNER_LABEL: owner, LOAD_LABEL: spec.load_id},
        "Healthcheck": {"Test": ["NONE"]},  # its health is what the engine interface says
        "HostConfig": {
            "NetworkMode": "host",
            "IpcMode": "private",
            "Privileged": False,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges"],
            "RestartPolicy": {"Name": "no"},  # whether and when is decided elsewhere, as for programs
            "Memory": spec.memory_max_bytes,
            "MemorySwap": spec.memory_max_bytes,
            "PidsLimit": spec.pids_max,
            "ShmSize": settings.tmp_max_bytes,
            "Ulimits": _ulimits(settings),
            "LogConfig": _log(settings, podman=podman),
            "Mounts": _mounts(shared),
            "Tmpfs": _tmpfs(settings, image, shared),
            **_cards(spec, podman=podman),
        },
    }


def _command(spec: EngineSpec, image: ImageConfig) -> tuple[list[str] | None, list[str]]:
    if not spec.append:
        return [spec.argv[0]], list(spec.argv[1:])
    own = [*(image.cmd or ()), *spec.argv]
    if not own and not image.entrypoint:
        raise Conflict(
            f"cannot start engine {spec.load_id}: neither algo_runtime.cmd nor its image has a command"
        )
    return None, own


def _environment(spec: EngineSpec, image: ImageConfig, shared: Walled) -> list[str]:
    said = {line.partition("=")[0] for line in image.env or ()}
    env = {
        name: value
        for name, value in spec.env.items()
        if name not in _OWN_IF_IMAGE_IS_SILENT or name not in said
    }
    env |= {"HOME": HOME, "TMPDIR": _TMP}
    if shared.license is not None:
        env["AUTH_SERVER_ADDR"] = LICENSE
    return [f"{name}={value}" for name, value in env.items()]


def _ulimits(settings: RuntimeSettings) -> list[dict[str, Any]]:
    """Processes are bounded by the group; left unsaid, Podman raises their number, which not every box lets it do."""
    limits = {
        "core": 0, "nofile": settings.open_files_max, "fsize": settings.scratch_max_bytes,
        "nproc": _PROCESSES_OF_THE_ACCOUNT,
    }  # fmt: skip
    return [{"Name": name, "Soft": most, "Hard": most} for name, most in limits.items()]


def _log(settings: RuntimeSettings, *, podman: bool) -> dict[str, Any]:
    """Podman turns its one file over by itself."""
    more = {} if podman else {"max-file": "2"}
    return {
        "Type": "k8s-file" if podman else "json-file",
        "Config": {"max-size": str(settings.log_max_bytes), **more},
    }


def _mounts(shared: Walled) -> list[dict[str, Any]]:
    wanted = ((shared.license, LICENSE, True), (shared.home, HOME, False))
    return [
        {"Type": "bind", "Source": str(source), "Target": target, "ReadOnly": read_only}
        for source, target, read_only in wanted
        if source is not None
    ]


def _tmpfs(settings: RuntimeSettings, image: ImageConfig, shared: Walled) -> dict[str, str]:
    if len(image.volumes or ()) > _VOLUMES_MAX:
        raise Conflict(f"cannot run an image with {len(image.volumes or ())} volumes: at most {_VOLUMES_MAX}")
    volumes = sorted({_volume(place) for place in image.volumes or ()} - {HOME, _TMP, LICENSE})
    places = [_TMP, *volumes, *([] if shared.home is not None else [HOME])]
    return dict.fromkeys(places, f"rw,nosuid,nodev,mode=1777,size={settings.tmp_max_bytes}")


def _volume(place: str) -> str:
    """The one spelling of it: an engine that knows the place by another gives it a volume without a bound."""
    clean = posixpath.normpath(f"/{place.lstrip('/')}")
    if not place.startswith("/") or clean == "/":
        raise Conflict(
            f"cannot run an image with the volume {place[:200]!r}: it is no absolute path of a folder"
        )
    return clean


def _cards(spec: EngineSpec, *, podman: bool) -> dict[str, Any]:
    """NVIDIA's own way, the assigned cards alone with their driver's files; Podman ignores it without a word."""
    if spec.card_uuids and spec.devices and not podman:
        wanted = {"Driver": "nvidia", "DeviceIDs": list(spec.card_uuids), "Capabilities": [["gpu"]]}
        return {"DeviceRequests": [wanted]}
    return {"Devices": _nodes(spec.devices)}


def _nodes(devices: Sequence[Path]) -> list[dict[str, str]]:
    return [
        {"PathOnHost": str(node), "PathInContainer": str(node), "CgroupPermissions": "rw"} for node in devices
    ]
