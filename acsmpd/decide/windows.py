"""The hours of the week in which a plan runs: PlanDayTime (table C.1, conventions section 11).

A window is a stretch of one day by the wall clock of the site's zone, so a summer time that skips an hour skips
what lies in it, and one that shows an hour twice opens its windows twice.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from acsmpd import faults

_FORM = re.compile(r"([1-7]),(\d{1,2}):(\d{2})[,-](\d{1,2}):(\d{2})", re.ASCII)
_DAY = 24 * 60
_WEEK = 7 * _DAY
MOST = 7 * 48
"""Elements of one PlanDayTime: half hours of a week."""


class Window(NamedTuple):
    """Minutes of the week from Monday 00:00 on; `last` is the first minute outside. Never over midnight."""

    first: int
    last: int

    def __str__(self) -> str:
        day = self.first // _DAY
        begin, end = self.first - day * _DAY, self.last - day * _DAY
        return f"{day + 1},{begin // 60:02d}:{begin % 60:02d},{end // 60:02d}:{end % 60:02d}"


Windows = tuple[Window, ...]
"""In order, without overlaps."""


def parse(texts: Sequence[str], path: str = "$.PlanDayTime") -> Windows:
    """Windows of "d,HH:mm,HH:mm" (d 1 = Monday, end up to 24:00); InvalidField names the element and the reason."""
    if len(texts) > MOST:
        raise faults.InvalidField(f"{path}: {len(texts)} windows, at most {MOST} are taken")
    found = sorted(_window(text, f"{path}[{place}]") for place, text in enumerate(texts))
    merged: list[Window] = []
    for one in found:
        if merged and one.first <= merged[-1].last and one.first // _DAY == merged[-1].first // _DAY:
            merged[-1] = Window(merged[-1].first, max(merged[-1].last, one.last))
        else:
            merged.append(one)
    return tuple(merged)


def _window(text: str, path: str) -> Window:
    match = _FORM.fullmatch(text.strip())
    if match is None:
        raise faults.InvalidField(f'{path}: {text[:64]!r} is no "d,HH:mm,HH:mm" with d from 1 (Monday) to 7')
    day, *hands = (int(part) for part in match.groups())
    first, last = (_minute(hour, minute, text, path) for hour, minute in (hands[:2], hands[2:]))
    if first >= last:
        raise faults.InvalidField(
            f"{path}: {text!r} ends before it begins; a window over midnight is written as two"
        )
    return Window((day - 1) * _DAY + first, (day - 1) * _DAY + last)


def _minute(hour: int, minute: int, text: str, path: str) -> int:
    if minute > 59 or hour * 60 + minute > _DAY:
        raise faults.InvalidField(f"{path}: {text!r} holds no time from 00:00 to 24:00")
    return hour * 60 + minute


def written(windows: Iterable[Window]) -> list[str]:
    """With commas and hours of two digits."""
    return [str(window) for window in windows]


def is_open(windows: Windows, now_ms: int, zone: tzinfo) -> bool:
    """Whether the wall clock stands in one of the windows. Without any it always does."""
    return is_open_at(windows, minute_of_week(now_ms, zone))


def is_open_at(windows: Windows, minute: int) -> bool:
    """The same by the minute of the week."""
    if not windows:
        return True
    place = bisect_right(windows, (minute, _WEEK + 1)) - 1
    return place >= 0 and minute < windows[place].last


def minute_of_week(now_ms: int, zone: tzinfo) -> int:
    """What the wall clock shows, in minutes since Monday 00:00."""
    local = datetime.fromtimestamp(now_ms / 1000, zone)
    return local.weekday() * _DAY + local.hour * 60 + local.minute


def next_change(windows: Windows, now_ms: int, zone: tzinfo) -> int | None:
    """UTC milliseconds of the next opening or closing; None when there is none (no windows, or the whole week)."""
    if not windows:
        return None
    now_open, today = is_open(windows, now_ms, zone), datetime.fromtimestamp(now_ms / 1000, zone).date()
    edges = sorted({edge for window in windows for edge in window})
    for days in range(9):
        date = today + timedelta(days=days)
        found = []
        for edge in edges:
            if edge // _DAY == date.weekday() or (edge % _DAY == 0 and edge // _DAY == date.weekday() + 1):
                found += _moments(
                    datetime(date.year, date.month, date.day), edge - date.weekday() * _DAY, zone
                )
        for moment in sorted(found):
            if moment > now_ms and is_open(windows, moment, zone) is not now_open:
                return moment
    return None


def _moments(day: datetime, minutes: int, zone: tzinfo) -> list[int]:
    """When the wall clock shows so many minutes of that day: twice where summer time ends; where it begins, the
    moment of the skip for what is skipped."""
    local = day + timedelta(minutes=minutes)
    late, early = (int(local.replace(tzinfo=zone, fold=fold).timestamp() * 1000) for fold in (0, 1))
    return [_skip(early, late, zone)] if early < late else sorted({late, early})


def _skip(before_ms: int, after_ms: int, zone: tzinfo) -> int:
    """The moment between the two at which the zone's offset changes."""
    offset = _offset(before_ms, zone)
    while after_ms - before_ms > 1:
        middle = (before_ms + after_ms) // 2
        if _offset(middle, zone) == offset:
            before_ms = middle
        else:
            after_ms = middle
    return after_ms


def _offset(at_ms: int, zone: tzinfo) -> timedelta | None:
    return datetime.fromtimestamp(at_ms / 1000, zone).utcoffset()
