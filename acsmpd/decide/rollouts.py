"""How a package goes out to many devices in waves: who begins, what each needs next, when it is over.

A member is one device of a rollout: WAITING for its turn, IN_PROGRESS, DONE or FAILED. The next wave begins when
nobody of the present one is in progress; after so many failures none begins any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from typing import Any

from msgspec import Struct

from acsmpd.decide import windows
from acsmpd.model import ONE_SERVICE, CopyRow, Device, LoadRow

RUNNING = ("RUNNING", "OVERLOAD")
"""States of a service (table F.13) in which it is up."""

NAMED = 5
"""Failed members that are named with their reasons where a rollout is told in one sentence."""

IN_WINDOW = "waits for its dispatch window"


class Counts(Struct, frozen=True):
    """How many members stand where."""

    waiting: int = 0
    in_progress: int = 0
    done: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.waiting + self.in_progress + self.done + self.failed

    @property
    def percent(self) -> int:
        """Members that are over, done or failed, of all: 0 to 100, and 100 only when all are."""
        return (self.done + self.failed) * 100 // self.total if self.total else 100


def counts_of(numbers: Mapping[str, int]) -> Counts:
    """From the number of members of each status."""
    return Counts(*(numbers.get(status, 0) for status in ("WAITING", "IN_PROGRESS", "DONE", "FAILED")))


def state(counts: Counts, *, threshold: int, paused: bool) -> str:
    """RUNNING, PAUSED, FAILED (so many failed that it stopped) or FINISHED (nobody waits or is in progress)."""
    if counts.failed >= threshold:
        return "FAILED"
    if not counts.waiting and not counts.in_progress:
        return "FINISHED"
    return "PAUSED" if paused else "RUNNING"


def is_over(counts: Counts, *, threshold: int) -> bool:
    """Whether nothing of it will ever move again: who was in progress when it failed is carried through."""
    stopped = counts.failed >= threshold
    return not counts.in_progress and (stopped or not counts.waiting)


def to_begin(counts: Counts, *, threshold: int, paused: bool, most: int, is_open: bool) -> int:
    """How many waiting members begin now: the next wave, of at most `most`, once the present one is over."""
    if state(counts, threshold=threshold, paused=paused) != "RUNNING" or counts.in_progress or not is_open:
        return 0
    return min(most, counts.waiting)


# --- one member whose turn it is --------------------------------------------------------------------------


class Member(Struct, frozen=True, kw_only=True):
    """`step`: the last wish written for it, "" | push | load. `made_*`: by us, nobody had wished for it before."""

    id: int
    device: str
    step: str = ""
    service_id: str = ""
    made_copy: bool = False
    made_load: bool = False


class Terms(Struct, frozen=True, kw_only=True):
    """What is asked of every member. `md5`: of the file the platform holds, None: the package was deleted."""

    package_id: str
    md5: str | None
    load: bool
    env: Sequence[Mapping[str, str]] = ()
    windowed: bool = False
    is_open: bool = True
    min_ready: float = 0.0  # seconds a service has to run before it counts


def terms_of(row: Mapping[str, Any], md5: str | None, now_ms: int, zone: tzinfo) -> Terms:
    """The terms of a stored rollout as they are now."""
    hours = windows.parse(row["windows"] or ())
    return Terms(
        package_id=row["package_id"],
        md5=md5,
        load=row["load"],
        env=row["env"],
        windowed=bool(hours),
        is_open=windows.is_open(hours, now_ms, zone),
        min_ready=row["min_ready"],
    )


class Ledger(Struct, frozen=True, kw_only=True):
    """What is known of the package on the members' devices; `envs`: of its services, by their IDs."""

    devices: Mapping[str, Device]
    copies: Mapping[str, CopyRow]
    loads: Mapping[str, Sequence[LoadRow]]
    envs: Mapping[str, Any]


