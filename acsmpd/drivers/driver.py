"""What a device family must offer. A driver is given values and returns values; it never sees the store."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from acsmpd.model import Observed, Outcome, Peer, Step

Pushed = Mapping[tuple[str, str], str]
"""(name, version) -> id of the packages that are to be on a computility."""

NONE_PUSHED: Pushed = MappingProxyType({})


class Driver(Protocol):
    """A device family. Both calls may run in any lane thread, several at once for different peers."""

    def observe(
        self, peer: Peer, known: frozenset[str] = frozenset(), pushed: Pushed = NONE_PUSHED
    ) -> Observed:
        """Look at the facility. Raises Temporary when it could not be asked at all.

        `known`: task ids of the device our ledger holds; an abridged listing needs no detail for those.
        `pushed`: for a facility that lists packages by ids of its own.
        """
        ...

    def perform(self, peer: Peer, step: Step) -> Outcome:
        """Do one step. Raises Temporary, Permanent or Unknown (acsmpd.faults)."""
        ...
