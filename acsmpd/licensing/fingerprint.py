"""The device fingerprint of scripts/collect-fingerprint.sh, signed. docs/fingerprint.md tells its form."""

from __future__ import annotations

import base64
import json

from acsmpd import faults
from acsmpd.security import signing, sm2
from acsmpd.security.sm2 import Sm2Key
from acsmpd.spec.json_text import decode

FORMAT, VERSION = "acsmpd-fingerprint", 1
MAX_BYTES = 65_536
_END = b"\n}\n"
_OURS = ("SiteCode", "PublicKey", "Signature")
"""Members that come with the signature, each at the start of a line."""


def signed(content: bytes, site_code: str, key: Sm2Key) -> bytes:
    """The same with SiteCode (null where the site has none), PublicKey and Signature, which covers every byte before
    its own line. InvalidField when the content is no fingerprint, or is signed already."""
    _check(content)
    lines = {
        "SiteCode": site_code or None,
        "PublicKey": base64.b64encode(sm2.spki(key.public)).decode("ascii"),
    }
    told = "".join(f',\n"{name}": {json.dumps(value)}' for name, value in lines.items())
    covered = content.removesuffix(_END) + f"{told},\n".encode()
    signature = base64.b64encode(signing.signature(key, covered)).decode("ascii")
    return covered + f'"Signature": "{signature}"\n}}\n'.encode()


def _check(content: bytes) -> None:
    if len(content) > MAX_BYTES:
        raise faults.InvalidField(f"it has more than {MAX_BYTES} bytes")
    try:
        value = decode(content)
    except faults.Fault as fault:
        raise faults.InvalidField(f"it is no device fingerprint: {fault.message}") from fault
    if not isinstance(value, dict) or value.get("Format") != FORMAT:
        raise faults.InvalidField(f"it is no device fingerprint: its Format is not {FORMAT}")
    if value.get("Version") != VERSION:
        raise faults.InvalidField(
            f"Version {value.get('Version')!r} of the device fingerprint is not known here"
        )
    starts = tuple(f'"{name}"'.encode() for name in _OURS)
    if set(_OURS) & value.keys() or any(line.startswith(starts) for line in content.split(b"\n")):
        raise faults.InvalidField("it is signed already; collect a new one")
    if not content.startswith(b"{\n") or not content.endswith(_END):
        raise faults.InvalidField(
            "it is no device fingerprint: each member has to stand on a line of its own"
        )
