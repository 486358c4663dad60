"""What a device family must offer. A driver is given values and returns values; it never sees the store."""

from __future__ import annotations

from typing import Protocol

from acsmpd.model import Observed, Outcome, Peer, Step


class Driver(Protocol):
    """A device family. Both calls may run in any lane thread, several at once for different peers."""

    def observe(self, peer: Peer, known: frozenset[str] = frozenset()) -> Observed:
        """Look at the facility. Raises Temporary when it could not be asked at all.

        `known`: task ids of the device our ledger holds; an abridged listing needs no detail for those.
        """
        ...

    def perform(self, peer: Peer, step: Step) -> Outcome:
        """Do one step. Raises Temporary, Permanent or Unknown (acsmpd.faults)."""
        ...
