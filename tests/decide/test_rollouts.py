"""Waves that never grow too large and stop when they must; what one member needs next, and why it waits."""

from __future__ import annotations

import random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from acsmpd.decide import rollouts
from acsmpd.decide.rollouts import IN_WINDOW, Counts, Ledger, Member, Terms, Times, Turn, is_up, next_for
from acsmpd.model import CopyRow, Device, Family, LoadRow

CODE, PACKAGE = "11010000005050000001", "1" * 40
ENV = [{"Name": "MODE", "Value": "day"}]


# --- waves ---------------------------------------------------------------------------------------------------


class Field:
    """Members whose turns end as a drawn fate says, in a drawn order."""

    def __init__(self, fates: list[bool], most: int, threshold: int) -> None:
        self.fates, self.most, self.threshold = fates, most, threshold
        self.begun = self.done = self.failed = 0
        self.running: list[bool] = []
        self.peak = 0

    @property
    def counts(self) -> Counts:
        return Counts(len(self.fates) - self.begun, len(self.running), self.done, self.failed)

    def begin(self, *, paused: bool = False, is_open: bool = True) -> int:
        number = rollouts.to_begin(
            self.counts, threshold=self.threshold, paused=paused, most=self.most, is_open=is_open
        )
        self.running += self.fates[self.begun : self.begun + number]
        self.begun += number
        self.peak = max(self.peak, len(self.running))
        return number

    def end_one(self, draw: random.Random) -> None:
        if self.running:
            fine = self.running.pop(draw.randrange(len(self.running)))
            self.done, self.failed = self.done + fine, self.failed + (not fine)

    @property
    def is_over(self) -> bool:
        return rollouts.is_over(self.counts, threshold=self.threshold)


@given(
    fates=st.lists(st.booleans(), min_size=1, max_size=60), most=st.integers(1, 70),
    threshold=st.integers(1, 70), seed=st.integers(0, 9),
)  # fmt: skip
def test_never_more_than_n_at_once_none_after_k_failures_and_it_ends(
    fates: list[bool], most: int, threshold: int, seed: int
) -> None:
    field, draw = Field(fates, most, threshold), random.Random(seed)
    for _ in range(3 * len(fates) + 3):
        paused, is_open, stopped = draw.random() < 0.2, draw.random() < 0.8, field.failed >= threshold
        idle = not field.running
        begun = field.begin(paused=paused, is_open=is_open)
        assert not (begun and (paused or stopped or not is_open or not idle))
        assert field.counts.total == len(fates)
        field.end_one(draw)
    while not field.is_over:
        field.begin()
        field.end_one(draw)
    assert field.peak <= most
    failed = fates.count(False)
    state = rollouts.state(field.counts, threshold=threshold, paused=False)
    assert state == ("FAILED" if failed >= threshold else "FINISHED")
    assert field.failed <= threshold - 1 + most  # at worst the whole wave of the last straw
    if failed < threshold:
        assert (field.done, field.failed, field.counts.percent) == (len(fates) - failed, failed, 100)
    assert field.begin() == 0


@pytest.mark.parametrize(
    ("counts", "paused", "state", "percent"),
    [
        (Counts(3, 0, 0, 0), False, "RUNNING", 0),
        (Counts(3, 0, 0, 0), True, "PAUSED", 0),
        (Counts(1, 1, 1, 0), True, "PAUSED", 33),
        (Counts(0, 0, 199, 1), True, "FINISHED", 100),
        (Counts(1, 0, 198, 1), False, "RUNNING", 99),
        (Counts(2, 1, 0, 2), True, "FAILED", 40),
        (Counts(0, 0, 3, 2), False, "FAILED", 100),
    ],
)
def test_state_and_progress(counts: Counts, paused: bool, state: str, percent: int) -> None:
    assert rollouts.state(counts, threshold=2, paused=paused) == state
    assert counts.percent == percent


def test_who_was_in_progress_when_it_stopped_is_carried_through() -> None:
    assert not rollouts.is_over(Counts(2, 1, 0, 2), threshold=2)
    assert rollouts.is_over(Counts(2, 0, 1, 2), threshold=2)
    assert not rollouts.is_over(Counts(2, 0, 1, 1), threshold=2)


