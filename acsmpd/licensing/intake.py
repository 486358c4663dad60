"""One licence: what it has to be, and how it is taken in."""

from __future__ import annotations

from datetime import tzinfo
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from acsmpd import faults
from acsmpd.licensing import files
from acsmpd.security.sm3 import sm3_hex
from acsmpd.spec import times
from acsmpd.spec.messages import licenses as messages
from acsmpd.spec.operation import MIB
from acsmpd.spec.reading import read_strict
from acsmpd.store import devices, licences, packages
from acsmpd.store.database import Store, Tx

MAX_BYTES = 2 * MIB
"""A licence file (table E.1: 2 MB)."""


class Licence(Struct, frozen=True):
    """A licence file with what is said of it, judged."""

    content: bytes
    sm3: str
    provider: str
    device: str
    """"" = for all computilities that have none of their own"""
    abilities: dict[str, int] | None
    """Capability -> streams; None: nothing is declared"""
    expire_ms: int | None


class Taken(Struct, frozen=True):
    """What came of it."""

    number: int
    was_there: bool
    said: tuple[str, ...]
    """What the bringer should know: nothing of it is a fault"""


def judged(content: bytes | None, fields: dict[str, Any], zone: tzinfo) -> Licence:
    """`fields` as in table E.1, Provider, DeviceID, AbilityAuths, ExpireTime; what is empty counts as absent."""
    if content is None:
        raise faults.MissingField("File: the licence file is required")
    if not content:
        raise faults.InvalidField("File: is empty")
    if len(content) > MAX_BYTES:
        raise faults.TooLarge(f"File: has more than {MAX_BYTES} bytes")
    known = {name: fields[name] for name in ("Provider", "DeviceID", "ExpireTime") if fields.get(name)}
    if fields.get("AbilityAuths") is not None:
        known["AbilityAuths"] = fields["AbilityAuths"]
    try:
        asked, _ignored = read_strict(messages.License, msgspec.json.encode(known))
    except UnicodeEncodeError:  # words of a command line may be anything
        raise faults.InvalidField("what is said of the licence is no UTF-8") from None
    if not asked.provider.strip():
        raise faults.InvalidField("Provider: must not be empty")
    return Licence(
        content=content,
        sm3=sm3_hex(content),
        provider=asked.provider,
        device=asked.device_id or "",
        abilities=None if asked.ability_auths is None else _abilities(asked.ability_auths),
        expire_ms=times.read(asked.expire_time, zone, "ExpireTime"),
    )


def _abilities(given: list[messages.AbilityAuth]) -> dict[str, int]:
    found: dict[str, int] = {}
    for place, one in enumerate(given):
        if one.algo_def_code in found:
            raise faults.InvalidField(
                f"$.AbilityAuths[{place}].AlgoDefCode: {one.algo_def_code} stands twice"
            )
        found[one.algo_def_code] = one.quota
    return found


def take_in(store: Store, data: Path, licence: Licence, now_ms: int, *, min_free_bytes: int) -> Taken:
    """The file is there whole before its row. The same file of the same provider for the same computility once more is
    the same licence, with what is given of it now."""
    with files.held(data) as folder:
        files.keep(folder, licence.sm3, licence.content, min_free_bytes)
        with store.write() as tx:
            return _entered(tx, licence, now_ms)


def _entered(tx: Tx, licence: Licence, now_ms: int) -> Taken:
    """What is not said of a licence that is known stays as it is: one that ends does not become endless by that."""
    said_now = {"abilities": licence.abilities, "expire_ms": licence.expire_ms}
    which = {"sm3": licence.sm3, "provider": licence.provider, "device": licence.device}
    file = {"path": f"{licences.FOLDER}/{licence.sm3}", "size": len(licence.content)}
    known = licences.same(tx, **which)
    if known is not None:
        number = int(known["id"])
        licences.change(tx, number, **{name: value for name, value in said_now.items() if value is not None})
    else:
        number = licences.add(tx, created_ms=now_ms, **which, **said_now, **file)
    licences.see(tx, now_ms)
    said = ["it was there already"] if known is not None else []
    return Taken(number, known is not None, (*said, *_unknown(tx, licence)))


def _unknown(tx: Tx, licence: Licence) -> list[str]:
    """What is not known yet; packages and devices may come later."""
    abilities = licence.abilities or {}
    unknown = sorted(abilities.keys() - packages.holders(tx, sorted(abilities)).keys())
    said = [f"no imported package has {', '.join(unknown)}"] if unknown else []
    if licence.device and devices.get(tx, licence.device) is None:
        said.append(f"no computility {licence.device} is known")
    return said
