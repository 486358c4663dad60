"""Results that will never arrive: counted by destination and told in one alarm each (kind `results_lost`)."""

from __future__ import annotations

from acsmpd.clock import DAY_SECONDS, Shown
from acsmpd.store import alarms, facts, results
from acsmpd.store.database import Tx

KIND = "results_lost"
QUIET_SECONDS = DAY_SECONDS
_WORDS = {
    "expired": "{} not delivered in time",
    "refused": "{} refused by the receiver again and again",
    "dropped": "{} dropped to make room for newer ones",
}


def note(tx: Tx, destination: str, reason: str, number: int, now_ms: int) -> None:
    """Count results given up, for a reason of expired | refused | dropped, and say so."""
    lost = facts.get(tx, f"{KIND}:{destination}") or {}
    lost = {**lost, reason: lost.get(reason, 0) + number, "last_ms": now_ms}
    facts.put(tx, f"{KIND}:{destination}", lost)
    words = [text.format(lost[name]) for name, text in _WORDS.items() if lost.get(name)]
    total = sum(lost.get(name, 0) for name in _WORDS)
    alarms.raise_alarm(tx, KIND, destination, f"results given up: {total} ({', '.join(words)})", now_ms)


def settle(tx: Tx, now_ms: int, day: Shown) -> None:
    """End the alarms of destinations that lost nothing for a day; the next loss counts from one."""
    for destination in results.alarmed(tx, KIND):
        lost = facts.get(tx, f"{KIND}:{destination}") or {}
        if not day.holds(lost.get("last_ms", 0)):
            alarms.end_alarm(tx, KIND, destination, now_ms)
            results.forget(tx, f"{KIND}:{destination}")