def test_the_first_failures_are_named() -> None:
    failures = [(f"d{number}", "no") for number in range(7)]
    said = rollouts.told(failures, Counts(0, 0, 3, 7))
    assert said == ("7 of 10 computilities failed: d0: no; d1: no; d2: no; d3: no; d4: no; and 2 more")
    assert rollouts.told(failures[:1], Counts(1, 0, 3, 1)) == "1 of 5 computilities failed: d0: no"


# --- one member -------------------------------------------------------------------------------------------------


def device(**more: Any) -> Device:
    return Device(**{"code": CODE, "type": "CAD", "family": Family.CAD, "state": "online", **more})


def copy(**more: Any) -> CopyRow:
    values = {
        "id": 1, "package_id": PACKAGE, "device": CODE, "wanted": True, "status": 1, "sent": True, "md5": "m1",
        "generation": 0, "parked": False, "attempts": 0, "missing": 0, **more,
    }  # fmt: skip
    return CopyRow(**values)


def load(**more: Any) -> LoadRow:
    values = {
        "id": "load", "service_id": "service", "package_id": PACKAGE, "device": CODE, "wanted": True,
        "status": "INIT", "sent": True, "facility_id": "", "parked": False, "attempts": 0, "missing": 0, **more,
    }  # fmt: skip
    return LoadRow(**values)


HERE = copy(status=3)
TERMS = Terms(package_id=PACKAGE, md5="m1", load=True)
PUSH_ONLY = replace(TERMS, load=False)
WINDOW, CLOSED = replace(TERMS, windowed=True), replace(TERMS, windowed=True, is_open=False)
FRESH = Member(id=1, device=CODE)
PUSHED = replace(FRESH, step="push", made_copy=True)
LOADED = replace(PUSHED, step="load", service_id="service", made_load=True)


def turn(
    member: Member, terms: Terms = TERMS, held: CopyRow | None = None, *loads: LoadRow,
    at: Device | None = None, envs: dict[str, Any] | None = None, known: bool = True, **times: float,
) -> Turn:  # fmt: skip
    ledger = Ledger(
        devices={CODE: at or device()} if known else {}, copies={CODE: held} if held else {},
        loads={CODE: loads}, envs=envs or {},
    )  # fmt: skip
    return next_for(member, ledger, terms, Times(**times))


def does(*args: Any, **more: Any) -> tuple[str, str]:
    found = turn(*args, **more)
    return found.do, found.why


STEADY = replace(TERMS, min_ready=30.0)
UP = load(status="RUNNING")
CRASHED = load(status="ERROR", error="ended by SIGSEGV")


def test_a_service_has_to_run_for_a_while_before_it_counts() -> None:
    waits = ("", "its service runs; it counts when it has for 30 s")
    assert does(LOADED, STEADY, HERE, UP) == waits
    assert does(LOADED, STEADY, HERE, UP, ready=29.9) == waits
    assert does(LOADED, STEADY, HERE, UP, ready=29.9, turn=9e9, turn_most=600.0) == waits
    assert does(LOADED, STEADY, HERE, UP, ready=30.0) == ("done", "")
    assert does(LOADED, TERMS, HERE, UP) == ("done", "")


def test_what_was_there_before_its_turn_or_is_only_a_file_counts_at_once() -> None:
    assert does(FRESH, STEADY, HERE, UP) == ("done", "")
    assert does(PUSHED, replace(STEADY, load=False), HERE) == ("done", "")


def test_a_service_that_goes_down_meanwhile_is_a_failure() -> None:
    assert does(LOADED, STEADY, HERE, CRASHED, ready=5.0) == (
        "failed", "its service did not stay up: ended by SIGSEGV",
    )  # fmt: skip
    assert does(LOADED, STEADY, HERE, load(), ready=5.0) == (
        "failed", "its service did not stay up: it is INIT",
    )  # fmt: skip
    assert does(LOADED, STEADY, HERE, CRASHED) == ("", "ended by SIGSEGV")  # it has never run


