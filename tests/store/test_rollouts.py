"""Rollouts in the store: members in order, waves, what is there already, what is taken back."""

from __future__ import annotations

from typing import Any

import pytest

from acsmpd.store import alarms, rollouts, services
from acsmpd.store.database import Store, Tx
from acsmpd.store.tables import Alarm, Load
from tests.store.rows import CODE, NOW, OTHER, PACKAGE, add_device, add_load, add_package

NEWER = "1101000000502000000120261121120000000002"
THIRD = "11010000005050000003"


def put(tx: Tx, codes: tuple[str, ...] = (CODE, OTHER, THIRD), **more: Any) -> int:
    values = {
        "package_id": PACKAGE, "load": True, "env": [], "most": 2, "threshold": 1, "created_ms": NOW,
        "changed_ms": NOW, **more,
    }  # fmt: skip
    return rollouts.add(tx, codes, **values)


def stand(tx: Tx, rollout_id: int = 1) -> list[tuple[str, str, int]]:
    return [(row["device"], row["status"], row["wave"]) for row in rollouts.members(tx, rollout_id)]


def test_members_keep_their_order_and_pages_do(store: Store) -> None:
    codes = tuple(f"{number:020d}" for number in (3, 1, 2))
    with store.write() as tx:
        assert put(tx, codes) == 1
        assert [row["device"] for row in rollouts.members(tx, 1)] == list(codes)
        assert [row["device"] for row in rollouts.members(tx, 1, limit=1, offset=1)] == [codes[1]]
        assert rollouts.members(tx, 1, "DONE") == []
        assert rollouts.counts(tx, 1, 2) == {1: {"WAITING": 3}, 2: {}}


def test_ten_thousand_members_are_one_statement(store: Store) -> None:
    with store.write() as tx:
        put(tx, tuple(f"{number:020d}" for number in range(10_000)))
        assert rollouts.counts(tx, 1)[1]["WAITING"] == 10_000
        assert rollouts.members(tx, 1, limit=1, offset=9_999)[0]["device"] == f"{9_999:020d}"


def test_a_wave_is_the_next_that_wait(store: Store) -> None:
    with store.write() as tx:
        put(tx)
        rollouts.begin(tx, 1, 2, NOW)
        assert stand(tx) == [(CODE, "IN_PROGRESS", 1), (OTHER, "IN_PROGRESS", 1), (THIRD, "WAITING", 0)]
        rollouts.begin(tx, 1, 2, NOW)
        assert stand(tx)[2] == (THIRD, "IN_PROGRESS", 2)


@pytest.mark.parametrize(
    ("more", "env", "done"),
    [
        ({"status": "RUNNING"}, [], True),
        ({"status": "OVERLOAD", "ours": False}, [], True),
        ({"status": "INIT"}, [], False),
        ({"status": "RUNNING", "wanted": False}, [], False),
        ({"status": "RUNNING", "package_id": NEWER}, [], False),
        ({"status": "RUNNING"}, [{"Name": "A", "Value": "b"}], False),
        ({"status": "RUNNING", "ours": False}, [{"Name": "A", "Value": "b"}], False),
    ],
)
def test_a_service_that_runs_is_done_before_its_turn(
    store: Store, more: dict[str, Any], env: list[Any], done: bool
) -> None:
    with store.write() as tx:
        put(tx, env=env)
        add_load(tx, **more)
        row = rollouts.get(tx, 1)
        assert row is not None
        rollouts.settle_present(tx, row, "m1", NOW)
        assert stand(tx)[0][1] == ("DONE" if done else "WAITING")
        assert [status for _, status, _ in stand(tx)[1:]] == ["WAITING", "WAITING"]


def test_the_same_env_counts_and_so_does_the_very_file(store: Store) -> None:
    env = [{"Name": "A", "Value": "b"}]
    with store.write() as tx:
        put(tx, env=env)
        put(tx, load=False)
        services.add_service(tx, id="s", package_id=PACKAGE, env=env, created_ms=NOW)
        add_load(tx, service_id="s", status="RUNNING")
        for code, md5 in ((CODE, "m1"), (OTHER, "old")):
            services.want_copy(tx, PACKAGE, code, NOW, asked=True)
            copy = services.copy(tx, PACKAGE, code)
            assert copy is not None
            services.change_copy(tx, copy["id"], status=3, md5=md5)
        for row in rollouts.active(tx):
            rollouts.settle_present(tx, row, "m1", NOW)
        assert [status for _, status, _ in stand(tx)] == ["DONE", "WAITING", "WAITING"]
        assert [status for _, status, _ in stand(tx, 2)] == ["DONE", "WAITING", "WAITING"]


def test_those_of_other_versions_of_a_package(store: Store) -> None:
    with store.write() as tx:
        add_package(tx)
        newer = {"id": NEWER, "name": "human", "provider": "ACSMPD"}
        add_package(tx, NEWER, ("B",), version="2.0")
        put(tx)
        [found] = rollouts.of_other_versions(tx, newer)
        assert (found["id"], found["version"]) == (1, "1.0")
        assert rollouts.of_other_versions(tx, {**newer, "id": PACKAGE}) == []
        assert rollouts.of_other_versions(tx, {**newer, "name": "other"}) == []
        assert rollouts.of_other_versions(tx, {**newer, "provider": "other"}) == []
        rollouts.change(tx, 1, ended_ms=NOW)
        assert rollouts.of_other_versions(tx, newer) == []


