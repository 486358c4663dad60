"""Which platforms stand behind a platform above, by the Via of its requests (conventions section 12)."""

from __future__ import annotations

import re

from acsmpd.store import upstreams
from acsmpd.store.database import Store

_CODE = re.compile(r"[0-9]{20}")


class Chains:
    """Remembers what is stored already: nearly every request has passed what the one before it had."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, frozenset[str]] = {}

    def note(self, name: str, via: tuple[str, ...]) -> None:
        """Keep it, so that what this platform wants is not asked of one that stands behind it."""
        codes = tuple(code for code in via if _CODE.fullmatch(code))
        if self._known.get(name, frozenset()).issuperset(codes):
            return
        with self._store.write() as tx:
            self._known[name] = frozenset(upstreams.lengthen_chain(tx, name, codes))
