"""What is known of authorisation: who gives how many streams, and who has them (conventions section 9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from msgspec import Struct

FOR_PLACE = "waiting for a place"
"""The reason of an instance that nobody has looked for a place for yet."""

FOR_QUOTA = "waiting for quota"
"""How the reason of an instance begins whose start no pool allows now."""


class Grant(Struct, frozen=True, kw_only=True):
    """What a licence gives. `device` "": to all that have none of their own. `abilities`: capability -> streams, None
    where nobody says. One that is over gives nothing, and still is there."""

    device: str = ""
    abilities: Mapping[str, int] | None = None
    is_over: bool = False


class Told(Struct, frozen=True, kw_only=True):
    """What a server said of a capability. `total` None: it was asked and never answered.

    `counted`: streams of ours that ran when it was asked.
    """

    used: int = 0
    total: int | None = None
    counted: int = 0

    @property
    def others(self) -> int:
        """Streams it counts that are not ours; one that counts fewer than ours has not counted all of ours yet."""
        return max(0, self.used - self.counted)


class Source(Struct, frozen=True, kw_only=True):
    """What the licences and the default server of a provider give. `told`: capability -> what the server said of those
    it was asked about."""

    provider: str
    grants: Sequence[Grant] = ()
    server: int | None = None
    told: Mapping[str, Told] = MappingProxyType({})


class Claim(NamedTuple):
    """A stream of a capability that an instance has on a load. `stays`: it is not to end; `runs`: it is seen to run.

    `task`: the row of its task, `device` where that is.
    """

    instance: str
    load_id: str | None
    capability: str
    stays: bool
    runs: bool = False
    task: int = 0
    device: str = ""


class Authorised(NamedTuple):
    """`loads`: (load id, computility, provider) of our services that get their authorisation from us. `claims`: every
    stream that runs, or may run, or whose start is decided; to be gone through once."""

    sources: Mapping[str, Source]
    loads: Iterable[tuple[str, str, str]]
    claims: Iterable[Claim]
