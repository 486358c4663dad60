"""Which values of a sample are kept as trends, and under which name."""

from __future__ import annotations

from acsmpd.probes.history import History
from acsmpd.probes.probe import Card, Sample

CPU = "cpu"
MEMORY = "memory"
DISK = "disk"
GIB = 1 << 30


def card_series(card: Card, what: str) -> str:
    """The series of one card; it follows the card, not its place."""
    return f"card/{card.uuid or card.index}/{what}"


def gib(amount: int) -> float:
    """Bytes in the unit of the standard's double fields."""
    return round(amount / GIB, 3)


def record_sample(history: History, sample: Sample) -> None:
    """Note the host's and the cards' values; what is not known leaves no point."""
    host = sample.host
    history.add(CPU, sample.wall_ms, host.cpu_utilization)
    history.add(MEMORY, sample.wall_ms, gib(host.memory_used_bytes))
    history.add(DISK, sample.wall_ms, gib(sum(disk.used_bytes for disk in host.disks)))
    for card in sample.cards:
        used = card.memory_used_bytes
        history.add(card_series(card, "memory"), sample.wall_ms, None if used is None else gib(used))
        history.add(card_series(card, "use"), sample.wall_ms, card.utilization)
