"""Throttle and rate limit, with moments of our own."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd import faults
from acsmpd.clock import Moment
from acsmpd.security.throttle import RateLimit, Throttle

START = Moment(1_700_000_000_000, 1000.0, "boot")
HERE = "10.0.0.9"


def _wait(throttle: Throttle, subject: str, address: str, now: Moment) -> int:
    """Seconds to wait; 0 when the try is let through."""
    try:
        throttle.check(subject, address, now)
    except faults.SlowDown as fault:
        refusal = fault
    else:
        return 0
    assert refusal.retry_after_seconds is not None
    assert (refusal.code, refusal.message.rpartition(", ")[2]) == (
        42901,
        f"wait {refusal.retry_after_seconds} s",
    )
    return refusal.retry_after_seconds


def _fail_over_time(throttle: Throttle, count: int, subject: str = "admin") -> Moment:
    """Wrong tries from one new address each, every one as early as it is let through."""
    now = START
    for number in range(count):
        now = now.later(_wait(throttle, subject, f"10.1.{number}.1", now))
        throttle.failed(subject, f"10.1.{number}.1", now)
    return now


def test_three_wrong_tries_are_free_and_then_the_wait_doubles_to_a_minute() -> None:
    waits = []
    for count in range(1, 12):
        throttle = Throttle()
        waits.append(_wait(throttle, "admin", HERE, _fail_over_time(throttle, count)))
    assert waits == [0, 0, 0, 2, 4, 8, 16, 32, 60, 60, 60]


def test_a_wait_ends_and_concerns_one_subject() -> None:
    throttle = Throttle()
    now = _fail_over_time(throttle, 5)
    assert _wait(throttle, "other", HERE, now) == 0
    assert _wait(throttle, "admin", HERE, now.later(1.5)) == 3
    assert _wait(throttle, "admin", HERE, now.later(3.999)) == 1
    assert _wait(throttle, "admin", HERE, now.later(4)) == 0


def test_the_message_says_what_and_how_long_but_not_who() -> None:
    throttle = Throttle()
    now = _fail_over_time(throttle, 4, "li.wei")
    with pytest.raises(faults.SlowDown) as caught:
        throttle.check("li.wei", HERE, now)
    assert caught.value.message == "cannot try again yet: too many wrong tries, wait 2 s"


def test_success_forgets_and_so_do_fifteen_quiet_minutes() -> None:
    throttle = Throttle()
    now = _fail_over_time(throttle, 6)
    throttle.succeeded("admin")
    assert _wait(throttle, "admin", HERE, now) == 0
    throttle.failed("admin", HERE, now)
    assert _wait(throttle, "admin", HERE, now) == 0
    now = _fail_over_time(throttle, 6, "other").later(901)
    throttle.failed("other", HERE, now)
    assert _wait(throttle, "other", HERE, now) == 0


def test_twenty_wrong_tries_of_any_subjects_make_an_address_wait_15_minutes() -> None:
    throttle = Throttle()
    for number in range(20):
        assert _wait(throttle, "fresh", HERE, START.later(number)) == 0
        throttle.failed(f"user{number}", HERE, START.later(number))
    assert _wait(throttle, "fresh", HERE, START.later(19)) == 900
    with pytest.raises(faults.SlowDown, match="too many wrong tries from this address, wait 900 s"):
        throttle.check("fresh", HERE, START.later(19))
    assert _wait(throttle, "fresh", "10.0.0.10", START.later(19)) == 0
    throttle.succeeded("fresh")
    assert _wait(throttle, "fresh", HERE, START.later(918)) == 1
    assert _wait(throttle, "fresh", HERE, START.later(919)) == 0


def test_after_its_15_minutes_an_address_starts_afresh() -> None:
    throttle = Throttle()
    for number in range(20):
        throttle.failed(f"user{number}", HERE, START)
    again = START.later(900)
    throttle.failed("fresh", HERE, again)
    assert _wait(throttle, "other", HERE, again) == 0


def test_twenty_in_more_than_15_minutes_are_no_guessing() -> None:
    throttle = Throttle()
    for number in range(60):
        throttle.failed(f"user{number}", HERE, START.later(number * 48))
    assert _wait(throttle, "fresh", HERE, START.later(59 * 48)) == 0


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ("10.0.0.1", "10.0.0.2", False),
        ("10.0.0.1", "::ffff:10.0.0.1", True),
        ("2001:db8::1", "2001:db8::ffff:1:2:3", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("unix", "unix", True),
        ("", "unix", False),
    ],
)
def test_what_counts_as_one_address(one: str, two: str, same: bool) -> None:
    throttle = Throttle()
    for number in range(20):
        throttle.failed(f"user{number}", one, START)
    assert (_wait(throttle, "fresh", two, START) > 0) == same


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    throttle = Throttle(remembered=10)
    for number in range(30):
        for _ in range(4):
            throttle.failed(f"user{number}" + "x" * 10_000, f"10.0.{number}.1", START)
    assert (len(throttle._subjects), len(throttle._addresses)) == (10, 10)
    assert all(len(key) == 64 for key in throttle._subjects._entries)
    assert _wait(throttle, "user19" + "x" * 10_000, HERE, START) == 0
    assert _wait(throttle, "user20" + "x" * 10_000, HERE, START) == 2


def test_a_subject_in_use_is_not_the_oldest() -> None:
    throttle = Throttle(remembered=3)
    for _ in range(4):
        throttle.failed("admin", "10.0.0.1", START)
    for number in range(5):
        throttle.failed(f"user{number}", f"10.0.1.{number}", START)
        throttle.failed("admin", f"10.0.2.{number}", START)
    assert _wait(throttle, "admin", HERE, START) == 60


def test_no_wrong_try_is_lost_between_threads() -> None:
    throttle = Throttle()
    start = threading.Barrier(8)

    def guess() -> None:
        start.wait(30)
        for number in range(200):
            throttle.failed("admin", f"10.{number}.0.1", START)

    threads = [threading.Thread(target=guess) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert throttle._subjects._entries.popitem()[1].wrong == 1600


@given(st.lists(st.tuples(st.floats(0, 2000), st.booleans()), max_size=60))
def test_nobody_waits_over_15_minutes_and_an_account_over_a_minute(
    steps: list[tuple[float, bool]],
) -> None:
    throttle, now = Throttle(), START
    for seconds, from_here in steps:
        now = now.later(seconds)
        throttle.failed("admin", HERE if from_here else "10.9.9.9", now)
        assert _wait(throttle, "admin", "10.5.5.5", now) <= 60
        assert _wait(throttle, "fresh", HERE, now) <= 900
    assert _wait(throttle, "admin", HERE, now.later(900)) == 0


# --- accounts of people ----------------------------------------------------------------------------


def _account_wait(throttle: Throttle, address: str, now: Moment) -> int:
    try:
        throttle.check_account("admin", address, now)
    except faults.SlowDown as fault:
        return int(fault.retry_after_seconds or 0)
    return 0


def _guess(throttle: Throttle, address: str, count: int, now: Moment = START) -> Moment:
    """Wrong tries from one address, every one as early as it is let through."""
    for _ in range(count):
        now = now.later(_account_wait(throttle, address, now))
        throttle.account_failed("admin", address, now)
    return now


EVIL, OTHER = "10.0.0.66", "10.0.0.77"


def test_an_account_waits_everywhere_but_where_it_has_been_entered_from() -> None:
    throttle = Throttle()
    throttle.account_succeeded("admin", HERE)
    now = _guess(throttle, EVIL, 8)
    assert _account_wait(throttle, EVIL, now) == 32
    assert _account_wait(throttle, OTHER, now) == 32
    assert _account_wait(throttle, HERE, now) == 0


def test_where_it_has_been_entered_from_it_waits_for_its_own_wrong_tries() -> None:
    throttle = Throttle()
    throttle.account_succeeded("admin", HERE)
    assert _account_wait(throttle, HERE, _guess(throttle, HERE, 6)) == 8


def test_one_address_does_not_keep_others_out_with_one_try_a_minute() -> None:
    throttle = Throttle()
    now = _guess(throttle, EVIL, 10)
    told = _account_wait(throttle, HERE, now)
    assert told == 60
    for second in range(1, told + 1):
        at = now.later(second)
        if _account_wait(throttle, EVIL, at) == 0:
            throttle.account_failed("admin", EVIL, at)
        assert (_account_wait(throttle, HERE, at) == 0) == (second == told)
    now = now.later(told)
    throttle.account_failed("admin", HERE, now)  # its turn is used
    assert _account_wait(throttle, HERE, now) == 60


def test_success_forgets_the_wrong_tries_made_there_and_no_others() -> None:
    throttle = Throttle()
    now = _guess(throttle, HERE, 2)
    throttle.account_succeeded("admin", HERE)
    now = _guess(throttle, EVIL, 3, now)
    assert _account_wait(throttle, OTHER, now) == 0
    throttle.account_succeeded("admin", HERE)
    now = _guess(throttle, EVIL, 1, now)
    assert _account_wait(throttle, OTHER, now) == 2


def test_twenty_wrong_tries_of_accounts_make_an_address_wait_wherever_it_has_been() -> None:
    throttle = Throttle()
    throttle.account_succeeded("admin", HERE)
    for number in range(20):
        throttle.account_failed(f"user{number}", HERE, START)
    assert _account_wait(throttle, HERE, START) == 900


def test_an_account_remembers_sixteen_addresses() -> None:
    throttle = Throttle()
    for number in range(17):
        throttle.account_succeeded("admin", f"10.7.{number}.1")
    now = _guess(throttle, EVIL, 4)
    assert _account_wait(throttle, "10.7.0.1", now) == 2
    assert [_account_wait(throttle, f"10.7.{number}.1", now) for number in range(1, 17)] == [0] * 16
    for number in range(2000):
        throttle.account_succeeded(f"user{number}", HERE)
    assert len(throttle._known) == 1000


# --- RateLimit -------------------------------------------------------------------------------------


REFUSAL = (
    42901,
    1,
    "cannot try again yet: more than 50 unknown tokens a second from this address, wait 1 s",
)


def _taken(limit: RateLimit, address: str, now: Moment, tries: int) -> int:
    refusals = []
    for _ in range(tries):
        try:
            limit.take(address, now)
        except faults.SlowDown as fault:
            refusals.append((fault.code, fault.retry_after_seconds, fault.message))
    assert set(refusals) <= {REFUSAL}
    return tries - len(refusals)


def test_fifty_a_second_from_one_address() -> None:
    limit = RateLimit()
    assert _taken(limit, HERE, START, 80) == 50
    assert _taken(limit, "10.0.0.10", START, 80) == 50
    assert _taken(limit, HERE, START.later(0.5), 80) == 25
    assert _taken(limit, HERE, START.later(10), 80) == 50


def test_a_burst_may_be_larger_than_a_second() -> None:
    limit = RateLimit(5, burst=20, what="passwords a second from this address")
    for _ in range(20):
        limit.take(HERE, START)
    with pytest.raises(faults.SlowDown, match="more than 5 passwords a second from this address, wait 1 s"):
        limit.take(HERE, START)
    for _ in range(5):
        limit.take(HERE, START.later(1))
    with pytest.raises(faults.SlowDown):
        limit.take(HERE, START.later(1))


def test_refusals_are_not_counted_and_a_clock_set_back_earns_nothing() -> None:
    limit = RateLimit()
    assert _taken(limit, HERE, START, 500) == 50
    assert _taken(limit, HERE, START.later(-100), 5) == 0
    assert _taken(limit, HERE, START.later(1), 80) == 50


def test_the_rate_holds_over_any_ten_seconds() -> None:
    limit = RateLimit()
    assert sum(_taken(limit, HERE, START.later(step / 100), 2) for step in range(1001)) in range(545, 552)


def test_addresses_are_bounded() -> None:
    limit = RateLimit(remembered=5)
    for number in range(20):
        limit.take(f"10.0.{number}.1", START)
    assert len(limit._buckets) == 5