@pytest.mark.parametrize("state", ["unreachable", "lost"])
def test_a_device_that_is_away_says_nothing_of_its_service(state: str) -> None:
    away = device(state=state)
    said = f"computility {CODE} is {state}"
    assert does(LOADED, STEADY, HERE, UP, at=away) == ("", said)
    found = does(LOADED, STEADY, HERE, UP, at=away, away=60.0, away_most=60.0)
    assert found[0] == "give_up"
    assert said in found[1]
    ledger = Ledger(devices={CODE: away}, copies={}, loads={CODE: (UP,)}, envs={})
    assert not is_up(LOADED, ledger, STEADY)
    assert is_up(LOADED, replace(ledger, devices={CODE: device()}), STEADY)
    assert not is_up(LOADED, replace(ledger, devices={CODE: device()}), replace(STEADY, load=False))


def test_the_ladder_without_a_window_is_one_wish() -> None:
    assert does(FRESH) == ("load", "")
    assert does(LOADED, TERMS, copy(), load()) == ("", "the package file is on its way")
    assert does(LOADED, TERMS, copy(error="cut"), load()) == ("", "cut")
    assert does(LOADED, TERMS, HERE, load()) == ("", "its service is starting")
    assert does(LOADED, TERMS, HERE, load(status="ERROR", error="no card")) == ("", "no card")
    assert does(LOADED, TERMS, HERE, load(status="RUNNING")) == ("done", "")


def test_pushing_alone_ends_with_the_very_file() -> None:
    assert does(FRESH, PUSH_ONLY) == ("push", "")
    assert does(PUSHED, PUSH_ONLY, copy()) == ("", "the package file is on its way")
    assert (
        does(PUSHED, PUSH_ONLY, copy(status=3, md5="old"))[1] == "another file of the package is there still"
    )
    assert does(PUSHED, PUSH_ONLY, HERE) == ("done", "")


def test_in_a_window_the_load_comes_after_the_file() -> None:
    assert does(FRESH, WINDOW) == ("push", "")
    assert does(PUSHED, WINDOW, copy()) == ("", "the package file is on its way")
    assert does(PUSHED, WINDOW, HERE) == ("load", "")


@pytest.mark.parametrize("status", ["RUNNING", "OVERLOAD"])
def test_what_is_there_already_needs_no_step(status: str) -> None:
    assert does(FRESH, TERMS, None, load(status=status)) == ("done", "")
    assert does(FRESH, CLOSED, None, load(status=status, ours=False)) == ("done", "")
    assert does(FRESH, replace(TERMS, env=ENV), None, load(status=status), envs={"service": ENV}) == (
        "done",
        "",
    )
    assert does(FRESH, PUSH_ONLY, HERE) == ("done", "")


@pytest.mark.parametrize(
    ("terms", "found"),
    [
        (replace(TERMS, env=ENV), load(status="RUNNING")),
        (replace(TERMS, env=ENV), load(status="RUNNING", ours=False)),
        (TERMS, load(status="RUNNING", wanted=False)),
    ],
)
def test_a_service_that_is_another_does_not_count(terms: Terms, found: LoadRow) -> None:
    assert turn(FRESH, terms, HERE, found, envs={"service": []}, at=device(family=Family.CAP)).do == "load"


def test_a_running_service_of_another_is_not_the_one_waited_for() -> None:
    other = load(id="other", service_id="other", status="RUNNING")
    assert does(LOADED, TERMS, HERE, other, load()) == ("", "its service is starting")
    assert does(LOADED, TERMS, HERE, other) == ("failed", "its service was unloaded")


@pytest.mark.parametrize(
    ("member", "held", "loads", "why"),
    [
        (
            PUSHED,
            copy(parked=True, status=2, error="no room"),
            (),
            "the package file did not arrive: no room",
        ),
        (LOADED, copy(parked=True, status=2, error="x"), (load(),), "the package file did not arrive: x"),
        (PUSHED, None, (), "the package file was deleted from it"),
        (PUSHED, copy(wanted=False), (), "the package file was deleted from it"),
        (LOADED, HERE, (), "its service was unloaded"),
        (LOADED, HERE, (load(wanted=False),), "its service was unloaded"),
        (LOADED, HERE, (load(parked=True, error="no card"),), "its service was refused: no card"),
    ],
)
def test_what_will_never_come_to_an_end_has_failed(
    member: Member, held: CopyRow | None, loads: tuple[LoadRow, ...], why: str
) -> None:
    assert does(member, TERMS, held, *loads) == ("failed", why)


