"""What we are to the platforms above: one row each, and the tokens they gave us."""

from __future__ import annotations

from typing import Any

from acsmpd.store.database import Tx
from acsmpd.store.tables import Upstream, UpstreamToken

TOKENS_KEPT = 32
"""Tokens kept for one platform; more than it can give in a day, unless it registers us in a loop."""


MOST_HOPS = 8
"""Platforms one request may pass."""

LEAVING, LEFT = "leaving", "left"


def wish(tx: Tx, name: str, now_ms: int, *, join: bool) -> None:
    """An operator's wish: leave a platform, or join it again (its pinned key is asked for afresh)."""
    if join:
        put(tx, name, now_ms, state="new", reason="", public_key="", via="")
    else:
        put(tx, name, now_ms, state=LEAVING, reason="an operator leaves it")


def get(tx: Tx, name: str) -> dict[str, Any] | None:
    return tx.row(Upstream.select().where(Upstream.code == name))


def all_rows(tx: Tx) -> list[dict[str, Any]]:
    return tx.rows(Upstream.select().order_by(Upstream.code))


def put(tx: Tx, name: str, now_ms: int, **values: Any) -> None:
    """Change a row, making it if it is new."""
    if not tx.run(Upstream.update(changed_ms=now_ms, **values).where(Upstream.code == name)):
        tx.run(Upstream.insert(code=name, changed_ms=now_ms, **values))


def chain(tx: Tx, name: str) -> tuple[str, ...]:
    """The site codes that requests of this platform above have passed; () for the site's own work."""
    row = get(tx, name) if name else None
    return tuple(row["via"].split()) if row else ()


def lengthen_chain(tx: Tx, name: str, via: tuple[str, ...]) -> tuple[str, ...]:
    """Add what a request has passed; a chain too long for all it ever was keeps what it is now."""
    whole = tuple(dict.fromkeys((*chain(tx, name), *via)))
    kept = whole if len(whole) <= MOST_HOPS else via
    tx.run(Upstream.update(via=" ".join(kept)).where(Upstream.code == name))
    return kept


def keep_only(tx: Tx, names: list[str]) -> None:
    """Platforms that are not in the settings any more: their tokens open nothing from now on."""
    tx.run(UpstreamToken.delete().where(UpstreamToken.code.not_in(names)))
    tx.run(Upstream.delete().where(Upstream.code.not_in(names)))


def newest_token(tx: Tx, name: str) -> dict[str, Any] | None:
    """The token that counts: the one no other has replaced."""
    query = UpstreamToken.select().where(UpstreamToken.code == name)
    return tx.row(query.order_by(UpstreamToken.dies_ms.is_null(False), UpstreamToken.created_ms.desc()))


def trim_tokens(tx: Tx, name: str) -> None:
    """Bound what a platform that hands out ever new tokens may pile up here."""
    newest = (
        UpstreamToken.select(UpstreamToken.hash)
        .where(UpstreamToken.code == name)
        .order_by(UpstreamToken.dies_ms.is_null(False), UpstreamToken.created_ms.desc())
        .limit(TOKENS_KEPT)
    )
    tx.run(UpstreamToken.delete().where(UpstreamToken.code == name, UpstreamToken.hash.not_in(newest)))
