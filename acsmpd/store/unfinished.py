"""Packages that came without their executable, until it follows; and what a whole one was made of.

Facts: `unfinished:<package ID>` of one that lacks it, `parts:<package ID>` of one that was put together.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from acsmpd.store import facts
from acsmpd.store.database import Tx
from acsmpd.store.tables import Fact

_UNFINISHED, _PARTS = "unfinished:", "parts:"


class Unfinished(Struct, frozen=True, kw_only=True):
    """A package file that lacks its executable. `manifest` as a package row holds it."""

    id: str
    origin: str
    path: str
    size: int
    md5: str
    file_name: str
    manifest: dict[str, Any]
    created_ms: int


class Parts(Struct, frozen=True, kw_only=True):
    """MD5s: of the package as it came, of its executable, of what both became."""

    package: str
    program: str
    whole: str


def get(tx: Tx, package_id: str) -> Unfinished | None:
    found = facts.get(tx, _UNFINISHED + package_id)
    return None if found is None else msgspec.convert(found, Unfinished)


def all_of(tx: Tx, origin: str | None = None) -> list[Unfinished]:
    """Those an origin brought, or all, by ID."""
    rows = tx.rows(Fact.select().where(Fact.name.startswith(_UNFINISHED)).order_by(Fact.name))
    found = [msgspec.convert(row["value"], Unfinished) for row in rows]
    return [one for one in found if origin in (None, one.origin)]


def put(tx: Tx, one: Unfinished) -> None:
    facts.put(tx, _UNFINISHED + one.id, msgspec.to_builtins(one))


def drop(tx: Tx, package_id: str) -> None:
    tx.run(Fact.delete().where(Fact.name == _UNFINISHED + package_id))


def remember(tx: Tx, package_id: str, parts: Parts) -> None:
    """What the package was made of: whoever sends a part again is told that it is here."""
    facts.put(tx, _PARTS + package_id, msgspec.to_builtins(parts))


def forget_parts(tx: Tx, package_id: str) -> None:
    """The package is gone: a platform above that brings and takes back new ones for ever leaves nothing here."""
    tx.run(Fact.delete().where(Fact.name == _PARTS + package_id))


def parts(tx: Tx, package_id: str, whole_md5: str) -> Parts | None:
    """What the package that is here was put together of; None for one that came whole."""
    found = facts.get(tx, _PARTS + package_id)
    made = None if found is None else msgspec.convert(found, Parts)
    return made if made is not None and made.whole == whole_md5 else None
