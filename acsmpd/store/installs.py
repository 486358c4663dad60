"""Wishes for packages and services on devices: what the calls of tables 7 and 11 and a rollout write alike."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from acsmpd import faults
from acsmpd.model import (
    AUTH_SERVER,
    ONE_SERVICE,
    PULLS_IMAGES,
    Device,
    Family,
    brings_own,
    image_trouble,
    needs_authorisation,
)
from acsmpd.store import authservers, devices, licences, packages, services
from acsmpd.store.database import Tx
from acsmpd.store.tables import Load


class Wanted(Struct, frozen=True, kw_only=True):
    """How a service is to be: `env` as (Name, Value) objects, `license_url` the offline form of an authorisation."""

    env: list[dict[str, str]]
    license_url: str | None = None
    replicas: int = 1
    origin: str = ""
    host: str = ""
    xpu_type: str = ""


class Installed(Struct, frozen=True):
    """`is_new`: False for a service that stood there already."""

    service_id: str
    is_new: bool


def serving_device(tx: Tx, code: str) -> Device:
    """The computility, if it can hold packages and services; NotFound or NoServicesHere otherwise."""
    return serving(devices.device(tx, code), code)


def serving(device: Device | None, code: str) -> Device:
    """The same of one that was looked up."""
    if device is None:
        raise faults.NotFound(f"no computility {code}")
    if not device.support_services:
        raise faults.NoServicesHere(f"computility {code} takes no packages and services, only tasks")
    return device


def package_of(tx: Tx, package_id: str) -> dict[str, Any]:
    row = packages.get(tx, package_id)
    if row is None:
        raise faults.NotFound(f"no package {package_id}")
    return row


def check_takes(tx: Tx, device: Device, package_id: str) -> None:
    """NotSupported for a package a computility can never have: one without an image, where images are pulled.

    NotFound for one that is not imported.
    """
    manifest = package_of(tx, package_id)["manifest"]
    trouble = image_trouble(manifest) if device.family in PULLS_IMAGES else ""
    if trouble:
        raise faults.NotSupported(f"computility {device.code} cannot have package {package_id}: {trouble}")


def install(tx: Tx, device: Device, package_id: str, wanted: Wanted, now_ms: int) -> Installed:
    """Wish for a service and for its package file; on a CAD the one that stands there already is taken.

    One that somebody else loaded there becomes ours. Raises before anything is written.
    """
    check_takes(tx, device, package_id)
    _check_authorised(tx, package_id, device.code, wanted, now_ms)
    if device.family in ONE_SERVICE:
        existing = _existing(tx, package_id, device, wanted, now_ms)
        if existing:
            return Installed(existing, is_new=False)
    service_id = str(uuid.uuid4())
    services.want_copy(tx, package_id, device.code, now_ms, asked=False, origin=wanted.origin)
    services.add_service(
        tx, id=service_id, package_id=package_id, env=wanted.env, license_url=wanted.license_url,
        replicas=wanted.replicas, origin=wanted.origin, created_ms=now_ms, host=wanted.host,
        xpu_type=wanted.xpu_type,
    )  # fmt: skip
    for number in range(wanted.replicas if device.family is Family.LOCAL else 1):
        services.add_replica(tx, service_id, package_id, device.code, number, now_ms)
    return Installed(service_id, is_new=True)


def spread(tx: Tx, package_id: str, codes: Sequence[str], wanted: Wanted, now_ms: int) -> str:
    """Wish for one service with a load for each of these computilities, named once for each; its AlgoServiceID.

    A platform that keeps replicas itself has all of them by its load if that is the only one, else one.
    """
    for code in dict.fromkeys(codes):
        check_takes(tx, serving_device(tx, code), package_id)
        _check_authorised(tx, package_id, code, wanted, now_ms)
        services.want_copy(tx, package_id, code, now_ms, asked=False, origin=wanted.origin)
    service_id = str(uuid.uuid4())
    services.add_service(
        tx, id=service_id, package_id=package_id, env=wanted.env, license_url=wanted.license_url,
        replicas=wanted.replicas, origin=wanted.origin, created_ms=now_ms, host=wanted.host,
        xpu_type=wanted.xpu_type,
    )  # fmt: skip
    there: Counter[str] = Counter()
    for code in codes:
        services.add_replica(tx, service_id, package_id, code, there[code], now_ms)
        there[code] += 1
    return service_id


def _check_authorised(tx: Tx, package_id: str, code: str, wanted: Wanted, now_ms: int) -> None:
    """A package that needs authorisation and would find none is refused before anything is delivered."""
    package = package_of(tx, package_id)
    if brings_own(wanted.env, wanted.license_url) or not needs_authorisation(package["manifest"]):
        return
    provider = package["provider"]
    if not (licences.given(tx, provider, code, now_ms) or authservers.default_of(tx, provider)):
        raise faults.Conflict(
            f"package {package_id} needs authorisation: register a server of provider {provider!r} (POST "
            f"/ACSMP/AuthServer), import a licence (POST /ACSMP/License), or give {AUTH_SERVER} in Env or LicenseFile"
        )


def _existing(tx: Tx, package_id: str, device: Device, wanted: Wanted, now_ms: int) -> str:
    """The service that already stands for this package on this device, or ""."""
    if wanted.replicas > 1:
        raise faults.ReplicasNotPossible(
            f"computility {device.code} runs one replica of a package, not {wanted.replicas}"
        )
    env = wanted.env
    for load in services.loads(tx, Load.package_id == package_id, Load.device == device.code):
        service = services.service(tx, load.service_id)
        if service is not None and service["origin"] != wanted.origin:
            owner = f"platform {service['origin']}" if service["origin"] else "this site"
            raise faults.Conflict(
                f"service {load.service_id} of the package was loaded on {device.code} by {owner}"
            )
        if not load.wanted:
            raise faults.Conflict(f"service {load.service_id} of the package is still being unloaded there")
        if env and not load.ours:
            raise faults.Conflict(
                f"service {load.service_id} of the package runs on {device.code}, loaded by somebody else; with "
                "which Env is not known: ask for it without Env to adopt it, then change it"
            )
        if service is not None and env and service["env"] != env:
            raise faults.Conflict(
                f"service {load.service_id} of the package runs on {device.code} with another Env; "
                f"change it by PUT /ACSMP/AlgoServices/{load.service_id}"
            )
        services.change_load(tx, load.id, parked=False, ours=True, changed_ms=now_ms)
        services.want_copy(tx, package_id, device.code, now_ms, asked=False)
        return load.service_id
    return ""
