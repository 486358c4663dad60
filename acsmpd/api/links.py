"""Signed links: a package file for the one device it was made for, a picture for the one instance (conventions
section 2)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from acsmpd import faults
from acsmpd.api.call import Call, FileReply
from acsmpd.api.platform import Platform
from acsmpd.api.registry import handles
from acsmpd.api.results import picture_reply
from acsmpd.packages.executable import place_of
from acsmpd.store import alarms, devices, licences, packages, pipelines, results, services
from acsmpd.store.alarms import STEP_REFUSED


@handles("acsmp.download_package")
def download(platform: Platform, call: Call) -> FileReply:
    """The file, while the copy is wanted there at this generation and the device is registered; else 404."""
    copy, package = _wanted(platform, call, "package")
    return FileReply(
        Path(package["path"]),
        "application/x-tar",
        download_name=f"{package['id']}_V{package['version']}.tar",
        read=_note(platform, copy["id"]),
        closed=lambda: _closed(platform, copy["id"], package["md5"]),
    )


@handles("acsmp.download_program")
def program(platform: Platform, call: Call) -> FileReply:
    """The executable alone, once it was made, for as long as the link of the package is good; else 404."""
    copy, package = _wanted(platform, call, "program")
    path = place_of(platform.data / "services" / "executables", package["id"], package["md5"])
    if not path.is_file():
        raise faults.NotFound("this link is not valid, or not any more")
    return FileReply(
        path,
        "application/octet-stream",
        download_name=f"{package['id']}-program",
        read=_note(platform, copy["id"]),
    )


def _wanted(platform: Platform, call: Call, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The copy and the package a link of this kind was made for."""
    package_id, code = call.path["AlgoFilePackageID"], call.path["ComputilityCode"]
    generation = call.path["Generation"]
    signed = platform.signer.verify(call.path["Signature"], kind, package_id, code, str(generation))
    with platform.store.read() as tx:
        copy = services.copy(tx, package_id, code) if signed else None
        device, package = devices.get(tx, code), packages.get(tx, package_id)
    wanted = copy is not None and copy["wanted"] and copy["generation"] == generation
    if not wanted or device is None or not device["registered"] or package is None or copy is None:
        raise faults.NotFound("this link is not valid, or not any more")
    return copy, package


def _note(platform: Platform, copy_id: int) -> Callable[[int, int, int], None]:
    """Which bytes of a file left for a device."""
    return lambda first, end, size: platform.transfers.read(
        copy_id, first, end, size, platform.clock.now().mono
    )


@handles("acsmp.download_license")
def licence(platform: Platform, call: Call) -> FileReply:
    """A licence file, while it is there, its device is registered, and a package of the provider is wanted on it."""
    number, code = call.path["ID"], call.path["ComputilityCode"]
    row = None
    if platform.signer.verify(call.path["Signature"], "license", str(number), code):
        with platform.store.read() as tx:
            device = devices.get(tx, code)
            if device is not None and device["registered"]:
                row = licences.wanted_on(tx, number, code)
    if row is None:
        raise faults.NotFound("this link is not valid, or not any more")
    return FileReply(
        platform.data / row["path"], "application/octet-stream", download_name=f"license-{number}"
    )


@handles("acsmp.download_picture")
def picture(platform: Platform, call: Call) -> FileReply:
    """The picture a pipeline hands on, while its run is under way; else 404."""
    instance_id, path = call.path["InstanceID"], None
    if platform.signer.verify(call.path["Signature"], "picture", instance_id):
        with platform.store.read() as tx:
            run = pipelines.run_of(tx, instance_id)
            if run is not None and run["ended_ms"] is None and run["picture"] is not None:
                path = results.pictures_of(tx, [run["result_id"]])[run["result_id"]].get(run["picture"])
    if path is None:
        raise faults.NotFound("this link is not valid, or not any more")
    return picture_reply(platform, path, "the picture")


def _closed(platform: Platform, copy_id: int, md5: str) -> None:
    """Once the device has read every byte: the nearest thing to a download report the CAD set offers."""
    transfer = platform.transfers.of(copy_id)
    if transfer is None or not transfer.whole:
        return
    now = platform.clock.now().wall_ms
    with platform.store.write(durable=False) as tx:
        if services.arrived(tx, copy_id, md5, now):
            alarms.end_alarm(tx, STEP_REFUSED, f"copy:{copy_id}", now)
    platform.transfers.forget(copy_id)
    platform.wake()