def test_a_refusal_of_before_our_wish_is_tried_afresh() -> None:
    refused = load(parked=True, status="ERROR")
    assert does(FRESH, TERMS, copy(parked=True, status=2), refused) == ("load", "")
    assert does(FRESH, PUSH_ONLY, copy(parked=True, status=2)) == ("push", "")


def test_a_deleted_package_ends_every_member() -> None:
    for member in (FRESH, PUSHED, LOADED):
        assert does(member, replace(TERMS, md5=None), HERE) == ("failed", f"package {PACKAGE} was deleted")


def test_one_service_leaves_before_the_next_comes() -> None:
    assert does(FRESH, TERMS, HERE, load(wanted=False)) == ("", "the old service is being unloaded first")


# --- windows ----------------------------------------------------------------------------------------------------


def test_nothing_begins_outside_the_window_and_no_time_passes() -> None:
    long = {"turn": 1e9, "turn_most": 1.0, "away": 1e9, "away_most": 1.0}
    for member, held in ((FRESH, None), (FRESH, HERE), (PUSHED, HERE)):
        for where in (device(), device(state="lost")):
            assert turn(member, CLOSED, held, at=where, **long) == Turn("", IN_WINDOW, timed=False)


def test_what_has_not_left_when_it_closes_is_withdrawn() -> None:
    assert turn(PUSHED, CLOSED, copy(sent=False)) == Turn("withdraw", IN_WINDOW, timed=False)
    assert turn(LOADED, CLOSED, HERE, load(sent=False)).do == "withdraw"


def test_what_has_left_is_carried_through_and_so_is_what_others_wished() -> None:
    assert does(PUSHED, CLOSED, copy()) == ("", "the package file is on its way")
    assert does(LOADED, CLOSED, HERE, load()) == ("", "its service is starting")
    assert does(replace(PUSHED, made_copy=False), CLOSED, copy(sent=False))[0] == ""
    assert does(replace(LOADED, made_load=False), CLOSED, HERE, load(sent=False))[0] == ""


# --- time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"at": device(state="lost")}, f"computility {CODE} is lost"),
        ({"at": device(enabled=False)}, f"computility {CODE} is disabled"),
        ({"at": device(state="gone")}, f"computility {CODE} is gone"),
        ({"known": False}, f"computility {CODE} is not known"),
    ],
)
def test_a_device_that_is_away_is_waited_for_and_then_given_up(more: dict[str, Any], words: str) -> None:
    for member, held in ((FRESH, None), (PUSHED, copy(sent=False))):
        assert does(member, PUSH_ONLY, held, away=59.0, away_most=60.0, **more) == ("", words)
        assert does(member, PUSH_ONLY, held, away=60.0, away_most=60.0, **more) == (
            "give_up",
            f"{words}, for 60 s of its turn",
        )


def test_a_turn_has_an_end_whatever_happens() -> None:
    starting = {"turn": 60.0, "turn_most": 60.0}
    assert does(LOADED, TERMS, HERE, load(), **starting) == (
        "give_up",
        "not done within 60 s: its service is starting",
    )
    assert does(LOADED, TERMS, HERE, load(status="RUNNING"), **starting) == ("done", "")
    assert does(PUSHED, PUSH_ONLY, copy(), turn=59.0, turn_most=60.0)[0] == ""


COPIES = st.none() | st.builds(
    copy, status=st.sampled_from([1, 2, 3]), wanted=st.booleans(), sent=st.booleans(), parked=st.booleans(),
    md5=st.sampled_from(["m1", "old"]), ours=st.booleans(),
)  # fmt: skip
LOADS = st.lists(
    st.builds(
        load, service_id=st.sampled_from(["service", "other"]), wanted=st.booleans(), sent=st.booleans(),
        parked=st.booleans(), status=st.sampled_from(["INIT", "RUNNING", "ERROR"]), ours=st.booleans(),
    ),
    max_size=2,
)  # fmt: skip
ALL_TERMS = st.builds(
    replace, st.sampled_from([TERMS, PUSH_ONLY, WINDOW, CLOSED, replace(CLOSED, load=False)]),
    env=st.sampled_from([(), ENV]), md5=st.sampled_from(["m1", None]),
)  # fmt: skip
PLACES = st.builds(
    device, state=st.sampled_from(["online", "lost"]), family=st.sampled_from([Family.CAD, Family.CAP])
)


