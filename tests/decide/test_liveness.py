"""Who is there: every state with its reason, and the rules that must hold for any history."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acsmpd.decide.liveness import Facts, Limits, judge, judge_all
from tests.decide.rows import QUICK

LIMITS = Limits()
STATES = ("online", "unreachable", "suspect", "lost", "gone", "offline")


def facts(state: str = "online", **more: Any) -> Facts:
    values: dict[str, Any] = {"ever_heard": True, "ever_answered": True, **more}
    return Facts(state=state, **values)


def state_of(one: Facts, now: float, started: float = 0.0) -> str:
    return judge(one, started=started, now=now, limits=LIMITS).state


@pytest.mark.parametrize(
    ("one", "now", "state", "reason"),
    [
        (facts(heard=500, answered=500), 510, "online", ""),
        (facts(heard=500, answered=500), 599, "online", ""),  # 90 s of silence are normal
        (facts(heard=500, answered=500), 600, "suspect", "nothing heard for 100 s"),
        (facts(heard=500, answered=580), 600, "online", ""),  # an answer is an exchange too
        (facts(heard=500, answered=500), 769, "suspect", "nothing heard for 269 s"),
        (facts(heard=500, answered=500), 770, "lost", "nothing heard for 270 s"),
        (
            facts(heard=595, answered=500, failures=2, failing_since=570, failure="refused"),
            600,
            "unreachable",
            "observations fail (2 in a row): refused",
        ),
        (
            facts(heard=500, answered=500, failures=3, failing_since=541, failure="refused"),
            600,
            "suspect",
            "nothing heard for 100 s; refused",
        ),
        (
            facts(heard=500, answered=500, failures=2, failing_since=510, failure="refused"),
            600,
            "suspect",
            "nothing heard for 100 s; refused",
        ),
        (
            facts(heard=500, answered=500, failures=3, failing_since=540, failure="refused"),
            600,
            "lost",
            "nothing heard for 100 s; refused",
        ),
        (facts(heard=599, registered=False), 600, "gone", "it unregistered"),
        (
            facts("offline", heard=599),
            600,
            "unreachable",
            "it was heard, but has not answered a call of ours yet",
        ),
        (facts("offline", heard=599, callable=False), 600, "online", ""),
        (facts("offline"), 50, "offline", "no exchange yet since this platform started"),
        (facts("gone"), 50, "offline", "no exchange yet since this platform started"),
        (facts("online"), 50, "online", "no exchange yet since this platform started"),
        (facts("unreachable"), 50, "unreachable", "no exchange yet since this platform started"),
    ],
)
def test_the_state_and_its_reason(one: Facts, now: float, state: str, reason: str) -> None:
    verdict = judge(one, started=0.0, now=now, limits=LIMITS)
    assert (verdict.state, verdict.reason) == (state, reason)


def test_the_limits_are_settings() -> None:
    tight = Limits(suspect_seconds=10, lost_seconds=20)
    one = facts(heard=100, answered=100)
    states = [judge(one, started=0, now=at, limits=tight).state for at in (109, 110, 119, 120)]
    assert states == ["online", "suspect", "suspect", "lost"]


# --- coming back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({"heard": 1001, "answered": 900}, "lost"),  # heard again, but not seen yet
        ({"heard": 900, "answered": 1001}, "lost"),  # seen, but it has not spoken
        ({"heard": 1001, "answered": 1002}, "online"),
        ({"heard": 1001, "answered": 1002, "failures": 1, "failing_since": 1003}, "lost"),
        ({"heard": 1001, "answered": None, "ever_answered": False, "callable": False}, "online"),
        ({"heard": None, "answered": 1001, "ever_heard": False}, "online"),
        ({"heard": 1000, "answered": 1000}, "lost"),  # the very moment it was given up
    ],
)
def test_back_needs_one_success_in_each_direction_it_has_shown(more: dict[str, Any], state: str) -> None:
    assert state_of(facts("lost", left_at=1000.0, **more), 1010) == state


def test_still_lost_tells_what_is_awaited() -> None:
    verdict = judge(facts("lost", left_at=1000.0, heard=1001), started=0, now=1010, limits=LIMITS)
    assert verdict.reason == ("waiting for one success in each direction it has shown: nothing heard for 9 s")


def test_lost_before_our_own_restart_stays_lost_until_it_shows_itself() -> None:
    assert state_of(facts("lost"), 10) == "lost"
    assert state_of(facts("lost", heard=5), 10) == "lost"
    assert state_of(facts("lost", heard=5, answered=6), 10) == "online"


# --- what holds for any history --------------------------------------------------------------------------

moments = st.floats(0, 5000)
maybe = st.none() | moments


@st.composite
def histories(draw: st.DrawFn, states: tuple[str, ...] = STATES) -> Facts:
    failures = draw(st.integers(0, 6))
    return Facts(
        state=draw(st.sampled_from(states)), callable=draw(st.booleans()), heard=draw(maybe), answered=draw(maybe),
        failures=failures, failing_since=draw(moments) if failures else None, failure="no answer",
        ever_heard=draw(st.booleans()), ever_answered=draw(st.booleans()), left_at=draw(maybe),
    )  # fmt: skip


def silence(one: Facts, started: float, now: float) -> float:
    return now - max(started, *(at for at in (one.heard, one.answered) if at is not None), started)


@QUICK
@given(
    one=histories(states=("online", "unreachable", "suspect", "gone", "offline")),
    started=moments,
    now=moments,
)
def test_nobody_becomes_lost_before_suspect_seconds_of_silence(
    one: Facts, started: float, now: float
) -> None:
    if silence(one, started, now) < LIMITS.suspect_seconds:
        assert state_of(one, now, started) != "lost"


@QUICK
@given(one=histories(), started=moments, extra=st.floats(0, 99.9))
def test_silence_is_never_counted_from_before_our_own_start(one: Facts, started: float, extra: float) -> None:
    state = state_of(one, started + extra, started)
    assert state not in ("suspect", "lost") or one.state == state


@QUICK
@given(one=histories(), started=moments, now=moments)
def test_long_silence_is_lost_whatever_stood_before(one: Facts, started: float, now: float) -> None:
    if silence(one, started, now) >= LIMITS.lost_seconds:
        assert state_of(one, now, started) == "lost"


@QUICK
@given(one=histories(states=("lost",)), started=moments, now=moments)
def test_lost_ends_only_with_both_directions(one: Facts, started: float, now: float) -> None:
    if state_of(one, now, started) == "lost":
        return
    since = one.left_at if one.left_at is not None else -1.0
    assert one.failures == 0
    for ever, at in ((one.ever_heard, one.heard), (one.ever_answered, one.answered)):
        assert not ever or (at is not None and at > since)


@QUICK
@given(one=histories(), started=moments, now=moments)
def test_the_same_facts_give_the_same_verdict_with_a_reason_for_anything_but_online(
    one: Facts, started: float, now: float
) -> None:
    verdict = judge(one, started=started, now=now, limits=LIMITS)
    assert verdict == judge(one, started=started, now=now, limits=LIMITS)
    assert verdict.state in STATES
    assert verdict.reason or verdict.state == "online"


# --- many at once: our own line ----------------------------------------------------------------------------


def failing(since: float = 400.0, **more: Any) -> Facts:
    values = {"heard": 390.0, "answered": 390.0, "failures": 8, "failing_since": since, "failure": "no route"}
    return facts("unreachable", **{**values, **more})


def fine() -> Facts:
    return facts(heard=895.0, answered=899.0)


def all_of(*many: Facts) -> tuple[list[str], str]:
    named = {f"d{place}": one for place, one in enumerate(many)}
    verdicts, text = judge_all(named, started=0, now=900.0, limits=LIMITS, interval=15.0)
    return [verdicts[code].state for code in named], text


def test_more_than_half_failing_at_once_is_our_own_line_and_nobody_is_lost() -> None:
    states, text = all_of(failing(), failing(410), failing(420), fine())
    assert states == ["unreachable", "unreachable", "unreachable", "online"]
    assert text == "3 of 4 computilities stopped answering at once: our own line is suspected"


@pytest.mark.parametrize(
    "many",
    [
        (failing(), failing(), failing()),  # fewer than four
        (failing(), failing(), fine(), fine()),  # half is not more than half
        (failing(400), failing(500), failing(600), fine()),  # one after the other
    ],
)
def test_otherwise_each_is_judged_by_itself(many: tuple[Facts, ...]) -> None:
    states, text = all_of(*many)
    assert text == ""
    assert states == ["lost" if one.failures else "online" for one in many]


def test_the_grace_ends_when_half_of_them_are_back() -> None:
    assert all_of(failing(), failing(), failing(), fine())[0].count("lost") == 0
    assert all_of(failing(), failing(), fine(), fine())[0].count("lost") == 2


def test_silence_of_the_time_our_line_was_cut_is_not_held_against_those_asked_last() -> None:
    states, text = all_of(failing(excused_at=895.0), failing(excused_at=790.0), fine(), fine(), fine())
    assert (states[:2], text) == (["unreachable", "lost"], "")
    states, text = all_of(*[failing(excused_at=895.0)] * 3, fine())
    assert (states[:3], text[:6]) == (["unreachable"] * 3, "3 of 4")


@pytest.mark.parametrize(
    "bystander",
    [
        facts("lost", left_at=100.0, failures=60, failing_since=90.0),  # given up long ago
        facts("offline", ever_answered=False, ever_heard=False, failures=60, failing_since=400.0),
        facts("unreachable", ever_answered=False, heard=890.0, failures=60, failing_since=400.0),
        facts("gone", registered=False),
        facts(heard=890.0, callable=False),
    ],
)
def test_those_that_were_not_reachable_say_nothing_about_our_line(bystander: Facts) -> None:
    """Four dead cameras an operator entered must not hold up the failover of a real one."""
    states, text = all_of(failing(), fine(), fine(), fine(), *[bystander] * 6)
    assert text == ""
    assert states[0] == "lost"


@QUICK
@given(many=st.lists(histories(), max_size=9), now=moments)
def test_the_mass_rule_only_ever_takes_lost_back(many: list[Facts], now: float) -> None:
    named = {f"d{place}": one for place, one in enumerate(many)}
    verdicts, text = judge_all(named, started=0, now=now, limits=LIMITS, interval=15.0)
    for code, one in named.items():
        alone = judge(one, started=0, now=now, limits=LIMITS)
        if verdicts[code] != alone:
            assert (alone.state, verdicts[code].state, verdicts[code].reason) == ("lost", "unreachable", text)
            assert one.failures
    if text:
        assert len(many) >= 4
