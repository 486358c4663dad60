"""Whether a computility is there: the one function that decides it (conventions section 11).

All readings are monotonic seconds of this process; silence is never counted from before its start.
An exchange is a request from the device or an answer to one of ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

FAILURES_TO_LOSE = 3
FAILING_SECONDS_TO_LOSE = 60.0
MASS_OF = 4


class Limits(Struct, frozen=True):
    suspect_seconds: float = 100.0
    lost_seconds: float = 270.0


class Facts(Struct, frozen=True, kw_only=True):
    """What is known of one registered, enabled computility."""

    state: str  # the one that stands now
    registered: bool = True
    callable: bool = True  # we have an address to call
    heard: float | None = None  # last request from it, None = none since our start
    answered: float | None = None  # last answer to a call of ours
    failures: int = 0  # observations failed in a row
    failing_since: float | None = None
    failure: str = ""  # why the last one failed, or in what it was not whole
    ever_heard: bool = False  # directions it has ever shown
    ever_answered: bool = False
    left_at: float | None = None  # when it last became lost, gone or unreachable
    excused_at: float | None = None  # until when its silence was put down to our own line


class Verdict(Struct, frozen=True):
    state: str
    reason: str


def judge(facts: Facts, *, started: float, now: float, limits: Limits) -> Verdict:
    """online, unreachable, suspect, lost, gone or offline, with the reason in words."""
    if not facts.registered:
        return Verdict("gone", "it unregistered")
    signs = (facts.heard, facts.answered, facts.excused_at)
    silent = now - max([started, *(sign for sign in signs if sign is not None)])
    if _is_lost(facts, silent, now, limits):
        return Verdict("lost", _silence(silent, facts))
    if facts.state == "lost" and not _is_back(facts):
        return Verdict(
            "lost", "waiting for one success in each direction it has shown: " + _silence(silent, facts)
        )
    if silent >= limits.suspect_seconds:
        return Verdict("suspect", _silence(silent, facts))
    if facts.failures > 0:
        return Verdict("unreachable", f"observations fail ({facts.failures} in a row): {facts.failure}")
    if facts.heard is None and facts.answered is None:
        known = facts.state in ("online", "unreachable", "suspect")
        return Verdict(facts.state if known else "offline", "no exchange yet since this platform started")
    if facts.callable and facts.answered is None:
        return Verdict("unreachable", "it was heard, but has not answered a call of ours yet")
    return Verdict("online", facts.failure)


def _is_lost(facts: Facts, silent: float, now: float, limits: Limits) -> bool:
    if silent >= limits.lost_seconds:
        return True
    failing = now - facts.failing_since if facts.failing_since is not None else 0.0
    return (
        silent >= limits.suspect_seconds
        and facts.failures >= FAILURES_TO_LOSE
        and failing >= FAILING_SECONDS_TO_LOSE
    )


def _is_back(facts: Facts) -> bool:
    """One success since it was lost in each direction it has ever shown."""
    since = facts.left_at if facts.left_at is not None else float("-inf")
    heard = not facts.ever_heard or (facts.heard is not None and facts.heard > since)
    answered = not facts.ever_answered or (facts.answered is not None and facts.answered > since)
    return (
        heard and answered and facts.failures == 0 and (facts.heard is not None or facts.answered is not None)
    )


def _silence(silent: float, facts: Facts) -> str:
    text = f"nothing heard for {int(silent)} s"
    return f"{text}; {facts.failure}" if facts.failure else text


def judge_all(
    everything: Mapping[str, Facts], *, started: float, now: float, limits: Limits, interval: float
) -> tuple[dict[str, Verdict], str]:
    """The verdict on every computility, and a text when a mass failure points at our own line ("" if none).

    When more than half of four or more that were reachable fail within one interval, nobody is declared
    lost while more than half still fail: the fault is more likely ours. The silence of that time is not held
    against them when it is over (`Facts.excused_at`), or those that are asked last would be lost on the way back.
    """
    verdicts = {code: judge(f, started=started, now=now, limits=limits) for code, f in everything.items()}
    counted = {code: f for code, f in everything.items() if _was_reachable(f)}
    failing = [code for code, f in counted.items() if f.failures > 0]
    if (
        len(counted) < MASS_OF
        or len(failing) * 2 <= len(counted)
        or not _together(counted, failing, interval)
    ):
        return verdicts, ""
    text = (
        f"{len(failing)} of {len(counted)} computilities stopped answering at once: our own line is suspected"
    )
    for code in failing:
        alone = judge(replace(counted[code], excused_at=None), started=started, now=now, limits=limits)
        if alone.state == "lost":
            verdicts[code] = Verdict("unreachable", text)
    return verdicts, text


def _was_reachable(facts: Facts) -> bool:
    """Whether it answered us once and was not given up since; one that never did says nothing about our line."""
    shown = facts.ever_answered or facts.answered is not None
    return (
        facts.registered and facts.callable and shown and facts.state in ("online", "unreachable", "suspect")
    )


def _together(counted: Mapping[str, Facts], failing: list[str], interval: float) -> bool:
    """Whether more than half began to fail within one interval of each other."""
    begun = sorted(counted[code].failing_since or 0.0 for code in failing)
    need = len(counted) // 2 + 1
    window = interval * 2  # an observation takes up to one interval to notice
    return any(begun[place + need - 1] - begun[place] <= window for place in range(len(begun) - need + 1))
