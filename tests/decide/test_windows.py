"""Day windows against a count of every minute, in zones with and without a summer time (R28 to R31)."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from acsmpd import faults
from acsmpd.decide import windows

ZONES = [ZoneInfo(name) for name in ("Asia/Shanghai", "UTC", "Europe/Brussels")]
SHANGHAI, UTC, BRUSSELS = ZONES
MINUTE_MS, DAY = 60_000, 24 * 60
MONDAY = datetime(2026, 11, 23)


def at(zone: ZoneInfo, text: str) -> int:
    return int(datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=zone).timestamp() * 1000)


def brute(texts: list[str], now_ms: int, zone: ZoneInfo) -> bool:
    """The print read by hand: no merging, no order, no arithmetic of weeks."""
    local = datetime.fromtimestamp(now_ms / 1000, zone)
    for text in texts:
        day, begin, end = text.replace("-", ",").split(",")
        hands = [int(hand.split(":")[0]) * 60 + int(hand.split(":")[1]) for hand in (begin, end)]
        if local.isoweekday() == int(day) and hands[0] <= local.hour * 60 + local.minute < hands[1]:
            return True
    return False


@some.composite
def elements(draw: some.DrawFn) -> str:
    first = draw(some.integers(0, DAY - 1))
    last = draw(some.integers(first + 1, DAY))
    separator = draw(some.sampled_from(",-"))
    hour = draw(some.sampled_from(["{:d}", "{:02d}"]))
    begin, end = (f"{hour.format(minute // 60)}:{minute % 60:02d}" for minute in (first, last))
    return f"{draw(some.integers(1, 7))},{begin}{separator}{end}"


@given(some.lists(elements(), max_size=12), some.sampled_from(ZONES), some.integers(0, 2 * 366 * DAY))
def test_open_is_what_the_print_says(texts: list[str], zone: ZoneInfo, minute: int) -> None:
    now = at(zone, "2026-01-01 00:00") + minute * MINUTE_MS
    expected = brute(texts, now, zone) if texts else True
    assert windows.is_open(windows.parse(texts), now, zone) is expected


@settings(max_examples=40, deadline=None)
@given(some.lists(elements(), min_size=1, max_size=6), some.sampled_from(ZONES), some.integers(0, 366 * DAY))
def test_the_next_change_is_the_first_minute_that_differs(
    texts: list[str], zone: ZoneInfo, minute: int
) -> None:
    found, now = windows.parse(texts), at(zone, "2026-01-01 00:00") + minute * MINUTE_MS
    change = windows.next_change(found, now, zone)
    before = brute(texts, now, zone)
    by_hand = (now + step * MINUTE_MS for step in range(1, 8 * DAY))
    assert change == next((moment for moment in by_hand if brute(texts, moment, zone) is not before), None)


def test_a_week_of_a_thousand_plans_agrees_at_every_minute() -> None:
    """The summer time of Brussels begins in it."""
    chance, start = random.Random(4), at(BRUSSELS, "2026-03-23 00:00")
    for _ in range(1000):
        texts = [windows.written([_some_window(chance)])[0] for _ in range(chance.randint(1, 6))]
        found, hours = windows.parse(texts), range(0, 7 * DAY, 97)
        for minute in hours:
            now = start + minute * MINUTE_MS
            assert windows.is_open(found, now, BRUSSELS) is brute(texts, now, BRUSSELS), (texts, minute)


def _some_window(chance: random.Random) -> windows.Window:
    day, first = chance.randrange(7) * DAY, chance.randrange(DAY)
    return windows.Window(day + first, day + chance.randint(first + 1, DAY))


@given(some.lists(elements(), max_size=12))
def test_what_is_written_is_read_as_the_same_and_nothing_overlaps(texts: list[str]) -> None:
    found = windows.parse(texts)
    assert windows.parse(windows.written(found)) == found
    assert all(a.last < b.first or b.first % DAY == 0 for a, b in pairwise(found))
    assert all(len(text) == len("1,07:00,09:00") for text in windows.written(found))


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("1,7:00,9:00", "1,07:00,09:00"), ("1,7:00-9:00", "1,07:00,09:00"), ("7,00:00,24:00", "7,00:00,24:00"),
        (" 3,23:59,24:00 ", "3,23:59,24:00"),
    ],
)  # fmt: skip
def test_both_forms_of_the_print_are_read_and_one_is_written(given_text: str, shown: str) -> None:
    assert windows.written(windows.parse([given_text])) == [shown]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no"), ("1", "is no"), ("1,7:00", "is no"), ("0,7:00,9:00", "is no"), ("8,7:00,9:00", "is no"),
        ("1,7:00,9:00,10:00", "is no"), ("1,7:0,9:00", "is no"), ("1,-7:00,9:00", "is no"), ("一,7:00,9:00", "is no"),
        ("1,٧:00,9:00", "is no"), ("1;7:00;9:00", "is no"), ("1,24:01,24:02", "holds no time"),
        ("1,7:00,24:01", "holds no time"), ("1,7:60,9:00", "holds no time"), ("1,25:00,26:00", "holds no time"),
        ("1,9:00,9:00", "ends before"), ("1,22:00,06:00", "written as two"),
    ],
)  # fmt: skip
def test_what_is_no_window_is_named(text: str, reason: str) -> None:
    with pytest.raises(faults.InvalidField, match=rf"^\$\.PlanDayTime\[1\]: .*{reason}"):
        windows.parse(["1,07:00,09:00", text])


def test_more_windows_than_a_week_has_half_hours_are_refused() -> None:
    with pytest.raises(faults.InvalidField, match="337 windows, at most 336"):
        windows.parse(["1,07:00,09:00"] * 337)


def test_overlaps_and_neighbours_are_merged_within_a_day() -> None:
    texts = ["1,10:00,12:00", "1,07:00,09:00", "1,08:00,10:00", "2,00:00,01:00", "1,23:00,24:00"]
    assert windows.written(windows.parse(texts)) == ["1,07:00,12:00", "1,23:00,24:00", "2,00:00,01:00"]


def test_a_night_written_as_two_windows_has_no_gap() -> None:
    night = windows.parse(["1,22:00,24:00", "2,00:00,06:00"])
    last = at(SHANGHAI, "2026-11-23 23:59")
    assert all(windows.is_open(night, last + more, SHANGHAI) for more in (0, 59_999, 60_000))
    assert windows.next_change(night, last, SHANGHAI) == at(SHANGHAI, "2026-11-24 06:00")


def test_the_whole_week_and_no_windows_never_change() -> None:
    always = windows.parse([f"{day},00:00,24:00" for day in range(1, 8)])
    for found in (always, windows.parse([])):
        assert windows.is_open(found, at(UTC, "2026-11-22 23:59"), UTC)
        assert windows.next_change(found, at(UTC, "2026-11-22 23:59"), UTC) is None


def test_an_hour_that_summer_time_skips_or_doubles() -> None:
    """On 29 March 2026 Brussels goes from 02:00 to 03:00, on 25 October from 03:00 back to 02:00."""
    early = windows.parse(["7,02:30,04:00"])
    skip = int(datetime(2026, 3, 29, 1, 0, tzinfo=timezone.utc).timestamp() * 1000)
    assert [windows.is_open(early, moment, BRUSSELS) for moment in (skip - 1, skip)] == [False, True]
    assert windows.next_change(early, skip - 3_600_000, BRUSSELS) == skip
    inside = windows.parse(["7,02:15,02:45"])
    assert not any(windows.is_open(inside, skip + step * MINUTE_MS, BRUSSELS) for step in range(-120, 240))
    first = int(datetime(2026, 10, 25, 0, 15, tzinfo=timezone.utc).timestamp() * 1000)
    opened = [step for step in range(-30, 180) if windows.is_open(inside, first + step * MINUTE_MS, BRUSSELS)]
    assert opened == [*range(30), *range(60, 90)]


def test_the_clock_of_the_box_may_stand_in_another_century() -> None:
    found = windows.parse(["4,00:00,24:00"])
    assert windows.is_open(found, 0, UTC)  # 1 January 1970 was a Thursday
    assert windows.next_change(found, 0, UTC) == timedelta(days=1) // timedelta(milliseconds=1)
