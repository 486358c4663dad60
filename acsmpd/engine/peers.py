"""From a computility's record to a Peer that can be called, and the addresses we hand to it."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any
from urllib.parse import urlsplit

from acsmpd.engine.core import Core
from acsmpd.model import HAS_CLUSTER, Family, Peer
from acsmpd.security.hosts import is_plain_host
from acsmpd.store import devices, services
from acsmpd.store.database import Tx


def peer_of(core: Core, tx: Tx, code: str) -> Peer | None:
    """The computility as a Peer with its current token, or None if it is not known."""
    row = devices.get(tx, code)
    if row is None:
        return None
    token = next((one for one in devices.tokens(tx, code) if one["role"] == "current"), None)
    sealed = row["password_sealed"]
    return Peer(
        code=code,
        family=Family(row["family"]),
        url=url_of(row),
        prefix=row["prefix"],
        auth=row["auth"],
        token=core.sealer.open(token["sealed"]) if token else None,
        username=row["username"],
        password=core.sealer.open(sealed) if sealed and row["auth"] == "basic" else "",
        pin=row["pin"],
        usage_unit=row["usage_unit"],
        cluster=row["cluster"],
        nodes=tuple(row["nodes"] or ()),
        namespaces=_namespaces(tx, row),
        via=(core.settings.site_code,),
    )


def _namespaces(tx: Tx, row: dict[str, Any]) -> tuple[str, ...]:
    usual = row["namespace"] or "default"
    if Family(row["family"]) not in HAS_CLUSTER:
        return (usual,)
    return (usual, *sorted(services.namespaces(tx, row["code"]) - {usual}))


def url_of(row: dict[str, Any]) -> str:
    """scheme://host:port of a record, "" while no address is known or what is known is none."""
    if not is_plain_host(row["ip"]):
        return ""
    host = f"[{row['ip']}]" if ":" in row["ip"] else row["ip"]
    return f"{row['scheme']}://{host}:{row['port']}"


def base_url_for(core: Core, address: str) -> str:
    """Our own base address as the party at `address` can reach it (settings server.advertise)."""
    for entry in core.settings.server.advertise:
        if _within(address, entry.network):
            return entry.url.rstrip("/")
    host = _local_address_towards(address) or core.settings.server.host
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{core.port() or core.settings.server.port}"


def _within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _local_address_towards(address: str) -> str:
    """The local address the kernel would use towards another; no packet is sent."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address or "127.0.0.1", 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def package_link(core: Core, base: str, package_id: str, code: str, generation: int) -> str:
    """A link that is good while this copy is wanted on this device (conventions section 2)."""
    signature = core.signer.sign("package", package_id, code, str(generation))
    return f"{base}/ACSMP/Links/Packages/{package_id}/{code}/{generation}/{signature}"


def program_link(core: Core, base: str, package_id: str, code: str, generation: int) -> str:
    """The executable of a package alone; good as long as the link of the package is."""
    signature = core.signer.sign("program", package_id, code, str(generation))
    return f"{base}/ACSMP/Links/Programs/{package_id}/{code}/{generation}/{signature}"


def result_link(core: Core, base: str, instance_id: str) -> str:
    """The receiver of one instance's results."""
    return f"{base}/ACSMP/Results/{instance_id}/{core.signer.sign('result', instance_id)}"


def license_link(core: Core, base: str, license_id: int, code: str) -> str:
    """A link that is good while a package of the provider is wanted on this device and the licence is there."""
    signature = core.signer.sign("license", str(license_id), code)
    return f"{base}/ACSMP/Links/Licenses/{license_id}/{code}/{signature}"


def picture_link(core: Core, base: str, instance_id: str) -> str:
    """The picture an instance was made to look at; good while its run is under way."""
    return f"{base}/ACSMP/Links/Pictures/{instance_id}/{core.signer.sign('picture', instance_id)}"


def instance_of_link(core: Core, url: str) -> str:
    """The instance a receiver of ours belongs to, "" for an address we did not sign."""
    try:
        parts = urlsplit(url).path.split("/")
    except ValueError:
        return ""
    if len(parts) == 5 and parts[1:3] == ["ACSMP", "Results"]:
        instance_id, signature = parts[3], parts[4]
        return instance_id if core.signer.verify(signature, "result", instance_id) else ""
    return ""