@given(st.sampled_from([FRESH, PUSHED, LOADED]), ALL_TERMS, COPIES, LOADS, PLACES, st.booleans())
def test_whatever_stands_a_turn_has_an_owner_and_an_end(
    member: Member, terms: Terms, held: CopyRow | None, loads: list[LoadRow], at: Device, known: bool
) -> None:
    now = turn(member, terms, held, *loads, at=at, known=known)
    assert now.do or now.why, "who waits says for what"
    assert now.do != "push" or not member.step, "no wish is written twice"
    assert now.do != "load" or member.step != "load"
    assert not (now.do in ("push", "load") and not (terms.is_open and at.takes_steps and known))
    late = turn(member, terms, held, *loads, at=at, known=known, turn=1e9, turn_most=1.0)
    assert late.do in ("done", "failed", "give_up") or not late.timed
    if not late.timed:
        assert terms.windowed
        assert not terms.is_open


# --- who is meant -----------------------------------------------------------------------------------------------


def record(code: str, **more: Any) -> dict[str, Any]:
    return {
        "code": code, "type": "CAD", "organisation": "", "tags": None, "location": None, "approved": True,
        "enabled": True, "support_services": True, **more,
    }  # fmt: skip


RECORDS = [
    record(
        "31010000005050000003", type="AI_BOX", organisation="east", location={"Text": "by the 1101 river"}
    ),
    record("11010000005050000001", tags=["gate", "new"], location={"Longitude": 1.0}),
    record("11010100005050000002", tags=["gate"], organisation="east side"),
    record("11010000005050000004", approved=False),
    record("11010000005050000005", enabled=False),
    record("11010000005050000006", support_services=False),
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "1 2 3"),
        ({"type": "CAD"}, "1 2"),
        ({"organisation": "east"}, "3"),
        ({"tags": ["gate"]}, "1 2"),
        ({"tags": ["new", "gate"]}, "1"),
        ({"region": "1101"}, "1 2"),
        ({"region": "110101"}, "2"),
        ({"region": "11010000"}, "1"),
        ({"region": "river"}, "3"),
        ({"region": "1"}, "3"),  # one digit is no region: a part of the text
        ({"region": "the", "type": "CAD"}, ""),
    ],
)
def test_a_selector_finds_what_fits_in_all(wanted: dict[str, Any], found: str) -> None:
    codes = rollouts.selected(RECORDS, rollouts.Selector(**wanted))
    assert [code[-1] for code in codes] == found.split()


def test_an_empty_selector_says_so() -> None:
    assert rollouts.Selector().is_empty
    assert not rollouts.Selector(tags=["a"]).is_empty


def test_the_terms_of_a_row_follow_the_clock_of_the_site() -> None:
    row = {"package_id": PACKAGE, "load": True, "env": ENV, "windows": ["1,08:00,09:00"], "min_ready": 30}
    monday = 1_763_946_000_000  # 2025-11-24 01:00 UTC, 09:00 in Shanghai
    terms = rollouts.terms_of(row, "m1", monday - 1, ZoneInfo("Asia/Shanghai"))
    assert terms == replace(WINDOW, env=ENV, min_ready=30)
    assert not rollouts.terms_of(row, "m1", monday, ZoneInfo("Asia/Shanghai")).is_open
    assert not rollouts.terms_of(row, "m1", monday - 1, ZoneInfo("UTC")).is_open
    always = rollouts.terms_of({**row, "windows": None}, None, monday, ZoneInfo("UTC"))
    assert (always.windowed, always.is_open, always.md5) == (False, True, None)


def test_numbers_become_counts() -> None:
    assert rollouts.counts_of({"DONE": 2, "FAILED": 1}) == Counts(0, 0, 2, 1)