class Times(Struct, frozen=True, kw_only=True):
    """How long a member's turn has lasted and its device has been away, and how long each may be; seconds.

    `ready`: how long its service has been seen running, None if it has not.
    """

    turn: float = 0.0
    away: float = 0.0
    ready: float | None = None
    turn_most: float = float("inf")
    away_most: float = float("inf")


class Turn(Struct, frozen=True):
    """`do`: "" wait | push | load (write the wish) | withdraw (what has not left) | done | failed | give_up
    (failed, and withdraw). `why` in words. `timed`: whether the time it takes counts against it."""

    do: str
    why: str = ""
    timed: bool = True


def next_for(member: Member, ledger: Ledger, terms: Terms, times: Times) -> Turn:
    """What a member in progress needs next; the same wishes as tables 7 and 11 write."""
    copy, load = ledger.copies.get(member.device), _load(member, ledger, terms)
    if _is_done(copy, load, terms):
        return _ready(member, terms, times, away_reason(member.device, ledger))
    refused = _refused(member, copy, load, terms)
    if refused:
        return Turn("failed", refused)
    if times.ready is not None and load is not None:
        return Turn("failed", f"its service did not stay up: {load.error or f'it is {load.status}'}")
    turn = _pending(member, copy, load, ledger, terms)
    return (_overdue(turn, away_reason(member.device, ledger), times) or turn) if turn.timed else turn


def _ready(member: Member, terms: Terms, times: Times, away: str) -> Turn:
    """What runs has to go on running for a while; what was there before its turn has done so already."""
    if not (terms.load and member.step) or (times.ready or 0.0) >= terms.min_ready:
        return Turn("done")
    turn = Turn("", away or f"its service runs; it counts when it has for {terms.min_ready:g} s")
    return (_overdue(turn, away, times) or turn) if away else turn


def is_up(member: Member, ledger: Ledger, terms: Terms) -> bool:
    """Whether the service of a member in progress is seen running now."""
    load = _load(member, ledger, terms)
    there = terms.load and load is not None and load.status in RUNNING
    return there and not away_reason(member.device, ledger)


def away_reason(code: str, ledger: Ledger) -> str:
    """Why no step can be sent to a device now; "" when it can."""
    device = ledger.devices.get(code)
    if device is None:
        return f"computility {code} is not known"
    return "" if device.takes_steps else f"computility {code} is {device.standing}"


def _overdue(turn: Turn, away: str, times: Times) -> Turn | None:
    if away and times.away >= times.away_most:
        return Turn("give_up", f"{away}, for {times.away_most:g} s of its turn")
    if times.turn >= times.turn_most:
        return Turn("give_up", f"not done within {times.turn_most:g} s: {turn.why or 'nothing came of it'}")
    return None


def _load(member: Member, ledger: Ledger, terms: Terms) -> LoadRow | None:
    """The load that counts: of the member's own service, else one that is wanted there with this Env."""
    found = [load for load in ledger.loads.get(member.device, ()) if load.wanted]
    if member.service_id:
        found = [load for load in found if load.service_id == member.service_id]
    elif terms.env:
        found = [load for load in found if load.ours and ledger.envs.get(load.service_id) == list(terms.env)]
    return min(found, key=lambda load: load.status not in RUNNING, default=None)


def _is_done(copy: CopyRow | None, load: LoadRow | None, terms: Terms) -> bool:
    if terms.load:
        return load is not None and load.status in RUNNING
    return _is_here(copy, terms)


def _is_here(copy: CopyRow | None, terms: Terms) -> bool:
    """Whether the device holds the very file the platform holds."""
    return copy is not None and copy.wanted and copy.status == 3 and copy.md5 == terms.md5


