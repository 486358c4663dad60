"""The duty of knowing who is there: what is written, flushed and told."""

from __future__ import annotations

import logging
import os
from typing import Any

import pytest

from acsmpd.decide import liveness
from acsmpd.store import devices
from tests.engine.bench import SITE, Bench
from tests.store.rows import CODE, NOW, OTHER
from tests.support.disks import failing

DEVICES = [f"1101000000505000000{number}" for number in range(1, 6)]


def record(works: Bench, code: str = CODE) -> dict[str, Any]:
    with works.store.read() as tx:
        row = devices.get(tx, code)
    assert row is not None
    return row


def test_the_state_comes_with_since_and_reason(works: Bench, caplog: pytest.LogCaptureFixture) -> None:
    works.device(state="offline")
    with caplog.at_level(logging.INFO):
        works.run(2)
        assert (works.state(), record(works)["state_reason"]) == ("online", "")
        works.plant.away.add(CODE)
        works.run(2, 15)
    row = record(works)
    assert (row["state"], row["state_reason"]) == (
        "unreachable", f"observations fail (1 in a row): cannot reach {CODE}",
    )  # fmt: skip
    assert row["state_since_ms"] == works.clock.moment.wall_ms
    works.run(2, 15)
    later = record(works)
    assert later["state_reason"].startswith("observations fail (3 in a row)")
    assert (
        later["state_since_ms"] == row["state_since_ms"]
    )  # since it became so, not since the reason changed
    told = [one.getMessage() for one in caplog.records if one.getMessage().startswith("computility is")]
    assert told == [
        "computility is online: fine",
        f"computility is unreachable: observations fail (1 in a row): cannot reach {CODE}",
    ]


def test_lost_is_told_once_and_the_alarm_ends_when_it_is_back(works: Bench) -> None:
    works.device()
    works.run(2)
    works.plant.away.add(CODE)
    works.run(12, 15)
    assert works.state() == "lost"
    [(kind, subject, text)] = works.alarms()
    assert (kind, subject) == ("computility_lost", CODE)
    assert text.startswith("nothing heard for 1")
    works.plant.away.clear()
    works.run(3, 15)
    assert works.state() == "online"  # it had never spoken by itself
    assert works.alarms() == []