def test_forgetting_takes_the_members_and_ends_the_alarm(store: Store) -> None:
    with store.write() as tx:
        put(tx)
        put(tx)
        alarms.raise_alarm(tx, "rollout_failed", "1", "too many", NOW)
        rollouts.change(tx, 2, ended_ms=NOW)
        assert rollouts.oldest_ended(tx) == 2
        assert [row["id"] for row in rollouts.active(tx)] == [1]
        rollouts.drop(tx, 1, NOW + 1)
        assert (rollouts.get(tx, 1), rollouts.members(tx, 1), rollouts.number(tx)) == (None, [], 1)
        assert tx.rows(Alarm.select())[0]["until_ms"] == NOW + 1
        assert [row["id"] for row in rollouts.all_rows(tx)] == [2]
        assert put(tx) == 3, "a number is never given twice"


def test_a_paused_one_with_nobody_in_progress_costs_nothing(store: Store) -> None:
    with store.write() as tx:
        put(tx)
        put(tx)
        rollouts.change(tx, 1, paused=True)
        assert [row["id"] for row in rollouts.active(tx)] == [2]
        rollouts.begin(tx, 1, 1, NOW)
        assert [row["id"] for row in rollouts.active(tx)] == [1, 2]
        assert [row["status"] for row in rollouts.members(tx, 1, *rollouts.OPEN)] == [
            "IN_PROGRESS", "WAITING", "WAITING",
        ]  # fmt: skip
        assert rollouts.failures(tx, 1, 5) == []
        for at, member in enumerate(rollouts.members(tx, 1)):
            rollouts.change_member(tx, member["id"], status="FAILED", reason=str(at), ended_ms=NOW - at)
        assert rollouts.failures(tx, 1, 2) == [(THIRD, "2"), (OTHER, "1")]


def test_what_is_held_is_read_for_many_devices(store: Store) -> None:
    codes = [f"{number:020d}" for number in range(1200)]
    with store.write() as tx:
        for code in codes[::400]:
            add_device(tx, code)
            services.want_copy(tx, PACKAGE, code, NOW, asked=True)
            add_load(tx, f"load-{code}", f"service-{code}", device=code)
        found = rollouts.held(tx, PACKAGE, codes)
        for name in ("devices", "copies", "loads"):
            assert sorted(found[name]) == codes[::400]
        assert found["envs"] == {f"service-{code}": [] for code in codes[::400]}
        none: dict[str, Any] = {"copies": {}, "loads": {}, "envs": {}}
        assert rollouts.held(tx, NEWER, codes) == {"devices": found["devices"], **none}
        assert rollouts.held(tx, PACKAGE, []) == {"devices": {}, **none}


# --- taking back ---------------------------------------------------------------------------------------------


def in_turn(tx: Tx, **more: Any) -> dict[str, Any]:
    """A member whose file and service were wished for."""
    put(tx, (CODE,))
    rollouts.begin(tx, 1, 1, NOW)
    services.want_copy(tx, PACKAGE, CODE, NOW, asked=False)
    add_load(tx)
    [member] = rollouts.members(tx, 1)
    rollouts.change_member(
        tx,
        member["id"],
        **{"step": "load", "service_id": "service-1", "made_copy": True, "made_load": True, **more},
    )
    return rollouts.members(tx, 1)[0]


def wishes(tx: Tx) -> tuple[bool, bool]:
    """Whether the file and the service are wanted."""
    copy, [load] = services.copy(tx, PACKAGE, CODE), services.loads(tx, Load.id == "load-1")
    assert copy is not None
    return copy["wanted"], load.wanted


def test_what_has_not_left_is_taken_back(store: Store) -> None:
    with store.write() as tx:
        rollouts.withdraw(tx, PACKAGE, in_turn(tx), NOW)
        assert wishes(tx) == (False, False)
        [member] = rollouts.members(tx, 1)
        assert (member["step"], member["service_id"], member["made_copy"], member["made_load"]) == (
            "", "", False, False,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("more", "copy", "load", "left"),
    [
        ({}, {"sent": True}, {}, (True, False)),
        ({}, {"sent": True}, {"sent": True}, (True, True)),
        ({}, {"asked": True}, {}, (True, False)),
        ({"made_copy": False}, {}, {}, (True, False)),
        ({"made_load": False}, {}, {}, (True, True)),
    ],
)
def test_what_has_left_or_is_somebody_elses_wish_stays(
    store: Store, more: dict[str, Any], copy: dict[str, Any], load: dict[str, Any], left: tuple[bool, bool]
) -> None:
    with store.write() as tx:
        member = in_turn(tx, **more)
        row = services.copy(tx, PACKAGE, CODE)
        assert row is not None
        if copy:
            services.change_copy(tx, row["id"], **copy)
        if load:
            services.change_load(tx, "load-1", **load)
        rollouts.withdraw(tx, PACKAGE, member, NOW)
        assert wishes(tx) == left
