"""What a probe sees, as values, and what a probe is. A number that could not be read is None, never 0."""

from __future__ import annotations

from typing import Literal, Protocol

from msgspec import Struct, structs

CardState = Literal["ok", "not answering", "lost", "fault"]


class CardProcess(Struct, frozen=True, kw_only=True):
    """One process that computes on a card. utilization is its own share, 0..1, where the driver tells it."""

    pid: int
    memory_used_bytes: int | None = None
    utilization: float | None = None


class Card(Struct, frozen=True, kw_only=True):
    """One accelerator card. `type` is an identifier of Part 5 table H.1 or H.2, else the name as read."""

    index: int
    uuid: str
    vendor: str
    type: str
    name_raw: str
    memory_bytes: int | None = None
    memory_used_bytes: int | None = None
    utilization: float | None = None
    temperature_celsius: float | None = None
    power_watts: float | None = None
    state: CardState = "ok"
    error: str = ""
    processes: tuple[CardProcess, ...] = ()

    def unread(self, state: CardState, error: str) -> Card:
        """The same card without any measurement: what is left when it does not tell."""
        return structs.replace(
            self,
            memory_used_bytes=None,
            utilization=None,
            temperature_celsius=None,
            power_watts=None,
            processes=(),
            state=state,
            error=error,
        )


class Reading(Struct, frozen=True, kw_only=True):
    """What one vendor's driver told at one moment. spent: its library must be loaded afresh."""

    cards: tuple[Card, ...] = ()
    faults: tuple[str, ...] = ()
    spent: bool = False


class Probe(Protocol):
    """One vendor's way of seeing cards. Any call may hang: it is used in a child process only."""

    def read(self) -> Reading:
        """All cards of the vendor, `index` being the driver's own; what went wrong is in `faults`."""
        ...

    def close(self) -> None:
        """Let the driver go; the next read opens it again."""
        ...


class Disk(Struct, frozen=True, kw_only=True):
    path: str
    total_bytes: int
    used_bytes: int


class HostSample(Struct, frozen=True, kw_only=True):
    """The machine (or the container we live in) at one moment. disks: the data directory's own first."""

    cpu_cores: int
    cpu_utilization: float
    cpu_type: str
    memory_bytes: int
    memory_used_bytes: int
    disks: tuple[Disk, ...]
    hostname: str
    os: str
    ips: tuple[str, ...]


class Sample(Struct, frozen=True, kw_only=True):
    """The last known state of everything, and how old its host part is.

    cards_known: the cards were looked at once. Before that, no cards means nothing.
    """

    wall_ms: int
    host: HostSample
    cards: tuple[Card, ...] = ()
    cards_known: bool = False
    faults: tuple[str, ...] = ()
    age_seconds: float = 0.0