def _refused(member: Member, copy: CopyRow | None, load: LoadRow | None, terms: Terms) -> str:
    """Why it will never come to an end, in words; what was refused before our wish does not count."""
    if terms.md5 is None:
        return f"package {terms.package_id} was deleted"
    if not member.step:
        return ""
    if copy is None or not copy.wanted:
        return "the package file was deleted from it"
    if copy.parked and not _is_here(copy, terms):
        return f"the package file did not arrive: {copy.error}"
    if member.step == "load":
        if load is None:
            return "its service was unloaded"
        if load.parked:
            return f"its service was refused: {load.error}"
    return ""


def _pending(
    member: Member, copy: CopyRow | None, load: LoadRow | None, ledger: Ledger, terms: Terms
) -> Turn:
    """What is to be wished for, or awaited."""
    if not terms.is_open and not (member.step and _has_left(member, copy, load)):
        return Turn("withdraw" if member.step else "", IN_WINDOW, timed=False)
    if not terms.is_open and member.step == "push" and _is_here(copy, terms):
        return Turn("", IN_WINDOW, timed=False)
    away = away_reason(member.device, ledger)
    if away:
        return Turn("", away)
    if member.step == "load":
        return Turn("", _load_words(copy, load))
    if terms.load and (_is_here(copy, terms) or not terms.windowed):
        return _to_load(member, ledger)
    return Turn("", _file_words(copy)) if member.step else Turn("push")


def _to_load(member: Member, ledger: Ledger) -> Turn:
    device = ledger.devices[member.device]
    leaving = any(not load.wanted for load in ledger.loads.get(member.device, ()))
    if leaving and device.family in ONE_SERVICE:
        return Turn("", "the old service is being unloaded first")
    return Turn("load")


def _has_left(member: Member, copy: CopyRow | None, load: LoadRow | None) -> bool:
    """Whether what was wished for last is on its way: it is carried through, be the window closed meanwhile."""
    if member.step == "load":
        return load is not None and (load.sent or not member.made_load)
    return copy is not None and (copy.sent or not member.made_copy)


def _file_words(copy: CopyRow | None) -> str:
    if copy is not None and copy.status == 3:
        return "another file of the package is there still"
    return (copy.error if copy else "") or "the package file is on its way"


def _load_words(copy: CopyRow | None, load: LoadRow | None) -> str:
    if copy is not None and copy.status != 3:
        return _file_words(copy)
    return (load.error if load else "") or "its service is starting"


def told(failures: Iterable[tuple[str, str]], counts: Counts) -> str:
    """Who failed and why, in one sentence; the first NAMED of them by name."""
    named = [f"{device}: {reason}" for device, reason in failures][:NAMED]
    more = f"; and {counts.failed - len(named)} more" if counts.failed > len(named) else ""
    return f"{counts.failed} of {counts.total} computilities failed: {'; '.join(named)}{more}"


# --- who is meant -----------------------------------------------------------------------------------------


class Selector(Struct, frozen=True, kw_only=True):
    """Devices by their record; "" and () say nothing, all else has to fit."""

    type: str = ""
    organisation: str = ""
    tags: Sequence[str] = ()
    region: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.type or self.organisation or self.tags or self.region)


def selected(records: Iterable[Mapping[str, Any]], selector: Selector) -> list[str]:
    """Codes of the approved and enabled computilities that take packages and fit, in order."""
    return sorted(
        record["code"]
        for record in records
        if record["approved"] and record["enabled"] and record["support_services"] and _fits(record, selector)
    )


def _fits(record: Mapping[str, Any], selector: Selector) -> bool:
    return (
        selector.type in ("", record["type"])
        and selector.organisation in ("", record["organisation"])
        and set(selector.tags) <= set(record["tags"] or ())
        and _lies_in(record, selector.region)
    )


def _lies_in(record: Mapping[str, Any], region: str) -> bool:
    """By the first digits of its code, the centre of GB/T 28181, or by a part of what is said of its place."""
    if re.fullmatch("[0-9]{2,8}", region):
        return bool(record["code"].startswith(region))
    return region in ((record["location"] or {}).get("Text") or "")