def test_one_that_unregisters_while_it_is_judged_is_gone(
    works: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    works.device()
    works.run(2)
    works.plant.away.add(CODE)
    judge = liveness.judge_all

    def judge_slowly(*facts: Any, **limits: Any) -> Any:
        verdicts = judge(*facts, **limits)
        if verdicts[0][CODE].state == "unreachable":
            with works.store.write() as tx:
                devices.change(
                    tx, CODE, registered=False, state="gone", state_reason="it unregistered"
                )  # fmt: skip
        return verdicts

    monkeypatch.setattr(liveness, "judge_all", judge_slowly)
    works.run(1, 15)
    works.run(1)
    seen = record(works)
    assert (seen["state"], seen["state_reason"]) == ("gone", "it unregistered")


def test_a_device_that_used_to_speak_has_to_speak_again(works: Bench) -> None:
    works.device()
    works.presence.heard(CODE, works.clock.moment.mono)
    works.run(8)
    works.plant.away.add(CODE)
    works.run(12, 15)
    assert works.state() == "lost"
    works.plant.away.clear()
    works.run(4, 15)
    assert works.state() == "lost"
    works.presence.heard(CODE, works.clock.moment.mono)
    works.run(1, 1)
    assert works.state() == "online"


def test_a_restart_of_ours_makes_nobody_lost(works: Bench) -> None:
    works.device()
    works.run(2)
    works.pass_by(100_000)
    works.restart()
    works.plant.away.add(CODE)
    works.run(6, 15)
    assert works.state() == "unreachable"


def test_one_that_unregistered_is_gone_at_once_without_an_alarm(works: Bench) -> None:
    works.device()
    works.run(2)
    with works.store.write() as tx:
        devices.change(tx, CODE, registered=False)
    works.run()
    assert (works.state(), record(works)["state_reason"]) == ("gone", "it unregistered")
    works.run(30, 15)
    assert works.state() == "gone"
    assert works.alarms() == []


def test_a_preset_one_that_unregistered_is_gone_too(works: Bench) -> None:
    works.device(preset=True)
    works.run(2)
    with works.store.write() as tx:
        devices.change(tx, CODE, registered=False, state="gone")
    works.run(30, 15)
    assert works.state() == "gone"


@pytest.mark.parametrize("ip", ["", "10.0.0.9"])
def test_one_that_was_entered_and_never_came_stays_offline_without_an_alarm(works: Bench, ip: str) -> None:
    works.device(preset=True, registered=False, registered_ms=None, state="offline", ip=ip)
    works.run(30, 15)
    assert works.state() == "offline"
    assert works.alarms() == []


def test_our_own_compute_is_always_there(works: Bench) -> None:
    works.device(SITE, family="local", ip="", state="offline")
    works.here.away.add(SITE)
    works.run(30, 15)
    assert (works.state(SITE), record(works, SITE)["state_reason"]) == ("online", "")


# --- signs of life on disk ----------------------------------------------------------------------------------


def test_signs_of_life_are_written_in_batches(works: Bench) -> None:
    works.device(OTHER, ip="", family="none")
    works.run()
    for _ in range(4):
        works.pass_by(1)
        works.presence.heard(OTHER, works.clock.moment.mono)
        works.engine.loop(works.clock.moment)
    assert record(works, OTHER)["heard_ms"] == NOW + 2000  # with the write that its new state needed
    works.run(4)
    row = record(works, OTHER)
    assert (row["heard_ms"], row["ever_heard"], row["answered_ms"], row["ever_answered"]) == (
        NOW + 5000, True, None, False,
    )  # fmt: skip


def test_signs_of_life_a_bad_disk_did_not_take_are_written_later(works: Bench) -> None:
    works.device(OTHER, ip="", family="none")
    works.run(6)
    works.presence.heard(OTHER, works.clock.moment.mono)
    heard = works.clock.moment.wall_ms
    with failing(os.getpid(), "pwrite64", "EIO"):
        works.run(6)
        assert record(works, OTHER)["heard_ms"] is None
    works.run(6)
    assert record(works, OTHER)["heard_ms"] == heard


def test_an_answer_is_written_as_such(works: Bench) -> None:
    works.device()
    works.run(10)
    row = record(works)
    assert (row["answered_ms"], row["ever_answered"], row["heard_ms"], row["ever_heard"]) == (
        NOW + 1000, True, None, False,
    )  # fmt: skip


def test_a_sign_of_a_code_nobody_knows_writes_nothing(works: Bench) -> None:
    works.presence.heard("x", works.clock.moment.mono)
    works.run(8)
    with works.store.read() as tx:
        assert devices.all_rows(tx) == []


# --- all at once ------------------------------------------------------------------------------------------------


def test_when_our_own_line_is_cut_nobody_is_lost_and_one_alarm_says_so(works: Bench) -> None:
    for code in DEVICES:
        works.device(code)
    works.run(2)
    works.plant.away.update(DEVICES[:4])
    works.run(25, 15)
    assert [works.state(code) for code in DEVICES] == ["unreachable"] * 4 + ["online"]
    assert works.alarms() == [
        ("own_line", SITE, "4 of 5 computilities stopped answering at once: our own line is suspected")
    ]
    works.plant.away.clear()
    works.run(3, 15)
    assert [works.state(code) for code in DEVICES] == ["online"] * 5
    works.run(6)
    assert works.alarms() == []


def test_when_half_of_them_are_back_the_others_are_judged_again(works: Bench) -> None:
    for code in DEVICES:
        works.device(code)
    works.run(2)
    works.plant.away.update(DEVICES[:4])
    works.run(20, 15)
    works.plant.away.difference_update(DEVICES[:2])
    works.run(3, 15)
    states = [works.state(code) for code in DEVICES]
    assert states == ["online", "online", "unreachable", "unreachable", "online"]  # not lost on the way back
    assert works.alarms() == []
    works.run(8, 15)
    assert [works.state(code) for code in DEVICES] == ["online", "online", "lost", "lost", "online"]
    works.run(6)
    assert {kind for kind, _, _ in works.alarms()} == {"computility_lost"}
